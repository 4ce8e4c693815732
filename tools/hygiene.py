"""The rules that every committed notebook keeps, one function a rule, each returning what breaks it.

python -m tools.hygiene [NOTEBOOK ...]        without arguments, every notebook of the book
"""

import ast
import base64
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from nbformat import NotebookNode

from tools import setup_cell
from tools.nbval_strict import DRIFTING_TAG
from tools.normalise import dumps, normalise, output_problems, output_texts, read_notebook
from tools.parameters import declared
from tools.paths import BOOK, name_of, notebooks

IGNORED_SHARE = 0.1
MAX_NOTEBOOK_BYTES = 1_500_000
MAX_FIGURE_BYTES = 300_000
MAX_OUTPUT_LINES = 40
MAX_CODE_COLUMNS = 100
MIN_ALT_LETTERS = 20

# A tag with a slip of the pen (hide_cell, paramters) is silently without effect: only these are known.
IGNORING_TAGS = {"nbval-ignore-output", "nbval-skip", "raises-exception"}
STYLE_TAGS = {"setup", "parameters", "hide-input", "hide-output", "hide-cell", "solution", DRIFTING_TAG}
KNOWN_TAGS = STYLE_TAGS | IGNORING_TAGS
IGNORING_COMMENT = re.compile(r"^\s*#\s*(PYTEST_VALIDATE_IGNORE_OUTPUT|NBVAL_[A-Z_]+)\s*$", re.MULTILINE)

REFERENCES = BOOK / "references.bib"
ARXIV_LINK = re.compile(r"arxiv\.org/(?:abs|pdf)/(\d{4}\.\d{4,5})")
ARXIV_ENTRY = re.compile(r"^\s*eprint\s*=\s*\{(\d{4}\.\d{4,5})\}", re.MULTILINE)

FRAMEWORKS = {"torch": "PyTorch", "tensorflow": "TensorFlow", "keras": "TensorFlow", "jax": "JAX"}
PARTS = {"theory": set(), "numpy": set(), "pytorch": {"PyTorch"}, "tensorflow": {"TensorFlow"}}
NETWORK_MODULES = {
    "aiohttp", "ftplib", "gdown", "http", "httpx", "huggingface_hub", "requests", "smtplib", "socket",
    "subprocess", "telnetlib", "tensorflow_datasets", "torchvision", "urllib", "urllib3", "wget", "webbrowser",
}  # fmt: skip
NETWORK_CALLS = {"get_file", "load_state_dict_from_url", "download_url_to_file", "load_dataset", "urlopen"}
SECTIONS = ("## Exercises", "## In three lines", "## What comes next", "## Sources")


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def code_cells(notebook: NotebookNode) -> list[tuple[int, NotebookNode]]:
    return [(number, cell) for number, cell in enumerate(notebook.cells) if cell.cell_type == "code"]


def own_code(notebook: NotebookNode) -> Iterator[tuple[int, ast.AST]]:
    """The parsed code cells, except the set-up cell; what is not Python is the business of `plain_python`."""
    for number, cell in code_cells(notebook):
        if not setup_cell.is_setup(cell):
            try:
                yield number, ast.parse(cell.source)
            except SyntaxError:
                continue


