"""The vision transformer of `attnlib.models.vision` in Keras's functional form, and what it is trained with.

    pixels -> scaled -> patches -> a class token in front, positions -> encoder blocks
           -> norm -> scores

    z_0 = [x_class; x_1 E; ...; x_N E] + E_pos                 Dosovitskiy et al. (2021), eq. 1
    z_l = block(z_(l-1)),  l = 1 ... L                         eqs. 2 and 3, pre-norm
    y   = LayerNorm(z_L)[class]                                eq. 4

The pixels' scaling is a layer of the model, so that it is saved with it: whoever loads the model feeds it raw pictures.
Numbers are of Keras's precision: for another, call both `keras.config.set_floatx`, for what goes in, and
`keras.config.set_dtype_policy`, for the layers, before.
"""

import subprocess
import sys

import keras
import tensorflow as tf

import attnlib.tensorflow as attn
from attnlib._seeds import spread


@keras.saving.register_keras_serializable(package="attnlib")
class ClassToken(keras.layers.Layer):
    """`[b, n, d] -> [b, 1 + n, d]`: a learned vector in front of every sequence, the same for all. It begins at zero.

    Source: Dosovitskiy et al. (2021), section 3.1; the initial value: the authors' published code.
    """

    def build(self, shape):
        self.token = self.add_weight(name="token", shape=(1, 1, shape[-1]), initializer="zeros")

    def call(self, x):
        token = tf.repeat(self.token, tf.shape(x)[0], axis=0)  # [b, 1, d]
        return tf.concat([tf.cast(token, x.dtype), x], axis=1)


