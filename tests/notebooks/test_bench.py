"""The benchmark runs, and what it reports is what was measured: a missed target is missed."""

import csv
import re

import pytest

from scripts.bench import __main__ as bench
from scripts.bench import report, worker
from scripts.bench.results import COMPARISONS, Results
from scripts.bench.targets import TARGETS

LENGTHS = bench.LENGTHS


def made_up(seconds, mib=1.0, counted=1.0):
    """Results of every race; `seconds` says how long a form takes, all others take one second."""
    results = Results()
    for suite in bench.RACES:
        names = {name for its, *pair in COMPARISONS if its == suite for name in pair}
        for length in LENGTHS:
            for backward in (False, True):
                results.races[suite, length, backward] = [
                    {"name": n, "causal": c, "seconds": [seconds(n, c)] * 3, "mib": mib if n in OURS else 10.0}
                    for n in names
                    for c in (False, True)
                ]
    for name in COUNTED:
        results.values[name] = counted
    return results


OURS = ("explicit", "tiled", "fused")
COUNTED = (
    "numpy tiled, 256, full: MiB held beyond the output",
    "torch tiled, 8 tiles: causal operations over (n + 1) / 2n",
    "torch tiled, 4096, full: largest tensor over N × N",
    "torch fused: growth with a cache",
    "torch tiled, full: error against naive's",
    "import attnlib.numpy: milliseconds beyond NumPy's",
)


def found(results):
    return {target.what: (worst, where, word) for target, worst, where, word in report.verdicts(results, LENGTHS)}


def test_every_target_finds_what_was_measured_for_it():
    fast = made_up(lambda name, causal: (0.4 if name in OURS else 1.0) * (0.5 if causal else 1.0))
    words = {what: word for what, (*_, word) in found(fast).items()}
    assert len(words) == len(TARGETS)
    missed = [what for what, word in words.items() if word != "met"]
    assert missed == ["PyTorch tiled: largest tensor over N × N (below 1)"]  # which is 1 here


def test_a_missed_target_is_reported_as_missed(capsys):
    slow = made_up(lambda name, causal: 3.0 if name in OURS else 1.0, mib=20.0, counted=40.0)
    lines = report.judged(report.verdicts(slow, LENGTHS))
    assert {word for *_, word in found(slow).values()} == {"missed"}
    assert f"0 met, {len(TARGETS)} missed, 0 not measured of {len(TARGETS)} targets" in lines
    assert [line for line in lines if line.startswith("MISSED: ")] == [f"MISSED: {t.what}" for t in TARGETS]


def test_the_worst_length_decides_and_is_named():
    results = made_up(lambda name, causal: 0.2)
    for run in results.races["torch attention", 1024, True]:
        if run["name"] == "tiled" and run["causal"]:
            run["seconds"] = [0.14, 0.14, 9.0]  # the median counts, not the mean
    worst, where, word = found(results)["PyTorch tiled against naive"]
    assert (worst, where, word) == (1.0, "torch attention, 256, forward, full", "missed")
    results = made_up(lambda name, causal: 0.2 if name in OURS else 1.0)
    for run in results.races["torch attention", 1024, True]:
        if run["name"] == "tiled" and run["causal"]:
            run["seconds"] = [0.6, 0.6, 0.1]
    worst, where, word = found(results)["PyTorch tiled against naive"]
    assert (worst, where, word) == (0.6, "torch attention, 1024, forward + backward, causal", "missed")


def test_fewer_operations_than_there_are_is_as_wrong_as_more():
    for counted, word in ((0.9, "missed"), (1.0, "met"), (1.1, "missed")):
        results = made_up(lambda name, causal: 1.0, counted=counted)
        assert found(results)["causal tiles: operations over (n + 1) / 2n"][2] == word


def test_what_was_not_measured_is_not_met():
    assert {word for *_, word in found(Results()).values()} == {"not measured"}
    results = made_up(lambda name, causal: 0.1, mib=None)
    assert found(results)["Keras multi-head, tiled, 4096: memory"] == (None, "", "not measured")


