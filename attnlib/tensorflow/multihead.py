"""Multi-head attention: several attentions side by side, each in a projection of its own.

    MultiHead(Q, K, V) = Concat(head_1, ..., head_h) W_O
    head_i = Attention(Q W_Q_i, K W_K_i, V W_V_i)      Vaswani et al. (2017), section 3.2.2

The projections of all heads are one matrix: columns i · head_dim to (i + 1) · head_dim belong to head i. With fewer
heads of keys and values than of queries, groups of query heads share them: grouped-query attention (Ainslie et al.,
2023), and with a single one multi-query attention (Shazeer, 2019).
"""

import keras
import tensorflow as tf

from attnlib import _checks
from attnlib.tensorflow._affine import affine
from attnlib.tensorflow.dense import scaled_dot_product_attention
from attnlib.tensorflow.layers import _and, _glorot
from attnlib.tensorflow.masks import with_causal
from attnlib.tensorflow.positions import rotary
from attnlib.tensorflow.scores import scaled_dot_scores
from attnlib.tensorflow.softmax import masked_softmax
from attnlib.tensorflow.tiled import tiled_attention


def split_heads(x, num_heads):
    """`[..., length, num_heads * head_dim] -> [..., num_heads, length, head_dim]`."""
    x = tf.reshape(x, [*_sizes(x)[:-1], num_heads, x.shape[-1] // num_heads])
    return _swap(x)


def merge_heads(x):
    """`[..., num_heads, length, head_dim] -> [..., length, num_heads * head_dim]`."""
    x = _swap(x)
    return tf.reshape(x, [*_sizes(x)[:-2], x.shape[-2] * x.shape[-1]])


def repeat_heads(x, times):
    """`[..., num_kv_heads, length, head_dim] -> [..., num_kv_heads * times, length, head_dim]`, each head repeated."""
    return x if times == 1 else tf.repeat(x, times, axis=-3)


def mask_for_heads(mask, axes):
    """`[..., q_len, k_len] -> [..., 1, q_len, k_len]`: the same for all heads, unless the mask has an axis for them.

    axes: how many axes the layer's inputs have; a mask for each head has one more.
    """
    return mask[..., None, :, :] if mask is not None and 3 <= len(mask.shape) <= axes else mask


def positions_for_heads(positions, query, cache):
    """`[..., q_len] -> [..., 1, q_len]`: the same for all heads; by default those that follow the cache's."""
    if positions is None:
        start = 0 if cache is None else cache.length
        return start + tf.range(tf.shape(query)[-2])
    return positions if len(positions.shape) < 2 else positions[..., None, :]


@keras.saving.register_keras_serializable(package="attnlib")
class MultiHeadAttention(keras.layers.Layer):
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
        **kwargs,
    ):
        super().__init__(**kwargs)
        num_kv_heads, head_dim = _checks.heads(d_model, num_heads, num_kv_heads, head_dim)
        _checks.choice("impl", impl, ["explicit", "tiled"])
        _checks.rotary_heads(rotary, rotary_base, head_dim)
        _checks.dropout(dropout, impl)
        self.d_model, self.num_heads, self.num_kv_heads, self.head_dim = d_model, num_heads, num_kv_heads, head_dim
        self.bias, self.dropout, self.seed, self.impl = bias, dropout, seed, impl
        self.rotary, self.rotary_base = rotary, rotary_base
        self.supports_masking = True  # the output has a row for each query, so it keeps the query's mask
        if dropout:
            self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, query_shape, key_shape=None, value_shape=None):
        # One seed gives four different draws: an initialiser with a seed would repeat itself.
        seeds = [None] * 4 if self.seed is None else [4 * self.seed + i for i in range(4)]
        inside, inside_kv = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        shapes = {
            "query": (self.d_model, inside),
            "key": (self.d_model, inside_kv),
            "value": (self.d_model, inside_kv),
            "output": (inside, self.d_model),
        }
        for (name, shape), seed in zip(shapes.items(), seeds, strict=True):
            weight = self.add_weight(name=f"w_{name}", shape=shape, initializer=_glorot(seed))
            bias = self.add_weight(name=f"b_{name}", shape=shape[1:], initializer="zeros") if self.bias else None
            setattr(self, f"w_{name}", weight)
            setattr(self, f"b_{name}", bias)

    def call(
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
        query_mask=None,
        key_mask=None,
        value_mask=None,
        mask=None,
        training=False,
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

        query_mask, key_mask, value_mask, mask: `[..., length]`, filled by Keras: which positions are not padding.
        Padded keys are not attended to. Padded queries are computed like any other; the output carries their mask.
        With a cache such masks are an error: they know of the new keys only. Give an `attention_mask` of all keys.
        training: filled by Keras.
        """
        _checks.turned(self.rotary, query, key, positions)
        if key is None:
            key = query
            key_mask = _and(key_mask, query_mask, mask)
        if value is None:
            value = key
        axes = _checks.multihead(query, key, value, self.w_query)
        _checks.head_scores(query, key, self.num_heads, attention_mask, attention_bias, cache)
        _checks.no_weights(self.impl, return_weights)
        padding = _and(key_mask, value_mask)
        if padding is not None:
            if cache is not None:
                raise ValueError("cache must come without Keras masks, which know of the new keys only, got a mask")
            padding = padding[..., None, None, :]  # [..., 1, 1, k_len]
        allowed = _and(mask_for_heads(attention_mask, axes), padding)
        if self.rotary is not None:
            positions = positions_for_heads(positions, query, cache)
        q, k, v = self.project(query, key, value, positions)
        if cache is not None:
            k, v = cache.append(k, v)
            causal = causal and q.shape[-2] != 1  # the only query is the last one: it sees every key
            allowed = _and(allowed, cache.mask(tf.shape(q)[-2]))
        output, weights = self._attend(q, k, v, allowed, attention_bias, causal, self.dropout if training else 0.0)
        output = affine(merge_heads(output), self.w_output, self.b_output)
        return (output, weights) if return_weights else output

    def project(self, query, key, value, positions=None):
        """`[..., length, d_model] -> [..., heads, length, head_dim]`, for queries, keys and values.

        positions: with `rotary`, of queries and keys, broadcasting to `[..., heads, length]`.
        """
        q = split_heads(affine(query, self.w_query, self.b_query), self.num_heads)
        k = split_heads(affine(key, self.w_key, self.b_key), self.num_kv_heads)
        v = split_heads(affine(value, self.w_value, self.b_value), self.num_kv_heads)
        if self.rotary is not None:
            q, k = (rotary(x, positions, base=self.rotary_base, pairing=self.rotary) for x in (q, k))
        return q, k, v

    def _attend(self, q, k, v, mask, bias, causal, dropout):
        group = self.num_heads // self.num_kv_heads
        k, v = repeat_heads(k, group), repeat_heads(v, group)
        if self.impl == "tiled":
            return tiled_attention(q, k, v, mask=mask, bias=bias, causal=causal), None
        if not dropout:
            return scaled_dot_product_attention(q, k, v, mask=mask, bias=bias, causal=causal, return_weights=True)
        scores = scaled_dot_scores(q, k)
        if bias is not None:
            scores = scores + bias
        weights = masked_softmax(scores, with_causal(mask, causal, q, k))
        return keras.random.dropout(weights, dropout, seed=self.seed_generator) @ v, weights

    def get_config(self):
        names = (
            "d_model",
            "num_heads",
            "num_kv_heads",
            "head_dim",
            "bias",
            "rotary",
            "rotary_base",
            "dropout",
            "seed",
            "impl",
        )
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    @classmethod
    def from_keras(cls, layer, *, impl="explicit"):
        """A layer with the weights of a built `keras.layers.MultiHeadAttention` or `GroupQueryAttention`.

        Keras's layers are called with query, value, key, in this order.
        Raises ValueError for a layer without weights yet, and for what this layer has no counterpart of: values or an
        output of another width, other axes, a sliding window (give a mask), a gate, inputs of different widths.
        """
        if not layer.built:
            raise ValueError("layer must be built, so that it has weights to copy, got one that is not")
        config = layer.get_config()
        num_heads = config.get("num_heads", config.get("num_query_heads"))
        head_dim = config.get("key_dim", config.get("head_dim"))
        arrays = {"/".join(w.path.split("/")[-2:]): w.numpy() for w in layer.weights}
        kernels = {name: arrays[f"{theirs}/kernel"] for name, theirs in _KERAS_NAMES.items()}
        d_model = kernels["query"].shape[0]
        for name, wanted in (
            ("value_dim", head_dim),
            ("attention_axes", None),
            ("sliding_window", None),
            ("use_gate", False),
        ):
            got = config.get(name, wanted)
            if got != wanted and not (name == "attention_axes" and got in ([1], (1,))):
                raise ValueError(f"layer must have {name} {wanted}, got {got}")
        widths = [kernels["query"].shape[0], kernels["key"].shape[0], kernels["value"].shape[0]]
        widths.append(kernels["output"].shape[-1])
        if len(set(widths)) > 1:
            raise ValueError(f"layer must have query, key, value and output of one width, got {widths}")
        ours = cls(
            d_model,
            num_heads,
            num_kv_heads=kernels["key"].shape[1],
            head_dim=head_dim,
            bias=config["use_bias"],
            dropout=config["dropout"],
            impl=impl,
            dtype=layer.dtype_policy,
        )
        ours.build(None)
        for name, theirs in _KERAS_NAMES.items():
            weight = getattr(ours, f"w_{name}")
            weight.assign(kernels[name].reshape(weight.shape))
            if ours.bias:
                bias = getattr(ours, f"b_{name}")
                bias.assign(arrays[f"{theirs}/bias"].reshape(bias.shape))
        return ours

    def to_keras(self):
        """A `keras.layers.MultiHeadAttention` with the weights of this layer, with fewer heads of keys and values than
        of queries a `GroupQueryAttention`.

        Raises ValueError when rotary turns queries and keys.
        """
        if self.rotary is not None:
            raise ValueError(f"Keras's layers need rotary None, got {self.rotary!r}")
        if not self.built:
            self.build(None)
        shared = {"dropout": self.dropout, "use_bias": self.bias, "dtype": self.dtype_policy}
        if self.num_kv_heads == self.num_heads:
            layer = keras.layers.MultiHeadAttention(self.num_heads, self.head_dim, **shared)
        else:
            layer = keras.layers.GroupQueryAttention(self.head_dim, self.num_heads, self.num_kv_heads, **shared)
        shape = (None, None, self.d_model)
        layer.build(shape, shape, shape)
        ours = {theirs: name for name, theirs in _KERAS_NAMES.items()}
        for weight in layer.weights:
            part, kind = weight.path.split("/")[-2:]
            if part in ours:
                weight.assign(tf.reshape(getattr(self, f"{kind[0].replace('k', 'w')}_{ours[part]}"), weight.shape))
        return layer


_KERAS_NAMES = {"query": "query", "key": "key", "value": "value", "output": "attention_output"}


def _sizes(x):
    """The length of each axis: a number where it is known, else a tensor."""
    return [tf.shape(x)[i] if n is None else n for i, n in enumerate(x.shape)]


def _swap(x):
    """`[..., a, b, d] -> [..., b, a, d]`."""
    axes = list(range(len(x.shape)))
    axes[-3], axes[-2] = axes[-2], axes[-3]
    return tf.transpose(x, axes)
