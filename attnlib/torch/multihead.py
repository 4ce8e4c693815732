"""Multi-head attention: several attentions side by side, each in a projection of its own.

    MultiHead(Q, K, V) = Concat(head_1, ..., head_h) W_O
    head_i = Attention(Q W_Q_i, K W_K_i, V W_V_i)      Vaswani et al. (2017), section 3.2.2

The projections of all heads are one matrix: columns i · head_dim to (i + 1) · head_dim belong to head i. With fewer
heads of keys and values than of queries, groups of query heads share them: grouped-query attention (Ainslie et al.,
2023), and with a single one multi-query attention (Shazeer, 2019).
"""

import torch
import torch.nn.functional as F
from torch import nn

from attnlib import _checks
from attnlib.torch._autocast import autocast, autocasting
from attnlib.torch.dense import _fused, scaled_dot_product_attention
from attnlib.torch.layers import _generator, _glorot
from attnlib.torch.masks import with_causal
from attnlib.torch.positions import rotary
from attnlib.torch.scores import scaled_dot_scores
from attnlib.torch.softmax import masked_softmax
from attnlib.torch.tiled import tiled_attention


def split_heads(x, num_heads):
    """`[..., length, num_heads * head_dim] -> [..., num_heads, length, head_dim]`."""
    return x.unflatten(-1, (num_heads, -1)).transpose(-3, -2)


def merge_heads(x):
    """`[..., num_heads, length, head_dim] -> [..., length, num_heads * head_dim]`."""
    return x.transpose(-3, -2).flatten(-2)


def repeat_heads(x, times):
    """`[..., num_kv_heads, length, head_dim] -> [..., num_kv_heads * times, length, head_dim]`, each head repeated."""
    return x if times == 1 else x.repeat_interleave(times, dim=-3)


def mask_for_heads(mask, axes):
    """`[..., q_len, k_len] -> [..., 1, q_len, k_len]`: the same for all heads, unless the mask has an axis for them.

    axes: how many axes the layer's inputs have; a mask for each head has one more.
    """
    return mask[..., None, :, :] if mask is not None and 3 <= mask.ndim <= axes else mask


def positions_for_heads(positions, query, cache):
    """`[..., q_len] -> [..., 1, q_len]`: the same for all heads; by default those that follow the cache's."""
    if positions is None:
        start = 0 if cache is None else cache.length
        return start + torch.arange(query.shape[-2], device=query.device)
    return positions if positions.ndim < 2 else positions[..., None, :]


