"""Local attention: each function against loops over the paper's equations, with the gradients of those loops."""

import math
import re

import hypothesis.strategies as st
import numpy as np
import pytest
from cases import TOLERANCE
from differences import complex_step
from hypothesis import given

FRAMEWORK = "each"
DTYPES = [np.float32, np.float64]
CLOSE = {"rtol": 1e-9, "atol": 1e-12}
seeds = st.integers(0, 10_000)
sizes = st.tuples(*[st.integers(1, 6)] * 4)  # batch, q_len, k_len, d


def positions_by_loops(q, W, v, lengths):
    """Eq. 9, one query at a time; complex numbers go through, here and below."""
    p = np.zeros(q.shape[:-1], q.dtype)
    for at in np.ndindex(p.shape):
        hidden = [np.tanh(sum(q[at] * W[:, h])) for h in range(len(v))]
        p[at] = np.broadcast_to(lengths, q.shape[:-2])[at[:-1]] / (1 + np.exp(-sum(v * hidden)))
    return p


def local_by_loops(scores, v, p, half_width, gaussian, mask=None):
    """Eqs. 7 and 10, one query at a time."""
    mask = np.broadcast_to(True if mask is None else mask, scores.shape)
    p = np.broadcast_to(p, scores.shape[:-1])
    weights = np.zeros(scores.shape, np.result_type(scores, v, p))
    for at in np.ndindex(scores.shape[:-1]):
        window = [s for s in range(scores.shape[-1]) if abs(s - p[at].real) <= half_width and mask[at][s]]
        total = sum(np.exp(scores[at][s]) for s in window)
        for s in window:
            bell = np.exp(-((s - p[at]) ** 2) / (2 * (half_width / 2) ** 2)) if gaussian else 1
            weights[at][s] = np.exp(scores[at][s]) / total * bell
    return weights @ v, weights


def tolerance(fw, dtype):
    """NumPy's own gradients are central differences here, in float64, good to about nine digits."""
    if dtype == np.float32:
        return {"rtol": 1e-4, "atol": 2e-5}
    return {"rtol": 1e-6, "atol": 1e-8} if fw.name == "numpy" else {"rtol": 1e-11, "atol": 1e-12}


def normal(seed, *shapes, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=s).astype(dtype) for s in shapes]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lengths", [11, np.array([4, 11]), np.array([0, 3], np.int32), np.array(7)])
def test_predicted_positions_and_their_gradients(fw, lengths, dtype):
    inputs = normal(1, (2, 3, 5), (5, 7), (7,), dtype=dtype)
    wide = [x.astype(float) for x in inputs]
    native = fw.array(lengths) if isinstance(lengths, np.ndarray) else lengths
    got = fw.numpy(fw.attn.predicted_positions(*map(fw.array, inputs), native))
    assert got.dtype == dtype
    np.testing.assert_allclose(got, positions_by_loops(*wide, lengths), **TOLERANCE[dtype])

    (grad,) = normal(2, (2, 3), dtype=dtype)
    expected = complex_step(lambda *x: positions_by_loops(*x, lengths), wide, grad)
    for g, e in zip(
        fw.gradients(lambda *x: fw.attn.predicted_positions(*x, native), inputs, grad), expected, strict=True
    ):
        np.testing.assert_allclose(g, e, **tolerance(fw, dtype))


@given(seed=seeds, scale=st.sampled_from([0.1, 1.0, 1e4]), length=st.integers(1, 50))
def test_positions_lie_within_the_source(fw, seed, scale, length):
    q, W, v = normal(seed, (2, 3, 5), (5, 7), (7,))
    p = fw.numpy(fw.attn.predicted_positions(*map(fw.array, (q, W, scale * v)), length))
    assert np.isfinite(p).all() and (p >= 0).all() and (p <= length).all()


def test_positions_are_float32_at_least(fw):
    q, W, v = normal(0, (3, 5), (5, 7), (7,), dtype=np.float16)
    p = fw.numpy(fw.attn.predicted_positions(*map(fw.array, (q, W, v)), 3000))
    assert p.dtype == np.float32
    assert (p != p.astype(np.float16)).any()


