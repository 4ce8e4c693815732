"""Multi-head attention with rotary positions: against complex numbers, by gradients, and step by step."""

import re

import numpy as np
import pytest
from cases import TOLERANCE

import attnlib.numpy as spec

FRAMEWORK = "each"
PARAMETERS = [f"{kind}_{of}" for of in ("query", "key", "value", "output") for kind in "wb"]
SIZES = {"d_model": 5, "num_heads": 4, "num_kv_heads": 2, "head_dim": 6}
CASES = {  # pairing, base, positions
    "as they come": ("halves", 10000.0, None),
    "another base, the other pairing": ("interleaved", 100, None),
    "given": ("halves", 10000.0, np.array([4, 1, 7])),
    "of each row": ("interleaved", 50.0, np.array([[0, 0, 1], [5, 3, 2]])),
}


def made(fw, dtype, seed=0, **options):
    keras = {"dtype": np.dtype(dtype).name} if fw.name == "tensorflow" else {}
    layer = fw.attn.MultiHeadAttention(**SIZES, **options, **keras)
    layer = layer.to(getattr(fw.torch, np.dtype(dtype).name)) if fw.name == "torch" else layer
    rng = np.random.default_rng(seed)
    plain = spec.MultiHeadAttention(**SIZES)
    parameters = {n: rng.normal(size=getattr(plain, n).shape).astype(dtype) for n in PARAMETERS}
    fw.set_parameters(layer, parameters)
    return layer, parameters


def turned(x, positions, pairing, base):
    """`[length, head_dim]`: pairs as complex numbers, multiplied by exp(i · angle)."""
    half = x.shape[-1] // 2
    a, b = (x[:, :half], x[:, half:]) if pairing == "halves" else (x[:, 0::2], x[:, 1::2])
    z = (a + 1j * b) * np.exp(1j * positions[:, None] * base ** (-np.arange(half) / half))
    if pairing == "halves":
        return np.concatenate([z.real, z.imag], axis=1)
    return np.stack([z.real, z.imag], axis=-1).reshape(x.shape)


