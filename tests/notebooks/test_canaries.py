"""Notebooks whose stored outputs are not true: the strict nbval run must fail on each, and pass the true one."""

import base64
import copy
import io
import subprocess
from xml.etree import ElementTree

import nbformat
import numpy as np
import pytest
from PIL import Image, ImageChops

from tools import pictures
from tools.check import nbval_command
from tools.paths import ROOT


def cell(notebook, text):
    return next(each for each in notebook.cells if text in each.source)


def change_figure(notebook, change):
    data = cell(notebook, "plt.subplots").outputs[0].data
    picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")
    file = io.BytesIO()
    change(picture).save(file, "png")
    data["image/png"] = base64.b64encode(file.getvalue()).decode("ascii")


def corrupted_text(notebook):
    text = cell(notebook, "print(numbers").outputs[0]
    digit = next(letter for letter in text.text if letter in "12345678")
    text.text = text.text.replace(digit, str(int(digit) + 1), 1)


def counts_removed(notebook):
    for each in notebook.cells:
        if each.cell_type == "code":
            each.execution_count = None


def output_removed(notebook):
    cell(notebook, "print(numbers").outputs = []


def output_made_up(notebook):
    cell(notebook, "import numpy").outputs = cell(notebook, "print(numbers").outputs


def mirrored_figure(notebook):
    change_figure(notebook, lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT))


def figure_removed(notebook):
    cell(notebook, "plt.subplots").outputs = []


def figure_twice(notebook):
    outputs = cell(notebook, "plt.subplots").outputs
    second = copy.deepcopy(outputs[0])
    del second.data["text/plain"]
    outputs.append(second)


def warning_printed(notebook):
    cell(notebook, "print(numbers").source += "\nimport sys; print('careful', file=sys.stderr)"


def code_changed(notebook):
    cell(notebook, "numbers = rng").source = "numbers = 2 * rng.normal(size=width)"


def dead_kernel(notebook):
    cell(notebook, "print(numbers").source = "import os\nos._exit(1)"


def true(notebook):
    """The notebook as it is."""


LIES = {
    corrupted_text: "Cell outputs differ",
    counts_removed: "This cell was never run",
    output_removed: "Unexpected output fields",
    output_made_up: "Missing output fields",
    mirrored_figure: "of the figure's pixels differ",
    figure_removed: "Unexpected output fields",
    figure_twice: "2 figures are stored, 1 were drawn",
    warning_printed: "Unexpected output fields from running code: {'stderr'}",
    code_changed: "Cell outputs differ",
    dead_kernel: "the kernel died while this cell ran",
}


@pytest.fixture(scope="module")
def reports(_executed, tmp_path_factory):
    """What the step `nbval` of tools.check says of each notebook: name to (failures, text)."""
    folder = tmp_path_factory.mktemp("canaries")
    for lie in (true, *LIES):
        notebook = copy.deepcopy(_executed)
        lie(notebook)
        nbformat.write(notebook, folder / f"{lie.__name__}.ipynb")
    settings = ["-p", "no:cacheprovider", "-c", ROOT / "pyproject.toml", f"--junit-xml={folder / 'report.xml'}"]
    subprocess.run([*nbval_command(spread=False), *settings, folder], cwd=ROOT, stdout=subprocess.DEVNULL)
    found = {lie.__name__: [] for lie in (true, *LIES)}
    passed = dict.fromkeys(found, 0)
    for case in ElementTree.parse(folder / "report.xml").iter("testcase"):
        name = next(lie for lie in found if lie in case.get("classname"))
        failures = [failure.text for failure in case.iter("failure")]
        found[name] += failures
        passed[name] += not failures
    return found, passed


def test_the_true_notebook_passes(reports):
    found, passed = reports
    assert found["true"] == []
    assert passed["true"] == 7


@pytest.mark.parametrize("lie", LIES)
def test_an_untrue_notebook_fails(reports, lie):
    found, _ = reports
    assert LIES[lie] in "".join(found[lie.__name__])


def png(array) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "png")
    return file.getvalue()


def drawing() -> np.ndarray:
    """A white picture with two thin lines."""
    picture = np.full((240, 320, 3), 255, dtype=np.uint8)
    picture[100:102, 40:280] = (0, 114, 178)
    picture[40:200, 60:62] = (213, 94, 0)
    return picture


def missing_line(picture):
    picture[100:102, 40:280] = 255


def moved_line(picture):
    picture[100:102] = 255
    picture[110:112, 40:280] = (0, 114, 178)


def recoloured_line(picture):
    picture[100:102, 40:280] = (0, 158, 115)


@pytest.mark.parametrize("change", [missing_line, moved_line, recoloured_line])
def test_another_picture_is_noticed(change):
    stored, changed = drawing(), drawing()
    change(changed)
    for tolerance in (pictures.STRICT, pictures.DRIFTING):
        assert pictures.difference(png(stored), png(changed), tolerance), tolerance


def test_a_rounding_is_not_another_picture():
    picture = Image.fromarray(drawing())
    shaded = ImageChops.subtract(picture, Image.new("RGB", picture.size, (3, 3, 3)))
    shifted = np.roll(drawing(), 1, axis=1)
    assert pictures.difference(png(drawing()), png(np.asarray(shaded))) is None
    assert pictures.difference(png(drawing()), png(shifted)) is None


def test_a_larger_picture_is_another_one():
    assert "pixels, stored is" in pictures.difference(png(drawing()), png(drawing()[:-1]))
