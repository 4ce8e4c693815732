"""Checks for the exercises of the chapter "Monitor training"."""

import math

import torch
from torch import nn

from attnlib.exercises._answers import as_array, exercise, require, require_shape, run, same, same_values


@exercise
def check_entropy(answer):
    """Exercise 1: the entropy of a query that shares its weight between 2 of 8 keys, as a share of the largest."""
    for mistake, message in (
        (math.log(2), "divide by the entropy of even weights, ln 8."),
        (1.0, "it would be 1 if all 8 keys had the same weight."),
        (math.log(2) / 8, "divide by ln 8, not by 8."),
        (0.25, "2 of 8 keys: take their logarithms first."),
        (math.log(8) / math.log(2), "the other way round: ln 2 is what there is, ln 8 what there could be."),
        (0.5, "two halves: their entropy is ln 2, before it is divided."),
    ):
        require(not same_values(answer, mistake), message)
    same(answer, 1 / 3, "the entropy", hint="-(0.5 ln 0.5 + 0.5 ln 0.5) / ln 8.", tolerance=0.004)  # 0.33 will do
    return "ln 2 / ln 8, one bit of three."


@exercise
def check_outside(nine, runs):
    """Exercise 2: how often a healthy run leaves the band of nine others, and how many make it at most 0.05."""
    for mistake, message in (
        (0.1, "that is one side: it may lie below all others or above them."),
        (2 / 9, "the new run is one of those in the row: ten, not nine."),
        (0.8, "that is how often it stays inside."),
    ):
        require(not same_values(nine, mistake), message)
    same(nine, 0.2, "the share outside nine", hint="of ten runs, any is as likely as another to be the largest.")
    require(not same_values(runs, 40), "40 runs in all: the new one is not among those that make the band.")
    require(not same_values(runs, 19), "that is one side: it may lie below all others or above them.")
    same(runs, 39, "the number of runs", hint="2 / (m + 1) must be at most 0.05.")
    return "2 / (m + 1): a band of 39 runs, for a single number looked at once."


def _alarm(values, low, high, patience, *, nan=True, total=False, late=0):
    count = 0
    for i, value in enumerate(values):
        outside = value < low or value > high or (nan and math.isnan(value))
        count = count + 1 if outside else count if total else 0
        if count == patience:
            return i - late * (patience - 1)
    return None


@exercise
def check_first_alarm(answer):
    """Exercise 3: `first_alarm(values, low, high, patience)`, the place at which it goes off, or None."""
    cases = [
        ([0.5, 1.4, 0.5, 1.5, -0.2, 0.4], 0.0, 1.0, 2),
        ([0.5, 0.6, 0.7], 0.0, 1.0, 1),
        ([0.5, -0.1, 0.5], 0.0, 1.0, 1),
        ([0.0, 1.0, 0.0, 1.0], 0.0, 1.0, 2),
        ([0.5, 1.2, 1.2, 1.2, 1.2], 0.0, 1.0, 3),
    ]
    wrong = {
        "outside is counted in all: the count begins again when a value is inside.": {"total": True},
        "this is where the first of them lies; the alarm goes off at the last, when it is known.": {"late": 1},
    }
    require(callable(answer), "a function is expected here.")
    got = [_none(run(_wrapped(answer), *case)) for case in cases]
    right = [_alarm(*case) for case in cases]
    message = "your function returned nothing, not even for values that are outside: replace the `...`."
    require(any(found is not None for found in got), message)
    for message, options in wrong.items():
        require(got != [_alarm(*case, **options) for case in cases], message)
    require(got[1] is None, "values that are all inside give None.")
    require(got[3] is None, "a value on the edge of the band is inside.")
    require(
        got == right, f"for {cases[0]} the alarm goes off at {right[0]}: found {got[0]}; for {cases[4]} at {right[4]}."
    )
    broken = ([0.5, math.nan, math.nan, math.nan], 0.0, 1.0, 2)
    message = "a NaN is neither below nor above anything, and passes: what is not inside must count."
    require(_none(run(_wrapped(answer), *broken)) == 2, message)
    return "what is not inside counts, NaN as well."


