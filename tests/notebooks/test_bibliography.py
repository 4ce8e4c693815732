"""The bibliography: its file parses, every entry is annotated on its page, and nothing is annotated twice."""

import re
from collections import Counter

from pybtex.database import parse_file

from tools.hygiene import ARXIV_ENTRY, ARXIV_LINK, REFERENCES
from tools.paths import BOOK

PAGE = BOOK / "reference" / "bibliography.md"


def annotated() -> Counter[str]:
    return Counter(re.findall(r"\{cite:t\}`(\w+)`", PAGE.read_text(encoding="utf-8")))


def test_the_file_parses_and_says_what_a_reader_needs():
    entries = parse_file(str(REFERENCES)).entries  # repeated keys are an error
    assert len(entries) >= 40
    for key, entry in entries.items():
        assert {"title", "year"} <= set(entry.fields) and entry.persons["author"], key
        assert {"booktitle", "journal", "institution"} & set(entry.fields), key
        assert {"eprint", "doi", "url"} & set(entry.fields), key
        assert entry.fields["year"] in key, key


def test_no_paper_has_two_entries():
    papers = Counter(ARXIV_ENTRY.findall(REFERENCES.read_text(encoding="utf-8")))
    assert [paper for paper, count in papers.items() if count > 1] == []
    assert len(papers) >= 40  # the expression that the hygiene of notebooks relies on does find them


def test_every_entry_is_annotated_once():
    assert annotated() == Counter(parse_file(str(REFERENCES)).entries.keys())


def test_pages_of_prose_link_to_known_papers_only():
    known = set(ARXIV_ENTRY.findall(REFERENCES.read_text(encoding="utf-8")))
    for page in sorted(BOOK.rglob("*.md")):
        assert set(ARXIV_LINK.findall(page.read_text(encoding="utf-8"))) <= known, page
