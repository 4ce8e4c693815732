"""Keras's monitor: in the history, in a log on disk, the same training with it and without, and nothing left behind."""

import csv

import keras
import numpy as np
import pytest
import tensorflow as tf

import attnlib.tensorflow as attn
from attnlib.tensorflow.monitor import Monitor, attention_layers, gradient_norms

FRAMEWORK = "tensorflow"
RNG = np.random.default_rng(0)
X = RNG.integers(1, 11, (16, 6))
X[3, 4:] = X[7, 2:] = 0
Y = RNG.integers(0, 11, (16, 6))
EPOCHS = 2


@keras.saving.register_keras_serializable(package="test")
class Speller(keras.Model):
    def __init__(self, dropout=0.0):
        super().__init__()
        self.embed = keras.layers.Embedding(11, 12, mask_zero=True, embeddings_initializer=_uniform(0))
        self.one, self.two = (attn.EncoderBlock(12, 3, 20, seed=i, dropout=dropout) for i in (1, 2))
        self.guess = keras.layers.Dense(11, kernel_initializer=_uniform(3))

    def call(self, ids, training=False):
        x = self.one(self.embed(ids), causal=True, training=training)
        return self.guess(self.two(x, causal=True, training=training))


def _uniform(seed):
    return keras.initializers.RandomUniform(-0.5, 0.5, seed=seed)


def random(*shape):
    return tf.constant(RNG.normal(size=shape).astype("float32"))


def compiled(**options):
    keras.utils.set_random_seed(0)
    m = Speller(**options)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    m.compile("adam", loss)
    m(X)
    m.optimizer.build(m.trainable_variables)
    return m


def fit(m, *callbacks):
    return m.fit(X, Y, batch_size=8, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=list(callbacks)).history


def test_fit_has_the_numbers_in_its_history_and_in_the_log_on_disk(tmp_path):
    m, path = compiled(), tmp_path / "log.csv"
    allowed = np.tril(np.ones((6, 6), bool))
    monitor = Monitor(X[:4], Y[:4], allowed=allowed, by=lambda name: name.split("/")[-1])
    history = fit(m, monitor, keras.callbacks.CSVLogger(path))
    names = list(attention_layers(m))
    assert len(names) == 2 and all("multi_head_attention" in name for name in names)
    for name in names:
        for statistic in ("entropy", "saturation", "similarity", "largest", "rank", "outside"):
            assert len(history[f"{name}/{statistic}"]) == EPOCHS
        assert history[f"{name}/outside"] == [0, 0] and 0 < history[f"{name}/entropy"][0] < 1
    assert history["gradient/w_query"][0] > 0
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row[f"{names[0]}/entropy"]) for row in rows] == pytest.approx(history[f"{names[0]}/entropy"])
    # The last epoch's numbers are those of the trained model.
    found = monitor.look()
    assert found[f"{names[1]}/rank"] == pytest.approx(history[f"{names[1]}/rank"][-1], rel=1e-5)


def test_fit_trains_as_without():
    plain, watched = compiled(dropout=0.2), compiled(dropout=0.2)
    keras.utils.set_random_seed(1)
    without = fit(plain)
    keras.utils.set_random_seed(1)
    history = fit(watched, Monitor(X[:4], Y[:4]))
    assert history["loss"] == without["loss"]
    for a, b in zip(plain.get_weights(), watched.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_outputs_are_the_same_while_it_looks_and_nothing_is_left_behind():
    m = compiled()
    monitor = Monitor(X)
    before, outputs = m(X), []

    class Recording:
        _flatten_layers = m._flatten_layers

        def __call__(self, inputs, training):
            outputs.append(m(inputs, training=training))

    monitor.set_model(Recording())
    monitor.look()
    np.testing.assert_array_equal(outputs[0], before)
    for layer in attention_layers(m).values():
        assert "call" not in vars(layer) and "_attend" not in vars(layer)
    np.testing.assert_array_equal(m(X), before)


def test_every_argument_of_the_call_still_counts_while_it_looks():
    layer, x, outputs = attn.MultiHeadAttention(12, 3, seed=0), random(2, 4, 12), []
    options = {"attention_mask": tf.constant(np.tri(4, dtype=bool)), "attention_bias": 3 * random(3, 4, 4)}
    plain = layer(x, **options)

    class Model:
        _flatten_layers = layer._flatten_layers

        def __call__(self, inputs, training):
            outputs.append(layer(inputs, **options))

    monitor = Monitor(x)
    monitor.set_model(Model())
    monitor.look()
    np.testing.assert_array_equal(outputs[0], plain)


def test_nothing_is_left_behind_by_an_error():
    m = compiled()

    class Failing:
        _flatten_layers = m._flatten_layers

        def __call__(self, inputs, training):
            raise RuntimeError("in between")

    monitor = Monitor(X)
    monitor.set_model(Failing())
    with pytest.raises(RuntimeError, match="in between"):
        monitor.look()
    for layer in attention_layers(m).values():
        assert "call" not in vars(layer) and "_attend" not in vars(layer)


def test_masks_that_keras_carries_are_seen():
    m = compiled()
    monitor = Monitor(X, allowed=np.ones((1, 1), bool))
    monitor.set_model(m)
    found = monitor.look()
    moved = np.where(X == 0, 5, X)  # the same words without padding: other numbers
    monitor.inputs = moved
    assert monitor.look() != found
    real = X != 0
    block = attn.EncoderBlock(12, 3, 20, seed=1)
    alone = Monitor(None)

    class Model:
        _flatten_layers = block._flatten_layers

        def __call__(self, inputs, training):
            return block(m.embed(X), causal=True, attention_mask=tf.constant(real[:, None]))

    alone.set_model(Model())
    alone.look()
    ((_, by_hand),) = alone.layers.items()
    first = next(iter(attention_layers(m)))
    monitor.inputs = X
    monitor.look()
    np.testing.assert_allclose(monitor.layers[first]["entropy"], by_hand["entropy"], rtol=1e-5)


def test_gradient_norms_are_those_of_a_tape():
    m = compiled()
    norms = gradient_norms(m, X, Y)
    with tf.GradientTape() as tape:
        losses = keras.losses.sparse_categorical_crossentropy(Y, m(X), from_logits=True)
        loss = tf.reduce_mean(losses[X != 0])  # padding does not count in Keras's loss
    variable = m.two.attention.w_key
    expected = float(tf.norm(tape.gradient(loss, variable.value)))
    name = next(name for name in norms if name == variable.path)
    assert norms[name] == pytest.approx(expected, rel=1e-4)
    groups = gradient_norms(m, X, Y, lambda name: "all")
    assert groups["all"] == pytest.approx(sum(n**2 for n in norms.values()) ** 0.5)


def test_calls_with_a_cache_are_not_looked_at():
    layer = attn.MultiHeadAttention(12, 3, seed=0)
    x = random(2, 4, 12)
    layer(x)

    class Model:
        _flatten_layers = layer._flatten_layers

        def __call__(self, inputs, training):
            return layer(inputs, causal=True, cache=attn.KVCache())

    monitor = Monitor(x)
    monitor.set_model(Model())
    with pytest.raises(ValueError, match="without a cache"):
        monitor.look()


def test_what_cannot_be_monitored():
    dense = keras.Sequential([keras.layers.Dense(3)])
    with pytest.raises(ValueError, match="must have a MultiHeadAttention of attnlib inside, got Sequential without"):
        attention_layers(dense)
    with pytest.raises(ValueError, match="got function without"):
        attention_layers(lambda x: x)
    with pytest.raises(ValueError, match="must be compiled"):
        gradient_norms(dense, X, Y)
