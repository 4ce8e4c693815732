"""Masked softmax: any size of score, rows with nothing to attend to, half precision, another axis."""

import numpy as np
import pytest

FRAMEWORK = "each"


def softmax(fw, scores, mask=None, **options):
    return fw.numpy(fw.attn.masked_softmax(fw.array(scores), fw.array(mask), **options))


def test_by_hand(fw):
    # exp(ln 1), exp(ln 2), exp(ln 5) are 1, 2 and 5.
    scores = np.log(np.array([[1.0, 2.0, 5.0]]))
    np.testing.assert_allclose(softmax(fw, scores), [[1 / 8, 2 / 8, 5 / 8]], rtol=1e-12)
    mask = np.array([[True, True, False]])
    np.testing.assert_allclose(softmax(fw, scores, mask), [[1 / 3, 2 / 3, 0]], rtol=1e-12)


@pytest.mark.parametrize("shift", [0.0, 1e4, -1e4, 3e38, -3e38])
def test_scores_of_any_size_in_float32(fw, shift):
    scores = np.array([[0.0, 1.0, 2.0], [-1e4, 0.0, 1e4]], dtype=np.float32) + np.float32(shift)
    weights = softmax(fw, scores)
    exact = scores.astype(np.float64)
    exact = np.exp(exact - exact.max(-1, keepdims=True))
    np.testing.assert_allclose(weights, exact / exact.sum(-1, keepdims=True), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shift", [0.0, 1e4, -1e4])
def test_a_row_without_keys_is_zero_and_its_neighbour_is_not_touched(fw, dtype, shift):
    scores = (np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]) + shift).astype(dtype)
    mask = np.array([[False] * 3, [True] * 3])
    weights = softmax(fw, scores, mask)
    assert weights.dtype == dtype
    assert (weights[0] == 0).all()
    np.testing.assert_array_equal(weights[1], softmax(fw, scores)[1])


def test_minus_infinity_counts_as_masked(fw):
    scores = np.array([[1.0, -np.inf, 2.0], [-np.inf] * 3])
    mask = np.isfinite(scores)
    np.testing.assert_array_equal(softmax(fw, scores), softmax(fw, np.where(mask, scores, 7.0), mask))


def test_what_is_masked_may_even_be_nan(fw):
    scores = np.array([[1.0, np.nan, 2.0, np.inf]])
    weights = softmax(fw, scores, np.array([[True, False, True, False]]))
    np.testing.assert_allclose(weights, softmax(fw, np.array([[1.0, -np.inf, 2.0, -np.inf]])))


def test_half_precision_is_computed_in_float32(fw):
    scores = np.random.default_rng(0).normal(size=(64, 4096)).astype(np.float16)
    exact = np.exp(scores.astype(np.float64))
    exact /= exact.sum(-1, keepdims=True)
    # Rounding the exact weights once costs half a unit in the last place: nothing more is lost.
    np.testing.assert_allclose(softmax(fw, scores), exact.astype(np.float16), rtol=1e-3, atol=6e-8)


def test_another_axis(fw):
    scores = np.random.default_rng(0).normal(size=(2, 3, 5))
    mask = np.random.default_rng(1).random((2, 3, 5)) < 0.7
    got = softmax(fw, scores, mask, axis=-2)
    np.testing.assert_allclose(
        got, softmax(fw, scores.swapaxes(-1, -2), mask.swapaxes(-1, -2)).swapaxes(-1, -2), rtol=1e-12
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_are_finite_where_nothing_may_be_attended_to(fw, dtype):
    if fw.name == "numpy":
        weights = np.zeros((2, 3), dtype)
        grads = fw.attn.backward.masked_softmax_vjp(weights, np.ones_like(weights))
    else:
        scores = np.array([[1.0, 2.0, 3.0], [-np.inf] * 3], dtype)
        mask = fw.array(np.array([[False] * 3, [True] * 3]))
        (grads,) = fw.gradients(lambda s: fw.attn.masked_softmax(s, mask), [scores], np.ones_like(scores))
    assert (grads == 0).all()