def test_window_by_hand(fw):
    T, F = True, False
    p = fw.array(np.array([0.0, 1.5, 4.0, 9.0]))
    mask = fw.numpy(fw.attn.local_window_mask(p, 5, half_width=1))
    np.testing.assert_array_equal(mask, [[T, T, F, F, F], [F, T, T, F, F], [F, F, F, T, T], [F] * 5])
    whole = fw.numpy(fw.attn.local_window_mask(fw.array(np.arange(3)), 4, half_width=2))
    np.testing.assert_array_equal(whole, [[T, T, T, F], [T, T, T, T], [T, T, T, T]])


@pytest.mark.parametrize("dtype", [*DTYPES, np.int64, np.float16])
@pytest.mark.parametrize("half_width", [1, 3])
def test_gaussian(fw, half_width, dtype):
    p = np.array([[0.0, 1.5, 4.0], [6.0, 2.25, 9.0]]).astype(dtype)
    got = fw.numpy(fw.attn.local_gaussian(fw.array(p), 7, half_width=half_width))
    expected = [
        [[math.exp(-2 * ((s - x) / half_width) ** 2) for s in range(7)] for x in row] for row in p.astype(float)
    ]
    assert got.dtype == (np.float64 if dtype == np.float64 else np.float32)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-30)


