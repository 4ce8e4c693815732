"""Multi-head attention and its cache: values, weights and gradients of all three frameworks, and what must hold."""

import math
import re
from dataclasses import dataclass, field

import hypothesis.strategies as st
import numpy as np
import pytest
from cases import TOLERANCE
from hypothesis import given, settings

import attnlib.numpy as spec

FRAMEWORK = "each"
PARAMETERS = [f"{kind}_{of}" for of in ("query", "key", "value", "output") for kind in "wb"]


@dataclass(frozen=True)
class Case:
    name: str
    sizes: tuple = (7, 3)  # d_model, num_heads
    options: dict = field(default_factory=lambda: {"head_dim": 2})
    query: tuple = (2, 3)  # leading axes and length
    key: tuple | None = (2, 5)  # None for self-attention
    value: bool = True  # values that are not the keys
    mask: tuple | None = None
    bias: tuple | None = None
    causal: bool = False

    def arrays(self, dtype):
        """Inputs, keyword arguments and parameters, as NumPy arrays; the same in every run."""
        rng = np.random.default_rng(23)
        shapes = [self.query, *([self.key] if self.key else []), *([self.key] if self.key and self.value else [])]
        inputs = [rng.normal(size=(*shape, self.sizes[0])).astype(dtype) for shape in shapes]
        call = {"causal": True} if self.causal else {}
        if self.mask is not None:
            call["attention_mask"] = rng.random(self.mask) < 0.6
            call["attention_mask"][..., 0, :] = (
                False  # the first query may attend to nothing, and the others to something
            )
            assert call["attention_mask"].any(-1).sum() > call["attention_mask"].any(-1).size // 3
        if self.bias is not None:
            call["attention_bias"] = rng.normal(size=self.bias).astype(dtype)
        layer = spec.MultiHeadAttention(*self.sizes, **self.options)
        parameters = {n: getattr(layer, n) for n in PARAMETERS if getattr(layer, n) is not None}
        parameters = {n: rng.normal(size=p.shape).astype(dtype) for n, p in parameters.items()}
        return inputs, call, parameters


CASES = [
    Case("self", sizes=(6, 3), options={}, key=None),
    Case("cross", value=False),
    Case("values of their own"),
    Case("two kinds of heads", sizes=(7, 4), options={"head_dim": 2, "num_kv_heads": 2}),
    Case("one head of keys", options={"head_dim": 2, "num_kv_heads": 1}, mask=(3, 5)),
    Case("no bias", options={"head_dim": 2, "bias": False}, value=False),
    Case("causal", key=None, causal=True),
    Case("causal, fewer queries than keys", value=False, causal=True),
    Case("mask", mask=(2, 3, 5)),
    Case("mask for each head", query=(3, 2), key=(3, 5), mask=(3, 3, 2, 5)),
    Case("bias for each head", mask=(3, 5), bias=(3, 3, 5), causal=True),
]
# NumPy takes a shorter way for it, which gives no weights and is rounded otherwise.
STEP = Case("a step of shared heads", sizes=(7, 4), options={"head_dim": 2, "num_kv_heads": 2}, query=(2, 1))


def made(fw, case, dtype, parameters, **options):
    if fw.name == "tensorflow":
        options["dtype"] = np.dtype(dtype).name
    layer = fw.attn.MultiHeadAttention(*case.sizes, **case.options, **options)
    if fw.name == "torch":
        layer = layer.to(getattr(fw.torch, np.dtype(dtype).name))
    fw.set_parameters(layer, parameters)
    return layer


def native(fw, options):
    return {n: fw.array(x) if isinstance(x, np.ndarray) else x for n, x in options.items()}


