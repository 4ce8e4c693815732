"""Checks for the exercises of the chapter "The transformer, encoder and decoder"."""

import math

import torch

from attnlib.exercises._answers import as_array, exercise, require, require_shape, run, same, same_values

_ATTENTION = 4 * 512**2 + 4 * 512  # four projections and their biases
_FEED = 2 * 512 * 2048 + 2048 + 512
_NORM = 2 * 512


@exercise
def check_sizes(encoder, decoder):
    """Exercise 1: the parameters of an encoder block and a decoder block; d_model 512, eight heads, 2048 hidden."""
    right = _ATTENTION + _FEED + 2 * _NORM
    for mistake, message in (
        (4 * 512**2 + 2 * 512 * 2048, "the biases and the norms hold numbers too."),
        (right - 2 * _NORM, "two layer norms are missing, each with a scale and a shift for every one of 512."),
        (right - _NORM, "an encoder block has two layer norms, each with a scale and a shift."),
        (right + 7 * _ATTENTION, "the eight heads share the width among them: their matrices are one of 512 × 512."),
        (right - 4 * 512, "each of the four projections has a bias of 512."),
    ):
        require(not same_values(encoder, mistake, tolerance=1e-9), message)
    same(encoder, right, "the encoder block", hint="attention, feed-forward layer, two norms.", tolerance=1e-9)
    for mistake, message in (
        (right, "a decoder block has a second attention, to the memory."),
        (right + _ATTENTION, "the second attention has a layer norm of its own."),
        (2 * right, "there is one feed-forward layer, not two."),
    ):
        require(not same_values(decoder, mistake, tolerance=1e-9), message)
    right += _ATTENTION + _NORM
    same(decoder, right, "the decoder block", hint="one more attention, one more norm.", tolerance=1e-9)
    return "3,152,384 and 4,204,032: two thirds of an encoder block are the feed-forward layer."


@exercise
def check_target_mask(answer):
    """Exercise 2: `target_mask(lengths, n)`, `[b] -> [b, n, n]`: what a step of the decoder may see."""
    lengths, n = torch.tensor([4, 2, 1]), 4
    got = run(answer, lengths, n)
    require_shape(got, (3, 4, 4), "the mask", hint="one square of queries and keys for each row of the batch.")
    place = torch.arange(n)
    causal = place <= place[:, None]  # [n, n], a query along a row
    real = (place < lengths[:, None])[:, None]  # [b, 1, n]
    everyone = torch.ones(3, 1, 1, dtype=torch.bool)
    require(not (as_array(got) < 0).any(), "return what may be attended, True and False, not numbers to be added.")
    for mistake, message in (
        (~(causal & real), "True must mean 'may attend': this is the other way round."),
        (causal & everyone, "padding can be seen."),
        (real.expand(3, 4, 4), "the future can be seen."),
        (causal | real, "`|` lets a query see what either mask allows: both must allow it."),
        (causal.T & real, "a query sees the future and not the past: rows are queries, columns are keys."),
        (causal.tril(-1) & real, "a query must see its own place."),
        (causal & real.mT, "whole rows are empty: hide the *keys* that are padding, and no row more."),
    ):
        require(not same_values(as_array(got).astype(bool), mistake), message)
    same(got, causal & real, "the mask", hint="the causal mask & the padding mask.")
    return "what both masks allow is allowed, and broadcasting makes the square."


def _sums(previous):
    """Logits that depend on all earlier numbers."""
    return torch.stack([previous.double().cumsum(dim=1), previous.double() ** 2], dim=-1)


def _next(previous):
    out = _sums(previous)
    out[:, :-1, 0] += 0.1 * previous[:, 1:]
    return out


def _last(previous):
    out = _sums(previous)
    out[:, 0, 1] += 1e-3 * previous[:, -1]  # from the end to the beginning only
    return out


def _neighbours(previous):
    out = _sums(previous)
    out[1:, :, 1] += 0.1 * previous[:1]  # from the first row of the batch into the others
    return out


@exercise
def check_leaks(answer):
    """Exercise 3: `leaks(logits_of, previous)`: True if a later number changes an earlier step, or another row."""
    models = {
        "a model that reads the next number": (_next, True),
        "a model whose first step reads the last number": (_last, True),
        "a model in which the first row of the batch is read by the others": (_neighbours, True),
        "a model that reads what came before": (_sums, False),
        "a model that reads nothing but its own place": (lambda x: x.double()[..., None], False),
    }
    previous = torch.tensor([[1, 5, 3, 8, 4], [1, 4, 4, 9, 6], [1, 3, 7, 5, 5]])
    verdicts = {}
    for name, (model, _) in models.items():
        got = run(answer, model, previous)
        require(getattr(got, "ndim", 0) == 0 and got in (True, False), "return True or False.")
        verdicts[name] = bool(got)
    wrong_way = all(verdicts[name] != leaking for name, (_, leaking) in models.items())
    require(not wrong_way, "the answer is the wrong way round.")
    for name, (_, leaking) in models.items():
        if leaking:
            require(verdicts[name], f"{name} is not caught: change every place of every row, one at a time.")
        else:
            require(not verdicts[name], f"{name} is accused: only what must *not* change counts.")
    return "one place at a time, and what comes before it, and in other rows, stays as it was."


@exercise
def check_rate(answer):
    """Exercise 4: `rate(step, d_model, warm_up)`, Vaswani et al. (2017), eq. 3; steps count from 1."""
    steps, d, w = (1, 1000, 4000, 16000), 512, 4000
    got = [run(answer, step, d, w) for step in steps]
    right = [d**-0.5 * min(s**-0.5, s * w**-1.5) for s in steps]
    scaled, expected = as_array(got, "the rates") / right[2], as_array(right) / right[2]
    for mistake, message in (
        ([d**-0.5 * max(s**-0.5, s * w**-1.5) for s in steps], "take the smaller of the two."),
        ([d**0.5 * rate for rate in right], "the factor d_model^(-1/2) is missing."),
        ([d**-0.5 * s**-0.5 for s in steps], "it only falls: where is the warm-up?"),
        ([d**-0.5 * s * w**-1.5 for s in steps], "it only rises: where is the fall?"),
        ([d**-0.5 * min(s**-0.5, s / w) for s in steps], "both must meet where the warm-up ends: warm_up^(-1.5)."),
    ):
        require(not same_values(scaled, as_array(mistake) / right[2]), message)
    same(scaled, expected, "the rates at steps 1, 1000, 4000 and 16000, as shares of the highest", hint="eq. 3.")
    peak = run(answer, 10, 64, 10)
    require(same_values(as_array(peak) * 80, 80 / math.sqrt(640)), "with other sizes it is wrong: use the arguments.")
    return "up in a straight line, then down with the root of the step; four times the steps, half the rate."


@exercise
def check_best(answer):
    """Exercise 5: `best(hypotheses, alpha)`: (log-probability, length) pairs -> the number of the best one."""
    pairs = [(-5.0, 22), (-3.0, 8), (-3.3, 2), (-2.8, 5)]

    def winner(alpha, rule):
        return max(range(len(pairs)), key=lambda i: rule(*pairs[i], alpha))

    def rule(p, n, alpha):
        return p / ((5 + n) / 6) ** alpha

    def all_of(rule):
        return [winner(alpha, rule) for alpha in (0.0, 0.6, 1.0, 3.0)]

    got = [run(answer, pairs, alpha) for alpha in (0.0, 0.6, 1.0, 3.0)]
    got = as_array(got, "the numbers of the best").tolist()
    right = all_of(rule)
    for mistake, message in (
        ([min(range(4), key=lambda i: rule(*pairs[i], a)) for a in (0.0, 0.6, 1.0, 3.0)], "this is the *worst*."),
        (all_of(lambda p, n, a: p), "alpha changes nothing: divide by the length penalty."),
        (all_of(lambda p, n, a: p * ((5 + n) / 6) ** a), "log-probabilities are negative: divide, do not multiply."),
        (all_of(lambda p, n, a: p / n**a), "this divides by the length itself: the penalty is ((5 + n) / 6)^alpha."),
        (all_of(lambda p, n, a: p / ((5 + n) / 6**a)), "the power is of the whole fraction: ((5 + n) / 6)**alpha."),
        (all_of(lambda p, n, a: math.exp(p) / ((5 + n) / 6) ** a), "divide the logarithms, not the probabilities."),
    ):
        require(got == right or got != mistake, message)
    require(all(not isinstance(one, list) and one in range(4) for one in got), "return a place in the list, from 0 on.")
    require(got == right, f"for alpha = 0, 0.6, 1 and 3 the best are {right}, not {got}.")
    for other, place in (([(-1.0, 4), (-1.118, 5)], 0), ([(-1.0, 4), (-1.105, 5)], 1)):  # as close as 5 + n tells apart
        got = same_values(run(answer, other, 1.0), place)
        require(got, f"of {other} the best for alpha = 1 is {place}: the penalty is ((5 + n) / 6)^alpha.")
    return "without a penalty the likeliest wins, with a large one the longest."
