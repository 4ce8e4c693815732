"""Tiled attention is the dense one, in values and gradients, whatever the tiles; and what it holds is counted."""

import re

import hypothesis.strategies as st
import numpy as np
import pytest
from cases import CASES, TOLERANCE
from hypothesis import given, settings

import attnlib.numpy as spec

FRAMEWORK = "each"
# One tile that holds all; and, the lengths in the cases being primes, tiles of which the last one is shorter.
TILES = {np.float32: {}, np.float64: {"q_tile": 2, "k_tile": 3}}


def native(fw, options):
    return {n: fw.array(x) if isinstance(x, np.ndarray) else x for n, x in options.items()}


@pytest.mark.parametrize("dtype", TILES)
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_values(fw, case, dtype):
    q, k, v, options = case.arrays(dtype)
    expected = spec.scaled_dot_product_attention(q, k, v, **options)
    qkv, options = [fw.array(x) for x in (q, k, v)], native(fw, options)
    got = fw.numpy(fw.attn.tiled_attention(*qkv, **options, **TILES[dtype]))
    assert got.dtype == dtype and got.shape == expected.shape
    np.testing.assert_allclose(got, expected, **TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TILES)
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_gradients(fw, case, dtype):
    q, k, v, options = case.arrays(dtype)
    shape = spec.scaled_dot_product_attention(q, k, v, **options).shape
    grad_output = np.random.default_rng(5).normal(size=shape).astype(dtype)
    expected = spec.backward.scaled_dot_product_attention_vjp(q, k, v, grad_output, **options)
    if fw.name == "numpy":
        got = spec.backward.tiled_attention_vjp(q, k, v, grad_output, **options, **TILES[dtype])
    else:
        options = native(fw, options)
        got = fw.gradients(lambda *x: fw.attn.tiled_attention(*x, **options, **TILES[dtype]), [q, k, v], grad_output)
    tolerance = {"rtol": TOLERANCE[dtype]["rtol"], "atol": 5 * TOLERANCE[dtype]["atol"]}
    for name, g, e in zip("qkv", got, expected, strict=True):
        assert g.shape == e.shape and g.dtype == dtype
        np.testing.assert_allclose(g, e, **tolerance, err_msg=f"gradient of {name}")


def test_the_word_tiled_asks_for_it(fw, tiled_calls):
    q, k, v, options = next(c for c in CASES if c.name.startswith("bias, mask")).arrays(np.float64)
    qkv, options = [fw.array(x) for x in (q, k, v)], native(fw, options)
    got, expected = (fw.attn.scaled_dot_product_attention(*qkv, **options, impl=i) for i in ("tiled", "explicit"))
    np.testing.assert_allclose(fw.numpy(got), fw.numpy(expected), **TOLERANCE[np.float64])
    assert len(tiled_calls) == 1


@settings(max_examples=15)
@given(
    seed=st.integers(0, 10_000),
    sizes=st.tuples(*[st.integers(1, 9)] * 4),
    tile=st.tuples(*[st.integers(1, 10)] * 2),
    causal=st.booleans(),
    scale=st.sampled_from([1.0, 1e4]),
)
def test_tile_sizes_change_nothing(fw, seed, sizes, tile, causal, scale):
    q_len, k_len, d, d_v = sizes
    rng = np.random.default_rng(seed)
    q, k, v = (scale * rng.normal(size=s) for s in ((2, q_len, d), (2, k_len, d), (2, k_len, d_v)))
    mask = rng.random((2, q_len, k_len)) < 0.5
    expected = spec.scaled_dot_product_attention(q, k, v, mask=mask, causal=causal)
    options = native(fw, {"mask": mask, "causal": causal, "q_tile": tile[0], "k_tile": tile[1]})
    got = fw.numpy(fw.attn.tiled_attention(*map(fw.array, (q, k, v)), **options))
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12 * scale)
    assert (got[~(mask & np.tri(q_len, k_len, k_len - q_len, dtype=bool) if causal else mask).any(-1)] == 0).all()


def test_scores_that_grow_tile_by_tile_and_scores_of_minus_infinity(fw):
    """Each tile's maximum is far above the last one's, so that whatever was summed before must be rescaled to 0."""
    k = np.array([-np.inf, -3e4, -1e4, 0, 1e4, 3e4])[None] * np.ones((3, 1))
    v = np.arange(6.0)[:, None]
    k[1] = k[1, ::-1]
    k[2] = -np.inf
    zeros = np.zeros((3, 1)), np.zeros((6, 1))
    got = fw.attn.tiled_attention(*map(fw.array, (*zeros, v)), bias=fw.array(k), q_tile=3, k_tile=1)
    np.testing.assert_allclose(fw.numpy(got), [[5.0], [0.0], [0.0]])


def test_half_precision_is_summed_in_float32(fw):
    """4,096 weights of the same size: in float16 a sum of ones stops at 2,048."""
    rng = np.random.default_rng(2)
    q, k, v = np.zeros((3, 5)), np.zeros((4096, 5)), rng.normal(size=(4096, 7)) + 1
    half = [fw.array(x.astype(np.float16)) for x in (q, k, v)]
    expected = np.broadcast_to(v.astype(np.float16).astype(np.float64).mean(0), (3, 7))
    for options in ({"impl": "tiled"}, {"impl": "explicit"}):
        got = fw.numpy(fw.attn.scaled_dot_product_attention(*half, **options))
        assert got.dtype == np.float16
        if options["impl"] == "tiled":
            np.testing.assert_allclose(got, expected, rtol=2**-11 + 1e-6)  # rounded once, at the end


def test_float32_is_as_exact_as_the_dense_form(fw):
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(8, 512, 64)).astype(np.float32) for _ in range(3))
    exact = spec.scaled_dot_product_attention(*(x.astype(np.float64) for x in (q, k, v)))

    def error(**options):
        got = fw.attn.scaled_dot_product_attention(*map(fw.array, (q, k, v)), **options)
        return np.sqrt(((fw.numpy(got) - exact) ** 2).mean())

    assert error(impl="tiled") <= 1.1 * error(impl="explicit")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"q_tile": 0}, "q_tile must be an integer of at least 1, got 0"),
        ({"k_tile": 2.0}, "k_tile must be an integer of at least 1, got 2.0"),
        ({"mask": np.ones((3, 5), bool)}, "mask must broadcast to the scores [3, 3], got shape [3, 5]"),
        ({"bias": np.ones((3, 3), bool)}, "bias must be floating point, got bool"),
    ],
)
def test_bad_input(fw, options, message):
    x = fw.array(np.zeros((3, 5)))
    with pytest.raises(ValueError, match=re.escape(message)):
        fw.attn.tiled_attention(x, x, x, **native(fw, options))
    with pytest.raises(ValueError, match=re.escape("q and k must have the same last axis (d)")):
        fw.attn.tiled_attention(x, fw.array(np.zeros((3, 4))), x)
    with pytest.raises(ValueError, match=re.escape("k and v must have the same length")):
        fw.attn.tiled_attention(x, x, fw.array(np.zeros((4, 5))))


def test_weights_are_refused(fw):
    x = fw.array(np.zeros((3, 5)))
    with pytest.raises(ValueError, match=re.escape('return_weights needs impl="explicit": impl="tiled" never holds')):
        fw.attn.scaled_dot_product_attention(x, x, x, impl="tiled", return_weights=True)
