"""Images as sequences: each patch of pixels, laid out in a row, is a position.

    z_0 = [x_1 E; x_2 E; ...; x_N E]                          Dosovitskiy et al. (2021), eq. 1, without its class
    N = H W / P²,  E of shape [P² C, d_model]                 token and its positions

The same as a convolution whose kernel is as large as its stride. Channels come last in all three frameworks: so
pictures are stored and so the paper has them (x in R^(H×W×C)), and a patch keeps the channels of a pixel together.
PyTorch's own layers want them first: `images.permute(0, 2, 3, 1)` leads from there to here.
"""

import torch
from torch import nn

from attnlib import _checks
from attnlib.torch._autocast import autocasting
from attnlib.torch.layers import _generator, _glorot
from attnlib.torch.multihead import _linear


def image_patches(images, patch_size):
    """`[..., height, width, channels] -> [..., patches, patch_size² · channels]`, row by row from the top left.

    The numbers of a patch are its pixels row by row, the channels of a pixel side by side.

    Raises ValueError for images that patches do not cover without a rest, and a size that is not an integer.
    Source: Dosovitskiy et al. (2021), section 3.1.
    """
    _checks.length("patch_size", patch_size)
    _checks.images(images, patch_size)
    x = images.unflatten(-3, (-1, patch_size)).unflatten(-2, (-1, patch_size))
    x = x.transpose(-4, -3)  # [..., rows, columns, patch_size, patch_size, channels]
    return x.flatten(-3).flatten(-3, -2)


class PatchEmbedding(nn.Module):
    """A linear layer on each patch of an image.

    patch_size: height and width of a patch in pixels. channels: of the images. d_model: width of the output.
    seed: of the initial `w_patch` `[patch_size² · channels, d_model]`; the bias `b_patch` begins at zero.
    Neither positions nor a class token are added.
    Raises ValueError for a size that is not an integer of at least 1.
    Source: Dosovitskiy et al. (2021), section 3.1 and eq. 1.
    """

    def __init__(self, patch_size, channels, d_model, *, seed=None):
        super().__init__()
        _checks.length("patch_size", patch_size)
        _checks.length("channels", channels)
        _checks.length("d_model", d_model)
        self.patch_size, self.channels = patch_size, channels
        self.w_patch = _glorot(_generator(seed), patch_size**2 * channels, d_model)
        self.b_patch = nn.Parameter(torch.zeros(d_model))

    def forward(self, images):
        """`[batch, ..., height, width, channels] -> [batch, ..., patches, d_model]`.

        Raises ValueError for images of another number of channels or type, or that patches do not cover.
        """
        precision = not autocasting(images)
        _checks.patch_embedding(images, self.patch_size, self.channels, self.w_patch, precision=precision)
        return _linear(image_patches(images, self.patch_size), self.w_patch, self.b_patch)

    def extra_repr(self):
        return f"patch_size={self.patch_size}, channels={self.channels}, d_model={len(self.b_patch)}"
