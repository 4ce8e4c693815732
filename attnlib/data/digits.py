"""Handwritten digits, 8 × 8 pixels, that scikit-learn carries: 1,797 images by 13 people.

    train, valid, test = split()          # cut where the writer changes
    train.images, train.labels            # [n, 8, 8, 1] float32 between 0 and 1, [n] int64

Each pixel counts the black ones in a block of 4 × 4 of the scan. The images stand in the order of who wrote them, a
block of about 130 a hand: **a random split would test on the hands that it trained on**, and report too much. `split`
cuts where the writer changes, at boundaries that others found by eye; names are not given.

Sources: E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998,
https://archive.ics.uci.edu/dataset/80 (CC BY 4.0), of which this is the test part. Where the writer changes: INRIA's
scikit-learn course, https://inria.github.io/scikit-learn-mooc/python_scripts/cross_validation_grouping.html
"""

import json
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np

STARTS = (0, 1029, 1287)  # of the three parts: 8, 2 and 4 of the 14 blocks that the course finds


class Digits(NamedTuple):
    """Images and what they show."""

    images: np.ndarray  # [n, 8, 8, 1], float32, 0 is paper and 1 is ink
    labels: np.ndarray  # [n], int64, 0 to 9


def load() -> Digits:
    """All images, in the order of their writers: `[1797, 8, 8, 1]`, `[1797]`. The arrays cannot be written to.

    Raises ImportError where scikit-learn, which carries them, is missing.
    """
    return _digits()


def split() -> tuple[Digits, Digits, Digits]:
    """1,029 images to train on, 258 to choose with and 510 to test on; always the same."""
    images, labels = load()
    parts = zip(np.split(images, STARTS[1:]), np.split(labels, STARTS[1:]), strict=True)
    return tuple(Digits(*part) for part in parts)


RESULTS = {
    "parts": "digits_results.json",
    "torch": "digits_torch_results.json",
    "keras": "digits_keras_results.json",
}


def results(of: str = "parts") -> list[dict]:
    """A row for each training that the scripts did, with all settings.

    of: "parts", what `scripts/train_digits.py` found with one part changed at a time, three seeds each; "torch", the
    transformer and the convolution with eight seeds, of the same script; "keras", the same two of
    `scripts/train_digits_keras.py`.

    The files were made once and are not made again by anything that reads them; scripts/results says how.
    Raises ValueError for another word.
    """
    if of not in RESULTS:
        raise ValueError(f"of must be one of {', '.join(RESULTS)}: got {of!r}")
    return json.loads(files("attnlib.data").joinpath(RESULTS[of]).read_text(encoding="utf-8"))


@lru_cache
def _digits() -> Digits:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ImportError('the digits need scikit-learn: pip install "attnlib[book]"') from None
    raw = load_digits()
    arrays = (raw.images[..., None] / 16).astype(np.float32), raw.target.astype(np.int64)
    for array in arrays:
        array.flags.writeable = False
    return Digits(*arrays)
