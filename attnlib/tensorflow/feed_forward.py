"""The feed-forward layer of a transformer block: at every position by itself, wider and back.

    FFN(x) = activation(x W_1 + b_1) W_2 + b_2                Vaswani et al. (2017), eq. 2, with ReLU
    GELU(x) = x · (1 + erf(x / √2)) / 2                       Hendrycks and Gimpel (2016), section 2

W_1 is called `w_hidden` here and W_2 `w_output`.
"""

import math

import keras
import tensorflow as tf

from attnlib import _checks
from attnlib.tensorflow._affine import affine
from attnlib.tensorflow.layers import _glorot


@keras.saving.register_keras_serializable(package="attnlib")
class FeedForward(keras.layers.Layer):
    """Two linear layers with an activation between them, the same for every position.

    d_model: width of input and output. d_hidden: width in between, often 4 · d_model.
    activation: "gelu", the exact one with the error function, or "relu". seed: of the initial parameters `w_hidden`
    `[d_model, d_hidden]` and `w_output` `[d_hidden, d_model]`; the biases `b_hidden` and `b_output` begin at zero.

    Raises ValueError for sizes that are not integers of at least 1, and for an activation that there is not.
    Source: Vaswani et al. (2017), section 3.3; GELU: Hendrycks and Gimpel (2016), section 2.

    dropout: the share of the hidden layer set to zero in training.
    """

    def __init__(self, d_model, d_hidden, *, activation="gelu", dropout=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        _checks.length("d_model", d_model)
        _checks.length("d_hidden", d_hidden)
        _checks.choice("activation", activation, ["gelu", "relu"])
        _checks.dropout(dropout, "explicit")
        self.d_model, self.d_hidden, self.activation = d_model, d_hidden, activation
        self.dropout, self.seed = dropout, seed
        self.supports_masking = True  # each position by itself
        self._drop = keras.layers.Dropout(dropout, seed=seed, dtype=self.dtype_policy)

    def build(self, x_shape):
        # One seed gives two different draws: an initialiser with a seed would repeat itself.
        seeds = [None] * 2 if self.seed is None else [2 * self.seed + i for i in range(2)]
        shapes = {"hidden": (self.d_model, self.d_hidden), "output": (self.d_hidden, self.d_model)}
        for (name, shape), seed in zip(shapes.items(), seeds, strict=True):
            weight = self.add_weight(name=f"w_{name}", shape=shape, initializer=_glorot(seed))
            bias = self.add_weight(name=f"b_{name}", shape=shape[1:], initializer="zeros")
            setattr(self, f"w_{name}", weight)
            setattr(self, f"b_{name}", bias)

    def call(self, x, *, training=False):
        """`[..., d_model] -> [..., d_model]`.

        Raises ValueError for a width or type that does not fit.

        training: filled by Keras.
        """
        _checks.feed_forward(x, self.w_hidden)
        hidden = affine(x, self.w_hidden, self.b_hidden)  # [..., d_hidden]
        if self.activation == "relu":
            hidden = tf.nn.relu(hidden)
        else:  # tf.nn.gelu rounds √2 to float32, in float64 too
            hidden = hidden * (1 + tf.math.erf(hidden / math.sqrt(2))) / 2
        return affine(self._drop(hidden, training=training), self.w_output, self.b_output)

    def get_config(self):
        names = ("d_model", "d_hidden", "activation", "dropout", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
