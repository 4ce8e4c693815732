"""Checks for the exercises of the chapter "Queries, keys and values" (book/theory/queries_keys_values.ipynb)."""

import math
from collections.abc import Callable

import numpy as np

from attnlib.exercises._answers import as_array, exercise, require, require_shape, run, same, same_values, unpack
from attnlib.numpy import masked_softmax, scaled_dot_product_attention
from attnlib.numpy.backward import scaled_dot_product_attention_vjp


@exercise
def check_gap(answer):
    """The gap at which one key of a thousand has 99 % of the weight, when all others score the same."""
    require_shape(answer, (), "g", hint="It is one number.")
    gap = float(as_array(answer, "g"))
    require(math.isfinite(gap), f"a finite number is expected, yours is {gap}.")
    for wrong, message in (
        (math.log(99), "that is the gap to a single other key; there are 999 of them."),
        (math.log(0.99), "solve 1 / (1 + 999·exp(−g)) = 0.99 for g; ln 0.99 is below 0."),
        (math.log(999), "with g = ln 999 the right key has half of the weight."),
        (-math.log(99 * 999), "the size is right, the sign is not: the right key scores higher."),
        (99 * 999, "take the logarithm: the weights are exponentials of the scores."),
    ):
        require(not math.isclose(gap, wrong, rel_tol=1e-3), message)
    right = math.log(99 * 999)
    share = 1 / (1 + 999 * math.exp(min(-gap, 700)))
    more_or_less = "A larger" if gap < right else "A smaller"
    require(
        abs(gap - right) < 0.05,
        f"with g = {gap:g} the right key has {share:.2%} of the weight. {more_or_less} gap is needed.",
    )
    return "a gap of 11.5 outvotes 999 others: it grows with the logarithm of their number only."


@exercise
def check_hard(answer):
    """(queries, keys, values) -> answers and one-hot weights of the best key."""
    rng = np.random.default_rng(3)
    q, k, v = rng.normal(size=(3, 2)), rng.normal(size=(4, 2)), rng.normal(size=(4, 5))
    k *= np.array([[3.0], [1.0], [0.3], [3.0]])  # of different lengths, so that a cosine chooses another key
    answers, weights = unpack(run(answer, q, k, v), "answers", "weights")
    scores = q @ k.T
    best = np.eye(4)[scores.argmax(axis=-1)]
    for soft in (masked_softmax(scores), masked_softmax(scores / math.sqrt(2))):
        require(not same_values(weights, soft), "these are softmax weights; a hard lookup has a single 1 in each row.")
    cosine = np.eye(4)[(scores / np.linalg.norm(k, axis=-1)).argmax(axis=-1)]
    require(
        not same_values(weights, cosine),
        "these are the keys of the best angle (cosine); compare with the dot product itself, long keys and all.",
    )
    worst = np.eye(4)[scores.argmin(axis=-1)]
    require(not same_values(weights, worst), "that is the key with the smallest dot product; the largest is asked for.")
    over_queries = (scores == scores.max(axis=0)).astype(float)
    require(not same_values(weights, over_queries), "you chose a query for each key: take the maximum over axis −1.")
    same(weights, best, "the weights", hint="row i is one-hot, with the 1 at the key that query i matches best.")
    same(answers, best @ v, "the answers", hint="answer i is the value of the key chosen for query i.")
    return "a matrix of zeros and ones looks up for all queries at once."


