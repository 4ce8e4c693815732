"""The monitors of PyTorch and TensorFlow hand `attnlib.measures` the numbers that the NumPy layers compute."""

import importlib

import numpy as np
import pytest

import attnlib.numpy as spec
from attnlib import measures

FRAMEWORK = "each"
RNG = np.random.default_rng(0)
D_MODEL, HEADS, LENGTH = 12, 3, 5


def monitor_of(fw):
    if fw.name == "numpy":
        pytest.skip("NumPy's layers are not trained")
    return importlib.import_module(f"attnlib.{fw.name}.monitor")


def look(fw, layer, *inputs, allowed=None, **options):
    """What the monitor says of a single layer that is called once."""
    monitor = monitor_of(fw)
    inputs = [fw.array(x) for x in inputs]
    options = {name: fw.array(x) if isinstance(x, np.ndarray) else x for name, x in options.items()}
    if fw.name == "torch":
        with monitor.Monitor(layer, allowed=fw.array(allowed)) as seen:
            layer(*inputs, **options)
    else:
        seen = monitor.Monitor(None, allowed=allowed)

        class Model:  # what Keras hands a callback, as far as it is asked
            _flatten_layers = layer._flatten_layers

            def __call__(self, inputs, training):
                return layer(*inputs, **options)

        seen.inputs = inputs
        seen.set_model(Model())
        seen.look()
    ((_, found),) = seen.layers.items()
    return found


def pair(fw, **options):
    """A layer and its NumPy counterpart, with the same parameters."""
    reference = spec.MultiHeadAttention(D_MODEL, HEADS, seed=1, **options)
    names = [f"{kind}_{part}" for kind in "wb" for part in ("query", "key", "value", "output")]
    layer = fw.attn.MultiHeadAttention(D_MODEL, HEADS, **options)
    values = {name: np.float32(3 * RNG.normal(size=getattr(reference, name).shape) / 4) for name in names}
    fw.set_parameters(layer, values)
    for name, value in values.items():
        setattr(reference, name, value.astype(np.float64))
    return layer, reference


def expected(reference, x, key=None, *, mask=None, bias=0.0, real=None, allowed=None):
    q, k, _ = reference.project(x, x if key is None else key, x if key is None else key, np.arange(x.shape[-2]))
    k = np.repeat(k, reference.num_heads // reference.num_kv_heads, axis=-3)
    scores = spec.scaled_dot_scores(q, k) + bias
    return measures.summary(scores, mask=mask, real=real, tokens=x, allowed=allowed)


def assert_same(found, wanted):
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


def tokens(*shape):
    return RNG.normal(size=(*shape, D_MODEL)).astype(np.float32)


@pytest.mark.parametrize("options", [{}, {"num_kv_heads": 1}, {"rotary": "halves"}, {"impl": "tiled"}])
def test_the_numbers_are_those_of_the_specification(fw, options):
    monitor_of(fw)
    layer, reference = pair(fw, **options)
    x = tokens(2, LENGTH)
    assert_same(look(fw, layer, x), expected(reference, x))
    assert_same(look(fw, layer, x, causal=True), expected(reference, x, mask=spec.causal_mask(LENGTH)))


def test_cross_attention_with_a_bias_and_a_mask(fw):
    monitor_of(fw)
    layer, reference = pair(fw)
    x, memory = tokens(2, LENGTH), tokens(2, 7)
    mask = RNG.random((2, LENGTH, 7)) < 0.7
    mask[:, :, 6] = False  # a key that nobody sees is no query here
    bias = RNG.normal(size=(HEADS, LENGTH, 7)).astype(np.float32)
    found = look(fw, layer, x, memory, attention_mask=mask, attention_bias=bias)
    assert_same(found, expected(reference, x, memory, mask=mask[:, None], bias=bias))


def test_padding_is_no_query_of_self_attention(fw):
    monitor_of(fw)
    layer, reference = pair(fw)
    x = tokens(2, LENGTH)
    real = np.arange(LENGTH) < np.array([[LENGTH], [3]])
    wanted = expected(reference, x, mask=real[:, None, None], real=real)
    found = look(fw, layer, x, attention_mask=real[:, None])
    assert_same(found, wanted)
    moved = np.where(real[..., None], x, 9.0).astype(np.float32)
    assert_same(look(fw, layer, moved, attention_mask=real[:, None]), wanted)


def test_what_lies_outside_is_told_by_a_mask_that_the_layer_does_not_have(fw):
    monitor_of(fw)
    layer, reference = pair(fw)
    x = tokens(2, LENGTH)
    allowed = np.broadcast_to(spec.causal_mask(LENGTH), (2, LENGTH, LENGTH)).copy()
    found = look(fw, layer, x, allowed=allowed)
    assert found["outside"] > 0.1
    assert_same(found, expected(reference, x, allowed=allowed[:, None]))
    assert look(fw, layer, x, allowed=allowed, causal=True)["outside"] == 0
