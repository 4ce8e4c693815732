"""The checks of "Global and local attention": right answers pass, each typical mistake is named."""

import numpy as np
import pytest

from attnlib.exercises import global_and_local as ex
from attnlib.numpy import masked_softmax


def bell(p, k_len, deviation):
    return np.exp(-((np.arange(k_len) - p) ** 2) / (2 * deviation**2))


def local_weights(scores, p, D, *, window=True, late=False, gaussian=True, deviation=None, again=False):
    inside = np.abs(np.arange(len(scores)) - p) <= D
    weights = masked_softmax(scores, inside if window and not late else None)
    weights = weights * inside if late else weights
    if gaussian:
        weights = weights * bell(p, len(scores), deviation or D / 2)
    return weights / weights.sum() if again else weights


def scaled_scores(scores, p, D):
    inside = np.abs(np.arange(len(scores)) - p) <= D
    return masked_softmax(scores * bell(p, len(scores), D / 2), inside)


def no_softmax(scores, p, D):
    return bell(p, len(scores), D / 2) * (np.abs(np.arange(len(scores)) - p) <= D)


def coverage(places, positions, D):
    known = places >= 0
    return (np.abs(places - positions) <= D)[known].mean()


def position_gradient(align, grad, positions, D, *, sign=1, variance=None, peak=True, weights=True, loss=True):
    distance = np.arange(align.shape[1]) - positions[:, None]
    inner = distance * (np.exp(-(distance**2) / (2 * (D / 2) ** 2)) if peak else 1)
    inner = inner * (align if weights else 1) * (grad if loss else 1)
    return sign * inner.sum(axis=-1) / ((D / 2) ** 2 if variance is None else variance)


def spread(q_len, k_len):
    return np.linspace(0, k_len - 1, q_len)


LAST = np.exp(-(2.5**2) / 4.5)

RIGHT = [
    (ex.check_window, (2, 7, 0.25)),
    (ex.check_window, (2, 7, LAST)),
    (ex.check_local_weights, (local_weights,)),
    (ex.check_coverage, (coverage,)),
    (ex.check_position_gradient, (position_gradient,)),
    (ex.check_spread_positions, (spread,)),
]

