"""TensorFlow, in graph mode: our multi-head layer, explicit and tiled, against `keras.layers.MultiHeadAttention`."""

import functools

import keras
import tensorflow as tf

import attnlib.tensorflow as attn
from scripts.bench.inputs import D_MODEL, HEADS, WIDTH, states
from scripts.bench.tensorflow_attention import call


def contestants(length, backward):
    x, grad = map(tf.constant, states(length))
    own = keras.layers.MultiHeadAttention(HEADS, WIDTH)
    own.build((None, None, D_MODEL), (None, None, D_MODEL))
    layers = {impl: attn.MultiHeadAttention.from_keras(own, impl=impl) for impl in ("explicit", "tiled")}

    def theirs(x, causal):
        return own(x, x, use_causal_mask=causal)

    calls = {}
    for causal in (False, True):
        calls["keras", causal] = call(
            functools.partial(theirs, causal=causal), [x], own.trainable_variables, grad, backward
        )
        for impl, layer in layers.items():
            calls[impl, causal] = call(
                functools.partial(layer, causal=causal), [x], layer.trainable_variables, grad, backward
            )
    return calls
