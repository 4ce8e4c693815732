"""Dates as people write them, in twenty languages, and the same dates in ISO 8601.

    examples = make_dates(30_000, seed=0)
    train, valid, test = split(examples)            # no date is in two of them
    characters = Vocabulary(example.text for example in train)
    ids, lengths = characters.encode([example.text for example in train])

What people write comes from the Unicode CLDR, as Babel ships it: `Tuesday, February 4, 2031`, `4. helmikuuta 2031`,
`2031年2月4日`. The digits are those of the locale: Arabic as written in Egypt has its own. The calendar is the
Gregorian everywhere.

**A text has one meaning.** Numbers alone may not: 3/4/31 is a day in March to an American and in April to a
Spaniard, and no model can know which. So the format that writes them, `short`, is left out unless asked for;
`readings` says what each text may mean, and with it how well the best of models could do.
"""

import hashlib
import json
import random
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np

try:
    import babel
    from babel import dates as cldr
except ImportError as error:
    raise ImportError('attnlib.data.dates needs Babel: pip install "attnlib[book]"') from error

LOCALES = {
    "ar_EG": "Arabic (Egypt)",
    "de": "German",
    "el": "Greek",
    "en_GB": "English (UK)",
    "en_US": "English (US)",
    "es": "Spanish",
    "fi": "Finnish",
    "fr": "French",
    "he": "Hebrew",
    "hi": "Hindi",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ru": "Russian",
    "sv": "Swedish",
    "tr": "Turkish",
    "zh": "Chinese",
}
FORMATS = ("full", "long", "medium", "weekday", "casual")
YEARS = (1950, 2049)  # a hundred, so that even two digits tell the year

_SKELETONS = {"weekday": "yMMMEd"}  # Tue, Feb 4, 2031
_ZEROS = {"arab": "٠", "arabext": "۰", "beng": "০", "deva": "०", "latn": "0"}
_CARELESS = str.maketrans("", "", ",.،")
_PARTS: dict[str, Callable[[date], int]] = {  # what a field of a pattern depends on, by its first letter
    "y": lambda day: day.year,
    "M": lambda day: day.month,
    "L": lambda day: day.month,
    "d": lambda day: day.day,
    "E": date.weekday,
    "c": date.weekday,
}


class Example(NamedTuple):
    """One date: as written, in ISO 8601, and where and how it is written so."""

    text: str
    iso: str
    locale: str
    format: str


def make_dates(
    n: int,
    *,
    seed: int,
    locales: Iterable[str] = tuple(LOCALES),
    formats: Iterable[str] = FORMATS,
    years: tuple[int, int] = YEARS,
) -> list[Example]:
    """n examples: a date, a locale and a format, drawn evenly and independently; the same for a seed anywhere.

    locales: any that Babel knows. formats: among `full`, `long`, `medium`, `short` (CLDR's four), `weekday` (its
    abbreviated date with the day of the week) and `casual` (`long` in lower case, without commas and points).
    years: first and last.

    Raises ValueError for a negative n, an unknown locale or format, and years outside 1000 to 9999.
    """
    if n < 0:
        raise ValueError(f"n must be at least 0: got {n}")
    locales, formats = _known(locales, formats)
    first, days = _span(years)
    # random() is the one method whose numbers Python promises to keep; NumPy's generators may change theirs.
    draw = random.Random(seed).random
    examples = []
    for _ in range(n):
        day = first + timedelta(int(draw() * days))
        locale, form = locales[int(draw() * len(locales))], formats[int(draw() * len(formats))]
        examples.append(Example(_writer(locale, form)(day), day.isoformat(), locale, form))
    return examples


def write_date(day: date, locale: str, format: str) -> str:
    """A date as it is written there: `write_date(date(2031, 2, 4), "fi", "long")` is `4. helmikuuta 2031`."""
    (locale,), (format,) = _known([locale], [format])
    return _writer(locale, format)(day)


def split(
    examples: Iterable[Example], *, valid: float = 0.1, test: float = 0.1, seed: int = 0
) -> tuple[list[Example], list[Example], list[Example]]:
    """Training, validation and test examples, such that no date is in two of them.

    A date's place depends on nothing but the date and the seed, so that a larger data set, or one in other
    languages, splits the same way. The fractions are therefore met on average, not exactly.
    """
    if not (valid >= 0 and test >= 0 and valid + test <= 1):
        raise ValueError(f"valid and test must be at least 0, together at most 1: got {valid} and {test}")
    parts: tuple[list[Example], list[Example], list[Example]] = ([], [], [])
    for example in examples:
        place = _place(example.iso, seed)
        parts[2 if place < test else 1 if place < test + valid else 0].append(example)
    return parts


def readings(
    *,
    locales: Iterable[str] = tuple(LOCALES),
    formats: Iterable[str] = FORMATS,
    years: tuple[int, int] = YEARS,
) -> dict[str, set[str]]:
    """Every text that these locales and formats can write, with every date, in ISO 8601, that it may mean.

    A text with k readings is ambiguous if k > 1, and no model gets more than one in k of its dates right.
    (Over a century that is 36,525 texts for each locale and format: choose the formats in question.)
    """
    locales, formats = _known(locales, formats)
    writers = [_writer(locale, form) for locale in locales for form in formats]
    first, days = _span(years)
    meanings: dict[str, set[str]] = {}
    for day in (first + timedelta(i) for i in range(days)):
        iso = day.isoformat()
        for write in writers:
            meanings.setdefault(write(day), set()).add(iso)
    return meanings


