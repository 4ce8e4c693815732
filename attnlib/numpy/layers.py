"""Attention layers: a score function with its parameters, the softmax and the values, in one object.

They have the names, the parameters and the calls of the PyTorch modules and Keras layers, so that weights can be
handed over as arrays: `layer.weight = module.weight.detach().numpy()`.
"""

import math

import numpy as np

from attnlib import _checks
from attnlib.numpy.dense import attend
from attnlib.numpy.masks import with_causal
from attnlib.numpy.scores import additive_scores, concat_scores, cosine_scores, general_scores, scaled_dot_scores


def _glorot(rng, fan_in, fan_out, shape):
    """Uniform in ±sqrt(6 / (fan_in + fan_out)): Glorot and Bengio (2010), eq. 16."""
    limit = np.sqrt(6 / (fan_in + fan_out))
    return rng.uniform(-limit, limit, shape).astype(np.float32)


class _Attention:
    """Scores, masked softmax, weighted values; a subclass says how queries and keys are scored."""

    def __call__(self, query, key=None, value=None, *, attention_mask=None, causal=False, return_weights=False):
        """`[batch, q_len, d_query], [batch, k_len, d_key], [batch, k_len, d_v] -> [batch, q_len, d_v]`.

        key: defaults to `query` (self-attention); value: defaults to `key`.
        attention_mask: boolean, True where a query may attend, broadcasting to `[..., q_len, k_len]`.
        causal: a query sees no later key. return_weights: return `(output, weights)`.

        There may be more axes between batch and length. Raises ValueError for shapes or types that do not fit, and
        where there is no batch: `[batch, features]` would pass for one sequence, its examples for positions.
        """
        key = query if key is None else key
        value = key if value is None else value
        _checks.layer(query, key, value)
        scores = self.scores(query, key)
        _checks.mask("attention_mask", attention_mask, scores.shape)
        mask = with_causal(attention_mask, causal, query, key)
        return attend(scores, value, mask=mask, return_weights=return_weights)


class DotProductAttention(_Attention):
    """Attention with scaled dot products; it has no parameters.

    scale: what multiplies the dot products, by default 1/√d; 1.0 gives plain dot products.
    Source: Vaswani et al. (2017), eq. 1; unscaled: Luong, Pham and Manning (2015), section 3.1.
    """

    def __init__(self, *, scale=None):
        self.scale = scale

    def scores(self, query, key):
        """`[..., q_len, d], [..., k_len, d] -> [..., q_len, k_len]`."""
        return scaled_dot_scores(query, key, scale=self.scale)


class GeneralAttention(_Attention):
    """Attention with a learned bilinear form between queries and keys.

    d_query, d_key: widths of queries and keys. seed: of the initial `weight` `[d_query, d_key]`.
    Raises ValueError for a width that is not an integer of at least 1.
    Source: Luong, Pham and Manning (2015), section 3.1, "general".
    """

    def __init__(self, d_query, d_key, *, seed=None):
        _checks.length("d_query", d_query)
        _checks.length("d_key", d_key)
        self.weight = _glorot(np.random.default_rng(seed), d_query, d_key, (d_query, d_key))

    def scores(self, query, key):
        """`[..., q_len, d_query], [..., k_len, d_key] -> [..., q_len, k_len]`."""
        return general_scores(query, key, self.weight)


class AdditiveAttention(_Attention):
    """Attention with a small learned network on each pair of query and key.

    d_query, d_key, d_hidden: widths of queries, keys and the hidden layer. seed: of the initial parameters
    `w_query` `[d_query, d_hidden]`, `w_key` `[d_key, d_hidden]` and `v_score` `[d_hidden]`.
    Raises ValueError for a width that is not an integer of at least 1.
    Source: Bahdanau, Cho and Bengio (2015), appendix A.1.2.
    """

    def __init__(self, d_query, d_key, d_hidden, *, seed=None):
        _checks.length("d_query", d_query)
        _checks.length("d_key", d_key)
        _checks.length("d_hidden", d_hidden)
        rng = np.random.default_rng(seed)
        self.w_query = _glorot(rng, d_query, d_hidden, (d_query, d_hidden))
        self.w_key = _glorot(rng, d_key, d_hidden, (d_key, d_hidden))
        self.v_score = _glorot(rng, d_hidden, 1, d_hidden)

    def scores(self, query, key):
        """`[..., q_len, d_query], [..., k_len, d_key] -> [..., q_len, k_len]`."""
        return additive_scores(query, key, self.w_query, self.w_key, self.v_score)


class ConcatAttention(_Attention):
    """Attention with a small learned network on query and key end to end.

    d_query, d_key, d_hidden: widths of queries, keys and the hidden layer. seed: of the initial parameters
    `w_concat` `[d_query + d_key, d_hidden]` and `v_score` `[d_hidden]`.
    Raises ValueError for a width that is not an integer of at least 1.
    Source: Luong, Pham and Manning (2015), section 3.1, "concat".
    """

    def __init__(self, d_query, d_key, d_hidden, *, seed=None):
        _checks.length("d_query", d_query)
        _checks.length("d_key", d_key)
        _checks.length("d_hidden", d_hidden)
        rng = np.random.default_rng(seed)
        self.w_concat = _glorot(rng, d_query + d_key, d_hidden, (d_query + d_key, d_hidden))
        self.v_score = _glorot(rng, d_hidden, 1, d_hidden)

    def scores(self, query, key):
        """`[..., q_len, d_query], [..., k_len, d_key] -> [..., q_len, k_len]`."""
        return concat_scores(query, key, self.w_concat, self.v_score)


class CosineAttention(_Attention):
    """Attention with the cosine between query and key, and a learned temperature.

    scale: one over the initial temperature. What is learned is `log_scale`, a single number, so that the scale stays
    above 0. max_scale: what the scale is kept at or below, lest the softmax becomes a maximum.
    Raises ValueError for a scale or max_scale that is not a number above 0, and for a scale above max_scale.
    Source: Liu et al. (2022), "Swin Transformer V2", eq. 2 (its temperature τ is at least 0.01).
    """

    def __init__(self, *, scale=10.0, max_scale=100.0):
        _checks.temperature(scale, max_scale)
        self.max_scale = max_scale
        self.log_scale = np.array(np.log(scale), np.float32)

    def scores(self, query, key):
        """`[..., q_len, d], [..., k_len, d] -> [..., q_len, k_len]`."""
        return cosine_scores(query, key, np.exp(np.minimum(self.log_scale, math.log(self.max_scale))))
