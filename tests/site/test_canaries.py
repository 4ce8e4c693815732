"""Each check, shown a page that is broken in the one way it looks for, must say so; shown a whole one, nothing."""

import page_checks
import pytest
import site_files
from link_checks import broken_links

CELL = """<div class="cell tag_solution docutils container">
<div class="cell_input docutils container"><div class="highlight"><pre>print(1 + 1)</pre></div></div>
<div class="cell_output docutils container"><div class="output stream highlight"><pre>2\n</pre></div></div></div>"""

FOLD = """<div class="cell"><details class="hide above-input"><summary>Show the solution</summary>
<div class="cell_input"><pre>pass</pre></div></details></div>"""

NOTEBOOK = {
    "cells": [
        {
            "cell_type": "code",
            "metadata": {},
            "source": "print(1 + 1)",
            "outputs": [{"output_type": "stream", "name": "stdout", "text": "2\n"}],
        }
    ]
}


def with_output(text: str) -> dict:
    output = {"output_type": "stream", "name": "stdout", "text": text}
    return {"cells": [{**NOTEBOOK["cells"][0], "outputs": [output]}]}


@pytest.fixture
def altered(site, new_page):
    """Opens a page without formulas or cells, with something put at the top of its text."""

    def open_with(html: str):
        original = (site_files.HTML / "book" / "setup.html").read_text(encoding="utf-8")
        assert '<article class="bd-article">' in original
        page = new_page()
        body = original.replace('<article class="bd-article">', f'<article class="bd-article">{html}', 1)
        page.route("**/canary.html", lambda route: route.fulfill(body=body, content_type="text/html"))
        listener = page_checks.Listener(page, site)
        page.goto(f"{site}/book/canary.html")
        page_checks.settle(page)
        return page, listener

    return open_with


@pytest.mark.parametrize(
    ("html", "told"),
    [
        ("<script>console.error('out of order')</script>", "out of order"),
        ("<script>console.warn('not so good')</script>", "not so good"),
        ("<script>nobody.knows()</script>", "script failed"),
        ("<img src='nowhere.png' alt='An image that is not there'>", "status 404"),
        ("<img src='https://example.invalid/x.png' alt='An image from elsewhere'>", "another host"),
        ("<link rel='stylesheet' href='https://example.invalid/font.css'>", "another host"),
    ],
)
def test_listener_hears(altered, html, told):
    _, listener = altered(html)
    assert any(told in problem for problem in listener.problems), listener.problems


@pytest.mark.parametrize(
    ("html", "told"),
    [
        ("<p>The formula $x^2$ was left as it is.</p>", "raw formula"),
        ('<span class="math notranslate nohighlight">nothing set here</span>', "not typeset"),
        ('<p><mjx-container><mjx-merror data-mjx-error="Missing }"></mjx-merror></mjx-container></p>', "Missing }"),
    ],
)
def test_bad_formulas_are_seen(altered, html, told):
    page, _ = altered(html)
    assert any(told in problem for problem in page_checks.math(page))


def test_formulas_that_got_lost_are_seen(altered):
    page, _ = altered("")
    assert page_checks.math(page) == []
    assert page_checks.math(page, expected=True) == ["the source has formulas, the page has none"]


@pytest.mark.parametrize(
    "html",
    [
        '<div style="width: 500px">too wide</div>',
        "<p>" + "w" * 200 + "<span style='white-space: nowrap'>" + " word" * 60 + "</span></p>",
        '<div style="overflow-x: hidden; width: 340px"><div style="width: 900px">cut off, out of sight</div></div>',
    ],
)
def test_what_is_wider_than_a_phone_is_seen(altered, html):
    page, _ = altered(html)
    assert page_checks.width(page) != []


def test_a_wide_box_that_scrolls_is_fine(altered):
    page, _ = altered('<div style="overflow-x: auto"><div style="width: 900px">wide</div></div>')
    assert page_checks.width(page) == []


@pytest.mark.parametrize("alt", ["", 'alt=""', 'alt="_images/0123456789abcdef01234567.png"', 'alt="plot"'])
def test_an_image_that_says_nothing_is_seen(altered, alt):
    page, _ = altered(f'<img src="../_static/logo.svg" {alt}>')
    assert len(page_checks.alternative_texts(page)) == 1


