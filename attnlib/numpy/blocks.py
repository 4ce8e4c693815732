"""Transformer blocks: attention and a feed-forward layer, each with a residual connection and a layer norm.

    post-norm    x <- LayerNorm(x + Sublayer(x))              Vaswani et al. (2017), section 3.1
    pre-norm     x <- x + Sublayer(LayerNorm(x))              Xiong et al. (2020), section 3.1 and Table 1

With the norm before the sub-layer the sum itself is never normalised: gradients reach every block undiminished, and
after the last block a stack needs one more norm. The norm divides by sqrt(variance + 1e-5).
"""

import numpy as np

from attnlib import _checks
from attnlib.numpy.feed_forward import FeedForward
from attnlib.numpy.multihead import MultiHeadAttention


class _LayerNorm:
    """Mean 0 and variance 1 over the last axis, then a learned scale and shift: Ba, Kiros and Hinton (2016)."""

    def __init__(self, d_model):
        self.weight = np.ones(d_model, np.float32)
        self.bias = np.zeros(d_model, np.float32)

    def __call__(self, x):
        precise = x.astype(np.float32) if x.dtype.itemsize < 4 else x
        centred = precise - precise.mean(axis=-1, keepdims=True)
        variance = (centred**2).mean(axis=-1, keepdims=True)
        return (centred / np.sqrt(variance + 1e-5) * self.weight + self.bias).astype(x.dtype, copy=False)


class _Block:
    """Self-attention and the feed-forward layer, and around them what makes a block of sub-layers."""

    def __init__(self, d_model, num_heads, d_hidden, norm, activation, num_kv_heads, rotary, rotary_base, rng, impl):
        _checks.choice("norm", norm, ["pre", "post"])
        self.norm = norm
        turn = {"rotary": rotary, "rotary_base": rotary_base}
        self.attention = MultiHeadAttention(d_model, num_heads, num_kv_heads=num_kv_heads, **turn, seed=rng, impl=impl)
        self.attention_norm = _LayerNorm(d_model)
        self.feed_forward = FeedForward(d_model, d_hidden, activation=activation, seed=rng)
        self.feed_forward_norm = _LayerNorm(d_model)

    def _before(self, norm, x):
        return norm(x) if self.norm == "pre" else x

    def _after(self, norm, x, change):
        return x + change if self.norm == "pre" else norm(x + change)

    def _attend(self, attention, norm, x, *, return_weights, **options):
        result = attention(self._before(norm, x), return_weights=return_weights, **options)
        change, weights = result if return_weights else (result, None)
        return self._after(norm, x, change), weights

    def _feed(self, x):
        change = self.feed_forward(self._before(self.feed_forward_norm, x))
        return self._after(self.feed_forward_norm, x, change)


class EncoderBlock(_Block):
    """Self-attention, then the feed-forward layer. With `causal`, the block of a decoder-only model such as GPT.

    d_model, num_heads, num_kv_heads, rotary, rotary_base: see `MultiHeadAttention`.
    d_hidden, activation: see `FeedForward`. norm: "pre" or "post", where the layer norm stands.
    seed: of the initial parameters, those of `attention`, `attention_norm`, `feed_forward` and `feed_forward_norm`.

    Raises ValueError for sizes that do not fit, and for words that there are not.
    Source: post-norm: Vaswani et al. (2017), section 3.1; pre-norm: Xiong et al. (2020), section 3.1.

    impl: how attention is computed, see `scaled_dot_product_attention`.
    """

    def __init__(
        self,
        d_model,
        num_heads,
        d_hidden,
        *,
        norm="pre",
        activation="gelu",
        num_kv_heads=None,
        rotary=None,
        rotary_base=10000.0,
        seed=None,
        impl="explicit",
    ):
        rng = np.random.default_rng(seed)
        super().__init__(d_model, num_heads, d_hidden, norm, activation, num_kv_heads, rotary, rotary_base, rng, impl)

    def __call__(
        self,
        x,
        *,
        attention_mask=None,
        attention_bias=None,
        causal=False,
        return_weights=False,
        cache=None,
        positions=None,
    ):
        """`[batch, ..., length, d_model] -> [batch, ..., length, d_model]`.

        attention_mask, attention_bias, causal, cache, positions: see `MultiHeadAttention`.
        return_weights: return `(output, weights)`, the weights of each head `[..., num_heads, length, k_len]`.

        Raises ValueError for shapes or types that do not fit.
        """
        _checks.block(self.attention.w_query, x=x)
        options = {"attention_mask": attention_mask, "attention_bias": attention_bias, "causal": causal}
        options |= {"return_weights": return_weights, "cache": cache, "positions": positions}
        x, weights = self._attend(self.attention, self.attention_norm, x, **options)
        x = self._feed(x)
        return (x, weights) if return_weights else x