CASES = {
    "local-m": {"gaussian": False},
    "local-p": {"gaussian": True},
    "a mask with an empty row": {"gaussian": True, "mask": True},
    "positions for every row of the batch": {"gaussian": True, "p": (3,)},
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_local_attention_and_its_gradients(fw, case, dtype):
    rng = np.random.default_rng(3)
    scores, v = (rng.normal(size=s).astype(dtype) for s in ((2, 3, 7), (2, 7, 5)))
    p = (7 * rng.random(CASES[case].get("p", (2, 3)))).astype(dtype)
    mask = None
    if "mask" in CASES[case]:
        mask = rng.random((2, 3, 7)) < 0.7
        mask[1, 2] = False
    gaussian, wide = CASES[case]["gaussian"], [x.astype(float) for x in (scores, v, p)]
    expected, expected_weights = local_by_loops(*wide, 2, gaussian, mask)

    def function(*x, **options):
        return fw.attn.local_attend(*x, half_width=2, gaussian=gaussian, mask=fw.array(mask), **options)

    output, weights = function(*map(fw.array, (scores, v, p)), return_weights=True)
    assert fw.numpy(output).dtype == fw.numpy(weights).dtype == dtype
    np.testing.assert_allclose(fw.numpy(output), expected, **TOLERANCE[dtype])
    np.testing.assert_allclose(fw.numpy(weights), expected_weights, **TOLERANCE[dtype])
    assert (fw.numpy(weights).sum(-1) < 0.999).any() == (gaussian or case != "local-m")

    (grad,) = normal(5, output.shape, dtype=dtype)
    differentiated = (scores, v, p) if gaussian else (scores, v)

    def of(function, last):
        return lambda *x: function(*x, *last[len(x) :])

    numpy = complex_step(
        of(lambda *x: local_by_loops(*x, 2, gaussian, mask)[0], wide), wide[: len(differentiated)], grad
    )
    native = [fw.array(x) for x in (wide if fw.name == "numpy" else (scores, v, p))]
    for g, e in zip(fw.gradients(of(function, native), list(differentiated), grad), numpy, strict=True):
        np.testing.assert_allclose(g, e, **tolerance(fw, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_local_p_from_end_to_end(fw, dtype):
    """What trains W_p and v_p: from the output through the Gaussian, the position and the sigmoid."""
    lengths = np.array([4, 7])
    mask = np.arange(7) < lengths[:, None, None]
    inputs = normal(7, (2, 3, 5), (2, 7, 5), (2, 7, 3), (5, 2), (2,), dtype=dtype)

    def ours(q, k, v, W, w):
        p = fw.attn.predicted_positions(q, W, w, fw.array(lengths))
        scores = fw.attn.dot_scores(q, k)
        return fw.attn.local_attend(scores, v, p, half_width=2, gaussian=True, mask=fw.array(mask))

    def loops(q, k, v, W, w):
        p = positions_by_loops(q, W, w, lengths)
        return local_by_loops(q @ k.swapaxes(-1, -2), v, p, 2, True, mask)[0]

    wide = [x.astype(float) for x in inputs]
    np.testing.assert_allclose(fw.numpy(ours(*map(fw.array, inputs))), loops(*wide), **TOLERANCE[dtype])
    (grad,) = normal(8, (2, 3, 3), dtype=dtype)
    for g, e in zip(fw.gradients(ours, inputs, grad), complex_step(loops, wide, grad), strict=True):
        assert np.abs(e).max() > 1e-3
        np.testing.assert_allclose(g, e, **tolerance(fw, dtype))


# ---- layers

PARAMETERS = {
    "LocalMonotonicAttention": {"weight": (5, 7)},
    "LocalPredictiveAttention": {"weight": (5, 7), "w_position": (5, 13), "v_position": (13,)},
}
MAKE = {
    "LocalMonotonicAttention": lambda attn, half_width=2, d_key=7, **k: attn.LocalMonotonicAttention(
        5, d_key, half_width, **k
    ),
    "LocalPredictiveAttention": lambda attn, half_width=2, d_key=7, **k: attn.LocalPredictiveAttention(
        5, d_key, 13, half_width, **k
    ),
}
both = pytest.mark.parametrize("name", MAKE)


def filled(fw, name, seed=0, **options):
    """A layer with random parameters, and these."""
    parameters = dict(zip(PARAMETERS[name], normal(seed, *PARAMETERS[name].values(), dtype=np.float32), strict=True))
    layer = MAKE[name](fw.attn, **options)
    fw.set_parameters(layer, parameters)
    return layer, parameters


def tensors(seed=11, q_len=3, k_len=11, batch=2):
    return normal(seed, (batch, q_len, 5), (batch, k_len, 7), (batch, k_len, 17), dtype=np.float32)


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=2e-5, atol=5e-6)


@pytest.mark.parametrize("causal", [False, True])
@both
def test_layers_are_the_functions_with_their_parameters(fw, name, causal):
    query, key, value = tensors()
    layer, parameters = filled(fw, name)
    lengths = np.array([4, 11])
    mask = np.arange(11) < lengths[:, None, None]
    allowed = mask & np.tri(3, 11, 8, dtype=bool) if causal else mask
    scores = query.astype(float) @ parameters["weight"] @ key.swapaxes(-1, -2)
    if name == "LocalMonotonicAttention":
        p = np.broadcast_to(np.arange(3.0), (2, 3))
        options = {"attention_mask": fw.array(mask)}
    else:
        p = positions_by_loops(query.astype(float), parameters["w_position"], parameters["v_position"], lengths)
        options = {"lengths": fw.array(lengths)}
    expected, expected_weights = local_by_loops(scores, value, p, 2, name == "LocalPredictiveAttention", allowed)
    native = list(map(fw.array, (query, key, value)))
    output, weights = layer(*native, causal=causal, return_weights=True, **options)
    assert fw.numpy(output).dtype == np.float32
    close(fw.numpy(output), expected)
    close(fw.numpy(weights), expected_weights)
    close(fw.numpy(layer(*native, causal=causal, **options)), expected)


@both
def test_a_mask_of_the_caller_counts(fw, name):
    query, key, value = tensors()
    layer, _ = filled(fw, name, half_width=20)
    mask = np.random.default_rng(0).random((2, 3, 11)) < 0.5
    options = {} if name == "LocalMonotonicAttention" else {"lengths": fw.array(np.array([4, 9]))}
    native = list(map(fw.array, (query, key, value)))
    _, weights = layer(*native, attention_mask=fw.array(mask), return_weights=True, **options)
    _, without = layer(*native, return_weights=True, **options)
    expected = np.where(mask, fw.numpy(without) > 0, False)
    np.testing.assert_array_equal(fw.numpy(weights) > 0, expected)


@given(seed=seeds, sizes=sizes)
def test_a_window_as_wide_as_the_source_is_global_attention(fw, seed, sizes):
    b, q_len, k_len, d = sizes
    q, k, v = normal(seed, (b, q_len, d), (b, k_len, d), (b, k_len, 3))
    scores = fw.attn.dot_scores(fw.array(q), fw.array(k))
    everywhere = fw.numpy(fw.attn.attend(scores, fw.array(v)))
    t, p = np.arange(q_len), k_len * np.random.default_rng(seed).random((b, q_len))
    monotonic = fw.attn.local_attend(scores, fw.array(v), fw.array(t), half_width=max(q_len, k_len))
    predicted = fw.attn.local_attend(scores, fw.array(v), fw.array(p), half_width=k_len)
    flat = fw.attn.local_attend(scores, fw.array(v), fw.array(p), half_width=10**9, gaussian=True)
    for local in (monotonic, predicted, flat):
        np.testing.assert_allclose(fw.numpy(local), everywhere, **CLOSE)


@given(seed=seeds, sizes=sizes, half_width=st.integers(1, 4))
def test_what_lies_outside_the_window_changes_nothing(fw, seed, sizes, half_width):
    b, q_len, k_len, _ = sizes
    scores, v = normal(seed, (b, q_len, k_len), (b, k_len, 3))
    rng = np.random.default_rng(seed)
    p, at = k_len * rng.random((b, q_len)), int(rng.integers(k_len))
    options = {"half_width": half_width, "gaussian": bool(seed % 2)}
    before = fw.numpy(fw.attn.local_attend(*map(fw.array, (scores, v, p)), **options))
    scores[..., at], v[:, at] = 50 + scores[..., at], 100 + v[:, at]
    after = fw.numpy(fw.attn.local_attend(*map(fw.array, (scores, v, p)), **options))
    inside = np.abs(at - p) <= half_width
    np.testing.assert_array_equal(after[~inside], before[~inside])
    assert (after[inside] != before[inside]).all()


@given(seed=seeds, sizes=sizes)
def test_weights_sum_to_one_or_zero_and_under_the_bell_to_less(fw, seed, sizes):
    b, q_len, k_len, _ = sizes
    scores, v = normal(seed, (b, q_len, k_len), (b, k_len, 3))
    p = 2 * k_len * np.random.default_rng(seed).random((b, q_len))
    native = list(map(fw.array, (scores, v, p)))
    _, plain = fw.attn.local_attend(*native, half_width=1, return_weights=True)
    output, bell = fw.attn.local_attend(*native, half_width=1, gaussian=True, return_weights=True)
    plain, bell = fw.numpy(plain), fw.numpy(bell)
    seen = (np.abs(np.arange(k_len) - p[..., None]) <= 1).any(-1)
    np.testing.assert_allclose(plain.sum(-1), seen, rtol=1e-12)
    assert (bell <= plain).all() and (bell >= 0).all()
    assert (fw.numpy(output)[~seen] == 0).all()


@both
def test_padding_changes_nothing(fw, name):
    query, key, value = tensors(k_len=7)
    rng = np.random.default_rng(0)
    longer = [
        np.concatenate([x, 100 * rng.normal(size=(2, 4, x.shape[-1])).astype(np.float32)], 1) for x in (key, value)
    ]
    layer, _ = filled(fw, name, half_width=5)
    mask = fw.array(np.broadcast_to(np.arange(11) < 7, (2, 1, 11)).copy())
    options = {"attention_mask": mask} if "Monotonic" in name else {"lengths": fw.array(np.array([7, 7]))}
    padded = layer(*map(fw.array, (query, *longer)), **options)
    close(fw.numpy(padded), fw.numpy(layer(*map(fw.array, (query, key, value)))))


def test_lengths_set_where_positions_may_lie(fw):
    """A mask alone hides keys; the length of the source also scales the positions."""
    query, key, value = tensors()
    layer, _ = filled(fw, "LocalPredictiveAttention")
    lengths = np.array([4, 11])
    native = list(map(fw.array, (query, key, value)))
    mask = fw.array(np.arange(11) < lengths[:, None, None])
    masked = fw.numpy(layer(*native, attention_mask=mask))
    short = fw.numpy(layer(*native, lengths=fw.array(lengths)))
    assert not np.allclose(masked[0], short[0], atol=1e-3)
    close(masked[1], short[1])


def test_an_empty_source_gives_zeros_with_finite_gradients(fw):
    inputs = normal(7, (2, 3, 5), (2, 7, 5), (5, 2), (2,))
    lengths = np.array([0, 7])

    def function(q, v, W, w):
        p = fw.attn.predicted_positions(q, W, w, fw.array(lengths))
        mask = fw.attn.padding_mask(fw.array(lengths), 7)
        return fw.attn.local_attend(fw.attn.dot_scores(q, v), v, p, half_width=2, gaussian=True, mask=mask)

    output = fw.numpy(function(*map(fw.array, inputs)))
    assert (output[0] == 0).all() and (output[1] != 0).all()
    gradients = fw.gradients(function, inputs, np.ones((2, 3, 5)))
    assert all(np.isfinite(g).all() for g in gradients)
    assert (gradients[0][0] == 0).all() and (gradients[0][1] != 0).any()


@both
def test_batch_rows_never_see_one_another(fw, name):
    query, key, value = tensors(batch=3)
    layer, _ = filled(fw, name)
    lengths = np.array([4, 11, 7])
    options = {} if "Monotonic" in name else {"lengths": lengths}
    together = fw.numpy(layer(*map(fw.array, (query, key, value)), **{n: fw.array(x) for n, x in options.items()}))
    for b in range(3):
        row = [fw.array(x[b : b + 1]) for x in (query, key, value)]
        alone = layer(*row, **{n: fw.array(x[b : b + 1]) for n, x in options.items()})
        close(fw.numpy(alone)[0], together[b])


@both
def test_step_by_step_equals_all_at_once(fw, name):
    query, key, value = tensors(q_len=7)
    layer, _ = filled(fw, name)
    together = fw.numpy(layer(*map(fw.array, (query, key, value))))
    for t in range(7):
        options = {"start": t} if "Monotonic" in name else {}
        step = layer(*map(fw.array, (query[:, t : t + 1], key, value)), **options)
        close(fw.numpy(step)[:, 0], together[:, t])


@both
def test_queries_and_keys_default(fw, name):
    layer = MAKE[name](fw.attn, d_key=5, seed=1)
    x = fw.array(normal(0, (2, 3, 5), dtype=np.float32)[0])
    np.testing.assert_array_equal(fw.numpy(layer(x)), fw.numpy(layer(x, x, x)))


@both
def test_a_seed_fixes_the_initial_parameters(fw, name):
    query, key, value = map(fw.array, tensors())

    def output(seed):
        return fw.numpy(MAKE[name](fw.attn, seed=seed)(query, key, value))

    np.testing.assert_array_equal(output(1), output(1))
    assert not np.allclose(output(1), output(2))


# ---- bad input


def x(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


CALLS = [
    ("predicted_positions", (x(5), x(5, 3), x(3), 7), {}, "q must be [..., length, features], got shape [5]"),
    ("predicted_positions", (x(2, 3, 5), x(4, 3), x(3), 7), {}, "w_position must be [d_q, d_hidden] for q [2, 3, 5]"),
    (
        "predicted_positions",
        (x(3, 5), x(5, 3, dtype=np.float64), x(3), 7),
        {},
        "q and w_position and v_position must have the same dtype, got q float32, w_position float64",
    ),
    ("predicted_positions", (x(3, 5), x(5, 3), x(3, 1), 7), {}, "v_position must be [d_hidden], got shape [3, 1]"),
    ("predicted_positions", (x(3, 5), x(5, 3), x(3), 0), {}, "lengths must be an integer of at least 1, got 0"),
    ("predicted_positions", (x(2, 3, 5), x(5, 3), x(3), x(2)), {}, "lengths must be integers, got float32"),
    (
        "predicted_positions",
        (x(2, 3, 5), x(5, 3), x(3), np.array([1, 2, 3])),
        {},
        "lengths must broadcast to [2] for q [2, 3, 5], got shape [3]",
    ),
    ("local_window_mask", (x(3), 0), {"half_width": 1}, "k_len must be an integer of at least 1, got 0"),
    ("local_window_mask", (x(3), 5), {"half_width": -1}, "half_width must be an integer of at least 1, got -1"),
    ("local_window_mask", (x(3, dtype=bool), 5), {"half_width": 1}, "positions must be numbers, got bool"),
    (
        "local_window_mask",
        (x(), 5),
        {"half_width": 1},
        "positions must be [..., q_len], none of it empty, got shape []",
    ),
    ("local_gaussian", (x(3), 5), {"half_width": 0}, "half_width must be an integer of at least 1, got 0"),
    ("local_gaussian", ([1.0], 5), {"half_width": 1}, "positions must be an array, got list"),
    ("local_gaussian", (x(3), 2.0), {"half_width": 1}, "k_len must be an integer of at least 1, got 2.0"),
    ("local_attend", (x(3, 7), x(6, 5), x(3)), {"half_width": 1}, "scores and v must have the same k_len"),
    (
        "local_attend",
        (x(2, 3, 7), x(7, 5), x(2, 7)),
        {"half_width": 1},
        "positions must broadcast to [2, 3] for the scores [2, 3, 7], got shape [2, 7]",
    ),
    ("local_attend", (x(3, 7), x(7, 5), x(2, 3)), {"half_width": 1}, "positions must broadcast to [3] for the scores"),
    ("local_attend", (x(3, 7), x(7, 5), x(3)), {"half_width": 1, "mask": x(3, 7)}, "mask must be boolean"),
    ("local_attend", (x(3, 7), x(7, 5), x(3)), {"half_width": 1.5}, "half_width must be an integer of at least 1"),
]


@pytest.mark.parametrize("name, arguments, options, message", CALLS, ids=[f"{c[0]}: {c[3]}" for c in CALLS])
def test_bad_input(fw, name, arguments, options, message):
    def native(a):
        return fw.array(a) if isinstance(a, np.ndarray) else a

    with pytest.raises(ValueError, match=re.escape(message)):
        getattr(fw.attn, name)(*map(native, arguments), **{n: native(a) for n, a in options.items()})


@pytest.mark.parametrize(
    "name, arguments, message",
    [
        ("LocalMonotonicAttention", (0, 5, 1), "d_query must be an integer of at least 1, got 0"),
        ("LocalMonotonicAttention", (5, 5.0, 1), "d_key must be an integer of at least 1, got 5.0"),
        ("LocalMonotonicAttention", (5, 5, -2), "half_width must be an integer of at least 1, got -2"),
        ("LocalPredictiveAttention", (0, 5, 3, 1), "d_query must be an integer of at least 1, got 0"),
        ("LocalPredictiveAttention", (5, 0, 3, 1), "d_key must be an integer of at least 1, got 0"),
        ("LocalPredictiveAttention", (5, 5, True, 1), "d_hidden must be an integer of at least 1, got True"),
        ("LocalPredictiveAttention", (5, 5, 3, 0), "half_width must be an integer of at least 1, got 0"),
    ],
)
def test_layers_are_made_with_sizes(fw, name, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        getattr(fw.attn, name)(*arguments)


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("LocalMonotonicAttention", {"start": -1}, "start must be an integer of at least 0, got -1"),
        ("LocalMonotonicAttention", {"start": 1.0}, "start must be an integer of at least 0, got 1.0"),
        (
            "LocalMonotonicAttention",
            {"start": np.arange(2)},
            "start must be an integer of at least 0, got int64 of shape",
        ),
        ("LocalMonotonicAttention", {"attention_mask": x(3, 7)}, "attention_mask must be boolean"),
        ("LocalPredictiveAttention", {"attention_mask": x(3, 7)}, "attention_mask must be boolean"),
        (
            "LocalPredictiveAttention",
            {"lengths": np.array([4, 12])},
            "lengths must be from 0 to max_len 11, got 4 to 12",
        ),
        ("LocalPredictiveAttention", {"lengths": x(2)}, "lengths must be integers, got float32"),
    ],
)
def test_layers_refuse_bad_calls(fw, name, options, message):
    native = {n: fw.array(a) if isinstance(a, np.ndarray) else a for n, a in options.items()}
    with pytest.raises(ValueError, match=re.escape(message)):
        MAKE[name](fw.attn)(*map(fw.array, tensors()), **native)


@both
def test_layers_refuse_states_without_a_batch(fw, name):
    query, key, value = map(fw.array, tensors())
    with pytest.raises(ValueError, match=re.escape("query must be [batch, ..., length, features], got shape [3, 5]")):
        MAKE[name](fw.attn)(query[0], key[0], value[0])
    with pytest.raises(ValueError, match="key and value must have the same length"):
        MAKE[name](fw.attn)(query, key, value[:, :-1])
