"""Checks for the exercises of the chapter "Self-attention and many heads"."""

import numpy as np

from attnlib.exercises._answers import exercise, require, require_shape, run, same, same_values
from attnlib.numpy import MultiHeadAttention, alibi_bias, sinusoidal_positions


@exercise
def check_sizes(numbers_with_8, numbers_with_16, rank_with_16):
    """Exercise 1: the parameters of a layer, and the largest rank of a head's scores."""
    right = 4 * 512 * 512
    for wrong, message in (
        (right // 4, "the first answer: that is one matrix; there are four, for queries, keys, values and output."),
        (3 * right // 4, "the first answer: you forgot the output matrix W_O."),
        (right // 8, "the first answer: that is one head of eight."),
        (8 * right, "the first answer: a head projects to 512 / 8 numbers, not to 512."),
    ):
        require(not same_values(numbers_with_8, wrong), message)
    same(numbers_with_8, right, "the first answer", hint="four matrices of 512 rows and 8 · 64 columns.")
    for wrong in (2 * right, right // 2):
        require(
            not same_values(numbers_with_16, wrong),
            "the second answer: twice as many heads are half as wide, so the matrices keep their size.",
        )
    same(numbers_with_16, right, "the second answer", hint="four matrices of 512 rows and 16 · 32 columns.")
    for wrong, message in (
        (100, "the third answer: 100 × 100 scores, but what are the widths of the two matrices they are a product of?"),
        (64, "the third answer: 64 is the width of a head when there are 8."),
        (16, "the third answer: that is the number of heads."),
        (512, "the third answer: that is the width of the model; a head has a share of it."),
    ):
        require(not same_values(rank_with_16, wrong), message)
    same(rank_with_16, 32, "the third answer", hint="a product of [100, size] and [size, 100] has rank size at most.")
    return "heads share the same matrices; more of them means narrower ones, and scores of lower rank."


@exercise
def check_merge(answer):
    """Exercise 2: `merge(X)`, `[batch, heads, length, size] -> [batch, length, heads * size]`."""
    X = np.random.default_rng(2).normal(size=(2, 3, 5, 4))
    got = run(answer, X)
    require_shape(got, (2, 5, 12), "the merged heads", hint="batch and length stay, heads and size become one axis.")
    mistakes = {
        "this is a reshape alone: it mixes words. Bring length in front of heads first.": X.reshape(2, 5, 12),
        "the heads are interleaved: of a row, head 0 has the first numbers, then comes head 1.": np.moveaxis(
            X, 1, -1
        ).reshape(2, 5, 12),
        "the heads stand in reversed order.": np.swapaxes(X[:, ::-1], 1, 2).reshape(2, 5, 12),
        "the words stand in reversed order.": np.swapaxes(X, 1, 2)[:, ::-1].reshape(2, 5, 12),
    }
    for message, mistake in mistakes.items():
        require(not same_values(got, mistake), message)
    same(got, np.swapaxes(X, 1, 2).reshape(2, 5, 12), "the merged heads", hint="swapaxes, then reshape.")
    return "first the axes change places, then two of them become one."


def _step(d, angles):
    matrix = np.zeros((d, d))
    for i, angle in enumerate(angles):
        cos, sin = np.cos(angle), np.sin(angle)
        matrix[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = [[cos, -sin], [sin, cos]]
    return matrix


@exercise
def check_step_matrix(answer):
    """Exercise 3: `step_matrix(d, offset)`, with `P[p] @ step_matrix(d, offset) == P[p + offset]`."""
    for d, offset in ((6, 1), (8, 3), (4, -2)):
        case = f"d = {d}, offset = {offset}"
        got = run(answer, d, offset)
        require_shape(got, (d, d), f"the matrix for {case}")
        pair = np.arange(d // 2)
        speeds = 10000.0 ** (-2 * pair / d)
        P = sinusoidal_positions(12, d, dtype=float)
        mistakes = {
            "this steps the other way: a position is a row and stands on the left, P @ R.": _step(d, -offset * speeds),
            "this is one step, whatever the offset: turn by offset times the angle.": _step(d, speeds),
            "the angles are too slow or too fast: pair i turns by 10000^(-2i/d) at a step.": _step(
                d, offset * 10000.0 ** (-pair / d)
            ),
            "every pair turns at the same speed: pair i turns by 10000^(-2i/d) at a step.": _step(
                d, offset * np.ones(d // 2)
            ),
        }
        expected = _step(d, offset * speeds)
        for message, mistake in mistakes.items():
            require(not same_values(got, mistake) or same_values(mistake, expected), f"{case}: {message}")
        start = max(0, -offset)
        places = np.arange(start, 12 - max(0, offset))
        hint = "sine and cosine of pair i are columns 2i and 2i + 1."
        same(P[places] @ np.asarray(got), P[places + offset], f"{case}: the position vectors, moved", hint=hint)
    return "one matrix moves every position by the same number of places."


@exercise
def check_is_equivariant(answer):
    """Exercise 4: `is_equivariant(layer, X)`, a test that must pass and fail where it should."""
    rng = np.random.default_rng(4)
    X = rng.normal(size=(2, 5, 12)).astype(np.float32)
    layer = MultiHeadAttention(12, 3, seed=4)

    def reshaped(X):
        q, k, v = (x.reshape(2, 3, 5, 4) for x in (X @ layer.w_query, X @ layer.w_key, X @ layer.w_value))
        scores = np.exp(q @ np.swapaxes(k, -1, -2) / 2)
        return (scores / scores.sum(axis=-1, keepdims=True) @ v).reshape(2, 5, 12) @ layer.w_output

    wanted = (
        (layer, True, "a right layer fails your test"),
        (lambda X: X.mean(axis=1, keepdims=True) + X, True, "a sum over the words fails your test"),
        (lambda X: layer(X + sinusoidal_positions(5, 12)), False, "a layer with sinusoidal positions passes your test"),
        (lambda X: layer(X, causal=True), False, "a causal layer passes your test"),
        (reshaped, False, "the reshape without a transpose passes your test"),
        (
            lambda X: layer(X, attention_bias=alibi_bias(3, 5)),
            False,
            "ALiBi passes your test. Reversing is not enough: it is the one order that keeps all distances",
        ),
        (lambda X: layer(X)[:, ::-1], False, "a layer that hands out its rows in reversed order passes your test"),
    )
    hints = {
        True: "Shuffled words give shuffled outputs, not the same ones; compare layer(X[:, order]) with "
        "layer(X)[:, order], up to rounding.",
        False: "Words are axis 1, the batch is axis 0; choose an order that moves the words, and compare row by row.",
    }
    for function, right, problem in wanted:
        got = run(answer, function, X)
        require(np.ndim(got) == 0, "return one True or False: np.allclose compares whole arrays.")
        require(bool(got) == right, f"{problem}. {hints[right] if 'ALiBi' not in problem else ''}")
    return "the test knows a right layer, and finds a wrong reshape, a causal mask and positions of two kinds."


@exercise
def check_sided_mask(answer):
    """Exercise 5: `sided_mask(num_heads, length)`, half of the heads for each side."""
    for heads, length in ((4, 5), (2, 3)):
        case = f"{heads} heads, {length} words"
        past = np.tri(length, dtype=bool)
        half = heads // 2
        expected = np.stack([past] * half + [past.T] * half)
        got = run(answer, heads, length)
        require_shape(got, (heads, length, length), f"the mask for {case}", hint="One square for each head.")
        mistakes = {
            "the two halves are the wrong way round: the first heads see the words before.": expected[::-1],
            "the mask is inverted: True = may attend.": ~expected,
            "all heads see the past alone: the second half sees what comes after.": np.stack([past] * heads),
            "a word may see itself in every head: the diagonal is missing.": expected & ~np.eye(length, dtype=bool),
            "the heads alternate: the first half of them sees the words before.": np.stack([past, past.T] * half),
        }
        for message, mistake in mistakes.items():
            require(not same_values(got, mistake) or same_values(mistake, expected), f"{case}: {message}")
        same(got, expected, f"the mask for {case}")
    return "each half of the heads sees one side, so that distance and side are both known."
