"""Training on the digits in Keras: each training is done once, and says what it depends on."""

import json

import keras
import pytest

from attnlib.data import digits
from scripts import train_digits_keras as script

FRAMEWORK = "tensorflow"


def test_what_is_done_is_not_done_again(tmp_path, monkeypatch):
    monkeypatch.setattr(script, "MODELS", {"convolution": script.MODELS["convolution"]})
    command = ["--seeds", "1", "--steps", "10", "--out", str(tmp_path)]
    assert script.main(command) == 0
    first = (tmp_path / "results.json").read_text(encoding="utf-8")
    (row,) = json.loads(first)
    assert script.settings(row) == script.Settings("convolution", steps=10) and row["parameters"] == 18154
    assert set(row["accuracy"]) == {"train", "valid", "test"} and row["versions"]["keras"] == keras.__version__
    assert script.main(command) == 0
    assert (tmp_path / "results.json").read_text(encoding="utf-8") == first


@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_the_results_kept_are_of_the_same_budget(framework):
    rows = digits.results(framework)
    kept = {(row["model"], row["seed"]) for row in rows}
    assert len(rows) == len(kept) == 16
    assert kept == {(model, seed) for seed in range(8) for model in script.MODELS}
    for row in rows:
        budget = script.Settings(row["model"], row["seed"])
        assert script.settings(row) == budget
        assert row["parameters"] == {"transformer": 18218, "convolution": 18154}[row["model"]]
        assert all(0 <= share <= 1 for share in row["accuracy"].values())
