"""Linear attention against its definition, which is quadratic, and the recurrent form against the parallel one."""

import math
import re

import hypothesis.strategies as st
import numpy as np
import pytest
from cases import TOLERANCE
from hypothesis import given

import attnlib.numpy as spec

FRAMEWORK = "each"
DTYPES = [np.float32, np.float64]
CLOSE = {"rtol": 1e-9, "atol": 1e-12}
seeds = st.integers(0, 10_000)
sizes = st.tuples(*[st.integers(1, 6)] * 5)  # batch, q_len, k_len, d, d_v


CASES = {
    "plain": {},
    "two-dimensional": {"q": (3, 5), "k": (7, 5), "v": (7, 11)},
    "broadcast keys": {"q": (2, 3, 5, 7), "k": (3, 11, 7), "v": (1, 11, 13)},
    "padding, one row all padding": {"lengths": (4, 0)},
    "a mask for every batch row": {"mask": (7,)},
    "a mask with a head axis that the keys lack": {
        "q": (2, 3, 5, 7),
        "k": (11, 7),
        "v": (11, 13),
        "mask": (2, 1, 1, 11),
    },
    "causal": {"q": (2, 7, 5), "causal": True},
    "causal, fewer queries than keys": {"causal": True},
    "causal, more queries than keys": {"q": (2, 7, 5), "k": (2, 3, 5), "v": (2, 3, 11), "causal": True},
    "causal and padding": {"lengths": (2, 5), "causal": True},
}


def drawn(case, dtype):
    case = dict(CASES[case])
    rng = np.random.default_rng(8)
    shapes = case.pop("q", (2, 3, 5)), case.pop("k", (2, 7, 5)), case.pop("v", (2, 7, 11))
    q, k, v = (rng.normal(size=s).astype(dtype) for s in shapes)
    if "mask" in case:
        case["mask"] = rng.random(case["mask"]) < 0.6
    if "lengths" in case:
        case["mask"] = np.arange(k.shape[-2]) < np.array(case.pop("lengths"))[:, None, None]
    return q, k, v, case


def by_definition(q, k, v, mask=None, causal=False):
    """Every pair of query and key on its own; also the weights and what they were divided by."""
    lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2], np.shape(mask)[:-2])
    q, k, v = (np.broadcast_to(x, lead + x.shape[-2:]) for x in (q, k, v))
    q_len, k_len = q.shape[-2], k.shape[-2]
    mask = np.broadcast_to(True if mask is None else mask, (*lead, q_len, k_len))
    weights, totals = np.zeros((*lead, q_len, k_len)), np.zeros((*lead, q_len, 1))

    def phi(x):
        return [float(n) + 1 if n > 0 else math.exp(n) for n in x]

    for at in np.ndindex(*lead, q_len):
        b, i = at[:-1], at[-1]
        for j in range(k_len):
            if mask[b][i, j] and (not causal or j <= i + k_len - q_len):
                weights[b][i, j] = sum(a * c for a, c in zip(phi(q[at]), phi(k[b][j]), strict=True))
        totals[at] = weights[at].sum()
        if totals[at] > 0:
            weights[at] /= totals[at]
    return weights @ v, weights, totals


