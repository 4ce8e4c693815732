"""Begin a chapter: a notebook with every part a chapter must have, and its variations beside the tests.

python -m tools.new_chapter book/numpy/local_attention.ipynb "Local attention"
"""

import argparse
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools.hygiene import PARTS
from tools.normalise import cell_id, write_notebook
from tools.paths import BOOK, name_of
from tools.setup_cell import insert, source
from tools.variations import file_of

OPENING = """\
# {title}

**The promise of this chapter, in one sentence.**

*Reading time: 10 minutes. What to know first: link the chapters this one builds on.*

Begin with a question or a surprise, not with a definition."""

PARAMETERS = """\
seed: int = 0  # random seed
width: int = 4  # size of the example"""

IMPORTS = """\
import numpy as np

rng = np.random.default_rng(seed)"""

PROOF = """\
numbers = rng.normal(size=width)
assert numbers.shape == (width,)"""

EXERCISES = """\
## Exercises

### Exercise 1: a question for a pencil

How many numbers did we draw?"""

SOLUTION = """\
print(len(numbers) == width)"""

CLOSING = """\
## In three lines

- What to remember.
- When it is worth it.
- When it is not.

## What comes next

Link the next chapter.

## Sources

- Author (year), [title](https://arxiv.org/abs/1706.03762), equation."""

VARIATIONS = """\
budget_seconds: 30
sets:
  - name: another seed
    parameters: {seed: 7}
  - name: another size
    parameters: {seed: 3, width: 5}
"""


def skeleton(title: str) -> NotebookNode:
    """A chapter that keeps every rule as soon as it has been run, and says nothing yet."""
    cells = [
        _markdown(OPENING.format(title=title)),
        _code(PARAMETERS, "parameters"),
        _code(IMPORTS),
        _code(PROOF),
        _markdown(EXERCISES),
        _code(SOLUTION, "hide-cell", "solution"),
        _markdown(CLOSING),
    ]
    return insert(nbformat.v4.new_notebook(cells=cells), source())


def _markdown(text: str) -> NotebookNode:
    return nbformat.v4.new_markdown_cell(text, id=cell_id(text))


def _code(text: str, *tags: str) -> NotebookNode:
    return nbformat.v4.new_code_cell(text, id=cell_id(text), metadata={"tags": list(tags)} if tags else {})


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.new_chapter", description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=Path, help="book/<part>/<name>.ipynb")
    parser.add_argument("title")
    options = parser.parse_args(arguments)
    notebook = options.notebook.resolve()
    part = notebook.parent
    if notebook.suffix != ".ipynb" or part.parent != BOOK:
        print(f"error: a chapter lies at book/<part>/<name>.ipynb, got {options.notebook}", file=sys.stderr)
        return 1
    variations = file_of(notebook)
    if existing := [path for path in (notebook, variations) if path.exists()]:
        print(f"error: {name_of(existing[0])} exists already", file=sys.stderr)
        return 1
    for path in (notebook, variations):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_notebook(skeleton(options.title), notebook)
    variations.write_text(VARIATIONS, encoding="utf-8", newline="\n")
    print(f"wrote {name_of(notebook)} and {name_of(variations)}")
    print(f"next: add `- file: {name_of(notebook).removesuffix('.ipynb')}` to _toc.yml, write, and")
    print(f"      make run NB={name_of(notebook)}")
    if part.name not in PARTS:
        print(f"note: {part.name}/ is a new part; tools/hygiene.py says which framework a part may import")
    return 0


if __name__ == "__main__":
    sys.exit(main())
