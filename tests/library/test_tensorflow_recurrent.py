"""Recurrent decoders as citizens of Keras: graphs of unknown sizes, XLA, masks, mixed precision, fit, saving."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import attnlib.tensorflow as attn

FRAMEWORK = "tensorflow"
MAKE = {
    "bahdanau": lambda **k: attn.BahdanauDecoder(6, 3, 5, 8, seed=0, **k),
    "general": lambda **k: luong(attn.GeneralAttention(3, 5, seed=1, **k), input_feeding=False, **k),
    "general, fed": lambda **k: luong(attn.GeneralAttention(3, 5, seed=1, **k), **k),
    "local-m": lambda **k: luong(attn.LocalMonotonicAttention(3, 5, 2, seed=1, **k), **k),
    "local-p": lambda **k: luong(attn.LocalPredictiveAttention(3, 5, 8, 2, seed=1, **k), **k),
}
MASK = np.arange(7) < np.array([[5], [7]])


def luong(attention, **options):
    return attn.LuongDecoder(6, 3, 5, attention, seed=0, **options)


@pytest.fixture(params=MAKE)
def make(request):
    return MAKE[request.param]


def arrays(batch=2, out_len=4, in_len=7):
    rng = np.random.default_rng(0)
    return [rng.normal(size=s).astype("float32") for s in ((batch, out_len, 6), (batch, in_len, 5), (batch, 3))]


def with_gradients(decoder):
    def run(*tensors, mask):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            output, weights = decoder(*tensors, memory_mask=mask, return_weights=True)
            loss = tf.reduce_sum(tf.square(output))
        return output, weights, tape.gradient(loss, [*tensors, *(w.value for w in decoder.weights)])

    return run


def assert_same(ours, theirs):
    for one, two in zip(tf.nest.flatten(ours), tf.nest.flatten(theirs), strict=True):
        np.testing.assert_allclose(one, two, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", ["bahdanau", "general", "local-p"])
def test_in_a_graph_of_unknown_sizes_with_gradients(name):
    function = with_gradients(MAKE[name]())
    floats = [tf.TensorSpec([None, None, 6]), tf.TensorSpec([None, None, 5]), tf.TensorSpec([None, 3])]
    function(*map(tf.constant, arrays()), mask=tf.constant(MASK))  # makes the weights
    graph = tf.function(
        lambda x, m, s, mask: function(x, m, s, mask=mask),
        input_signature=[*floats, tf.TensorSpec([None, None], tf.bool)],
    )
    for sizes in ((2, 4, 7), (3, 2, 5)):
        tensors = [tf.constant(x) for x in arrays(*sizes)]
        mask = tf.sequence_mask([3, 5, 4][: sizes[0]], sizes[2])
        assert_same(graph(*tensors, mask), function(*tensors, mask=mask))


def test_under_xla_with_gradients():
    function = with_gradients(MAKE["local-p"]())
    tensors, mask = [tf.constant(x) for x in arrays()], tf.constant(MASK)
    expected = function(*tensors, mask=mask)
    assert_same(tf.function(function, jit_compile=True)(*tensors, mask=mask), expected)


@pytest.mark.parametrize("name", ["bahdanau", "local-m"])
def test_free_decoding_in_a_graph(name):
    """The loop of a model that reads its own output; a state keeps its shape from step to step."""
    decoder = MAKE[name]()
    inputs, memory, hidden = map(tf.constant, arrays())
    state = hidden if isinstance(decoder, attn.BahdanauDecoder) else (hidden, tf.zeros((2, 3)), tf.constant(0))

    @tf.function
    def decode(state, n):
        outputs = tf.TensorArray(tf.float32, n)
        for t in tf.range(n):
            output, state, _ = decoder.step(inputs[:, t], state, memory)
            outputs = outputs.write(t, output)
        return tf.transpose(outputs.stack(), (1, 0, 2))

    expected = decoder(inputs, memory, hidden)
    np.testing.assert_allclose(decode(state, tf.constant(4)), expected, rtol=2e-5, atol=2e-6)


def test_the_mask_of_the_memory_comes_from_keras(make):
    decoder = make()
    inputs, memory, state = map(tf.constant, arrays())
    memory = tf.where(MASK[..., None], memory, 0.0)
    masked = keras.layers.Masking()(memory)
    expected = decoder(inputs, memory, state, memory_mask=tf.constant(MASK))
    np.testing.assert_allclose(decoder(inputs, masked, state), expected, rtol=1e-6, atol=1e-7)
    assert np.abs(decoder(inputs, memory, state) - expected).max() > 1e-4
    # The caller's mask goes before Keras's; a step is not a call of Keras, so there the caller's is the only one.
    everything = tf.ones((2, 7), tf.bool)
    whole = decoder(inputs, memory, state)
    np.testing.assert_allclose(decoder(inputs, masked, state, memory_mask=everything), whole, rtol=1e-6, atol=1e-7)
    step, _, _ = decoder.step(inputs[:, 0], state, masked)
    np.testing.assert_allclose(step, whole[:, 0], rtol=1e-6, atol=1e-7)


def test_padded_inputs_are_computed_like_any_other_and_their_mask_is_carried_on(make):
    decoder = make()
    ids = np.array([[3, 0, 4, 0], [1, 2, 3, 4]])
    inputs = keras.layers.Embedding(5, 6, mask_zero=True)(ids)
    _, memory, state = arrays()
    output = decoder(inputs, memory, state)
    np.testing.assert_array_equal(output._keras_mask, ids != 0)
    np.testing.assert_allclose(output, decoder(tf.identity(inputs), memory, state), rtol=1e-6, atol=1e-7)


def test_mixed_precision_is_close_to_full(make):
    decoder, (inputs, memory, state) = make(dtype="mixed_float16"), arrays()
    exact, half = make()(inputs, memory, state), decoder(inputs, memory, state)
    assert half.dtype == "float16"
    np.testing.assert_allclose(half, exact, atol=5e-3)
    assert all(w.dtype == "float32" for w in decoder.weights)
    for t in range(4):
        output, state, _ = decoder.step(inputs[:, t], state, memory)
        assert output.dtype == "float16"
        np.testing.assert_allclose(output, exact[:, t], atol=5e-3)


def test_attention_of_another_precision():
    decoder = luong(attn.GeneralAttention(3, 5, seed=1), dtype="mixed_float16")
    np.testing.assert_allclose(decoder(*arrays()), MAKE["general, fed"]()(*arrays()), atol=5e-3)


def test_fit_with_unknown_batch_and_lengths_then_saved_and_loaded(tmp_path):
    """Several decoders in one model, since what takes time here is building its graphs."""
    decoders = [MAKE[name]() for name in ("bahdanau", "general", "local-p")]
    source, target = keras.Input((None,), dtype="int32"), keras.Input((None,), dtype="int32")
    memory, last = keras.layers.GRU(5, return_sequences=True, return_state=True)(
        keras.layers.Embedding(20, 4, mask_zero=True)(source)
    )
    inputs, state = keras.layers.Embedding(20, 6, mask_zero=True)(target), keras.layers.Dense(3)(last)
    outputs = keras.layers.Concatenate()([decoder(inputs, memory, state) for decoder in decoders])
    model = keras.Model([source, target], keras.layers.Dense(20)(outputs))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.optimizer.build(model.trainable_variables)  # here, not in the graph, which would be built twice
    rng = np.random.default_rng(0)
    x, y = [rng.integers(1, 20, (12, n)) for n in (7, 4)], rng.integers(1, 20, (12, 4))
    x[0][:, 5:] = 0
    np.testing.assert_allclose(model(x), model([x[0][:, :5], x[1]]), rtol=1e-4, atol=1e-5)
    before, weights = model.evaluate(x, y, verbose=0), model.get_weights()
    model.fit(x, y, epochs=5, verbose=0)
    assert model.evaluate(x, y, verbose=0) < before
    assert all((new != old).any() for new, old in zip(model.get_weights(), weights, strict=True))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x), model(x))
    for decoder in decoders:
        assert loaded.get_layer(decoder.name).get_config() == decoder.get_config()