def by_hand(inputs, parameters, sizes, head_dim, num_kv_heads, mask=None, bias=None, causal=False):
    """One head of one batch row at a time, from the plain function and slices of the matrices."""
    query = inputs[0]
    key = inputs[1] if len(inputs) > 1 else query
    value = inputs[2] if len(inputs) > 2 else key
    batch, q_len, d_model = query.shape
    num_heads, k_len = sizes[1], key.shape[1]
    p = {n: parameters.get(n, np.zeros(1)) for n in PARAMETERS}
    weights = np.zeros((batch, num_heads, q_len, k_len))
    output = np.zeros((batch, q_len, d_model)) + p["b_output"]
    mask = np.broadcast_to(True if mask is None else mask[:, None] if mask.ndim == 3 else mask, weights.shape)
    bias = np.broadcast_to(0.0 if bias is None else bias, weights.shape)
    for b in range(batch):
        for head in range(num_heads):
            mine = slice(head * head_dim, (head + 1) * head_dim)
            shared = head // (num_heads // num_kv_heads)
            theirs = slice(shared * head_dim, (shared + 1) * head_dim)
            q = (query[b] @ p["w_query"] + p["b_query"])[:, mine]
            k = (key[b] @ p["w_key"] + p["b_key"])[:, theirs]
            v = (value[b] @ p["w_value"] + p["b_value"])[:, theirs]
            result, weights[b, head] = spec.attend(
                q @ k.T / math.sqrt(head_dim) + bias[b, head],
                v,
                mask=mask[b, head] & (np.tri(q_len, k_len, k_len - q_len, dtype=bool) | (not causal)),
                return_weights=True,
            )
            output[b] += result @ p["w_output"][mine]
    return output, weights


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_values_and_weights(fw, case, dtype):
    inputs, call, parameters = case.arrays(dtype)
    if fw.name == "numpy":
        head_dim = case.options.get("head_dim", 2)
        options = {n.removeprefix("attention_"): x for n, x in call.items()}
        kv = case.options.get("num_kv_heads", case.sizes[1])
        expected = by_hand([x.astype(np.float64) for x in inputs], parameters, case.sizes, head_dim, kv, **options)
    else:
        expected = made_spec(case, parameters)(*inputs, **call, return_weights=True)
    layer = made(fw, case, dtype, parameters)
    tensors = [fw.array(x) for x in inputs]
    got = [fw.numpy(x) for x in layer(*tensors, **native(fw, call), return_weights=True)]
    assert got[0].dtype == got[1].dtype == dtype
    for g, e in zip(got, expected, strict=True):
        np.testing.assert_allclose(g, e, rtol=TOLERANCE[dtype]["rtol"], atol=10 * TOLERANCE[dtype]["atol"])
    np.testing.assert_array_equal(fw.numpy(layer(*tensors, **native(fw, call))), got[0])


@pytest.mark.parametrize("case", [*CASES, STEP], ids=lambda c: c.name)
def test_tiled_is_the_same(fw, case, tiled_calls):
    inputs, call, parameters = case.arrays(np.float64)
    grad_output = np.random.default_rng(5).normal(size=inputs[0].shape)
    results = []
    for impl in ("explicit", "tiled"):
        layer = made(fw, case, np.float64, parameters, impl=impl)
        results.append([fw.numpy(layer(*map(fw.array, inputs), **native(fw, call)))])
        assert bool(tiled_calls) == (impl == "tiled")
        if fw.name != "numpy":  # whose gradients are those of the numbers that come out
            got, of = fw.layer_gradients(layer, inputs, list(parameters), grad_output, native(fw, call))
            results[-1] += [*got, *of]
    for explicit, tiled in zip(*results, strict=True):
        np.testing.assert_allclose(tiled, explicit, rtol=1e-11, atol=1e-12)
    with pytest.raises(ValueError, match='return_weights needs impl="explicit"'):
        layer(*map(fw.array, inputs), return_weights=True)


def made_spec(case, parameters):
    layer = spec.MultiHeadAttention(*case.sizes, **case.options)
    for name, value in parameters.items():
        setattr(layer, name, value)
    return layer


@pytest.mark.parametrize("case", [*CASES, STEP], ids=lambda c: c.name)
def test_gradients(fw, case):
    """Of inputs and parameters, by hand against finite differences (NumPy) or the framework's own."""
    inputs, call, parameters = case.arrays(np.float64)
    reference = made_spec(case, parameters)
    grad_output = np.random.default_rng(5).normal(size=inputs[0].shape)
    key = inputs[1] if len(inputs) > 1 else inputs[0]
    value = inputs[2] if len(inputs) > 2 else key
    by_argument, by_parameter = spec.backward.multi_head_attention_vjp(
        reference, inputs[0], key, value, grad_output, **call
    )
    expected = list(by_argument)
    while len(expected) > len(inputs):  # an argument that stood in for another one adds to its gradient
        last = expected.pop()
        expected[-1] = expected[-1] + last
    assert list(by_parameter) == list(parameters)
    got, got_parameters = fw.layer_gradients(
        made(fw, case, np.float64, parameters), inputs, list(parameters), grad_output, native(fw, call)
    )
    close = {"rtol": 2e-5, "atol": 5e-7} if fw.name == "numpy" else {"rtol": 1e-11, "atol": 1e-12}
    for g, e in zip(got, expected, strict=True):
        np.testing.assert_allclose(g, e, **close)
    for name, g in zip(parameters, got_parameters, strict=True):
        np.testing.assert_allclose(g, by_parameter[name], **close, err_msg=name)


