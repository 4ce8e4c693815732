"""Pictures of attention, drawn with matplotlib from one [q_len, k_len] array of weights.

`heatmap` shows who attends to whom; `alignment` shows it for a source and a target sequence and marks where
each target token looks most. Both draw on white paper with black ink whatever the style in force, so that
they read in print and on a dark page, and from white to dark blue, so that more weight is darker to any eye.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np

try:
    import matplotlib.pyplot as plt
    from matplotlib import font_manager
    from matplotlib.axes import Axes
    from matplotlib.colors import ListedColormap, to_rgb
    from matplotlib.patches import Rectangle
except ImportError as error:
    raise ImportError('attnlib.plots needs matplotlib: pip install "attnlib[book]"') from error

COLOURS = "Blues"
INK, PAPER, MASKED, MARK = "black", "white", "0.85", "#d55e00"  # the last is the vermilion of Okabe and Ito
PRINTED = 8  # a matrix of up to 8 × 8 shows its numbers unless told otherwise


def heatmap(
    weights: Any,
    queries: Iterable[Any] | None = None,
    keys: Iterable[Any] | None = None,
    *,
    mask: Any = None,
    ax: Axes | None = None,
    title: str | None = None,
    numbers: bool | None = None,
    vmax: float | None = None,
    colorbar: bool = True,
    labels: tuple[str, str] = ("query", "key"),
) -> Axes:
    """[q_len, k_len] -> the axes of a picture: a row a query, a column a key, darker where more weight lies.

    queries, keys: one label a row and a column (a string gives its characters); positions if left out.
    mask: [q_len, k_len] or broadcast to it, True = may attend; a masked cell is grey and hatched, unless it
        has weight all the same, which is then shown like any other.
    ax: where to draw; a new figure of at most 7 inches if left out.
    numbers: print the weight in each cell; by default up to 8 × 8.
    vmax: the weight of the darkest colour, by default 1, so that two pictures can be compared.
    labels: the titles of the two axes.

    Raises ValueError for weights that are not a matrix of finite numbers ≥ 0, and for labels or a mask that
    do not fit them.
    """
    weights = _matrix(weights)
    mask = _mask(mask, weights.shape)
    rows = _labels("queries", queries, weights.shape[0], "row")
    columns = _labels("keys", keys, weights.shape[1], "column")
    if vmax is not None and not vmax > 0:
        raise ValueError(f"vmax must be greater than 0: got {vmax}")
    if ax is None:
        _, ax = plt.subplots(figsize=_size(rows, columns), layout="constrained")
    ax.figure.set_facecolor(PAPER)
    ax.set_facecolor(PAPER)
    top = 1.0 if vmax is None else vmax
    image = ax.imshow(weights, cmap=COLOURS, vmin=0, vmax=top, interpolation="nearest")
    hatched = ~mask & (weights == 0)
    _hatch(ax, hatched)
    if numbers is None:
        numbers = max(weights.shape) <= PRINTED
    if numbers:
        _print(ax, image, weights, ~hatched)
    _name_axes(ax, rows, columns, labels)
    if title:
        ax.set_title(title, color=INK)
    if colorbar:
        beyond = "max" if weights.max() > top else "neither"
        bar = ax.figure.colorbar(image, ax=ax, extend=beyond, shrink=0.85)
        bar.set_label("weight", color=INK)
        bar.ax.tick_params(colors=INK)
    return ax


def alignment(weights: Any, source: Iterable[Any], target: Iterable[Any], *, path: bool = True, **kwargs: Any) -> Axes:
    """[target_len, source_len] -> the axes of a picture of which source token each target token looks at.

    source, target: the tokens (a string gives its characters); the source is along the columns.
    path: frame the source token of greatest weight in each row (a row without weight has none).
    The other arguments are those of `heatmap`, except that numbers are printed only when asked for.

    Raises ValueError as `heatmap` does.
    Source: the figure is that of Bahdanau et al. (2015), https://arxiv.org/abs/1409.0473, Figure 3.
    """
    weights = _matrix(weights)
    source = _labels("source", source, weights.shape[1], "column")
    target = _labels("target", target, weights.shape[0], "row")
    settings = {"numbers": False, "labels": ("target", "source")} | kwargs
    ax = heatmap(weights, target, source, **settings)
    if path:
        seen = np.flatnonzero(weights.max(axis=1) > 0)
        for row, column in zip(seen, weights.argmax(axis=1)[seen], strict=True):
            for colour, width in ((PAPER, 3.0), (MARK, 1.5)):  # the white rim keeps it visible on dark blue
                corner = (column - 0.42, row - 0.42)
                ax.add_patch(Rectangle(corner, 0.84, 0.84, fill=False, edgecolor=colour, linewidth=width))
    return ax


def printable(label: Any) -> str:
    """A label as the font in use can draw it: a space as ␣, a character without a glyph as its code point.

    For such a character, say U+5E74, matplotlib draws an empty box, the same for all of them, and warns. (Its
    own font, DejaVu Sans, has Latin, Cyrillic, Greek, Arabic and Hebrew, but not Chinese, Japanese, Korean or
    Devanagari. Name one that has in `rcParams["font.family"]`, and the character itself is drawn.)
    """
    text = str(label)
    if text.isspace():
        return "".join("␣" if character == " " else _code_point(character) for character in text)
    known = _glyphs()
    return "".join(c if ord(c) in known and c.isprintable() else _code_point(c) for c in text)


def _code_point(character: str) -> str:
    return f"U+{ord(character):04X}"


def _glyphs() -> frozenset[int]:
    families = font_manager.FontProperties().get_family()
    fonts = (font_manager.findfont(font_manager.FontProperties(family=[family])) for family in families)
    return frozenset().union(*(_charmap(str(font)) for font in fonts))


@lru_cache
def _charmap(path: str) -> frozenset[int]:
    return frozenset(font_manager.get_font(path).get_charmap())


def _matrix(weights: Any) -> np.ndarray:
    weights = weights.detach().cpu() if hasattr(weights, "detach") else weights  # PyTorch, not imported here
    array = np.asarray(weights)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"weights must be [q_len, k_len], one head of one example: got shape {array.shape}")
    if array.dtype.kind not in "biuf" or not np.all(np.isfinite(array) & (array >= 0)):
        raise ValueError("weights must be finite numbers ≥ 0 (weights, not scores): got others among them")
    return array.astype(float)


def _mask(mask: Any, shape: tuple[int, int]) -> np.ndarray:
    mask = np.asarray(True if mask is None else mask)
    if mask.dtype != bool:
        raise ValueError(f"mask must be boolean, True = may attend: got dtype {mask.dtype}")
    try:
        return np.broadcast_to(mask, shape)
    except ValueError:
        raise ValueError(f"mask must broadcast to the shape of weights {shape}: got {mask.shape}") from None


def _labels(name: str, labels: Iterable[Any] | None, count: int, line: str) -> list[str]:
    if labels is None:  # positions: all of them, or every fifth, tenth, … of many
        step = next(step for step in (1, 5, 10, 50, 100, 500, count) if count / step <= 20)
        return [str(i) if i % step == 0 else "" for i in range(count)]
    labels = [printable(label) for label in labels]
    if len(labels) != count:
        raise ValueError(f"{name} must have one label for each {line} of weights, {count}: got {len(labels)}")
    return labels


def _size(rows: list[str], columns: list[str]) -> tuple[float, float]:
    """Width and height in inches: square cells of up to half an inch, and room for labels and colour bar."""
    beside, above = (0.5 + 0.09 * max(map(len, labels)) for labels in (rows, columns))
    cell = min(0.5, (6.0 - beside) / len(columns), (6.5 - above) / len(rows))
    return max(2.6, cell * len(columns) + beside + 1.0), max(1.8, cell * len(rows) + above + 0.4)


def _cell_points(ax: Axes, shape: tuple[int, int]) -> float:
    """The side of a cell in points, before the layout has settled: an estimate, for sizing what is in it."""
    box = ax.get_window_extent()
    return min(box.width / shape[1], box.height / shape[0]) * 72 / ax.figure.dpi


def _hatch(ax: Axes, hatched: np.ndarray) -> None:
    if hatched.any():
        rows, columns = (np.arange(n + 1) - 0.5 for n in hatched.shape)
        grey = np.ma.masked_array(np.zeros(hatched.shape), ~hatched)
        ax.pcolor(columns, rows, grey, cmap=ListedColormap([MASKED]), hatch="////", edgecolor="0.5", linewidth=0)


def _print(ax: Axes, image: Any, weights: np.ndarray, shown: np.ndarray) -> None:
    size = min(9.0, 0.32 * _cell_points(ax, weights.shape))
    for i, j in np.argwhere(shown):
        ink = _ink_on(image.cmap(image.norm(weights[i, j])))
        ax.text(j, i, f"{weights[i, j]:.2f}", ha="center", va="center", color=ink, fontsize=size)


def _ink_on(colour: Any) -> str:
    """Black or white, whichever has more contrast (WCAG 2); the better of the two is never under 4.5 to 1."""
    light = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    luminance = float(np.dot([0.2126, 0.7152, 0.0722], light))
    return INK if luminance > 0.179 else PAPER  # at 0.179 the contrasts with black and with white are equal


def _name_axes(ax: Axes, rows: list[str], columns: list[str], labels: tuple[str, str]) -> None:
    cell = _cell_points(ax, (len(rows), len(columns)))
    room = cell * min(len(names) / sum(map(bool, names)) for names in (rows, columns))
    size = max(5.0, min(10.0, 0.8 * room))
    rotated = max(map(len, columns)) * 0.62 * size > room
    style = {"fontsize": size, "color": INK, "parse_math": False}
    ax.set_xticks(range(len(columns)), columns, rotation=90 if rotated else 0, **style)
    ax.set_yticks(range(len(rows)), rows, **style)
    ax.tick_params(color=INK, length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    ax.set_ylabel(labels[0], color=INK)
    ax.set_xlabel(labels[1], color=INK, labelpad=6)
    ax.xaxis.set_label_position("top")
    for spine in ax.spines.values():
        spine.set_color("0.5")
