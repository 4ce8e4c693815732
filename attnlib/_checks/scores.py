"""Queries and keys that fit together, and the parameters of a score function between them."""

from attnlib._checks.numbers import positive
from attnlib._checks.shapes import broadcasts, floating, leading, same, sequences, shape, show


def scores_shape(q, k):
    """`[..., q_len, k_len]`, the leading axes broadcast; an unknown axis is None."""
    axes_q, axes_k = shape(q)[:-2], shape(k)[:-2]
    longest = max(len(axes_q), len(axes_k))
    pairs = zip((1,) * (longest - len(axes_q)) + axes_q, (1,) * (longest - len(axes_k)) + axes_k, strict=True)
    return (*(m if n == 1 else n for n, m in pairs), shape(q)[-2], shape(k)[-2])


def dot(q, k):
    """Queries and keys of the same width."""
    sequences(q=q, k=k)
    same("q", -1, "k", -1, "last axis (d)", q=q, k=k)
    leading(q=q, k=k)


def general(q, k, weight):
    """Queries and keys of any width, and the matrix between them."""
    sequences(q=q, k=k)
    leading(q=q, k=k)
    floating(q=q, weight=weight)
    if shape(weight) != (shape(q)[-1], shape(k)[-1]):
        raise ValueError(
            f"weight must be [d_q, d_k] for q {show(shape(q))} and k {show(shape(k))}, got {show(shape(weight))}"
        )


def out_of_hidden(name, vector):
    """The vector that turns a hidden layer into one number."""
    if len(shape(vector)) != 1:
        raise ValueError(f"{name} must be [d_hidden], got shape {show(shape(vector))}")


def additive(q, k, w_query, w_key, v_score):
    """Queries and keys of any width, two matrices into one hidden space, and a vector out of it."""
    sequences(q=q, k=k)
    leading(q=q, k=k)
    floating(q=q, w_query=w_query, w_key=w_key, v_score=v_score)
    out_of_hidden("v_score", v_score)
    hidden = shape(v_score)[0]
    for name, matrix, of, features in (("w_query", w_query, "q", q), ("w_key", w_key, "k", k)):
        if shape(matrix) != (shape(features)[-1], hidden):
            raise ValueError(
                f"{name} must be [last axis of {of}, d_hidden] for {of} {show(shape(features))} and "
                f"v_score {show(shape(v_score))}, got {show(shape(matrix))}"
            )


def concat(q, k, w_concat, v_score):
    """Queries and keys of any width, one matrix from both into a hidden space, and a vector out of it."""
    sequences(q=q, k=k)
    leading(q=q, k=k)
    floating(q=q, w_concat=w_concat, v_score=v_score)
    out_of_hidden("v_score", v_score)
    widths, hidden = (shape(q)[-1], shape(k)[-1]), shape(v_score)[0]
    if None in widths or shape(w_concat) != (sum(widths), hidden):
        raise ValueError(
            f"w_concat must be [d_q + d_k, d_hidden] for q {show(shape(q))}, k {show(shape(k))} and "
            f"v_score {show(shape(v_score))}, got {show(shape(w_concat))}"
        )


def cosine(q, k, scale):
    """Queries and keys of the same width, and a number or an array that multiplies their scores."""
    dot(q, k)
    if isinstance(scale, bool) or not isinstance(scale, (int, float)):
        floating(scale=scale)
        broadcasts("scale", scale, scores_shape(q, k))


def temperature(scale, max_scale):
    """A scale above zero and no larger than the largest."""
    positive("scale", scale)
    positive("max_scale", max_scale)
    if scale > max_scale:
        raise ValueError(f"scale must be at most max_scale {max_scale}, got {scale}")
