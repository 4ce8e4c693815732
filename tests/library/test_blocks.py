"""Transformer blocks: written out by hand, gradients against finite differences, and what must hold of a model."""

import math
import re
from operator import attrgetter

import numpy as np
import pytest
from cases import TOLERANCE

import attnlib.numpy as spec

FRAMEWORK = "each"
SIZES = (6, 3, 5)  # d_model, num_heads, d_hidden
NORMS = ["pre", "post"]
OF = ("query", "key", "value", "output")
ATTENTION = [f"{kind}_{n}" for n in OF for kind in "wb"]
NORM, HIDDEN = ["weight", "bias"], ["w_hidden", "b_hidden", "w_output", "b_output"]
PARTS = {"attention": ATTENTION, "attention_norm": NORM, "feed_forward": HIDDEN, "feed_forward_norm": NORM}
CROSS = {"cross_attention": ATTENTION, "cross_attention_norm": NORM}


def names(kind):
    parts = PARTS | (CROSS if kind == "DecoderBlock" else {})
    return [f"{part}.{name}" for part, inside in parts.items() for name in inside]


def made(fw, kind, dtype=np.float64, sizes=SIZES, **options):
    """A block whose parameters are all random: norms and biases begin where a mistake would not show."""
    keras = {"dtype": np.dtype(dtype).name} if fw.name == "tensorflow" else {}
    layer = getattr(fw.attn, kind)(*sizes, **options, **keras)
    layer = layer.to(getattr(fw.torch, np.dtype(dtype).name)) if fw.name == "torch" else layer
    plain = getattr(spec, kind)(*sizes, **options)
    rng = np.random.default_rng(3)
    fw.set_parameters(layer, {n: rng.normal(size=attrgetter(n)(plain).shape).astype(dtype) for n in names(kind)})
    return layer


def arrays(*lengths, dtype=np.float64, d_model=6):
    rng = np.random.default_rng(1)
    return [rng.normal(size=(2, n, d_model)).astype(dtype) for n in lengths]


def native(fw, options):
    return {n: fw.array(x) if isinstance(x, np.ndarray) else x for n, x in options.items()}


def layer_norm(x, norm):
    result = np.zeros(x.shape)
    for at in np.ndindex(x.shape[:-1]):
        mean = sum(x[at]) / len(x[at])
        variance = sum((n - mean) ** 2 for n in x[at]) / len(x[at])
        result[at] = [(n - mean) / math.sqrt(variance + 1e-5) for n in x[at]]
    return result * norm.weight + norm.bias


def feed_forward(x, layer, activation):
    hidden = x @ layer.w_hidden + layer.b_hidden
    for at in np.ndindex(hidden.shape):
        n = hidden[at]
        hidden[at] = max(n, 0.0) if activation == "relu" else n * (1 + math.erf(n / math.sqrt(2))) / 2
    return hidden @ layer.w_output + layer.b_output


def by_hand(block, inputs, norm, activation, call):
    """The residual sums one after another; attention itself is tested elsewhere."""
    x, *memory = inputs
    sublayers = [(block.attention_norm, lambda y: block.attention(y, **call))]
    if memory:
        sublayers.append((block.cross_attention_norm, lambda y: block.cross_attention(y, *memory)))
    sublayers.append((block.feed_forward_norm, lambda y: feed_forward(y, block.feed_forward, activation)))
    for its_norm, sublayer in sublayers:
        x = x + sublayer(layer_norm(x, its_norm)) if norm == "pre" else layer_norm(x + sublayer(x), its_norm)
    return x


CASES = {
    "encoder, pre": ("EncoderBlock", {"norm": "pre"}, {}),
    "encoder, post, relu": ("EncoderBlock", {"norm": "post", "activation": "relu"}, {"causal": True}),
    "encoder, shared heads": ("EncoderBlock", {"num_kv_heads": 1}, {"attention_mask": np.tri(5, dtype=bool).T}),
    "decoder, pre": ("DecoderBlock", {"norm": "pre", "activation": "relu"}, {"causal": True}),
    "decoder, post": ("DecoderBlock", {"norm": "post"}, {"causal": False}),
    "decoder, rotary": ("DecoderBlock", {"rotary": "halves", "rotary_base": 10.0}, {"causal": True}),
}


