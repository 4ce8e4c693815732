"""The sweep of "Understand the data, then choose": what is run once, and what it refuses."""

import json

import pytest

from attnlib.data import tasks
from scripts import choose as script

FRAMEWORK = "torch"


@pytest.fixture
def instant(monkeypatch):
    """Runs that take no time: the error is better with the higher rate, but for `none`."""
    made = []

    def run(wanted):
        made.append(wanted)
        return wanted | {"error": wanted["rate"] if wanted["kind"] == "none" else 1 - wanted["rate"], "parameters": 1}

    monkeypatch.setattr(script, "run", run)
    monkeypatch.setattr(script, "predict", lambda task: "global")
    return made


def test_every_part_is_made_once_and_collected(instant, tmp_path):
    for part in ("0/2", "1/2", "0/2"):
        assert script.main(["--out", str(tmp_path), "--part", part]) == 0
    assert len(instant) == 4 * 4 * (2 + 5)
    assert script.main(["--out", str(tmp_path), "--collect", str(tmp_path / "all.json")]) == 0
    found = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))
    assert len(found["runs"]) == len(instant) and found["predictions"]["chosen"] == dict.fromkeys(tasks.NAMES, "global")
    for one in found["runs"]:
        assert (one["part"] == "valid") == (one["seed"] == script.TRIAL)
        if one["part"] == "test":
            assert one["rate"] == (0.01 if one["kind"] == "none" else 0.02)


def test_a_prediction_is_not_written_over(instant, tmp_path, monkeypatch):
    script.main(["--out", str(tmp_path), "--part", "0/16"])
    before = (tmp_path / "predictions.json").read_text(encoding="utf-8")
    monkeypatch.setattr(script, "predict", lambda task: "none")
    script.main(["--out", str(tmp_path), "--part", "1/16"])
    assert (tmp_path / "predictions.json").read_text(encoding="utf-8") == before


def test_one_run_does_what_it_is_asked_for():
    wanted = script.settings("sounds", "local-m", 1, 0.02, "test") | {"steps": 2, "n": 200}
    result = script.run(wanted)
    assert wanted.items() <= result.items() and result["error"] > 0.5


def test_a_misspelled_parameter_is_an_error():
    with pytest.raises(ValueError, match="the settings that were asked for"):
        script.run({"task": "sounds", "knd": "none", "steps": 1, "n": 200})


def test_the_runs_are_counted(capsys):
    assert script.main(["--list"]) == 0
    assert capsys.readouterr().out == "32 trials and 80 runs\n"


def test_a_prediction_is_made_from_the_examples_to_train_on():
    assert script.predict("language") == "none"


def test_runs_that_are_added_stand_apart(instant, tmp_path):
    for _ in range(2):
        assert script.main(["--out", str(tmp_path), "--after"]) == 0
    assert [(one["task"], one["kind"], one["rate"], one["part"]) for one in instant] == [
        (task, "local-p", rate, "test") for task, rate in script.AFTER.items() for _ in script.SEEDS
    ]
    script.main(["--out", str(tmp_path), "--part", "0/16"])
    script.main(["--out", str(tmp_path), "--collect", str(tmp_path / "all.json")])
    found = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))
    assert [one["seed"] for one in found["after"]] == 2 * list(script.SEEDS) and len(found["runs"]) == 2 + 5