def run_in_order(notebook: NotebookNode) -> Iterator[str]:
    counts = [cell.execution_count for _, cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"not run from top to bottom in a fresh kernel: execution counts are {counts}"


def normalised(notebook: NotebookNode) -> Iterator[str]:
    normal = normalise(notebook)
    if normal != notebook:
        where = [
            f"cell {number}" for number, (a, b) in enumerate(zip(normal.cells, notebook.cells, strict=True)) if a != b
        ]
        yield f"not in normal form ({', '.join(where) or 'metadata'}): store it with make run NB=…"


def set_up(notebook: NotebookNode) -> Iterator[str]:
    cells = [cell for _, cell in code_cells(notebook)]
    if sum(map(setup_cell.is_setup, cells)) != 1 or not setup_cell.is_setup(cells[0]):
        yield "the first code cell, and no other, must be the set-up cell: python -m tools.setup_cell"
    elif cells[0].source != setup_cell.source() or tags(cells[0]) != setup_cell.TAGS or cells[0].outputs:
        yield "the set-up cell is not the one that tools/setup_cell.py writes: python -m tools.setup_cell"


def parameters(notebook: NotebookNode) -> Iterator[str]:
    try:
        found = declared(notebook)
    except ValueError as error:
        yield str(error)
        return
    if "parameters" not in tags(code_cells(notebook)[min(1, len(code_cells(notebook)) - 1)][1]):
        yield "the second code cell must be the parameters cell"
    if "seed" not in found or found["seed"].type != "int":
        yield "`seed: int` must be among the parameters"


def alt_text(notebook: NotebookNode) -> Iterator[str]:
    for number, cell in code_cells(notebook):
        if any(mime.startswith("image/") for output in cell.outputs for mime in output.get("data", {})):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            if len(alt.strip()) < MIN_ALT_LETTERS:
                yield (
                    f"cell {number} shows a figure without alt text of {MIN_ALT_LETTERS} letters in its "
                    f'metadata, {{"mystnb": {{"image": {{"alt": "…"}}}}}}: it has {alt!r}'
                )


def little_ignored(notebook: NotebookNode) -> Iterator[str]:
    cells = code_cells(notebook)
    ignored = [n for n, cell in cells if IGNORING_TAGS & set(tags(cell)) or IGNORING_COMMENT.search(cell.source)]
    if len(ignored) > IGNORED_SHARE * len(cells):
        yield f"cells {ignored} of {len(cells)} have output that is not compared: one in ten may"


def sizes(notebook: NotebookNode) -> Iterator[str]:
    if (size := len(dumps(notebook).encode("utf-8"))) > MAX_NOTEBOOK_BYTES:
        yield f"the notebook has {size} bytes, more than {MAX_NOTEBOOK_BYTES}"
    for number, cell in code_cells(notebook):
        for output in cell.outputs:
            for mime, data in output.get("data", {}).items():
                figure = len(base64.b64decode(data)) if mime == "image/png" else len(str(data))
                if mime.startswith("image/") and figure > MAX_FIGURE_BYTES:
                    yield f"cell {number}: a figure has {figure} bytes, more than {MAX_FIGURE_BYTES}"
        lines = sum(text.count("\n") for output in cell.outputs for text in output_texts(output))
        if lines > MAX_OUTPUT_LINES and not _is_svg(cell):
            yield f"cell {number}: {lines} lines of output, more than {MAX_OUTPUT_LINES}"
        if not setup_cell.is_setup(cell) and max(map(len, cell.source.splitlines()), default=0) > MAX_CODE_COLUMNS:
            yield f"cell {number}: a line of code is wider than {MAX_CODE_COLUMNS} columns"


def _is_svg(cell: NotebookNode) -> bool:
    return any("image/svg+xml" in output.get("data", {}) for output in cell.outputs)


def one_framework(notebook: NotebookNode, part: str = "") -> Iterator[str]:
    used: dict[str, int] = {}
    for number, tree in own_code(notebook):
        for module in _imports(tree):
            head, _, rest = module.partition(".")
            module = rest.partition(".")[0] if head == "attnlib" else head
            if module in FRAMEWORKS:
                used.setdefault(FRAMEWORKS[module], number)
    if len(used) > 1:
        yield f"imports more than one framework (framework: cell): {used}"
    for name in sorted(set(used) - PARTS.get(part, set(used))):
        yield f"cell {used[name]} imports {name}, which is not for a chapter in {part}/"


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def no_network(notebook: NotebookNode) -> Iterator[str]:
    for number, tree in own_code(notebook):
        for module in sorted({name.partition(".")[0] for name in _imports(tree)} & NETWORK_MODULES):
            yield f"cell {number} imports {module}: no cell may reach outside the notebook"
        for node in ast.walk(tree):
            name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
            if name in NETWORK_CALLS:
                yield f"cell {number} uses {name}: no cell may reach the network"


def plain_python(notebook: NotebookNode) -> Iterator[str]:
    for number, cell in code_cells(notebook):
        if not cell.source.strip():
            yield f"cell {number} is an empty code cell"
        try:
            ast.parse(cell.source)
        except SyntaxError as error:
            yield f"cell {number} is not plain Python (no `!`, no `%` magic): {error.text}"


def clean_outputs(notebook: NotebookNode) -> Iterator[str]:
    yield from output_problems(notebook)


def known_tags(notebook: NotebookNode) -> Iterator[str]:
    for number, cell in enumerate(notebook.cells):
        if unknown := sorted(set(tags(cell)) - KNOWN_TAGS):
            yield f"cell {number}: unknown tags {unknown}, which nothing would heed"


def title_and_sections(notebook: NotebookNode) -> Iterator[str]:
    first = notebook.cells[0]
    if first.cell_type != "markdown" or not first.source.startswith("# "):
        yield "the first cell must be Markdown and begin with the title, `# …`"
    headings = [line for cell in notebook.cells if cell.cell_type == "markdown" for line in _prose(cell)]
    headings = [line.strip() for line in headings if line.startswith("#")]
    if len([line for line in headings if line.startswith("# ")]) > 1:
        yield "there is more than one title, `# …`"
    for section in SECTIONS:
        if headings.count(section) != 1:
            yield f"there must be one section `{section}`"


def plain_markdown(notebook: NotebookNode) -> Iterator[str]:
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            role = re.search(r"^\s*(```+|:::+)\{|\{[a-z][\w:-]*\}`|^\(\w[\w-]*\)=$", cell.source, re.MULTILINE)
            if role:
                yield f"cell {number}: MyST markup, which Colab shows as it stands: {role.group().strip()}"


def literature(notebook: NotebookNode) -> Iterator[str]:
    """Each arXiv paper that is linked to stands in the bibliography."""
    known = set(ARXIV_ENTRY.findall(REFERENCES.read_text(encoding="utf-8")))
    for number, cell in enumerate(notebook.cells):
        for paper in sorted(set(ARXIV_LINK.findall(cell.source)) - known):
            yield f"cell {number}: arXiv {paper} is not in book/references.bib"


def _prose(cell: NotebookNode) -> Iterator[str]:
    """The lines outside fenced code."""
    fenced = False
    for line in cell.source.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield line


def exercises(notebook: NotebookNode) -> Iterator[str]:
    """Each `### Exercise` has an executed, folded solution, and one that passes if there is a check."""
    exercise: dict | None = None
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            for heading in (line for line in _prose(cell) if line.startswith("#")):
                yield from _close(exercise)
                begins = re.match(r"### Exercise \d+", heading)
                exercise = {"cell": number, "checks": set(), "solved": None} if begins else None
            continue
        checks = _checks(cell.source)
        if "solution" in tags(cell):
            if "hide-cell" not in tags(cell):
                yield f"cell {number}: a solution must be folded, tag it hide-cell"
            printed = "".join(output.text for output in cell.outputs if output.output_type == "stream")
            if checks and "Correct" not in printed:
                yield f"cell {number}: the solution's check did not print Correct"
            if exercise:
                exercise["solved"] = (exercise["solved"] or set()) | checks
        elif checks and exercise is None:
            yield f"cell {number}: calls a check outside an exercise, `### Exercise 1: …`"
        elif checks:
            exercise["checks"] |= checks
    yield from _close(exercise)


def _close(exercise: dict | None) -> Iterator[str]:
    if exercise is None:
        return
    if exercise["solved"] is None:
        yield f"cell {exercise['cell']}: the exercise has no executed cell tagged solution and hide-cell"
    elif missing := sorted(exercise["checks"] - exercise["solved"]):
        yield f"cell {exercise['cell']}: the exercise's solution is not checked with {', '.join(missing)}"


def _checks(source: str) -> set[str]:
    """The names of the checks that a cell calls, `ex.check_…(…)`."""
    return set(re.findall(r"^[^#\n]*\bex\.(check_\w+)\(", source, re.MULTILINE))


RULES: dict[str, Callable[..., Iterator[str]]] = {
    rule.__name__: rule
    for rule in (
        run_in_order,
        normalised,
        set_up,
        parameters,
        alt_text,
        little_ignored,
        sizes,
        one_framework,
        no_network,
        plain_python,
        clean_outputs,
        known_tags,
        title_and_sections,
        plain_markdown,
        literature,
        exercises,
    )
}


def problems(notebook: NotebookNode, part: str = "", rules: tuple[str, ...] = tuple(RULES)) -> list[str]:
    """What breaks the rules, `rule: what`."""
    found = []
    for name in rules:
        extra = (part,) if name == "one_framework" else ()
        found += [f"{name}: {problem}" for problem in RULES[name](notebook, *extra)]
    return found


def file_problems(path: Path) -> list[str]:
    """The same for a file: its bytes too must be those that `tools.normalise` writes."""
    notebook = read_notebook(path)
    found = problems(notebook, path.parent.name)
    if not found and path.read_bytes() != dumps(notebook).encode("utf-8"):
        found.append("normalised: the file is not as tools write it: store it with make run NB=…")
    return found


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    failed = 0
    for path in [Path(name) for name in arguments] or notebooks():
        for problem in file_problems(path):
            print(f"{name_of(path)}: {problem}", file=sys.stderr)
            failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