WRONG = [
    ("there is nothing to check", ex.check_window, (..., ..., ...)),
    ("whole numbers", ex.check_window, (1.5, 7, LAST)),
    ("key 1 is 3.5 away", ex.check_window, (1, 7, LAST)),
    ("the smallest whole s", ex.check_window, (3, 7, LAST)),
    ("key 8 is 3.5 away", ex.check_window, (2, 8, LAST)),
    ("the largest whole s", ex.check_window, (2, 6, LAST)),
    ("σ = D / 2, not D", ex.check_window, (2, 7, np.exp(-(2.5**2) / 18))),
    ("the square of the deviation", ex.check_window, (2, 7, np.exp(-(2.5**2) / 3))),
    ("the 2 is missing", ex.check_window, (2, 7, np.exp(-(2.5**2) / 2.25))),
    ("1 at its top", ex.check_window, (2, 7, LAST / (1.5 * np.sqrt(2 * np.pi)))),
    ("exp(-(s - p)²", ex.check_window, (2, 7, 0.5)),
    ("returned nothing", ex.check_local_weights, (lambda scores, p, D: ...,)),
    ("use ≤", ex.check_local_weights, (lambda s, p, D: local_weights(s, p, D - 1e-9, deviation=D / 2),)),
    ("the 2 is missing", ex.check_local_weights, (lambda s, p, D: local_weights(s, p, D, deviation=D / 8**0.5),)),
    ("the Gaussian is missing", ex.check_local_weights, (lambda *a: local_weights(*a, gaussian=False),)),
    ("the window is missing", ex.check_local_weights, (lambda *a: local_weights(*a, window=False),)),
    ("comes after the softmax", ex.check_local_weights, (lambda *a: local_weights(*a, late=True),)),
    ("does not normalise again", ex.check_local_weights, (lambda *a: local_weights(*a, again=True),)),
    ("σ = D / 2, not D", ex.check_local_weights, (lambda s, p, D: local_weights(s, p, D, deviation=D),)),
    ("not with the scores", ex.check_local_weights, (scaled_scores,)),
    ("where is the softmax", ex.check_local_weights, (no_softmax,)),
    ("One weight a key", ex.check_local_weights, (lambda s, p, D: s[:2],)),
    ("over the window's keys", ex.check_local_weights, (lambda *a: 2 * local_weights(*a),)),
    ("the window misses", ex.check_coverage, (lambda *a: 1 - coverage(*a),)),
    (
        "count as missed",
        ex.check_coverage,
        (lambda places, at, D: ((np.abs(places - at) <= D) & (places >= 0)).mean(),),
    ),
    ("with the place -1", ex.check_coverage, (lambda places, at, D: (np.abs(places - at) <= D).mean(),)),
    ("use ≤", ex.check_coverage, (lambda places, at, D: coverage(places, at, D - 1e-9),)),
    ("this is a count", ex.check_coverage, (lambda places, at, D: coverage(places, at, D) * (places >= 0).sum(),)),
    ("absolute value", ex.check_coverage, (lambda places, at, D: (places - at <= D)[places >= 0].mean(),)),
    ("One number", ex.check_coverage, (lambda places, at, D: np.abs(places - at) <= D,)),
    ("the mean of", ex.check_coverage, (lambda *a: 0.123,)),
    ("the sign is wrong", ex.check_position_gradient, (lambda *a: position_gradient(*a, sign=-1),)),
    ("divides by D²", ex.check_position_gradient, (lambda *a: position_gradient(*a, variance=a[3] ** 2),)),
    ("not 1 / (2σ²)", ex.check_position_gradient, (lambda *a: position_gradient(*a) / 2,)),
    ("1 / σ² is missing", ex.check_position_gradient, (lambda *a: position_gradient(*a, variance=1),)),
    ("the bell itself", ex.check_position_gradient, (lambda *a: position_gradient(*a, peak=False),)),
    ("factor align is missing", ex.check_position_gradient, (lambda *a: position_gradient(*a, weights=False),)),
    ("must be multiplied in", ex.check_position_gradient, (lambda *a: position_gradient(*a, loss=False),)),
    ("add up over the keys", ex.check_position_gradient, (lambda align, *a: align,)),
    ("Σ_s dL/da(s)", ex.check_position_gradient, (lambda *a: 3 * position_gradient(*a),)),
    ("this is local-m", ex.check_spread_positions, (lambda n, m: np.arange(n),)),
    ("beyond the last key", ex.check_spread_positions, (lambda n, m: np.arange(n) * m / max(n - 1, 1),)),
    ("must stand at the last key", ex.check_spread_positions, (lambda n, m: np.arange(n) * m / n,)),
    ("does not reach", ex.check_spread_positions, (lambda n, m: np.arange(n) * (m - 1) / n,)),
    ("exchanged", ex.check_spread_positions, (lambda n, m: np.arange(n) * (n - 1) / (m - 1),)),
    ("do not round", ex.check_spread_positions, (lambda n, m: np.round(spread(n, m)),)),
    ("do not cut them off", ex.check_spread_positions, (lambda n, m: np.floor(spread(n, m)),)),
    ("division by zero", ex.check_spread_positions, (lambda n, m: spread(n, m) if n > 1 else np.array([np.nan]),)),
    ("One a query", ex.check_spread_positions, (lambda n, m: spread(m, n),)),
    ("evenly", ex.check_spread_positions, (lambda n, m: spread(n, m) ** 2,)),
]


@pytest.mark.parametrize(("check", "answers"), RIGHT)
def test_a_right_answer_passes(check, answers, capsys):
    assert check(*answers) is True
    assert capsys.readouterr().out.startswith("Correct: ")


@pytest.mark.parametrize(("message", "check", "answers"), WRONG)
def test_a_wrong_answer_is_named(message, check, answers, capsys):
    assert check(*answers) is None
    said = capsys.readouterr().out
    assert said.startswith("Not yet: ")
    assert message in said