def by_hand(x, p, pairing, base, positions):
    batch, length, _ = x.shape
    positions = np.broadcast_to(np.arange(length) if positions is None else positions, (batch, length))
    output = np.zeros(x.shape) + p["b_output"]
    weights = np.zeros((batch, 4, length, length))
    for b in range(batch):
        for head in range(4):
            mine, shared = slice(6 * head, 6 * head + 6), slice(6 * (head // 2), 6 * (head // 2) + 6)
            q = turned((x[b] @ p["w_query"] + p["b_query"])[:, mine], positions[b], pairing, base)
            k = turned((x[b] @ p["w_key"] + p["b_key"])[:, shared], positions[b], pairing, base)
            v = (x[b] @ p["w_value"] + p["b_value"])[:, shared]
            scores = q @ k.T / np.sqrt(6)
            result, weights[b, head] = spec.attend(scores, v, mask=np.tri(length, dtype=bool), return_weights=True)
            output[b] += result @ p["w_output"][mine]
    return output, weights


@pytest.mark.parametrize("impl", ["explicit", "tiled"])
@pytest.mark.parametrize("case", CASES)
def test_values_and_weights(fw, case, impl):
    pairing, base, positions = CASES[case]
    layer, parameters = made(fw, np.float64, rotary=pairing, rotary_base=base, impl=impl)
    x = np.random.default_rng(1).normal(size=(2, 3, 5))
    expected = by_hand(x, parameters, pairing, base, positions)
    got = layer(fw.array(x), causal=True, positions=fw.array(positions), return_weights=impl == "explicit")
    for g, e in zip(got if impl == "explicit" else [got], expected, strict=False):
        np.testing.assert_allclose(fw.numpy(g), e, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("case", CASES)
def test_gradients(fw, case):
    pairing, base, positions = CASES[case]
    reference = made_spec(pairing, base)
    x, grad_output = np.random.default_rng(1).normal(size=(2, 2, 3, 5))
    call = {"causal": True} if positions is None else {"causal": True, "positions": positions}
    by_argument, by_parameter = spec.backward.multi_head_attention_vjp(reference, x, x, x, grad_output, **call)
    layer, _ = made(fw, np.float64, rotary=pairing, rotary_base=base)
    native = {n: fw.array(v) if n == "positions" else v for n, v in call.items()}
    (got,), got_parameters = fw.layer_gradients(layer, [x], PARAMETERS, grad_output, native)
    close = {"rtol": 2e-5, "atol": 5e-7} if fw.name == "numpy" else {"rtol": 1e-10, "atol": 1e-11}
    np.testing.assert_allclose(got, sum(by_argument), **close)
    for name, g in zip(PARAMETERS, got_parameters, strict=True):
        np.testing.assert_allclose(g, by_parameter[name], **close, err_msg=name)


def made_spec(pairing, base):
    layer = spec.MultiHeadAttention(**SIZES, rotary=pairing, rotary_base=base)
    rng = np.random.default_rng(0)
    for name in PARAMETERS:
        setattr(layer, name, rng.normal(size=getattr(layer, name).shape))
    return layer


@pytest.mark.parametrize("pairing", ["halves", "interleaved"])
def test_weights_depend_on_distances_alone(fw, pairing):
    layer, _ = made(fw, np.float64, rotary=pairing)
    x, positions = fw.array(np.random.default_rng(1).normal(size=(2, 7, 5))), np.array([3, 0, 11, 4, 5, 8, 2])

    def weights(positions):
        return fw.numpy(layer(x, positions=fw.array(positions), return_weights=True)[1])

    np.testing.assert_allclose(weights(positions + 1000), weights(positions), rtol=1e-8, atol=1e-9)
    assert np.abs(weights(2 * positions) - weights(positions)).max() > 0.01


@pytest.mark.parametrize("window", [None, 1, 3])
@pytest.mark.parametrize("chunks", [[1] * 7, [3, 1, 2, 1], [7]])
def test_step_by_step_with_a_cache_equals_the_full_pass(fw, chunks, window):
    """Also where a window has forgotten the first positions, whose number still counts."""
    layer, _ = made(fw, np.float32, rotary="halves")
    x = np.random.default_rng(1).normal(size=(2, 7, 5)).astype(np.float32)
    near = np.arange(7)[:, None] - np.arange(7) < (window or 7)
    expected = fw.numpy(layer(fw.array(x), causal=True, attention_mask=fw.array(near)))
    cache, at, steps = fw.attn.KVCache(window=window), 0, []
    for chunk in chunks:
        steps.append(fw.numpy(layer(fw.array(x[:, at : at + chunk]), causal=True, cache=cache)))
        at += chunk
    np.testing.assert_allclose(np.concatenate(steps, axis=1), expected, rtol=1e-3, atol=1e-5)


def test_rows_that_begin_with_padding_have_positions_of_their_own(fw):
    """What a batch of prompts of different lengths needs: padding in front, positions that begin after it."""
    layer, _ = made(fw, np.float64, rotary="halves")
    x = np.random.default_rng(1).normal(size=(1, 3, 5))
    alone = fw.numpy(layer(fw.array(x), causal=True))
    padded = np.concatenate([100 * np.ones((1, 2, 5)), x], axis=1)
    positions, real = np.array([[0, 0, 0, 1, 2]]), np.arange(5) >= 2
    cache = fw.attn.KVCache()
    steps = [
        layer(
            fw.array(padded[:, start:end]),
            causal=True,
            positions=fw.array(positions[:, start:end]),
            attention_mask=fw.array(real[None, :end]),
            cache=cache,
        )
        for start, end in ((0, 4), (4, 5))
    ]
    got = np.concatenate([fw.numpy(s) for s in steps], axis=1)[:, 2:]
    np.testing.assert_allclose(got, alone, rtol=1e-10, atol=1e-11)


def test_a_layer_without_rotary_knows_no_order(fw):
    layer, _ = made(fw, np.float32)
    x = np.random.default_rng(1).normal(size=(2, 7, 5)).astype(np.float32)
    turned_round = fw.numpy(layer(fw.array(x[:, ::-1].copy())))[:, ::-1]
    np.testing.assert_allclose(turned_round, fw.numpy(layer(fw.array(x))), **{**TOLERANCE[np.float32], "atol": 1e-5})


X = np.zeros((2, 3, 6), np.float32)


@pytest.mark.parametrize(
    "options, arrays, positions, message",
    [
        ({"rotary": "pairs"}, [X], None, "rotary must be one of 'halves', 'interleaved', got 'pairs'"),
        ({"rotary": True}, [X], None, "rotary must be one of 'halves', 'interleaved', got True"),
        ({"rotary": "halves", "head_dim": 3}, [X], None, "head_dim must be even with rotary, got 3"),
        ({"rotary": "halves", "rotary_base": 0}, [X], None, "rotary_base must be a number above 0, got 0"),
        ({"rotary": "halves"}, [X, X], None, "key must be left out with rotary, which turns queries and keys of one"),
        ({}, [X], np.arange(3), "positions must come with a layer that has rotary, got positions without"),
        (
            {"rotary": "halves"},
            [X],
            np.arange(4),
            "positions must broadcast to [2, 3] for query [2, 3, 6], got shape [4]",
        ),
        ({"rotary": "halves"}, [X], np.ones(3, bool), "positions must be numbers, got bool"),
    ],
)
def test_what_does_not_fit(fw, options, arrays, positions, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        fw.attn.MultiHeadAttention(6, 3, **options)(*map(fw.array, arrays), positions=fw.array(positions))