class MultiHeadAttention(nn.Module):
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
    dropout: the share of weights set to zero in training; the weights that are returned are those before.
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
        dropout=0.0,
        seed=None,
        impl="explicit",
    ):
        super().__init__()
        num_kv_heads, head_dim = _checks.heads(d_model, num_heads, num_kv_heads, head_dim)
        _checks.choice("impl", impl, ["explicit", "tiled", "fused"])
        _checks.rotary_heads(rotary, rotary_base, head_dim)
        _checks.dropout(dropout, impl)
        self.num_heads, self.num_kv_heads, self.impl, self.dropout = num_heads, num_kv_heads, impl, dropout
        self.rotary, self.rotary_base = rotary, rotary_base
        generator = _generator(seed)
        inside, inside_kv = num_heads * head_dim, num_kv_heads * head_dim
        self.w_query = _glorot(generator, d_model, inside)
        self.w_key = _glorot(generator, d_model, inside_kv)
        self.w_value = _glorot(generator, d_model, inside_kv)
        self.w_output = _glorot(generator, inside, d_model)
        for name, width in (("query", inside), ("key", inside_kv), ("value", inside_kv), ("output", d_model)):
            self.register_parameter(f"b_{name}", nn.Parameter(torch.zeros(width)) if bias else None)

    def forward(
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
        query, key, value = autocast(query, key, value)
        if attention_bias is not None:
            (attention_bias,) = autocast(attention_bias)
        axes = _checks.multihead(query, key, value, self.w_query, precision=not autocasting(query))
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
        output, weights = self._attend(q, k, v, mask, attention_bias, causal)
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

    def _attend(self, q, k, v, mask, bias, causal):
        dropout = self.dropout if self.training else 0.0
        group = self.num_heads // self.num_kv_heads
        if self.impl == "fused":
            # The kernel finds the shared keys by itself.
            return _fused(q, k, v, mask, bias, causal, None, dropout_p=dropout, enable_gqa=group > 1), None
        k, v = repeat_heads(k, group), repeat_heads(v, group)
        if self.impl == "tiled":
            return tiled_attention(q, k, v, mask=mask, bias=bias, causal=causal), None
        if not dropout:
            return scaled_dot_product_attention(q, k, v, mask=mask, bias=bias, causal=causal, return_weights=True)
        scores = scaled_dot_scores(q, k)
        if bias is not None:
            scores = scores + bias
        weights = masked_softmax(scores, with_causal(mask, causal, q, k))
        return F.dropout(weights, dropout) @ v, weights

    def extra_repr(self):
        d_model, inside = self.w_query.shape
        return (
            f"d_model={d_model}, num_heads={self.num_heads}, num_kv_heads={self.num_kv_heads}, "
            f"head_dim={inside // self.num_heads}, bias={self.b_query is not None}, rotary={self.rotary!r}, "
            f"dropout={self.dropout}, impl={self.impl!r}"
        )

    @classmethod
    def from_torch(cls, module, *, impl="explicit"):
        """A layer with the weights of an `nn.MultiheadAttention`; outputs are the same, whatever its `batch_first`.

        Raises ValueError for what this layer has no counterpart of: keys or values of another width (`kdim`, `vdim`),
        `add_bias_kv` and `add_zero_attn`.
        """
        d_model = module.embed_dim
        for name, wanted in (("kdim", d_model), ("vdim", d_model), ("bias_k", None), ("add_zero_attn", False)):
            got = getattr(module, name)
            if got is not wanted and (torch.is_tensor(got) or got != wanted):
                came = "a parameter" if torch.is_tensor(got) else got
                raise ValueError(f"module must have {name} {wanted}, got {came}")
        layer = cls(
            d_model, module.num_heads, bias=module.in_proj_bias is not None, dropout=module.dropout, impl=impl
        ).to(module.in_proj_weight)
        layer.train(module.training)
        with torch.no_grad():
            for name, weight in zip(("query", "key", "value"), module.in_proj_weight.chunk(3), strict=True):
                getattr(layer, f"w_{name}").copy_(weight.T)
            layer.w_output.copy_(module.out_proj.weight.T)
            if module.in_proj_bias is not None:
                for name, bias in zip(("query", "key", "value"), module.in_proj_bias.chunk(3), strict=True):
                    getattr(layer, f"b_{name}").copy_(bias)
                layer.b_output.copy_(module.out_proj.bias)
        return layer

    def to_torch(self):
        """An `nn.MultiheadAttention` with the weights of this layer, `batch_first`.

        Raises ValueError when keys and values have fewer heads than queries, heads do not make up d_model, or rotary
        turns them.
        """
        d_model, inside = self.w_query.shape
        if self.rotary is not None:
            raise ValueError(f"nn.MultiheadAttention needs rotary None, got {self.rotary!r}")
        if self.num_kv_heads != self.num_heads or inside != d_model:
            raise ValueError(
                f"nn.MultiheadAttention needs num_kv_heads = num_heads and heads that make up d_model, got "
                f"{self.num_kv_heads} and {self.num_heads} heads that make up {inside} of d_model {d_model}"
            )
        module = nn.MultiheadAttention(
            d_model, self.num_heads, dropout=self.dropout, bias=self.b_query is not None, batch_first=True
        ).to(self.w_query)
        module.train(self.training)
        with torch.no_grad():
            module.in_proj_weight.copy_(torch.cat([self.w_query, self.w_key, self.w_value], dim=1).T)
            module.out_proj.weight.copy_(self.w_output.T)
            if self.b_query is not None:
                module.in_proj_bias.copy_(torch.cat([self.b_query, self.b_key, self.b_value]))
                module.out_proj.bias.copy_(self.b_output)
        return module


def _linear(x, weight, bias):
    return F.linear(x, weight.T, bias)  # F.linear holds its weight as [out, in]
