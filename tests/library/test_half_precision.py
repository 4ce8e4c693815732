"""Half precision against float64: each function is off by no more than the rounding of what goes in and comes out."""

import numpy as np
import pytest

import attnlib.numpy as spec

FRAMEWORK = "each"
SHAPES = {"q": (2, 3, 8), "k": (2, 7, 8), "v": (2, 7, 5), "w": (8, 8), "u": (8,), "s": (2, 3, 7)}
POSITIONS = np.array([[1.0, 3.5, 6.0]])
# What is called, with which arrays; the functions that have positions among their arguments get them unrounded.
CALLS = {
    "dot_scores": ("qk", {}),
    "scaled_dot_scores": ("qk", {}),
    "general_scores": ("qkw", {}),
    "additive_scores": ("qkwwu", {}),
    "cosine_scores": ("qk", {"scale": 3.0}),
    "soft_cap": ("s", {"cap": 2.0}),
    "masked_softmax": ("s", {}),
    "attend": ("sv", {}),
    "scaled_dot_product_attention": ("qkv", {"causal": True}),
    "tiled_attention": ("qkv", {"causal": True, "q_tile": 2, "k_tile": 3}),
    "linear_attention": ("qkv", {}),
    "elu_plus_one": ("q", {}),
    "predicted_positions": ("qwu", {"lengths": 7}),
}
TYPES = {"float16": 2**-11, "bfloat16": 2**-8}  # and by how much at most rounding once changes a number
# Errors are counted in roundings of the largest number of the result. Found: 0.3 to 1.3, and in TensorFlow's bfloat16
# 1.7 for `general_scores`, whose first product is rounded before the second.
ROUNDINGS = 2.5


def in_half(fw, arrays, dtype):
    """The arrays in half precision, and what came of the rounding in float64."""
    if fw.name == "numpy":
        half = [x.astype(dtype) for x in arrays]
        return half, [x.astype(np.float64) for x in half]
    if fw.name == "torch":
        half = [fw.array(x).to(getattr(fw.torch, dtype)) for x in arrays]
        return half, [x.double().numpy() for x in half]
    half = [fw.tf.cast(x, dtype) for x in arrays]
    return half, [fw.tf.cast(x, "float64").numpy() for x in half]


def in_double(fw, x):
    if fw.name == "torch":
        return x.double().numpy()
    return np.asarray(x if fw.name == "numpy" else fw.tf.cast(x, "float64"), np.float64)


@pytest.mark.parametrize("name", CALLS)
def test_as_close_to_float64_as_rounding_allows(fw, name):
    names, options = CALLS[name]
    rng = np.random.default_rng(23)
    arrays = [rng.normal(size=SHAPES[n]) / (8**0.5 if n in "wu" else 1) for n in names]
    for dtype, rounding in TYPES.items():
        if fw.name == "numpy" and dtype == "bfloat16":  # which NumPy does not have
            continue
        half, exact = in_half(fw, arrays, dtype)
        expected = getattr(spec, name)(*exact, **options)
        got = in_double(fw, getattr(fw.attn, name)(*half, **options))
        error = np.abs(got - expected).max() / np.abs(expected).max() / rounding
        assert 0 < error <= ROUNDINGS, f"{dtype}: {error:.2f} roundings"
