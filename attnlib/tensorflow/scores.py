"""Score functions (compatibility functions): how well does each query match each key?

    dot         s(q, k) = q · k                        Luong, Pham and Manning (2015), section 3.1
    scaled dot  s(q, k) = q · k / sqrt(d)              Vaswani et al. (2017), eq. 1
    general     s(q, k) = q · (W k)                    Luong, Pham and Manning (2015), section 3.1
    additive    s(q, k) = v · tanh(W_q q + W_k k)      Bahdanau, Cho and Bengio (2015), appendix A.1.2
    concat      s(q, k) = v · tanh(W [q; k])           Luong, Pham and Manning (2015), section 3.1
    cosine      s(q, k) = scale · q · k / (|q| |k|)    Liu et al. (2022), "Swin Transformer V2", eq. 2
    soft cap    s <- cap · tanh(s / cap)               Gemma Team (2024), "Gemma 2", section 2

Vectors are rows here, so a matrix stands on their right: `q @ W_q`.
"""

import tensorflow as tf

from attnlib import _checks
from attnlib.tensorflow._affine import affine


def dot_scores(q, k):
    """`[..., q_len, d], [..., k_len, d] -> [..., q_len, k_len]`: the dot product of every query with every key.

    Raises ValueError when the widths differ or the leading axes do not broadcast.
    Source: Luong, Pham and Manning (2015), section 3.1, "dot".
    """
    _checks.dot(q, k)
    return tf.matmul(q, k, transpose_b=True)


def scaled_dot_scores(q, k, *, scale=None):
    """`[..., q_len, d], [..., k_len, d] -> [..., q_len, k_len]`: dot products times `scale`, by default 1/√d.

    Raises ValueError when the widths differ or the leading axes do not broadcast.
    Source: Vaswani et al. (2017), eq. 1.
    """
    _checks.dot(q, k)
    if scale is None:
        scale = tf.cast(tf.shape(q)[-1], q.dtype) ** -0.5
    return tf.matmul(q * scale, k, transpose_b=True)


def general_scores(q, k, weight):
    """`[..., q_len, d_q], [..., k_len, d_k], [d_q, d_k] -> [..., q_len, k_len]`: the bilinear form q W kᵀ.

    Raises ValueError when `weight` does not fit between queries and keys.
    Source: Luong, Pham and Manning (2015), section 3.1, "general".
    """
    _checks.general(q, k, weight)
    return tf.matmul(affine(q, weight), k, transpose_b=True)


def additive_scores(q, k, w_query, w_key, v_score):
    """`[..., q_len, d_q], [..., k_len, d_k] -> [..., q_len, k_len]`: a small network on each pair.

    w_query: `[d_q, d_hidden]`; w_key: `[d_k, d_hidden]`; v_score: `[d_hidden]`.
    The hidden layer is `[..., q_len, k_len, d_hidden]`: the memory that this score function costs.

    Raises ValueError when a parameter does not fit.
    Source: Bahdanau, Cho and Bengio (2015), appendix A.1.2.
    """
    _checks.additive(q, k, w_query, w_key, v_score)
    queries = affine(q, w_query)[..., :, None, :]  # [..., q_len, 1, d_hidden]
    keys = affine(k, w_key)[..., None, :, :]  # [..., 1, k_len, d_hidden]
    return tf.linalg.matvec(tf.tanh(queries + keys), v_score)


def concat_scores(q, k, w_concat, v_score):
    """`[..., q_len, d_q], [..., k_len, d_k] -> [..., q_len, k_len]`: a small network on query and key end to end.

    w_concat: `[d_q + d_k, d_hidden]`, the rows for the query first; v_score: `[d_hidden]`.
    A matrix on [q; k] is a matrix on q plus a matrix on k: these are additive scores, and computed as such.

    Raises ValueError when a parameter does not fit.
    Source: Luong, Pham and Manning (2015), section 3.1, "concat".
    """
    _checks.concat(q, k, w_concat, v_score)
    d_q = q.shape[-1]
    return additive_scores(q, k, w_concat[:d_q], w_concat[d_q:], v_score)


def cosine_scores(q, k, scale):
    """`[..., q_len, d], [..., k_len, d] -> [..., q_len, k_len]`: the cosine of the angle between them, times `scale`.

    scale: one over the temperature: a number, or an array that broadcasts to the scores, such as `[heads, 1, 1]`.
    A vector of zeros has no angle; its scores are 0. Half precision is computed in float32 and returned as it came.

    Raises ValueError when the widths differ, the leading axes do not broadcast, or `scale` does not fit.
    Source: Liu et al. (2022), "Swin Transformer V2", eq. 2, where τ is 1 / scale.
    """
    _checks.cosine(q, k, scale)
    dtype = q.dtype
    if tf.as_dtype(dtype).size < 4:
        q, k = tf.cast(q, tf.float32), tf.cast(k, tf.float32)
    scores = tf.matmul(_unit(q), _unit(k), transpose_b=True)
    if not isinstance(scale, (int, float)):
        scale = tf.cast(scale, scores.dtype)
    return tf.cast(scores * scale, dtype)


def _unit(x):
    """Vectors of length 1 in the direction of those of `x`; zeros stay zeros, with finite gradients."""
    squares = tf.reduce_sum(tf.square(x), axis=-1, keepdims=True)
    return x / tf.sqrt(tf.where(squares == 0, tf.ones_like(squares), squares))


def soft_cap(scores, cap):
    """`[..., q_len, k_len] -> [..., q_len, k_len]`: scores kept smoothly between -cap and cap.

    Small scores stay almost as they are. A score of -inf becomes -cap: cap first, mask after.

    Raises ValueError for scores that are not floating point, and for a cap that is not a number above 0.
    Source: Gemma Team (2024), "Gemma 2", section 2.
    """
    _checks.floating(scores=scores)
    _checks.positive("cap", cap)
    return cap * tf.tanh(scores / cap)
