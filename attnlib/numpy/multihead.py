"""Multi-head attention: several attentions side by side, each in a projection of its own.

    MultiHead(Q, K, V) = Concat(head_1, ..., head_h) W_O
    head_i = Attention(Q W_Q_i, K W_K_i, V W_V_i)      Vaswani et al. (2017), section 3.2.2

The projections of all heads are one matrix: columns i · head_dim to (i + 1) · head_dim belong to head i. With fewer
heads of keys and values than of queries, groups of query heads share them: grouped-query attention (Ainslie et al.,
2023), and with a single one multi-query attention (Shazeer, 2019).
"""

import numpy as np

from attnlib import _checks
from attnlib.numpy.dense import scaled_dot_product_attention
from attnlib.numpy.layers import _glorot
from attnlib.numpy.positions import rotary


def split_heads(x, num_heads):
    """`[..., length, num_heads * head_dim] -> [..., num_heads, length, head_dim]`."""
    return np.swapaxes(x.reshape(*x.shape[:-1], num_heads, -1), -3, -2)


def merge_heads(x):
    """`[..., num_heads, length, head_dim] -> [..., length, num_heads * head_dim]`."""
    x = np.swapaxes(x, -3, -2)
    return x.reshape(*x.shape[:-2], -1)


def repeat_heads(x, times):
    """`[..., num_kv_heads, length, head_dim] -> [..., num_kv_heads * times, length, head_dim]`, each head repeated."""
    return x if times == 1 else np.repeat(x, times, axis=-3)


def mask_for_heads(mask, axes):
    """`[..., q_len, k_len] -> [..., 1, q_len, k_len]`: the same for all heads, unless the mask has an axis for them.

    axes: how many axes the layer's inputs have; a mask for each head has one more.
    """
    return mask[..., None, :, :] if mask is not None and 3 <= mask.ndim <= axes else mask


def positions_for_heads(positions, query, cache):
    """`[..., q_len] -> [..., 1, q_len]`: the same for all heads; by default those that follow the cache's."""
    if positions is None:
        start = 0 if cache is None else cache.length
        return start + np.arange(query.shape[-2])
    return positions if positions.ndim < 2 else positions[..., None, :]


