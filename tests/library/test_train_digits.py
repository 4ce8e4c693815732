"""Training on the digits: each training is done once, says what it depends on, and comes out the same again."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import attnlib.torch as attn
from attnlib.data import digits
from scripts import train_digits as script

FRAMEWORK = "torch"
TINY = replace(script.MAIN, steps=6, images=70)
FAST = {"few": [TINY, replace(TINY, model="convolution"), replace(script.LOGISTIC, images=70)]}


@pytest.fixture(autouse=True)
def one_thread():
    """As the script trains; several would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_result_says_what_it_depends_on():
    result = script.run(TINY)
    assert script.settings(result) == TINY and result["parameters"] == 18218
    assert set(result["accuracy"]) == {"train", "valid", "test"}
    assert result["versions"]["torch"] == torch.__version__
    again = script.run(TINY)
    assert again["accuracy"] == result["accuracy"]
    assert script.run(replace(TINY, seed=1))["accuracy"] != result["accuracy"]


def test_what_is_done_is_not_done_again(tmp_path, monkeypatch):
    monkeypatch.setattr(script, "QUESTIONS", FAST)
    command = ["--only", "few", "--seeds", "1", "--out", str(tmp_path)]
    assert script.main(command) == 0
    first = (tmp_path / "results.json").read_text(encoding="utf-8")
    assert [row["model"] for row in json.loads(first)] == ["transformer", "convolution", "logistic"]
    assert script.main(command) == 0
    assert (tmp_path / "results.json").read_text(encoding="utf-8") == first
    assert script.main([*command[:2], "--seeds", "2", *command[4:]]) == 0
    assert len(json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))) == 6


def test_the_questions_are_listed(capsys):
    assert script.main(["--list", "--only", "patch"]) == 0
    assert capsys.readouterr().out == "patch: 3 rows, 9 trainings\n"


def test_every_question_has_the_model_it_compares_with():
    for name, rows in script.QUESTIONS.items():
        assert script.MAIN in rows and len(set(rows)) == len(rows), name


def test_the_rate_rises_and_falls():
    rates = [script.schedule(step / 100) for step in range(100)]
    assert rates[0] == 0 and rates[5] == 1 == max(rates) and rates[-1] < 0.001
    assert rates[:6] == sorted(rates[:6]) and rates[5:] == sorted(rates[5:], reverse=True)


@pytest.mark.parametrize("model", ["logistic", "neighbours"])
def test_baselines_are_better_than_chance(model):
    accuracy = script.run(replace(script.LOGISTIC, model=model, images=200))["accuracy"]
    assert accuracy["test"] > 0.6 and accuracy["train"] > 0.95


def test_nine_copies():
    train, _, _ = digits.split()
    images, labels = script.moved(train.images[:5], train.labels[:5])
    assert images.shape == (45, 8, 8, 1) and labels.tolist() == train.labels[:5].tolist() * 9
    assert np.array_equal(images[20:25], train.images[:5])  # the fifth shift is none


def test_a_wrong_cut_is_what_its_line_of_code_gives():
    images = torch.arange(128.0).view(2, 8, 8, 1)
    strips = images.reshape(2, 16, 4)
    assert torch.equal(attn.image_patches(script.Cut("strips", 2)(images), 2), strips)
    lattice = images.unflatten(1, (2, 4)).unflatten(3, (2, 4))  # [b, p, rows, p, columns, 1]: sizes the wrong way round
    lattice = lattice.permute(0, 2, 4, 1, 3, 5).reshape(2, 16, 4)
    assert torch.equal(attn.image_patches(script.Cut("lattice", 2)(images), 2), lattice)


def test_the_results_kept_are_of_these_questions():
    rows = digits.results()
    kept = [script.settings(row) for row in rows]
    assert len(set(kept)) == len(kept)
    wanted = {replace(one, seed=seed) for rows in script.QUESTIONS.values() for one in rows for seed in range(3)}
    assert set(kept) == wanted
    assert all(0 <= share <= 1 for row in rows for share in row["accuracy"].values())
