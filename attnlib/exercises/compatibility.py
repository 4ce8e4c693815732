"""Checks for the exercises of the chapter "Compatibility and softmax"."""

import numpy as np

from attnlib.exercises._answers import as_array, exercise, require, require_shape, run, same, same_values
from attnlib.numpy import masked_softmax


@exercise
def check_pencil(dot_pair, general_pair, ratio):
    """Exercise 1: two dot scores, two general scores, and the ratio of two softmax weights."""
    swapped = "the matrix swaps the features of the query: (2, 1) becomes (1, 2)."
    # what attn.dot_scores returns for one query is [1, 2]
    dot_pair, general_pair = (
        array[0] if array.shape == (1, 2) else array
        for array in (as_array(dot_pair, "the dot scores"), as_array(general_pair, "the general scores"))
    )
    same(dot_pair, [2, 3], "the dot scores", hint="multiply feature by feature and add.")
    require(not same_values(general_pair, [2, 3]), f"the general scores: these are the dot scores again; {swapped}")
    same(general_pair, [1, 6], "the general scores", hint=swapped)
    require_shape(ratio, (), "the ratio", hint="It is one number.")
    require(
        not same_values(ratio, 1.5),
        "the ratio: 3/2 is the ratio of the scores; the softmax takes their exponentials first.",
    )
    require(not same_values(ratio, np.exp(-1), tolerance=0.02), "the ratio: this is w1/w2, turn it round.")
    same(ratio, np.e, "the ratio", hint="it is exp(s2) / exp(s1).", tolerance=0.02)
    return "and softmax turns a difference of scores into a ratio of weights, here e."


@exercise
def check_temperature_softmax(answer):
    """Exercise 2: `temperature_softmax(scores, temperature)`, along the last axis, stable."""
    rng = np.random.default_rng(5)
    scores = rng.normal(size=(2, 3, 4))
    expected = masked_softmax(scores / 2.5)
    got = run(answer, scores, 2.5)
    require_shape(got, scores.shape, "the weights")
    require(
        not same_values(got, masked_softmax(scores * 2.5)),
        "the scores are multiplied by the temperature; they must be divided by it, so that hotter is flatter.",
    )
    require(not same_values(got, masked_softmax(scores)), "the temperature is not used.")
    for axis in (0, 1):
        require(
            not same_values(got, masked_softmax(scores / 2.5, axis=axis)),
            f"the weights sum to one along axis {axis}; they must along the last axis, over the keys.",
        )
    require(
        not same_values(as_array(got).sum(), 1.0),
        "all weights together sum to one; each row must: use axis=-1 and keepdims=True.",
    )
    same(got, expected, "the weights")
    large = np.array([[1000.0, 999.0, 0.0]])
    with np.errstate(all="ignore"):
        got = as_array(run(answer, large, 1.0), "the weights for scores of 1000")
    require(
        np.all(np.isfinite(got)),
        "scores of 1000 overflow: subtract the largest score of each row before the exponential.",
    )
    same(got, masked_softmax(large), "the weights for scores of 1000")
    return "divided, along the keys, and stable for large scores."


@exercise
def check_weight(weight):
    """Exercise 3: the matrix of the general score q0·k1 + q1·k2."""
    expected = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    require_shape(weight, (3, 3), "the matrix")
    require(
        not same_values(weight, expected.T),
        "this matrix gives q1·k0 + q2·k1: it is the transpose. Rows belong to the query, columns to the key.",
    )
    require(not same_values(weight, np.eye(3)), "the identity gives the plain dot product.")
    same(weight, expected, "the matrix", hint="entry [i, j] multiplies q_i · k_j.")
    return "entry [i, j] of the matrix says how much q_i · k_j counts."


