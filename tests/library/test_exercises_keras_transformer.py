"""The exercises of "A transformer in Keras": right answers pass, typical mistakes are named."""

import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from attnlib.exercises import keras_transformer as ex

FRAMEWORK = "tensorflow"


def attention_mask(ids):
    n = tf.shape(ids)[1]
    return (tf.range(n)[:, None] >= tf.range(n)) & (ids != 0)[:, None, :]


def in_numpy(ids):
    return np.tri(ids.shape[1], dtype=bool) & (ids != 0)[:, None, :]


class Scaled(layers.Layer):
    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor
        self.supports_masking = True

    def call(self, x):
        return x * self.factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


class HandsOn(Scaled):
    """Keeps the mask by `compute_mask`, the other way that there is."""

    def compute_mask(self, x, mask=None):
        return mask


class Renamed(layers.Layer):
    """The factor under another name: it comes back all the same."""

    def __init__(self, scale, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale
        self.supports_masking = True

    def call(self, x):
        return x * self.scale

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


class Stub(layers.Layer): ...


class Bare(layers.Layer):
    def call(self, x):
        return 3.0 * x


class Nothing(Scaled):
    def call(self, x):
        x * self.factor


class Three(Scaled):
    def call(self, x):
        return 3.0 * x


class TooEarly(Scaled):
    def __init__(self, factor, **kwargs):
        self.supports_masking = True
        layers.Layer.__init__(self, **kwargs)
        self.factor = factor


class Added(Scaled):
    def call(self, x):
        return x + self.factor


class Maskless(Scaled):
    def __init__(self, factor, **kwargs):
        super().__init__(factor, **kwargs)
        self.supports_masking = False


class Everything(Scaled):
    def compute_mask(self, x, mask=None):
        return tf.ones_like(mask)


class Silent(Scaled):
    def get_config(self):
        return layers.Layer.get_config(self)


class Alone(Scaled):
    def get_config(self):
        return {"factor": self.factor}


class Narrow(Scaled):
    def __init__(self, factor):
        super().__init__(factor)


class Nameless(Scaled):
    def __init__(self, factor, **kwargs):
        super().__init__(factor)


class Fixed(Scaled):
    def __init__(self, factor, name=None, **kwargs):
        super().__init__(factor if name is None else 2.0, name=name, **kwargs)


def masked_loss(losses, real):
    real = tf.cast(real, losses.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(losses * real), tf.reduce_sum(real))


def chosen(losses, real):
    return tf.reduce_mean(losses[real]) if tf.reduce_any(real) else 0.0


def product(losses, real):
    return losses * tf.cast(real, losses.dtype)


def mean_of_means(losses, real):
    counts = tf.reduce_sum(tf.cast(real, losses.dtype), axis=1)
    return tf.reduce_mean(tf.reduce_sum(product(losses, real), axis=1) / counts)


def lost_at(steps, x):
    for number, step in enumerate(steps):
        x = step(x)
        if getattr(x, "_keras_mask", None) is None:
            return number
    return -1


def all_first(steps, x):
    bare = []
    for step in steps:
        x = step(x)
        bare.append(getattr(x, "_keras_mask", None) is None)
    return bare.index(True) if any(bare) else -1


def lasting(steps, x):
    found = -1
    for number, step in enumerate(steps):
        x = step(x)
        found = number if getattr(x, "_keras_mask", None) is None else found
    return found


def apart(steps, x):
    return next((n for n, step in enumerate(steps) if getattr(step(x), "_keras_mask", None) is None), -1)


def before(steps, x):
    return lost_at(steps, x) - 1


def one_based(steps, x):
    return lost_at(steps, x) + 1


RIGHT = 4 * (512 * 512 + 512)

ANSWERS = [
    (ex.check_parameters, (RIGHT, RIGHT)),
    (ex.check_attention_mask, (attention_mask,)),
    (ex.check_attention_mask, (in_numpy,)),
    (ex.check_attention_mask, (lambda ids: in_numpy(ids) & (ids != 0)[:, :, None],)),
    (ex.check_scaled, (Scaled,)),
    (ex.check_scaled, (Renamed,)),
    (ex.check_scaled, (HandsOn,)),
    (ex.check_masked_loss, (masked_loss,)),
    (ex.check_masked_loss, (chosen,)),
    (ex.check_lost_at, (lost_at,)),
    (ex.check_lost_at, (all_first,)),
]

MISTAKES = [
    (ex.check_parameters, (4 * 512 * 512, RIGHT), "and the biases"),
    (ex.check_parameters, (3 * (512 * 512 + 512), RIGHT), "one matrix more"),
    (ex.check_parameters, (3 * 512 * 512, RIGHT), "an output projection as well"),
    (ex.check_parameters, (8 * RIGHT, RIGHT), "512 / 8 entries"),
    (ex.check_parameters, (512 * 512 + 512, RIGHT), "this is one projection"),
    (ex.check_parameters, (RIGHT + 1, RIGHT), "four matrices of 512"),
    (ex.check_parameters, (RIGHT, 2 * RIGHT), "narrower slices"),
    (ex.check_parameters, (RIGHT, RIGHT // 2), "How wide is a head"),
    (ex.check_attention_mask, (lambda ids: np.tri(5, dtype=bool)[None].repeat(3, 0),), "causal mask alone"),
    (ex.check_attention_mask, (lambda ids: np.tri(5, dtype=bool),), "one mask for each text"),
    (ex.check_attention_mask, (lambda ids: (ids != 0)[:, None, :],), "sees later tokens too"),
    (ex.check_attention_mask, (lambda ids: (ids != 0)[:, None, :] & np.ones((5, 5), bool),), "sees later tokens too"),
    (ex.check_attention_mask, (lambda ids: ~in_numpy(ids),), "the wrong way round"),
    (ex.check_attention_mask, (lambda ids: np.tri(5, dtype=bool) & (ids != 0)[:, :, None],), "axis of the queries"),
    (ex.check_attention_mask, (lambda ids: in_numpy(ids).transpose(0, 2, 1),), "this is the other way round"),
    (ex.check_attention_mask, (lambda ids: (ids != 0)[:, None] & (ids != 0)[:, :, None],), "sees later tokens too"),
    (ex.check_attention_mask, (lambda ids: np.tri(5, dtype=bool) & (ids != 0)[:, None],), "your code raised"),
    (ex.check_attention_mask, (lambda ids: np.tri(5, dtype=bool) & np.resize(ids != 0, (len(ids), 1, 5)),), "shorter"),
    (ex.check_attention_mask, (lambda ids: np.tri(5, dtype=bool).T & (ids != 0)[:, None],), "turn the triangle"),
    (ex.check_attention_mask, (lambda ids: np.tri(5, k=-1, dtype=bool) & (ids != 0)[:, None],), "the diagonal belongs"),
    (ex.check_attention_mask, (lambda ids: np.tri(5, dtype=bool) | (ids != 0)[:, None],), "earlier *and* real"),
    (ex.check_attention_mask, (lambda ids: in_numpy(ids)[:, :3],), "the shape is (3, 3, 5)"),
    (ex.check_attention_mask, (lambda ids: np.zeros((3, 5, 5), bool),), "earlier [n, n]"),
    (ex.check_attention_mask, (lambda ids: in_numpy(ids).astype(float),), "True and False are expected"),
    (ex.check_scaled, (lambda x: 3 * x,), "a class that inherits"),
    (ex.check_scaled, (Stub,), "no `call` yet"),
    (ex.check_scaled, (Bare,), "no `__init__` yet"),
    (ex.check_scaled, (Nothing,), "returned nothing"),
    (ex.check_scaled, (Three,), "x times the factor"),
    (ex.check_scaled, (TooEarly,), "after `super().__init__(...)`"),
    (ex.check_scaled, (Added,), "x times the factor"),
    (ex.check_scaled, (Maskless,), "the mask is lost"),
    (ex.check_scaled, (Everything,), "hand on the one that came"),
    (ex.check_scaled, (Silent,), "does not say the factor"),
    (ex.check_scaled, (Alone,), "super().get_config()"),
    (ex.check_scaled, (Narrow,), "must take `**kwargs`"),
    (ex.check_scaled, (Nameless,), "the copy has another name"),
    (ex.check_scaled, (Fixed,), "must use the factor"),
    (ex.check_masked_loss, (lambda x, real: tf.reduce_mean(x),), "the mean of all places"),
    (ex.check_masked_loss, (lambda x, real: tf.reduce_mean(product(x, real)),), "is still counted"),
    (ex.check_masked_loss, (mean_of_means,), "a mean of means"),
    (ex.check_masked_loss, (lambda x, real: tf.reduce_sum(product(x, real)),), "this is the sum"),
    (ex.check_masked_loss, (lambda x, real: tf.reduce_sum(product(x, real)) / 2,), "the number of texts"),
    (ex.check_masked_loss, (lambda x, real: masked_loss(x, ~real),), "the wrong way round"),
    (ex.check_masked_loss, (lambda x, real: tf.reduce_max(x),), "the sum over the real places"),
    (ex.check_masked_loss, (product,), "one number for the whole batch"),
    (ex.check_masked_loss, (lambda x, real: tf.reduce_mean(x[real]),), "divide_no_nan"),
    (ex.check_lost_at, (lasting,), "stop at the first"),
    (ex.check_lost_at, (before,), "count from 0"),
    (ex.check_lost_at, (one_based,), "the first step has the index 0"),
    (ex.check_lost_at, (lambda steps, x: 0,), "look at the result of each"),
    (ex.check_lost_at, (lambda steps, x: 2,), "where the first step gives no mask"),
    (ex.check_lost_at, (lambda steps, x: lost_at(steps, x) % len(steps),), "the answer is -1"),
    (ex.check_lost_at, (lambda steps, x: lost_at(steps, x) if len(steps) != 3 else 2,), "made again"),
    (ex.check_lost_at, (apart,), "take what the one before it returned"),
]


@pytest.mark.parametrize("check, answers", ANSWERS)
def test_right_answers_pass(check, answers, capsys):
    assert check(*answers) is True
    assert capsys.readouterr().out.startswith("Correct: ")


@pytest.mark.filterwarnings("ignore:Layer .* does not support masking")
@pytest.mark.parametrize("check, answers, says", MISTAKES)
def test_mistakes_are_named(check, answers, says, capsys):
    assert check(*answers) is None
    printed = capsys.readouterr().out
    assert printed.startswith("Not yet: ") and says in printed


@pytest.mark.parametrize("check", dict.fromkeys(check for check, _ in ANSWERS))
def test_stubs_are_told_to_write_something(check, capsys):
    assert check(*(...,) * (2 if check is ex.check_parameters else 1)) is None
    assert "replace the `...`" in capsys.readouterr().out


def test_a_call_that_returns_nothing_spoils_no_layer_that_is_called_later(capsys):
    """Keras keeps masks in a record of its own; a mask of None in it makes every layer without a mask fail."""

    class Forgets(layers.Layer):
        def __init__(self, factor, **options):
            super().__init__(**options)
            self.supports_masking = True

        def call(self, x):
            x * 2

    ex.check_scaled(Forgets)
    assert "returned nothing" in capsys.readouterr().out
    attention = layers.MultiHeadAttention(1, 2)
    assert attention(tf.ones([1, 3, 2]), tf.ones([1, 3, 2])).shape == (1, 3, 2)