class DecoderBlock(_Block):
    """Causal self-attention, cross-attention to a memory (what an encoder made), then the feed-forward layer.

    d_model, num_heads, num_kv_heads, rotary, rotary_base: see `MultiHeadAttention`; rotary is for self-attention.
    d_hidden, activation: see `FeedForward`. norm: "pre" or "post", where the layer norm stands; not of the memory.
    seed: of the initial parameters, those of `attention`, `attention_norm`, `cross_attention`,
    `cross_attention_norm`, `feed_forward` and `feed_forward_norm`.

    Raises ValueError for sizes that do not fit, and for words that there are not.
    Source: post-norm: Vaswani et al. (2017), section 3.1; pre-norm: Xiong et al. (2020), section 3.1.

    impl: how attention is computed, see `scaled_dot_product_attention`.
    """

    def __init__(
        self,
        d_model,
        num_heads,
        d_hidden,
        *,
        norm="pre",
        activation="gelu",
        num_kv_heads=None,
        rotary=None,
        rotary_base=10000.0,
        seed=None,
        impl="explicit",
    ):
        rng = np.random.default_rng(seed)
        super().__init__(d_model, num_heads, d_hidden, norm, activation, num_kv_heads, rotary, rotary_base, rng, impl)
        self.cross_attention = MultiHeadAttention(d_model, num_heads, num_kv_heads=num_kv_heads, seed=rng, impl=impl)
        self.cross_attention_norm = _LayerNorm(d_model)

    def __call__(
        self,
        x,
        memory,
        *,
        attention_mask=None,
        cross_attention_mask=None,
        attention_bias=None,
        causal=True,
        return_weights=False,
        cache=None,
        positions=None,
    ):
        """`[batch, ..., length, d_model], [batch, ..., m_len, d_model] -> [batch, ..., length, d_model]`.

        attention_mask, attention_bias, causal, cache, positions: of self-attention, see `MultiHeadAttention`.
        cross_attention_mask: boolean, True where a query may attend to the memory, to `[..., length, m_len]` for all
        heads alike, or, with one axis more than the inputs have, to `[..., num_heads, length, m_len]`.
        return_weights: return `(output, (weights, cross_weights))`, those of each head
        `[..., num_heads, length, k_len]` and `[..., num_heads, length, m_len]`.

        The cache holds keys and values of self-attention; those of the memory are computed at each call.
        Raises ValueError for shapes or types that do not fit.
        """
        _checks.block(self.attention.w_query, x=x, memory=memory)
        heads = self.attention.num_heads
        _checks.head_scores(x, memory, heads, cross_attention_mask, None, None, name="cross_attention_mask")
        options = {"attention_mask": attention_mask, "attention_bias": attention_bias, "causal": causal}
        options |= {"return_weights": return_weights, "cache": cache, "positions": positions}
        x, weights = self._attend(self.attention, self.attention_norm, x, **options)
        options = {"key": memory, "attention_mask": cross_attention_mask, "return_weights": return_weights}
        x, cross = self._attend(self.cross_attention, self.cross_attention_norm, x, **options)
        x = self._feed(x)
        return (x, (weights, cross)) if return_weights else x
