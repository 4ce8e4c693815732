"""What the gradients written out for NumPy say to a gradient that does not fit, and what they make of a small one."""

import re

import numpy as np
import pytest

import attnlib.numpy as attn

FRAMEWORK = "numpy"
RNG = np.random.default_rng(0)
Q, K, V = (RNG.normal(size=(2, n, d)).astype(np.float32) for n, d in ((3, 4), (5, 4), (5, 6)))
WEIGHTS = attn.masked_softmax(RNG.normal(size=(2, 3, 5)).astype(np.float32))
MATRIX, VECTOR = np.ones((4, 4), np.float32), np.ones(4, np.float32)
LAYER = attn.MultiHeadAttention(4, 2, seed=0)
b = attn.backward
# For each function what comes before its gradient, the gradient's name and shape, what it is of, and of which array.
VJPS = {
    "masked_softmax": (lambda g: b.masked_softmax_vjp(WEIGHTS, g), "grad_weights", (2, 3, 5), "weights", "weights"),
    "dot_scores": (lambda g: b.dot_scores_vjp(Q, K, g), "grad_scores", (2, 3, 5), "scores", "q"),
    "general_scores": (lambda g: b.general_scores_vjp(Q, K, MATRIX, g), "grad_scores", (2, 3, 5), "scores", "q"),
    "additive_scores": (
        lambda g: b.additive_scores_vjp(Q, K, MATRIX, MATRIX, VECTOR, g),
        *("grad_scores", (2, 3, 5), "scores", "q"),
    ),
    "attend": (lambda g: b.attend_vjp(WEIGHTS, V, g), "grad_output", (2, 3, 6), "output", "v"),
    "attention": (
        lambda g: b.scaled_dot_product_attention_vjp(Q, K, V, g, causal=True),
        *("grad_output", (2, 3, 6), "output", "v"),
    ),
    "tiled": (lambda g: b.tiled_attention_vjp(Q, K, V, g), "grad_output", (2, 3, 6), "output", "q"),
    "multi_head": (
        lambda g: b.multi_head_attention_vjp(LAYER, Q, K, K, g),
        *("grad_output", (2, 3, 4), "output", "query"),
    ),
}


def numbers(result):
    """All arrays of a result that may hold tuples and dictionaries."""
    if isinstance(result, np.ndarray):
        return [result]
    parts = result.values() if isinstance(result, dict) else result
    return [array for part in parts for array in numbers(part)]


@pytest.fixture(params=VJPS)
def vjp(request):
    return VJPS[request.param]


@pytest.mark.parametrize("add", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_another_shape(vjp, add):
    function, name, shape, what, _ = vjp
    other = tuple(n + m for n, m in zip(shape, add, strict=True))
    message = f"{name} must broadcast to the {what} {list(shape)}, got shape {list(other)}"
    with pytest.raises(ValueError, match=re.escape(message)):
        function(np.ones(other, np.float32))


def test_another_type(vjp):
    function, name, shape, _, of = vjp
    with pytest.raises(ValueError, match=f"{of} and {name} must have the same dtype, got {of} float32, {name} float64"):
        function(np.ones(shape))
    with pytest.raises(ValueError, match=f"{name} must be floating point, got int64"):
        function(np.ones(shape, np.int64))
    with pytest.raises(ValueError, match=f"{name} must be an array, got float"):
        function(1.0)


def test_one_number_stands_for_all(vjp):
    function, _, shape, *_ = vjp
    expected = numbers(function(np.full(shape, 0.5, np.float32)))
    for small in (np.full((), 0.5, np.float32), np.full((1, shape[-1]), 0.5, np.float32)):
        for one, two in zip(numbers(function(small)), expected, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


def test_dot_products_are_not_scaled_by_default():
    expected = b.dot_scores_vjp(Q, K, WEIGHTS, scale=1.0)
    for one, two in zip(b.dot_scores_vjp(Q, K, WEIGHTS), expected, strict=True):
        np.testing.assert_array_equal(one, two)
