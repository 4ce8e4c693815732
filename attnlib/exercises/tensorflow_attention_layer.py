"""Checks of the chapter "An attention layer, and how a popular one goes wrong" (TensorFlow)."""

import inspect
import warnings

import keras
import numpy as np
import tensorflow as tf

from attnlib.exercises._answers import as_array, exercise, require, require_shape, run, same, same_values


@exercise
def check_leak(answer):
    """What the copied layer returns for the first of two examples."""
    got = as_array(answer, "your answer")
    require_shape(got, (2,), "your answer", hint="The output is a mix of the two states, so it has two numbers.")
    share = np.e / (np.e + 1)
    hint = "The scores of the first example are (1, 0); the softmax of these mixes the two states."
    require(not same_values(got, [1, 0], tolerance=0.01), "that is the state itself, as if nothing leaked. " + hint)
    require(not same_values(got, [0.5, 0.5], tolerance=0.01), "that is the plain mean of both states. " + hint)
    require(not same_values(got, [1 - share, share], tolerance=0.01), "that is the output for the second example.")
    same(got, [share, 1 - share], "your answer", hint=hint, tolerance=0.01)
    return "0.73 of the first example's own state, and 0.27 of somebody else's."


def _doubled(x):
    return 2 * tf.convert_to_tensor(x)


def _from_later(x):
    return tf.cumsum(tf.convert_to_tensor(x), axis=0, reverse=True)


def _from_earlier(x):
    return tf.cumsum(tf.convert_to_tensor(x), axis=0)


def _mixed(x):
    x = tf.convert_to_tensor(x)
    return tf.matmul(tf.nn.softmax(tf.matmul(x, x, transpose_b=True)), x)


@exercise
def check_leaks(leaks):
    """A detector of layers that let one example of a batch into another."""
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    verdicts = {
        "a layer that doubles every number": (_doubled, False),
        "the copied layer": (_mixed, True),
        "a layer that adds each example to all later ones": (_from_earlier, True),
        "a layer that adds each example to all earlier ones": (_from_later, True),
    }
    for what, (layer, expected) in verdicts.items():
        got = run(leaks, layer, x)
        require(isinstance(got, bool | np.bool_), f"return True or False, not {type(got).__name__}.")
        if got and not expected:
            require(False, f"{what} is called leaky. The changed example itself may change: compare the others.")
        require(got == expected, f"{what} leaks, and it was not noticed. Change each example in turn, not just one.")
    return "it finds a leak in either direction, and accuses nobody wrongly."


@exercise
def check_scores_with_bias(function):
    """General scores with a bias that the softmax does not cancel."""
    rng = np.random.default_rng(0)
    q, k, weight, bias = (rng.normal(size=shape).astype("float32") for shape in [(3, 5), (4, 5), (5, 5), (5,)])
    got = run(function, *map(tf.constant, (q, k, weight, bias)))
    hint = "Add the bias to the projected queries, q W + b, and multiply by the keys."
    require_shape(got, (3, 4), "the scores", hint="One row a query, one column a key.")
    got = as_array(got)
    require(not same_values(got, q @ weight @ k.T), "the bias is not used.")
    shifts = got - q @ weight @ k.T
    constant = np.allclose(shifts, shifts[:, :1], atol=1e-4)
    require(not constant, "the bias adds the same to every score of a query, and the softmax cancels it. " + hint)
    require(not same_values(got, q @ weight.T @ k.T + bias @ k.T), "the weight is transposed: q W, not q Wᵀ.")
    same(got, (q @ weight + bias) @ k.T, "the scores", hint=hint)
    return "b · k differs from key to key: the layer can prefer some keys whatever the query."


@exercise
def check_masked_mean(layer):
    """A layer that pools over the real positions."""
    require(inspect.isclass(layer) and issubclass(layer, keras.layers.Layer), "a Keras layer class is expected here.")
    x = np.random.default_rng(0).normal(size=(3, 4, 2)).astype("float32")
    real = np.arange(4) < np.array([[3], [1], [0]])  # the padding is not zeros, so that it shows
    names = list(inspect.signature(layer.call).parameters)[1:]  # without self
    require("mask" in names, f"Keras fills an argument of `call` that is called `mask`; yours: {', '.join(names)}.")

    def pooled(tensor, mask=None):
        with warnings.catch_warnings():
            # Keras warns that the mask goes no further. It need not: the output has no time axis.
            warnings.simplefilter("ignore", UserWarning)
            return run(lambda tensor: layer()(tensor, mask=mask), tensor)

    got = pooled(tf.constant(x), tf.constant(real))
    require_shape(got, (3, 2), "the mean", hint="The time axis, axis 1, goes away.")
    got = as_array(got)
    hint = "Divide the sum over the real positions by how many there are."
    require(not same_values(got, x.mean(axis=1)), f"padded positions are counted. {hint}")
    same(got[:2], [x[0, :3].mean(axis=0), x[1, 0]], "the mean", hint=hint)
    same(got[2], [0, 0], "the mean of nothing", hint="tf.math.divide_no_nan gives 0 for 0 / 0.")
    padded = x * real[:, :, None]
    same(pooled(keras.layers.Masking()(padded)), got, "the mean with the mask that Keras fills in")
    plain = pooled(tf.constant(x))
    same(plain, x.mean(axis=1), "the mean without a mask", hint="`mask` is None then, and all positions are real.")
    return "the mask arrived by its name, and padding has no say."