def _wrapped(answer):
    """None is a right answer here, which `run` would take for a stub."""

    def wrapped(*arguments):
        got = answer(*arguments)
        return "None" if got is None else got

    return wrapped


def _none(got):
    return None if isinstance(got, str) else int(got)


def _sinks(weights, mask):
    choice = mask.sum(-1) > 1  # [batch, q_len]
    first = mask.any(-2).double().argmax(-1)  # [batch]: the first key that anyone sees
    on_it = weights.gather(-1, first[:, None, None, None].expand(*weights.shape[:3], 1))[
        ..., 0
    ]  # [batch, heads, q_len]
    return torch.stack([head[choice].mean() for head in on_it.unbind(1)])


@exercise
def check_sinks(answer):
    """Exercise 4: `sinks(weights, mask)`, for each head the mean share of the first real key, `[heads]`."""
    generator = torch.Generator().manual_seed(0)
    padding = torch.tensor([0, 2, 1])
    mask = (torch.arange(6) >= padding[:, None])[:, None, :] & torch.ones(6, 6, dtype=torch.bool).tril()
    scores = torch.randn(3, 2, 6, 6, dtype=torch.float64, generator=generator)
    weights = scores.masked_fill(~mask[:, None], -torch.inf).softmax(-1).nan_to_num(0)
    right = _sinks(weights, mask)
    got = run(answer, weights, mask)
    require_shape(got, (2,), "the shares", hint="one number for each head.")
    some = mask.any(-1)
    one_key = torch.stack([w[some].mean() for w in (weights * _first(mask)[:, None]).sum(-1).unbind(1)])
    for mistake, message in (
        (weights[..., 0].mean(dim=(0, 2)), "the first column is padding in two of the examples."),
        (
            (weights * _first(mask)[:, None]).sum(-1).mean(dim=(0, 2)),
            "queries that are padding have weights of zero: leave them out.",
        ),
        (one_key, "a query with a single key has no choice: leave it out."),
    ):
        require(not same_values(got, mistake), message)
    same(got, right, "the shares", hint="the mean over the queries that may see at least two keys.")
    return "this is how attention sinks are found."


def _first(mask):
    """`[batch, q_len, k_len] -> [batch, 1, k_len]`: True at the first key that anyone sees."""
    seen = mask.any(-2)
    return (seen & (seen.cumsum(-1) == 1))[:, None]


@exercise
def check_watch(answer):
    """Exercise 5: `watch(layer, seen)`, a hook that appends the norm of every output to a list, and its handle."""
    layer = nn.Linear(3, 5, dtype=torch.float64)
    x = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    before = layer(x)
    seen: list = []
    require(callable(answer), "a function is expected here.")
    try:
        handle = answer(layer, seen)
    except Exception as error:
        require(False, f"your code raised {type(error).__name__}: {error}")
    require(handle is not ... and (handle is not None or layer._forward_hooks), "replace the `...` with your code.")
    require(hasattr(handle, "remove"), "return the handle, or nobody can take the hook away again.")
    try:
        after = layer(x)
    except Exception as error:
        require(False, f"with the hook in place, calling the layer raised {type(error).__name__}: {error}")
    unchanged = torch.is_tensor(after) and after.shape == before.shape and torch.equal(after, before)
    require(unchanged, "the output has changed: what a forward hook returns takes its place, so return nothing.")
    require(len(seen) == 1, f"one call must append one number: found {len(seen)}.")
    number = not torch.is_tensor(seen[0]) or seen[0].numel() == 1
    require(number, "this keeps the whole output of every call: append its norm, one plain number.")
    held = torch.is_tensor(seen[0]) and seen[0].grad_fn is not None
    require(not held, "this tensor holds on to the whole graph of the call: append a plain number, such as `.item()`.")
    same(as_array(seen[0]), before.norm().item(), "the norm", hint="the square root of the sum of all squares.")
    handle.remove()
    layer(x)
    require(len(seen) == 1, "after `handle.remove()` the hook still runs: return the handle that belongs to it.")
    return "looks on, keeps numbers instead of graphs, and can be removed."