class MultiHeadAttention:
    """Multi-head attention: self- or cross-attention, grouped-query and multi-query as well.

    d_model: width of inputs and output. num_heads: of the queries.
    num_kv_heads: heads of keys and values, by default `num_heads`; 1 is multi-query attention.
    head_dim: width of a head, by default `d_model / num_heads`. bias: whether the projections have one.
    seed: of the initial parameters `w_query` `[d_model, num_heads * head_dim]`, `w_key` and `w_value`
    `[d_model, num_kv_heads * head_dim]` and `w_output` `[num_heads * head_dim, d_model]`; the biases `b_query`,
    `b_key`, `b_value` and `b_output` begin at zero and are None without `bias`.
    rotary: None, or a pairing of `rotary`, "halves" or "interleaved": queries and keys of self-attention are turned
    by their positions. rotary_base: of its angles.

    Raises ValueError for sizes that are not integers of at least 1, for heads that do not divide evenly, and for
    heads of an odd width where they are to be turned.
    Source: Vaswani et al. (2017), section 3.2.2; grouped queries: Ainslie et al. (2023), section 2.2; turned ones:
    Su et al. (2021), section 3.2.

    impl: how attention is computed, see `scaled_dot_product_attention`.
    """

    def __init__(
        self,
        d_model,
        num_heads,
        *,
        num_kv_heads=None,
        head_dim=None,
        bias=True,
        rotary=None,
        rotary_base=10000.0,
        seed=None,
        impl="explicit",
    ):
        num_kv_heads, head_dim = _checks.heads(d_model, num_heads, num_kv_heads, head_dim)
        _checks.choice("impl", impl, ["explicit", "tiled"])
        _checks.rotary_heads(rotary, rotary_base, head_dim)
        self.num_heads, self.num_kv_heads, self.impl = num_heads, num_kv_heads, impl
        self.rotary, self.rotary_base = rotary, rotary_base
        rng = np.random.default_rng(seed)
        inside, inside_kv = num_heads * head_dim, num_kv_heads * head_dim
        self.w_query = _glorot(rng, d_model, inside, (d_model, inside))
        self.w_key = _glorot(rng, d_model, inside_kv, (d_model, inside_kv))
        self.w_value = _glorot(rng, d_model, inside_kv, (d_model, inside_kv))
        self.w_output = _glorot(rng, inside, d_model, (inside, d_model))
        self.b_query = np.zeros(inside, np.float32) if bias else None
        self.b_key = np.zeros(inside_kv, np.float32) if bias else None
        self.b_value = np.zeros(inside_kv, np.float32) if bias else None
        self.b_output = np.zeros(d_model, np.float32) if bias else None

    def __call__(
        self,
        query,
        key=None,
        value=None,
        *,
        attention_mask=None,
        attention_bias=None,
        causal=False,
        return_weights=False,
        cache=None,
        positions=None,
    ):
        """`[batch, ..., q_len, d_model], [batch, ..., k_len, d_model] -> [batch, ..., q_len, d_model]`.

        key: defaults to `query` (self-attention); value: defaults to `key`.
        attention_mask: boolean, True where a query may attend, broadcasting to `[..., q_len, k_len]` for all heads
        alike, or, with one axis more than the inputs have, to `[..., num_heads, q_len, k_len]`.
        attention_bias: added to the scaled scores, broadcasting to `[..., num_heads, q_len, k_len]`.
        causal: a query sees no later key. The last query is aligned to the last key.
        return_weights: return `(output, weights)`, the weights of each head `[..., num_heads, q_len, k_len]`.
        cache: a `KVCache`; the new keys and values are appended to it, and k_len counts all that it returns.
        positions: with `rotary`, numbers that broadcast to `[..., q_len]`, by default those that follow the cache's.

        Raises ValueError for shapes or types that do not fit.
        """
        _checks.turned(self.rotary, query, key, positions)
        key = query if key is None else key
        value = key if value is None else value
        axes = _checks.multihead(query, key, value, self.w_query)
        _checks.head_scores(query, key, self.num_heads, attention_mask, attention_bias, cache)
        _checks.no_weights(self.impl, return_weights)
        if self.rotary is not None:
            positions = positions_for_heads(positions, query, cache)
        q, k, v = self.project(query, key, value, positions)
        mask = mask_for_heads(attention_mask, axes)
        if cache is not None:
            k, v = cache.append(k, v)
            causal = causal and q.shape[-2] != 1  # the only query is the last one: it sees every key
            window = cache.mask(q.shape[-2])
            mask = window if mask is None else mask if window is None else mask & window
        group = self.num_heads // self.num_kv_heads
        if group > 1 and q.shape[-2] == 1 and mask is attention_bias is None and not (causal or return_weights):
            # A step of decoding: the queries of a group are rows of one matrix, and the cache need not be copied.
            q_grouped = q.reshape(*q.shape[:-3], self.num_kv_heads, group, -1)
            output = scaled_dot_product_attention(q_grouped, k, v, impl=self.impl)
            return _linear(merge_heads(output.reshape(q.shape)), self.w_output, self.b_output)
        result = scaled_dot_product_attention(
            q,
            repeat_heads(k, group),
            repeat_heads(v, group),
            mask=mask,
            bias=attention_bias,
            causal=causal,
            return_weights=return_weights,
            impl=self.impl,
        )
        output, weights = result if return_weights else (result, None)
        output = _linear(merge_heads(output), self.w_output, self.b_output)
        return (output, weights) if return_weights else output

    def project(self, query, key, value, positions=None):
        """`[..., length, d_model] -> [..., heads, length, head_dim]`, for queries, keys and values.

        positions: with `rotary`, of queries and keys, broadcasting to `[..., heads, length]`.
        """
        q = split_heads(_linear(query, self.w_query, self.b_query), self.num_heads)
        k = split_heads(_linear(key, self.w_key, self.b_key), self.num_kv_heads)
        v = split_heads(_linear(value, self.w_value, self.b_value), self.num_kv_heads)
        if self.rotary is not None:
            q, k = (rotary(x, positions, base=self.rotary_base, pairing=self.rotary) for x in (q, k))
        return q, k, v


def _linear(x, weight, bias):
    x = x @ weight
    return x if bias is None else x + bias
