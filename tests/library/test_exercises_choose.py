"""The exercises of "Understand the data, then choose": right answers pass, typical mistakes are named."""

import numpy as np
import pytest
from scipy import stats

from attnlib.exercises import choose as ex

FRAMEWORK = "numpy"


def window(weights, D, *, skip=1, below=1, strict=False):
    places = weights[..., skip:]
    far = np.abs(np.arange(places.shape[-1]) - np.arange(places.shape[1])[:, None])
    near = far < D if strict else far <= D
    return places[:, near].sum() / weights[..., below:].sum()


def goes_back(places):
    steps = np.arange(len(places))
    earlier = steps[:, None] < steps
    return (places < places[:, None])[earlier].mean()


def paired(a, b, *, level=0.975, lost=1, ddof=1, root=True):
    d = a - b
    n = len(d)
    half = stats.t.ppf(level, n - lost) * d.std(ddof=ddof) / (np.sqrt(n) if root else 1)
    return d.mean(), half


def unpaired(a, b):
    n = len(a)
    return np.mean(a - b), stats.t.ppf(0.975, n - 1) * np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / n)


def of_normal(a, b):
    d = a - b
    return d.mean(), 1.96 * d.std(ddof=1) / np.sqrt(len(d))


def of_five(a, b):
    d = a - b
    return d.mean(), 2.7764451 * d.std(ddof=1) / np.sqrt(len(d))


def answered(capsys, check, *answers):
    result = check(*answers)
    return result, capsys.readouterr().out


@pytest.mark.parametrize(
    ("check", "answer"),
    [
        (ex.check_share, 0.75),
        (ex.check_in_window, window),
        (ex.check_back, goes_back),
        (ex.check_interval, paired),
        (ex.check_interval, lambda a, b: list(paired(a, b))),
        (ex.check_interval, lambda a, b: np.array(paired(a, b))),
    ],
)
def test_right_answers_pass(capsys, check, answer):
    result, said = answered(capsys, check, answer)
    assert result is True and said.startswith("Correct: ")


@pytest.mark.parametrize(
    ("check", "answer", "message"),
    [
        (ex.check_share, ..., "nothing to check"),
        (ex.check_share, 0.5, "before the first round"),
        (ex.check_share, 1.0, "may have written it too"),
        (ex.check_share, 1 / 3, "`a`'s entry"),
        (ex.check_share, 1 / 4, "`a`'s share"),
        (ex.check_share, 1.5, "a count"),
        (ex.check_share, 0.6, "share out again"),
        (ex.check_in_window, lambda w, D: None, "returned nothing"),
        (ex.check_in_window, lambda w, D: w[:, 0], "one number"),
        (ex.check_in_window, lambda w, D: window(w, D, skip=0, below=0), "column 0"),
        (ex.check_in_window, lambda w, D: window(w, D, below=0), "below the line"),
        (ex.check_in_window, lambda w, D: window(w, D, strict=True), "D away is in"),
        (ex.check_in_window, lambda w, D: window(w, D) * w[..., 1:].sum() / 55, "number of entries"),
        (ex.check_in_window, lambda w, D: window(w, D) * w[..., 1:].sum() / 20, "steps that are padding"),
        (ex.check_in_window, lambda w, D: window(w, 1), "the D that is given"),
        (ex.check_in_window, lambda w, D: 0.123, "divided by all weight"),
        (ex.check_back, lambda places: (np.diff(places) < 0).mean(), "not only neighbours"),
        (ex.check_back, lambda places: 1 - goes_back(places), "not to go back"),
        (ex.check_back, lambda places: goes_back(places[::-1]), "forwards"),
        (
            ex.check_back,
            lambda places: (places < places[:, None])[np.tri(len(places)).T > 0].sum() / len(places) ** 2,
            "15 pairs",
        ),
        (ex.check_back, lambda places: 0.1, "of all t < u"),
        (ex.check_back, lambda places: np.diff(places) < 0, "one number for all pairs"),
        (ex.check_interval, lambda a, b: 0.1, "two numbers"),
        (ex.check_interval, lambda a, b: paired(b, a), "in this order"),
        (ex.check_interval, lambda a, b: (0.0, 1.0), "the mean of a - b"),
        (ex.check_interval, unpaired, "unpaired"),
        (ex.check_interval, lambda a, b: (a - b, 1.0), "one number for all seeds"),
        (ex.check_interval, lambda a, b: np.mean(a - b), "two numbers"),
        (ex.check_interval, lambda a, b: paired(a, b, root=False), "one more seed"),
        (ex.check_interval, lambda a, b: paired(a, b, ddof=0), "ddof=1"),
        (ex.check_interval, of_normal, "1.96"),
        (ex.check_interval, lambda a, b: paired(a, b, lost=0), "4 degrees"),
        (ex.check_interval, lambda a, b: paired(a, b, level=0.95), "two sides"),
        (ex.check_interval, lambda a, b: (np.mean(a - b), (a - b).std(ddof=1) / np.sqrt(len(a))), "standard error"),
        (ex.check_interval, of_five, "n - 1, and n"),
        (ex.check_interval, lambda a, b: (np.mean(a - b), 0.3), "sqrt(n)"),
    ],
)
def test_typical_mistakes_are_named(capsys, check, answer, message):
    result, said = answered(capsys, check, answer)
    assert result is None and said.startswith("Not yet: ") and message in said
