"""Checks for the exercises of the chapter "Scaled dot-product attention"."""

import numpy as np

from attnlib.exercises._answers import exercise, require, require_shape, run, same, same_values
from attnlib.numpy import backward, causal_mask, masked_softmax, padding_mask, scaled_dot_product_attention


@exercise
def check_bytes(bytes_of_weights, times_as_many):
    """Exercise 1: the bytes of all weights of a layer, and how they grow with the length."""
    right = 2 * 8 * 4096 * 4096 * 4
    for factor, forgotten in (
        (2, "the batch of 2"),
        (8, "the 8 heads"),
        (16, "the batch and the heads"),
        (4, "that a float32 takes 4 bytes"),
        (4096, "that the weights are a square: a row of 4096 for each of 4096 queries"),
    ):
        require(not same_values(bytes_of_weights, right / factor), f"the bytes: you forgot {forgotten}.")
    same(bytes_of_weights, right, "the bytes", hint="multiply batch, heads, queries, keys and 4 bytes.")
    require(not same_values(times_as_many, 4), "the second answer: the length grows 4 times in both directions.")
    same(times_as_many, 16, "the second answer", hint="queries and keys both grow 4 times.")
    return "one GiB, and sixteen at four times the length."


@exercise
def check_batch_mask(answer):
    """Exercise 2: `batch_mask(lengths, max_len)`, causal and padding in one."""
    lengths, size = np.array([4, 0, 2]), 5
    causal, padding = causal_mask(size), padding_mask(lengths, size)
    got = run(answer, lengths, size)
    mistakes = {
        "the masks are combined with |: allowed is what both allow, use &.": causal | padding,
        "the mask is inverted: True = may attend.": ~(causal & padding),
        "the causal part is missing.": np.broadcast_to(padding, (3, size, size)),
        "the padding part is missing.": np.broadcast_to(causal, (3, size, size)),
        "this forbids the past and allows the future: query i sees keys j ≤ i.": causal.T & padding,
        "padding rows are forbidden: the mask is about keys, the last axis, and a query in the padding "
        "may see the real keys.": causal & np.swapaxes(padding, -1, -2),
        "the diagonal is missing: query i sees key i as well.": np.tri(size, k=-1, dtype=bool) & padding,
        "the causal part is off by one: query i sees key i + 1.": np.tri(size, k=1, dtype=bool) & padding,
    }
    for message, mistake in mistakes.items():
        require(not same_values(got, mistake), message)
    hint = "causal is [max_len, max_len], padding [batch, 1, max_len]: let them broadcast."
    same(got, causal & padding, "the mask", hint=hint)
    return "causal and padding meet by broadcasting, and & keeps what both allow."


@exercise
def check_window_mask(answer):
    """Exercise 3: `window_mask(length, window)`, a causal window."""
    for length, window in ((7, 3), (5, 1), (4, 9)):
        i, j = np.arange(length)[:, None], np.arange(length)
        expected = (j <= i) & (j > i - window)
        got = run(answer, length, window)
        mistakes = {
            "the mask is inverted: True = may attend.": ~expected,
            "the window reaches into the future: query i sees no key j > i.": np.abs(i - j) < window,
            "the window is one key too wide: key i itself is one of them.": (j <= i) & (j >= i - window),
            "the window is one key too narrow.": (j <= i) & (j > i - window + 1),
            "the window ends before key i: query i sees itself too.": (j < i) & (j >= i - window),
            "key i is missing: query i sees itself too.": (j < i) & (j > i - window),
            "queries are rows and keys are columns: this is the transpose.": expected.T,
            "the old keys are still allowed: the window ends after `window` keys.": j <= i,
        }
        for message, mistake in mistakes.items():
            require(
                not same_values(got, mistake) or same_values(mistake, expected),
                f"length {length}, window {window}: {message}",
            )
        same(got, expected, f"the mask for length {length}, window {window}")
    return "each query sees itself and the window - 1 keys before."


