"""The exercises of "The transformer, encoder and decoder": right answers pass, typical mistakes are named."""

import math

import pytest
import torch

from attnlib.exercises import transformer as ex

FRAMEWORK = "torch"
ENCODER, DECODER = 3_152_384, 4_204_032
ATTENTION = 4 * 512**2 + 4 * 512


def causal(n):
    return torch.ones(n, n, dtype=torch.bool).tril()


def real(lengths, n):
    return (torch.arange(n) < lengths[:, None])[:, None]


def target_mask(lengths, n):
    return causal(n) & real(lengths, n)


def leaks(logits_of, previous):
    before = logits_of(previous)
    for row in range(len(previous)):
        for place in range(previous.shape[1]):
            changed = previous.clone()
            changed[row, place] += 1
            differs = (logits_of(changed) != before).any(dim=-1)
            differs[row, place:] = False
            if differs.any():
                return True
    return False


def only_the_last(logits_of, previous):
    changed = previous.clone()
    changed[:, -1] += 1
    return not torch.equal(logits_of(changed)[:, :-1], logits_of(previous)[:, :-1])


def all_rows_at_once(logits_of, previous):
    for place in range(previous.shape[1]):
        changed = previous.clone()
        changed[:, place] += 1
        if not torch.equal(logits_of(changed)[:, :place], logits_of(previous)[:, :place]):
            return True
    return False


def any_change(logits_of, previous):
    return not torch.equal(logits_of(previous + 1), logits_of(previous))


def rate(step, d_model, warm_up):
    return d_model**-0.5 * min(step**-0.5, step * warm_up**-1.5)


def best(hypotheses, alpha, score=lambda p, n, alpha: p / ((5 + n) / 6) ** alpha, choose=max):
    return choose(range(len(hypotheses)), key=lambda i: score(*hypotheses[i], alpha))


ANSWERS = [
    (ex.check_sizes, (ENCODER, DECODER)),
    (ex.check_target_mask, (target_mask,)),
    (ex.check_target_mask, (lambda lengths, n: (causal(n) & real(lengths, n)).numpy(),)),
    (ex.check_leaks, (leaks,)),
    (ex.check_rate, (rate,)),
    (ex.check_rate, (lambda s, d, w: 1 / math.sqrt(d) * (s / w**1.5 if s < w else 1 / math.sqrt(s)),)),
    (ex.check_best, (best,)),
    (ex.check_best, (lambda h, a: torch.tensor([p / ((5 + n) / 6) ** a for p, n in h]).argmax(),)),
]

