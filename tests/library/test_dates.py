"""The data set of dates: one meaning a text, the same everywhere, and no date on both sides of a split."""

import hashlib
import os
import subprocess
import sys
import unicodedata
from collections import Counter
from datetime import date

import babel.dates
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnlib.data.dates import FORMATS, LOCALES, Vocabulary, make_dates, normalise, readings, split, write_date

EVERY_FORMAT = (*FORMATS, "short")
DIGEST = "69e306d79b508ac1c23ba3e71edc7aafceb2c7c85009e7c77eab3bdb24135319"  # printed by the code of the test
days = st.dates(date(1000, 1, 1), date(9999, 12, 31))
locales = st.sampled_from(sorted(LOCALES))
formats = st.sampled_from(FORMATS)


@pytest.mark.parametrize(
    ("locale", "form", "text"),
    [
        ("en_US", "full", "Tuesday, February 4, 2031"),
        ("en_GB", "full", "Tuesday, 4 February 2031"),
        ("de", "weekday", "Di., 4. Feb. 2031"),
        ("fi", "long", "4. helmikuuta 2031"),
        ("fr", "medium", "4 févr. 2031"),
        ("tr", "casual", "4 şubat 2031"),
        ("en_US", "casual", "february 4 2031"),
        ("ja", "full", "2031年2月4日火曜日"),
        ("ko", "medium", "2031. 2. 4."),
        ("ar_EG", "long", "٤ فبراير ٢٠٣١"),
        ("ar_EG", "medium", "٠٤/٠٢/٢٠٣١"),  # CLDR has invisible marks of direction between the numbers
        ("ru", "long", "4 февраля 2031 г."),  # and here a narrow no-break space
        ("en_US", "short", "2/4/31"),
        ("es", "short", "4/2/31"),
    ],
)
def test_dates_are_written_as_people_there_write_them(locale, form, text):
    assert write_date(date(2031, 2, 4), locale, form) == text


@given(days, locales, st.sampled_from(("full", "long", "medium", "short")))
@settings(max_examples=300, deadline=None)
def test_the_cached_writer_agrees_with_babel(day, locale, form):
    ours = write_date(day, locale, form)
    if locale == "ar_EG":  # Babel does not write a locale's own digits
        ours = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in ours)
    assert ours == normalise(babel.dates.format_date(day, form, locale=locale))


def test_the_same_seed_gives_the_same_examples():
    assert make_dates(50, seed=3) == make_dates(50, seed=3)
    assert make_dates(50, seed=3) == make_dates(80, seed=3)[:50]
    assert make_dates(50, seed=3) != make_dates(50, seed=4)


@pytest.mark.skipif(babel.__version__ != "2.18.0", reason="the CLDR's texts change with Babel's version")
def test_the_examples_are_those_the_book_was_run_with():
    lines = "\n".join("\t".join(example) for example in make_dates(2000, seed=0, formats=EVERY_FORMAT))
    assert hashlib.sha256(lines.encode()).hexdigest() == DIGEST


def test_neither_the_machines_locale_nor_its_time_zone_matters():
    code = "from attnlib.data.dates import make_dates; print(ascii(make_dates(40, seed=5)))"
    elsewhere = os.environ | {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "TZ": "Pacific/Kiritimati"}
    done = subprocess.run([sys.executable, "-c", code], env=elsewhere, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ascii(make_dates(40, seed=5))
    assert done.stderr == ""


def test_every_locale_and_format_comes_up_about_equally_often():
    examples = make_dates(20_000, seed=0)
    for counts, kinds in [
        (Counter(example.locale for example in examples), tuple(LOCALES)),
        (Counter(example.format for example in examples), FORMATS),
    ]:
        assert set(counts) == set(kinds)
        expected = len(examples) / len(kinds)
        assert all(abs(count - expected) < 5 * expected**0.5 for count in counts.values())


@given(st.integers(0, 2**32), st.integers(1000, 9999), st.integers(0, 50))
@settings(max_examples=30, deadline=None)
def test_iso_reads_back_as_a_date_that_is_written_as_the_text(seed, first, more):
    last = min(first + more, 9999)
    for text, iso, locale, form in make_dates(5, seed=seed, years=(first, last)):
        day = date.fromisoformat(iso)
        assert len(iso) == 10
        assert day.isoformat() == iso
        assert first <= day.year <= last
        assert write_date(day, locale, form) == text


def test_the_whole_span_is_used():
    examples = make_dates(2000, seed=0, years=(2000, 2000))
    assert {example.iso for example in examples} >= {"2000-01-01", "2000-02-29", "2000-12-31"}


def test_no_text_has_two_meanings():
    years = (2027, 2032)  # every date of them, a leap year among them, in every locale and format
    meanings = readings(years=years)
    assert {text: dates for text, dates in meanings.items() if len(dates) > 1} == {}
    assert len(meanings) > 6 * 365 * len(LOCALES)
    assert set().union(*meanings.values()) == set().union(*readings(locales=["fr"], years=years).values())


@given(days, locales, formats)
@settings(max_examples=300, deadline=None)
def test_the_year_stands_in_the_text_so_that_no_two_years_are_confused(day, locale, form):
    digits = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else " " for c in write_date(day, locale, form))
    assert [number for number in digits.split() if len(number) == 4] == [str(day.year)]


