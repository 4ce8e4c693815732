"""Every page of the contents, in a real browser, served from this machine."""

import json
import re
from dataclasses import dataclass

import page_checks
import pytest
import site_files
from playwright.sync_api import Page

PAGES = site_files.pages()
NOTEBOOKS = [page for page in PAGES if site_files.source(page).suffix == ".ipynb"]


@dataclass
class Opened:
    name: str
    page: Page
    listener: page_checks.Listener


@pytest.fixture(scope="module")
def opened(request, site, shared):
    """One page, opened once for all the checks on it."""
    page = shared.new_page()
    listener = page_checks.Listener(page, site)
    page.goto(f"{site}/{request.param}.html")
    page_checks.settle(page)
    yield Opened(request.param, page, listener)
    page.close()


every_page = pytest.mark.parametrize("opened", PAGES, indirect=True, scope="module")
every_notebook = pytest.mark.parametrize("opened", NOTEBOOKS, indirect=True, scope="module")


def source_text(page: str) -> str:
    """What was written in prose, without code."""
    path = site_files.source(page)
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)


@every_page
def test_loads_quietly_and_asks_nobody_else(opened):
    assert opened.listener.problems == []


@every_page
def test_formulas_are_typeset(opened):
    assert page_checks.math(opened.page, expected="$" in source_text(opened.name)) == []


@every_page
def test_fits_a_phone(opened):
    assert page_checks.width(opened.page) == []


@every_page
def test_images_have_alternative_texts(opened):
    assert page_checks.alternative_texts(opened.page) == []


@every_page
def test_is_accessible_on_light(opened):
    assert page_checks.accessibility(opened.page) == []


@every_page
def test_is_accessible_on_dark(opened):
    opened.page.emulate_media(color_scheme="dark")
    opened.page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    # What is not a colour is the same as on light.
    problems = page_checks.accessibility(opened.page, colours_only=True)
    opened.page.emulate_media(color_scheme="light")
    assert problems == []


@every_notebook
def test_shows_what_is_stored(opened):
    notebook = json.loads(site_files.source(opened.name).read_text(encoding="utf-8"))
    assert page_checks.stored_outputs(opened.page, joined(notebook)) == []


@every_notebook
def test_launch_buttons_open_this_notebook(opened):
    assert page_checks.launch_links(opened.page, opened.name, site_files.config()) == []


@every_notebook
def test_download_is_the_notebook(opened, site):
    link = opened.page.locator(".dropdown-download-buttons a[href$='.ipynb']")
    answer = opened.page.request.get(link.evaluate("a => a.href"))
    assert answer.body() == site_files.source(opened.name).read_bytes()


@every_notebook
def test_folded_cells_open_and_close(opened):
    assert (
        opened.page.locator(".bd-article .cell.tag_solution").count()
        == opened.page.locator(".bd-article .cell.tag_solution details.hide").count()
    ), "a solution is not folded"
    assert page_checks.folded_cells(opened.page) == []


def joined(notebook: dict) -> dict:
    """A notebook's lists of lines as strings."""
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
        for output in cell.get("outputs", []):
            if "text" in output:
                output["text"] = "".join(output["text"])
            data = output.get("data", {})
            for kind, value in data.items():
                data[kind] = "".join(value) if isinstance(value, list) else value
    return notebook