@exercise
def check_qk_norm_scores(answer):
    """Exercise 4: `qk_norm_scores(q, k, gain)`, cosines times a gain."""
    rng = np.random.default_rng(7)
    q, k, gain = 3 * rng.normal(size=(2, 3, 5)), rng.normal(size=(2, 4, 5)), 6.0

    def unit(x, axis=-1):
        return x / np.linalg.norm(x, axis=axis, keepdims=True)

    def product(q, k):
        return q @ np.swapaxes(k, -1, -2)

    got = run(answer, q, k, gain)
    require_shape(got, (2, 3, 4), "the scores")
    mistakes = {
        "the vectors are not normalised: divide each by its length first.": gain * product(q, k),
        "the gain is not used.": product(unit(q), unit(k)),
        "the lengths are taken along the wrong axis: a vector lies along the last one.": gain
        * product(unit(q, -2), unit(k, -2)),
        "the lengths are taken over the whole array: use axis=-1 and keepdims=True.": gain
        * product(q / np.linalg.norm(q), k / np.linalg.norm(k)),
        "the keys are not normalised.": gain * product(unit(q), k),
        "the queries are not normalised.": gain * product(q, unit(k)),
        "the gain replaces 1/√d: do not scale a second time.": gain * product(unit(q), unit(k)) / np.sqrt(5),
        "the gain is applied twice: once is enough.": gain**2 * product(unit(q), unit(k)),
    }
    for message, mistake in mistakes.items():
        require(not same_values(got, mistake), message)
    same(got, gain * product(unit(q), unit(k)), "the scores", hint="they are cosines times the gain.")
    return "no score can exceed the gain, whatever the queries and keys."


@exercise
def check_capped_weights(answer):
    """Exercise 5: `capped_weights(scores, mask, cap)`, soft-capped first and masked after."""
    rng = np.random.default_rng(9)
    scores, cap = 8 * rng.normal(size=(3, 5)), 4.0
    mask = np.tri(3, 5, 1, dtype=bool)
    mask[0] = False  # a query that may attend to nothing
    capped = cap * np.tanh(scores / cap)
    with np.errstate(invalid="ignore"):
        got = run(answer, scores, mask, cap)
    require_shape(got, (3, 5), "the weights")
    weights = as_array(got, "the weights")
    hidden = np.where(mask, scores, -np.inf)
    require(
        not same_values(got, masked_softmax(cap * np.tanh(hidden / cap))),
        "masked keys get weight: the cap turned their score of -inf into -cap. Cap first, mask last.",
    )
    require(not same_values(got, masked_softmax(capped)), "the mask is not used.")
    require(not same_values(got, masked_softmax(capped, ~mask)), "the mask is inverted: True = may attend.")
    require(not same_values(got, masked_softmax(scores, mask)), "the scores are not capped.")
    require(
        not same_values(got, masked_softmax(np.clip(scores, -cap, cap), mask)),
        "this clips: beyond the cap the gradient is exactly zero. Use cap · tanh(scores / cap).",
    )
    require(
        not same_values(got, masked_softmax(cap * np.tanh(scores), mask)),
        "divide the scores by the cap inside the tanh, so that small scores stay as they are.",
    )
    require(
        not same_values(got, masked_softmax(np.tanh(scores / cap), mask)),
        "multiply by the cap after the tanh: it must level off at ±cap, not at ±1.",
    )
    unmasked = masked_softmax(capped)
    require(
        not same_values(got, unmasked * mask),
        "too late: the forbidden keys are in the denominator, and the rest does not sum to one. Mask the scores.",
    )
    require(
        not (np.isfinite(weights[0]).all() and np.isclose(weights[0].sum(), 1)),
        "the query that may attend to nothing attends all the same (a large negative number is not −∞): "
        "it must get zeros, as attn.masked_softmax gives.",
    )
    require(
        not np.isnan(weights[0]).any(),
        "a query that may attend to nothing must get zeros, not NaN: attn.masked_softmax does that.",
    )
    same(got, masked_softmax(capped, mask), "the weights")
    return "capped first, masked last: a forbidden key stays at exactly zero."
