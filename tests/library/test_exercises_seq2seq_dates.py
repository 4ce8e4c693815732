"""The exercises of "Sequence to sequence with attention": right answers pass, wrong ones are told their mistake."""

import numpy as np
import pytest

from attnlib.exercises import seq2seq_dates as ex


def said(capsys, check, answer):
    """What a check prints, after making sure that it does not accept the answer."""
    assert check(answer) is None
    out = capsys.readouterr().out
    assert out.startswith("Not yet: ")
    return out


@pytest.mark.parametrize("check", [ex.check_shift_right, ex.check_greedy, ex.check_mass_on])
def test_stubs_are_told_to_write_something(check, capsys):
    assert "replace the `...`" in said(capsys, check, lambda *args: ...)


def test_the_accuracy_of_a_character(capsys):
    assert ex.check_character_accuracy(0.9895)
    capsys.readouterr()
    for wrong, words in [(0.349, "turn it round"), (0.9, "35 %"), (0.97, "p¹⁰"), (99.0, "between"), (..., "replace")]:
        assert words in said(capsys, ex.check_character_accuracy, wrong)


def shift_right(targets, start):
    return np.concatenate([np.full((len(targets), 1), start), targets[:, :-1]], axis=1)


def test_shifting(capsys):
    assert ex.check_shift_right(shift_right)
    capsys.readouterr()
    wrong = [
        (lambda t, s: t, "copy"),
        (lambda t, s: np.roll(t, 1, axis=1), "roll"),
        (lambda t, s: np.concatenate([t[:, 1:], np.full((len(t), 1), s)], axis=1), "wrong way"),
        (lambda t, s: np.concatenate([np.full((len(t), 1), s), t], axis=1), "one too long"),
        (lambda t, s: np.concatenate([np.full((1, t.shape[1]), s), t[:-1]]), "axis of time"),
        (lambda t, s: shift_right(t, 1), "argument `start`"),
    ]
    for answer, words in wrong:
        assert words in said(capsys, ex.check_shift_right, answer)


def greedy(step, state, start, length):
    written, previous = [], start
    for _ in range(length):
        logits, state = step(previous, state)
        previous = int(np.argmax(logits))
        written.append(previous)
    return written


def test_decoding(capsys):
    def forgets_the_state(step, state, start, length):
        return greedy(lambda previous, _: (step(previous, state)[0], None), state, start, length)

    def forgets_its_output(step, state, start, length):
        return greedy(lambda _, now: step(start, now), state, start, length)

    assert ex.check_greedy(greedy)
    capsys.readouterr()
    wrong = [
        (forgets_the_state, "never moves on"),
        (forgets_its_output, "reads the start again"),
        (lambda *args: [args[2], *greedy(*args)], "not part of the answer"),
        (lambda *args: [args[2], *greedy(*args)][:-1], "last character is missing"),
        (lambda step, state, start, length: greedy(step, 0, 2, 6)[:length], "another state and start"),
    ]
    for answer, words in wrong:
        assert words in said(capsys, ex.check_greedy, answer)


def mass_on(weights, wanted):
    return (weights * wanted[:, None, :]).sum(axis=-1)


def test_mass(capsys):
    assert ex.check_mass_on(mass_on)
    capsys.readouterr()
    wrong = [
        (lambda w, on: mass_on(w, ~on), "True is wanted"),
        (lambda w, on: mass_on(w, on) / on.sum(axis=-1)[:, None], "add their weights up"),
        (lambda w, on: mass_on(w, on).mean(axis=0), "keep the batch"),
        (lambda w, on: mass_on(w, on).sum(axis=-1), "no other"),
        (lambda w, on: w.sum(axis=-1), "axis of length 1"),
    ]
    for answer, words in wrong:
        assert words in said(capsys, ex.check_mass_on, answer)
