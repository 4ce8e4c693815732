"""The digits: what they are, and that no image is in two parts."""

import sys

import numpy as np
import pytest

from attnlib.data import digits


def test_images_and_labels():
    images, labels = digits.load()
    assert images.shape == (1797, 8, 8, 1) and images.dtype == np.float32
    assert labels.shape == (1797,) and labels.dtype == np.int64
    assert images.min() == 0 and images.max() == 1
    np.testing.assert_array_equal(images * 16, np.round(images * 16))  # a count of 0 to 16
    assert labels[:10].tolist() == list(range(10))
    # A zero is hollow and a one is not.
    assert images[labels == 0][:, 3:5, 3:5].mean() < 0.3 < images[labels == 1][:, 3:5, 3:5].mean()


def test_parts_follow_one_another_and_every_digit_is_in_each():
    images, labels = digits.load()
    parts = digits.split()
    assert [len(part.images) for part in parts] == [1029, 258, 510]
    np.testing.assert_array_equal(np.concatenate([part.images for part in parts]), images)
    np.testing.assert_array_equal(np.concatenate([part.labels for part in parts]), labels)
    for part in parts:
        counts = np.bincount(part.labels, minlength=10)
        assert counts.min() > 0.8 * counts.mean()


def test_no_image_is_in_two_parts():
    train, valid, test = ({image.tobytes() for image in part.images} for part in digits.split())
    assert not train & valid and not train & test and not valid & test


def test_nobody_can_spoil_them_for_others():
    with pytest.raises(ValueError, match="read-only"):
        digits.load().images[0] = 0


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    digits._digits.cache_clear()
    with pytest.raises(ImportError, match="digits need scikit-learn"):
        digits.load()
    digits._digits.cache_clear()


def test_there_are_three_sets_of_results():
    assert [len(digits.results(of)) for of in ("parts", "torch", "keras")] == [132, 16, 16]
    assert digits.results() == digits.results("parts")
    with pytest.raises(ValueError, match="of must be one of parts, torch, keras: got 'jax'"):
        digits.results("jax")
