"""Checks for the exercises of the chapter "Why attention?" (book/theory/why_attention.ipynb)."""

import math

import numpy as np

from attnlib.exercises._answers import as_array, exercise, require, require_shape, run, same, same_values
from attnlib.numpy import masked_softmax, scaled_dot_product_attention


@exercise
def check_most_letters(answer):
    """(d, alphabet, bits=32) -> how many letters d numbers can hold at most."""
    for d, alphabet in ((1000, 27), (7, 2), (10, 1000)):
        got = run(answer, d, alphabet)
        require(
            not same_values(got, d * 32 // alphabet),
            "a letter from an alphabet of A does not cost A bits: n letters have Aⁿ texts, count those in bits.",
        )
        require(
            not same_values(got, math.floor(d * 32 / math.log(alphabet))) or alphabet == 1000,
            "that is the natural logarithm; bits go with the logarithm to base 2.",
        )
        expected = math.floor(d * 32 / math.log2(alphabet))
        hint = f"{alphabet}ⁿ texts must fit into 2^(32·{d}) states, rounded down."
        same(got, expected, f"{d} numbers, {alphabet} letters", hint=hint, tolerance=1e-9)
    require(same_values(run(answer, 10, 4, bits=16), 80), "use the argument `bits`, not 32.")
    return "no encoder can do better, whatever it learns; ours, which only adds, does far worse."


@exercise
def check_bandwidth(answer):
    """The h at which a key at distance 1 has nine times the weight of one at distance 2."""
    require_shape(answer, (), "h", hint="It is one number.")
    h = float(as_array(answer, "h"))
    require(h > 0, f"a bandwidth is greater than 0, yours is {h:g}.")
    right = math.sqrt(3 / (2 * math.log(9)))
    require(not math.isclose(h, right**2, rel_tol=1e-2), "that is h², take the square root.")
    unsquared = math.sqrt(1 / (2 * math.log(9)))
    require(
        not math.isclose(h, unsquared, rel_tol=1e-2),
        "square the distances: the exponents differ by (2² − 1²) / 2h², not by 1 / 2h².",
    )
    no_half = math.sqrt(3 / math.log(9))
    require(not math.isclose(h, no_half, rel_tol=1e-2), "the exponent has 2h² below, not h².")
    share = 1 / (1 + math.exp(-3 / (2 * h**2)))
    require(
        math.isclose(h, right, rel_tol=5e-3),
        f"with h = {h:.3f} the nearer key has {share:.1%} of the weight. "
        f"{'Narrow' if share < 0.9 else 'Widen'} the bandwidth.",
    )
    return "the nearer key has 90 % of the weight: its exponent is larger by ln 9."


@exercise
def check_gaussian_attention(answer):
    """(q, k, v, h) -> kernel regression with a Gaussian kernel, for keys of any length."""
    rng = np.random.default_rng(5)
    q, k, v = rng.normal(size=(3, 2)), 2 * rng.normal(size=(4, 2)), rng.normal(size=(4, 5))
    h = 0.7
    got = run(answer, q, k, v, h)
    squared = (k**2).sum(axis=-1)
    for bias, message in (
        (None, "without the bias a long key scores too high: subtract |k|² / 2h² from every score of a key."),
        (squared / (2 * h**2), "the sign of the bias is wrong: long keys must score lower."),
        (-squared / h**2, "the bias is twice too large: |k|² is divided by 2h²."),
        (-squared / 2, "divide the bias by h² as well."),
        (-np.sqrt(squared) / (2 * h**2), "the length of the key must be squared."),
    ):
        require(not same_values(got, scaled_dot_product_attention(q, k, v, scale=h**-2, bias=bias)), message)
    distances = ((q[:, None] - k[None]) ** 2).sum(axis=-1)
    hint = "compare with weights proportional to exp(−|q − k|² / 2h²)."
    same(got, masked_softmax(-distances / (2 * h**2)) @ v, "the output", hint=hint)

    batch = [np.stack([array, array[::-1]]) for array in (q, k, v)]
    expected = np.stack([got, masked_softmax(-distances[::-1, ::-1] / (2 * h**2)) @ v[::-1]])
    hint = "for a batch the bias must be [b, 1, k_len]: one row that all queries share."
    same(run(answer, *batch, h), expected, "the output for a batch", hint=hint)
    return "kernel regression for keys of any length, and for a batch of them."


@exercise
def check_far_mask(answer):
    """(places, r) -> [n, n], True where two places are farther apart than r."""
    places = np.array([[0.0, 0.0], [3.0, 4.0], [1.2, 1.4], [6.0, 8.0], [1.6, -1.6], [4.5, 4.0]])
    got = run(answer, places, 2.0)
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1)
    expected = distances > 2
    require(not same_values(got, ~expected), 'the mask is inverted: True means "may attend".')
    require(
        not same_values(got, distances**2 > 2),
        "compare the distance with r, not its square: take the root.",
    )
    differences = np.abs(places[:, None] - places[None])
    for other in (differences.max(axis=-1), differences.sum(axis=-1)):
        require(
            not same_values(got, other > 2),
            "the distance is the root of the sum of squares over all coordinates, not their largest or their sum.",
        )
    same(got, expected, "the mask", hint="mask[i, j] says whether place j is farther than r from place i.")
    require(
        same_values(run(answer, places, 0.0), ~np.eye(len(places), dtype=bool)),
        "with r = 0 only the place itself may be left out.",
    )
    at_r = as_array(run(answer, places, 5.0), "the mask")
    require(not at_r[0, 1], "a place at distance r exactly is not farther than r.")
    return "and r = 0 gives the leave-one-out mask."


@exercise
def check_boxcar_weights(answer):
    """(q, k, h) -> [q_len, k_len]: equal weights within distance h, none beyond."""
    q = np.array([[0.0, 0.0], [1.0, 1.0], [4.0, 3.0], [90.0, 0.0], [0.0, 2.0]])
    k = np.array([[0.0, 0.7], [3.0, 3.0], [1.0, 0.0], [5.0, 5.0]])
    with np.errstate(invalid="ignore", divide="ignore"):
        got = run(answer, q, k, 1.5)
    reached = np.linalg.norm(q[:, None] - k[None], axis=-1) <= 1.5
    require(not same_values(got, reached * 1.0), "weights must sum to one: divide by the number of keys in reach.")
    over_queries = reached / np.maximum(reached.sum(axis=0, keepdims=True), 1)
    require(
        not same_values(got, over_queries),
        "each column sums to one; each row must: divide by the keys in reach of a query, along axis −1.",
    )
    got = as_array(got, "the weights")
    alone = got.shape == reached.shape and np.isnan(got[3]).any()
    require(not alone, "query 3 has no key in reach, and 0 / 0 gave NaN: its weights must be zeros.")
    even = got.shape == reached.shape and same_values(got[3], np.full(4, 0.25))
    require(not even, "query 3 has no key in reach, and yet all get weight: it must get zeros.")
    expected = reached / np.maximum(reached.sum(axis=-1, keepdims=True), 1)
    shares = same_values(got > 0, reached) and same_values(got.sum(axis=-1), expected.sum(axis=-1))
    require(
        same_values(got, expected) or not shares,
        "a nearer key gets more weight; all in reach must get the same: keep the distances out of the softmax.",
    )
    same(got, expected, "the weights", hint="equal weight for every key within h of the query, none beyond.")
    return "equal votes within reach, and a query out of reach of all gets zeros."
