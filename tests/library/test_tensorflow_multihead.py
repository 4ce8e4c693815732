"""attnlib.tensorflow's multi-head attention against Keras's two layers, and as a citizen of Keras."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import attnlib.tensorflow as attn

FRAMEWORK = "tensorflow"
RNG = np.random.default_rng(0)
OF = {"query": "query", "key": "key", "value": "value", "output": "attention_output"}


def random(*shape, dtype="float32"):
    return tf.constant(RNG.normal(size=shape).astype(dtype))


def gradients(function, tensors, variables):
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        output = function()
        loss = tf.reduce_sum(tf.square(output))
    return [output, *tape.gradient(loss, [*tensors, *variables])]


def randomised(layer):
    """Biases begin at zero, where a mistake with them would not show."""
    for weight in layer.weights:
        weight.assign(RNG.normal(size=weight.shape))
    return layer


MAKE = {
    "as many heads of keys": lambda bias: keras.layers.MultiHeadAttention(3, 5, use_bias=bias, dtype="float64"),
    "fewer heads of keys": lambda bias: keras.layers.GroupQueryAttention(5, 4, 2, use_bias=bias, dtype="float64"),
    "one head of keys": lambda bias: keras.layers.GroupQueryAttention(5, 3, 1, use_bias=bias, dtype="float64"),
}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_agrees_with_keras_with_gradients_of_everything(make, bias):
    theirs = make(bias)
    q, k, v = (random(2, n, 7, dtype="float64") for n in (3, 5, 5))
    theirs(q, v, k)
    ours = attn.MultiHeadAttention.from_keras(randomised(theirs))
    mask = RNG.random((2, 3, 5)) < 0.6
    mask[..., 0] = True  # Keras gives the mean where nothing may be attended to
    paths = {"/".join(w.path.split("/")[-2:]): w.value for w in theirs.weights}
    kinds = {"w": "kernel", "b": "bias"} if bias else {"w": "kernel"}
    names = [(a, b) for a in kinds for b in OF]
    got = gradients(
        lambda: ours(q, k, v, attention_mask=mask), [q, k, v], [getattr(ours, f"{a}_{b}").value for a, b in names]
    )
    # Keras takes query, value, key, in this order.
    expected = gradients(
        lambda: theirs(q, v, k, attention_mask=mask), [q, k, v], [paths[f"{OF[b]}/{kinds[a]}"] for a, b in names]
    )
    # Softmax does not see a bias of the keys: its gradient is zero but for rounding.
    for one, two in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, tf.reshape(two, one.shape), rtol=1e-5, atol=1e-5)
    _, weights = ours(q, k, v, attention_mask=mask, return_weights=True)
    np.testing.assert_allclose(
        weights, theirs(q, v, k, attention_mask=mask, return_attention_scores=True)[1], rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"num_kv_heads": 2, "head_dim": 3}])
def test_to_keras_and_back(options):
    layer = attn.MultiHeadAttention(8, 4, dropout=0.25, seed=0, **options)
    layer.build(None)
    theirs = randomised(layer).to_keras()
    x = random(2, 3, 8)
    expected = layer(x)
    np.testing.assert_allclose(theirs(x, x), expected, rtol=2e-5, atol=2e-5)
    again = attn.MultiHeadAttention.from_keras(theirs)
    np.testing.assert_array_equal(again(x), expected)
    for name in ("num_heads", "num_kv_heads", "head_dim", "bias", "dropout"):
        assert getattr(again, name) == getattr(layer, name)
    layer.w_query.assign(tf.zeros_like(layer.w_query))
    np.testing.assert_array_equal(again(x), expected)


@pytest.mark.parametrize(
    "options, widths, message",
    [
        ({"value_dim": 5}, (8, 8), "layer must have value_dim 4, got 5"),
        ({"attention_axes": (1, 2)}, (8, 8), "layer must have attention_axes None, got (1, 2)"),
        ({}, (8, 6), "layer must have query, key, value and output of one width, got [8, 6, 6, 8]"),
        ({"output_shape": 5}, (8, 8), "layer must have query, key, value and output of one width, got [8, 8, 8, 5]"),
    ],
)
def test_layers_without_a_counterpart(options, widths, message):
    layer = keras.layers.MultiHeadAttention(2, 4, **options)
    extra = (1,) if "attention_axes" in options else ()
    layer.build(*((2, *extra, 3, width) for width in widths))
    with pytest.raises(ValueError, match=re.escape(message)):
        attn.MultiHeadAttention.from_keras(layer)


def test_a_layer_that_is_not_built_has_nothing_to_copy():
    with pytest.raises(ValueError, match="layer must be built"):
        attn.MultiHeadAttention.from_keras(keras.layers.MultiHeadAttention(2, 4))


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("options", [{}, {"causal": True}])
def test_in_a_graph_of_unknown_batch_and_length(options, jit):
    layer = attn.MultiHeadAttention(6, 4, head_dim=3, num_kv_heads=2, seed=0)
    signature = [tf.TensorSpec([None, None, 6]), tf.TensorSpec([None, None, 6])]
    graph = tf.function(lambda q, k: layer(q, k, **options), input_signature=signature, jit_compile=jit)
    q, k = random(2, 3, 6), random(2, 5, 6)
    np.testing.assert_allclose(graph(q, k), layer(q, k, **options), rtol=2e-5, atol=2e-6)
    assert graph.get_concrete_function().output_shapes[-1] == 6


def test_decoding_in_one_graph():
    """The cache is made where the steps are: in the graph, however long the sequence is."""
    layer = attn.MultiHeadAttention(6, 2, seed=0)
    x = random(2, 5, 6)

    @tf.function(input_signature=[tf.TensorSpec([None, None, 6])])
    def decode(x):
        cache = attn.KVCache(window=3)
        prompt = layer(x[:, :-2], causal=True, cache=cache)  # of unknown length
        return tf.concat([prompt, *(layer(x[:, i : i + 1 or None], causal=True, cache=cache) for i in (-2, -1))], 1)

    near = np.tri(5, dtype=bool) & ~np.tri(5, k=-3, dtype=bool)
    np.testing.assert_allclose(decode(x), layer(x, attention_mask=near), rtol=1e-4, atol=2e-6)


def classifier(layer, **options):
    ids = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(20, 8, mask_zero=True)(ids)
    x = layer(x, **options)
    return keras.Model(ids, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling1D()(x)))


def padded(n, length, longest):
    ids = RNG.integers(1, 20, (n, longest))
    ids[:, length:] = 0
    return ids


def test_padding_in_a_model_changes_nothing():
    model = classifier(attn.MultiHeadAttention(8, 2, seed=0))
    ids = padded(3, 4, 6)
    np.testing.assert_allclose(model(ids), model(ids[:, :4]), rtol=1e-5, atol=1e-6)


def test_keras_masks_reach_the_keys_in_every_kind_of_call():
    x = random(2, 6, 8)
    masked = keras.layers.Masking()(tf.where(np.arange(6)[:, None] < 4, x, 0.0))
    layer, short = attn.MultiHeadAttention(8, 2, seed=0), x[:, :4]
    everything = np.ones((4, 6), bool)
    calls = {
        "self": lambda: layer(masked)[:, :4],
        "self, with a mask of the caller": lambda: layer(masked, attention_mask=tf.ones((6, 6), tf.bool))[:, :4],
        "self, with a mask for each head": lambda: layer(masked, attention_mask=tf.ones((2, 2, 6, 6), tf.bool))[:, :4],
        "cross": lambda: layer(short, masked),
        "cross, with values": lambda: layer(short, masked, masked),
        "cross, with a mask of the caller": lambda: layer(short, masked, attention_mask=tf.constant(everything)),
    }
    for name, call in calls.items():
        np.testing.assert_allclose(call(), layer(short), rtol=1e-5, atol=1e-6, err_msg=name)


def test_the_output_carries_the_query_mask():
    x = keras.layers.Embedding(20, 8, mask_zero=True)(padded(3, 4, 6))
    memory = keras.layers.Embedding(20, 8, mask_zero=True)(padded(3, 2, 5))
    layer = attn.MultiHeadAttention(8, 2)
    for output in (layer(x), layer(x, memory), layer(x, memory, return_weights=True)[0]):
        np.testing.assert_array_equal(output._keras_mask, x._keras_mask)


def test_keras_masks_beside_a_cache_are_an_error():
    x, cache = keras.layers.Embedding(20, 8, mask_zero=True)(padded(3, 4, 6)), attn.KVCache()
    with pytest.raises(ValueError, match="cache must come without Keras masks, which know of the new keys only"):
        attn.MultiHeadAttention(8, 2)(x, cache=cache)
    assert cache.length == 0


def test_fit_with_unknown_batch_and_length_then_saved_and_loaded(tmp_path):
    keras.utils.set_random_seed(0)
    layer = attn.MultiHeadAttention(8, 4, num_kv_heads=2, head_dim=3, dropout=0.1, seed=0)
    model = classifier(layer, causal=True)
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)  # here, not in the graph, which would be built twice
    ids = padded(32, 4, 6)
    before = model.evaluate(ids, y := RNG.normal(size=(32, 2)), verbose=0)
    weights = [w.numpy() for w in layer.trainable_weights]
    model.fit(ids, y, epochs=10, verbose=0)
    assert model.evaluate(ids, y, verbose=0) < before
    for weight, old in zip(layer.trainable_weights, weights, strict=True):
        assert np.abs(weight - old).max() > 1e-4 or weight.name == "b_key", weight.name
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(ids), model(ids))
    assert loaded.layers[2].get_config() == layer.get_config()


def test_dropout_is_for_training():
    layer = attn.MultiHeadAttention(6, 2, dropout=0.5, seed=0)
    plain = attn.MultiHeadAttention(6, 2, seed=0)
    x = random(1, 5, 6)
    many = layer(tf.repeat(x, 4000, axis=0), causal=True, training=True).numpy()
    assert not np.allclose(many[0], many[1])
    np.testing.assert_allclose(
        many.mean(0), plain(x, causal=True)[0], atol=0.15
    )  # the mean stays: the standard error is 0.03
    np.testing.assert_array_equal(layer(x), plain(x))
    bias = random(2, 5, 5)
    (_, training), (_, weights) = (
        layer(x, attention_bias=bias, causal=True, return_weights=True, training=on) for on in (True, False)
    )
    np.testing.assert_allclose(training, weights, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="dropout must be a number of at least 0 and below 1, got 1"):
        attn.MultiHeadAttention(6, 2, dropout=1)


@pytest.mark.parametrize("policy, error", [("mixed_float16", 5e-3), ("mixed_bfloat16", 4e-2)])
def test_mixed_precision_is_close_to_full(policy, error):
    x, bias = random(2, 6, 8), random(4, 6, 6)
    half = attn.MultiHeadAttention(8, 4, num_kv_heads=2, seed=0, dtype=policy)(x, attention_bias=bias)
    full = attn.MultiHeadAttention(8, 4, num_kv_heads=2, seed=0)(x, attention_bias=bias)
    assert half.dtype == policy.removeprefix("mixed_")
    np.testing.assert_allclose(tf.cast(half, "float32"), full, atol=error)


@pytest.mark.parametrize("jit", [False, True])
def test_rotary_in_a_graph_of_unknown_sizes(jit):
    layer = attn.MultiHeadAttention(8, 4, num_kv_heads=2, rotary="interleaved", rotary_base=50, seed=0)
    x, positions = random(2, 5, 8), tf.constant([[4, 1, 7, 0, 2], [0, 0, 1, 2, 3]])
    expected = layer(x, causal=True), layer(x, causal=True, positions=positions)
    signature = [tf.TensorSpec([None, None, 8]), tf.TensorSpec([None, None], tf.int32)]
    graph = tf.function(
        lambda x, p: (layer(x, causal=True), layer(x, causal=True, positions=p)),
        input_signature=None if jit else signature,
        jit_compile=jit,
    )
    for one, two in zip(graph(x, positions), expected, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


def test_rotary_decodes_inside_a_graph():
    """The cache is made in the graph, where its length is a number that is not known yet."""
    layer = attn.MultiHeadAttention(8, 2, rotary="halves", seed=0)
    layer.build(None)

    @tf.function(input_signature=[tf.TensorSpec([None, None, 8])] * 2)
    def graph(prompt, step):
        cache = attn.KVCache()
        return tf.concat([layer(x, causal=True, cache=cache) for x in (prompt, step)], axis=1)

    x = random(2, 7, 8)
    np.testing.assert_allclose(graph(x[:, :5], x[:, 5:]), layer(x, causal=True), rtol=1e-4, atol=1e-5)


def test_rotary_with_padding_and_mixed_precision_saved_in_the_config():
    layer = attn.MultiHeadAttention(8, 2, rotary="halves", rotary_base=100, seed=0)
    model, ids = classifier(layer), padded(3, 4, 6)
    np.testing.assert_allclose(model(ids), model(ids[:, :4]), rtol=1e-5, atol=1e-6)
    again = attn.MultiHeadAttention.from_config(layer.get_config())
    assert (again.rotary, again.rotary_base) == ("halves", 100)
    x = random(2, 5, 8)
    half = attn.MultiHeadAttention(8, 2, rotary="halves", rotary_base=100, seed=0, dtype="mixed_float16")(x)
    assert half.dtype == tf.float16
    np.testing.assert_allclose(tf.cast(half, tf.float32), layer(x), atol=5e-3)
    with pytest.raises(ValueError, match="Keras's layers need rotary None, got 'halves'"):
        layer.to_keras()


def test_projections_are_products_of_two_matrices():
    """Of whole batches: one product for each sequence, as `x @ weight` would make, takes a multiple of the time."""
    graph = tf.function(attn.MultiHeadAttention(8, 2)).get_concrete_function(tf.TensorSpec([None, None, 8])).graph
    kinds = [operation.type for operation in graph.get_operations()]
    assert kinds.count("MatMul") == 4  # queries, keys, values, output
    assert sum("BatchMatMul" in kind for kind in kinds) == 2  # scores, weighted values
