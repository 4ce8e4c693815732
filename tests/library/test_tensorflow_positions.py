"""Positions as citizens of Keras: graphs of unknown length, XLA, masks, mixed precision, fit, saving."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import attnlib.numpy as spec
import attnlib.tensorflow as attn

FRAMEWORK = "tensorflow"
RNG = np.random.default_rng(0)
CLOSE = {"rtol": 2e-5, "atol": 2e-6}


def every_kind(x):
    n = tf.shape(x)[-2]
    return (
        attn.sinusoidal_positions(n, 6),
        attn.relative_position_buckets(n, 2 * n, num_buckets=6, max_distance=7),
        attn.alibi_bias(3, n, n + 1),
        attn.rotary(x, tf.range(n)),
        attn.rotary(x, tf.range(n), pairing="interleaved"),
    )


@pytest.mark.parametrize("jit", [False, True])
def test_in_a_graph_of_unknown_sizes(jit):
    x = RNG.normal(size=(2, 7, 6)).astype("float32")
    expected = (
        spec.sinusoidal_positions(7, 6),
        spec.relative_position_buckets(7, 14, num_buckets=6, max_distance=7),
        spec.alibi_bias(3, 7, 8),
        spec.rotary(x, np.arange(7)),
        spec.rotary(x, np.arange(7), pairing="interleaved"),
    )
    # XLA makes a program for each length that it meets; a graph is one for all.
    signature = None if jit else [tf.TensorSpec([None, None, None], tf.float32)]
    graph = tf.function(every_kind, input_signature=signature, jit_compile=jit)
    for got, e in zip(graph(tf.constant(x)), expected, strict=True):
        np.testing.assert_allclose(got, e, **CLOSE)


def model(dtype=None):
    """Characters, 0 for padding, to one number, by attention with learned and relative positions."""
    ids = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(20, 8, mask_zero=True, dtype=dtype)(ids)
    x = attn.LearnedPositions(11, 8, seed=1, dtype=dtype)(x)
    x = attn.DotProductAttention(dtype=dtype)(x) + x
    bias = attn.RelativePositionBias(8, num_buckets=6, max_distance=7, seed=2, dtype=dtype)(x)  # [8, n, n]
    x = keras.layers.GlobalAveragePooling1D(dtype=dtype)(x) + keras.ops.mean(bias * bias, axis=(1, 2))
    return keras.Model(ids, keras.layers.Dense(1, dtype=dtype)(x))


def test_fit_with_unknown_batch_and_length_then_saved_and_loaded(tmp_path):
    m = model()
    m.compile("adam", "mse")
    m.optimizer.build(m.trainable_variables)  # here, not in the graph, which would be built twice
    ids, y = RNG.integers(0, 20, (16, 7)), RNG.normal(size=(16, 1))
    before = [w.numpy() for w in m.trainable_weights]
    m.fit(ids, y, epochs=3, verbose=0)
    for old, new in zip(before, m.trainable_weights, strict=True):
        assert not np.array_equal(old, new.numpy()), new.path
    m.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(ids[:3, :5]), m(ids[:3, :5]))
    for layer, other in zip(m.layers, loaded.layers, strict=True):
        assert layer.get_config() == other.get_config()


def test_masks_pass_through_learned_positions_and_end_at_the_relative_bias():
    x = keras.layers.Embedding(20, 8, mask_zero=True)(np.array([[3, 4, 0], [5, 0, 0]]))
    np.testing.assert_array_equal(attn.LearnedPositions(3, 8)(x)._keras_mask, x._keras_mask)
    for bias in (attn.RelativePositionBias(2)(x), attn.RelativePositionBias(2)(x, x)):
        assert getattr(bias, "_keras_mask", None) is None


def test_mixed_precision():
    x = RNG.normal(size=(2, 7, 8)).astype("float32")
    for name, arguments in (("LearnedPositions", (7, 8)), ("RelativePositionBias", (3,))):
        half, full = (getattr(attn, name)(*arguments, seed=3, dtype=d)(x) for d in ("mixed_float16", "float32"))
        assert half.dtype == tf.float16
        np.testing.assert_allclose(half, full, atol=2e-3)


def test_too_long_a_sequence_is_seen_when_the_graph_runs():
    layer = attn.LearnedPositions(7, 5)
    layer.build(None)
    signature = [tf.TensorSpec([None, None, 5], tf.float32), tf.TensorSpec([], tf.int32)]
    graph = tf.function(lambda x, start: layer(x, start=start), input_signature=signature)
    x = tf.zeros((2, 3, 5))
    np.testing.assert_array_equal(graph(x, 4)[0], layer.weight[4:7])
    with pytest.raises(tf.errors.InvalidArgumentError, match="x must end within max_len"):
        graph(x, 5)
    with pytest.raises(tf.errors.InvalidArgumentError, match="x must end within max_len"):
        graph(tf.zeros((2, 1, 5)), 7)
