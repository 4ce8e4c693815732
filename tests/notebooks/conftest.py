"""A small notebook that keeps every rule, run once; tests break copies of it and expect to be told."""

import copy
from pathlib import Path

import nbformat
import pytest

from tools.new_chapter import skeleton
from tools.normalise import read_notebook, write_notebook
from tools.run import store

FIGURE = """\
import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(4, 3))
ax.plot(numbers, label="numbers")
ax.plot(numbers + 1, label="numbers + 1")
ax.legend()
plt.show()"""


def small_notebook():
    """The skeleton of a chapter with a printed line and a figure."""
    notebook = skeleton("A small notebook")
    place = next(n for n, cell in enumerate(notebook.cells) if "numbers =" in cell.source) + 1
    alt = {"mystnb": {"image": {"alt": "Two lines, one a step above the other"}}}
    notebook.cells[place:place] = [
        nbformat.v4.new_code_cell("print(numbers.round(2))", id="printed"),
        nbformat.v4.new_code_cell(FIGURE, id="figure", metadata=alt),
    ]
    return notebook


@pytest.fixture(scope="session")
def _executed(tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "small.ipynb"
    write_notebook(small_notebook(), path)
    store(path)
    return read_notebook(path)


@pytest.fixture
def good(_executed):
    """An executed, normalised notebook without fault: a copy, to be broken."""
    return copy.deepcopy(_executed)


@pytest.fixture
def saved(tmp_path):
    """Write a notebook as it is, faults included, and say where."""

    def save(notebook, name: str = "small.ipynb") -> Path:
        path = tmp_path / name
        nbformat.write(notebook, path)
        return path

    return save


def cell_named(notebook, identity: str):
    return next(cell for cell in notebook.cells if cell.id == identity)
