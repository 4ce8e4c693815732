"""Attention layers: a score function with its parameters, the softmax and the values, in one module."""

import math

import torch
from torch import nn

from attnlib import _checks
from attnlib.torch._autocast import autocast
from attnlib.torch.dense import attend
from attnlib.torch.masks import with_causal
from attnlib.torch.scores import additive_scores, concat_scores, cosine_scores, general_scores, scaled_dot_scores


def _glorot(generator, *shape):
    """A parameter, uniform in ±sqrt(6 / (fan_in + fan_out)): Glorot and Bengio (2010), eq. 16."""
    return nn.Parameter(nn.init.xavier_uniform_(torch.empty(*shape), generator=generator))


def _generator(seed):
    """None leaves the choice to PyTorch's own generator, the one that `torch.manual_seed` sets."""
    return None if seed is None else torch.Generator().manual_seed(seed)


class _Attention(nn.Module):
    """Scores, masked softmax, weighted values; a subclass says how queries and keys are scored."""

    def forward(self, query, key=None, value=None, *, attention_mask=None, causal=False, return_weights=False):
        """`[batch, q_len, d_query], [batch, k_len, d_key], [batch, k_len, d_v] -> [batch, q_len, d_v]`.

        key: defaults to `query` (self-attention); value: defaults to `key`.
        attention_mask: boolean, True where a query may attend, broadcasting to `[..., q_len, k_len]`.
        causal: a query sees no later key. return_weights: return `(output, weights)`.

        There may be more axes between batch and length. Raises ValueError for shapes or types that do not fit, and
        where there is no batch: `[batch, features]` would pass for one sequence, its examples for positions.
        """
        key = query if key is None else key
        value = key if value is None else value
        query, key, value = autocast(query, key, value)
        _checks.layer(query, key, value)
        scores = self.scores(query, key)
        _checks.mask("attention_mask", attention_mask, tuple(scores.shape))
        mask = with_causal(attention_mask, causal, query, key)
        return attend(scores, value, mask=mask, return_weights=return_weights)


class DotProductAttention(_Attention):
    """Attention with scaled dot products; it has no parameters.

    scale: what multiplies the dot products, by default 1/√d; 1.0 gives plain dot products.
    Source: Vaswani et al. (2017), eq. 1; unscaled: Luong, Pham and Manning (2015), section 3.1.
    """

    def __init__(self, *, scale=None):
        super().__init__()
        self.scale = scale

    def scores(self, query, key):
        """`[..., q_len, d], [..., k_len, d] -> [..., q_len, k_len]`."""
        return scaled_dot_scores(query, key, scale=self.scale)

    def extra_repr(self):
        return f"scale={self.scale}"


class GeneralAttention(_Attention):
    """Attention with a learned bilinear form between queries and keys.

    d_query, d_key: widths of queries and keys. seed: of the initial `weight` `[d_query, d_key]`.
    Raises ValueError for a width that is not an integer of at least 1.
    Source: Luong, Pham and Manning (2015), section 3.1, "general".
    """

    def __init__(self, d_query, d_key, *, seed=None):
        super().__init__()
        _checks.length("d_query", d_query)
        _checks.length("d_key", d_key)
        self.weight = _glorot(_generator(seed), d_query, d_key)

    def scores(self, query, key):
        """`[..., q_len, d_query], [..., k_len, d_key] -> [..., q_len, k_len]`."""
        return general_scores(query, key, self.weight)

    def extra_repr(self):
        return "d_query={}, d_key={}".format(*self.weight.shape)


class AdditiveAttention(_Attention):
    """Attention with a small learned network on each pair of query and key.

    d_query, d_key, d_hidden: widths of queries, keys and the hidden layer. seed: of the initial parameters
    `w_query` `[d_query, d_hidden]`, `w_key` `[d_key, d_hidden]` and `v_score` `[d_hidden]`.
    Raises ValueError for a width that is not an integer of at least 1.
    Source: Bahdanau, Cho and Bengio (2015), appendix A.1.2.
    """

    def __init__(self, d_query, d_key, d_hidden, *, seed=None):
        super().__init__()
        _checks.length("d_query", d_query)
        _checks.length("d_key", d_key)
        _checks.length("d_hidden", d_hidden)
        generator = _generator(seed)
        self.w_query = _glorot(generator, d_query, d_hidden)
        self.w_key = _glorot(generator, d_key, d_hidden)
        self.v_score = nn.Parameter(_glorot(generator, d_hidden, 1).detach().squeeze(-1))

    def scores(self, query, key):
        """`[..., q_len, d_query], [..., k_len, d_key] -> [..., q_len, k_len]`."""
        return additive_scores(query, key, self.w_query, self.w_key, self.v_score)

    def extra_repr(self):
        return f"d_query={self.w_query.shape[0]}, d_key={self.w_key.shape[0]}, d_hidden={self.v_score.shape[0]}"


class ConcatAttention(_Attention):
    """Attention with a small learned network on query and key end to end.

    d_query, d_key, d_hidden: widths of queries, keys and the hidden layer. seed: of the initial parameters
    `w_concat` `[d_query + d_key, d_hidden]` and `v_score` `[d_hidden]`.
    Raises ValueError for a width that is not an integer of at least 1.
    Source: Luong, Pham and Manning (2015), section 3.1, "concat".
    """

    def __init__(self, d_query, d_key, d_hidden, *, seed=None):
        super().__init__()
        _checks.length("d_query", d_query)
        _checks.length("d_key", d_key)
        _checks.length("d_hidden", d_hidden)
        generator = _generator(seed)
        self.w_concat = _glorot(generator, d_query + d_key, d_hidden)
        self.v_score = nn.Parameter(_glorot(generator, d_hidden, 1).detach().squeeze(-1))

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
        super().__init__()
        _checks.temperature(scale, max_scale)
        self.max_scale = max_scale
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def scores(self, query, key):
        """`[..., q_len, d], [..., k_len, d] -> [..., q_len, k_len]`."""
        return cosine_scores(query, key, self.log_scale.clamp(max=math.log(self.max_scale)).exp())

    def extra_repr(self):
        return f"max_scale={self.max_scale}"