def test_any_leading_axes_after_the_batch(fw):
    layer = fw.attn.MultiHeadAttention(6, 3, seed=0)
    x = np.random.default_rng(0).normal(size=(2, 5, 3, 6)).astype(np.float32)
    together, weights = layer(fw.array(x), causal=True, return_weights=True)
    assert weights.shape == (2, 5, 3, 3, 3)
    one = layer(fw.array(x[1]), causal=True)
    np.testing.assert_allclose(fw.numpy(one), fw.numpy(together)[1], **TOLERANCE[np.float32])


def test_a_seed_fixes_the_initial_parameters_and_no_two_are_alike(fw):
    x = fw.array(np.random.default_rng(0).normal(size=(2, 3, 6)).astype(np.float32))

    def layer(seed):
        layer = fw.attn.MultiHeadAttention(6, 2, seed=seed)
        return fw.numpy(layer(x)), [fw.numpy(getattr(layer, f"w_{n}")) for n in ("query", "key", "value", "output")]

    output, matrices = layer(1)
    np.testing.assert_array_equal(output, layer(1)[0])
    assert not np.allclose(output, layer(2)[0])
    assert all(abs(m).max() <= math.sqrt(6 / 12) + 1e-6 for m in matrices)
    assert all(not np.allclose(a, b) for i, a in enumerate(matrices) for b in matrices[:i])


WINDOWS = [None, 1, 2, 4]


@settings(max_examples=12)  # each is many calls
@given(seed=st.integers(0, 10_000), chunks=st.lists(st.integers(1, 4), min_size=1, max_size=4), data=st.data())
def test_step_by_step_with_a_cache_equals_the_full_pass(fw, seed, chunks, data):
    """Whatever the steps, and with a window what the sliding window's mask gives."""
    window = data.draw(st.sampled_from(WINDOWS))
    num_heads, num_kv_heads = data.draw(st.sampled_from([(1, 1), (4, 2), (3, 1)]))
    layer = fw.attn.MultiHeadAttention(5, num_heads, num_kv_heads=num_kv_heads, head_dim=2, seed=seed)
    n = sum(chunks)
    x = np.random.default_rng(seed).normal(size=(2, n, 5)).astype(np.float32)
    distance = np.arange(n)[:, None] - np.arange(n)
    sliding = None if window is None else fw.array(distance < window)
    expected = fw.numpy(layer(fw.array(x), causal=True, attention_mask=sliding))
    cache = fw.attn.KVCache(window=window)
    at, steps = 0, []
    for chunk in chunks:
        steps.append(fw.numpy(layer(fw.array(x[:, at : at + chunk]), causal=True, cache=cache)))
        at += chunk
        assert cache.length == at
        assert cache.past == (at if window is None else min(at, window - 1))
    np.testing.assert_allclose(np.concatenate(steps, axis=1), expected, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("window", [None, 2])
def test_a_cache_with_more_leading_axes_than_the_batch(fw, window):
    layer = fw.attn.MultiHeadAttention(6, 4, num_kv_heads=2, head_dim=2, seed=0)
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 6)).astype(np.float32)
    distance = np.arange(5)[:, None] - np.arange(5)
    sliding = None if window is None else fw.array(distance < window)
    expected = fw.numpy(layer(fw.array(x), causal=True, attention_mask=sliding))
    cache = fw.attn.KVCache(window=window)
    parts = np.split(x, [2, 3, 4], axis=-2)  # two at once, then one by one
    steps = [fw.numpy(layer(fw.array(part), causal=True, cache=cache)) for part in parts]
    np.testing.assert_allclose(np.concatenate(steps, axis=-2), expected, **TOLERANCE[np.float32])


