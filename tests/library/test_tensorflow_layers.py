"""attnlib.tensorflow against Keras's own layers, and as a citizen of Keras: masks, saving, fit, graphs."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import CASES

import attnlib.numpy as spec
import attnlib.tensorflow as attn

FRAMEWORK = "tensorflow"
RNG = np.random.default_rng(0)
MAKE = {
    "dot": lambda **k: attn.DotProductAttention(scale=0.7, **k),
    "general": lambda **k: attn.GeneralAttention(8, 8, seed=1, **k),
    "additive": lambda **k: attn.AdditiveAttention(8, 8, 5, seed=2, **k),
    "concat": lambda **k: attn.ConcatAttention(8, 8, 5, seed=3, **k),
    "cosine": lambda **k: attn.CosineAttention(scale=3.0, **k),
    "local-m": lambda **k: attn.LocalMonotonicAttention(8, 8, 2, seed=4, **k),
    "local-p": lambda **k: attn.LocalPredictiveAttention(8, 8, 5, 2, seed=5, **k),
}


@pytest.fixture(params=MAKE)
def make(request):
    return MAKE[request.param]


def classifier(*layers, **options):
    """Characters of any number, 0 for padding, to two numbers; several layers are added up."""
    ids = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(20, 8, mask_zero=True)(ids)
    outputs = [layer(x, **options) for layer in layers]
    x = outputs[0] if len(outputs) == 1 else keras.layers.Add()(outputs)
    return keras.Model(ids, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling1D()(x)))


def padded(n, length, longest):
    ids = RNG.integers(1, 20, (n, longest))
    ids[:, length:] = 0
    return ids


def gradients(function, tensors):
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        output = function(*tensors)
        loss = tf.reduce_sum(tf.square(output))
    return [output, *tape.gradient(loss, tensors)]


def assert_same(ours, theirs):
    for one, two in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, two, rtol=2e-5, atol=2e-6)


def qkv(d=5, d_v=5):
    return [tf.constant(RNG.normal(size=s).astype("float32")) for s in ((2, 3, d), (2, 7, d), (2, 7, d_v))]


def test_agrees_with_keras_attention():
    theirs = keras.layers.Attention(score_mode="dot")
    ours = attn.DotProductAttention(scale=1.0)
    # Keras takes query, value, key, in this order, and a mask for each sequence.
    value_mask = tf.constant(np.arange(7) < np.array([4, 7])[:, None])
    assert_same(
        gradients(lambda q, k, v: ours(q, k, v, value_mask=value_mask), qkv_ := qkv()),
        gradients(lambda q, k, v: theirs([q, v, k], mask=[None, value_mask]), qkv_),
    )


def test_agrees_with_keras_additive_attention():
    d = 5
    theirs = keras.layers.AdditiveAttention()
    tensors = qkv(d, d)
    theirs([tensors[0], tensors[2], tensors[1]])
    ours = attn.AdditiveAttention(d, d, d)
    ours.build(None)
    # Keras's layer has no matrices, only the vector that adds up the hidden layer.
    ours.w_query.assign(np.eye(d))
    ours.w_key.assign(np.eye(d))
    ours.v_score.assign(theirs.scale)
    assert_same(
        gradients(lambda q, k, v: ours(q, k, v), tensors),
        gradients(lambda q, k, v: theirs([q, v, k]), tensors),
    )


@pytest.mark.parametrize("causal", [False, True])
def test_agrees_with_keras_dot_product_attention(causal):
    # keras.ops takes [batch, length, heads, d]. In float64: with one key to see, the gradient of a query is exactly
    # zero, where Keras's float32 leaves a rounding error of 3e-6.
    q, k, v = (tf.constant(RNG.normal(size=(2, 3, n, 8))) for n in (5, 5, 5))

    def theirs(q, k, v):
        swapped = [tf.transpose(x, (0, 2, 1, 3)) for x in (q, k, v)]
        return tf.transpose(keras.ops.dot_product_attention(*swapped, is_causal=causal), (0, 2, 1, 3))

    assert_same(
        gradients(lambda q, k, v: attn.scaled_dot_product_attention(q, k, v, causal=causal), [q, k, v]),
        gradients(theirs, [q, k, v]),
    )


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_in_a_graph_of_unknown_sizes(case):
    q, k, v, options = case.arrays(np.float32)
    expected = spec.scaled_dot_product_attention(q, k, v, **options)
    signature = [tf.TensorSpec([None] * x.ndim, tf.float32) for x in (q, k, v)]
    graph = tf.function(lambda *x: attn.scaled_dot_product_attention(*x, **options), input_signature=signature)
    np.testing.assert_allclose(graph(q, k, v), expected, rtol=2e-5, atol=2e-6)


def test_padding_mask_in_a_graph():
    graph = tf.function(lambda n: attn.padding_mask(n, 5), input_signature=[tf.TensorSpec([None], tf.int32)])
    np.testing.assert_array_equal(graph(np.array([2, 0], np.int32)), spec.padding_mask(np.array([2, 0]), 5))


def test_local_attention_in_a_graph_of_unknown_sizes():
    local_m, local_p = MAKE["local-m"](), MAKE["local-p"]()
    sequences, integers = tf.TensorSpec([None, None, 8], tf.float32), tf.TensorSpec([None], tf.int32)

    @tf.function(input_signature=[sequences, sequences, integers, tf.TensorSpec([], tf.int32)])
    def graph(query, key, lengths, start):
        return local_m(query, key, start=start), local_p(query, key, lengths=lengths)

    for q_len, k_len in ((3, 7), (5, 11)):
        query, key = (tf.constant(RNG.normal(size=(2, n, 8)).astype("float32")) for n in (q_len, k_len))
        lengths = tf.constant([4, 0])  # shorter than the keys, so that their number has to come from the graph
        expected = local_m(query, key, start=2), local_p(query, key, lengths=lengths)
        assert_same(graph(query, key, lengths, tf.constant(2)), expected)


def test_padding_in_a_model_changes_nothing(make):
    model = classifier(make())
    ids = padded(3, 4, 6)
    np.testing.assert_allclose(model(ids), model(ids[:, :4]), rtol=1e-5, atol=1e-6)


def test_keras_masks_reach_the_keys_in_every_kind_of_call(make):
    x = tf.constant(RNG.normal(size=(2, 6, 8)).astype("float32"))
    masked = keras.layers.Masking()(tf.where(np.arange(6)[:, None] < 4, x, 0.0))
    layer, short, everything = make(), x[:, :4], np.ones((4, 6), bool)
    calls = {
        "self": lambda: layer(masked)[:, :4],
        "self, with a mask of the caller": lambda: layer(masked, attention_mask=tf.ones((6, 6), tf.bool))[:, :4],
        "cross": lambda: layer(short, masked),
        "cross, with values": lambda: layer(short, masked, masked),
        "cross, with a mask of the caller": lambda: layer(short, masked, attention_mask=tf.constant(everything)),
    }
    for name, call in calls.items():
        np.testing.assert_allclose(call(), layer(short), rtol=1e-5, atol=1e-6, err_msg=name)


def test_masks_given_by_hand_may_have_holes(make):
    """Not only after the last word: keys that are not there in front, where a number of keys would not find them."""
    x = tf.constant(RNG.normal(size=(2, 6, 8)).astype("float32"))
    holes = tf.constant([[False, True, True, False, True, True], [True, False, True, True, True, False]])
    layer = make()
    for output, weights in (
        layer(x, key_mask=holes, return_weights=True),
        layer(x, x, key_mask=holes, return_weights=True),
        layer(x, x, x, value_mask=holes, return_weights=True),
    ):
        assert (weights.numpy()[~np.broadcast_to(holes[:, None], weights.shape)] == 0).all()
        assert (weights.numpy().sum(axis=(-2, -1)) > 0).all()
        assert_same([output], [weights @ x])


def test_the_weights_have_the_names_they_are_asked_for_by(make):
    layer = make()
    layer(tf.ones((1, 2, 8)))
    assert all(getattr(layer, weight.name) is weight for weight in layer.weights)


def test_the_output_carries_the_query_mask(make):
    x = keras.layers.Embedding(20, 8, mask_zero=True)(padded(3, 4, 6))
    memory = keras.layers.Embedding(20, 8, mask_zero=True)(padded(3, 2, 5))
    layer = make()
    for output in (layer(x), layer(x, memory), layer(x, memory, return_weights=True)[0]):
        np.testing.assert_array_equal(output._keras_mask, x._keras_mask)


def test_fit_with_unknown_batch_and_length_then_saved_and_loaded(tmp_path):
    """All layers in one model, since what takes time here is building its graphs."""
    layers = [make() for make in MAKE.values()]
    model = classifier(*layers, causal=True)
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)  # here, not in the graph, which would be built twice
    ids = padded(32, 4, 6)
    before, weights = model.evaluate(ids, y := RNG.normal(size=(32, 2)), verbose=0), model.get_weights()
    model.fit(ids, y, epochs=20, verbose=0)
    assert model.evaluate(ids, y, verbose=0) < before
    assert all((new != old).any() for new, old in zip(model.get_weights(), weights, strict=True))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(ids), model(ids))
    for layer in layers:
        assert loaded.get_layer(layer.name).get_config() == layer.get_config()


def test_every_weight_learns(make):
    layer = make()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(layer(tf.ones((2, 3, 8)) * [[[1.0], [2.0], [-1.0]]])))
    for gradient in tape.gradient(loss, layer.trainable_weights):
        assert np.abs(gradient).sum() > 0


def test_mixed_precision_is_close_to_full(make):
    x = RNG.normal(size=(2, 6, 8)).astype("float32")
    half = make(dtype="mixed_float16")(x)
    assert half.dtype == tf.float16
    np.testing.assert_allclose(half, make()(x), atol=5e-3)


def test_a_row_with_nothing_to_attend_to_where_keras_gives_the_mean():
    q = tf.constant(RNG.normal(size=(1, 3, 1, 8)).astype("float32"))
    nothing = tf.zeros((1, 1, 3, 3), tf.bool)
    theirs = keras.ops.dot_product_attention(q, q, q, mask=nothing)[:, :, 0]
    ours = attn.scaled_dot_product_attention(q[:, :, 0], q[:, :, 0], q[:, :, 0], mask=nothing[:, 0])
    np.testing.assert_allclose(theirs, np.broadcast_to(np.mean(q[:, :, 0], 1), (1, 3, 8)), rtol=1e-5, atol=1e-6)
    assert (ours.numpy() == 0).all()


def test_refuses_states_without_a_time_axis(make):
    """[batch, d] would be read as one sequence, and the examples of the batch would attend to each other."""
    states = RNG.normal(size=(4, 8)).astype("float32")
    with pytest.raises(ValueError, match=r"query must be \[batch, ..., length, features\], got shape \[4, 8\]"):
        make()(states)
    sequence = states[:, None, :]
    with pytest.raises(ValueError, match=r"key must be \[batch"):
        make()(sequence, states)
