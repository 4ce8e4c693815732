"""Softmax over the keys that a query may attend to.

    softmax(s)_j = exp(s_j - m) / sum_i exp(s_i - m),    m = max_i s_i

Subtracting the maximum changes nothing in exact arithmetic and keeps every exponent at or below zero, so that
scores of any size stay finite (Goodfellow, Bengio and Courville, "Deep Learning", 2016, section 4.1).

`tf.nn.softmax` alone gives NaN for a row of -inf, hence the written-out form. Its gradient is written out too, because
it needs the weights w alone, not every step on the way to them:

    dL/ds_j = w_j (dL/dw_j - sum_i w_i dL/dw_i)
"""

import tensorflow as tf

from attnlib import _checks


def _softmax(scores, axis):
    @tf.custom_gradient
    def softmax(scores):
        # Where every score is -inf the maximum would be too, and -inf - (-inf) is not a number. The maximum cancels
        # in the quotient, so it needs no gradient.
        peak = tf.stop_gradient(tf.maximum(tf.reduce_max(scores, axis=axis, keepdims=True), scores.dtype.min))
        exponentials = tf.exp(scores - peak)
        # One division a row: for a second derivative, that of a division would be two of them for every score.
        share = tf.math.divide_no_nan(tf.ones_like(peak), tf.reduce_sum(exponentials, axis=axis, keepdims=True))
        weights = exponentials * share

        def gradient(grad):
            mean = tf.reduce_sum(weights * grad, axis=axis, keepdims=True)  # sum_i w_i dL/dw_i
            return weights * (grad - mean)

        return weights, gradient

    return softmax(scores)


def masked_softmax(scores, mask=None, *, axis=-1):
    """`[..., q_len, k_len] -> [..., q_len, k_len]`: weights that sum to one over the keys that may be seen.

    scores: floating point, any shape; -inf counts as masked.
    mask: boolean, True where a query may attend, broadcasting to `scores`; None allows everything.
    axis: the axis that sums to one.

    A query that may attend to nothing gets zeros. Half precision is computed in float32 and returned as it came.
    Raises ValueError for scores that are not floating point, and for a mask of another type or shape.
    """
    _checks.floating(scores=scores)
    _checks.mask("mask", mask, _checks.shape(scores))
    scores = tf.convert_to_tensor(scores)
    dtype = scores.dtype
    if dtype.size < 4:
        scores = tf.cast(scores, tf.float32)
    if mask is not None:
        scores = tf.where(mask, scores, -float("inf"))
    return tf.cast(_softmax(scores, axis), dtype)
