"""Checks for the exercises of the chapter "Global and local attention"."""

import numpy as np

from attnlib.exercises._answers import exercise, require, require_shape, run, same, same_values
from attnlib.numpy import local_gaussian, local_window_mask, masked_softmax


@exercise
def check_window(first_key, last_key, bell_at_last):
    """Exercise 1: the window of p = 4.5 with D = 3, and the Gaussian at its last key."""
    require(not same_values(first_key, 1.5), "the first key: keys stand at whole numbers, 1.5 is the window's edge.")
    require(not same_values(first_key, 1), "the first key: key 1 is 3.5 away from 4.5, farther than D.")
    same(first_key, 2, "the first key", hint="the smallest whole s with |s - 4.5| ≤ 3.")
    require(not same_values(last_key, 8), "the last key: key 8 is 3.5 away from 4.5, farther than D.")
    same(last_key, 7, "the last key", hint="the largest whole s with |s - 4.5| ≤ 3.")
    for wrong, message in (
        (np.exp(-(2.5**2) / (2 * 3**2)), "the deviation is σ = D / 2, not D."),
        (np.exp(-(2.5**2) / (2 * 1.5)), "the Gaussian divides by 2σ², the square of the deviation."),
        (np.exp(-(2.5**2) / 1.5**2), "the Gaussian divides by 2σ²: the 2 is missing."),
        (np.exp(-(2.5**2) / (2 * 1.5**2)) / (1.5 * np.sqrt(2 * np.pi)), "the bell is 1 at its top: no 1 / (σ √(2π))."),
    ):
        require(not same_values(bell_at_last, wrong, tolerance=2e-3), f"the bell: {message}")
    same(bell_at_last, np.exp(-(2.5**2) / 4.5), "the bell", hint="exp(-(s - p)² / (2σ²)), σ = D / 2.", tolerance=2e-3)
    return "keys 2 to 7, and at the last of them a quarter of the weight is left."


@exercise
def check_local_weights(answer):
    """Exercise 2: `local_weights(scores, p, D)`, one query's weights by eqs. 7 and 10."""
    rng = np.random.default_rng(0)
    for scores, p, D in (
        (rng.normal(size=9), 3.3, 2),
        (3 + rng.normal(size=6), 0.4, 3),
        (rng.normal(size=5), 2.0, 7),
        (rng.normal(size=8), 4.0, 2),  # two keys stand on the window's edges
    ):
        at = np.array([p])
        window = local_window_mask(at, len(scores), half_width=D)[0]
        bell = local_gaussian(at, len(scores), half_width=D)[0]
        inner = np.abs(np.arange(len(scores)) - p) < D
        align, everywhere = masked_softmax(scores, window), masked_softmax(scores)
        expected = align * bell
        got = run(answer, scores, p, D)
        require_shape(got, scores.shape, "the weights", hint="One weight a key, zero outside the window.")
        mistakes = {
            "a key at distance D is still in the window: use ≤.": masked_softmax(scores, inner) * bell,
            "the Gaussian is missing: this is local-m around p.": align,
            "the window is missing: a softmax over all keys, then the Gaussian.": everywhere * bell,
            "the window comes after the softmax: keys outside still count in its sum.": everywhere * window * bell,
            "these sum to one: the paper does not normalise again after the Gaussian.": expected / expected.sum(),
            "the Gaussian divides by 2σ²: the 2 is missing.": align * bell**2,
            "the deviation is σ = D / 2, not D.": align * local_gaussian(at, len(scores), half_width=2 * D)[0],
            "the Gaussian is multiplied with the weights, after the softmax, not with the scores.": masked_softmax(
                scores * bell, window
            ),
            "the scores of the window are not exponentiated and normalised: where is the softmax?": window * bell,
        }
        for message, mistake in mistakes.items():
            require(not same_values(got, mistake) or same_values(mistake, expected), message)
        same(got, expected, "the weights", hint="softmax over the window's keys, times the Gaussian.")
    return "softmax inside the window, times a bell; the sum may be less than one."