@exercise
def check_grad_query(answer):
    """(q, keys, values, c, g) -> the gradient of a loss with respect to one query."""
    rng = np.random.default_rng(4)
    q, k, v, g = rng.normal(size=2), rng.normal(size=(4, 2)), rng.normal(size=(4, 3)), rng.normal(size=3)
    c = 1.7
    got = run(answer, q, k, v, c, g)
    expected = scaled_dot_product_attention_vjp(q[None], k, v, g[None], scale=c)[0][0]
    w = masked_softmax(c * k @ q)
    require(not same_values(got, expected / c), "the scale is missing: scores are c·(q · k).")
    no_answer = c * (w * (v @ g)) @ k
    require(
        not same_values(got, no_answer),
        "subtract the answer: a score has gradient w·g·(v − answer), since the weights must go on summing to one.",
    )
    no_weight = c * ((v - w @ v) @ g) @ k
    require(not same_values(got, no_weight), "multiply the gradient of each score by its weight.")
    same(got, expected, "the gradient", hint="c · Σ_j ds_j k_j with ds_j = w_j g · (v_j − answer).")
    return "the query moves towards keys whose values are better than the answer."


@exercise
def check_weight_per_label(answer):
    """(weights, labels, count) -> the weights of keys with the same label, added up."""
    weights = np.array([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.2, 0.0]])
    labels = [2, 0, 2, 1]
    got = run(answer, weights, labels, 5)
    expected = np.array([[0.2, 0.4, 0.4, 0, 0], [0.1, 0.0, 0.9, 0, 0]])
    overwritten = np.array([[0.2, 0.4, 0.3, 0, 0], [0.1, 0.0, 0.2, 0, 0]])
    require(
        not same_values(got, overwritten),
        "keys with the same label overwrite one another (`out[:, labels] = …` or `+=`): their weights must add up.",
    )
    require(not same_values(got, weights[:, labels]), "labels are no positions: do not index the weights with them.")
    hint = "column l is the sum of the weights whose label is l; a label that no key has gets zeros."
    same(got, expected, "the weights per label", hint=hint)
    return "adding up weights is itself a lookup, with one-hot values."


def _swapped(q, k, v):
    return scaled_dot_product_attention(q, v, k)


def _roles_rotated(q, k, v):
    return scaled_dot_product_attention(k, q, v)


def _unscaled(q, k, v):
    return scaled_dot_product_attention(q, k, v, scale=1.0)


def _wrong_axis(q, k, v):
    return masked_softmax(q @ k.T / math.sqrt(q.shape[-1]), axis=0) @ v


def _unsummed(q, k, v):
    return np.exp(q @ k.T / math.sqrt(q.shape[-1])) @ v


def _order_matters(q, k, v):
    return scaled_dot_product_attention(q, k, v, bias=np.linspace(0.0, 1.0, len(k)))


def _transposed(q, k, v):
    weights = masked_softmax(q @ k.T / math.sqrt(q.shape[-1]))
    return weights.T @ v if weights.shape[0] == weights.shape[1] else weights @ v


_BROKEN: dict[str, Callable] = {
    "keys and values swapped": _swapped,
    "queries and keys swapped": _roles_rotated,
    "scores that are not scaled": _unscaled,
    "a softmax over the queries": _wrong_axis,
    "weights that do not sum to one": _unsummed,
    "an answer that depends on the order of the pairs": _order_matters,
    "transposed weights (which run only when there are as many queries as keys)": _transposed,
}


def _accepts(test: Callable, lookup: Callable) -> bool:
    """Whether a learner's test calls a broken lookup right; a lookup that raises under it is found."""
    try:
        return bool(test(lookup))
    except Exception:
        return False


@exercise
def check_is_right(answer):
    """(lookup) -> True for a right soft lookup, False for a broken one."""
    verdict = run(answer, scaled_dot_product_attention)
    is_bool = isinstance(verdict, bool | np.bool_)
    require(is_bool, f"return True or False, not {type(verdict).__name__}.")
    require(verdict, "your test calls a right lookup broken: softmax(q kᵀ / √d) v is right.")
    passed = [name for name, lookup in _BROKEN.items() if _accepts(answer, lookup)]
    require(
        not passed,
        f"your test lets {len(passed)} of {len(_BROKEN)} broken lookups pass; one has {passed[0] if passed else ''}.",
    )
    return f"the right lookup passes, and all {len(_BROKEN)} broken ones are found."
