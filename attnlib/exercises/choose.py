"""Checks for the exercises of the chapter "Understand the data, then choose"."""

import numpy as np

from attnlib import diagnose
from attnlib.exercises._answers import exercise, require, require_shape, run, same, same_values


@exercise
def check_share(answer):
    """Exercise 1: the share of the `Y` of `ab -> Y` that goes to `b`, after a round of EM with `b -> Y`, `a -> X`."""
    for mistake, message in (
        (1 / 2, "that is how it was shared before the first round, when the table was even."),
        (1.0, "`b` writes nothing but `Y`, but `a` may have written it too: its entry is not zero."),
        (1 / 3, "that is `a`'s entry of the table; divide an entry by the sum of the entries of `a` and `b`."),
        (1 / 4, "that is `a`'s share."),
        (3 / 2, "that is a count; divide by the counts of the row first, and a share is at most 1."),
    ):
        require(not same_values(answer, mistake), message)
    hint = "counts of b: Y 1/2 + 1; of a: Y 1/2 and X 1; so the table says b -> Y 1, a -> Y 1/3; now share out again."
    same(answer, 3 / 4, "the share", hint=hint)
    return "1 / (1 + 1/3): what else `a` is good for lowers its claim."


def _places(seed, n=5, steps=4, keys=6):
    """Weights `[n, steps, keys + 1]` whose rows sum to one, but for a step that is padding."""
    weights = np.random.default_rng(seed).dirichlet(np.full(keys + 1, 0.5), size=(n, steps))
    weights[-1, -1] = 0
    return weights


@exercise
def check_in_window(answer):
    """Exercise 2: `in_window(weights, D)`, the share of the weight at most D places from the number of the step."""
    weights = _places(0)
    got, right = run(answer, weights, 1), diagnose.in_window(weights, 1)
    require_shape(got, (), "the share", hint="one number for all pairs and steps.")
    near = np.abs(np.arange(6) - np.arange(4)[:, None]) <= 1
    with_none = np.abs(np.arange(7) - np.arange(4)[:, None]) <= 1
    strict = np.abs(np.arange(6) - np.arange(4)[:, None]) < 1
    real = weights[..., 1:]
    for mistake, message in (
        (weights[:, with_none].sum() / weights.sum(), "column 0 is no place at all: place s is column s + 1."),
        (real[:, near].sum() / weights.sum(), "what comes from no place is not to count below the line either."),
        (real[:, near].mean(), "divide by the weight there is, not by the number of entries."),
        (real[:, strict].sum() / real.sum(), "a place that is D away is in the window."),
        (real[:, near].sum() / real[..., 0].size, "steps that are padding have no weight: divide by the weight."),
    ):
        require(not same_values(got, mistake), message)
    same(got, right, "the share", hint="the weight with |s - t| <= D, divided by all weight on places.")
    same(
        run(answer, weights, 2), diagnose.in_window(weights, 2), "the share with D = 2", hint="use the D that is given."
    )
    return "how much of what it needs local-m could see."


@exercise
def check_back(answer):
    """Exercise 3: `goes_back(places)`, the share of pairs of steps whose later one has the earlier place."""
    cases = {
        "in order": [0, 1, 3, 4],
        "the other way": [4, 3, 1],
        "one block back": [6, 7, 8, 9, 0, 1],
        "equal": [2, 2, 2],
    }
    got = {name: run(answer, np.array(places)) for name, places in cases.items()}
    for share in got.values():
        require_shape(share, (), "the share", hint="one number for all pairs of steps.")
    neighbours = np.mean(np.diff(cases["one block back"]) < 0)
    message = "compare all pairs of steps, not only neighbours: a block that is moved shows in one pair of neighbours."
    require(not same_values(got["one block back"], neighbours), message)
    require(not same_values(got["equal"], 1), "to stay at a place is not to go back.")
    require(
        not same_values(got["in order"], 1) or not same_values(got["the other way"], 0), "this is what goes forwards."
    )
    whole = 8 / 36
    require(
        not same_values(got["one block back"], whole), "count each pair of two different steps once: 15 pairs for 6."
    )
    right = {"in order": 0, "the other way": 1, "one block back": 8 / 15, "equal": 0}
    for name, expected in right.items():
        same(got[name], expected, f"the share for {cases[name]}", hint="of all t < u, how often places[u] < places[t].")
    return "two blocks that change places go back in most pairs, though only one neighbour does."


@exercise
def check_interval(answer):
    """Exercise 4: `paired(a, b)`, the mean of the differences a - b and half the width of its 95 % interval."""
    a = np.array([0.31, 0.22, 0.41, 0.27, 0.35])
    b = np.array([0.28, 0.20, 0.37, 0.26, 0.30])
    got = run(answer, a, b)
    got = list(got) if isinstance(got, np.ndarray) and got.ndim else got
    pair = isinstance(got, tuple | list) and len(got) == 2
    require(pair, "return two numbers, `mean, half`.")
    for number, name in zip(got, ("the mean", "half the width"), strict=True):
        require_shape(number, (), name, hint="one number for all seeds.")
    d = a - b
    t = 2.7764451
    mean, half = (float(np.asarray(one)) for one in got)
    require(not same_values(mean, -d.mean()), "the difference is a - b, in this order.")
    same(mean, d.mean(), "the mean", hint="the mean of a - b.")
    error = d.std(ddof=1) / np.sqrt(5)
    for mistake, message in (
        (t * np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 5), "this treats the runs as unpaired: take differences first."),
        (t * d.std(ddof=1), "this is about one more seed; for the mean divide by the root of how many there are."),
        (t * d.std() / np.sqrt(5), "divide by n - 1 in the variance, `ddof=1`: the mean was taken from the same five."),
        (1.96 * error, "1.96 is for many seeds; with five, Student's t with 4 degrees of freedom says 2.78."),
        (2.5705818 * error, "five seeds leave 4 degrees of freedom: one is spent on the mean."),
        (2.1318468 * error, "0.975, not 0.95: the interval has two sides."),
        (error, "this is the standard error: multiply it by Student's t."),
    ):
        require(abs(half - mistake) > 2e-5, message)
    same(half, t * error, "half the width", hint="t * d.std(ddof=1) / sqrt(n).", tolerance=2e-5)
    longer = np.r_[a, 0.3, 0.25], np.r_[b, 0.29, 0.22]
    d = longer[0] - longer[1]
    expected = 2.4469119 * d.std(ddof=1) / np.sqrt(7)
    hint = "the degrees of freedom are n - 1, and n is the root's too."
    same(run(answer, *longer)[1], expected, "half the width for seven seeds", hint=hint, tolerance=2e-5)
    return "what a seed does to both is taken out before the spread is measured."