def vision_transformer(
    *,
    size=8,
    channels=1,
    classes=10,
    patch_size=2,
    d_model=32,
    num_heads=4,
    d_hidden=64,
    depth=2,
    position_std=0.5,
    mean=0.0,
    variance=1.0,
    seed=0,
):
    """A `keras.Model`, `[b, size, size, channels] -> [b, classes]`: scores of what a picture shows.

    size, channels: of the pictures, which are square. patch_size: must divide the size. d_model, num_heads, d_hidden,
    depth: of the blocks, see `EncoderBlock`; they are layers called "block_0", "block_1" ..., and the second output of
    each is its weights, `[b, num_heads, length, length]`.
    position_std: of the learned positions at the start. mean, variance: of the pixels of the *training* pictures.
    seed: of the initial parameters.

    Raises ValueError for sizes that do not fit.
    Source: Dosovitskiy et al. (2021), section 3.1.
    """
    if not 1 <= patch_size <= size or size % patch_size:
        raise ValueError(f"patch_size must divide the size of the pictures, {size}: got {patch_size}")
    seeds = spread(seed, 2 + depth)
    pictures = keras.Input((size, size, channels), name="pictures")
    x = keras.layers.Normalization(mean=mean, variance=variance, name="scale")(pictures)
    x = attn.PatchEmbedding(patch_size, channels, d_model, seed=seeds[0], name="embed")(x)  # [b, n, d_model]
    x = ClassToken(name="class_token")(x)  # [b, 1 + n, d_model]
    positions = attn.LearnedPositions(1 + (size // patch_size) ** 2, d_model, seed=seeds[1], name="positions")
    x = positions(x)
    positions.weight.assign(positions.weight * (position_std / 0.02))  # it begins with 0.02
    for i in range(depth):
        block = attn.EncoderBlock(d_model, num_heads, d_hidden, seed=seeds[2 + i], name=f"block_{i}")
        x, _ = block(x, return_weights=True)
    x = keras.layers.LayerNormalization(epsilon=1e-5, name="norm")(x[:, 0])  # the class token alone
    scores = keras.layers.Dense(classes, kernel_initializer="zeros", name="head")(x)
    return keras.Model(pictures, scores, name="vision_transformer")


def conv_net(*, size=8, channels=1, classes=10, widths=(16, 32, 96), mean=0.0, variance=1.0, seed=0):
    """A `keras.Model`, `[b, size, size, channels] -> [b, classes]`: `attnlib.models.vision.ConvNet`.

    Two convolutions of 3 × 3 pixels, each pooled, and two linear layers.
    widths: channels of the two convolutions, and width of the first linear layer.
    Raises ValueError for a size that cannot be halved twice.
    """
    if size < 4 or size % 4:
        raise ValueError(f"size must be a multiple of 4, for it is halved twice: got {size}")
    near, far, mix, head = (keras.initializers.GlorotUniform(one) for one in spread(seed, 4))
    pictures = keras.Input((size, size, channels), name="pictures")
    x = keras.layers.Normalization(mean=mean, variance=variance, name="scale")(pictures)
    for name, width, draw in (("near", widths[0], near), ("far", widths[1], far)):
        x = keras.layers.Conv2D(width, 3, padding="same", activation="relu", kernel_initializer=draw, name=name)(x)
        x = keras.layers.MaxPooling2D(2)(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(widths[2], activation="relu", kernel_initializer=mix, name="mix")(x)
    return keras.Model(pictures, keras.layers.Dense(classes, kernel_initializer=head, name="head")(x), name="conv_net")


def shifted(pictures, by):
    """`[b, height, width, channels], [b, 2] -> [b, height, width, channels]`: each picture moved on its own.

    by: rows down and columns to the right, -1, 0 or 1. What comes in is 0, so that 0 must be paper: shift before the
    pixels are scaled.
    """
    height, width = pictures.shape[1:3]
    padded = tf.pad(pictures, [[0, 0], [1, 1], [1, 1], [0, 0]])
    rows = tf.range(height) + 1 - by[:, :1]  # [b, height]
    columns = tf.range(width) + 1 - by[:, 1:]  # [b, width]
    return tf.gather(tf.gather(padded, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)


def training_batches(pictures, labels, *, batch=64, seed=0):
    """A `tf.data.Dataset` without end, of `([batch, height, width, channels], [batch])`.

    Each pass has every picture once, in a new order; each picture is moved by up to one pixel, anew in each pass.
    """
    data = tf.data.Dataset.from_tensor_slices((pictures, labels))
    data = data.shuffle(len(labels), seed=seed).repeat().batch(batch)
    seeds = tf.data.Dataset.random(seed=seed).batch(2)  # a pair of numbers for each batch

    def moved(example, pair):
        by = tf.random.stateless_uniform((batch, 2), pair, -1, 2, tf.int32)
        return shifted(example[0], by), example[1]

    return tf.data.Dataset.zip(data, seeds).map(moved).prefetch(tf.data.AUTOTUNE)


def schedule(steps, rate):
    """Up in a straight line for the first twentieth of the steps, then down to nothing along a cosine."""
    up = round(0.05 * steps)
    return keras.optimizers.schedules.CosineDecay(0.0, steps - up, warmup_target=rate, warmup_steps=up)


def fit(model, pictures, labels, *, steps, rate=4e-3, batch=64, decay=0.05, seed=0):
    """Train with AdamW, as `scripts/train_digits.py` does with PyTorch. Returns the loss of each tenth of the steps."""
    model.compile(
        keras.optimizers.AdamW(schedule(steps, rate), weight_decay=decay, epsilon=1e-8),  # Keras has 1e-7, PyTorch 1e-8
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,  # XLA compiles longer than this trains
    )
    data = training_batches(pictures, labels, batch=batch, seed=seed)
    tenth = max(1, steps // 10)
    history = model.fit(data, epochs=steps // tenth, steps_per_epoch=tenth, shuffle=False, verbose=0)
    return history.history["loss"]


def in_a_fresh_python(code, folder):
    """Run code in a Python process of its own, in that folder, and return what it printed.

    What a process prints that has loaded a model's file says more about the file than one that has built the model.
    Raises RuntimeError with the last line of its complaint where it fails.
    """
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the process failed: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout
