"""Concat and cosine scores, the soft cap, and their layers: against loops, with the gradients of those loops."""

import math
import re

import hypothesis.strategies as st
import numpy as np
import pytest
from cases import TOLERANCE
from differences import complex_step
from hypothesis import given

import attnlib.numpy as spec

FRAMEWORK = "each"
DTYPES = [np.float32, np.float64]
seeds = st.integers(0, 10_000)


def concat(q, k, W, v):
    pair = np.concatenate([q, k])
    return sum(v[h] * np.tanh(sum(pair * W[:, h])) for h in range(len(v)))


def cosine(q, k, scale):
    return scale * sum(q * k) / np.sqrt(sum(q * q)) / np.sqrt(sum(k * k))


LOOPS = {
    "concat_scores": (concat, ((3, 5), (2, 7, 11), (16, 13), (13,))),
    "cosine_scores": (cosine, ((2, 3, 5), (7, 5), ())),
}


def by_loops(score, q, k, *parameters):
    """One query and one key at a time, in Python's loops; complex numbers go through."""
    lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2])
    q, k = (np.broadcast_to(x, lead + x.shape[-2:]) for x in (q, k))
    scores = np.zeros((*lead, q.shape[-2], k.shape[-2]), np.result_type(q, np.float64))
    for at in np.ndindex(scores.shape):
        scores[at] = score(q[at[:-2]][at[-2]], k[at[:-2]][at[-1]], *parameters)
    return scores


def tolerance(fw, dtype):
    """NumPy's own gradients are central differences here, in float64, good to about nine digits."""
    return (
        {"rtol": 2e-5, "atol": 5e-6}
        if dtype == np.float32
        else {"rtol": 1e-7, "atol": 1e-8}
        if (fw.name == "numpy")
        else TOLERANCE[dtype]
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LOOPS)
def test_scores_and_their_gradients(fw, name, dtype):
    rng = np.random.default_rng(3)
    score, shapes = LOOPS[name]
    inputs = [np.array(rng.normal(size=s) + (3 if s == () else 0), dtype) for s in shapes]
    wide = [x.astype(np.float64) for x in inputs]
    expected = by_loops(score, *wide)
    got = fw.numpy(getattr(fw.attn, name)(*map(fw.array, inputs)))
    assert got.dtype == dtype
    np.testing.assert_allclose(got, expected, **TOLERANCE[dtype])

    grad_scores = rng.normal(size=expected.shape).astype(dtype)
    gradients = complex_step(lambda *x: by_loops(score, *x), wide, grad_scores)
    for g, e in zip(fw.gradients(getattr(fw.attn, name), inputs, grad_scores), gradients, strict=True):
        np.testing.assert_allclose(g, e, **tolerance(fw, dtype))


def test_concat_is_additive_with_the_matrix_in_two(fw):
    rng = np.random.default_rng(0)
    q, k, W, v = (fw.array(rng.normal(size=s)) for s in ((2, 3, 5), (2, 7, 11), (16, 13), (13,)))
    got = fw.attn.concat_scores(q, k, W, v)
    np.testing.assert_array_equal(fw.numpy(got), fw.numpy(fw.attn.additive_scores(q, k, W[:5], W[5:], v)))


@given(seed=seeds, lengths=st.sampled_from([1e-12, 1e-3, 1.0, 1e9]), scale=st.floats(0.1, 100))
def test_a_cosine_does_not_see_how_long_vectors_are(fw, seed, lengths, scale):
    rng = np.random.default_rng(seed)
    q, k = rng.normal(size=(2, 3, 5)), rng.normal(size=(2, 7, 5))
    got = fw.numpy(fw.attn.cosine_scores(fw.array(lengths * q), fw.array(k / lengths), scale))
    np.testing.assert_allclose(got, fw.numpy(fw.attn.cosine_scores(fw.array(q), fw.array(k), scale)), rtol=1e-9)
    assert np.abs(got).max() <= scale * (1 + 1e-12)
    itself = fw.numpy(fw.attn.cosine_scores(fw.array(q), fw.array(-3 * q), scale))
    np.testing.assert_allclose(np.diagonal(itself, axis1=-2, axis2=-1), -scale, rtol=1e-12)


def test_a_scale_for_each_head(fw):
    rng = np.random.default_rng(0)
    q, k, scale = rng.normal(size=(2, 3, 5, 7)), rng.normal(size=(2, 3, 11, 7)), rng.random((3, 1, 1))
    got = fw.numpy(fw.attn.cosine_scores(*map(fw.array, (q, k, scale))))
    for h in range(3):
        alone = fw.attn.cosine_scores(fw.array(q[:, h]), fw.array(k[:, h]), float(scale[h, 0, 0]))
        np.testing.assert_allclose(got[:, h], fw.numpy(alone), rtol=1e-12)


