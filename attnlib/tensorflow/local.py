"""Local attention: each query attends to a window of the source around a position it is aligned to.

    local-m     p_t = t                                                            section 3.2
    local-p     p_t = S · sigmoid(v_p · tanh(W_p h_t))                             eq. 9
    window      align(h_t, s) = softmax of the scores with p_t - D <= s <= p_t + D  eq. 7
    local-p     a_t(s) = align(h_t, s) · exp(-(s - p_t)² / (2σ²)),  σ = D / 2      eq. 10

Luong, Pham and Manning (2015), "Effective approaches to attention-based neural machine translation". S is the length
of the source, counted from 0 here; D is `half_width`, 10 in the paper. What lies outside the source is left out of the
window. Local-p's weights are not normalised again: a window whose best key is far from p_t gives a shorter output.
Through the Gaussian p_t is learned; the window's edge, where a key comes or goes, has no gradient.
"""

import keras
import tensorflow as tf

from attnlib import _checks
from attnlib.tensorflow._affine import affine
from attnlib.tensorflow.layers import _and, _Attention, _glorot
from attnlib.tensorflow.masks import padding_mask, with_causal
from attnlib.tensorflow.patterns import _length
from attnlib.tensorflow.scores import general_scores
from attnlib.tensorflow.softmax import masked_softmax


def _distances(positions, k_len):
    """s - p for every position p and key s: `[..., q_len] -> [..., q_len, k_len]`, in float32 at least."""
    wide = tf.float64 if positions.dtype == tf.float64 else tf.float32
    return tf.cast(tf.range(k_len), wide) - tf.cast(positions, wide)[..., None]


def predicted_positions(q, w_position, v_position, lengths):
    """`[..., q_len, d_q] -> [..., q_len]`: where in the source each query is aligned to, from 0 to its length.

    w_position: `[d_q, d_hidden]`; v_position: `[d_hidden]`.
    lengths: of the sources: an integer, or integers `[...]` that broadcast to the axes before the last two of `q`.
    Positions in half precision would be off by more than a key, so they are float32 at least.

    Raises ValueError when a parameter or the lengths do not fit.
    Source: Luong, Pham and Manning (2015), eq. 9.
    """
    _checks.predicted(q, w_position, v_position, lengths)
    logits = tf.linalg.matvec(tf.tanh(affine(q, w_position)), v_position)  # [..., q_len]
    if logits.dtype.size < 4:
        logits = tf.cast(logits, tf.float32)
    return tf.cast(lengths, logits.dtype)[..., None] * tf.sigmoid(logits)


def local_window_mask(positions, k_len, *, half_width):
    """`[..., q_len] -> [..., q_len, k_len]`: a query sees the keys at most `half_width` from its position.

    positions: real numbers or integers, counted from the first key. half_width: D, so at most 2D + 1 keys are seen.

    Raises ValueError for positions that are not numbers and for lengths that are not integers of at least 1.
    Source: Luong, Pham and Manning (2015), section 3.2.
    """
    _checks.positions(positions)
    _checks.length("half_width", half_width)
    return tf.abs(_distances(positions, _length("k_len", k_len))) <= half_width


def local_gaussian(positions, k_len, *, half_width):
    """`[..., q_len] -> [..., q_len, k_len]`: a bell around each position, 1 at its top, of deviation half_width / 2.

    positions: real numbers or integers, counted from the first key. The result is float32 at least.

    Raises ValueError for positions that are not numbers and for lengths that are not integers of at least 1.
    Source: Luong, Pham and Manning (2015), eq. 10.
    """
    _checks.positions(positions)
    _checks.length("half_width", half_width)
    deviation = half_width / 2
    return tf.exp(-tf.square(_distances(positions, _length("k_len", k_len)) / deviation) / 2)


