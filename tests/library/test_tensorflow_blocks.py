"""attnlib.tensorflow's blocks as citizens of Keras: graphs, masks, saving, mixed precision; patches against Conv2D."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import attnlib.tensorflow as attn

FRAMEWORK = "tensorflow"
RNG = np.random.default_rng(0)
SIZES = (8, 4, 11)


def random(*shape):
    return tf.constant(RNG.normal(size=shape).astype("float32"))


def padded(n, length, longest):
    ids = RNG.integers(1, 20, (n, longest))
    ids[:, length:] = 0
    return ids


def test_patches_are_a_convolution_as_wide_as_its_stride():
    conv, images = keras.layers.Conv2D(7, 2, strides=2, bias_initializer="normal"), random(2, 4, 10, 3)
    expected = tf.reshape(conv(images), (2, 10, 7))
    ours = attn.PatchEmbedding(2, 3, 7)
    ours.build(None)
    ours.w_patch.assign(tf.reshape(conv.kernel, (12, 7)))
    ours.b_patch.assign(conv.bias)
    np.testing.assert_allclose(ours(images), expected, rtol=1e-5, atol=1e-6)


def test_layer_norm_and_feed_forward_are_those_of_keras():
    block, x = attn.EncoderBlock(*SIZES, activation="relu", seed=0), random(2, 3, 8)
    block.build(None)
    hidden = keras.layers.Dense(11, "relu")
    output = keras.layers.Dense(8)
    hidden.build((None, 8))
    output.build((None, 11))
    hidden.kernel.assign(block.feed_forward.w_hidden)
    output.kernel.assign(block.feed_forward.w_output)
    np.testing.assert_allclose(block.feed_forward(x), output(hidden(x)), rtol=1e-5, atol=1e-6)
    assert block.attention_norm.epsilon == 1e-5  # Keras's own default is 1e-3


def test_one_seed_drops_the_same_units():
    x = random(2, 3, 8)
    one, same = (attn.FeedForward(8, 50, dropout=0.5, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one(x, training=True), same(x, training=True))
    assert (one(x, training=True).numpy() != one(x).numpy()).any()


@pytest.mark.parametrize("jit", [False, True])
def test_in_a_graph_of_unknown_sizes(jit):
    patches = attn.PatchEmbedding(2, 3, 8, seed=0)
    encoder = attn.EncoderBlock(*SIZES, num_kv_heads=2, rotary="halves", seed=0)
    decoder = attn.DecoderBlock(*SIZES, norm="post", seed=1)

    def run(images, x):
        return decoder(x, encoder(patches(images)))

    signature = [tf.TensorSpec([None] * 3 + [3]), tf.TensorSpec([None, None, 8])]
    graph = tf.function(run, input_signature=None if jit else signature, jit_compile=jit)
    for n in (3, 5) if not jit else (3,):
        images, x = random(2, 2 * n, 4, 3), random(2, n, 8)
        np.testing.assert_allclose(graph(images, x), run(images, x), rtol=1e-4, atol=1e-5)


def test_decoding_inside_a_graph():
    decoder, memory, x = attn.DecoderBlock(*SIZES, rotary="halves", seed=1), random(2, 5, 8), random(2, 4, 8)
    expected = decoder(x, memory)

    @tf.function(input_signature=[tf.TensorSpec([None, None, 8])] * 2)
    def decode(prompt, step):
        cache = attn.KVCache()
        return tf.concat([decoder(y, memory, cache=cache) for y in (prompt, step)], axis=1)

    np.testing.assert_allclose(decode(x[:, :3], x[:, 3:]), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_masks_reach_both_attentions_and_are_carried_on(norm):
    embed = keras.layers.Embedding(20, 8, mask_zero=True)
    ids, memory_ids = padded(3, 4, 6), padded(3, 2, 5)
    x, memory = embed(ids), embed(memory_ids)
    encoder, decoder = attn.EncoderBlock(*SIZES, norm=norm, seed=0), attn.DecoderBlock(*SIZES, norm=norm, seed=1)
    short, short_memory = tf.constant(x.numpy()[:, :4]), tf.constant(memory.numpy()[:, :2])
    for options in ({}, {"attention_mask": tf.ones((1, 6), tf.bool)}):
        encoded = encoder(x, **options)
        np.testing.assert_allclose(encoded[:, :4], encoder(short), rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(encoded._keras_mask, x._keras_mask)
        decoded = decoder(x, memory, causal=False, **options)
        np.testing.assert_allclose(decoded[:, :4], decoder(short, short_memory, causal=False), rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(decoded._keras_mask, x._keras_mask)
    np.testing.assert_array_equal(attn.FeedForward(8, 11)(x)._keras_mask, x._keras_mask)
    with pytest.raises(ValueError, match="cache must come without Keras masks"):
        decoder(x, memory, cache=attn.KVCache())


def test_fit_with_unknown_batch_and_length_then_saved_and_loaded(tmp_path):
    """An encoder and a decoder of one sequence, and pictures beside it."""
    keras.utils.set_random_seed(0)
    ids, images = keras.Input((None,), dtype="int32"), keras.Input((None, None, 3))
    x = keras.layers.Embedding(20, 8, mask_zero=True)(ids)
    memory = attn.EncoderBlock(*SIZES, num_kv_heads=2, rotary="halves", rotary_base=50, dropout=0.1, seed=0)(x)
    y = attn.DecoderBlock(*SIZES, norm="post", activation="relu", seed=1)(x, memory)
    z = attn.FeedForward(8, 5, dropout=0.1, seed=2)(attn.PatchEmbedding(2, 3, 8, seed=3)(images))
    pooled = [keras.layers.GlobalAveragePooling1D()(a) for a in (y, z)]
    model = keras.Model([ids, images], keras.layers.Dense(2)(keras.layers.Concatenate()(pooled)))
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)  # here, not in the graph, which would be built twice
    inputs, targets = [padded(16, 4, 6), RNG.normal(size=(16, 4, 6, 3))], RNG.normal(size=(16, 2))
    before = [w.numpy() for w in model.trainable_weights]
    losses = model.fit(inputs, targets, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    for old, new in zip(before, model.trainable_weights, strict=True):
        assert np.abs(new - old).max() > 1e-5 or new.name == "b_key", new.path
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(inputs), model(inputs))
    for layer, again in zip(model.layers, loaded.layers, strict=True):
        assert layer.get_config() == again.get_config()


def test_dropout_is_for_training_and_of_every_part():
    x = random(1, 3, 8)
    block, plain = attn.EncoderBlock(*SIZES, dropout=0.5, seed=0), attn.EncoderBlock(*SIZES, seed=0)
    np.testing.assert_array_equal(block(x), plain(x))
    assert block.attention.dropout == block.feed_forward.dropout == 0.5
    assert attn.DecoderBlock(*SIZES, dropout=0.5).cross_attention.dropout == 0.5
    many = tf.repeat(x, 2000, axis=0)
    assert not np.allclose(block(many, training=True)[0], block(many, training=True)[1])
    feed_forward, without = attn.FeedForward(8, 11, dropout=0.5, seed=0), attn.FeedForward(8, 11, seed=0)
    mean = tf.reduce_mean(feed_forward(many, training=True), axis=0)
    np.testing.assert_allclose(mean, without(x)[0], atol=0.15)
    assert not np.allclose(mean, feed_forward(many, training=True)[0])
    # What a sub-layer adds is dropped before it is added: with nothing else dropped, half of the numbers stay.
    block.attention.dropout, block.feed_forward._drop.rate = 0.0, 0.0
    block.feed_forward.w_output.assign(tf.zeros((11, 8)))
    assert abs(np.mean(block(many, training=True) == many) - 0.5) < 0.05
    with pytest.raises(ValueError, match='dropout must be 0 for impl="tiled"'):
        attn.EncoderBlock(*SIZES, dropout=0.1, impl="tiled")
    with pytest.raises(ValueError, match="dropout must be a number of at least 0 and below 1, got 1"):
        attn.FeedForward(8, 11, dropout=1)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_mixed_precision_is_close_to_full(norm):
    x, memory, images = random(2, 3, 8), random(2, 5, 8), random(2, 4, 6, 3)

    def run(dtype):
        patches = attn.PatchEmbedding(2, 3, 8, seed=0, dtype=dtype)(images)
        encoded = attn.EncoderBlock(*SIZES, norm=norm, seed=0, dtype=dtype)(patches)
        return attn.DecoderBlock(*SIZES, norm=norm, seed=1, dtype=dtype)(
            x, encoded + tf.cast(memory[:, :1], encoded.dtype)
        )

    half, full = run("mixed_float16"), run("float32")
    assert half.dtype == tf.float16
    np.testing.assert_allclose(tf.cast(half, tf.float32), full, atol=0.03)
