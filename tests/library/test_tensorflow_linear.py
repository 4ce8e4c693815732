"""Linear attention in graphs of unknown sizes and under XLA, with gradients."""

import numpy as np
import pytest
import tensorflow as tf

import attnlib.numpy as spec
import attnlib.tensorflow as attn

FRAMEWORK = "tensorflow"
CLOSE = {"rtol": 2e-5, "atol": 2e-6}


def qkv(q_len, k_len):
    rng = np.random.default_rng(0)
    return [rng.normal(size=s).astype("float32") for s in ((2, q_len, 5), (2, k_len, 5), (2, k_len, 3))]


def with_gradients(function):
    def run(*tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            output = function(*tensors)
        return (output, *tape.gradient(output, tensors))

    return run


FORMS = {
    "all keys": lambda q, k, v: attn.linear_attention(q, k, v),
    "causal": lambda q, k, v: attn.linear_attention(q, k, v, causal=True),
    "recurrent": lambda q, k, v: attn.recurrent_linear_attention(q, k, v)[0],
}


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_in_a_graph(form, jit):
    """A graph serves all sizes; XLA makes a program for each that it meets."""
    signature = None if jit else [tf.TensorSpec([None] * 3, tf.float32)] * 3
    graph = tf.function(with_gradients(FORMS[form]), input_signature=signature, jit_compile=jit)
    for q_len, k_len in ((4, 4),) if form == "recurrent" or jit else ((4, 4), (3, 5), (5, 3)):
        arrays = qkv(q_len, k_len)
        got = graph(*map(tf.constant, arrays))
        np.testing.assert_allclose(got[0], spec.linear_attention(*arrays, causal=form != "all keys"), **CLOSE)
        eager = with_gradients(FORMS[form])(*map(tf.constant, arrays))
        for one, two in zip(got, eager, strict=True):
            np.testing.assert_allclose(one, two, rtol=2e-5, atol=1e-5)


def test_a_state_goes_from_call_to_call_in_a_graph():
    q, k, v = qkv(6, 6)
    floats = [tf.TensorSpec([None, None, d], tf.float32) for d in (5, 5, 3)]
    states = [tf.TensorSpec([None, 5, 3], tf.float32), tf.TensorSpec([None, 5], tf.float32)]
    graph = tf.function(
        lambda q, k, v, s, z: attn.recurrent_linear_attention(q, k, v, (s, z)), input_signature=[*floats, *states]
    )
    state, outputs = (tf.zeros((2, 5, 3)), tf.zeros((2, 5))), []
    for start, end in ((0, 1), (1, 2), (2, 6)):
        output, state = graph(q[:, start:end], k[:, start:end], v[:, start:end], *state)
        outputs.append(output)
    np.testing.assert_allclose(tf.concat(outputs, 1), spec.linear_attention(q, k, v, causal=True), **CLOSE)