def test_short_dates_are_ambiguous_and_readings_says_how():
    meanings = readings(formats=["short"], locales=["en_US", "es", "sv"], years=(2031, 2031))
    assert meanings["3/4/31"] == {"2031-03-04", "2031-04-03"}
    assert meanings["3/14/31"] == {"2031-03-14"}
    assert meanings["2031-03-04"] == {"2031-03-04"}
    assert sum(len(dates) > 1 for dates in meanings.values()) == 12 * 11  # two different numbers up to 12
    assert all(len(dates) == 1 for dates in readings(formats=["short"], locales=["es"], years=(2031, 2031)).values())


def test_texts_are_normalised():
    for example in make_dates(3000, seed=1, formats=EVERY_FORMAT):
        assert example.text == normalise(example.text)
        assert example.text == unicodedata.normalize("NFC", example.text)
        assert all(c == " " or unicodedata.category(c)[0] in "LMNPS" for c in example.text)
    assert normalise("4\u202ffe\u0301vr.\u00a0\u200f2031 ") == "4 févr. 2031"


def test_no_date_is_on_two_sides_of_a_split():
    examples = make_dates(20_000, seed=0)
    parts = split(examples, valid=0.2, test=0.1)
    sides = [{example.iso for example in part} for part in parts]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
    assert sorted(parts[0] + parts[1] + parts[2]) == sorted(examples)
    for part, share in zip(parts, (0.7, 0.2, 0.1), strict=True):
        assert len(part) / len(examples) == pytest.approx(share, abs=0.015)
        assert {example.locale for example in part} == set(LOCALES)


def test_another_data_set_is_split_at_the_same_dates():
    train, valid, test = split(make_dates(5000, seed=0))
    others = split(make_dates(5000, seed=1, locales=["vi"], formats=["short"]))
    for part, others_than_it in [(train, others[1] + others[2]), (valid, others[0]), (test, others[0])]:
        assert not {e.iso for e in part} & {e.iso for e in others_than_it}
    assert split(make_dates(500, seed=0), seed=1) != split(make_dates(500, seed=0), seed=0)
    assert split([]) == ([], [], [])


@given(st.lists(st.text("abяش年 -", max_size=9), min_size=1, max_size=6))
def test_a_vocabulary_decodes_what_it_encodes(texts):
    vocabulary = Vocabulary(texts)
    ids, lengths = vocabulary.encode(texts)
    assert vocabulary.decode(ids) == texts
    assert lengths.tolist() == list(map(len, texts))
    assert ids.shape == (len(texts), max(map(len, texts)))
    assert ids.dtype == lengths.dtype == np.int32
    assert ((ids == 0) == (np.arange(ids.shape[1]) >= lengths[:, None])).all()
    assert not ids.size or ids.max() < len(vocabulary)
    assert vocabulary.characters == Vocabulary(reversed(texts)).characters


def test_a_vocabulary_keeps_room_for_padding_start_and_the_unknown():
    vocabulary = Vocabulary(["ba", "c"])
    ids, lengths = vocabulary.encode(["abz", ""], max_len=4)
    assert ids.tolist() == [[3, 4, 2, 0], [0, 0, 0, 0]]
    assert lengths.tolist() == [3, 0]
    assert len(vocabulary) == 6
    assert vocabulary.decode([[Vocabulary.START, 3, Vocabulary.UNKNOWN, 5, Vocabulary.PAD]]) == ["a�c"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: make_dates(-1, seed=0), "n must be at least 0: got -1"),
        (lambda: make_dates(1, seed=0, locales=["xx"]), "such as 'fr' or 'en_GB': got 'xx'"),
        (lambda: make_dates(1, seed=0, locales=[]), "locales and formats must not be empty: got "),
        (lambda: make_dates(1, seed=0, formats=["iso"]), "formats must be among full, long, .*: got 'iso'"),
        (lambda: make_dates(1, seed=0, years=(2031, 2030)), r"years must be the first .*: got \(2031, 2030\)"),
        (lambda: write_date(date(2031, 2, 4), "de", "?"), "formats must be among .*: got '\\?'"),
        (lambda: split([], valid=0.7, test=0.7), "together at most 1: got 0.7 and 0.7"),
        (lambda: Vocabulary(["a"]).encode(["aaa"], 2), "at most max_len = 2 characters: got 3 in 'aaa'"),
    ],
)
def test_errors_say_what_must_hold(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


def test_without_babel_the_error_says_what_to_install():
    code = "import sys; sys.modules['babel'] = None; import attnlib.data.dates"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert 'ImportError: attnlib.data.dates needs Babel: pip install "attnlib[book]"' in done.stderr
