"""Multi-head attention: sizes, sequences, masks per head, and the cache that it continues."""

from attnlib._checks.dense import layer
from attnlib._checks.masks import mask
from attnlib._checks.numbers import length
from attnlib._checks.scores import scores_shape
from attnlib._checks.shapes import alike, arrays, broadcasts, dtype_name, floating, shape, show


def heads(d_model, num_heads, num_kv_heads, head_dim):
    """Sizes of multi-head attention that fit together; returns those left open, `num_kv_heads` and `head_dim`."""
    length("d_model", d_model)
    length("num_heads", num_heads)
    if num_kv_heads is None:
        num_kv_heads = num_heads
    length("num_kv_heads", num_kv_heads)
    if num_heads % num_kv_heads:
        raise ValueError(f"num_kv_heads must divide num_heads {num_heads}, got {num_kv_heads}")
    if head_dim is None:
        if d_model % num_heads:
            raise ValueError(f"num_heads must divide d_model {d_model} where head_dim is not given, got {num_heads}")
        head_dim = d_model // num_heads
    length("head_dim", head_dim)
    return num_kv_heads, head_dim


def multihead(query, key, value, w_query, *, precision=True):
    """Sequences as wide as the layer, a value for each key; returns how many axes they have at most.

    precision: whether they must agree with the layer in that too; under PyTorch's autocast they need not.
    """
    named = {"query": query, "key": key, "value": value}
    layer(**named)
    wide(shape(w_query)[0], **named)
    if precision:
        floating(query=query, w_query=w_query)
    return max(len(shape(array)) for array in named.values())


def wide(d_model, **named):
    """Sequences as wide as the layer."""
    for name, array in named.items():
        if shape(array)[-1] not in (None, d_model):
            got = show(shape(array))
            raise ValueError(f"{name} must be [..., length, {d_model}], as wide as the layer, got shape {got}")


def head_scores(query, key, num_heads, attention_mask, attention_bias, cache, *, name="attention_mask"):
    """A mask for all heads, or with one axis more for each; a bias for each. Keys of the cache come first.

    name: of the argument that the mask came in.
    """
    *axes, q_len, k_len = scores_shape(query, key)
    if cache is not None:
        k_len = None if None in (k_len, cache.past) else k_len + cache.past
    per_head = (*axes, num_heads, q_len, k_len)
    if attention_mask is not None:
        arrays(**{name: attention_mask})
        for_all = len(shape(attention_mask)) < len(per_head)
        mask(name, attention_mask, (*axes, q_len, k_len) if for_all else per_head)
    if attention_bias is not None:
        floating(query=query, attention_bias=attention_bias)
        broadcasts("attention_bias", attention_bias, per_head)


def dropout(share, impl):
    """A share of the weights that leaves some; where weights are never held, none can be dropped."""
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share < 1:
        raise ValueError(f"dropout must be a number of at least 0 and below 1, got {share!r}")
    if share and impl == "tiled":
        raise ValueError(f'dropout must be 0 for impl="tiled", which never holds the weights, got {share!r}')


def continues(**named):
    """New and cached sequences (a pair for each name) differ in length only."""
    for name, (new, cached) in named.items():
        if dtype_name(new) != dtype_name(cached):
            raise ValueError(f"{name} must have the cache's dtype {dtype_name(cached)}, got {dtype_name(new)}")
        one, two = shape(new), shape(cached)
        if not alike((*one[:-2], one[-1]), (*two[:-2], two[-1])):
            expected = (*two[:-2], None, two[-1])
            raise ValueError(f"{name} must continue the cache {show(expected)}, got shape {show(one)}")
