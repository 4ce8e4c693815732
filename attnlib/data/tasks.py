"""Four tasks of one form, a sequence in and a sequence out, from the other data sets of this package.

    task = load("day_first", 8000)
    task.train[0]
    # Example("niedziela, 11 czerwca 2034", (("2", "0", "3", "4", "-", …),))

- `sounds`: English words and their phonemes, from the pronouncing dictionary.
- `year_first`: dates in eight languages that write the year first, and the same in ISO 8601, which does so too.
- `day_first`: the same of eight languages that write the day first.
- `language`: the texts of `day_first`, and which of the eight languages each is in: one symbol.
"""

import json
from collections.abc import Iterable
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from attnlib.data import dates, pronunciations
from attnlib.data.pronunciations import Symbols

NAMES = ("sounds", "year_first", "day_first", "language")
YEAR_FIRST = ("eu", "hu", "ja", "ko", "lt", "mn", "se", "zh")
DAY_FIRST = ("de", "en_GB", "es", "fr", "it", "nl", "pl", "sv")
LONGEST_WORD = 8


class Example(NamedTuple):
    """What is read, and every answer that counts as right, the one to train on first."""

    source: str
    targets: tuple[tuple[str, ...], ...]


class Task(NamedTuple):
    """Examples to train on, to choose with and to test on, and the numbers of their symbols."""

    train: list[Example]
    valid: list[Example]
    test: list[Example]
    reads: Symbols
    writes: Symbols


def load(name: str, n: int, *, seed: int = 0) -> Task:
    """A task of n examples, on average an eighth of them to choose with and an eighth to test on.

    No word and no day is in two of the parts. seed: which examples are drawn, and how they are split.

    Raises ValueError for another name.
    """
    if name not in NAMES:
        raise ValueError(f"name must be one of {', '.join(NAMES)}: got {name!r}")
    if name == "sounds":
        words = pronunciations.subset(pronunciations.load(LONGEST_WORD), n, seed=seed)
        parts = pronunciations.split(words, valid=0.125, test=0.125, seed=seed)
        examples = [[Example(*item) for item in part.items()] for part in parts]
        return Task(*examples, Symbols(pronunciations.LETTERS), Symbols(pronunciations.PHONEMES))
    locales = YEAR_FIRST if name == "year_first" else DAY_FIRST
    written = dates.make_dates(n, seed=seed, locales=locales, formats=("full", "weekday"))
    examples = [
        [Example(one.text, ((one.locale,) if name == "language" else tuple(one.iso),)) for one in part]
        for part in dates.split(written, valid=0.125, test=0.125, seed=seed)
    ]
    characters = sorted({character for one in written for character in one.text})
    return Task(*examples, Symbols(characters), Symbols(locales if name == "language" else "-0123456789"))


def encode(task: Task, examples: Iterable[Example], *, end: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """n examples -> numbers [n, in_len], their lengths [n], and the first targets [n, out_len]; int64.

    All are padded at the end with 0. end: close each target with END.
    """
    examples = list(examples)
    source, lengths = task.reads.encode(one.source for one in examples)
    target, _ = task.writes.encode((one.targets[0] for one in examples), end=end)
    return source, lengths, target


def results() -> dict:
    """What `scripts/choose.py` wrote: the `predictions` and when they were made, and `runs`, a row for each.

    `after` are runs that were added when the results of the others were known.

    The file was made once and is not made again by anything that reads it; scripts/results/choose says how.
    """
    return json.loads(files("attnlib.data").joinpath("choose_results.json").read_text(encoding="utf-8"))
