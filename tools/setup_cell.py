"""The set-up cell: the same text at the top of every notebook, written from the repository's address.

python -m tools.setup_cell [NOTEBOOK ...]     put it there; without arguments, in every notebook of the book
"""

import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools.normalise import cell_id, read_notebook, write_notebook
from tools.paths import name_of, notebooks
from tools.repository import Repository, read

TAGS = ["setup", "hide-input"]

TEMPLATE = """\
# Set-up: makes attnlib available. It does nothing where attnlib is already installed.
import importlib
import importlib.util
import os
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow starts without messages
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # and rounds alike on all processors
if importlib.util.find_spec("attnlib") is None:
    source = "attnlib[book] @ git+{url}@{branch}"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", source], check=True)
    importlib.invalidate_caches()  # so that this session sees what was just installed"""


def source(repository: Repository | None = None) -> str:
    """The text of the set-up cell."""
    repository = repository or read()
    return TEMPLATE.format(url=repository.url, branch=repository.branch)


def is_setup(cell: NotebookNode) -> bool:
    return cell.cell_type == "code" and "setup" in cell.metadata.get("tags", [])


def insert(notebook: NotebookNode, text: str) -> NotebookNode:
    """The notebook with the set-up cell in place: instead of the old one, or after the title."""
    notebook = nbformat.from_dict(notebook)
    for cell in notebook.cells:
        if is_setup(cell):
            cell.metadata["tags"] = list(TAGS)
            cell.source = text
            return notebook
    cell = nbformat.v4.new_code_cell(text, id=cell_id("setup", text), metadata={"tags": list(TAGS)})
    place = 1 if notebook.cells and notebook.cells[0].cell_type == "markdown" else 0
    notebook.cells.insert(place, cell)
    return notebook


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    text = source()
    for path in [Path(name) for name in arguments] or notebooks():
        before = path.read_bytes()
        write_notebook(insert(read_notebook(path), text), path)
        if path.read_bytes() != before:
            print(f"{name_of(path)}: set-up cell written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