def test_a_vector_of_zeros_scores_zero_with_finite_gradients(fw):
    rng = np.random.default_rng(0)
    q, k = rng.normal(size=(3, 5)), rng.normal(size=(7, 5))
    q[1], k[2] = 0, 0
    got = fw.numpy(fw.attn.cosine_scores(fw.array(q), fw.array(k), 10.0))
    assert (got[1] == 0).all() and (got[:, 2] == 0).all() and (np.abs(got[0, 3:]) > 0).all()
    if fw.name != "numpy":  # there is no slope at zero for a difference to find
        for gradient in fw.gradients(lambda q, k: fw.attn.cosine_scores(q, k, 10.0), [q, k], np.ones((3, 7))):
            assert np.isfinite(gradient).all()


def test_half_precision_does_not_overflow_in_the_squares(fw):
    q = np.full((3, 5), 300, np.float16)  # 300² is beyond float16
    got = fw.numpy(fw.attn.cosine_scores(fw.array(q), fw.array(-q), 10.0))
    assert got.dtype == np.float16
    np.testing.assert_allclose(got, -10, rtol=1e-3)


@pytest.mark.parametrize("dtype", DTYPES)
def test_soft_cap(fw, dtype):
    scores = np.array([[-1e4, -50.0, -0.01, 0.0], [0.02, 3.0, 70.0, np.inf]], dtype)
    expected = [[50 * math.tanh(s / 50) for s in row] for row in scores.astype(float)]
    got = fw.numpy(fw.attn.soft_cap(fw.array(scores), 50.0))
    assert got.dtype == dtype
    np.testing.assert_allclose(got, expected, **TOLERANCE[dtype])
    inner = scores[:, 1:3]
    (gradient,) = fw.gradients(lambda s: fw.attn.soft_cap(s, 50), [inner], np.ones((2, 2), dtype))
    np.testing.assert_allclose(gradient, 1 / np.cosh(inner.astype(float) / 50) ** 2, **tolerance(fw, dtype))


@given(seed=seeds, cap=st.floats(0.1, 50))
def test_a_soft_cap_keeps_the_order_and_the_bounds(fw, seed, cap):
    scores = np.sort(np.random.default_rng(seed).normal(size=(3, 7)) * cap)
    got = fw.numpy(fw.attn.soft_cap(fw.array(scores), cap))
    assert (np.diff(got) > 0).all() and (np.abs(got) < np.minimum(cap, np.abs(scores))).all()


def test_capped_scores_are_masked_after(fw):
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=s) for s in ((2, 3, 5), (2, 7, 5), (2, 7, 11)))
    mask = rng.random((3, 7)) < 0.6
    scores = 2 * np.tanh(q @ k.swapaxes(-1, -2) / math.sqrt(5) / 2)
    expected = spec.attend(scores, v, mask=mask)
    capped = fw.attn.soft_cap(fw.attn.scaled_dot_scores(fw.array(q), fw.array(k)), 2.0)
    got = fw.attn.attend(capped, fw.array(v), mask=fw.array(mask))
    np.testing.assert_allclose(fw.numpy(got), expected, rtol=1e-12, atol=1e-13)
    # The other way round a masked key would come back: -inf is capped like any other score.
    hidden = fw.attn.soft_cap(fw.array(np.array([-np.inf])), 2.0)
    np.testing.assert_array_equal(fw.numpy(hidden), [-2.0])


# ---- layers

LAYERS = {
    "ConcatAttention": ((5, 7, 13), (5, 7), concat, {"w_concat": (12, 13), "v_score": (13,)}),
    "CosineAttention": ((), (5, 5), lambda q, k, log_scale: cosine(q, k, math.exp(log_scale)), {"log_scale": ()}),
}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_the_functions_with_their_parameters(fw, name, causal):
    rng = np.random.default_rng(11)
    arguments, (d_query, d_key), score, shapes = LAYERS[name]
    query, key, value = (rng.normal(size=s).astype(np.float32) for s in ((2, 3, d_query), (2, 11, d_key), (2, 11, 17)))
    mask = np.arange(11) < np.array([4, 11])[:, None, None]
    parameters = {n: np.array(rng.normal(size=s), np.float32) for n, s in shapes.items()}
    allowed = mask & np.tri(3, 11, 8, dtype=bool) if causal else mask
    scores = by_loops(score, query, key, *parameters.values())
    expected, expected_weights = spec.attend(scores, value.astype(float), mask=allowed, return_weights=True)
    layer = getattr(fw.attn, name)(*arguments)
    fw.set_parameters(layer, parameters)
    output, weights = layer(
        *map(fw.array, (query, key, value)), attention_mask=fw.array(mask), causal=causal, return_weights=True
    )
    assert fw.numpy(output).dtype == np.float32
    np.testing.assert_allclose(fw.numpy(output), expected, **TOLERANCE[np.float32])
    np.testing.assert_allclose(fw.numpy(weights), expected_weights, **TOLERANCE[np.float32])