@exercise
def check_streaming_attention(answer):
    """Exercise 4: `streaming_attention(q, K, V)`, one key at a time."""
    rng = np.random.default_rng(3)
    q, K, V = rng.normal(size=4), rng.normal(size=(6, 4)), rng.normal(size=(6, 3))

    taken, ahead = {"keys": 0, "values": 0}, 0

    def one_by_one(name, rows):
        nonlocal ahead
        for row in rows:
            taken[name] += 1
            ahead = max(ahead, abs(taken["keys"] - taken["values"]))
            yield row.copy()

    def expected(q):
        return scaled_dot_product_attention(q[None], K, V)[0]

    with np.errstate(all="ignore"):
        got = run(answer, q, one_by_one("keys", K), one_by_one("values", V))
        require_shape(got, (3,), "the output")
        require(
            ahead <= 1,
            "keys or values were collected first: take one key with its value, then the next.",
        )
        mistakes = {
            "the dot products are not divided by √d.": scaled_dot_product_attention(q[None], K, V, scale=1.0)[0],
            "the sum is not divided by `total` at the end.": expected(q) * np.exp(K @ q / 2 - (K @ q / 2).max()).sum(),
            "this is the mean of all values: the scores are not used.": V.mean(axis=0),
        }
        for message, mistake in mistakes.items():
            require(not same_values(got, mistake), message)
        hint = "when the peak rises, multiply both `total` and `acc` by exp(old peak - new peak)."
        same(got, expected(q), "the output", hint=hint)
        got = run(answer, 1e4 * q, iter(K), iter(V))
        require(
            np.all(np.isfinite(got)),
            "scores of ±10 000 overflow: subtract the largest score so far inside every exponential.",
        )
        same(got, expected(1e4 * q), "the output for scores of ±10 000", hint=hint)
        low = -1e4 * np.abs(q), np.abs(K)  # every score far below zero
        got = run(answer, low[0], iter(low[1]), iter(V))
    require(
        np.all(np.isfinite(got)),
        "when every score is far below zero, all exponentials vanish: let the peak start at -inf, not at 0.",
    )
    same(got, scaled_dot_product_attention(low[0][None], low[1], V)[0], "the output for scores far below zero")
    return "one pass over the keys, three things in memory, stable for large scores."


@exercise
def check_scale_gradient(answer):
    """Exercise 5: `scale_gradient(Q, K, V, grad_output, scale)`, one number."""
    rng = np.random.default_rng(4)
    Q, K, V = rng.normal(size=(3, 5)), rng.normal(size=(4, 5)), rng.normal(size=(4, 2))
    grad_output, scale = rng.normal(size=(3, 2)), 0.7
    _, weights = scaled_dot_product_attention(Q, K, V, scale=scale, return_weights=True)
    grad_weights = grad_output @ V.T
    grad_scores = backward.masked_softmax_vjp(weights, grad_weights)
    products = Q @ K.T
    got = run(answer, Q, K, V, grad_output, scale)
    require_shape(got, (), "the gradient", hint="The scale is one number, so add up over all scores.")
    plain = masked_softmax(products)
    mistakes = {
        "the sum of the scores' gradients is zero: each must be multiplied by Q·K first.": grad_scores.sum(),
        "this multiplies with the scaled scores: dS/dc is Q·K, without c.": (grad_scores * scale * products).sum(),
        "this leaves out the softmax: pass the weights' gradient through its vjp.": (grad_weights * products).sum(),
        "the weights are computed without the scale.": (
            backward.masked_softmax_vjp(plain, grad_weights) * products
        ).sum(),
    }
    for message, mistake in mistakes.items():
        require(not same_values(got, mistake), message)
    same(got, (grad_scores * products).sum(), "the gradient", hint="chain rule: dL/dc = Σ dL/dS · Q·K.")
    return "the scale is shared by all scores, so its gradient is a sum over all of them."
