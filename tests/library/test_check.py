"""`python -m attnlib.check`, the command that tells a reader whether attnlib works on their machine."""

import re
from pathlib import Path

import numpy as np
import pytest

from attnlib import check

SETUP = Path(__file__).resolve().parents[2] / "book" / "setup.md"


def test_says_what_the_set_up_page_promises(capsys):
    promised = re.search(r"^numpy +([\d.]+) +(.*)$", SETUP.read_text(encoding="utf-8"), re.MULTILINE)
    assert check.main(["numpy"]) == 0
    name, version, verdict = capsys.readouterr().out.strip().split(maxsplit=2)
    assert (name, version, verdict) == ("numpy", np.__version__, promised[2])


def test_says_what_is_wrong(monkeypatch, capsys):
    monkeypatch.setattr(check, "by_framework", lambda name: (11.5, "0.0"))
    assert check.main(["numpy"]) == 1
    assert "WRONG: 11.5, by hand 11.31" in capsys.readouterr().out


def test_says_what_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(check.importlib.util, "find_spec", lambda name: None)
    assert check.main(["torch"]) == 0
    assert capsys.readouterr().out.split() == ["torch", "not", "installed"]


def test_refuses_what_it_does_not_know(capsys):
    assert check.main(["jax"]) == 2
    assert "no framework of the book: jax" in capsys.readouterr().out


def test_runs_each_framework_in_a_process_of_its_own(monkeypatch):
    class Done:
        returncode = 0

    commands = []
    monkeypatch.setattr(check.subprocess, "run", lambda command, **_: commands.append(command[-1]) or Done)
    assert check.main([]) == 0
    assert commands == ["numpy", "torch", "tensorflow"]


def test_by_hand_is_the_softmax_of_three_scores():
    assert check.by_hand() == pytest.approx(11.31, abs=5e-3)
