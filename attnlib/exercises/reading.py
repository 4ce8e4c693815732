"""Checks for the exercises of the chapter "Reading attention, and not over-reading it"."""

import numpy as np
import torch

from attnlib.exercises._answers import as_array, exercise, require, require_shape, run, same, same_values


@exercise
def check_contributions(output, largest):
    """Exercise 1: weights 0.5, 0.3, 0.2 and values 0.2, 1, -2: the output, and which word moves it most."""
    require(not same_values(output, -0.8), "do not add up the values alone: each counts by its weight.")
    require(not same_values(output, 0.8), "the last value is negative.")
    same(output, 0.0, "the output", hint="the sum of weight times value: 0.1, 0.3 and -0.4.")
    require(not same_values(largest, 0), "word 0 has the largest weight; weight times value is 0.1.")
    require(not same_values(largest, 1), "word 1 pushes up most, but another pulls down more: compare sizes.")
    require(not same_values(largest, 3), "count from 0.")
    same(largest, 2, "the word", hint="an index: 0, 1 or 2.")
    return "the word with the least weight moves the output most, and downwards."


@exercise
def check_other_weights(answer):
    """Exercise 2: `other_weights(weights, values)`, another distribution with the same output, `[n]`."""
    rng = np.random.default_rng(0)
    weights = np.array([0.3, 0.25, 0.2, 0.15, 0.1])
    values = rng.normal(size=(5, 3))  # one direction is free: the answer is the same on every processor
    got = run(answer, weights, values)
    require_shape(got, (5,), "the weights", hint="one for each word.")
    got = as_array(got, "the weights")
    require(not same_values(got, weights), "these are the weights that came in: others are wanted.")
    same(
        got.sum(), 1.0, "the sum of the weights", hint="a direction whose numbers add up to 0 keeps it: a row of ones."
    )
    require(got.min() > -1e-9, f"a weight is negative, {got.min():.3g}: take a shorter step.")
    same(got @ values, weights @ values, "the output", hint="step along a direction that `values.T` maps to 0.")
    moved = np.abs(got - weights).sum() / 2
    require(got.min() < 1e-6, f"{moved:.1%} of the weight has moved and none is 0 yet: go on until a weight reaches 0.")
    return f"{moved:.0%} of the weight has moved, and no output tells."


def _curved(x):
    """`[b, d] -> [b]`, with products between the inputs, so that every slip shows."""
    return x[:, 0] * x[:, 1] ** 2 + 3 * x[:, 2] ** 3 + x[:, 0]


@exercise
def check_integrated_gradients(answer):
    """Exercise 3: `integrated(f, x, baseline, points)`, the attribution of each input, `[b, d]`."""
    x = torch.tensor([[1.0, 2.0, -1.0], [0.5, -1.0, 2.0]], dtype=torch.float64)
    baseline = torch.tensor([[-1.0, 0.5, 1.0], [2.0, 0.5, -1.0]], dtype=torch.float64)
    points = 400
    fractions = (torch.arange(points, dtype=torch.float64) + 0.5) / points
    path = baseline + fractions[:, None, None] * (x - baseline)  # [points, b, d]
    mean = _slope(path.flatten(0, 1)).view(path.shape).mean(0)
    right = mean * (x - baseline)
    got = run(answer, _curved, x, baseline, points)
    require_shape(got, (2, 3), "the attributions", hint="one number for each input of each example.")
    from_zero = (_slope((fractions[:, None, None] * x).flatten(0, 1)).view(path.shape).mean(0)) * x
    for mistake, message in (
        (mean, "this is the mean gradient: multiply it by `x - baseline`, the way that was gone."),
        (mean * x, "multiply by `x - baseline`, not by `x`: the way begins at the baseline."),
        (right * points, "a mean over the points, not a sum."),
        (_slope(x) * (x - baseline), "this is the gradient at x alone: take it at points along the whole way."),
        (_slope(x) * x, "this is input times gradient: take the gradient at points along the whole way."),
        (from_zero, "the way begins at `baseline`, which need not be 0."),
        (
            (_slope(path.flatten(0, 1)).view(path.shape) * fractions[:, None, None]).mean(0) * (x - baseline),
            "take the gradient by the point on the way, not by x: that brings in a factor t.",
        ),
        (-right, "the signs are reversed: the way goes from the baseline to x."),
    ):
        require(not same_values(got, mistake, tolerance=2e-2), message)
    same(got, right, "the attributions", hint="do they add up to f(x) - f(baseline)?", tolerance=5e-2)
    return "and they add up to f(x) - f(baseline)."


def _slope(x):
    x = x.detach().requires_grad_()
    return torch.autograd.grad(_curved(x).sum(), x)[0]


@exercise
def check_leave_one_out(answer):
    """Exercise 4: `leaving_out(model, words, blank)`, by how much each word raises the score, `[b, n]`."""
    table = torch.tensor([0.7, 2.0, -1.0, 0.5, 3.0], dtype=torch.float64)

    def model(words):  # [b, n] -> [b]; neighbours matter, so that erasing two is not erasing one and one
        x = table[words]
        return x.sum(-1) + (x[:, 1:] * x[:, :-1]).sum(-1)

    words = torch.tensor([[1, 4, 2, 4], [2, 1, 2, 0]])  # scores above and below 0
    blank = 3  # not 0: what erases a word is an argument

    def drops(blank, *, cumulative=False):
        erased, columns = words.clone(), []
        for i in range(words.shape[1]):
            erased = erased if cumulative else words.clone()
            erased[:, i] = blank
            columns.append(model(words) - model(erased))
        return torch.stack(columns, dim=1)

    right = drops(blank)
    got = run(answer, model, words, blank)
    require_shape(got, (2, 4), "the drops", hint="one number for each word of each sentence.")
    shorter = torch.stack(
        [model(words) - model(torch.cat([words[:, :i], words[:, i + 1 :]], dim=1)) for i in range(4)], dim=1
    )
    for mistake, message in (
        (-right, "the score with all words minus the score without this one: a word that helps has a drop above 0."),
        (drops(blank, cumulative=True), "put each word back before the next is erased: work on a copy."),
        (drops(0), "write `blank` in the place of the word, not 0."),
        (shorter, "the other words must stay where they are: put `blank` in its place."),
        (model(words)[:, None] - right, "this is the score without the word: subtract it from the score with all."),
        (
            torch.zeros_like(right),
            "every drop is 0: take the score with all words before any is erased, and erase in a copy.",
        ),
        (
            right * model(words).sign()[:, None],
            "by how much each word raises the score is asked, whichever side the answer is on.",
        ),
        (right.abs(), "keep the sign: a word can speak against the answer."),
    ):
        require(not same_values(got, mistake), message)
    same(got, right, "the drops", hint="score(all) - score(without word i).")
    return "the model itself was asked, once for each word."
