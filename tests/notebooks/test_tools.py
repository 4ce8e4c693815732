"""The remaining tools: pins, the steps of `make test`, a new chapter."""

import os
import subprocess
import sys
import tomllib

import nbformat
import numpy as np
import pytest
from packaging.requirements import Requirement

from tools import check, new_chapter, pins
from tools.check import Step
from tools.hygiene import file_problems
from tools.run import store
from tools.variations import load


def test_this_environment_is_the_pinned_one():
    assert pins.main([]) == 0


@pytest.mark.parametrize(
    ("required", "locked", "here", "message"),
    [
        ({"numpy": "2.4.6"}, {}, {}, "numpy 2.4.6 is required but not installed"),
        ({"numpy": "2.4.6"}, {}, {"numpy": "2.4.5"}, "numpy is 2.4.5, pinned is 2.4.6"),
        ({}, {"six": "1.0"}, {"six": "1.1"}, "six is 1.1, pinned is 1.0"),
        ({}, {}, {"six": "1.1"}, "six 1.1 is installed but not pinned"),
        ({"six": "1.0"}, {"six": "1.1"}, {"six": "1.0"}, "six is pinned to 1.0 and to 1.1"),
    ],
)
def test_another_version_is_named(required, locked, here, message):
    assert message in pins.problems(required, locked, here)


def test_constraints_of_another_system_are_no_problem():
    assert pins.problems({"six": "1.0"}, {"pexpect": "4.9"}, {"six": "1.0"}) == []


@pytest.mark.parametrize("line", ["numpy", "numpy>=2", "numpy==2.*", "-r other.txt"])
def test_a_loose_pin_is_refused(tmp_path, line):
    path = tmp_path / "requirements.txt"
    path.write_text(f"# pins\nsix==1.17.0\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"requirements.txt:3 must read name==version"):
        pins.read(path)


def python(source):
    return [sys.executable, "-c", source]


def test_a_failing_step_hides_no_other(monkeypatch, capfd):
    ran = python("print('ran')")
    fails = python("raise SystemExit(3)")
    steps = [Step("first", (fails, ran)), Step("second", (ran,))]
    monkeypatch.setattr(check, "steps", lambda: steps)
    assert check.main([]) == 1
    out = capfd.readouterr().out
    assert out.count("ran\n") == 2
    assert "FAILED  first" in out
    assert "ok      second" in out
    assert "FAILED: first" in out
    assert check.main(["second"]) == 0
    assert "All steps passed." in capfd.readouterr().out


def test_a_step_that_is_not_there_is_an_error(capsys):
    with pytest.raises(SystemExit):
        check.main(["nbvla"])
    assert "no step is called nbvla" in capsys.readouterr().err


def test_every_part_of_the_contract_is_a_step():
    names = {step.name for step in check.steps()}
    assert {"library numpy", "library torch", "library tensorflow", "nbval", "variations", "site"} <= names
    assert "oldest-numpy" in names


def test_a_step_that_is_run_by_name_only_is_not_part_of_the_whole(monkeypatch, capfd):
    ran = [sys.executable, "-c", "print('ran')"]
    monkeypatch.setattr(check, "steps", lambda: [Step("usual", (ran,)), Step("extra", (ran,), by_name_only=True)])
    assert check.main([]) == 0
    assert "extra" not in capfd.readouterr().out
    assert check.main(["extra"]) == 0
    assert "ok      extra" in capfd.readouterr().out


def test_the_step_of_the_older_processor_sets_what_the_libraries_ask_for(tmp_path):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("import os; print(os.environ['OPENBLAS_CORETYPE'])")]
    )
    notebook.cells[0].execution_count = 1
    notebook.cells[0].outputs = [nbformat.v4.new_output("stream", name="stdout", text="Haswell\n")]
    nbformat.write(notebook, tmp_path / "core.ipynb")
    (step,) = (step for step in check.steps() if step.name == "older-processor")
    command = [*check.nbval_command(spread=False), "-p", "no:cacheprovider", tmp_path]
    # On some machines it is set for everything.
    options = {"cwd": check.ROOT, "stdout": subprocess.DEVNULL}
    options["env"] = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    assert "--older-processor" in step.commands[0]
    assert subprocess.run([*command, "--older-processor"], **options).returncode == 0
    assert subprocess.run(command, **options).returncode == 1


def test_the_oldest_numpy_is_the_one_that_attnlib_promises():
    """The promise of pyproject.toml, the pin, and the version that the tests ask for are one."""
    promised = tomllib.loads((check.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    text = (check.ROOT / "requirements-oldest.txt").read_text(encoding="utf-8")
    pins = [Requirement(line) for line in text.splitlines() if not line.startswith("#")]
    versions = {
        python: [str(pin.specifier) for pin in pins if pin.marker.evaluate({"python_version": python})]
        for python in ("3.11", "3.12", "3.13")
    }
    assert promised == ["numpy>=2.0"] and versions["3.11"] == versions["3.12"] == ["==2.0.2"]
    (here,) = versions[f"3.{sys.version_info.minor}"]
    assert here.startswith(f"=={check.OLDEST_NUMPY}.")


def test_the_step_stops_on_another_numpy():
    (command,) = check.oldest_numpy().commands
    elsewhere = [*command[: command.index("-o")], "--collect-only"]
    done = subprocess.run(elsewhere, capture_output=True, encoding="utf-8", cwd=check.ROOT)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"NumPy {check.OLDEST_NUMPY} was asked for, this is {np.__version__}" in done.stderr


@pytest.fixture
def book(tmp_path, monkeypatch):
    monkeypatch.setattr(new_chapter, "BOOK", tmp_path / "book")
    monkeypatch.setattr("tools.variations.BOOK", tmp_path / "book")
    monkeypatch.setattr("tools.variations.VARIATIONS", tmp_path / "variations")
    return tmp_path / "book"


def test_a_new_chapter_keeps_the_rules_once_it_is_run(book):
    notebook = book / "numpy" / "local_attention.ipynb"
    assert new_chapter.main([str(notebook), "Local attention"]) == 0
    store(notebook)
    assert file_problems(notebook) == []
    assert len(load(notebook)) == 2


def test_a_new_chapter_overwrites_nothing(book, capsys):
    notebook = str(book / "numpy" / "local_attention.ipynb")
    assert new_chapter.main([notebook, "Local attention"]) == 0
    assert new_chapter.main([notebook, "Another"]) == 1
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["local.ipynb", "book/local.ipynb", "book/numpy/local.md"])
def test_a_chapter_lies_in_a_part(book, capsys, path):
    assert new_chapter.main([str(book.parent / path), "Local attention"]) == 1
    assert "a chapter lies at" in capsys.readouterr().err


def test_the_setting_is_read_by_the_command():
    command = [sys.executable, "-m", "tools.repository"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=check.ROOT)
    assert done.stdout.startswith("https://github.com/")
