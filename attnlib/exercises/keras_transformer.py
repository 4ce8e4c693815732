"""Checks for the exercises of "A transformer in Keras" (book/tensorflow/transformer.ipynb)."""

import warnings

import numpy as np
import tensorflow as tf
from keras import layers

from attnlib.exercises._answers import exercise, require, require_shape, run, same, same_values


@exercise
def check_parameters(with_8, with_16):
    """Exercise 1: the parameters of multi-head attention with d_model 512 and biases, for 8 heads and for 16."""
    matrices = 4 * 512 * 512
    for mistake, message in (
        (matrices, "and the biases: a vector of 512 for each of the four matrices."),
        (3 * (512 * 512 + 512), "the heads' findings are mixed by one matrix more, the output projection."),
        (3 * 512 * 512, "there is an output projection as well, and each of the four has a bias."),
        (
            8 * 4 * (512 * 512 + 512),
            "a head projects to 512 / 8 entries, not to 512: together they fill one matrix.",
        ),
        (512 * 512 + 512, "this is one projection: queries, keys, values and the output have one each."),
    ):
        require(not same_values(with_8, mistake, tolerance=1e-9), message)
    message = "with 8 heads: not this number. Add up four matrices of 512 × 512, and four biases."
    require(same_values(with_8, matrices + 4 * 512, tolerance=1e-9), message)
    message = "more heads cut the same 512 entries into narrower slices: the matrices stay as they are."
    require(not same_values(with_16, 2 * (matrices + 4 * 512), tolerance=1e-9), message)
    message = "with 16 heads: not this number. How wide is a head now, and how wide are all of them together?"
    require(same_values(with_16, matrices + 4 * 512, tolerance=1e-9), message)
    return "1,050,624, however many heads: a head is a slice, not a layer of its own."


@exercise
def check_attention_mask(answer):
    """Exercise 2: `attention_mask(ids)`, `[b, n] -> [b, n, n]`, boolean, causal, and no padded key."""
    ids = np.array([[5, 3, 7, 0, 0], [0, 0, 4, 6, 2], [9, 8, 7, 6, 5]])  # also padded in front, as some do
    real, earlier = ids != 0, np.tri(5, dtype=bool)
    right = earlier & real[:, None, :]
    got = run(answer, ids)
    if same_values(got, right & real[:, :, None]):  # what padding itself sees does not matter: nobody reads it
        got = right
    require(
        not same_values(got, np.broadcast_to(earlier, (3, 5, 5))),
        "this is the causal mask alone: a padded key may still be looked at.",
    )
    require(
        not same_values(got, np.broadcast_to(real[:, None, :], (3, 5, 5))) and not same_values(got, real[:, None, :]),
        "this leaves out the padding, but a token sees later tokens too.",
    )
    require(getattr(got, "shape", None) != (5, 5), "one mask for each text: [b, n, n], since each has its own padding.")
    require_shape(got, (3, 5, 5), "the mask", hint="Queries along the rows, keys along the columns, for each text.")
    for mistake, message in (
        (~right, "the wrong way round: in Keras, as in this book, True means *may* attend."),
        (
            earlier & real[:, :, None],
            "the padding is on the axis of the queries: it is keys that nobody may look at.",
        ),
        (np.swapaxes(right, 1, 2), "queries along the rows, keys along the columns: this is the other way round."),
        (real[:, None, :] & real[:, :, None], "this leaves out the padding, but a token sees later tokens too."),
        (earlier.T & real[:, None, :], "a token sees itself and what comes *after* it: turn the triangle."),
        (np.tri(5, k=-1, dtype=bool) & real[:, None, :], "a token must see itself: the diagonal belongs to the mask."),
        (earlier | real[:, None, :], "a key must be earlier *and* real: combine the two with `&`."),
    ):
        require(not same_values(got, mistake), message)
    same(got, right, "the mask", hint="earlier [n, n], and real [b, 1, n].")
    shorter = run(answer, ids[2:, :3])
    same(shorter, earlier[None, :3, :3], "the mask of a shorter text", hint="take n from `ids`.")
    return "made from the numbers themselves, it depends on no layer's memory."


