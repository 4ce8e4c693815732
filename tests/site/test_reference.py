"""The pages of attnlib's modules, made from the sources when the book was built."""

import ast
import re

import page_checks
import pytest
import site_files
from bs4 import BeautifulSoup

from tools.extensions import api_pages
from tools.paths import BOOK

FILES = [(module, path) for module, files in api_pages.modules().items() for path in files.values()]
every_file = pytest.mark.parametrize(("module", "path"), FILES, ids=[f"{p.parent.name}-{m}" for m, p in FILES])
MASKS = "book/reference/api/masks"


@pytest.fixture(scope="module")
def article():
    """The text of a built page, read once."""
    read = {}

    def of(module):
        if module not in read:
            html = (site_files.HTML / "book" / "reference" / "api" / f"{module}.html").read_text(encoding="utf-8")
            read[module] = BeautifulSoup(html, "html.parser").select_one("article")
        return read[module]

    return of


def squeezed(text):
    return "".join(filter(str.isalnum, text)).lower()


def documented(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            yield node


def code(text):
    """Each definition and constant of a source, without docstrings."""
    tree = ast.parse(text)
    for node in documented(tree):
        node.body = node.body[1:]
    kinds = (ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    return {ast.unparse(node) for node in tree.body if isinstance(node, kinds)}


@every_file
def test_all_of_the_code_is_on_the_page(site, article, module, path):
    shown = set()
    for block in article(module).select(".highlight-python pre"):
        text = block.get_text()
        if "def " in text or "class " in text:
            shown |= code(text)
    assert code(path.read_text(encoding="utf-8")) - shown == set()


@every_file
def test_every_sentence_of_the_docstrings_is_on_the_page(site, article, module, path):
    text = squeezed(article(module).get_text())
    first = next(iter(api_pages.modules()[module].values()))
    for node in documented(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module) and path != first:
            continue  # its first sentence may be left out
        for sentence in re.split(r"[.;]\s|\n\n", ast.get_docstring(node)):
            assert squeezed(sentence) in text, sentence


def test_every_name_has_a_heading(site, article):
    for module, files in api_pages.modules().items():
        headings = {heading.get_text().rstrip("#") for heading in article(module).select("h2, h3")}
        for path in files.values():
            names = {node.name for node in api_pages.public(api_pages.tree(path).body) if node.name[0] != "_"}
            assert names - headings == set(), path


def test_one_choice_of_framework_holds_for_all_tabs(site, fresh_page):
    fresh_page.goto(f"{site}/{MASKS}.html")
    page_checks.settle(fresh_page)
    tabs = fresh_page.locator(".bd-article .sd-tab-set")
    assert tabs.count() > 1
    first = tabs.first.locator("> label")
    assert [label.inner_text().strip() for label in first.all()] == ["NumPy", "PyTorch", "TensorFlow"]
    first.nth(1).click()
    assert (
        fresh_page.locator(".bd-article .sd-tab-set > input:checked + label", has_text="PyTorch").count()
        == tabs.count()
    )


def test_search_finds_a_function(site, fresh_page):
    fresh_page.goto(f"{site}/search.html?q=rotary_permutation")
    fresh_page.locator("#search-results li a", has_text="positions").first.wait_for(timeout=5000)


def test_an_address_of_a_function_leads_to_it(site, article):
    for name, address in api_pages.pages().items():
        if name[0] != "_":
            module, _, anchor = address.partition(".md#")
            assert article(module).select_one(f"[id='{anchor}'], [id='{anchor.replace('_', '-')}']"), name


def test_the_overview_names_every_module(site, article):
    text = article("index").get_text()
    assert all(module in text for module in api_pages.modules())
    assert (BOOK / "reference" / "api" / "index.md").is_file()
