"""Positions: each against loops over its formula, in all three frameworks, and the properties it is used for."""

import cmath
import math
import re

import hypothesis.strategies as st
import numpy as np
import pytest
from cases import TOLERANCE
from hypothesis import given

FRAMEWORK = "each"
DTYPES = [np.float32, np.float64]
PAIRINGS = ["halves", "interleaved"]
CLOSE = {"rtol": 1e-9, "atol": 1e-12}
seeds = st.integers(0, 10_000)


def dtype_of(fw, dtype):
    return fw.array(np.zeros(1, dtype)).dtype


def weight_gradient(fw, layer, call, grad_output):
    """d sum(call() · grad_output) / d layer.weight."""
    if fw.name == "torch":
        (call() * fw.array(grad_output)).sum().backward()
        return layer.weight.grad.numpy()
    if fw.name == "tensorflow":
        with fw.tf.GradientTape() as tape:
            output = call()
        gradient = tape.gradient(output, layer.weight.value, output_gradients=fw.array(grad_output))
        return fw.tf.convert_to_tensor(gradient).numpy()
    weight = layer.weight.astype(np.float64)

    def function(moved):
        layer.weight = moved
        return call()

    return fw.gradients(function, [weight], grad_output)[0]


# ---- sinusoidal


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length, d, base", [(11, 6, 10000.0), (7, 5, 100), (1, 1, 10000.0)])
def test_sinusoidal_positions(fw, length, d, base, dtype):
    expected = np.zeros((length, d))
    for p in range(length):
        for i in range(d):
            angle = p / base ** ((i - i % 2) / d)
            expected[p, i] = math.cos(angle) if i % 2 else math.sin(angle)
    got = fw.numpy(fw.attn.sinusoidal_positions(length, d, base=base, dtype=dtype_of(fw, dtype)))
    assert got.dtype == dtype
    np.testing.assert_allclose(got, expected, **TOLERANCE[dtype])


def test_sinusoidal_positions_stay_exact_far_out(fw):
    """In float32 an angle of 50,000 is known to 0.004; the sines are right to the last digit all the same."""
    got = fw.numpy(fw.attn.sinusoidal_positions(50_001, 2))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got[-1], [math.sin(50_000), math.cos(50_000)], atol=1e-7)


def test_products_of_sinusoids_depend_on_the_distance_alone(fw):
    p = fw.numpy(fw.attn.sinusoidal_positions(13, 8, dtype=dtype_of(fw, np.float64)))
    products = p @ p.T
    for distance in range(13):
        np.testing.assert_allclose(np.diagonal(products, distance), products[0, distance], **CLOSE)


# ---- learned


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape, start", [((2, 3, 5), 0), ((2, 3, 5), 4), ((7, 5), 0), ((2, 3, 2, 5), 5)])
def test_learned_positions(fw, shape, start, dtype):
    rng = np.random.default_rng(1)
    x, weight = rng.normal(size=shape).astype(dtype), rng.normal(size=(7, 5)).astype(np.float32)
    layer = fw.attn.LearnedPositions(7, 5, **({"dtype": dtype.__name__} if fw.name == "tensorflow" else {}))
    fw.set_parameters(layer, {"weight": weight})
    got = fw.numpy(layer(fw.array(x), start=start))
    assert got.dtype == dtype
    expected = np.array(x)
    for at in np.ndindex(shape[:-1]):
        expected[at] += weight[start + at[-1]]
    np.testing.assert_array_equal(got, expected)

    grad_output = rng.normal(size=shape).astype(dtype)
    gradient = np.zeros((7, 5))
    np.add.at(gradient, start + np.arange(shape[-2]), grad_output.reshape(-1, *shape[-2:]).sum(0))
    x64 = x.astype(np.float64) if fw.name == "numpy" else x
    got = weight_gradient(fw, layer, lambda: layer(fw.array(x64), start=start), grad_output)
    np.testing.assert_allclose(got, gradient, rtol=1e-5, atol=1e-6)


def test_learned_positions_one_at_a_time_are_those_all_at_once(fw):
    x = np.random.default_rng(0).normal(size=(2, 7, 5)).astype(np.float32)
    layer = fw.attn.LearnedPositions(7, 5, seed=1)
    together = fw.numpy(layer(fw.array(x)))
    assert not np.array_equal(together, x)
    for t in range(7):
        np.testing.assert_array_equal(fw.numpy(layer(fw.array(x[:, t : t + 1]), start=t))[:, 0], together[:, t])


