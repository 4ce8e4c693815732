"""The four tasks: what they hold, that no part knows another, and that they are the same anywhere."""

import numpy as np
import pytest

from attnlib.data import tasks
from attnlib.data.pronunciations import Symbols

FRAMEWORK = "numpy"


@pytest.fixture(scope="module", params=tasks.NAMES)
def named(request):
    return request.param, tasks.load(request.param, 1200)


def test_no_source_and_no_day_is_in_two_parts(named):
    name, task = named
    for what in (lambda one: one.source, *([lambda one: one.targets[0]] if name.endswith("first") else [])):
        train, valid, test = ({what(one) for one in part} for part in task[:3])
        assert not train & valid and not train & test and not valid & test
    assert sum(map(len, task[:3])) == 1200
    assert 0.6 < len(task.train) / 1200 < 0.9 and min(len(task.valid), len(task.test)) > 80


def test_every_example_can_be_written_in_numbers_and_read_again(named):
    _, task = named
    for part in task[:3]:
        source, lengths, target = tasks.encode(task, part)
        assert ["".join(text) for text in task.reads.decode(source)] == [one.source for one in part]
        assert task.writes.decode(target) == [one.targets[0] for one in part]
        assert np.array_equal(lengths, (source > 0).sum(axis=1))
        assert np.all((target == Symbols.END).sum(axis=1) == 1)


def test_the_end_can_be_left_out(named):
    _, task = named
    *_, with_end = tasks.encode(task, task.valid)
    *_, without = tasks.encode(task, task.valid, end=False)
    assert not np.any(without == Symbols.END)
    assert np.array_equal((with_end > 0).sum(axis=1), (without > 0).sum(axis=1) + 1)


def test_what_the_tasks_are_of():
    sounds, years, days, language = (tasks.load(name, 1200) for name in tasks.NAMES)
    assert all(len(one.source) <= tasks.LONGEST_WORD for one in sounds.train)
    assert [one.source for one in days.train] == [one.source for one in language.train]
    assert {one.targets[0] for one in language.train} == {(locale,) for locale in tasks.DAY_FIRST}
    for task, begins in ((years, True), (days, False)):
        for one in task.train:
            year = "".join(one.targets[0])[:4]
            assert year in one.source and one.source.startswith(year) is begins


def test_a_seed_draws_other_examples_and_the_same_one_the_same():
    assert tasks.load("sounds", 300, seed=1) != tasks.load("sounds", 300)
    first, again, other = (tasks.load("day_first", 300, seed=seed) for seed in (0, 0, 1))
    assert first.train == again.train and first.train != other.train


def test_an_unknown_task():
    with pytest.raises(ValueError, match=r"name must be one of sounds, .*: got 'words'"):
        tasks.load("words", 10)


def test_the_stored_sweep_is_whole():
    stored = tasks.results()
    runs = [one for one in stored["runs"] if one["part"] == "test"]
    made = {(one["task"], one["kind"], one["seed"]) for one in runs}
    assert len(made) == len(runs) == 4 * 4 * 5
    assert set(stored["predictions"]["chosen"]) == set(tasks.NAMES)
    trials = {}
    for one in stored["runs"]:
        if one["part"] == "valid":
            trials.setdefault((one["task"], one["kind"]), []).append((one["error"], one["rate"]))
    assert all(len(found) == 2 for found in trials.values())
    for one in runs:  # the rate was chosen on other seeds and other examples
        assert one["rate"] == min(trials[one["task"], one["kind"]])[1]
        assert one["seed"] != 100 and stored["predictions"]["finished"] < one["finished"]
    last = max(one["finished"] for one in stored["runs"])
    assert len(stored["after"]) == 10 and all(one["finished"] > last for one in stored["after"])