def test_a_case_that_fails_is_an_error_and_hides_no_other(tmp_path, monkeypatch, capsys):
    def ask(its_cases, seconds, quick):
        if its_cases[0].suite == "decode numpy":
            raise RuntimeError("decode numpy failed:\nTraceback")
        return [{"numpy tiled, 64, full: MiB held beyond the output": 3.0}]

    monkeypatch.setattr(bench, "ask", ask)
    words = ["--cases", "numpy", "--out", str(tmp_path)]
    monkeypatch.setattr(bench, "RACES", ())
    assert bench.main(words) == 1
    captured = capsys.readouterr()
    assert "FAILED: decode numpy failed" in captured.err
    assert "1 met, 0 missed" in captured.out


def test_every_round_calls_all_in_an_order_of_its_own():
    called = []
    contestants = {name: (lambda name=name: called.append(name)) for name in "abcde"}
    times = worker.race(contestants, seconds=0, fewest=6)
    worker.peaks(contestants)
    rounds = ["".join(called[i : i + 5]) for i in range(0, len(called), 5)]
    timed, memory = rounds[:-5], rounds[-5:]
    assert all(sorted(each) == list("abcde") for each in rounds) and len(set(timed)) > 3
    assert memory == ["abcde"] * 5
    assert [len(times[name]) for name in "abcde"] == [len(timed) - 1] * 5  # the first is not timed


def test_what_the_book_shows_is_kept_from_a_whole_run_alone(tmp_path, monkeypatch, capsys):
    kept = tmp_path / "kept"
    kept.mkdir()
    monkeypatch.setattr(bench, "RESULTS", kept)
    monkeypatch.setattr(bench, "ask", lambda its_cases, seconds, quick: [{"a piece, of another's time": 0.25}])
    monkeypatch.setattr(bench, "RACES", ())
    for words in (["--cases", "numpy"], ["--quick"]):
        with pytest.raises(SystemExit):
            bench.main([*words, "--keep", "--out", str(tmp_path / "out")])
    assert "--keep is for a whole run" in capsys.readouterr().err and not any(kept.iterdir())
    assert bench.main(["--keep", "--out", str(tmp_path / "out")]) == 0
    tables = (kept / "tables.md").read_text(encoding="utf-8")
    assert "| a piece, of another's time | 0.25 |" in tables
    page = (bench.ROOT / "book" / "reference" / "speed.md").read_text(encoding="utf-8")
    assert set(re.findall(r"<!-- \w+ -->", page)) == set(re.findall(r"<!-- \w+ -->", tables))

    def failing(its_cases, seconds, quick):
        raise RuntimeError("failed")

    monkeypatch.setattr(bench, "ask", failing)
    (kept / "tables.md").write_text("what was there", encoding="utf-8")
    assert bench.main(["--keep", "--out", str(tmp_path / "out")]) == 1
    assert (kept / "tables.md").read_text(encoding="utf-8") == "what was there"


def test_a_case_that_is_not_there_is_an_error(capsys):
    with pytest.raises(SystemExit):
        bench.main(["--cases", "numpyy"])
    assert "no case has numpyy in its name" in capsys.readouterr().err


@pytest.mark.parametrize("framework", ["numpy", "torch", "tensorflow"])
def test_every_case_still_runs(framework, tmp_path, monkeypatch, capsys):
    cases = [case for case in bench.cases(bench.QUICK) if case.framework == framework]
    monkeypatch.setattr(bench, "cases", lambda lengths: cases)
    assert bench.main(["--quick", "--out", str(tmp_path)]) == 0, capsys.readouterr().err
    with (tmp_path / "measurements.csv").open(encoding="utf-8") as file:
        measured = {row["suite"] for row in csv.DictReader(file)}
    assert measured == {case.suite for case in cases if case.length}
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert "cores" in (tmp_path / "machine.txt").read_text(encoding="utf-8")
    with (tmp_path / "targets.csv").open(encoding="utf-8") as file:
        assert {row["verdict"] for row in csv.DictReader(file)} <= {"met", "missed", "not measured"}
