"""Softmax over the keys that a query may attend to.

    softmax(s)_j = exp(s_j - m) / sum_i exp(s_i - m),    m = max_i s_i

Subtracting the maximum changes nothing in exact arithmetic and keeps every exponent at or below zero, so that
scores of any size stay finite (Goodfellow, Bengio and Courville, "Deep Learning", 2016, section 4.1).
"""

import numpy as np

from attnlib import _checks


def masked_softmax(scores, mask=None, *, axis=-1):
    """`[..., q_len, k_len] -> [..., q_len, k_len]`: weights that sum to one over the keys that may be seen.

    scores: floating point, any shape; -inf counts as masked.
    mask: boolean, True where a query may attend, broadcasting to `scores`; None allows everything.
    axis: the axis that sums to one.

    A query that may attend to nothing gets zeros. Half precision is computed in float32 and returned as it came.
    Raises ValueError for scores that are not floating point, and for a mask of another type or shape.
    """
    _checks.floating(scores=scores)
    _checks.mask("mask", mask, tuple(scores.shape))
    dtype = scores.dtype
    if dtype.itemsize < 4:
        scores = scores.astype(np.float32)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf)
    # Where every score is -inf the maximum would be too, and -inf - (-inf) is not a number.
    peak = np.maximum(scores.max(axis=axis, keepdims=True), np.finfo(scores.dtype).min)
    weights = scores - peak
    np.exp(weights, out=weights)  # in place, as the division is: large arrays cost more to ask for than to compute
    total = weights.sum(axis=axis, keepdims=True)
    weights /= np.where(total == 0, 1, total)
    return weights.astype(dtype, copy=False)
