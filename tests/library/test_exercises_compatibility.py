"""The checks of "Compatibility and softmax": right answers pass, each typical mistake is named."""

import numpy as np
import pytest

from attnlib.exercises import compatibility as ex
from attnlib.numpy import masked_softmax


def unit(x, axis=-1):
    return x / np.linalg.norm(x, axis=axis, keepdims=True)


def product(q, k):
    return q @ np.swapaxes(k, -1, -2)


def capped(scores, cap):
    return cap * np.tanh(scores / cap)


WEIGHT = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]])

RIGHT = [
    (ex.check_pencil, ([2, 3], [1, 6], 2.718)),
    (ex.check_pencil, (np.array([2.0, 3.0]), (1, 6), np.exp(3) / np.exp(2))),
    (ex.check_pencil, ([[2, 3]], [[1, 6]], np.e)),
    (ex.check_temperature_softmax, (lambda s, t: masked_softmax(s / t),)),
    (ex.check_weight, (WEIGHT,)),
    (ex.check_weight, (WEIGHT.tolist(),)),
    (ex.check_qk_norm_scores, (lambda q, k, gain: gain * product(unit(q), unit(k)),)),
    (ex.check_capped_weights, (lambda s, mask, cap: masked_softmax(capped(s, cap), mask),)),
]


def unstable(scores, temperature):
    e = np.exp(scores / temperature)
    return e / e.sum(axis=-1, keepdims=True)


def over_everything(scores, temperature):
    e = np.exp((scores - scores.max()) / temperature)
    return e / e.sum()


def hand_softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


WRONG = {
    "there is nothing to check": (ex.check_pencil, (..., ..., ...)),
    "the dot scores: found": (ex.check_pencil, ([2, 4], [1, 6], np.e)),
    "these are the dot scores again": (ex.check_pencil, ([2, 3], [2, 3], np.e)),
    "the general scores: found": (ex.check_pencil, ([2, 3], [6, 1], np.e)),
    "the ratio of the scores": (ex.check_pencil, ([2, 3], [1, 6], 1.5)),
    "turn it round": (ex.check_pencil, ([2, 3], [1, 6], 0.368)),
    "It is one number": (ex.check_pencil, ([2, 3], [1, 6], [0.27, 0.73])),
    "returned nothing": (ex.check_temperature_softmax, (lambda s, t: ...,)),
    "multiplied by the temperature": (ex.check_temperature_softmax, (lambda s, t: masked_softmax(s * t),)),
    "temperature is not used": (ex.check_temperature_softmax, (lambda s, t: masked_softmax(s),)),
    "along axis 1": (ex.check_temperature_softmax, (lambda s, t: masked_softmax(s / t, axis=1),)),
    "along axis 0": (ex.check_temperature_softmax, (lambda s, t: masked_softmax(s / t, axis=0),)),
    "all weights together": (ex.check_temperature_softmax, (over_everything,)),
    "overflow": (ex.check_temperature_softmax, (unstable,)),
    "it is the transpose": (ex.check_weight, (WEIGHT.T,)),
    "plain dot product": (ex.check_weight, (np.eye(3),)),
    "the shape is (2, 2)": (ex.check_weight, (np.eye(2),)),
    "entry [i, j] multiplies": (ex.check_weight, (np.ones((3, 3)),)),
    "not normalised: divide": (ex.check_qk_norm_scores, (lambda q, k, gain: gain * product(q, k),)),
    "gain is not used": (ex.check_qk_norm_scores, (lambda q, k, gain: product(unit(q), unit(k)),)),
    "along the wrong axis": (
        ex.check_qk_norm_scores,
        (lambda q, k, gain: gain * product(unit(q, -2), unit(k, -2)),),
    ),
    "over the whole array": (
        ex.check_qk_norm_scores,
        (lambda q, k, gain: gain * product(q / np.linalg.norm(q), k / np.linalg.norm(k)),),
    ),
    "keys are not normalised": (ex.check_qk_norm_scores, (lambda q, k, gain: gain * product(unit(q), k),)),
    "queries are not normalised": (ex.check_qk_norm_scores, (lambda q, k, gain: gain * product(q, unit(k)),)),
    "do not scale a second time": (
        ex.check_qk_norm_scores,
        (lambda q, k, gain: gain * product(unit(q), unit(k)) / np.sqrt(q.shape[-1]),),
    ),
    "gain is applied twice": (
        ex.check_qk_norm_scores,
        (lambda q, k, gain: product(gain * unit(q), gain * unit(k)),),
    ),
    "your code raised ValueError": (ex.check_qk_norm_scores, (lambda q, k, gain: q @ k,)),
    "Cap first, mask last": (
        ex.check_capped_weights,
        (lambda s, mask, cap: masked_softmax(capped(np.where(mask, s, -np.inf), cap)),),
    ),
    "mask is not used": (ex.check_capped_weights, (lambda s, mask, cap: masked_softmax(capped(s, cap)),)),
    "mask is inverted": (
        ex.check_capped_weights,
        (lambda s, mask, cap: masked_softmax(capped(s, cap), ~mask),),
    ),
    "not capped": (ex.check_capped_weights, (lambda s, mask, cap: masked_softmax(s, mask),)),
    "this clips": (
        ex.check_capped_weights,
        (lambda s, mask, cap: masked_softmax(np.clip(s, -cap, cap), mask),),
    ),
    "inside the tanh": (
        ex.check_capped_weights,
        (lambda s, mask, cap: masked_softmax(cap * np.tanh(s), mask),),
    ),
    "after the tanh": (
        ex.check_capped_weights,
        (lambda s, mask, cap: masked_softmax(np.tanh(s / cap), mask),),
    ),
    "too late": (ex.check_capped_weights, (lambda s, mask, cap: masked_softmax(capped(s, cap)) * mask,)),
    "large negative number": (
        ex.check_capped_weights,
        (lambda s, mask, cap: hand_softmax(np.where(mask, capped(s, cap), -1e9)),),
    ),
    "not NaN": (
        ex.check_capped_weights,
        (lambda s, mask, cap: hand_softmax(np.where(mask, capped(s, cap), -np.inf)),),
    ),
}


@pytest.mark.parametrize(("check", "answers"), RIGHT)
def test_a_right_answer_passes(check, answers, capsys):
    assert check(*answers) is True
    assert capsys.readouterr().out.startswith("Correct: ")


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_answer_is_named(message, capsys):
    check, answers = WRONG[message]
    assert check(*answers) is None
    said = capsys.readouterr().out
    assert said.startswith("Not yet: ")
    assert message in said
