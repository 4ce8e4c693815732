"""Dense attention: every query against every key.

    Attention(Q, K, V) = softmax(Q Kᵀ / sqrt(d)) V            Vaswani et al. (2017), eq. 1

Three functions that nest: scores, masked softmax, weighted values.
"""

from attnlib import _checks
from attnlib.numpy.masks import with_causal
from attnlib.numpy.scores import scaled_dot_scores
from attnlib.numpy.softmax import masked_softmax
from attnlib.numpy.tiled import tiled_attention


def attend(scores, v, /, *, mask=None, return_weights=False):
    """`[..., q_len, k_len], [..., k_len, d_v] -> [..., q_len, d_v]`: softmax of the scores, then the weighted values.

    mask: boolean, True where a query may attend. A query that may attend to nothing gets zeros.
    return_weights: also return the weights `[..., q_len, k_len]`, as `(output, weights)`.

    Raises ValueError when scores, values and mask do not fit together.
    """
    _checks.attend(scores, v, mask)
    weights = masked_softmax(scores, mask)
    output = weights @ v
    return (output, weights) if return_weights else output


def scaled_dot_product_attention(
    q, k, v, /, *, mask=None, bias=None, causal=False, scale=None, return_weights=False, impl="explicit"
):
    """`[..., q_len, d], [..., k_len, d], [..., k_len, d_v] -> [..., q_len, d_v]`.

    mask: boolean, True where a query may attend, broadcasting to `[..., q_len, k_len]`.
    bias: floating point, added to the scaled scores, broadcasting to `[..., q_len, k_len]`.
    causal: a query sees no later key; the last query is aligned to the last key. Combined with `mask`.
    scale: what multiplies the dot products, by default 1/√d.
    return_weights: also return the weights `[..., q_len, k_len]`, as `(output, weights)`.
    impl: "explicit", the formula written out; "tiled", the same one tile at a time (`tiled_attention`), which
        returns no weights.

    A query that may attend to nothing gets zero weights and a zero output.
    Raises ValueError for shapes, types or an `impl` that do not fit.
    Source: Vaswani et al. (2017), eq. 1.
    """
    _checks.choice("impl", impl, ["explicit", "tiled"])
    _checks.no_weights(impl, return_weights)
    if impl == "tiled":
        return tiled_attention(q, k, v, mask=mask, bias=bias, causal=causal, scale=scale)
    _checks.dot(q, k)
    _checks.values(k, v)
    scores_shape = _checks.scores_shape(q, k)
    _checks.mask("mask", mask, scores_shape)
    _checks.bias(bias, q, scores_shape)
    scores = scaled_dot_scores(q, k, scale=scale)  # [..., q_len, k_len]
    if bias is not None:
        scores = scores + bias
    return attend(scores, v, mask=with_causal(mask, causal, q, k), return_weights=return_weights)
