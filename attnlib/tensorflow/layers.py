"""Attention layers: a score function with its parameters, the softmax and the values, in one Keras layer.

Keras carries masks along with tensors (from `Embedding(mask_zero=True)` or `Masking`) and fills a layer's mask
arguments from them: `mask` where a call has one tensor, `<argument>_mask` where it has several. What the caller
decides is therefore called `attention_mask`.
"""

import math

import keras
import tensorflow as tf

from attnlib import _checks
from attnlib.tensorflow.dense import attend
from attnlib.tensorflow.masks import with_causal
from attnlib.tensorflow.scores import additive_scores, concat_scores, cosine_scores, general_scores, scaled_dot_scores


def _glorot(seed):
    """Uniform in ±sqrt(6 / (fan_in + fan_out)): Glorot and Bengio (2010), eq. 16."""
    return keras.initializers.GlorotUniform(seed)


def _and(*masks):
    """All of the masks that are not None, combined with `&`."""
    combined = None
    for mask in masks:
        if mask is not None:
            combined = mask if combined is None else combined & mask
    return combined


class _Attention(keras.layers.Layer):
    """Scores, masked softmax, weighted values; a subclass says how queries and keys are scored."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True  # the output has a row for each query, so it keeps the query's mask

    def call(
        self,
        query,
        key=None,
        value=None,
        *,
        attention_mask=None,
        causal=False,
        return_weights=False,
        query_mask=None,
        key_mask=None,
        value_mask=None,
        mask=None,
    ):
        """`[batch, q_len, d_query], [batch, k_len, d_key], [batch, k_len, d_v] -> [batch, q_len, d_v]`.

        key: defaults to `query` (self-attention); value: defaults to `key`.
        attention_mask: boolean, True where a query may attend, broadcasting to `[..., q_len, k_len]`.
        causal: a query sees no later key. return_weights: return `(output, weights)`.

        There may be more axes between batch and length. Raises ValueError for shapes or types that do not fit, and
        where there is no batch: `[batch, features]` would pass for one sequence, its examples for positions.

        query_mask, key_mask, value_mask, mask: `[..., length]`, filled by Keras: which positions are not padding.
        Padded keys are not attended to. Padded queries are computed like any other; the output carries their mask.
        """
        if key is None:
            key = query
            key_mask = _and(key_mask, query_mask, mask)
        if value is None:
            value = key
        _checks.layer(query, key, value)
        scores = self.scores(query, key)
        _checks.mask("attention_mask", attention_mask, _checks.shape(scores))
        padding = _and(key_mask, value_mask)
        if padding is not None:
            padding = padding[..., None, :]  # [..., 1, k_len]
        allowed = with_causal(_and(attention_mask, padding), causal, query, key)
        return attend(scores, value, mask=allowed, return_weights=return_weights)


@keras.saving.register_keras_serializable(package="attnlib")
class DotProductAttention(_Attention):
    """Attention with scaled dot products; it has no parameters.

    scale: what multiplies the dot products, by default 1/√d; 1.0 gives plain dot products.
    Source: Vaswani et al. (2017), eq. 1; unscaled: Luong, Pham and Manning (2015), section 3.1.
    """

    def __init__(self, *, scale=None, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def scores(self, query, key):
        """`[..., q_len, d], [..., k_len, d] -> [..., q_len, k_len]`."""
        return scaled_dot_scores(query, key, scale=self.scale)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable(package="attnlib")
class GeneralAttention(_Attention):
    """Attention with a learned bilinear form between queries and keys.

    d_query, d_key: widths of queries and keys. seed: of the initial `weight` `[d_query, d_key]`.
    Raises ValueError for a width that is not an integer of at least 1.
    Source: Luong, Pham and Manning (2015), section 3.1, "general".
    """

    def __init__(self, d_query, d_key, *, seed=None, **kwargs):
        super().__init__(**kwargs)
        _checks.length("d_query", d_query)
        _checks.length("d_key", d_key)
        self.d_query, self.d_key, self.seed = d_query, d_key, seed

    def build(self, query_shape, key_shape=None, value_shape=None):
        self.weight = self.add_weight(name="weight", shape=(self.d_query, self.d_key), initializer=_glorot(self.seed))

    def scores(self, query, key):
        """`[..., q_len, d_query], [..., k_len, d_key] -> [..., q_len, k_len]`."""
        return general_scores(query, key, self.weight)

    def get_config(self):
        return {**super().get_config(), "d_query": self.d_query, "d_key": self.d_key, "seed": self.seed}


@keras.saving.register_keras_serializable(package="attnlib")
class AdditiveAttention(_Attention):
    """Attention with a small learned network on each pair of query and key.

    d_query, d_key, d_hidden: widths of queries, keys and the hidden layer. seed: of the initial parameters
    `w_query` `[d_query, d_hidden]`, `w_key` `[d_key, d_hidden]` and `v_score` `[d_hidden]`.
    Raises ValueError for a width that is not an integer of at least 1.
    Source: Bahdanau, Cho and Bengio (2015), appendix A.1.2.
    """

    def __init__(self, d_query, d_key, d_hidden, *, seed=None, **kwargs):
        super().__init__(**kwargs)
        _checks.length("d_query", d_query)
        _checks.length("d_key", d_key)
        _checks.length("d_hidden", d_hidden)
        self.d_query, self.d_key, self.d_hidden, self.seed = d_query, d_key, d_hidden, seed

    def build(self, query_shape, key_shape=None, value_shape=None):
        # One seed gives three different draws: an initialiser with a seed would repeat itself.
        seeds = [None] * 3 if self.seed is None else [3 * self.seed + i for i in range(3)]
        shapes = {
            "w_query": (self.d_query, self.d_hidden),
            "w_key": (self.d_key, self.d_hidden),
            "v_score": (self.d_hidden,),
        }
        for (name, shape), seed in zip(shapes.items(), seeds, strict=True):
            setattr(self, name, self.add_weight(name=name, shape=shape, initializer=_glorot(seed)))

    def scores(self, query, key):
        """`[..., q_len, d_query], [..., k_len, d_key] -> [..., q_len, k_len]`."""
        return additive_scores(query, key, self.w_query, self.w_key, self.v_score)

    def get_config(self):
        config = {"d_query": self.d_query, "d_key": self.d_key, "d_hidden": self.d_hidden, "seed": self.seed}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable(package="attnlib")
class ConcatAttention(_Attention):
    """Attention with a small learned network on query and key end to end.

    d_query, d_key, d_hidden: widths of queries, keys and the hidden layer. seed: of the initial parameters
    `w_concat` `[d_query + d_key, d_hidden]` and `v_score` `[d_hidden]`.
    Raises ValueError for a width that is not an integer of at least 1.
    Source: Luong, Pham and Manning (2015), section 3.1, "concat".
    """

    def __init__(self, d_query, d_key, d_hidden, *, seed=None, **kwargs):
        super().__init__(**kwargs)
        _checks.length("d_query", d_query)
        _checks.length("d_key", d_key)
        _checks.length("d_hidden", d_hidden)
        self.d_query, self.d_key, self.d_hidden, self.seed = d_query, d_key, d_hidden, seed

    def build(self, query_shape, key_shape=None, value_shape=None):
        # One seed gives two different draws: an initialiser with a seed would repeat itself.
        seeds = [None] * 2 if self.seed is None else [2 * self.seed + i for i in range(2)]
        shapes = {"w_concat": (self.d_query + self.d_key, self.d_hidden), "v_score": (self.d_hidden,)}
        for (name, shape), seed in zip(shapes.items(), seeds, strict=True):
            setattr(self, name, self.add_weight(name=name, shape=shape, initializer=_glorot(seed)))

    def scores(self, query, key):
        """`[..., q_len, d_query], [..., k_len, d_key] -> [..., q_len, k_len]`."""
        return concat_scores(query, key, self.w_concat, self.v_score)

    def get_config(self):
        config = {"d_query": self.d_query, "d_key": self.d_key, "d_hidden": self.d_hidden, "seed": self.seed}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable(package="attnlib")
class CosineAttention(_Attention):
    """Attention with the cosine between query and key, and a learned temperature.

    scale: one over the initial temperature. What is learned is `log_scale`, a single number, so that the scale stays
    above 0. max_scale: what the scale is kept at or below, lest the softmax becomes a maximum.
    Raises ValueError for a scale or max_scale that is not a number above 0, and for a scale above max_scale.
    Source: Liu et al. (2022), "Swin Transformer V2", eq. 2 (its temperature τ is at least 0.01).
    """

    def __init__(self, *, scale=10.0, max_scale=100.0, **kwargs):
        super().__init__(**kwargs)
        _checks.temperature(scale, max_scale)
        self.scale, self.max_scale = scale, max_scale

    def build(self, query_shape, key_shape=None, value_shape=None):
        initial = keras.initializers.Constant(math.log(self.scale))
        self.log_scale = self.add_weight(name="log_scale", shape=(), initializer=initial)

    def scores(self, query, key):
        """`[..., q_len, d], [..., k_len, d] -> [..., q_len, k_len]`."""
        return cosine_scores(query, key, tf.exp(tf.minimum(self.log_scale, math.log(self.max_scale))))

    def get_config(self):
        return {**super().get_config(), "scale": self.scale, "max_scale": self.max_scale}
