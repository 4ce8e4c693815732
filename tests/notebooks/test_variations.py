"""Every notebook holds with other parameters too, and a set that could prove nothing is refused."""

import os

import pytest

from tools.paths import name_of, notebooks
from tools.run import NotebookError
from tools.variations import VARIATIONS, Variation, load, run, strays


def sets():
    for notebook in notebooks():
        try:
            yield from ((notebook, each) for each in load(notebook))
        except ValueError:
            continue  # test_every_notebook_has_valid_variations says so


@pytest.mark.parametrize("notebook", notebooks(), ids=name_of)
def test_every_notebook_has_valid_variations(notebook):
    assert len(load(notebook)) >= 2


@pytest.mark.parametrize(
    ("notebook", "variation"),
    [pytest.param(nb, each, id=f"{name_of(nb)}-{each.name}") for nb, each in sets()],
)
def test_notebook_holds_with(notebook, variation):
    run(notebook, variation, workers=int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def test_every_file_belongs_to_a_notebook():
    assert strays() == []
    assert strays([VARIATIONS / "numpy" / "forgotten.yml"]) == ["tests/notebooks/variations/numpy/forgotten.yml"]


GOOD = """\
budget_seconds: 20
sets:
  - name: another seed
    parameters: {seed: 7}
  - name: another size
    parameters: {width: 5}
"""


@pytest.fixture
def small(good, saved, tmp_path):
    """The small notebook, and a function that loads a text as its variations."""
    path = saved(good)
    file = tmp_path / "small.yml"

    def load_text(text):
        file.write_text(text, encoding="utf-8")
        return load(path, file)

    return path, load_text


def test_sets_are_read(small):
    _, load_text = small
    assert load_text(GOOD) == [
        Variation("another seed", {"seed": 7}, 20.0),
        Variation("another size", {"width": 5}, 20.0),
    ]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("  - name: another size\n    parameters: {width: 5}\n", "", "at least two"),
        ("{seed: 7}", "{width: 3}", "another `seed`"),
        ("{seed: 7}", "{seed: 0}", "changes nothing"),
        ("{seed: 7}", "{}", "must name at least one"),
        ("{seed: 7}", "{sede: 7}", "unknown parameter 'sede'"),
        ("{seed: 7}", "{seed: seven}", "'seed' must be int"),
        ("another size", "another seed", "there twice"),
        ("budget_seconds: 20", "budget: 20", "exactly the keys"),
        ("budget_seconds: 20", "budget_seconds: 600", "a number up to 60"),
        ("budget_seconds: 20", "budget_seconds: soon", "a number up to 60"),
        ("parameters: {seed: 7}", "values: {seed: 7}", "exactly the keys"),
        ("sets:", "sets: [", "small.yml"),
    ],
)
def test_a_bad_file_is_refused(small, before, after, message):
    _, load_text = small
    assert before in GOOD
    with pytest.raises(ValueError, match=message):
        load_text(GOOD.replace(before, after))


def test_a_missing_file_is_refused(small, tmp_path):
    with pytest.raises(ValueError, match="has no variations"):
        load(small[0], tmp_path / "missing.yml")


@pytest.mark.parametrize(
    ("source", "parameters", "budget", "message"),
    [
        ("assert seed == 0, 'true for one lucky seed only'", {"seed": 7}, 20, "one lucky seed"),
        ("import time; time.sleep(seed)", {"seed": 30}, 3, "time budget of 3 s"),
        ("import warnings; seed and warnings.warn('odd')", {"seed": 7}, 20, "odd"),
        ("open('beside.txt')", {"seed": 7}, 20, "FileNotFoundError"),
    ],
)
def test_a_notebook_that_does_not_hold_is_caught(good, saved, tmp_path, source, parameters, budget, message):
    (tmp_path / "beside.txt").write_text("only here", encoding="utf-8")
    next(cell for cell in good.cells if "print(numbers" in cell.source).source = source
    with pytest.raises(NotebookError, match=message):
        run(saved(good), Variation("a set", parameters, budget))