@pytest.mark.parametrize(
    ("html", "rule", "scheme"),
    [
        ('<p style="color: #999; background: #fff">pale</p>', "color-contrast", "light"),
        ('<p style="color: #555">dark on dark</p>', "color-contrast", "dark"),
        ('<pre><span style="color: #999">pale</span></pre>', "contrast of code", "light"),
        ('<pre><span style="color: #666">dark on dark</span></pre>', "contrast of code", "dark"),
        ("<button></button>", "button-name", "light"),
        ('<img src="../_static/logo.svg">', "image-alt", "light"),
    ],
)
def test_what_shuts_readers_out_is_seen(altered, html, rule, scheme):
    page, _ = altered(html)
    page.emulate_media(color_scheme=scheme)
    page.wait_for_function("scheme => document.documentElement.dataset.theme === scheme", arg=scheme)
    assert any(f": {rule}:" in problem for problem in page_checks.accessibility(page))


def test_folds(altered):
    page, _ = altered(FOLD)
    assert page_checks.folded_cells(page) == []


@pytest.mark.parametrize(
    ("html", "told"),
    [
        (FOLD.replace("<details", "<details open"), "open from the start"),
        (FOLD.replace("Show the solution", ""), "does not say"),
        (FOLD.replace("<summary>", "<summary onclick='return false'>"), "by a click"),
        (FOLD.replace("<summary>", "<summary onkeydown='return false'>"), "by the keyboard"),
    ],
)
def test_a_fold_that_does_not_work_is_seen(altered, html, told):
    page, _ = altered(html)
    assert any(told in problem for problem in page_checks.folded_cells(page))


def test_stored_outputs(altered):
    page, _ = altered(CELL)
    assert page_checks.stored_outputs(page, NOTEBOOK) == []


@pytest.mark.parametrize(
    ("notebook", "told"),
    [
        (with_output("3\n"), "stored '3', shown '2'"),
        (with_output(""), "stored '', shown '2'"),
        ({"cells": [{**NOTEBOOK["cells"][0], "source": "print(2)"}]}, "differs from the notebook's"),
        ({"cells": NOTEBOOK["cells"] * 2}, "2 code cells, the page shows 1"),
        (
            {"cells": [{**NOTEBOOK["cells"][0], "outputs": [{"data": {"image/png": "", "text/plain": "x"}}]}]},
            "1 figures stored, 0 shown",
        ),
    ],
)
def test_a_page_that_shows_something_else_is_seen(altered, notebook, told):
    page, _ = altered(CELL)
    assert any(told in problem for problem in page_checks.stored_outputs(page, notebook))


def test_launch_links_elsewhere_are_seen(altered):
    repository = {"url": "https://github.com/somebody/something", "branch": "main", "path_to_book": ""}
    colab = "https://colab.research.google.com/github/somebody/something/blob/main/book/a.ipynb"
    binder = "https://mybinder.org/v2/gh/somebody/something/main?urlpath=lab/tree/book/a.ipynb"
    page, _ = altered(
        f'<div class="dropdown-launch-buttons"><a href="{colab}">Colab</a><a href="{binder}">Binder</a></div>'
    )
    assert page_checks.launch_links(page, "book/a", {"repository": repository}) == []
    assert len(page_checks.launch_links(page, "book/b", {"repository": repository})) == 4
    other = {**repository, "branch": "elsewhere"}
    assert len(page_checks.launch_links(page, "book/a", {"repository": other})) == 4


def test_broken_links_are_seen(tmp_path):
    (tmp_path / "a.html").write_text('<a href="b.html#here">x</a><a href="#top" id="top">y</a>', encoding="utf-8")
    (tmp_path / "b.html").write_text('<p id="here">z</p><a href="https://example.invalid/">w</a>', encoding="utf-8")
    assert broken_links(tmp_path) == []
    (tmp_path / "b.html").write_text('<p id="there">z</p><img src="c.png">', encoding="utf-8")
    assert broken_links(tmp_path) == [
        "a.html links to b.html#here: there is no such anchor",
        "b.html links to c.png: there is no such file",
    ]


def test_an_old_build_is_seen(site, tmp_path):
    assert site_files.differences() == []
    assert site_files.differences(tmp_path) == [f"nothing is built in {tmp_path}"]
    (tmp_path / "index.html").write_text("", encoding="utf-8")
    page = site_files.pages()[0]
    old = tmp_path / "_sources" / f"{page}.md"
    old.parent.mkdir(parents=True)
    old.write_text("an older text", encoding="utf-8")
    (tmp_path / page).parent.mkdir()
    (tmp_path / f"{page}.html").write_text("", encoding="utf-8")
    found = site_files.differences(tmp_path)
    assert f"{page} has changed since it was built" in found
    assert "book.css has changed since it was built" in found
    assert f"{site_files.pages()[1]} is not built" in found
