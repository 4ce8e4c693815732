"""Whether two pictures show the same: stored and reproduced figures, up to what another processor changes.

Two renderings of one figure may differ by a rounding: an edge a pixel on, a shade off. So a pixel matches
if its colour lies within what the other picture shows around the same place, and a picture is the same if
nearly all of its pixels match, both ways. What appears, moves or changes colour leaves some without a match.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Tolerance:
    radius: int  # pixels that an edge may move
    colour: float  # what a colour may change, of 0 to 255
    share: float  # of pixels that may have no match


STRICT = Tolerance(radius=1, colour=12, share=0.0002)
# For a figure of a trained model, whose curves and shades drift with the processor's rounding.
DRIFTING = Tolerance(radius=6, colour=40, share=0.002)


def pixels(png: bytes) -> np.ndarray:
    """[height, width, 3] float32 colours on white, as on the page."""
    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    page = Image.new("RGBA", picture.size, "white")
    return np.asarray(Image.alpha_composite(page, picture).convert("RGB"), dtype=np.float32)


def unmatched(picture: np.ndarray, other: np.ndarray, tolerance: Tolerance) -> float:
    """The share of `picture`'s pixels whose colour `other` does not show near the same place."""
    radius = tolerance.radius
    height, width, _ = picture.shape
    padded = np.pad(other, ((radius, radius), (radius, radius), (0, 0)), mode="edge")
    # The extremes over a square are those over its columns of those over its rows.
    span = range(2 * radius + 1)
    low = np.min([padded[i : i + height] for i in span], axis=0)
    low = np.min([low[:, j : j + width] for j in span], axis=0)
    high = np.max([padded[i : i + height] for i in span], axis=0)
    high = np.max([high[:, j : j + width] for j in span], axis=0)
    outside = (picture < low - tolerance.colour) | (picture > high + tolerance.colour)
    return float(outside.any(axis=-1).mean())


def difference(stored: bytes, reproduced: bytes, tolerance: Tolerance = STRICT) -> str | None:
    """What differs between two PNGs, in words; None if they show the same."""
    if stored == reproduced:
        return None
    first, second = pixels(stored), pixels(reproduced)
    slack = tolerance.radius if tolerance is DRIFTING else 0
    if np.abs(np.subtract(first.shape, second.shape)).max() > slack:
        return f"the figure is {_size(first)} pixels, stored is one of {_size(second)}"
    height, width, _ = np.minimum(first.shape, second.shape)
    first, second = first[:height, :width], second[:height, :width]
    share = max(unmatched(first, second, tolerance), unmatched(second, first, tolerance))
    if share > tolerance.share:
        return f"{share:.2%} of the figure's pixels differ, {tolerance.share:.2%} may"
    return None


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[1]} x {picture.shape[0]}"