@pytest.mark.parametrize("impl", ["explicit", "tiled"])
@pytest.mark.parametrize("case", CASES)
def test_values(fw, case, impl, tiled_calls):
    kind, options, call = CASES[case]
    inputs = arrays(5, 7) if kind == "DecoderBlock" else arrays(5)
    layer = made(fw, kind, **options, impl=impl)
    reference = made(SPEC, kind, **options)
    expected = by_hand(reference, inputs, options.get("norm", "pre"), options.get("activation", "gelu"), call)
    got = layer(*map(fw.array, inputs), **native(fw, call))
    np.testing.assert_allclose(fw.numpy(got), expected, rtol=1e-10, atol=1e-11)
    assert len(tiled_calls) == (len(inputs) if impl == "tiled" else 0)  # one for each attention
    single = made(fw, kind, np.float32, **options, impl=impl)(
        *(fw.array(x.astype(np.float32)) for x in inputs), **native(fw, call)
    )
    assert fw.numpy(single).dtype == np.float32
    np.testing.assert_allclose(fw.numpy(single), expected, rtol=1e-3, atol=2e-4)


class Spec:
    """NumPy beside another framework."""

    name, attn = "numpy", spec

    @staticmethod
    def set_parameters(layer, values):
        for name, value in values.items():
            part, name = name.split(".")
            setattr(getattr(layer, part), name, value)


SPEC = Spec()


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_finite_differences(fw, case):
    if fw.name == "numpy":
        pytest.skip("NumPy's blocks have no gradients by hand: the other two are held against its differences")
    kind, options, call = CASES[case]
    sizes = (4, 2, 3) if "num_kv_heads" not in options else (4, 2, 2)
    inputs = [x[:1, :, :4] for x in (arrays(5, 3) if kind == "DecoderBlock" else arrays(5))]
    grad_output = np.random.default_rng(5).normal(size=inputs[0].shape)
    which = names(kind)
    layer, reference = made(fw, kind, sizes=sizes, **options), made(SPEC, kind, sizes=sizes, **options)
    parameters = [attrgetter(n)(reference) for n in which]
    of_inputs, of_parameters = fw.layer_gradients(layer, inputs, which, grad_output, native(fw, call))

    def loss(step):
        """Along one direction for each array: a number for each, not one for each entry."""
        moved = [a + step.get(i, 0) for i, a in enumerate([*inputs, *parameters])]
        SPEC.set_parameters(reference, dict(zip(which, moved[len(inputs) :], strict=True)))
        return float((reference(*moved[: len(inputs)], **call) * grad_output).sum())

    for i, gradient in enumerate([*of_inputs, *of_parameters]):
        direction = np.random.default_rng(i).normal(size=gradient.shape)
        slope = (loss({i: 1e-6 * direction}) - loss({i: -1e-6 * direction})) / 2e-6
        name = ["x", "memory"][: len(inputs)] + which
        np.testing.assert_allclose((gradient * direction).sum(), slope, rtol=1e-5, atol=1e-6, err_msg=name[i])


@pytest.mark.parametrize("norm", NORMS)
def test_weights_are_those_of_the_attentions(fw, norm):
    x, memory = map(fw.array, arrays(5, 7))
    output, weights = made(fw, "EncoderBlock", norm=norm)(x, return_weights=True)
    assert weights.shape == (2, 3, 5, 5) and output.shape == (2, 5, 6)
    block = made(fw, "DecoderBlock", norm=norm)
    seen = np.arange(7) < 4
    output, (own, cross) = block(x, memory, cross_attention_mask=fw.array(seen[None]), return_weights=True)
    assert own.shape == (2, 3, 5, 5) and cross.shape == (2, 3, 5, 7)
    assert not fw.numpy(own)[..., np.triu_indices(5, 1)[0], np.triu_indices(5, 1)[1]].any()
    assert not fw.numpy(cross)[..., 4:].any() and np.allclose(fw.numpy(cross).sum(-1), 1)