def local_attend(scores, v, positions, /, *, half_width, gaussian=False, mask=None, return_weights=False):
    """`[..., q_len, k_len], [..., k_len, d_v], [..., q_len] -> [..., q_len, d_v]`: attention in a window.

    positions: what each query is aligned to, counted from the first key. half_width: D; the window is p - D to p + D.
    gaussian: multiply the weights by `local_gaussian`, as in local-p; they then sum to less than one.
    mask: boolean, True where a query may attend. A query with nothing in its window gets zeros.
    return_weights: also return the weights `[..., q_len, k_len]`, as `(output, weights)`.

    Raises ValueError when scores, values, positions and mask do not fit together.
    Source: Luong, Pham and Manning (2015), section 3.2: local-m by eq. 7, local-p by eq. 10.
    """
    _checks.attend(scores, v, mask)
    _checks.positions(positions, _checks.shape(scores))
    k_len = tf.shape(scores)[-1] if scores.shape[-1] is None else scores.shape[-1]
    allowed = local_window_mask(positions, k_len, half_width=half_width)
    weights = masked_softmax(scores, allowed if mask is None else allowed & mask)
    if gaussian:
        weights = weights * tf.cast(local_gaussian(positions, k_len, half_width=half_width), weights.dtype)
    output = tf.matmul(weights, v)
    return (output, weights) if return_weights else output


