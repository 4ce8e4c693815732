"""Training at full size, on a few words: interrupted or not, on one process or two, the result is the same."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scripts import train_cmudict as script

FRAMEWORK = "torch"
ROOT = Path(script.__file__).parents[1]
TINY = script.Settings(kind="local-p", epochs=2, units=6, width=5, batch=13, words=150, max_len=7)
OPTIONS = "--kind local-p --epochs 2 --units 6 --width 5 --batch 13 --words 150 --max-len 7".split()
STEPS = 24  # two epochs of 144 pairs, 13 at a time, and one pair that is left


@pytest.fixture(scope="module")
def parts():
    return script.data(TINY.words, TINY.max_len)


@pytest.fixture(scope="module")
def straight(parts, tmp_path_factory):
    """Where a run that nobody interrupted left its files, and what it returned."""
    out = tmp_path_factory.mktemp("straight")
    return out, script.run(TINY, parts, out)


def parameters(out):
    return torch.load(out / "local-p-0.pt", weights_only=True)


def test_a_result_says_what_it_depends_on(straight):
    out, result = straight
    assert result["steps"] == STEPS == parameters(out)["step"]
    assert result["kind"] == "local-p" and result["units"] == 6 and result["versions"]["torch"] == torch.__version__
    assert 0 < result["wer"] <= 1 and result["test_words"] == len(script.data(150, 7)[2])
    assert list(result["by_length"]) == ["1 to 5", "6 to 8"]
    assert json.loads((out / "results.json").read_text(encoding="utf-8")) == [result]
    assert "test PER" in (out / "log.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("stops", [[15], [12], [2, 17]], ids=str)  # within an epoch, between two, and twice
def test_an_interrupted_run_ends_like_one_that_was_not(straight, parts, tmp_path, stops):
    for stop in stops:
        assert script.run(TINY, parts, tmp_path, stop_after=stop) is None
        assert parameters(tmp_path)["step"] == stop
    result = script.run(TINY, parts, tmp_path)
    whole, halves = parameters(straight[0]), parameters(tmp_path)
    assert all(torch.equal(whole["model"][name], halves["model"][name]) for name in whole["model"])
    assert (result["per"], result["wer"]) == (straight[1]["per"], straight[1]["wer"])


def test_a_finished_run_is_not_trained_again(straight, parts):
    out, result = straight
    before = parameters(out)["model"]
    assert script.run(TINY, parts, out)["per"] == result["per"]
    assert all(torch.equal(before[name], kept) for name, kept in parameters(out)["model"].items())


def test_other_settings_do_not_go_on_with_a_file(straight, parts):
    with pytest.raises(ValueError, match="is of other settings"):
        script.run(replace(TINY, rate=1e-4), parts, straight[0])


def test_batches_hold_every_pair_once_and_words_of_one_length(parts):
    train = script.pairs(parts[0])
    chunks = script.batches(train, TINY, 0)
    assert sorted(pair for chunk in chunks for pair in chunk) == sorted(train)
    assert len(chunks) == STEPS // 2 and sorted(map(len, chunks)) == [1] + 11 * [13]
    spread = [len({len(word) for word, _ in chunk}) for chunk in chunks]
    assert sum(spread) < 2 * len(chunks) + 5  # sorted; unsorted, most have five or more
    assert script.batches(train, TINY, 0) == chunks != script.batches(train, TINY, 1)
    assert script.batches(train, replace(TINY, seed=1), 0) != chunks


def test_the_rate_rises_and_falls():
    assert [round(script.schedule(x), 3) for x in (0, 0.025, 0.05, 0.525, 1)] == [0, 0.5, 1, 0.5, 0]


def test_results_are_kept_one_a_kind_and_seed(tmp_path):
    file = tmp_path / "results.json"
    for kind, seed, per in [("global", 1, 0.3), ("none", 0, 0.2), ("global", 0, 0.1), ("global", 1, 0.4)]:
        script.record({"kind": kind, "seed": seed, "per": per}, file)
    rows = json.loads(file.read_text(encoding="utf-8"))
    assert [(row["kind"], row["seed"], row["per"]) for row in rows] == [
        ("none", 0, 0.2),
        ("global", 0, 0.1),
        ("global", 1, 0.4),
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="torchrun's rendezvous is not built for Windows everywhere")
def test_two_processes_end_where_one_does(straight, tmp_path):
    """Through torchrun; of each epoch's batch of one pair the second process has no share."""
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "scripts.train_cmudict"]
    quiet = os.environ | {"OMP_NUM_THREADS": "1", "TORCHELASTIC_ERROR_FILE": str(tmp_path / "error.json")}
    done = subprocess.run(
        [sys.executable, *command, *OPTIONS, "--out", str(tmp_path)],
        cwd=ROOT,
        env=quiet,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    one, two = parameters(straight[0])["model"], parameters(tmp_path)["model"]
    assert all(torch.allclose(one[name], two[name], rtol=1e-3, atol=1e-4) for name in one)
    rows = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert abs(rows[0]["per"] - straight[1]["per"]) < 0.05
