"""Training on dates: each training is done once, says what it depends on, and comes out the same again."""

import json
from dataclasses import replace

import pytest
import torch

from attnlib.data import dates
from attnlib.data.dates import Vocabulary
from scripts import train_dates as script

FRAMEWORK = "torch"
TINY = replace(script.MAIN, steps=3, batch=4)


@pytest.fixture(autouse=True)
def one_thread():
    """As the script trains; several would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(script, "EXAMPLES", 300)
    monkeypatch.setattr(script, "ASKED", 10)


def test_the_data_are_numbers_that_begin_and_end():
    parts, size = script.data()
    assert set(parts) == {"train", "valid", "test"}
    for source, lengths, target in parts.values():
        assert source.max() < size and lengths.max() <= source.shape[1]
        assert ((source != Vocabulary.PAD).sum(dim=1) == lengths).all()
        assert (target[:, -1] == script.END).all() and target[:, :-1].max() < script.END and target.min() >= 3


@pytest.mark.parametrize("one", [TINY, replace(script.RECURRENT, steps=3, batch=4)])
def test_a_result_says_what_it_depends_on(one):
    result = script.run(one)
    assert script.settings(result) == one and set(result["exact"]) == {"valid", "test"}
    assert result["versions"]["torch"] == torch.__version__
    assert script.run(one)["loss"] == result["loss"] != script.run(replace(one, seed=1))["loss"]


def test_what_is_done_is_not_done_again(tmp_path, monkeypatch):
    monkeypatch.setattr(script, "QUESTIONS", {"few": [TINY, replace(TINY, norm="post")], "rate": []})
    command = ["--only", "few", "--seeds", "1", "--out", str(tmp_path)]
    assert script.main(command) == 0
    first = (tmp_path / "results.json").read_text(encoding="utf-8")
    assert [row["norm"] for row in json.loads(first)] == ["pre", "post"]
    assert script.main(command) == 0
    assert (tmp_path / "results.json").read_text(encoding="utf-8") == first


def test_the_questions_are_listed(capsys):
    assert script.main(["--list", "--only", "rival", "rate"]) == 0
    assert capsys.readouterr().out == "rival: 6 rows, 18 trainings\nrate: 12 rows, 12 trainings\n"


def test_right_is_right_in_every_character():
    class Fixed(torch.nn.Module):
        def greedy(self, source, lengths, **options):
            assert options == {"start": script.START, "end": script.END, "max_len": 3}
            return torch.tensor([[3, 4, 14], [3, 5, 14], [3, 14, 14]])

    target = torch.tensor([[3, 4, 14], [3, 4, 14], [3, 14, 0]])
    assert script.exact(Fixed(), (None, None, target)) == pytest.approx(1 / 3)


def test_the_rate_rises_and_falls():
    rates = [script.schedule(step / 100, 0.1) for step in range(100)]
    assert rates[0] == 0 and max(rates) == max(rates[8:12]) > 0.95 and rates[-1] < 0.001
    assert script.schedule(0, 0.0) == 1


def test_the_results_kept_are_of_these_questions():
    rows = dates.transformer_results()
    kept = [script.settings(row) for row in rows]
    assert len(set(kept)) == len(kept) and set(kept) == set(script.wanted(script.QUESTIONS, 3))
    assert all(0 <= share <= 1 for row in rows for share in row["exact"].values())


def test_the_rates_are_those_that_were_best_on_the_dates_to_choose_with():
    rows = [row for row in dates.transformer_results() if row["seed"] == 9]
    for one in script.RIVALS:
        tried = [row for row in rows if row["positions"] == one.positions]
        assert len(tried) == 4 and max(tried, key=lambda row: row["exact"]["valid"])["rate"] == one.rate
