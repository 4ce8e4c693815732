"""The sentences of the language reference: what is kept, what is left out, and what holds for every Python."""

import pytest

from attnlib.data import language_reference
from attnlib.data.language_reference import sentences


def test_sentences_of_this_python():
    found = sentences()
    assert len(found) > 1500
    assert len(set(found)) == len(found)
    assert all(5 <= len(sentence) <= 40 for sentence in found)
    assert tuple("the division and floor division operators yield the quotient of their arguments".split()) in found


def test_what_is_left_out(monkeypatch):
    text = (
        "The heading\n***********\n\n"
        "   yield_stmt ::= one two three four five six\n\n"
        'A "yield" statement; it ends in `__next__()` and\nruns over lines.  Too short.  Is this one long enough?\n\n'
        "   example = code that is not a sentence\n\n"
        "Is this one long enough?"
    )
    monkeypatch.setattr(language_reference, "topics", {"b": text, "a": "From left to right, first of all."})
    assert sentences(shortest=4, longest=7) == [
        ("from", "left", "to", "right", "first", "of", "all"),
        ("is", "this", "one", "long", "enough"),
    ]
    assert sentences(shortest=8) == [("it", "ends", "in", "next", "and", "runs", "over", "lines")]


@pytest.mark.parametrize(("shortest", "longest"), [(0, 4), (6, 5)])
def test_lengths_that_nothing_can_have(shortest, longest):
    with pytest.raises(ValueError, match=f"got shortest {shortest}, longest {longest}"):
        sentences(shortest, longest)
