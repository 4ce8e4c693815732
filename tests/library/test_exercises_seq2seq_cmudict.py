"""The exercises of "From spelling to sound": right answers pass, wrong ones are told their mistake."""

import numpy as np
import pytest
import torch

from attnlib.exercises import seq2seq_cmudict as ex

FRAMEWORK = "torch"


def said(capsys, check, *answers):
    """What a check prints, after making sure that it does not accept the answer."""
    assert check(*answers) is None
    out = capsys.readouterr().out
    assert out.startswith("Not yet: ")
    return out


@pytest.mark.parametrize(
    "check", [ex.check_word_error_rate, ex.check_out_of_sight, ex.check_backward_steps, ex.check_ensemble]
)
def test_stubs_are_told_to_write_something(check, capsys):
    assert "replace the `...`" in said(capsys, check, lambda *args: ...)


def test_edits(capsys):
    assert ex.check_edits(3, 1.0)
    capsys.readouterr()
    wrong = [
        ((..., ...), "replace"),
        ((2, 2 / 3), "IH is not AY"),
        ((4, 4 / 3), "too many"),
        ((5, 5 / 3), "place by place"),
        ((7, 1), "Delete K"),
        ((3, 0.6), "of the reference"),
        ((3, 100), "a share"),
        ((3, 0.5), "Edits over"),
        (([3], 1), "One number"),
    ]
    for answers, words in wrong:
        assert words in said(capsys, ex.check_edits, *answers)


def test_word_error_rate(capsys):
    def right(written, references):
        return np.mean([written[word] not in spoken for word, spoken in references.items()])

    assert ex.check_word_error_rate(right)
    capsys.readouterr()
    wrong = [
        (lambda w, r: 1 - right(w, r), "share of right words"),
        (lambda w, r: np.mean([w[word] != spoken[0] for word, spoken in r.items()]), "first pronunciation"),
        (lambda w, r: len(r) * right(w, r), "divide"),
        (lambda w, r: 100 * right(w, r), "per cent"),
        (lambda w, r: 0.25, "other answers"),
        (lambda w, r: [0.25], "One number"),
        (lambda w, r: 0.1, "none of its pronunciations"),
    ]
    for answer, words in wrong:
        assert words in said(capsys, ex.check_word_error_rate, answer)


def test_out_of_sight(capsys):
    assert ex.check_out_of_sight(lambda n, m, D: set(range(m + D + 1, n)))
    assert ex.check_out_of_sight(lambda n, m, D: list(range(m + D + 1, n)))
    assert ex.check_out_of_sight(lambda n, m, D: np.arange(m + D + 1, n))
    capsys.readouterr()
    wrong = [
        (lambda n, m, D: set(range(m + D + 2, n)), "counted from 0"),
        (lambda n, m, D: set(range(m + D, n)), "end sign"),
        (lambda n, m, D: set(range(m + 1, n)), "add D"),
        (lambda n, m, D: set(range(min(n, m + D + 1))), "seen"),
        (lambda n, m, D: {0}, "yours is [0]"),
        (lambda n, m, D: {7, 8}, "empty set"),
        (lambda n, m, D: {7, 8} if n == 9 else set(), "came out wrong"),
        (lambda n, m, D: 2, "a set"),
        (lambda n, m, D: [[7, 8]], "one place a letter"),
        (lambda n, m, D: {"7", "8"}, "numbers are expected"),
    ]
    for answer, words in wrong:
        assert words in said(capsys, ex.check_out_of_sight, answer)


def test_backward_steps(capsys):
    assert ex.check_backward_steps(lambda w: int((np.diff(w.argmax(axis=-1)) < 0).sum()))
    capsys.readouterr()
    wrong = [
        (lambda w: int((np.diff(w.argmax(axis=-1)) <= 0).sum()), "`<=`"),
        (lambda w: int((np.diff(w.argmax(axis=-1)) >= 0).sum()), "forwards"),
        (lambda w: int((np.diff(w.argmax(axis=-1)) > 0).sum()), "forwards"),
        (lambda w: int((np.diff(w.argmax(axis=0)) < 0).sum()), "argmax of a row"),
        (lambda w: 2 if len(w) == 7 else 1, "never goes back"),
        (lambda w: 2 if len(w) == 7 else 0, "another path"),
        (lambda w: np.diff(w.argmax(axis=-1)) < 0, "One number"),
    ]
    for answer, words in wrong:
        assert words in said(capsys, ex.check_backward_steps, answer)


def test_ensemble(capsys):
    assert ex.check_ensemble(lambda x: torch.softmax(x, dim=-1).mean(dim=0).argmax(dim=-1))
    capsys.readouterr()
    wrong = [
        (lambda x: x.mean(dim=0).argmax(dim=-1), "averaged"),
        (lambda x: torch.mode(x.argmax(dim=-1), dim=0).values, "vote"),
        (lambda x: torch.softmax(x, dim=-1).amax(dim=0).argmax(dim=-1), "surest model"),
        (lambda x: torch.softmax(x, dim=-1).mean(dim=0), "One phoneme's"),
        (lambda x: torch.softmax(x, dim=1).mean(dim=0).argmax(dim=-1) + 1, "Softmax over"),
    ]
    for answer, words in wrong:
        assert words in said(capsys, ex.check_ensemble, answer)
