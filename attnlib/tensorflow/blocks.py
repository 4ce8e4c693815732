"""Transformer blocks: attention and a feed-forward layer, each with a residual connection and a layer norm.

    post-norm    x <- LayerNorm(x + Sublayer(x))              Vaswani et al. (2017), section 3.1
    pre-norm     x <- x + Sublayer(LayerNorm(x))              Xiong et al. (2020), section 3.1 and Table 1

With the norm before the sub-layer the sum itself is never normalised: gradients reach every block undiminished, and
after the last block a stack needs one more norm. The norm divides by sqrt(variance + 1e-5).
"""

import keras

from attnlib import _checks
from attnlib._seeds import spread
from attnlib.tensorflow.feed_forward import FeedForward
from attnlib.tensorflow.layers import _and
from attnlib.tensorflow.multihead import MultiHeadAttention


class _Block(keras.layers.Layer):
    """Self-attention and the feed-forward layer, and around them what makes a block of sub-layers.

    config: what the layer was made with; seeds: of attention, of the feed-forward layer, of dropout.
    """

    def __init__(self, config, seeds, **kwargs):
        super().__init__(**kwargs)
        _checks.choice("norm", config["norm"], ["pre", "post"])
        self.norm, self._config = config["norm"], config
        self.supports_masking = True  # the output has a row for each position, so it keeps the mask
        turn = {name: config[name] for name in ("rotary", "rotary_base")}
        self.attention = self._attention(seed=seeds[0], **turn)
        self.attention_norm = self._layer_norm()
        hidden = {name: config[name] for name in ("d_model", "d_hidden", "activation", "dropout")}
        self.feed_forward = FeedForward(**hidden, seed=seeds[1], dtype=self.dtype_policy)
        self.feed_forward_norm = self._layer_norm()
        self._drop = keras.layers.Dropout(config["dropout"], seed=seeds[2], dtype=self.dtype_policy)

    def _attention(self, **options):
        shared = {name: self._config[name] for name in ("d_model", "num_heads", "num_kv_heads", "dropout", "impl")}
        return MultiHeadAttention(**shared, **options, dtype=self.dtype_policy)

    def _layer_norm(self):
        return keras.layers.LayerNormalization(epsilon=1e-5, dtype=self.dtype_policy)

    def build(self, x_shape):
        for layer in self._layers:
            layer.build((None, None, self._config["d_model"]))

    def _before(self, norm, x):
        return norm(x) if self.norm == "pre" else x

    def _after(self, norm, x, change, training):
        x = x + self._drop(change, training=training)
        return x if self.norm == "pre" else norm(x)

    def _attend(self, attention, norm, x, *, return_weights, training, **options):
        result = attention(self._before(norm, x), return_weights=return_weights, training=training, **options)
        change, weights = result if return_weights else (result, None)
        return self._after(norm, x, change, training), weights

    def _feed(self, x, training):
        change = self.feed_forward(self._before(self.feed_forward_norm, x), training=training)
        return self._after(self.feed_forward_norm, x, change, training)

    def get_config(self):
        return {**super().get_config(), **self._config}