@exercise
def check_scaled(answer):
    """Exercise 3: `Scaled(factor)`, a layer that keeps the mask and its factor."""
    require(isinstance(answer, type) and issubclass(answer, layers.Layer), "a class that inherits from `layers.Layer`.")
    message = "it has no `call` yet: replace the `...`."
    require(answer.call is not layers.Layer.call, message)
    message = "it has no `__init__` yet: one that takes `factor`, and hands the rest to `super()`."
    require(answer.__init__ is not layers.Layer.__init__, message)
    x = layers.Embedding(10, 4, mask_zero=True)(np.array([[5, 3, 0]]))
    with warnings.catch_warnings():  # Keras's own warning of a lost mask: the message below says more
        warnings.simplefilter("ignore")
        for factor in (0.5, 3.0):
            layer = run(answer, factor)
            require(not _forgets_to_return(layer, x), "`call` returned nothing: end it with `return`.")
            got = run(layer, x)
            same(got, factor * x, "its output", hint="x times the factor.")
    mask = getattr(got, "_keras_mask", None)
    message = "the mask is lost: say `self.supports_masking = True` in `__init__`, after `super().__init__(...)`."
    require(mask is not None, message)
    same(mask, np.array([[True, True, False]]), "the mask", hint="hand on the one that came.")
    config = run(layer.get_config)
    message = "`get_config` does not say the factor: a loaded layer could not know it."
    require(isinstance(config, dict) and set(config) - set(layers.Layer().get_config()), message)
    message = "begin from `super().get_config()`: name and dtype belong to it as well."
    require({"name", "trainable", "dtype"} <= set(config), message)
    try:
        copy = answer.from_config(config)
    except TypeError as error:
        require(False, f"`from_config` raised {error}: `__init__` must take `**kwargs` and pass them to `super()`.")
    same(run(copy, x), 3.0 * x, "the output of the copy", hint="`__init__` must use the factor that it is given.")
    require(copy.name == layer.name, "the copy has another name: pass `**kwargs` on to `super().__init__`.")
    return "it keeps the mask, and comes back as it was."


def _forgets_to_return(layer, x) -> bool:
    """Asked without a mask: with one, a `call` that returns nothing breaks Keras's record of masks, for every layer."""
    try:
        return layer(tf.constant(x.numpy())) is None
    except Exception:  # whatever else is wrong is told by the next call
        return False


@exercise
def check_masked_loss(answer):
    """Exercise 4: `masked_loss(losses, real)`, the mean of the real places, 0 if there are none."""
    losses = tf.constant([[1.0, 2.0, 6.0, 8.0], [5.0, 3.0, 7.0, 9.0]])
    real = tf.constant([[True, True, True, False], [True, False, False, False]])
    got = run(answer, losses, real)
    require_shape(got, (), "the loss", hint="one number for the whole batch.")
    for mistake, message in (
        (41 / 8, "this is the mean of all places: the padding counts."),
        (14 / 8, "the padding adds nothing, and is still counted: divide by the number of *real* places."),
        ((3 + 5) / 2, "a mean of means: a character of a short text weighs more than one of a long text."),
        (14, "this is the sum: divide by the number of real places."),
        (14 / 2, "divided by the number of texts: divide by the number of real places."),
        (27 / 4, "the wrong way round: `real` is True where there is a character."),
    ):
        require(not same_values(got, mistake), message)
    same(got, 14 / 4, "the loss", hint="the sum over the real places, divided by how many they are.")
    nothing = run(answer, losses, tf.zeros_like(real))
    same(nothing, 0.0, "with nothing real", hint="0 divided by 0 is not a number: `tf.math.divide_no_nan`.")
    return "the padding neither adds nor counts: this is what Keras does when the mask arrives."


@exercise
def check_lost_at(answer):
    """Exercise 5: `lost_at(steps, x)`, the index of the first step whose result has no mask, or -1."""
    ids = np.array([[5, 3, 0]])
    embed = layers.Embedding(10, 4, mask_zero=True)

    def bare(x):
        return x * 2.0

    def remade(x):  # a mask again, after one that lost it
        x = tf.identity(x)
        x._keras_mask = tf.constant([[True, True, False]])
        return x

    dense = layers.Dense(4)
    got = run(answer, [embed, dense, bare, dense, dense], ids)
    require(not same_values(got, 4), "the *last* without a mask was returned: stop at the first.")
    require(not same_values(got, 3), "the step after it: the first step has the index 0.")
    message = "the step before it: count from 0, and let each step take what the one before it returned."
    require(not same_values(got, 1), message)
    same(got, 2, "the step", hint="look at the result of each step.")
    same(run(answer, [bare, layers.Dense(4)], ids), 0, "where the first step gives no mask")
    same(run(answer, [embed, dense], ids), -1, "where no mask is lost", hint="then the answer is -1.")
    found = run(answer, [embed, bare, remade], ids)
    same(found, 1, "where a mask is lost and made again", hint="the first result without a mask, not the last.")
    return "a lost mask has an address now."