@pytest.mark.parametrize("norm", NORMS)
def test_the_future_changes_nothing_and_padding_neither(fw, norm):
    x, memory = arrays(5, 7)
    later = x.copy()
    later[:, 3:] = 9.0
    for block, rest in (
        (made(fw, "EncoderBlock", norm=norm), []),
        (made(fw, "DecoderBlock", norm=norm), [fw.array(memory)]),
    ):
        one, two = (fw.numpy(block(fw.array(a), *rest, causal=True)) for a in (x, later))
        np.testing.assert_array_equal(one[:, :3], two[:, :3])
        assert np.abs(one[:, 3:] - two[:, 3:]).max() > 0.1
        real = {"attention_mask": fw.array(np.arange(5) < 3)}
        np.testing.assert_allclose(
            fw.numpy(block(fw.array(later), *rest, **real, causal=True))[:, :3],
            fw.numpy(block(fw.array(x[:, :3].copy()), *rest, causal=True)),
            rtol=1e-10,
        )
    longer = np.concatenate([memory, 9 * np.ones((2, 2, 6))], axis=1)
    got = block(fw.array(x), fw.array(longer), cross_attention_mask=fw.array(np.arange(9)[None] < 7))
    np.testing.assert_allclose(fw.numpy(got), fw.numpy(block(fw.array(x), fw.array(memory))), rtol=1e-10)


@pytest.mark.parametrize("rotary", [None, "interleaved"])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", ["EncoderBlock", "DecoderBlock"])
def test_step_by_step_with_a_cache_equals_all_at_once(fw, kind, norm, rotary):
    block = made(fw, kind, norm=norm, rotary=rotary)
    x, *rest = arrays(7, 5) if kind == "DecoderBlock" else arrays(7)
    rest = [fw.array(m) for m in rest]
    expected = fw.numpy(block(fw.array(x), *rest, causal=True))
    cache = fw.attn.KVCache()
    steps = [block(fw.array(x[:, a:b]), *rest, causal=True, cache=cache) for a, b in ((0, 3), (3, 4), (4, 7))]
    np.testing.assert_allclose(np.concatenate([fw.numpy(s) for s in steps], 1), expected, rtol=1e-9, atol=1e-11)
    if rotary:
        positions = fw.array(np.arange(7) + 100)
        shifted = block(fw.array(x), *rest, causal=True, positions=positions)
        np.testing.assert_allclose(fw.numpy(shifted), expected, rtol=1e-8, atol=1e-9)


def test_a_seed_fixes_all_layers_inside_and_no_two_are_alike(fw):
    x, memory = (fw.array(a) for a in arrays(5, 7, dtype=np.float32))

    def made_and_called(seed):
        block = fw.attn.DecoderBlock(6, 2, 6, seed=seed)
        output = fw.numpy(block(x, memory))
        return output, [fw.numpy(attrgetter(n)(block)) for n in names("DecoderBlock") if ".w_" in n]

    output, matrices = made_and_called(1)
    np.testing.assert_array_equal(output, made_and_called(1)[0])
    assert not np.allclose(output, made_and_called(2)[0])
    assert len(matrices) == 10 and all(not np.allclose(a, b) for i, a in enumerate(matrices) for b in matrices[:i])


def test_heads_of_keys_and_values_are_shared_in_both_attentions(fw):
    block = made(fw, "DecoderBlock", num_kv_heads=1)
    for attention in (block.attention, block.cross_attention):
        assert tuple(attention.w_query.shape) == (6, 6)
        assert tuple(attention.w_key.shape) == tuple(attention.w_value.shape) == (6, 2)


def test_an_attention_bias_reaches_self_attention(fw):
    (x,) = arrays(5)
    block, reference = made(fw, "EncoderBlock"), made(SPEC, "EncoderBlock")
    bias = np.random.default_rng(2).normal(size=(3, 5, 5))
    expected = by_hand(reference, [x], "pre", "gelu", {"attention_bias": bias})
    np.testing.assert_allclose(fw.numpy(block(fw.array(x), attention_bias=fw.array(bias))), expected, rtol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_feed_forward_by_itself(fw, activation, dtype):
    keras = {"dtype": np.dtype(dtype).name} if fw.name == "tensorflow" else {}
    layer = fw.attn.FeedForward(5, 7, activation=activation, **keras)
    layer = layer.to(getattr(fw.torch, np.dtype(dtype).name)) if fw.name == "torch" else layer
    reference, rng = spec.FeedForward(5, 7), np.random.default_rng(0)
    for name in HIDDEN:
        setattr(reference, name, rng.normal(size=getattr(reference, name).shape).astype(dtype))
    fw.set_parameters(layer, {name: getattr(reference, name) for name in HIDDEN})
    x = 3 * rng.normal(size=(2, 3, 11, 5)).astype(dtype)
    got = fw.numpy(layer(fw.array(x)))
    assert got.dtype == dtype
    expected = feed_forward(x.astype(np.float64), reference, activation)
    np.testing.assert_allclose(got, expected, rtol=TOLERANCE[dtype]["rtol"], atol=50 * TOLERANCE[dtype]["atol"])


X = np.zeros((2, 3, 6), np.float32)
MEMORY = np.zeros((2, 4, 6), np.float32)


@pytest.mark.parametrize(
    "kind, arguments, options, inputs, call, message",
    [
        ("FeedForward", (0, 5), {}, [X], {}, "d_model must be an integer of at least 1, got 0"),
        ("FeedForward", (6, 2.5), {}, [X], {}, "d_hidden must be an integer of at least 1, got 2.5"),
        (
            "FeedForward",
            (6, 5),
            {"activation": "tanh"},
            [X],
            {},
            "activation must be one of 'gelu', 'relu', got 'tanh'",
        ),
        (
            "FeedForward",
            (5, 7),
            {},
            [X],
            {},
            "x must be [..., 5], as wide as the layer and not empty, got shape [2, 3, 6]",
        ),
        ("FeedForward", (6, 5), {}, [np.zeros((2, 6), np.int64)], {}, "x must be floating point, got int64"),
        ("EncoderBlock", (6, 4, 5), {}, [X], {}, "num_heads must divide d_model 6"),
        ("EncoderBlock", SIZES, {"norm": "none"}, [X], {}, "norm must be one of 'pre', 'post', got 'none'"),
        ("EncoderBlock", (6, 2, 5), {"rotary": "halves"}, [X], {}, "head_dim must be even with rotary, got 3"),
        ("EncoderBlock", SIZES, {}, [X[0]], {}, "x must be [batch, ..., length, features], got shape [3, 6]"),
        ("EncoderBlock", SIZES, {}, [X[..., :5]], {}, "x must be [..., length, 6], as wide as the layer"),
        ("EncoderBlock", SIZES, {}, [X], {"attention_mask": np.ones((3, 4), bool)}, "attention_mask must broadcast to"),
        (
            "EncoderBlock",
            SIZES,
            {"impl": "tiled"},
            [X],
            {"return_weights": True},
            'return_weights needs impl="explicit"',
        ),
        (
            "EncoderBlock",
            SIZES,
            {},
            [X],
            {"positions": np.arange(3)},
            "positions must come with a layer that has rotary",
        ),
        ("DecoderBlock", SIZES, {}, [X, MEMORY[:, :0]], {}, "memory must not be empty, got shape [2, 0, 6]"),
        ("DecoderBlock", SIZES, {}, [X, MEMORY[..., :4]], {}, "memory must be [..., length, 6], as wide as the layer"),
        (
            "DecoderBlock",
            SIZES,
            {},
            [X[:1].repeat(3, 0), MEMORY],
            {},
            "the leading axes of x and memory must broadcast",
        ),
        (
            "DecoderBlock",
            SIZES,
            {},
            [X, MEMORY],
            {"cross_attention_mask": np.ones((3, 3), bool)},
            "cross_attention_mask must broadcast to the scores [2, 3, 4], got shape [3, 3]",
        ),
    ],
)
def test_what_does_not_fit(fw, kind, arguments, options, inputs, call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        getattr(fw.attn, kind)(*arguments, **options)(*map(fw.array, inputs), **native(fw, call))


def test_another_precision_than_the_layers(fw):
    if fw.name == "tensorflow":
        pytest.skip("Keras casts what it is given to the layer's own precision")
    with pytest.raises(ValueError, match="x and w_query must have the same dtype, got x float64, w_query float32"):
        fw.attn.EncoderBlock(*SIZES)(fw.array(X.astype(np.float64)))
    with pytest.raises(ValueError, match="x and w_hidden must have the same dtype, got x float64, w_hidden float32"):
        fw.attn.FeedForward(6, 5)(fw.array(X.astype(np.float64)))


def test_a_call_that_does_not_fit_leaves_the_cache_alone(fw):
    cache = fw.attn.KVCache()
    wrong = fw.array(np.ones((3, 3), bool))
    with pytest.raises(ValueError, match="cross_attention_mask must broadcast"):
        fw.attn.DecoderBlock(*SIZES)(fw.array(X), fw.array(MEMORY), cross_attention_mask=wrong, cache=cache)
    assert cache.length == 0