def call(fw, function, *arrays, **options):
    options = {n: fw.array(x) if isinstance(x, np.ndarray) else x for n, x in options.items()}
    return getattr(fw.attn, function)(*map(fw.array, arrays), **options)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_values(fw, case, dtype):
    q, k, v, options = drawn(case, dtype)
    got = fw.numpy(call(fw, "linear_attention", q, k, v, **options))
    assert got.dtype == dtype
    np.testing.assert_allclose(got, by_definition(q, k, v, **options)[0], **TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_gradients(fw, case, dtype):
    """By hand: w = p / Σp for p = φ(q) φ(k)ᵀ gives dp = (dw - Σ w dw) / Σp, and φ' is exp(x) below zero, 1 above."""
    q, k, v, options = drawn(case, dtype)
    output, weights, totals = by_definition(q, k, v, **options)
    grad_output = np.random.default_rng(9).normal(size=output.shape)
    grad_weights = grad_output @ np.swapaxes(v, -1, -2)
    grad_products = (grad_weights - (weights * grad_weights).sum(-1, keepdims=True)) / np.where(totals == 0, 1, totals)
    grad_products[weights == 0] = 0  # what is masked stays zero
    phi, slope = spec.elu_plus_one, lambda x: np.where(x > 0, 1, np.exp(x))
    expected = (
        slope(q) * (grad_products @ phi(k)),
        slope(k) * (np.swapaxes(grad_products, -1, -2) @ phi(q)),
        np.swapaxes(weights, -1, -2) @ grad_output,
    )
    native = {n: fw.array(x) if isinstance(x, np.ndarray) else x for n, x in options.items()}
    got = fw.gradients(lambda *x: fw.attn.linear_attention(*x, **native), [q, k, v], grad_output.astype(dtype))
    tolerance = {"rtol": 2e-5, "atol": 1e-5} if fw.name == "numpy" or dtype == np.float32 else TOLERANCE[dtype]
    for name, g, e, x in zip("qkv", got, expected, (q, k, v), strict=True):
        np.testing.assert_allclose(g, spec.backward._sum_to(e, x), **tolerance, err_msg=f"gradient of {name}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("masked", [False, True])
def test_the_recurrent_form_is_the_parallel_one(fw, masked, dtype):
    rng = np.random.default_rng(10)
    q, k, v = (rng.normal(size=s).astype(dtype) for s in ((2, 3, 7, 5), (3, 7, 5), (2, 1, 7, 11)))
    mask = rng.random((2, 1, 1, 7)) < 0.5 if masked else None
    grad_output = rng.normal(size=(2, 3, 7, 11)).astype(dtype)
    expected = spec.linear_attention(q, k, v, mask=mask, causal=True)
    native = fw.array(mask)
    got, (s, z) = call(fw, "recurrent_linear_attention", q, k, v, mask=mask)
    assert fw.numpy(got).dtype == fw.numpy(s).dtype == fw.numpy(z).dtype == dtype
    np.testing.assert_allclose(fw.numpy(got), expected, **TOLERANCE[dtype])

    # The state at the end is the sums over all keys.
    phi = spec.elu_plus_one(k) * (1 if mask is None else mask.swapaxes(-1, -2))
    np.testing.assert_allclose(fw.numpy(s), np.swapaxes(phi, -1, -2) @ v, **TOLERANCE[dtype])
    np.testing.assert_allclose(fw.numpy(z), phi.sum(-2), **TOLERANCE[dtype])

    parallel, recurrent = (
        fw.gradients(function, [q, k, v], grad_output)
        for function in (
            lambda *x: fw.attn.linear_attention(*x, mask=native, causal=True),
            lambda *x: fw.attn.recurrent_linear_attention(*x, mask=native)[0],
        )
    )
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype == np.float32 else {"rtol": 1e-7, "atol": 1e-8}
    for one, two in zip(parallel, recurrent, strict=True):
        np.testing.assert_allclose(one, two, **tolerance)


@given(seed=seeds, sizes=sizes, cuts=st.lists(st.integers(1, 5), max_size=3))
def test_a_state_carried_on_gives_what_one_call_gives(fw, seed, sizes, cuts):
    b, n, _, d, d_v = sizes
    rng = np.random.default_rng(seed)
    q, k, v = (rng.normal(size=s) for s in ((b, n, d), (b, n, d), (b, n, d_v)))
    ends = sorted({min(c, n) for c in cuts} | {n})
    state, outputs = None, []
    for start, end in zip([0, *ends], ends, strict=False):
        part = (fw.array(x[:, start:end]) for x in (q, k, v))
        output, state = fw.attn.recurrent_linear_attention(*part, state)
        outputs.append(fw.numpy(output))
        assert fw.numpy(state[0]).shape == (b, d, d_v) and fw.numpy(state[1]).shape == (b, d)
    expected = fw.numpy(call(fw, "linear_attention", q, k, v, causal=True))
    np.testing.assert_allclose(np.concatenate(outputs, axis=1), expected, **CLOSE)


@given(seed=seeds, sizes=sizes)
def test_order_padding_and_other_batch_rows_change_nothing(fw, seed, sizes):
    b, q_len, k_len, d, d_v = sizes
    rng = np.random.default_rng(seed)
    q, k, v = (rng.normal(size=s) for s in ((b, q_len, d), (b, k_len, d), (b, k_len, d_v)))
    expected = fw.numpy(call(fw, "linear_attention", q, k, v))
    lowest, highest = v.min(1, keepdims=True), v.max(1, keepdims=True)
    assert ((expected >= lowest - 1e-9) & (expected <= highest + 1e-9)).all()
    order = rng.permutation(k_len)
    np.testing.assert_allclose(fw.numpy(call(fw, "linear_attention", q, k[:, order], v[:, order])), expected, **CLOSE)
    np.testing.assert_allclose(fw.numpy(call(fw, "linear_attention", q[0], k[0], v[0])), expected[0], **CLOSE)
    longer = [np.concatenate([x, 100 * rng.normal(size=(b, 3, x.shape[2]))], axis=1) for x in (k, v)]
    mask = np.arange(k_len + 3) < np.full((b, 1, 1), k_len)
    np.testing.assert_allclose(fw.numpy(call(fw, "linear_attention", q, *longer, mask=mask)), expected, **CLOSE)


@given(seed=seeds, sizes=sizes, at=st.integers(0, 5))
def test_changing_the_future_changes_nothing_before_it(fw, seed, sizes, at):
    b, n, _, d, d_v = sizes
    rng = np.random.default_rng(seed)
    q, k, v = (rng.normal(size=s) for s in ((b, n, d), (b, n, d), (b, n, d_v)))
    at = min(at, n - 1)
    before = fw.numpy(call(fw, "linear_attention", q, k, v, causal=True))
    for x in (q, k, v):
        x[:, at:] = 10 * rng.normal(size=x[:, at:].shape)
    after = fw.numpy(call(fw, "linear_attention", q, k, v, causal=True))
    np.testing.assert_array_equal(after[:, :at], before[:, :at])
    assert not np.allclose(after[:, at:], before[:, at:])


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_query_that_sees_no_key_gets_zeros(fw, dtype):
    rng = np.random.default_rng(11)
    q, k, v = (rng.normal(size=s).astype(dtype) for s in ((2, 3, 5), (2, 3, 5), (2, 3, 7)))
    mask = np.array([[[False, False, True]], [[False] * 3]])
    causal = fw.numpy(call(fw, "linear_attention", q, k, v, mask=mask, causal=True))
    recurrent = fw.numpy(call(fw, "recurrent_linear_attention", q, k, v, mask=mask)[0])
    everything = fw.numpy(call(fw, "linear_attention", q, k, v, mask=mask))
    for output in (causal, recurrent):
        assert (output[0, :2] == 0).all() and (output[1] == 0).all()
        np.testing.assert_allclose(output[0, 2], v[0, 2], rtol=1e-6)
    assert (everything[1] == 0).all()
    # Features that are all zero see nothing either: very small numbers under elu + 1.
    far = fw.numpy(call(fw, "linear_attention", q - 1e4, k, v))
    assert (far == 0).all()
    gradients = fw.gradients(lambda *x: fw.attn.linear_attention(*x, mask=fw.array(mask)), [q, k, v], causal)
    assert all(np.isfinite(g).all() for g in gradients)


def test_another_feature_map(fw):
    rng = np.random.default_rng(12)
    q, k, v = (rng.normal(size=s) for s in ((2, 3, 5), (2, 3, 5), (2, 3, 7)))
    matrix = rng.random((5, 11))

    def feature_map(x):
        return x**2 @ fw.array(matrix)  # 11 features from 5 numbers

    products = (q**2 @ matrix) @ np.swapaxes(k**2 @ matrix, -1, -2)
    everything = products / products.sum(-1, keepdims=True) @ v
    np.testing.assert_allclose(
        fw.numpy(call(fw, "linear_attention", q, k, v, feature_map=feature_map)), everything, **CLOSE
    )
    products *= np.tri(3)
    causal = products / products.sum(-1, keepdims=True) @ v
    got, (s, z) = call(fw, "recurrent_linear_attention", q, k, v, feature_map=feature_map)
    np.testing.assert_allclose(fw.numpy(got), causal, **CLOSE)
    assert fw.numpy(s).shape == (2, 11, 7) and fw.numpy(z).shape == (2, 11)


def test_half_precision_is_summed_in_float32(fw):
    """5,000 equal keys with value 7: in float16 the sums would overflow at 65,504."""
    q = k = np.zeros((5000, 3), np.float16)
    v = np.full((5000, 2), 7.0, np.float16)
    for causal in (False, True):
        got = fw.numpy(call(fw, "linear_attention", q, k, v, causal=causal))
        assert got.dtype == np.float16 and (got == 7).all()
    got, (s, z) = call(fw, "recurrent_linear_attention", q[:3], k[:3], v[:3])
    assert fw.numpy(got).dtype == np.float16 and (fw.numpy(got) == 7).all()
    assert fw.numpy(s).dtype == fw.numpy(z).dtype == np.float32


@pytest.mark.parametrize("dtype", DTYPES)
def test_elu_plus_one(fw, dtype):
    x = np.array([-1e4, -50.0, -1.5, -1e-3, 0.0, 1e-3, 2.5, 1e4], dtype)
    expected = [math.exp(n) if n < 0 else 1 + float(n) for n in x]
    got = fw.numpy(fw.attn.elu_plus_one(fw.array(x)))
    assert got.dtype == dtype
    np.testing.assert_allclose(got, expected, rtol=1e-6 if dtype == np.float32 else 1e-14)
    (gradient,) = fw.gradients(fw.attn.elu_plus_one, [x], np.ones_like(x))
    np.testing.assert_allclose(gradient, [math.exp(min(n, 0)) for n in x], rtol=1e-5, atol=1e-9)


def x(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


Q, K, V = x(2, 3, 5), x(2, 7, 5), x(2, 7, 11)
STATE = (x(2, 5, 11), x(2, 5))
SAME = "mask must be the same for every query, [..., 1, k_len], for the scores [2, 3, 7], got shape"
CALLS = [
    ("linear_attention", (Q, x(2, 7, 4), V), {}, "q and k must have the same last axis (d)"),
    ("linear_attention", (Q, K, x(2, 6, 11)), {}, "k and v must have the same length, got [2, 7, 5] and [2, 6, 11]"),
    ("linear_attention", (x(3, 3, 5), x(7, 5), V), {}, "the leading axes of q and v must broadcast"),
    ("linear_attention", (Q, K, V.astype(np.float64)), {}, "k and v must have the same dtype"),
    ("linear_attention", (Q, x(2, 0, 5), x(2, 0, 11)), {}, "k must not be empty"),
    ("linear_attention", (Q, K, V), {"mask": np.ones((3, 7), bool)}, f"{SAME} [3, 7]"),
    ("linear_attention", (Q, K, V), {"mask": np.ones((2, 3, 1), bool)}, f"{SAME} [2, 3, 1]"),
    ("linear_attention", (Q, K, V), {"mask": np.ones(6, bool)}, "mask must broadcast to the scores [2, 3, 7]"),
    ("linear_attention", (Q, K, V), {"mask": x(7)}, "mask must be boolean"),
    ("linear_attention", (Q, K, V), {"feature_map": "elu"}, "feature_map must be a function, got str"),
    ("linear_attention", (Q, K, V), {"feature_map": lambda x: 1.0}, "feature_map must be an array, got float"),
    (
        "linear_attention",
        (Q, K, V),
        {"feature_map": lambda x: x[0]},
        "feature_map must keep all axes but the last, got [3, 5] from [2, 3, 5]",
    ),
    ("linear_attention", (Q, K, V), {"feature_map": lambda x: x > 0}, "feature_map must be floating point, got bool"),
    ("recurrent_linear_attention", (Q, K, V), {}, "q and k must have the same length, got [2, 3, 5] and [2, 7, 5]"),
    ("recurrent_linear_attention", (K, K, V, x(2, 5)), {}, "state must be (s, z), as a call before returned it, got "),
    ("recurrent_linear_attention", (K, K, V, 7), {}, "state must be (s, z), as a call before returned it, got int"),
    ("recurrent_linear_attention", (K, K, V, STATE[::-1]), {}, "state's s must be [2, 5, 11] here, got shape [2, 5]"),
    ("recurrent_linear_attention", (K, K, V, (STATE[0], x(3, 5))), {}, "state's z must be [2, 5] here, got shape"),
    ("elu_plus_one", (np.array([1]),), {}, "x must be floating point, got int64"),
]


@pytest.mark.parametrize("name, arguments, options, message", CALLS, ids=[f"{c[0]}: {c[3]}" for c in CALLS])
def test_bad_input(fw, name, arguments, options, message):
    def native(a):
        if isinstance(a, tuple):
            return tuple(map(native, a))
        return fw.array(a) if isinstance(a, np.ndarray) else a

    with pytest.raises(ValueError, match=re.escape(message)):
        getattr(fw.attn, name)(*native(arguments), **{n: native(o) for n, o in options.items()})