@pytest.mark.parametrize("name, arguments", [("LearnedPositions", (89, 53)), ("RelativePositionBias", (151,))])
def test_learned_tables_begin_small_and_a_seed_fixes_them(fw, name, arguments):
    def weight(seed):
        layer = getattr(fw.attn, name)(*arguments, seed=seed)
        if fw.name == "tensorflow":
            layer.build(None)
        return fw.numpy(layer.weight)

    assert weight(1).dtype == np.float32
    assert abs(weight(1).std() - 0.02) < 0.001 and abs(weight(1).mean()) < 0.001
    np.testing.assert_array_equal(weight(1), weight(1))
    assert not np.array_equal(weight(1), weight(2))


# ---- relative, in buckets


def t5_bucket(relative, num_buckets, max_distance, bidirectional):
    """One bucket as Raffel et al. describe it and their code computes it: by logarithms, in float32."""
    bucket, distance = 0, -min(relative, 0)
    if bidirectional:
        num_buckets //= 2
        bucket, distance = (num_buckets if relative > 0 else 0), abs(relative)
    exact = num_buckets // 2
    if distance < exact:
        return bucket + distance
    share = np.log(np.float32(distance) / np.float32(exact)) / np.float32(math.log(max_distance / exact))
    return bucket + min(exact + int(share * (num_buckets - exact)), num_buckets - 1)


BUCKETS = [
    (32, 128, True),
    (32, 128, False),
    (12, 30, True),
    (7, 19, False),
    (4, 5, True),
    (2, 3, False),
    (6, 17, True),
]


@pytest.mark.parametrize("num_buckets, max_distance, bidirectional", BUCKETS)
def test_buckets_are_those_of_t5(fw, num_buckets, max_distance, bidirectional):
    options = {"num_buckets": num_buckets, "max_distance": max_distance, "bidirectional": bidirectional}
    got = fw.numpy(fw.attn.relative_position_buckets(150, 301, **options))
    by_distance = {r: t5_bucket(r, *options.values()) for r in range(-301, 151)}
    never = {num_buckets // 2} if bidirectional else set()  # a distance of 0 to a later key
    assert set(got.ravel()) == set(range(num_buckets)) - never
    expected = [[by_distance[j - (i + 151)] for j in range(301)] for i in range(150)]
    np.testing.assert_array_equal(got, expected)


def test_buckets_written_down_by_hand(fw):
    """8 buckets, a direction has 4: distances 0, 1, then 2 to 5, and from √(2·16) = 5.7 on the last."""
    got = fw.numpy(fw.attn.relative_position_buckets(8, num_buckets=8, max_distance=16))
    np.testing.assert_array_equal(got[0], [0, 5, 6, 6, 6, 6, 7, 7])
    np.testing.assert_array_equal(got[-1], [3, 3, 2, 2, 2, 2, 1, 0])
    causal = fw.numpy(fw.attn.relative_position_buckets(2, 8, num_buckets=4, max_distance=16, bidirectional=False))
    np.testing.assert_array_equal(causal, [[3, 2, 2, 2, 2, 1, 0, 0], [3, 3, 2, 2, 2, 2, 1, 0]])
    # Three of the last buckets begin at the last distance: two stay empty.
    crowded = fw.attn.relative_position_buckets(1, 7, num_buckets=8, max_distance=5, bidirectional=False)
    np.testing.assert_array_equal(fw.numpy(crowded), [[7, 7, 4, 3, 2, 1, 0]])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bidirectional", [True, False])
def test_relative_position_bias(fw, bidirectional, dtype):
    rng = np.random.default_rng(2)
    weight = rng.normal(size=(6, 3)).astype(np.float32)
    options = {"num_buckets": 6, "max_distance": 7, "bidirectional": bidirectional}
    keras = {"dtype": dtype.__name__} if fw.name == "tensorflow" else {}
    layer = fw.attn.RelativePositionBias(3, **options, **keras)
    fw.set_parameters(layer, {"weight": weight})
    query, key = (fw.array(np.zeros(shape, dtype)) for shape in ((2, 5, 7), (11, 13)))
    got = fw.numpy(layer(query, key))
    assert got.dtype == dtype
    buckets = [[t5_bucket(j - (i + 6), *options.values()) for j in range(11)] for i in range(5)]
    np.testing.assert_array_equal(got, [[[weight[b, h] for b in row] for row in buckets] for h in range(3)])
    np.testing.assert_array_equal(fw.numpy(layer(query)), fw.numpy(layer(query, query)))

    grad_output = rng.normal(size=(3, 5, 11)).astype(dtype)
    gradient = np.zeros((6, 3))
    for h, i, j in np.ndindex(grad_output.shape):
        gradient[buckets[i][j], h] += grad_output[h, i, j]
    if fw.name == "numpy":  # finite differences need float64 throughout
        query, key = query.astype(np.float64), key.astype(np.float64)
    got = weight_gradient(fw, layer, lambda: layer(query, key), grad_output)
    np.testing.assert_allclose(got, gradient, rtol=1e-5, atol=1e-6)


# ---- ALiBi


@pytest.mark.parametrize(
    "num_heads, exponents",
    [
        (1, [8]),
        (2, [4, 8]),
        (3, [4, 8, 2]),
        (6, [2, 4, 6, 8, 1, 3]),
        (8, [1, 2, 3, 4, 5, 6, 7, 8]),
        (12, [1, 2, 3, 4, 5, 6, 7, 8, 0.5, 1.5, 2.5, 3.5]),
        (16, [i / 2 for i in range(1, 17)]),
    ],
)
def test_alibi_slopes_by_hand(fw, num_heads, exponents):
    got = fw.numpy(fw.attn.alibi_slopes(num_heads, dtype=dtype_of(fw, np.float64)))
    np.testing.assert_allclose(got, [2.0**-x for x in exponents], rtol=1e-15)
    assert fw.numpy(fw.attn.alibi_slopes(num_heads)).dtype == np.float32


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("q_len, k_len", [(5, None), (3, 7), (7, 3)])
def test_alibi_bias(fw, q_len, k_len, dtype):
    keys = k_len or q_len
    slopes = (0.0625, 0.00390625, 0.25)
    expected = [[[-m * abs(j - (i + keys - q_len)) for j in range(keys)] for i in range(q_len)] for m in slopes]
    got = fw.numpy(fw.attn.alibi_bias(3, q_len, k_len, dtype=dtype_of(fw, dtype)))
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, expected)
    assert not np.signbit(got[got == 0]).any()
    assert fw.numpy(fw.attn.alibi_bias(3, q_len, k_len)).dtype == np.float32


