"""tools.run stores what a fresh kernel printed, and leaves the file alone when a run fails."""

import time

import pytest

from tools.hygiene import problems
from tools.normalise import dumps, normalise
from tools.run import NotebookError, execute, main, store


def cell(notebook, text):
    return next(each for each in notebook.cells if text in each.source)


def test_running_again_changes_no_byte(good, saved):
    path = saved(good)
    store(path)
    first = path.read_bytes()
    store(path)
    assert path.read_bytes() == first == dumps(good).encode("utf-8")


def test_a_stale_output_is_replaced(good, saved):
    cell(good, "print(numbers").outputs[0].text = "made up\n"
    path = saved(good)
    store(path)
    assert "made up" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import os\nos._exit(1)", "kernel died"),
        ("import warnings\nwarnings.warn('careful')\nprint(object())", "careful"),
    ],
)
def test_a_failing_notebook_stays_as_it_was(good, saved, capsys, source, message):
    cell(good, "print(numbers").source = source
    path = saved(good)
    before = path.read_bytes()
    assert main([str(path)]) == 1
    assert path.read_bytes() == before
    assert sorted(path.parent.iterdir()) == [path]
    assert message in capsys.readouterr().err


def test_parameters_reach_the_cells_and_are_not_stored(good, saved):
    path = saved(good)
    executed, _ = execute(path, parameters={"width": 3})
    # Three numbers are printed, [a b c], where the file has four.
    assert len(cell(executed, "print(numbers").outputs[0].text.strip("[] \n").split()) == 3
    assert dumps(good).encode("utf-8") != dumps(normalise(executed)).encode("utf-8")
    store(path)
    assert problems(normalise(good)) == []


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"widht": 3}, "unknown parameter 'widht'; the notebook declares: seed, width"),
        ({"width": 3.5}, "'width' must be int, got 3.5"),
        ({"width": True}, "'width' must be int, got True"),
        ({"seed": "7"}, "'seed' must be int, got '7'"),
    ],
)
def test_a_wrong_parameter_is_an_error(good, saved, parameters, message):
    with pytest.raises(NotebookError, match=message.replace("(", r"\(")):
        execute(saved(good), parameters=parameters)


def test_a_missing_parameters_cell_is_an_error(good, saved):
    del cell(good, "seed: int").metadata["tags"]
    with pytest.raises(NotebookError, match="exactly one cell must be tagged `parameters`, found 0"):
        execute(saved(good))


def test_a_cell_that_does_not_end_is_an_error(good, saved):
    cell(good, "print(numbers").source = "import time\ntime.sleep(300)"
    start = time.monotonic()
    with pytest.raises(NotebookError, match="over its time budget of 2 s"):
        execute(saved(good), budget_seconds=2)
    assert time.monotonic() - start < 60


def test_a_whole_run_over_its_budget_is_an_error(good, saved):
    # No single cell is.
    busy = "import time\nend = time.process_time() + 1.5\nwhile time.process_time() < end:\n    pass"
    for text in ("print(numbers", "plt.subplots", "len(numbers)"):
        cell(good, text).source = busy
    with pytest.raises(NotebookError, match=r"took .* s, over its time budget of 4 s"):
        execute(saved(good), budget_seconds=4)


def test_waiting_for_a_turn_is_not_a_cost(good, saved):
    # As on a busy machine: time passes, the kernel does nothing.
    cell(good, "plt.subplots").source = "import time\ntime.sleep(6)"
    _, seconds = execute(saved(good), budget_seconds=6)
    assert seconds > 6