def test_what_a_cache_returns_stays_as_it_was(fw):
    """Room for growth may not overwrite what an earlier step still holds."""
    cache = fw.attn.KVCache(window=3)
    x = np.random.default_rng(0).normal(size=(2, 20, 5)).astype(np.float32)
    held = []
    for t in range(20):
        k, v = cache.append(fw.array(x[:, t : t + 1]), fw.array(-x[:, t : t + 1]))
        held.append((k, v, max(0, t - 2), t + 1))
    for k, v, start, end in held:
        np.testing.assert_array_equal(fw.numpy(k), x[:, start:end])
        np.testing.assert_array_equal(fw.numpy(v), -x[:, start:end])


@pytest.mark.parametrize("window", [None, 2])
def test_a_mask_beside_a_cache_is_over_all_keys_that_it_returns(fw, window):
    layer = fw.attn.MultiHeadAttention(6, 2, seed=0)
    x = np.random.default_rng(0).normal(size=(2, 5, 6)).astype(np.float32)
    real = np.arange(5) >= np.array([2, 0])[:, None, None]  # the first row begins with padding
    near = np.arange(5)[:, None] - np.arange(5) < (window or 5)
    expected = fw.numpy(layer(fw.array(x), causal=True, attention_mask=fw.array(real & near)))
    cache = fw.attn.KVCache(window=window)
    for start, end in ((0, 2), (2, 3), (3, 5)):
        mask = fw.array(real[..., start - cache.past : end].copy())
        step = layer(fw.array(x[:, start:end]), attention_mask=mask, causal=True, cache=cache)
        np.testing.assert_allclose(fw.numpy(step), expected[:, start:end], rtol=1e-4, atol=2e-6)


@settings(max_examples=12)
@given(seed=st.integers(0, 10_000), sizes=st.tuples(*[st.integers(1, 5)] * 4))
def test_padding_and_the_order_of_keys_change_nothing(fw, seed, sizes):
    batch, q_len, k_len, padding = sizes
    rng = np.random.default_rng(seed)
    layer = fw.attn.MultiHeadAttention(6, 3, seed=seed)
    query, key = (rng.normal(size=(batch, n, 6)).astype(np.float32) for n in (q_len, k_len))
    expected = fw.numpy(layer(fw.array(query), fw.array(key)))
    longer = np.concatenate([key, 100 * rng.normal(size=(batch, padding, 6)).astype(np.float32)], axis=1)
    order = rng.permutation(k_len + padding)
    mask = np.broadcast_to((order < k_len)[None, None], (batch, 1, k_len + padding)).copy()
    got = layer(fw.array(query), fw.array(longer[:, order].copy()), attention_mask=fw.array(mask))
    np.testing.assert_allclose(fw.numpy(got), expected, rtol=1e-4, atol=2e-6)


