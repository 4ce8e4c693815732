"""Values, weights and gradients of every function, in the framework under test against the NumPy specification.

With NumPy under test the specification is held against loops that do the sums in Python, and the hand-derived
gradients against finite differences.
"""

import math

import numpy as np
import pytest
from cases import CASES, TOLERANCE

import attnlib.numpy as spec

FRAMEWORK = "each"
DTYPES = [np.float32, np.float64]


def by_loops(q, k, v, mask=None, bias=None, causal=False, scale=None):
    """Attention for one query and one key at a time, in Python's own numbers."""
    lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    q_len, k_len, d_v = q.shape[-2], k.shape[-2], v.shape[-1]
    q, k, v = (np.broadcast_to(x, lead + x.shape[-2:]) for x in (q, k, v))
    mask = np.broadcast_to(True if mask is None else mask, (*lead, q_len, k_len))
    bias = np.broadcast_to(0.0 if bias is None else bias, (*lead, q_len, k_len))
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    output, weights = np.zeros((*lead, q_len, d_v)), np.zeros((*lead, q_len, k_len))
    for at in np.ndindex(*lead, q_len):
        b, i = at[:-1], at[-1]
        seen = [j for j in range(k_len) if mask[b][i, j] and (not causal or j <= i + k_len - q_len)]
        s = {
            j: scale * sum(float(x) * float(y) for x, y in zip(q[b][i], k[b][j], strict=True)) + bias[b][i, j]
            for j in seen
        }
        total = sum(math.exp(x) for x in s.values())
        for j in seen:
            weights[b][i, j] = math.exp(s[j]) / total
            output[b][i] += weights[b][i, j] * v[b][j]
    return output, weights


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_values_and_weights(fw, case, dtype):
    q, k, v, options = case.arrays(dtype)
    if fw.name == "numpy":
        output, weights = by_loops(q, k, v, **options)
    else:
        output, weights = spec.scaled_dot_product_attention(q, k, v, **options, return_weights=True)
    native = {n: fw.array(x) if isinstance(x, np.ndarray) else x for n, x in options.items()}
    qkv = [fw.array(x) for x in (q, k, v)]
    got, got_weights = fw.attn.scaled_dot_product_attention(*qkv, **native, return_weights=True)
    alone = fw.attn.scaled_dot_product_attention(*qkv, **native)
    assert fw.numpy(got).dtype == fw.numpy(got_weights).dtype == dtype
    np.testing.assert_allclose(fw.numpy(got), output, **TOLERANCE[dtype])
    np.testing.assert_allclose(fw.numpy(got_weights), weights[..., :, :], **TOLERANCE[dtype])
    np.testing.assert_array_equal(fw.numpy(alone), fw.numpy(got))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_gradients(fw, case, dtype):
    q, k, v, options = case.arrays(dtype)
    shape = spec.scaled_dot_product_attention(q, k, v, **options).shape
    grad_output = np.random.default_rng(5).normal(size=shape).astype(dtype)
    native = {n: fw.array(x) if isinstance(x, np.ndarray) else x for n, x in options.items()}
    if fw.name == "numpy":  # finite differences need float64 throughout
        native = {n: x.astype(np.float64) if n == "bias" else x for n, x in options.items()}

    def function(q, k, v):
        return fw.attn.scaled_dot_product_attention(q, k, v, **native)

    got = fw.gradients(function, [q, k, v], grad_output)
    expected = spec.backward.scaled_dot_product_attention_vjp(q, k, v, grad_output, **options)
    for name, g, e in zip("qkv", got, expected, strict=True):
        assert e.shape == g.shape and e.dtype == dtype
        np.testing.assert_allclose(g, e, **tolerance(fw, dtype), err_msg=f"gradient of {name}")


def tolerance(fw, dtype):
    """Central differences with steps of 1e-6 are good to about nine digits, in float64."""
    return {"rtol": 2e-5, "atol": 5e-6} if fw.name == "numpy" or dtype == np.float32 else TOLERANCE[dtype]


SCORES = {
    "dot_scores": ((2, 3, 5), (2, 7, 5)),
    "scaled_dot_scores": ((2, 3, 5), (2, 7, 5)),
    "general_scores": ((2, 3, 5), (7, 11), (5, 11)),
    "additive_scores": ((3, 5), (2, 7, 11), (5, 13), (11, 13), (13,)),
}