MISTAKES = [
    (ex.check_sizes, (4 * 512**2 + 2 * 512 * 2048, DECODER), "biases and the norms"),
    (ex.check_sizes, (ENCODER - 2048, DECODER), "two layer norms are missing"),
    (ex.check_sizes, (ENCODER - 1024, DECODER), "a scale and a shift"),
    (ex.check_sizes, (ENCODER + 7 * ATTENTION, DECODER), "share the width"),
    (ex.check_sizes, (1, DECODER), "attention, feed-forward layer"),
    (ex.check_sizes, (ENCODER, ENCODER), "has a second attention"),
    (ex.check_sizes, (ENCODER, ENCODER + ATTENTION), "norm of its own"),
    (ex.check_sizes, (ENCODER, 2 * ENCODER), "one feed-forward layer"),
    (ex.check_sizes, (ENCODER, 1), "one more attention, one more norm"),
    (ex.check_target_mask, (lambda lengths, n: ~target_mask(lengths, n),), "other way round"),
    (ex.check_target_mask, (lambda lengths, n: causal(n).expand(3, n, n),), "padding can be seen"),
    (ex.check_target_mask, (lambda lengths, n: real(lengths, n).expand(3, n, n),), "future can be seen"),
    (ex.check_target_mask, (lambda lengths, n: causal(n) | real(lengths, n),), "both must allow it"),
    (ex.check_target_mask, (lambda lengths, n: causal(n).T & real(lengths, n),), "rows are queries"),
    (ex.check_target_mask, (lambda lengths, n: causal(n).tril(-1) & real(lengths, n),), "its own place"),
    (ex.check_target_mask, (lambda lengths, n: causal(n) & real(lengths, n).mT,), "whole rows are empty"),
    (ex.check_target_mask, (lambda lengths, n: (~target_mask(lengths, n)) * -1e9,), "not numbers to be added"),
    (ex.check_target_mask, (lambda lengths, n: torch.ones(3, n, n, dtype=torch.bool),), "padding mask"),
    (ex.check_target_mask, (lambda lengths, n: causal(n),), "the shape is (4, 4)"),
    (ex.check_leaks, (lambda f, x: not leaks(f, x),), "wrong way round"),
    (ex.check_leaks, (lambda f, x: False,), "reads the next number is not caught"),
    (ex.check_leaks, (only_the_last,), "read by the others is not caught"),
    (ex.check_leaks, (all_rows_at_once,), "read by the others is not caught"),
    (ex.check_leaks, (any_change,), "what came before is accused"),
    (ex.check_leaks, (lambda f, x: torch.ones(2),), "return True or False"),
    (ex.check_rate, (lambda s, d, w: d**-0.5 * max(s**-0.5, s * w**-1.5),), "the smaller"),
    (ex.check_rate, (lambda s, d, w: d**0.5 * rate(s, d, w),), "factor d_model"),
    (ex.check_rate, (lambda s, d, w: d**-0.5 * s**-0.5,), "where is the warm-up"),
    (ex.check_rate, (lambda s, d, w: d**-0.5 * s * w**-1.5,), "where is the fall"),
    (ex.check_rate, (lambda s, d, w: d**-0.5 * min(s**-0.5, s / w),), "must meet where"),
    (ex.check_rate, (lambda s, d, w: 512**-0.5 * min(s**-0.5, s * 4000**-1.5),), "use the arguments"),
    (ex.check_rate, (lambda s, d, w: 1.0,), "eq. 3"),
    (ex.check_best, (lambda h, a: best(h, a, choose=min),), "the *worst*"),
    (ex.check_best, (lambda h, a: best(h, 0),), "alpha changes nothing"),
    (ex.check_best, (lambda h, a: best(h, a, lambda p, n, a: p * ((5 + n) / 6) ** a),), "do not multiply"),
    (ex.check_best, (lambda h, a: best(h, a, lambda p, n, a: p / n**a),), "by the length itself"),
    (ex.check_best, (lambda h, a: best(h, a, lambda p, n, a: math.exp(p) / ((5 + n) / 6) ** a),), "the logarithms"),
    (ex.check_best, (lambda h, a: best(h, a, lambda p, n, a: p / ((5 + n) / 6**a)),), "of the whole fraction"),
    (ex.check_best, (lambda h, a: best(h, a, lambda p, n, a: p / ((4 + n) / 6) ** a),), "for alpha = 1 is 0"),
    (ex.check_best, (lambda h, a: best(h, a, lambda p, n, a: p / ((6 + n) / 6) ** a),), "for alpha = 1 is 1"),
    (ex.check_best, (lambda h, a: h[best(h, a)],), "a place in the list"),
    (ex.check_best, (lambda h, a: 1 + best(h, a),), "a place in the list"),
    (ex.check_best, (lambda h, a: 2,), "the best are [3, 1, 0, 0], not [2, 2, 2, 2]"),
]


@pytest.mark.parametrize("check, answers", ANSWERS)
def test_right_answers_pass(check, answers, capsys):
    assert check(*answers) is True
    assert capsys.readouterr().out.startswith("Correct: ")


@pytest.mark.parametrize("check, answers, says", MISTAKES)
def test_mistakes_are_named(check, answers, says, capsys):
    assert check(*answers) is None
    printed = capsys.readouterr().out
    assert printed.startswith("Not yet: ") and says in printed


@pytest.mark.parametrize("check", dict.fromkeys(check for check, _ in ANSWERS))
def test_stubs_are_told_to_write_something(check, capsys):
    stubs = (...,) * (2 if check is ex.check_sizes else 1)
    assert check(*stubs) is None
    assert "replace the `...`" in capsys.readouterr().out