@exercise
def check_coverage(answer):
    """Exercise 3: `coverage(places, positions, D)`, the share of the true places that the window reaches."""
    for places, positions, D in (
        (np.array([3, -1, 4, 5, 6, 5, 0, 1, 8, 9, 2, -1]), np.arange(12), 2),
        (np.array([0, 1, 2, 3, 4]), np.array([0.5, 2.5, 2.0, 1.5, 4.0]), 1),
        (np.array([-1, -1, 6]), np.array([0.0, 1.0, 2.5]), 3),
    ):
        known = places >= 0
        inside = np.abs(places - positions) <= D
        got = run(answer, places, positions, D)
        require_shape(got, (), "the coverage", hint="One number for all steps together.")
        expected = inside[known].mean()
        mistakes = {
            "this is the share that the window misses.": 1 - expected,
            "steps without a place (-1) count as missed: leave them out.": (inside & known).mean(),
            "steps without a place are counted with the place -1: leave them out.": inside.mean(),
            "a key at distance D is still in the window: use ≤.": (np.abs(places - positions) < D)[known].mean(),
            "this is a count: divide by the number of steps that have a place.": inside[known].sum(),
            "distances count on both sides: take the absolute value.": (places - positions <= D)[known].mean(),
        }
        for message, mistake in mistakes.items():
            require(not same_values(got, mistake) or same_values(mistake, expected), message)
        same(got, expected, "the coverage", hint="the mean of |place - position| ≤ D over the steps that have a place.")
    return "one number, before any training, says whether a window can work."


@exercise
def check_position_gradient(answer):
    """Exercise 4: `position_gradient(align, grad_weights, positions, D)`, dL/dp for eq. 10."""
    rng = np.random.default_rng(2)
    q_len, k_len, D = 3, 7, 4
    positions = np.array([1.3, 3.0, 5.6])
    window = local_window_mask(positions, k_len, half_width=D)
    align = masked_softmax(rng.normal(size=(q_len, k_len)), window)
    grad_weights = rng.normal(size=(q_len, k_len))
    bell = local_gaussian(positions, k_len, half_width=D)
    distance = np.arange(k_len) - positions[:, None]
    inner = grad_weights * align * bell * distance
    expected = inner.sum(axis=-1) / (D / 2) ** 2
    got = run(answer, align, grad_weights, positions, D)
    require_shape(got, (q_len,), "the gradient", hint="One number a query: add up over the keys.")
    mistakes = {
        "the sign is wrong: d/dp of -(s - p)² is +2 (s - p).": -expected,
        "σ = D / 2: this divides by D².": inner.sum(axis=-1) / D**2,
        "the bell's derivative has the factor 1 / σ², not 1 / (2σ²): the square gives a 2.": expected / 2,
        "the factor 1 / σ² is missing.": inner.sum(axis=-1),
        "the derivative of the bell has the bell itself as a factor.": (grad_weights * align * distance).sum(-1)
        / (D / 2) ** 2,
        "the weights are align times bell: the factor align is missing.": (grad_weights * bell * distance).sum(-1)
        / (D / 2) ** 2,
        "the gradient of the weights must be multiplied in.": (align * bell * distance).sum(-1) / (D / 2) ** 2,
    }
    for message, mistake in mistakes.items():
        require(not same_values(got, mistake), message)
    same(got, expected, "the gradient", hint="Σ_s dL/da(s) · align(s) · bell(s) · (s - p) / σ².")
    return "keys to the right of p with a positive gradient pull it to the right."


@exercise
def check_spread_positions(answer):
    """Exercise 5: `spread_positions(q_len, k_len)`, local-m for texts of different lengths."""
    for q_len, k_len in ((5, 9), (9, 5), (4, 4), (1, 6)):
        got = run(answer, q_len, k_len)
        require_shape(got, (q_len,), f"the positions for {q_len} queries and {k_len} keys", hint="One a query.")
        require(np.all(np.isfinite(got)), "a division by zero: one query alone stands at key 0.")
        steps = np.arange(q_len)
        expected = steps * (k_len - 1) / max(q_len - 1, 1)
        mistakes = {
            "this is local-m, p = t: it does not depend on the lengths.": steps,
            "the last query stands at k_len, beyond the last key, which is k_len - 1.": steps
            * k_len
            / max(q_len - 1, 1),
            "the last query must stand at the last key: divide by q_len - 1.": steps * k_len / q_len,
            "the last query does not reach the last key: divide by q_len - 1.": steps * (k_len - 1) / q_len,
            "lengths are exchanged: positions are counted along the keys.": steps * (q_len - 1) / max(k_len - 1, 1),
            "positions need not be whole numbers: do not round.": np.round(expected),
            "positions need not be whole numbers: do not cut them off.": np.floor(expected),
        }
        for message, mistake in mistakes.items():
            wrong = same_values(got, mistake) and not same_values(mistake, expected)
            require(not wrong, f"{q_len} queries, {k_len} keys: {message}")
        same(got, expected, f"the positions for {q_len} queries and {k_len} keys", hint="0 to k_len - 1, evenly.")
    return "the diagonal of a rectangle. It needs the length of the answer, which a decoder does not know beforehand."
