"""The exercises of "Reading attention": right answers pass, typical mistakes are named."""

import numpy as np
import pytest
import torch

from attnlib.exercises import reading as ex

FRAMEWORK = "torch"


def other_weights(weights, values, share=1.0, longest=max):
    kept = np.vstack([values.T, np.ones(len(weights))])
    direction = np.linalg.svd(kept)[2][-1]
    steps = [-w / d for w, d in zip(weights, direction, strict=True) if abs(d) > 1e-12]
    ends = [max(s for s in steps if s <= 0), min(s for s in steps if s >= 0)]
    return weights + share * longest(ends, key=abs) * direction


def only_the_output(weights, values):
    direction = np.linalg.svd(values.T)[2][-1]
    return weights + 0.1 * direction


def only_the_sum(weights, values):
    return np.roll(weights, 1)


def integrated(f, x, baseline, points, *, mean=True, times=None, start=None):
    start = baseline if start is None else start
    total = 0
    for k in range(points):
        at = (start + (k + 0.5) / points * (x - start)).detach().requires_grad_()
        total = total + torch.autograd.grad(f(at).sum(), at)[0]
    total = total / points if mean else total
    return total * (x - start) if times is None else total * times(x)


def left_ends(f, x, baseline, points):
    total = 0
    for k in range(points):
        at = (baseline + k / points * (x - baseline)).detach().requires_grad_()
        total = total + torch.autograd.grad(f(at).sum(), at)[0] / points
    return total * (x - baseline)


def by_x(f, x, baseline, points):
    x, total = x.requires_grad_(), 0
    for k in range(points):
        t = (k + 0.5) / points
        total = total + torch.autograd.grad(f(baseline + t * (x - baseline)).sum(), x)[0] / points
    return (total * (x - baseline)).detach()


def at_x(f, x, baseline, points, *, by_x=False):
    x = x.detach().requires_grad_()
    return torch.autograd.grad(f(x).sum(), x)[0] * (x if by_x else x - baseline)


def leave_one_out(model, words, blank):
    columns = []
    for i in range(words.shape[1]):
        without = words.clone()
        without[:, i] = blank
        columns.append(model(words) - model(without))
    return torch.stack(columns, dim=1)


def never_put_back(model, words, blank):
    all_words, columns = model(words), []
    for i in range(words.shape[1]):
        words[:, i] = blank
        columns.append(all_words - model(words))
    return torch.stack(columns, dim=1)


def in_the_same_words(model, words, blank):
    columns = []
    for i in range(words.shape[1]):
        without = words
        without[:, i] = blank
        columns.append(model(words) - model(without))
    return torch.stack(columns, dim=1)


def for_its_side(model, words, blank):
    return leave_one_out(model, words, blank) * model(words).sign()[:, None]


def cut_out(model, words, blank):
    pieces = (torch.cat([words[:, :i], words[:, i + 1 :]], dim=1) for i in range(words.shape[1]))
    return torch.stack([model(words) - model(piece) for piece in pieces], dim=1)


ANSWERS = [
    (ex.check_contributions, (0.0, 2)),
    (ex.check_other_weights, (other_weights,)),
    (ex.check_other_weights, (lambda w, v: other_weights(w, v, longest=min),)),
    (ex.check_integrated_gradients, (integrated,)),
    (ex.check_integrated_gradients, (left_ends,)),
    (ex.check_leave_one_out, (leave_one_out,)),
]

MISTAKES = [
    (ex.check_contributions, (-0.8, 2), "each counts by its weight"),
    (ex.check_contributions, (0.8, 2), "last value is negative"),
    (ex.check_contributions, (0.1, 2), "0.1, 0.3 and -0.4"),
    (ex.check_contributions, (0.0, 0), "largest weight"),
    (ex.check_contributions, (0.0, 1), "compare sizes"),
    (ex.check_contributions, (0.0, 3), "count from 0"),
    (ex.check_contributions, (0.0, 5), "an index"),
    (ex.check_other_weights, (lambda weights, values: weights,), "that came in"),
    (ex.check_other_weights, (only_the_output,), "a row of ones"),
    (ex.check_other_weights, (only_the_sum,), "maps to 0"),
    (ex.check_other_weights, (lambda w, v: other_weights(w, v, 3.0),), "take a shorter step"),
    (ex.check_other_weights, (lambda w, v: other_weights(w, v, 0.01),), "none is 0 yet"),
    (ex.check_other_weights, (lambda w, v: other_weights(w, v, 0.5),), "14.3% of the weight has moved"),
    (ex.check_other_weights, (lambda w, v: other_weights(w, v)[:-1],), "one for each word"),
    (ex.check_other_weights, (lambda weights: weights,), "your code raised TypeError"),
    (ex.check_integrated_gradients, (lambda *a: integrated(*a, times=torch.ones_like),), "the way that was gone"),
    (ex.check_integrated_gradients, (lambda *a: integrated(*a, times=lambda x: x),), "not by `x`"),
    (ex.check_integrated_gradients, (lambda *a: integrated(*a, mean=False),), "not a sum"),
    (ex.check_integrated_gradients, (by_x,), "a factor t"),
    (ex.check_integrated_gradients, (at_x,), "gradient at x alone"),
    (ex.check_integrated_gradients, (lambda *a: at_x(*a, by_x=True),), "input times gradient"),
    (ex.check_integrated_gradients, (lambda f, x, b, n: integrated(f, x, b, n, start=0 * x),), "need not be 0"),
    (ex.check_integrated_gradients, (lambda *a: -integrated(*a),), "signs are reversed"),
    (ex.check_integrated_gradients, (lambda *a: 0.5 * integrated(*a),), "do they add up"),
    (ex.check_integrated_gradients, (lambda *a: integrated(*a).sum(1),), "one number for each input"),
    (ex.check_leave_one_out, (lambda *a: -leave_one_out(*a),), "above 0"),
    (ex.check_leave_one_out, (never_put_back,), "put each word back"),
    (ex.check_leave_one_out, (lambda model, words, blank: leave_one_out(model, words, 0),), "not 0"),
    (ex.check_leave_one_out, (in_the_same_words,), "every drop is 0"),
    (ex.check_leave_one_out, (for_its_side,), "whichever side"),
    (ex.check_leave_one_out, (cut_out,), "must stay where they are"),
    (ex.check_leave_one_out, (lambda m, w, b: m(w)[:, None] - leave_one_out(m, w, b),), "score without the word"),
    (ex.check_leave_one_out, (lambda *a: leave_one_out(*a).abs(),), "keep the sign"),
    (ex.check_leave_one_out, (lambda *a: 2 * leave_one_out(*a),), "without word i"),
    (ex.check_leave_one_out, (lambda *a: leave_one_out(*a).T,), "one number for each word"),
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
    stubs = (...,) * (2 if check is ex.check_contributions else 1)
    assert check(*stubs) is None
    assert "replace the `...`" in capsys.readouterr().out