def x(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        ((0, 1), {}, "d_model must be an integer of at least 1, got 0"),
        ((6, 2.0), {}, "num_heads must be an integer of at least 1, got 2.0"),
        ((7, 2), {}, "num_heads must divide d_model 7 where head_dim is not given, got 2"),
        ((6, 2), {"num_kv_heads": 0}, "num_kv_heads must be an integer of at least 1, got 0"),
        ((12, 6), {"num_kv_heads": 4}, "num_kv_heads must divide num_heads 6, got 4"),
        ((12, 2), {"num_kv_heads": 4}, "num_kv_heads must divide num_heads 2, got 4"),
        ((6, 2), {"head_dim": -1}, "head_dim must be an integer of at least 1, got -1"),
        ((6, 2), {"impl": "fast"}, "impl must be one of 'explicit'"),
    ],
)
def test_sizes_that_do_not_fit(fw, arguments, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        fw.attn.MultiHeadAttention(*arguments, **options)


@pytest.mark.parametrize(
    "arrays, options, message",
    [
        ([x(2, 3, 5)], {}, "query must be [..., length, 6], as wide as the layer, got shape [2, 3, 5]"),
        ([x(2, 3, 6), x(2, 4, 5)], {}, "key must be [..., length, 6], as wide as the layer, got shape [2, 4, 5]"),
        ([x(2, 3, 6), x(2, 4, 6), x(2, 5, 6)], {}, "key and value must have the same length, got [2, 4, 6] and"),
        ([x(2, 3, 6), x(3, 4, 6)], {}, "the leading axes of query and key and value must broadcast"),
        ([x(3, 6)], {}, "query must be [batch, ..., length, features], got shape [3, 6]"),
        ([x(2, 0, 6)], {}, "query must not be empty, got shape [2, 0, 6]"),
        ([x(2, 3, 6)], {"attention_mask": x(3, 3)}, "attention_mask must be boolean"),
        (
            [x(2, 3, 6), x(2, 4, 6)],
            {"attention_mask": np.ones((4, 3), bool)},
            "attention_mask must broadcast to the scores [2, 3, 4]",
        ),
        (
            [x(2, 3, 6), x(2, 4, 6)],
            {"attention_mask": np.ones((2, 2, 3, 4), bool)},
            "attention_mask must broadcast to the scores [2, 3, 3, 4]",
        ),
        ([x(2, 3, 6)], {"attention_bias": x(2, 3, 3)}, "attention_bias must broadcast to the scores [2, 3, 3, 3]"),
        ([x(2, 3, 6)], {"attention_bias": np.ones((3, 3), bool)}, "attention_bias must be floating point, got bool"),
    ],
)
def test_calls_that_do_not_fit(fw, arrays, options, message):
    layer = fw.attn.MultiHeadAttention(6, 3)
    with pytest.raises(ValueError, match=re.escape(message)):
        layer(*map(fw.array, arrays), **native(fw, options))
    if fw.name == "numpy":  # the gradients by hand ask the same
        query, key, value = [*arrays, *[arrays[-1]] * (3 - len(arrays))]
        with pytest.raises(ValueError, match=re.escape(message)):
            spec.backward.multi_head_attention_vjp(layer, query, key, value, query, **options)


def test_another_precision_than_the_layers(fw):
    if fw.name == "tensorflow":
        pytest.skip("Keras casts what it is given to the layer's own precision")
    with pytest.raises(ValueError, match="query and w_query must have the same dtype, got query float64"):
        fw.attn.MultiHeadAttention(6, 3)(fw.array(x(2, 3, 6, dtype=np.float64)))


@pytest.mark.parametrize(
    "k, v, message",
    [
        (x(2, 4, 5), x(2, 3, 7), "k and v must have the same length"),
        (x(3, 1, 5), x(3, 1, 7), "k must continue the cache [2, ?, 5], got shape [3, 1, 5]"),
        (x(2, 1, 6), x(2, 1, 7), "k must continue the cache [2, ?, 5], got shape [2, 1, 6]"),
        (x(2, 1, 5), x(2, 1, 5), "v must continue the cache [2, ?, 7], got shape [2, 1, 5]"),
        (x(1, 2, 1, 5), x(1, 2, 1, 7), "k must continue the cache [2, ?, 5], got shape [1, 2, 1, 5]"),
        (x(2, 1, 5, dtype=np.float64), x(2, 1, 7, dtype=np.float64), "k must have the cache's dtype float32, got"),
    ],
)
def test_what_does_not_continue_the_cache_leaves_it_alone(fw, k, v, message):
    cache = fw.attn.KVCache()
    cache.append(fw.array(x(2, 3, 5)), fw.array(x(2, 3, 7)))
    with pytest.raises(ValueError, match=re.escape(message)):
        cache.append(fw.array(k), fw.array(v))
    assert cache.length == cache.past == 3


def test_a_call_that_does_not_fit_leaves_the_cache_alone(fw):
    layer, cache = fw.attn.MultiHeadAttention(6, 3), fw.attn.KVCache()
    layer(fw.array(x(2, 3, 6)), cache=cache)
    with pytest.raises(ValueError, match=re.escape("attention_mask must broadcast to the scores [2, 1, 4]")):
        layer(fw.array(x(2, 1, 6)), cache=cache, attention_mask=fw.array(np.ones((1, 3), bool)))
    assert cache.length == 3


def test_a_window_is_a_length(fw):
    with pytest.raises(ValueError, match="window must be an integer of at least 1, got 0"):
        fw.attn.KVCache(window=0)
