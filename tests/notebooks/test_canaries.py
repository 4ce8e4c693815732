"""Notebooks whose stored outputs are not true: the strict nbval run must fail on each, and pass the true one."""

import base64
import io
import subprocess
import time

import numpy as np
import pytest
from PIL import Image, ImageChops

from tools import pictures
from tools.check import nbval_command
from tools.paths import ROOT


def nbval(path):
    """The step `nbval` of tools.check, on one notebook: exit status and what it printed."""
    done = subprocess.run(
        [*nbval_command(spread=False), "-p", "no:cacheprovider", "-c", ROOT / "pyproject.toml", path],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    return done.returncode, done.stdout


def cell(notebook, text):
    return next(each for each in notebook.cells if text in each.source)


def change_figure(notebook, change):
    data = cell(notebook, "plt.subplots").outputs[0].data
    picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")
    file = io.BytesIO()
    change(picture).save(file, "png")
    data["image/png"] = base64.b64encode(file.getvalue()).decode("ascii")


def test_the_true_notebook_passes(good, saved):
    code, output = nbval(saved(good))
    assert code == 0, output
    assert "7 passed" in output


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


def warning_printed(notebook):
    cell(notebook, "print(numbers").source += "\nimport sys; print('careful', file=sys.stderr)"


def code_changed(notebook):
    cell(notebook, "numbers = rng").source = "numbers = 2 * rng.normal(size=width)"


@pytest.mark.parametrize(
    "lie",
    [
        corrupted_text,
        counts_removed,
        output_removed,
        output_made_up,
        mirrored_figure,
        figure_removed,
        warning_printed,
        code_changed,
    ],
)
def test_an_untrue_notebook_fails(good, saved, lie):
    lie(good)
    code, output = nbval(saved(good))
    assert code == 1, output
    assert " failed" in output


def test_a_dead_kernel_is_seen_at_once(good, saved):
    cell(good, "print(numbers").source = "import os\nos._exit(1)"
    start = time.monotonic()
    code, output = nbval(saved(good))
    assert code == 1
    assert "the kernel died while this cell ran" in output
    assert time.monotonic() - start < 30


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
