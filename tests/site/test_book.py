"""The built book as a whole: its links, its search, its mark of what was read, its first example."""

import contextlib
import io
import json
import re

import page_checks
import pytest
import site_files
from link_checks import broken_links

from tools.paths import BOOK


def test_internal_links_and_anchors_resolve(site):
    assert broken_links(site_files.HTML) == []


def test_every_source_is_in_the_contents():
    written = {
        path.relative_to(BOOK.parent).with_suffix("").as_posix()
        for suffix in ("*.md", "*.ipynb")
        for path in BOOK.rglob(suffix)
        if ".ipynb_checkpoints" not in path.parts
    }
    assert written == set(site_files.pages())


def test_search_finds_a_page_without_a_network(site, fresh_page):
    listener = page_checks.Listener(fresh_page, site)
    fresh_page.goto(f"{site}/search.html?q=glossary")
    fresh_page.locator("#search-results li a", has_text="Glossary").first.wait_for(timeout=5000)
    assert listener.problems == []
    assert page_checks.width(fresh_page) == []
    assert page_checks.accessibility(fresh_page) == []


def test_the_index_has_terms_and_functions_and_leads_to_them(site, fresh_page):
    listener = page_checks.Listener(fresh_page, site)
    fresh_page.goto(f"{site}/book/reference/index.html")
    fresh_page.locator("article").get_by_role("link", name="Index", exact=True).click()
    for name in ("additive score", "scaled_dot_product_attention", "KVCache"):
        target = fresh_page.locator(".genindextable").get_by_role("link", name=name, exact=True).get_attribute("href")
        page, _, anchor = target.partition("#")
        html = (site_files.HTML / page).read_text(encoding="utf-8")
        assert f'id="{anchor}"' in html and name in html
    assert listener.problems == []
    assert page_checks.width(fresh_page) == []
    assert page_checks.accessibility(fresh_page) == []


def test_the_first_page_leads_to_the_book(site, fresh_page):
    fresh_page.goto(f"{site}/")
    fresh_page.wait_for_url(f"{site}/book/index.html")


def test_a_page_marked_as_read_stays_marked(site, fresh_page):
    fresh_page.goto(f"{site}/book/setup.html")
    tick = fresh_page.locator(".bd-links a[aria-current], .bd-links .current > a").locator(".read-tick")
    assert tick.count() == 0
    fresh_page.get_by_label("I have read this page").check()
    assert tick.count() == 1
    fresh_page.goto(f"{site}/book/index.html")
    marked = fresh_page.locator(".bd-links a:has(.read-tick)")
    assert [link.text_content().strip() for link in marked.all()] == ["Set up✓ (read)"]
    fresh_page.goto(f"{site}/book/setup.html")
    box = fresh_page.get_by_label("I have read this page")
    assert box.is_checked()
    box.uncheck()
    fresh_page.reload()
    assert fresh_page.locator(".read-tick").count() == 0


def test_the_example_on_the_first_page_prints_what_it_says():
    text = (BOOK / "index.md").read_text(encoding="utf-8")
    code, printed = re.search(r"```python\n(.*?)```\s*```text\n(.*?)```", text, re.DOTALL).groups()
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, "book/index.md", "exec"), {})
    assert output.getvalue() == printed


def test_the_map_lists_every_chapter_with_its_reading_time():
    text = (BOOK / "index.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"\]\((\w+/\w+\.ipynb)\) \((\d+) min\)", text))
    chapters = {}
    for page in site_files.pages():
        path = site_files.source(page)
        if path.suffix == ".ipynb":
            opening = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
            minutes = re.search(r"Reading time\W+(?:about )?(\d+) minutes", opening)
            chapters[path.relative_to(BOOK).as_posix()] = minutes[1] if minutes else "not said"
    assert listed == chapters


@pytest.mark.parametrize("part", ["theory", "numpy", "pytorch", "tensorflow", "practice"])
def test_the_page_of_a_part_lists_its_chapters_in_order_and_adds_up_their_minutes(part):
    text = (BOOK / part / "index.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\d\. \[[^\]]+\]\((\w+\.ipynb)\)\s\((\d+) min\)", text, re.MULTILINE)
    minutes = dict(re.findall(rf"\]\({part}/(\w+\.ipynb)\) \((\d+) min\)", (BOOK / "index.md").read_text("utf-8")))
    in_order = [site_files.source(page) for page in site_files.pages()]
    assert [name for name, _ in listed] == [
        p.name for p in in_order if p.parent == BOOK / part and p.suffix == ".ipynb"
    ]
    assert dict(listed) == minutes
    assert int(re.search(r"In all (\d+) minutes", text)[1]) == sum(int(m) for m in minutes.values())
