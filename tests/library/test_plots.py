"""Figures of attention, looked at: labels, values, colours and contrast of what is really drawn."""

import warnings
from itertools import pairwise

import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from attnlib.plots import alignment, heatmap, printable

WEIGHTS = np.array([[0.1, 0.2, 0.7], [0.5, 0.5, 0.0]])
CAUSAL = np.array([[True, False, False], [True, True, False]])


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def draw(ax):
    """Render, as a notebook does, and return the pixels; warnings are errors here."""
    ax.figure.canvas.draw()
    return np.asarray(ax.figure.canvas.buffer_rgba())[..., :3]


def pixel(ax, row, column):
    """The colour at the centre of the left edge of a cell, where there is neither number nor frame."""
    pixels = draw(ax)
    x, y = ax.transData.transform((column - 0.46, row))
    return tuple(int(c) for c in pixels[pixels.shape[0] - 1 - int(y), int(x)])


def texts(ax):
    return [text.get_text() for text in ax.texts]


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def luminance(colour):
    light = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2]


def contrast(one, other):
    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


def test_rows_are_queries_and_columns_are_keys():
    ax = heatmap(WEIGHTS, ["a", "b"], "xyz", title="Who looks where")
    draw(ax)
    assert ticks(ax.yaxis) == ["a", "b"]
    assert ticks(ax.xaxis) == ["x", "y", "z"]
    assert (ax.get_ylabel(), ax.get_xlabel(), ax.get_title()) == ("query", "key", "Who looks where")
    np.testing.assert_array_equal(ax.images[0].get_array(), WEIGHTS)
    assert texts(ax) == ["0.10", "0.20", "0.70", "0.50", "0.50", "0.00"]
    assert ax.texts[2].get_position() == (2, 0)
    assert ax.yaxis.get_inverted()  # the first query is the top row


def test_more_weight_is_darker_and_the_scale_is_0_to_1():
    ax = heatmap(WEIGHTS)
    assert ax.images[0].get_clim() == (0, 1)
    shades = [luminance([c / 255 for c in pixel(ax, 0, column)]) for column in range(3)]
    assert shades == sorted(shades, reverse=True)
    assert len(set(shades)) == 3
    assert min(pixel(ax, 1, 2)) > 240  # no weight is all but white
    assert heatmap(WEIGHTS, vmax=0.5).images[0].get_clim() == (0, 0.5)


def test_every_step_of_the_colour_map_darkens_about_as_much():
    colours = plt.get_cmap(heatmap(WEIGHTS).images[0].cmap.name)(np.linspace(0, 1, 11))
    lightness = np.array([116 * luminance(c) ** (1 / 3) - 16 for c in colours])  # CIE L*
    steps = -np.diff(lightness)
    assert steps.min() > 2
    assert steps.max() < 3 * steps.min()


@given(st.floats(0, 1), st.floats(0.1, 2))
@settings(max_examples=15, deadline=None)
def test_numbers_stand_out_on_every_shade(weight, vmax):
    ax = heatmap([[weight]], vmax=vmax)
    behind = ax.images[0].cmap(ax.images[0].norm(weight))
    assert contrast(ax.texts[0].get_color(), behind) >= 4.5
    plt.close("all")


def test_numbers_are_printed_where_there_is_room_or_when_asked_for():
    assert len(texts(heatmap(np.full((8, 8), 1 / 8)))) == 64
    assert texts(heatmap(np.full((8, 9), 1 / 9))) == []
    assert len(texts(heatmap(np.full((8, 9), 1 / 9), numbers=True))) == 72
    assert texts(heatmap(WEIGHTS, numbers=False)) == []


def test_masked_cells_are_grey_and_hatched_and_have_no_number():
    weights = np.array([[1.0, 0, 0], [0.5, 0.5, 0]])
    ax = heatmap(weights, mask=CAUSAL)
    (hatched,) = ax.collections
    assert hatched.get_hatch()
    assert texts(ax) == ["1.00", "0.50", "0.50"]
    red, green, blue = pixel(ax, 0, 2)
    assert red == green == blue < 230
    red, _, blue = pixel(ax, 0, 0)
    assert blue > red  # still on the blue scale
    assert ax.get_xlim() == (-0.5, 2.5)
    assert not heatmap(weights).collections


def test_weight_on_a_masked_cell_is_shown():
    assert texts(heatmap([[0.9, 0.1, 0.0], [1.0, 0.0, 0.0]], mask=CAUSAL)) == ["0.90", "0.10", "1.00", "0.00"]


def test_a_mask_may_broadcast():
    ax = heatmap([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]], mask=[[True, True, False]])
    assert texts(ax) == ["0.50", "0.50", "1.00", "0.00"]


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_white_paper_and_black_ink_in_every_style(style):
    with plt.style.context(style):
        ax = heatmap(WEIGHTS, "ab", "xyz", title="Title")
        pixels = draw(ax)
    assert tuple(pixels[0, 0]) == (255, 255, 255)
    assert ax.figure.get_facecolor() == (1, 1, 1, 1)
    bar = ax.figure.axes[1]
    inks = [ax.title, ax.xaxis.label, ax.yaxis.label, bar.yaxis.label]
    inks += ax.get_xticklabels() + ax.get_yticklabels() + bar.get_yticklabels()
    assert all(contrast(ink.get_color(), "white") > 15 for ink in inks)


