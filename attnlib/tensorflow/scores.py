"""Score functions (compatibility functions): how well does each query match each key?

    dot         s(q, k) = q · k                        Luong, Pham and Manning (2015), section 3.1
    scaled dot  s(q, k) = q · k / sqrt(d)              Vaswani et al. (2017), eq. 1
    general     s(q, k) = q · (W k)                    Luong, Pham and Manning (2015), section 3.1
    additive    s(q, k) = v · tanh(W_q q + W_k k)      Bahdanau, Cho and Bengio (2015), appendix A.1.2

Vectors are rows here, so a matrix stands on their right: `q @ W_q`.
"""

import tensorflow as tf

from attnlib import _checks


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
    return tf.matmul(q @ weight, k, transpose_b=True)


def additive_scores(q, k, w_query, w_key, v_score):
    """`[..., q_len, d_q], [..., k_len, d_k] -> [..., q_len, k_len]`: a small network on each pair.

    w_query: `[d_q, d_hidden]`; w_key: `[d_k, d_hidden]`; v_score: `[d_hidden]`.
    The hidden layer is `[..., q_len, k_len, d_hidden]`: the memory that this score function costs.

    Raises ValueError when a parameter does not fit.
    Source: Bahdanau, Cho and Bengio (2015), appendix A.1.2.
    """
    _checks.additive(q, k, w_query, w_key, v_score)
    queries = (q @ w_query)[..., :, None, :]  # [..., q_len, 1, d_hidden]
    keys = (k @ w_key)[..., None, :, :]  # [..., 1, k_len, d_hidden]
    return tf.linalg.matvec(tf.tanh(queries + keys), v_score)
