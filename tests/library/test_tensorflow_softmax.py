"""The softmax with a gradient of its own is still as good as one made of TensorFlow's operations."""

import numpy as np
import pytest
import tensorflow as tf

import attnlib.tensorflow as attn

FRAMEWORK = "tensorflow"
RNG = np.random.default_rng(0)
SCORES = tf.constant(RNG.normal(size=(2, 3, 5)))
MASK = RNG.random((2, 3, 5)) < 0.7
MASK[0, 1] = False


@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("in_graph", [False, True])
def test_first_and_second_derivatives(axis, in_graph):
    def weights(scores):
        return attn.masked_softmax(scores, MASK, axis=axis)

    def gradient(scores):
        with tf.GradientTape() as tape:
            tape.watch(scores)
            loss = tf.reduce_sum(weights(scores) ** 3)
        return tape.gradient(loss, scores)

    for function in (weights, gradient):
        exact, numeric = tf.test.compute_gradient(tf.function(function) if in_graph else function, [SCORES], delta=1e-4)
        np.testing.assert_allclose(exact[0], numeric[0], rtol=1e-6, atol=1e-7)
        assert abs(exact[0]).max() > 0.01