def test_a_seed_fixes_the_initial_parameters_of_concat_attention(fw):
    x, y = (np.random.default_rng(0).normal(size=(2, 3, d)).astype(np.float32) for d in (5, 7))

    def output(seed):
        return fw.numpy(fw.attn.ConcatAttention(5, 7, 11, seed=seed)(fw.array(x), fw.array(y)))

    np.testing.assert_array_equal(output(1), output(1))
    assert not np.allclose(output(1), output(2))


@pytest.mark.parametrize("log_scale, scale", [(None, 3), (math.log(5), 5), (20.0, 7)])
def test_the_scale_starts_where_it_is_told_and_ends_at_the_largest(fw, log_scale, scale):
    q, k = (np.random.default_rng(0).normal(size=(2, n, 5)).astype(np.float32) for n in (3, 7))
    layer = fw.attn.CosineAttention(scale=3.0, max_scale=7.0)
    if log_scale is not None:
        fw.set_parameters(layer, {"log_scale": np.array(log_scale, np.float32)})
    expected = spec.attend(by_loops(cosine, q, k, scale), k.astype(float))
    np.testing.assert_allclose(fw.numpy(layer(fw.array(q), fw.array(k))), expected, **TOLERANCE[np.float32])


def test_the_scale_starts_at_ten(fw):
    q, k = (np.random.default_rng(0).normal(size=(2, n, 5)).astype(np.float32) for n in (3, 7))
    expected = spec.attend(by_loops(cosine, q, k, 10), k.astype(float))
    got = fw.attn.CosineAttention()(fw.array(q), fw.array(k))
    np.testing.assert_allclose(fw.numpy(got), expected, **TOLERANCE[np.float32])


# ---- bad input


def x(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


Q, K = x(2, 3, 5), x(2, 7, 5)
CALLS = [
    ("concat_scores", (Q, x(3, 7, 5), x(10, 3), x(3)), "the leading axes of q and k must broadcast"),
    ("concat_scores", (Q, K, x(10, 3), x(3, 1)), "v_score must be [d_hidden], got shape [3, 1]"),
    (
        "concat_scores",
        (Q, K, x(9, 3), x(3)),
        "w_concat must be [d_q + d_k, d_hidden] for q [2, 3, 5], k [2, 7, 5] and v_score [3], got [9, 3]",
    ),
    ("concat_scores", (Q, K, x(10, 4), x(3)), "w_concat must be [d_q + d_k, d_hidden]"),
    ("concat_scores", (Q, K, x(10, 3, dtype=np.float64), x(3)), "q and w_concat and v_score must have the same dtype"),
    ("cosine_scores", (Q, x(2, 7, 4), 1.0), "q and k must have the same last axis (d)"),
    ("cosine_scores", (Q, K, True), "scale must be an array, got bool"),
    ("cosine_scores", (Q, K, "10"), "scale must be an array, got str"),
    ("cosine_scores", (Q, K, x(2, 1, 1, dtype=np.int64)), "scale must be floating point, got int64"),
    ("cosine_scores", (Q, K, x(3, 1, 1)), "scale must broadcast to the scores [2, 3, 7], got shape [3, 1, 1]"),
    ("cosine_scores", (Q, K, x(1, 1, 1, 1)), "scale must broadcast to the scores [2, 3, 7], got shape [1, 1, 1, 1]"),
    ("soft_cap", (x(3, 7, dtype=np.int32), 5.0), "scores must be floating point, got int32"),
    ("soft_cap", (x(3, 7), 0), "cap must be a number above 0, got 0"),
    ("soft_cap", (x(3, 7), -2.0), "cap must be a number above 0, got -2.0"),
]


@pytest.mark.parametrize("name, arguments, message", CALLS, ids=[f"{c[0]}: {c[2]}" for c in CALLS])
def test_bad_input(fw, name, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        getattr(fw.attn, name)(*(fw.array(a) if isinstance(a, np.ndarray) else a for a in arguments))


@pytest.mark.parametrize(
    "name, arguments, options, message",
    [
        ("ConcatAttention", (0, 5, 5), {}, "d_query must be an integer of at least 1, got 0"),
        ("ConcatAttention", (5, 2.5, 5), {}, "d_key must be an integer of at least 1, got 2.5"),
        ("ConcatAttention", (5, 5, True), {}, "d_hidden must be an integer of at least 1, got True"),
        ("CosineAttention", (), {"scale": 0.0}, "scale must be a number above 0, got 0.0"),
        ("CosineAttention", (), {"max_scale": -1}, "max_scale must be a number above 0, got -1"),
        ("CosineAttention", (), {"scale": 200.0}, "scale must be at most max_scale 100.0, got 200.0"),
    ],
)
def test_layers_refuse_bad_sizes_and_scales(fw, name, arguments, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        getattr(fw.attn, name)(*arguments, **options)