def test_alibi_is_the_paper_s_penalty_where_attention_is_causal(fw):
    """The paper's code adds m·j, the same for every query: where only the past is seen, softmax cannot tell."""
    rng = np.random.default_rng(3)
    q, k, v = (fw.array(rng.normal(size=(2, 3, 7, d))) for d in (5, 5, 11))
    bias = fw.attn.alibi_bias(3, 7, dtype=dtype_of(fw, np.float64))
    theirs = fw.array(np.array([2.0**-4, 2.0**-8, 2.0**-2])[:, None, None] * np.arange(7.0))
    ours, other = (fw.numpy(fw.attn.scaled_dot_product_attention(q, k, v, bias=b, causal=True)) for b in (bias, theirs))
    np.testing.assert_allclose(ours, other, **CLOSE)


# ---- rotary


def turned(x, positions, base, pairing):
    """Each pair as a complex number, multiplied by exp(i · angle)."""
    d = x.shape[-1]
    positions = np.broadcast_to(positions, x.shape[:-1])
    result = np.zeros(x.shape)
    for at in np.ndindex(x.shape[:-1]):
        for i in range(d // 2):
            a, b = (i, i + d // 2) if pairing == "halves" else (2 * i, 2 * i + 1)
            z = complex(x[at][a], x[at][b]) * cmath.exp(1j * float(positions[at]) * base ** (-2 * i / d))
            result[at][a], result[at][b] = z.real, z.imag
    return result


ROTARY = {
    "one sequence": ((7, 6), np.arange(7), 10000.0),
    "heads": ((2, 3, 5, 6), np.arange(5) + 11, 10000.0),
    "another base": ((3, 5, 4), np.arange(5), 500000),
    "positions of each batch row": ((2, 3, 5, 2), np.array([[[4, 3, 2, 1, 0]], [[0, 0, 1, 2, 3]]]), 10.0),
    "one position for all": ((3, 5, 10), np.array([13]), 100.0),
    "between the positions": ((5, 6), np.arange(5) / 4, 10000.0),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("case", ROTARY)
def test_rotary(fw, case, pairing, dtype):
    shape, positions, base = ROTARY[case]
    rng = np.random.default_rng(4)
    x = rng.normal(size=shape).astype(dtype)

    def function(x):
        return fw.attn.rotary(x, fw.array(positions), base=base, pairing=pairing)

    got = fw.numpy(function(fw.array(x)))
    assert got.dtype == dtype
    np.testing.assert_allclose(got, turned(x, positions, base, pairing), **TOLERANCE[dtype])

    # The transpose of a rotation turns the other way, and so the gradient does.
    grad_output = rng.normal(size=shape).astype(dtype)
    (gradient,) = fw.gradients(function, [x], grad_output)
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if fw.name == "numpy" else TOLERANCE[dtype]
    np.testing.assert_allclose(gradient, turned(grad_output, -positions, base, pairing), **tolerance)


def test_rotary_pairs_halves_and_the_base_is_ten_thousand_unless_told_otherwise(fw):
    x, positions = np.random.default_rng(0).normal(size=(3, 6)), np.arange(3)
    got = fw.numpy(fw.attn.rotary(fw.array(x), fw.array(positions)))
    np.testing.assert_allclose(got, turned(x, positions, 10000.0, "halves"), **CLOSE)


def rotate(fw, x, positions, **options):
    return fw.numpy(fw.attn.rotary(fw.array(x), fw.array(positions), **options))


sizes = st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 4))  # batch, length, pairs


@given(seed=seeds, sizes=sizes, shift=st.integers(-1000, 1000), pairing=st.sampled_from(PAIRINGS))
def test_rotary_scores_depend_on_distance_alone(fw, seed, sizes, shift, pairing):
    b, n, pairs = sizes
    rng = np.random.default_rng(seed)
    q, k = rng.normal(size=(2, b, n, 2 * pairs))
    positions = rng.integers(0, 100, n)

    def scores(start):
        a, c = (rotate(fw, x, positions + start, pairing=pairing) for x in (q, k))
        return a @ c.swapaxes(-1, -2)

    np.testing.assert_allclose(scores(shift), scores(0), rtol=1e-9, atol=1e-10)


@given(seed=seeds, sizes=sizes, pairing=st.sampled_from(PAIRINGS))
def test_rotary_keeps_norms_and_leaves_position_zero_alone(fw, seed, sizes, pairing):
    b, n, pairs = sizes
    x = np.random.default_rng(seed).normal(size=(b, n, 2 * pairs))
    got = rotate(fw, x, np.arange(n), pairing=pairing)
    np.testing.assert_array_equal(got[:, 0], x[:, 0])
    np.testing.assert_allclose(np.linalg.norm(got, axis=-1), np.linalg.norm(x, axis=-1), **CLOSE)
    if n > 1:
        assert not np.allclose(got[:, 1], x[:, 1])
    np.testing.assert_allclose(rotate(fw, got, -np.arange(n), pairing=pairing), x, **CLOSE)


@given(seed=seeds, sizes=sizes)
def test_the_permutation_leads_from_one_pairing_to_the_other_and_back(fw, seed, sizes):
    b, n, pairs = sizes
    rng = np.random.default_rng(seed)
    q, k = rng.normal(size=(2, b, n, 2 * pairs))
    positions = rng.integers(0, 100, n)
    order = fw.numpy(fw.attn.rotary_permutation(2 * pairs))
    interleaved = rotate(fw, q, positions, pairing="interleaved")
    np.testing.assert_allclose(interleaved[..., order], rotate(fw, q[..., order], positions), **CLOSE)
    back = np.argsort(order)
    np.testing.assert_allclose(
        rotate(fw, q, positions)[..., back], rotate(fw, q[..., back], positions, pairing="interleaved"), **CLOSE
    )
    other = interleaved @ rotate(fw, k, positions, pairing="interleaved").swapaxes(-1, -2)
    halves = rotate(fw, q[..., order], positions) @ rotate(fw, k[..., order], positions).swapaxes(-1, -2)
    np.testing.assert_allclose(halves, other, **CLOSE)


def test_the_permutation_by_hand(fw):
    np.testing.assert_array_equal(fw.numpy(fw.attn.rotary_permutation(6)), [0, 2, 4, 1, 3, 5])


def test_half_precision_is_turned_in_float32(fw):
    """At position 2,048 float16 would not know an angle at all; here only the result is rounded."""
    x = np.random.default_rng(0).normal(size=(3, 64)).astype(np.float16)
    positions = np.array([0, 7, 2049])
    got = rotate(fw, x, positions)
    assert got.dtype == np.float16
    rounded = turned(x, positions, 10000.0, "halves").astype(np.float16)
    assert (got == rounded).mean() > 0.97  # rounded once; sums in float16 are rounded three times


# ---- errors

X = np.zeros((2, 7, 6), np.float32)
CALLS = [
    ("sinusoidal_positions", (0, 4), {}, "length must be an integer of at least 1, got 0"),
    ("sinusoidal_positions", (3, 2.0), {}, "d must be an integer of at least 1, got 2.0"),
    ("sinusoidal_positions", (3, 4), {"base": -1.0}, "base must be a number above 0, got -1.0"),
    ("relative_position_buckets", (0,), {}, "q_len must be an integer of at least 1, got 0"),
    ("relative_position_buckets", (3, -1), {}, "k_len must be an integer of at least 1, got -1"),
    ("relative_position_buckets", (3,), {"num_buckets": 7}, "num_buckets must be an even number of at least 4, got 7"),
    ("relative_position_buckets", (3,), {"num_buckets": 2}, "num_buckets must be an even number of at least 4, got 2"),
    (
        "relative_position_buckets",
        (3,),
        {"num_buckets": 1, "bidirectional": False},
        "num_buckets must be at least 2, got 1",
    ),
    (
        "relative_position_buckets",
        (3,),
        {"max_distance": 8},
        "max_distance must be above 8, the distances that have a bucket each, got 8",
    ),
    ("RelativePositionBias", (0,), {}, "num_heads must be an integer of at least 1, got 0"),
    ("RelativePositionBias", (3,), {"num_buckets": 5}, "num_buckets must be an even number of at least 4, got 5"),
    ("LearnedPositions", (0, 5), {}, "max_len must be an integer of at least 1, got 0"),
    ("LearnedPositions", (5, 2.5), {}, "d must be an integer of at least 1, got 2.5"),
    ("alibi_slopes", (0,), {}, "num_heads must be an integer of at least 1, got 0"),
    ("alibi_bias", (True, 3), {}, "num_heads must be an integer of at least 1, got True"),
    ("alibi_bias", (2, 0), {}, "q_len must be an integer of at least 1, got 0"),
    ("alibi_bias", (2, 3, 0), {}, "k_len must be an integer of at least 1, got 0"),
    ("rotary", (X[..., :5], np.arange(7)), {}, "x must have an even last axis (d), got shape [2, 7, 5]"),
    (
        "rotary",
        (X, np.arange(5)),
        {},
        "positions must broadcast to [2, 7] for x [2, 7, 6], got shape [5]",
    ),
    ("rotary", (X, np.zeros((3, 2, 7), int)), {}, "positions must broadcast to [2, 7]"),
    ("rotary", (X, np.ones(7, bool)), {}, "positions must be numbers, got bool"),
    ("rotary", (X, 3), {}, "positions must be an array, got int"),
    ("rotary", (X.astype(int), np.arange(7)), {}, "x must be floating point, got int64"),
    ("rotary", (X, np.arange(7)), {"base": 0}, "base must be a number above 0, got 0"),
    ("rotary", (X, np.arange(7)), {"base": True}, "base must be a number above 0, got True"),
    ("rotary", (X, np.arange(7)), {"pairing": "half"}, "pairing must be one of 'halves', 'interleaved', got 'half'"),
    ("rotary_permutation", (5,), {}, "d must be even, got 5"),
    ("rotary_permutation", (0,), {}, "d must be an integer of at least 1, got 0"),
]


@pytest.mark.parametrize("name, arguments, options, message", CALLS, ids=[f"{c[0]}: {c[3]}" for c in CALLS])
def test_bad_input(fw, name, arguments, options, message):
    native = [fw.array(a) if isinstance(a, np.ndarray) else a for a in arguments]
    with pytest.raises(ValueError, match=re.escape(message)):
        getattr(fw.attn, name)(*native, **options)


@pytest.mark.parametrize(
    "shape, start, message",
    [
        ((2, 3, 6), 0, "x must be [..., length, 5], as wide as the positions, got shape [2, 3, 6]"),
        ((2, 8, 5), 0, "x must end within the max_len 7 positions, got shape [2, 8, 5] and start 0"),
        ((2, 3, 5), 5, "x must end within the max_len 7 positions, got shape [2, 3, 5] and start 5"),
        ((2, 3, 5), -1, "start must be an integer of at least 0, got -1"),
        ((2, 3, 5), 1.0, "start must be an integer of at least 0, got 1.0"),
        ((2, 3, 5), np.arange(2), "start must be an integer of at least 0, got int64 of shape [2]"),
        ((5,), 0, "x must be [..., length, features], got shape [5]"),
    ],
)
def test_bad_calls_of_learned_positions(fw, shape, start, message):
    layer = fw.attn.LearnedPositions(7, 5)
    with pytest.raises(ValueError, match=re.escape(message)):
        layer(fw.array(np.zeros(shape, np.float32)), start=fw.array(start) if isinstance(start, np.ndarray) else start)


def test_bad_calls_of_the_relative_bias(fw):
    with pytest.raises(ValueError, match=re.escape("key must be [..., length, features], got shape [5]")):
        fw.attn.RelativePositionBias(3)(fw.array(X), fw.array(np.zeros(5, np.float32)))
