"""Every committed notebook keeps the rules of tools/hygiene.py, and every rule notices when it is broken."""

import base64

import nbformat
import pytest

from tools.hygiene import RULES, file_problems, problems
from tools.paths import name_of, notebooks


def test_the_book_has_notebooks():
    # Without any, the tests of each would pass by not being there.
    assert len(notebooks()) >= 3


@pytest.mark.parametrize("notebook", notebooks(), ids=name_of)
def test_committed_notebook_keeps_the_rules(notebook):
    assert file_problems(notebook) == []


def test_a_good_notebook_passes(good):
    assert problems(good, "numpy") == []


def cell(notebook, text):
    return next(each for each in notebook.cells if text in each.source)


def add(notebook, source, *, tags=(), outputs=(), before="## In three lines"):
    """Add an executed code cell, and number the cells as a run would."""
    new = nbformat.v4.new_code_cell(source, id=f"added{len(notebook.cells)}", outputs=list(outputs))
    if tags:
        new.metadata["tags"] = list(tags)
    place = next(n for n, each in enumerate(notebook.cells) if before in each.source)
    notebook.cells.insert(place, new)
    renumber(notebook)
    return new


def add_text(notebook, source, before="## Exercises"):
    place = next(n for n, each in enumerate(notebook.cells) if before in each.source)
    notebook.cells.insert(place, nbformat.v4.new_markdown_cell(source, id=f"text{len(notebook.cells)}"))


def renumber(notebook):
    for count, each in enumerate((c for c in notebook.cells if c.cell_type == "code"), start=1):
        each.execution_count = count


def stream(text, name="stdout"):
    return nbformat.v4.new_output("stream", name=name, text=text)


def never_run(nb):
    cell(nb, "print(numbers").execution_count = None


def run_out_of_order(nb):
    cell(nb, "print(numbers").execution_count = 1


def papermill_metadata(nb):
    nb.metadata["papermill"] = {"duration": 1.0}


def execution_times(nb):
    cell(nb, "print(numbers").metadata["execution"] = {"iopub.execute_input": "2026-01-01T00:00:00"}


def same_ids(nb):
    nb.cells[-1]["id"] = nb.cells[0]["id"]


def split_stream(nb):
    cell(nb, "print(numbers").outputs.append(stream("more\n"))


def png_with_remark(nb):
    data = cell(nb, "plt.subplots").outputs[0].data
    png = base64.b64decode(data["image/png"])
    remark = b"\x00\x00\x00\x08tEXtSoftware" + b"\x00" * 4
    data["image/png"] = base64.b64encode(png[:33] + remark + png[33:]).decode("ascii")


def other_setup(nb):
    cell(nb, "attnlib[book]").source += "\n"  # a line more
    cell(nb, "attnlib[book]").source += "import attnlib"


def no_setup(nb):
    nb.cells.remove(cell(nb, "attnlib[book]"))
    renumber(nb)


def setup_untagged(nb):
    cell(nb, "attnlib[book]").metadata["tags"] = ["setup"]


def no_parameters(nb):
    del cell(nb, "seed: int").metadata["tags"]


def two_parameter_cells(nb):
    add(nb, "more: int = 1  # again", tags=["parameters"])


def untyped_parameter(nb):
    cell(nb, "seed: int").source += "\nheads = 2  # heads"


def uncommented_parameter(nb):
    cell(nb, "seed: int").source += "\nheads: int = 2"


def parameter_of_another_type(nb):
    cell(nb, "seed: int").source += "\nheads: int = 2.5  # heads"


def computed_parameter(nb):
    cell(nb, "seed: int").source += "\nheads: int = width * 2  # heads"


def no_seed(nb):
    cell(nb, "seed: int").source = "width: int = 4  # size"


def late_parameters(nb):
    index = nb.cells.index(cell(nb, "seed: int"))
    nb.cells[index], nb.cells[index + 1] = nb.cells[index + 1], nb.cells[index]
    renumber(nb)


def no_alt_text(nb):
    cell(nb, "plt.subplots").metadata.pop("mystnb")


def short_alt_text(nb):
    cell(nb, "plt.subplots").metadata["mystnb"]["image"]["alt"] = "A figure."


def much_ignored(nb):
    cell(nb, "print(numbers").metadata["tags"] = ["nbval-ignore-output"]
    cell(nb, "plt.subplots").metadata["tags"] = ["nbval-skip"]


def ignored_by_comment(nb):
    cell(nb, "print(numbers").source += "\n# NBVAL_IGNORE_OUTPUT"


def huge_figure(nb):
    cell(nb, "plt.subplots").outputs[0].data["image/png"] = base64.b64encode(bytes(400_000)).decode("ascii")


def huge_notebook(nb):
    for number in range(80):
        add_text(nb, f"{number}" + "long text " * 2000)


def wall_of_text(nb):
    cell(nb, "print(numbers").outputs[0].text = "a line\n" * 50


