"""Files of results: added to, and never half written."""

import pytest

from scripts import result_files


def test_results_are_added_to_those_there_are(tmp_path):
    file = tmp_path / "results.json"
    assert result_files.read(file) == []
    for seed in (0, 1):
        result_files.record({"seed": seed}, file)
    assert result_files.read(file) == [{"seed": 0}, {"seed": 1}]
    assert list(tmp_path.iterdir()) == [file]


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "results.json"
    result_files.record({"seed": 0}, file)

    def broken(source, target):
        raise OSError("no space left")

    monkeypatch.setattr(result_files.os, "replace", broken)
    with pytest.raises(OSError, match="no space left"):
        result_files.record({"seed": 1}, file)
    assert result_files.read(file) == [{"seed": 0}]
