"""Blocks: what a feed-forward layer, a patch embedding and a transformer block are called with."""

from attnlib._checks.dense import batched
from attnlib._checks.multi_head import wide
from attnlib._checks.shapes import floating, leading, shape, show


def feed_forward(x, w_hidden, *, precision=True):
    """Vectors as wide as the layer. precision: of the layer's, too; under PyTorch's autocast it may differ."""
    floating(x=x)
    d_model, dims = shape(w_hidden)[0], shape(x)
    if not dims or 0 in dims or dims[-1] not in (None, d_model):
        raise ValueError(f"x must be [..., {d_model}], as wide as the layer and not empty, got shape {show(dims)}")
    if precision:
        floating(x=x, w_hidden=w_hidden)


def block(w_query, *, precision=True, **named):
    """Sequences as wide as the block, of one batch. precision: as for `feed_forward`."""
    for name, array in named.items():
        batched(**{name: array})
    wide(shape(w_query)[0], **named)
    leading(**named)
    if precision:
        floating(**named, w_query=w_query)


def images(array, patch_size):
    """Pictures that patches cover without a rest; a height or width that is not known yet is not checked."""
    floating(images=array)
    dims = shape(array)
    if len(dims) < 3 or 0 in dims:
        raise ValueError(f"images must be [..., height, width, channels], none of it empty, got shape {show(dims)}")
    if any(n is not None and n % patch_size for n in dims[-3:-1]):
        raise ValueError(
            f"images must have a height and a width that patch_size {patch_size} divides, got shape {show(dims)}"
        )


def patch_embedding(array, patch_size, channels, w_patch, *, precision=True):
    """A batch of pictures of as many channels as the layer was made for. precision: as for `feed_forward`."""
    images(array, patch_size)
    dims = shape(array)
    if len(dims) < 4:
        raise ValueError(f"images must be [batch, ..., height, width, channels], got shape {show(dims)}")
    if dims[-1] not in (None, channels):
        raise ValueError(f"images must have {channels} channels on the last axis, got shape {show(dims)}")
    if precision:
        floating(images=array, w_patch=w_patch)