@keras.saving.register_keras_serializable(package="attnlib")
class LocalMonotonicAttention(_Attention):
    """Local attention with monotonic alignment, local-m: query t attends around key t, with the "general" score.

    d_query, d_key: widths of queries and keys. half_width: D; the window is t - D to t + D.
    seed: of the initial `weight` `[d_query, d_key]`.
    Raises ValueError for sizes that are not integers of at least 1.
    Source: Luong, Pham and Manning (2015), section 3.2.
    """

    def __init__(self, d_query, d_key, half_width, *, seed=None, **kwargs):
        super().__init__(**kwargs)
        _checks.length("d_query", d_query)
        _checks.length("d_key", d_key)
        _checks.length("half_width", half_width)
        self.d_query, self.d_key, self.half_width, self.seed = d_query, d_key, half_width, seed

    def build(self, query_shape, key_shape=None, value_shape=None):
        self.weight = self.add_weight(name="weight", shape=(self.d_query, self.d_key), initializer=_glorot(self.seed))

    def call(
        self,
        query,
        key=None,
        value=None,
        *,
        attention_mask=None,
        causal=False,
        start=0,
        return_weights=False,
        query_mask=None,
        key_mask=None,
        value_mask=None,
        mask=None,
    ):
        """`[batch, q_len, d_query], [batch, k_len, d_key], [batch, k_len, d_v] -> [batch, q_len, d_v]`.

        key: defaults to `query` (self-attention); value: defaults to `key`.
        attention_mask: boolean, True where a query may attend, broadcasting to `[..., q_len, k_len]`.
        causal: a query sees no later key; the last query is aligned to the last key.
        start: what the first query is aligned to, so that decoding can go step by step.
        return_weights: return `(output, weights)`.

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
        scores = general_scores(query, key, self.weight)
        _checks.mask("attention_mask", attention_mask, _checks.shape(scores))
        _checks.start(start)
        positions = tf.cast(start, tf.int32) + tf.range(tf.shape(query)[-2])
        padding = _and(key_mask, value_mask)
        if padding is not None:
            padding = padding[..., None, :]  # [..., 1, k_len]
        allowed = with_causal(_and(attention_mask, padding), causal, query, key)
        return local_attend(
            scores, value, positions, half_width=self.half_width, mask=allowed, return_weights=return_weights
        )

    def get_config(self):
        config = {"d_query": self.d_query, "d_key": self.d_key, "half_width": self.half_width, "seed": self.seed}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable(package="attnlib")
class LocalPredictiveAttention(_Attention):
    """Local attention with predictive alignment, local-p: a query says where it looks; with the "general" score.

    d_query, d_key, d_hidden: widths of queries, keys and the layer that predicts. half_width: D; the window is
    p - D to p + D. seed: of the initial parameters `weight` `[d_query, d_key]`, `w_position` `[d_query, d_hidden]`
    and `v_position` `[d_hidden]`.
    Raises ValueError for sizes that are not integers of at least 1.
    Source: Luong, Pham and Manning (2015), section 3.2, eqs. 9 and 10.
    """

    def __init__(self, d_query, d_key, d_hidden, half_width, *, seed=None, **kwargs):
        super().__init__(**kwargs)
        _checks.length("d_query", d_query)
        _checks.length("d_key", d_key)
        _checks.length("d_hidden", d_hidden)
        _checks.length("half_width", half_width)
        self.d_query, self.d_key, self.d_hidden, self.half_width = d_query, d_key, d_hidden, half_width
        self.seed = seed

    def build(self, query_shape, key_shape=None, value_shape=None):
        # One seed gives three different draws: an initialiser with a seed would repeat itself.
        seeds = [None] * 3 if self.seed is None else [3 * self.seed + i for i in range(3)]
        shapes = {
            "weight": (self.d_query, self.d_key),
            "w_position": (self.d_query, self.d_hidden),
            "v_position": (self.d_hidden,),
        }
        for (name, shape), seed in zip(shapes.items(), seeds, strict=True):
            setattr(self, name, self.add_weight(name=name, shape=shape, initializer=_glorot(seed)))

    def call(
        self,
        query,
        key=None,
        value=None,
        *,
        attention_mask=None,
        causal=False,
        lengths=None,
        return_weights=False,
        query_mask=None,
        key_mask=None,
        value_mask=None,
        mask=None,
    ):
        """`[batch, q_len, d_query], [batch, k_len, d_key], [batch, k_len, d_v] -> [batch, q_len, d_v]`.

        key: defaults to `query` (self-attention); value: defaults to `key`.
        attention_mask: boolean, True where a query may attend, broadcasting to `[..., q_len, k_len]`.
        causal: a query sees no later key; the last query is aligned to the last key.
        lengths: integers `[...]`, how many keys of each row are real; the rest is not attended to, and positions are
        predicted within them. By default all keys are real.
        return_weights: return `(output, weights)`.

        There may be more axes between batch and length. Raises ValueError for shapes or types that do not fit, and
        where there is no batch: `[batch, features]` would pass for one sequence, its examples for positions.

        query_mask, key_mask, value_mask, mask: `[..., length]`, filled by Keras: which positions are not padding.
        Padded keys are not attended to. Padded queries are computed like any other; the output carries their mask.
        Where `lengths` is not given it is the number of keys that are not padding.
        """
        if key is None:
            key = query
            key_mask = _and(key_mask, query_mask, mask)
        if value is None:
            value = key
        _checks.layer(query, key, value)
        scores = general_scores(query, key, self.weight)
        _checks.mask("attention_mask", attention_mask, _checks.shape(scores))
        padding = _and(key_mask, value_mask)
        if padding is not None:
            if lengths is None:
                lengths = tf.reduce_sum(tf.cast(padding, tf.int32), axis=-1)
            padding = padding[..., None, :]  # [..., 1, k_len]
        allowed = with_causal(_and(attention_mask, padding), causal, query, key)
        if lengths is None:
            lengths = tf.shape(key)[-2]
        else:
            allowed = _and(allowed, _padding(lengths, key))
        positions = predicted_positions(query, self.w_position, self.v_position, lengths)  # [..., q_len]
        return local_attend(
            scores,
            value,
            positions,
            half_width=self.half_width,
            gaussian=True,
            mask=allowed,
            return_weights=return_weights,
        )

    def get_config(self):
        sizes = {"d_query": self.d_query, "d_key": self.d_key, "d_hidden": self.d_hidden}
        return {**super().get_config(), **sizes, "half_width": self.half_width, "seed": self.seed}


def _padding(lengths, key):
    if key.shape[-2] is not None:
        return padding_mask(lengths, key.shape[-2])
    _checks.lengths(lengths)
    return tf.sequence_mask(lengths, tf.shape(key)[-2])[..., None, :]