def transformer_results() -> list[dict]:
    """What `scripts/train_dates.py` wrote: a row for each training, with all settings.

    The file was made once and is not made again by anything that reads it; scripts/results/dates says how.
    """
    return json.loads(files("attnlib.data").joinpath("dates_results.json").read_text(encoding="utf-8"))


def normalise(text: str) -> str:
    """NFC, every kind of space a plain one (CLDR has narrow and no-break ones), no invisible marks of direction."""
    visible = (c for c in unicodedata.normalize("NFC", text) if unicodedata.category(c) != "Cf")
    return " ".join("".join(visible).split())


class Vocabulary:
    """Characters and their numbers: 0 pads, 1 starts a sequence, 2 stands for a character never seen.

    texts: where the characters come from; they are numbered from 3 in the order of their code points.
    """

    PAD, START, UNKNOWN = 0, 1, 2

    def __init__(self, texts: Iterable[str]) -> None:
        self.characters = "".join(sorted(set().union(*texts)))
        self._number = {character: i for i, character in enumerate(self.characters, start=3)}

    def __len__(self) -> int:
        """How many numbers there are, the three special ones included."""
        return len(self.characters) + 3

    def encode(self, texts: Sequence[str], max_len: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """n texts -> numbers [n, max_len], padded at the end with 0, and lengths [n]; both int32.

        Raises ValueError for a text longer than max_len (by default the length of the longest).
        """
        lengths = np.array([len(text) for text in texts], dtype=np.int32)
        longest = int(lengths.max(initial=0))
        max_len = longest if max_len is None else max_len
        if longest > max_len:
            text = texts[int(lengths.argmax())]
            raise ValueError(f"texts must have at most max_len = {max_len} characters: got {longest} in {text!r}")
        ids = np.full((len(texts), max_len), self.PAD, dtype=np.int32)
        for row, text in zip(ids, texts, strict=True):
            row[: len(text)] = [self._number.get(character, self.UNKNOWN) for character in text]
        return ids, lengths

    def decode(self, ids: np.ndarray) -> list[str]:
        """Numbers [n, length] -> n texts; padding and start are left out, an unknown character is �."""
        known = ["", "", "�", *self.characters]
        return ["".join(known[i] for i in row) for row in np.asarray(ids).tolist()]


def _known(locales: Iterable[str], formats: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    locales, formats = tuple(locales), tuple(formats)
    if not locales or not formats:
        raise ValueError(f"locales and formats must not be empty: got {locales} and {formats}")
    for form in formats:
        if form not in (*FORMATS, "short"):
            raise ValueError(f"formats must be among {', '.join((*FORMATS, 'short'))}: got {form!r}")
    for locale in locales:
        try:
            babel.Locale.parse(locale)
        except (babel.UnknownLocaleError, ValueError, TypeError):
            raise ValueError(f"locales must be known to Babel, such as 'fr' or 'en_GB': got {locale!r}") from None
    return locales, formats


def _span(years: tuple[int, int]) -> tuple[date, int]:
    if not 1000 <= years[0] <= years[1] <= 9999:
        raise ValueError(f"years must be the first and the last of a span within 1000 to 9999: got {years}")
    first = date(years[0], 1, 1)
    return first, (date(years[1], 12, 31) - first).days + 1


def _place(iso: str, seed: int) -> float:
    digest = hashlib.sha256(f"{seed} {iso}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


@lru_cache
def _writer(locale: str, form: str) -> Callable[[date], str]:
    """The function that writes a date in one way. The parts of dates are few: Babel is asked for each once."""
    info = babel.Locale.parse(locale)
    if form in _SKELETONS:
        pattern = info.datetime_skeletons[_SKELETONS[form]].format
    else:
        pattern = cldr.get_date_format("long" if form == "casual" else form, info).format
    digits = str.maketrans("0123456789", _digits(info.default_numbering_system))

    def finish(piece: str) -> str:
        piece = piece.translate(digits)
        return piece.lower().translate(_CARELESS) if form == "casual" else piece

    # Babel's patterns look like "%(d)s. %(MMMM)s %(y)s": what stands between the fields, and the fields.
    between, fields = (re.split(r"%\((\w+)\)s", normalise(pattern))[start::2] for start in (0, 1))
    template = "%s".join(finish(piece) for piece in between)
    tables: list[tuple[str, Callable[[date], int], dict[int, str]]] = [(f, _PARTS[f[0]], {}) for f in fields]

    def write(day: date) -> str:
        parts = []
        for field, value_of, written in tables:
            value = value_of(day)
            if value not in written:
                written[value] = finish(normalise(cldr.DateTimeFormat(day, info)[field]))
            parts.append(written[value])
        return template % tuple(parts)

    return write


def _digits(system: str) -> str:
    zero = _ZEROS.get(system, "0")
    return "".join(chr(ord(zero) + i) for i in range(10))