def wide_code(nb):
    cell(nb, "print(numbers").source += "  # " + "wide " * 30


def two_frameworks(nb):
    add(nb, "import torch\nimport attnlib.tensorflow as attn")


def framework_in_numpy(nb):
    add(nb, "from attnlib.torch import masks")


def requests(nb):
    add(nb, "import requests")


def download(nb):
    add(nb, "import urllib.request as r")


def get_file(nb):
    add(nb, "path = np.get_file('x')")


def shell(nb):
    add(nb, "!ls")


def magic(nb):
    add(nb, "%pip install numpy")


def empty_cell(nb):
    add(nb, "")


def stderr(nb):
    cell(nb, "print(numbers").outputs.append(stream("a warning\n", "stderr"))


def address(nb):
    cell(nb, "print(numbers").outputs[0].text = "<object at 0x7f60cc97c150>\n"


def home_path(nb):
    cell(nb, "print(numbers").outputs[0].text = "/home/me/book/x.py\n"


def stored_error(nb):
    error = nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=["ValueError: no"])
    cell(nb, "print(numbers").outputs = [error]


def misspelt_tag(nb):
    cell(nb, "print(numbers").metadata["tags"] = ["hide_cell"]


def no_title(nb):
    nb.cells[0].source = "A small notebook"


def two_titles(nb):
    add_text(nb, "# Another title")


def no_sources(nb):
    cell(nb, "## Sources").source = cell(nb, "## Sources").source.replace("## Sources", "Sources")


def directive(nb):
    add_text(nb, "```{note}\nA note.\n```")


def role(nb):
    add_text(nb, "See {ref}`there`.")


def unknown_paper(nb):
    add_text(nb, "[A paper](https://arxiv.org/abs/0000.00000) of nobody.")


def no_solution(nb):
    nb.cells.remove(cell(nb, "len(numbers)"))
    renumber(nb)


def open_solution(nb):
    cell(nb, "len(numbers)").metadata["tags"] = ["solution"]


CHECKED = "def f():\n    ...\n\n\nex.check_f(f)"


def unsolved_check(nb):
    add_text(nb, "### Exercise 2: code", before="## In three lines")
    add(nb, CHECKED, outputs=[stream("Not yet: f returns nothing.\n")])


def other_check_in_solution(nb):
    unsolved_check(nb)
    tags = ["hide-cell", "solution"]
    add(nb, "assert ex.check_g(f)", tags=tags, outputs=[stream("Correct: g.\n")])


def failing_solution(nb):
    unsolved_check(nb)
    tags = ["hide-cell", "solution"]
    add(nb, "ex.check_f(f)", tags=tags, outputs=[stream("Not yet: f returns nothing.\n")])


def check_outside(nb):
    add(nb, CHECKED, before="## Exercises")


BREAKS = {
    "run_in_order": [never_run, run_out_of_order],
    "normalised": [papermill_metadata, execution_times, same_ids, split_stream, png_with_remark],
    "set_up": [other_setup, no_setup, setup_untagged],
    "parameters": [
        no_parameters,
        two_parameter_cells,
        untyped_parameter,
        uncommented_parameter,
        parameter_of_another_type,
        computed_parameter,
        no_seed,
        late_parameters,
    ],
    "alt_text": [no_alt_text, short_alt_text],
    "little_ignored": [much_ignored, ignored_by_comment],
    "sizes": [huge_figure, huge_notebook, wall_of_text, wide_code],
    "one_framework": [two_frameworks, framework_in_numpy],
    "no_network": [requests, download, get_file],
    "plain_python": [shell, magic, empty_cell],
    "clean_outputs": [stderr, address, home_path, stored_error],
    "known_tags": [misspelt_tag],
    "title_and_sections": [no_title, two_titles, no_sources],
    "plain_markdown": [directive, role],
    "literature": [unknown_paper],
    "exercises": [
        no_solution,
        open_solution,
        unsolved_check,
        other_check_in_solution,
        failing_solution,
        check_outside,
    ],
}


def test_every_rule_is_tried():
    assert set(BREAKS) == set(RULES)


@pytest.mark.parametrize(
    ("rule", "breaks"),
    [(rule, breaks) for rule, each in BREAKS.items() for breaks in each],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_broken_notebook_is_caught(good, rule, breaks):
    breaks(good)
    assert problems(good, "numpy", rules=(rule,)), f"{rule} does not notice {breaks.__name__}"


def test_an_exercise_with_a_checked_solution_passes(good):
    unsolved_check(good)
    add(good, "assert ex.check_f(f)", tags=["hide-cell", "solution"], outputs=[stream("Correct: f.\n")])
    assert problems(good, rules=("exercises",)) == []


def test_bytes_that_the_tools_did_not_write_are_caught(good, saved):
    path = saved(good)
    path.write_text(path.read_text(encoding="utf-8").replace('\n "', '\n  "'), encoding="utf-8", newline="\n")
    assert any("as tools write it" in problem for problem in file_problems(path))