def test_the_labels_fit_beside_and_inside_each_other():
    ax = heatmap(np.full((2, 4), 0.25), keys=["Unwahrscheinlichkeit", "of", "words", "x"])
    draw(ax)
    boxes = [label.get_window_extent() for label in ax.get_xticklabels()]
    assert all(left.x1 <= right.x0 + 1 for left, right in pairwise(boxes))
    assert all(ax.figure.bbox.x0 <= box.x0 and box.y1 <= ax.figure.bbox.y1 for box in boxes)
    assert {label.get_rotation() for label in ax.get_xticklabels()} == {90}
    assert {label.get_rotation() for label in heatmap(WEIGHTS, keys="abc").get_xticklabels()} == {0}


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (10, 38), (60, 60)])
def test_a_figure_of_its_own_is_at_most_seven_inches(shape):
    ax = heatmap(np.zeros(shape))
    draw(ax)
    assert max(ax.figure.get_size_inches()) <= 7
    assert len([label for label in ticks(ax.xaxis) if label]) <= 20


def test_several_in_one_figure():
    figure, axes = plt.subplots(1, 2, figsize=(6, 3), layout="constrained")
    assert heatmap(WEIGHTS, ax=axes[0], colorbar=False) is axes[0]
    assert len(figure.axes) == 2
    heatmap(WEIGHTS, ax=axes[1])
    assert len(figure.axes) == 3
    draw(axes[0])


def test_tensors_that_carry_a_gradient_are_drawn():
    ax = heatmap(torch.tensor(WEIGHTS, requires_grad=True))
    np.testing.assert_array_equal(ax.images[0].get_array(), WEIGHTS)


def test_alignment_frames_where_each_target_looks_most():
    weights = np.array([[0.1, 0.2, 0.7], [0.6, 0.4, 0.0], [0.0, 0.0, 0.0]])
    ax = alignment(weights, "a b", "xyz")
    draw(ax)
    assert ticks(ax.xaxis) == ["a", "␣", "b"]
    assert ticks(ax.yaxis) == ["x", "y", "z"]
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("target", "source")
    frames = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    centres = {(f.get_x() + f.get_width() / 2, f.get_y() + f.get_height() / 2) for f in frames}
    assert {(round(x, 6), round(y, 6)) for x, y in centres} == {(2, 0), (0, 1)}  # and none where nothing is seen
    assert texts(ax) == []
    assert len(texts(alignment(weights, "a b", "xyz", numbers=True))) == 9
    assert not alignment(weights, "a b", "xyz", path=False).patches


def test_characters_without_a_glyph_are_named_and_nothing_warns():
    assert printable("4 мая") == "4 мая"
    assert printable("ג׳") == "ג׳"
    assert printable("年") == "U+5E74"
    assert printable("1月") == "1U+6708"
    assert printable(" ") == "␣"
    assert printable("\n") == "U+000A"
    assert printable("\u200f") == "U+200F"
    assert printable("") == ""
    assert printable(7) == "7"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(alignment(np.eye(5), "年월हع$", "$a$b_"))
        draw(heatmap(WEIGHTS, queries=[r"$\frac$", "$$"]))  # a token is not a formula


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: heatmap(np.zeros((2, 3, 4))), r"weights must be \[q_len, k_len\].*: got shape \(2, 3, 4\)"),
        (lambda: heatmap(np.zeros((0, 3))), r"got shape \(0, 3\)"),
        (lambda: heatmap([[0.5, -0.5]]), "weights must be finite numbers ≥ 0"),
        (lambda: heatmap([[0.5, np.nan]]), "weights must be finite numbers ≥ 0"),
        (lambda: heatmap([["a", "b"]]), "weights must be finite numbers ≥ 0"),
        (lambda: heatmap(WEIGHTS, queries="abc"), "queries must have one label for each row .*, 2: got 3"),
        (lambda: heatmap(WEIGHTS, keys="ab"), "keys must have one label for each column .*, 3: got 2"),
        (lambda: alignment(WEIGHTS, "ab", "ab"), "source must have one label for each column .*, 3: got 2"),
        (lambda: alignment(WEIGHTS, "abc", "a"), "target must have one label for each row .*, 2: got 1"),
        (lambda: heatmap(WEIGHTS, mask=WEIGHTS), "mask must be boolean, True = may attend: got dtype float64"),
        (lambda: heatmap(WEIGHTS, mask=np.ones((3, 2), bool)), r"mask must broadcast .*\(2, 3\): got \(3, 2\)"),
        (lambda: heatmap(WEIGHTS, vmax=0), "vmax must be greater than 0: got 0"),
    ],
)
def test_errors_say_what_must_hold(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
    assert not plt.get_fignums()  # and no empty figure is left behind to be shown