@keras.saving.register_keras_serializable(package="attnlib")
class EncoderBlock(_Block):
    """Self-attention, then the feed-forward layer. With `causal`, the block of a decoder-only model such as GPT.

    d_model, num_heads, num_kv_heads, rotary, rotary_base: see `MultiHeadAttention`.
    d_hidden, activation: see `FeedForward`. norm: "pre" or "post", where the layer norm stands.
    seed: of the initial parameters, those of `attention`, `attention_norm`, `feed_forward` and `feed_forward_norm`.

    Raises ValueError for sizes that do not fit, and for words that there are not.
    Source: post-norm: Vaswani et al. (2017), section 3.1; pre-norm: Xiong et al. (2020), section 3.1.

    impl: how attention is computed, see `scaled_dot_product_attention`.
    dropout: the share set to zero in training, of attention weights, of the hidden layer and of what each sub-layer
    adds.
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
        dropout=0.0,
        seed=None,
        impl="explicit",
        **kwargs,
    ):
        config = {"d_model": d_model, "num_heads": num_heads, "d_hidden": d_hidden, "norm": norm}
        config |= {"activation": activation, "num_kv_heads": num_kv_heads, "rotary": rotary}
        config |= {"rotary_base": rotary_base, "dropout": dropout, "seed": seed, "impl": impl}
        super().__init__(config, spread(seed, 3), **kwargs)

    def call(
        self,
        x,
        *,
        attention_mask=None,
        attention_bias=None,
        causal=False,
        return_weights=False,
        cache=None,
        positions=None,
        x_mask=None,
        mask=None,
        training=False,
    ):
        """`[batch, ..., length, d_model] -> [batch, ..., length, d_model]`.

        attention_mask, attention_bias, causal, cache, positions: see `MultiHeadAttention`.
        return_weights: return `(output, weights)`, the weights of each head `[..., num_heads, length, k_len]`.

        Raises ValueError for shapes or types that do not fit.

        x_mask, mask: `[..., length]`, filled by Keras: which positions are not padding, see `MultiHeadAttention`.
        training: filled by Keras.
        """
        _checks.block(self.attention.w_query, x=x)
        options = {"attention_mask": attention_mask, "attention_bias": attention_bias, "causal": causal}
        options |= {"return_weights": return_weights, "cache": cache, "positions": positions}
        options |= {"key_mask": _and(x_mask, mask), "training": training}
        x, weights = self._attend(self.attention, self.attention_norm, x, **options)
        x = self._feed(x, training)
        return (x, weights) if return_weights else x


@keras.saving.register_keras_serializable(package="attnlib")
class DecoderBlock(_Block):
    """Causal self-attention, cross-attention to a memory (what an encoder made), then the feed-forward layer.

    d_model, num_heads, num_kv_heads, rotary, rotary_base: see `MultiHeadAttention`; rotary is for self-attention.
    d_hidden, activation: see `FeedForward`. norm: "pre" or "post", where the layer norm stands; not of the memory.
    seed: of the initial parameters, those of `attention`, `attention_norm`, `cross_attention`,
    `cross_attention_norm`, `feed_forward` and `feed_forward_norm`.

    Raises ValueError for sizes that do not fit, and for words that there are not.
    Source: post-norm: Vaswani et al. (2017), section 3.1; pre-norm: Xiong et al. (2020), section 3.1.

    impl: how attention is computed, see `scaled_dot_product_attention`.
    dropout: the share set to zero in training, of attention weights, of the hidden layer and of what each sub-layer
    adds.
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
        dropout=0.0,
        seed=None,
        impl="explicit",
        **kwargs,
    ):
        config = {"d_model": d_model, "num_heads": num_heads, "d_hidden": d_hidden, "norm": norm}
        config |= {"activation": activation, "num_kv_heads": num_kv_heads, "rotary": rotary}
        config |= {"rotary_base": rotary_base, "dropout": dropout, "seed": seed, "impl": impl}
        seeds = spread(seed, 4)
        super().__init__(config, seeds, **kwargs)
        self.cross_attention = self._attention(seed=seeds[3])
        self.cross_attention_norm = self._layer_norm()

    def build(self, x_shape, memory_shape=None):
        super().build(x_shape)

    def call(
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
        x_mask=None,
        memory_mask=None,
        training=False,
    ):
        """`[batch, ..., length, d_model], [batch, ..., m_len, d_model] -> [batch, ..., length, d_model]`.

        attention_mask, attention_bias, causal, cache, positions: of self-attention, see `MultiHeadAttention`.
        cross_attention_mask: boolean, True where a query may attend to the memory, to `[..., length, m_len]` for all
        heads alike, or, with one axis more than the inputs have, to `[..., num_heads, length, m_len]`.
        return_weights: return `(output, (weights, cross_weights))`, those of each head
        `[..., num_heads, length, k_len]` and `[..., num_heads, length, m_len]`.

        The cache holds keys and values of self-attention; those of the memory are computed at each call.
        Raises ValueError for shapes or types that do not fit.

        x_mask, memory_mask: `[..., length]`, filled by Keras: which positions are not padding, see
        `MultiHeadAttention`. training: filled by Keras.
        """
        _checks.block(self.attention.w_query, x=x, memory=memory)
        heads = self.attention.num_heads
        _checks.head_scores(x, memory, heads, cross_attention_mask, None, None, name="cross_attention_mask")
        options = {"attention_mask": attention_mask, "attention_bias": attention_bias, "causal": causal}
        options |= {"return_weights": return_weights, "cache": cache, "positions": positions}
        options |= {"key_mask": x_mask, "training": training}
        x, weights = self._attend(self.attention, self.attention_norm, x, **options)
        options = {"key": memory, "attention_mask": cross_attention_mask, "return_weights": return_weights}
        options |= {"key_mask": memory_mask, "training": training}
        x, cross = self._attend(self.cross_attention, self.cross_attention_norm, x, **options)
        x = self._feed(x, training)
        return (x, (weights, cross)) if return_weights else x