def scores_by_loops(name, q, k, *parameters):
    score = {
        "dot_scores": lambda q, k: sum(a * b for a, b in zip(q, k, strict=True)),
        "scaled_dot_scores": lambda q, k: sum(a * b for a, b in zip(q, k, strict=True)) / math.sqrt(len(q)),
        "general_scores": lambda q, k, W: sum(q[i] * W[i, j] * k[j] for i in range(len(q)) for j in range(len(k))),
        "additive_scores": lambda q, k, Wq, Wk, v: sum(
            v[h] * math.tanh(sum(q * Wq[:, h]) + sum(k * Wk[:, h])) for h in range(len(v))
        ),
    }[name]
    lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2])
    q, k = (np.broadcast_to(x, lead + x.shape[-2:]).astype(np.float64) for x in (q, k))
    scores = np.zeros((*lead, q.shape[-2], k.shape[-2]))
    for at in np.ndindex(scores.shape):
        scores[at] = score(q[at[:-2]][at[-2]], k[at[:-2]][at[-1]], *parameters)
    return scores


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SCORES)
def test_scores(fw, name, dtype):
    rng = np.random.default_rng(3)
    inputs = [rng.normal(size=shape).astype(dtype) for shape in SCORES[name]]
    expected = scores_by_loops(name, *inputs)
    got = fw.numpy(getattr(fw.attn, name)(*map(fw.array, inputs)))
    assert got.dtype == dtype
    np.testing.assert_allclose(got, expected, **TOLERANCE[dtype])

    grad_scores = rng.normal(size=expected.shape).astype(dtype)
    if name in ("dot_scores", "scaled_dot_scores"):
        scale = 1.0 if name == "dot_scores" else inputs[0].shape[-1] ** -0.5
        gradients = spec.backward.dot_scores_vjp(*inputs, grad_scores, scale=scale)
    else:
        gradients = getattr(spec.backward, f"{name}_vjp")(*inputs, grad_scores)
    for g, e in zip(fw.gradients(getattr(fw.attn, name), inputs, grad_scores), gradients, strict=True):
        assert e.shape == g.shape and e.dtype == dtype
        np.testing.assert_allclose(g, e, **tolerance(fw, dtype))


LAYERS = {
    "DotProductAttention": {"arguments": (), "d": (5, 5), "parameters": {}},
    "GeneralAttention": {"arguments": (5, 7), "d": (5, 7), "parameters": {"weight": (5, 7)}},
    "AdditiveAttention": {
        "arguments": (5, 7, 13),
        "d": (5, 7),
        "parameters": {"w_query": (5, 13), "w_key": (7, 13), "v_score": (13,)},
    },
}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_the_functions_with_their_parameters(fw, name, causal):
    rng = np.random.default_rng(11)
    arguments, (d_query, d_key), shapes = LAYERS[name].values()
    query, key, value = (rng.normal(size=s).astype(np.float32) for s in ((2, 3, d_query), (2, 11, d_key), (2, 11, 17)))
    mask = np.arange(11) < np.array([4, 11])[:, None, None]
    parameters = {n: rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}
    score = {"D": spec.scaled_dot_scores, "G": spec.general_scores, "A": spec.additive_scores}[name[0]]
    allowed = mask & np.tri(3, 11, 8, dtype=bool) if causal else mask
    expected, expected_weights = spec.attend(
        score(query, key, *parameters.values()), value, mask=allowed, return_weights=True
    )
    layer = getattr(fw.attn, name)(*arguments, seed=1) if arguments else getattr(fw.attn, name)()
    fw.set_parameters(layer, parameters)
    output, weights = layer(
        *map(fw.array, (query, key, value)),
        attention_mask=fw.array(mask),
        causal=causal,
        return_weights=True,
    )
    np.testing.assert_allclose(fw.numpy(output), expected, **TOLERANCE[np.float32])
    np.testing.assert_allclose(fw.numpy(weights), expected_weights, **TOLERANCE[np.float32])


@pytest.mark.parametrize("name", LAYERS)
def test_layers_default_to_self_attention(fw, name):
    arguments = {"D": (), "G": (5, 5), "A": (5, 5, 7)}[name[0]]
    layer = getattr(fw.attn, name)(*arguments)
    x = fw.array(np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32))
    np.testing.assert_array_equal(fw.numpy(layer(x)), fw.numpy(layer(x, x, x)))


@pytest.mark.parametrize("name, arguments", [("GeneralAttention", (5, 7)), ("AdditiveAttention", (5, 7, 11))])
def test_a_seed_fixes_the_initial_parameters(fw, name, arguments):
    x, y = (np.random.default_rng(0).normal(size=(2, 3, d)).astype(np.float32) for d in (5, 7))

    def output(seed):
        return fw.numpy(getattr(fw.attn, name)(*arguments, seed=seed)(fw.array(x), fw.array(y)))

    np.testing.assert_array_equal(output(1), output(1))
    assert not np.allclose(output(1), output(2))


def test_a_scale_given_to_the_layer_is_used(fw):
    q, k = (np.random.default_rng(0).normal(size=(2, n, 5)).astype(np.float32) for n in (3, 7))
    got = fw.attn.DotProductAttention(scale=1.0)(fw.array(q), fw.array(k))
    np.testing.assert_allclose(fw.numpy(got), spec.attend(q @ k.swapaxes(-1, -2), k), **TOLERANCE[np.float32])
