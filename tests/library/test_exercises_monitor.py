"""The exercises of "Monitor training": right answers pass, typical mistakes are named."""

import math

import pytest
import torch

from attnlib.exercises import monitor as ex

FRAMEWORK = "torch"


def first_alarm(values, low, high, patience):
    in_a_row = 0
    for i, value in enumerate(values):
        in_a_row = 0 if low <= value <= high else in_a_row + 1
        if in_a_row == patience:
            return i
    return None


def blind_to_nan(values, low, high, patience):
    in_a_row = 0
    for i, value in enumerate(values):
        in_a_row = in_a_row + 1 if value < low or value > high else 0
        if in_a_row == patience:
            return i
    return None


def in_all(values, low, high, patience):
    count = 0
    for i, value in enumerate(values):
        count += not low <= value <= high
        if count == patience:
            return i
    return None


def where_it_began(values, low, high, patience):
    found = first_alarm(values, low, high, patience)
    return None if found is None else found - patience + 1


def edge_is_outside(values, low, high, patience):
    return first_alarm(values, low + 1e-9, high - 1e-9, patience)


def at_the_end(values, low, high, patience):
    found = first_alarm(values, low, high, patience)
    return len(values) if found is None else found


def sinks(weights, mask, *, padding=True, single=True):
    seen = mask.any(-2)
    first = (seen & (seen.cumsum(-1) == 1))[:, None, None]  # [batch, 1, 1, k_len]
    share = (weights * first).sum(-1)  # [batch, heads, q_len]
    counted = mask.sum(-1) > (1 if single else 0)
    if not padding:
        counted = torch.ones_like(counted)
    return (share * counted[:, None]).sum((0, 2)) / counted.sum()


def watch(layer, seen):
    return layer.register_forward_hook(lambda layer, args, output: seen.append(output.norm().item()))


def returns_the_norm(layer, seen):
    def hook(layer, args, output):
        seen.append(output.norm().item())
        return output.norm()

    return layer.register_forward_hook(hook)


def changes_a_little(layer, seen):
    def hook(layer, args, output):
        seen.append(output.norm().item())
        return output * 1.0001

    return layer.register_forward_hook(hook)


def holds_the_graph(layer, seen):
    return layer.register_forward_hook(lambda layer, args, output: seen.append(output.norm()))


def holds_the_output(layer, seen):
    return layer.register_forward_hook(lambda layer, args, output: seen.append(output.detach()))


def no_handle(layer, seen):
    watch(layer, seen)


def nothing_appended(layer, seen):
    return layer.register_forward_hook(lambda layer, args, output: None)


def another_handle(layer, seen):
    watch(layer, seen)
    return layer.register_forward_hook(lambda layer, args, output: None)


def the_largest(layer, seen):
    return layer.register_forward_hook(lambda layer, args, output: seen.append(output.abs().max().item()))


def wrong_signature(layer, seen):
    return layer.register_forward_hook(lambda output: seen.append(output.norm().item()))


def raises(layer, seen):
    return layer.register_forward_hooks(None)


ANSWERS = [
    (ex.check_entropy, (1 / 3,)),
    (ex.check_entropy, (math.log(2) / math.log(8),)),
    (ex.check_entropy, (0.33,)),  # with a pencil
    (ex.check_outside, (0.2, 39)),
    (ex.check_first_alarm, (first_alarm,)),
    (ex.check_sinks, (sinks,)),
    (ex.check_watch, (watch,)),
]

MISTAKES = [
    (ex.check_entropy, (math.log(2),), "even weights"),
    (ex.check_entropy, (1.0,), "all 8 keys"),
    (ex.check_entropy, (math.log(2) / 8,), "not by 8"),
    (ex.check_entropy, (0.25,), "logarithms first"),
    (ex.check_entropy, (3.0,), "other way round"),
    (ex.check_entropy, (0.5,), "two halves"),
    (ex.check_entropy, (0.4,), "0.5 ln 0.5"),
    (ex.check_outside, (0.1, 39), "one side"),
    (ex.check_outside, (2 / 9, 39), "ten, not nine"),
    (ex.check_outside, (0.8, 39), "stays inside"),
    (ex.check_outside, (0.3, 39), "any is as likely"),
    (ex.check_outside, (0.2, 40), "not among those"),
    (ex.check_outside, (0.2, 19), "one side"),
    (ex.check_outside, (0.2, 38), "at most 0.05"),
    (ex.check_first_alarm, (blind_to_nan,), "a NaN is neither below nor above"),
    (ex.check_first_alarm, (in_all,), "begins again"),
    (ex.check_first_alarm, (where_it_began,), "goes off at the last"),
    (ex.check_first_alarm, (edge_is_outside,), "on the edge"),
    (ex.check_first_alarm, (at_the_end,), "all inside give None"),
    (ex.check_first_alarm, (lambda values, low, high, patience: first_alarm(values, low, high, 1),), "goes off at"),
    (ex.check_first_alarm, (lambda values: 0,), "your code raised TypeError"),
    (ex.check_first_alarm, (3,), "a function is expected"),
    (ex.check_first_alarm, (lambda values, low, high, patience: None,), "replace the `...`"),
    (ex.check_sinks, (lambda weights, mask: weights[..., 0].mean((0, 2)),), "is padding in two"),
    (ex.check_sinks, (lambda w, m: sinks(w, m, padding=False),), "weights of zero"),
    (ex.check_sinks, (lambda w, m: sinks(w, m, single=False),), "no choice"),
    (ex.check_sinks, (lambda w, m: sinks(w, m).mean(),), "one number for each head"),
    (ex.check_sinks, (lambda w, m: 1 - sinks(w, m),), "at least two keys"),
    (ex.check_watch, (returns_the_norm,), "takes its place"),
    (ex.check_watch, (changes_a_little,), "takes its place"),
    (ex.check_watch, (holds_the_graph,), "holds on to the whole graph"),
    (ex.check_watch, (holds_the_output,), "keeps the whole output"),
    (ex.check_watch, (no_handle,), "return the handle"),
    (ex.check_watch, (nothing_appended,), "one call must append one number: found 0"),
    (ex.check_watch, (another_handle,), "the hook still runs"),
    (ex.check_watch, (the_largest,), "sum of all squares"),
    (ex.check_watch, (wrong_signature,), "calling the layer raised TypeError"),
    (ex.check_watch, (raises,), "your code raised AttributeError"),
    (ex.check_watch, (lambda layer, seen: None,), "replace the `...`"),
    (ex.check_watch, (3,), "a function is expected"),
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
    stubs = (...,) * (2 if check is ex.check_outside else 1)
    assert check(*stubs) is None
    assert "replace the `...`" in capsys.readouterr().out
