"""The checks of "An attention layer, and how a popular one goes wrong": right answers pass, mistakes are named."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from attnlib.exercises import tensorflow_attention_layer as ex

SHARE = float(np.e / (np.e + 1))


def detector(*positions, others=True):
    """A leak detector that changes the examples at `positions` and looks at the others, or at all."""

    def leaks(layer, x):
        before = np.asarray(layer(x))
        for i in positions:
            changed = np.array(x)
            changed[i] += 1
            watched = np.arange(len(x)) != i if others else np.full(len(x), True)
            if not np.allclose(np.asarray(layer(changed))[watched], before[watched], atol=1e-6):
                return True
        return False

    return leaks


class Mean(keras.layers.Layer):
    def call(self, x, mask=None):
        if mask is None:
            return tf.reduce_mean(x, axis=1)
        real = tf.cast(mask, x.dtype)[:, :, None]
        return tf.math.divide_no_nan(tf.reduce_sum(x * real, axis=1), tf.reduce_sum(real, axis=1))


class Unwritten(keras.layers.Layer):
    def call(self, x): ...


class OtherName(keras.layers.Layer):
    def call(self, x, padding_mask=None):
        return tf.reduce_mean(x, axis=1)


class MaskIgnored(keras.layers.Layer):
    def call(self, x, mask=None):
        return tf.reduce_mean(x, axis=1)


class WholeLength(Mean):
    def call(self, x, mask=None):
        return super().call(x) if mask is None else tf.reduce_mean(x * tf.cast(mask, x.dtype)[:, :, None], axis=1)


class PaddingSummed(Mean):
    def call(self, x, mask=None):
        if mask is None:
            return super().call(x)
        return tf.reduce_sum(x, axis=1) / tf.reduce_sum(tf.cast(mask, x.dtype), axis=1)[:, None]


class NotANumber(Mean):
    def call(self, x, mask=None):
        if mask is None:
            return super().call(x)
        real = tf.cast(mask, x.dtype)[:, :, None]
        return tf.reduce_sum(x * real, axis=1) / tf.reduce_sum(real, axis=1)


class NeedsMask(Mean):
    def call(self, x, mask=None):
        return super().call(x, tf.zeros(x.shape[:2], bool) if mask is None else mask)


class WrongAxis(Mean):
    def call(self, x, mask=None):
        return tf.reduce_mean(x, axis=2)


RIGHT = [
    (ex.check_leak, (SHARE, 1 - SHARE)),
    (ex.check_leak, [0.73, 0.27]),
    (ex.check_leaks, detector(0, 1, 2, 3)),
    (ex.check_scores_with_bias, lambda q, k, w, b: tf.matmul(q @ w + b, k, transpose_b=True)),
    (ex.check_masked_mean, Mean),
]
WRONG = [
    ("there is nothing to check", ex.check_leak, ...),
    ("two numbers", ex.check_leak, 0.73),
    ("the state itself", ex.check_leak, (1, 0)),
    ("the plain mean", ex.check_leak, (0.5, 0.5)),
    ("the second example", ex.check_leak, (0.27, 0.73)),
    ("found 0.6", ex.check_leak, (0.6, 0.4)),
    ("returned nothing", ex.check_leaks, lambda layer, x: ...),
    ("return True or False", ex.check_leaks, lambda layer, x: np.zeros(3)),
    ("Change each example in turn", ex.check_leaks, detector(0)),
    ("Change each example in turn", ex.check_leaks, detector(3)),
    ("compare the others", ex.check_leaks, detector(0, 1, 2, 3, others=False)),
    ("it was not noticed", ex.check_leaks, lambda layer, x: False),
    ("is called leaky", ex.check_leaks, lambda layer, x: True),
    ("returned nothing", ex.check_scores_with_bias, lambda q, k, w, b: ...),
    ("the bias is not used", ex.check_scores_with_bias, lambda q, k, w, b: tf.matmul(q @ w, k, transpose_b=True)),
    (
        "the softmax cancels it",
        ex.check_scores_with_bias,
        lambda q, k, w, b: tf.matmul(q, k @ tf.transpose(w) + b, transpose_b=True),
    ),
    (
        "the softmax cancels it",
        ex.check_scores_with_bias,
        lambda q, k, w, b: tf.matmul(q @ w, k, transpose_b=True) + b[0],
    ),
    (
        "the weight is transposed",
        ex.check_scores_with_bias,
        lambda q, k, w, b: tf.matmul(q @ tf.transpose(w) + b, k, transpose_b=True),
    ),
    ("the shape is (4, 3)", ex.check_scores_with_bias, lambda q, k, w, b: tf.matmul(k, q @ w + b, transpose_b=True)),
    ("a Keras layer class", ex.check_masked_mean, lambda x, mask=None: x),
    ("yours: x", ex.check_masked_mean, Unwritten),
    ("yours: x, padding_mask", ex.check_masked_mean, OtherName),
    ("padded positions are counted", ex.check_masked_mean, MaskIgnored),
    ("the mean: found", ex.check_masked_mean, WholeLength),
    ("the mean: found", ex.check_masked_mean, PaddingSummed),
    ("gives 0 for 0 / 0", ex.check_masked_mean, NotANumber),
    ("without a mask", ex.check_masked_mean, NeedsMask),
    ("axis 1, goes away", ex.check_masked_mean, WrongAxis),
]


@pytest.mark.parametrize(("check", "answer"), RIGHT)
def test_right_answers_pass(check, answer, capsys):
    assert check(answer) is True
    assert capsys.readouterr().out.startswith("Correct: ")


@pytest.mark.parametrize(("message", "check", "answer"), WRONG)
def test_mistakes_are_named(message, check, answer, capsys):
    assert check(answer) is None
    said = capsys.readouterr().out
    assert said.startswith("Not yet: ")
    assert message in said
