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

import numpy as np

from attnlib import _checks
from attnlib.numpy.layers import _glorot
from attnlib.numpy.masks import padding_mask, with_causal
from attnlib.numpy.scores import general_scores
from attnlib.numpy.softmax import masked_softmax


def _distances(positions, k_len):
    """s - p for every position p and key s: `[..., q_len] -> [..., q_len, k_len]`, in float32 at least."""
    wide = np.float64 if positions.dtype == np.float64 else np.float32
    return np.arange(k_len, dtype=wide) - positions.astype(wide)[..., None]


def predicted_positions(q, w_position, v_position, lengths):
    """`[..., q_len, d_q] -> [..., q_len]`: where in the source each query is aligned to, from 0 to its length.

    w_position: `[d_q, d_hidden]`; v_position: `[d_hidden]`.
    lengths: of the sources: an integer, or integers `[...]` that broadcast to the axes before the last two of `q`.
    Positions in half precision would be off by more than a key, so they are float32 at least.

    Raises ValueError when a parameter or the lengths do not fit.
    Source: Luong, Pham and Manning (2015), eq. 9.
    """
    _checks.predicted(q, w_position, v_position, lengths)
    logits = np.tanh(q @ w_position) @ v_position  # [..., q_len]
    logits = logits.astype(np.promote_types(logits.dtype, np.float32))
    sigmoid = (1 + np.tanh(logits / 2)) / 2  # 1 / (1 + exp(-x)), without an exponential that could overflow
    return np.asarray(lengths, logits.dtype)[..., None] * sigmoid


def local_window_mask(positions, k_len, *, half_width):
    """`[..., q_len] -> [..., q_len, k_len]`: a query sees the keys at most `half_width` from its position.

    positions: real numbers or integers, counted from the first key. half_width: D, so at most 2D + 1 keys are seen.

    Raises ValueError for positions that are not numbers and for lengths that are not integers of at least 1.
    Source: Luong, Pham and Manning (2015), section 3.2.
    """
    _checks.positions(positions)
    _checks.length("k_len", k_len)
    _checks.length("half_width", half_width)
    return np.abs(_distances(positions, k_len)) <= half_width


def local_gaussian(positions, k_len, *, half_width):
    """`[..., q_len] -> [..., q_len, k_len]`: a bell around each position, 1 at its top, of deviation half_width / 2.

    positions: real numbers or integers, counted from the first key. The result is float32 at least.

    Raises ValueError for positions that are not numbers and for lengths that are not integers of at least 1.
    Source: Luong, Pham and Manning (2015), eq. 10.
    """
    _checks.positions(positions)
    _checks.length("k_len", k_len)
    _checks.length("half_width", half_width)
    deviation = half_width / 2
    return np.exp(-((_distances(positions, k_len) / deviation) ** 2) / 2)


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
    _checks.positions(positions, scores.shape)
    k_len = scores.shape[-1]
    allowed = local_window_mask(positions, k_len, half_width=half_width)
    weights = masked_softmax(scores, allowed if mask is None else allowed & mask)
    if gaussian:
        weights = weights * local_gaussian(positions, k_len, half_width=half_width).astype(weights.dtype)
    output = weights @ v
    return (output, weights) if return_weights else output


class LocalMonotonicAttention:
    """Local attention with monotonic alignment, local-m: query t attends around key t, with the "general" score.

    d_query, d_key: widths of queries and keys. half_width: D; the window is t - D to t + D.
    seed: of the initial `weight` `[d_query, d_key]`.
    Raises ValueError for sizes that are not integers of at least 1.
    Source: Luong, Pham and Manning (2015), section 3.2.
    """

    def __init__(self, d_query, d_key, half_width, *, seed=None):
        _checks.length("d_query", d_query)
        _checks.length("d_key", d_key)
        _checks.length("half_width", half_width)
        self.half_width = half_width
        self.weight = _glorot(np.random.default_rng(seed), d_query, d_key, (d_query, d_key))

    def __call__(
        self, query, key=None, value=None, *, attention_mask=None, causal=False, start=0, return_weights=False
    ):
        """`[batch, q_len, d_query], [batch, k_len, d_key], [batch, k_len, d_v] -> [batch, q_len, d_v]`.

        key: defaults to `query` (self-attention); value: defaults to `key`.
        attention_mask: boolean, True where a query may attend, broadcasting to `[..., q_len, k_len]`.
        causal: a query sees no later key; the last query is aligned to the last key.
        start: what the first query is aligned to, so that decoding can go step by step.
        return_weights: return `(output, weights)`.

        There may be more axes between batch and length. Raises ValueError for shapes or types that do not fit, and
        where there is no batch: `[batch, features]` would pass for one sequence, its examples for positions.
        """
        key = query if key is None else key
        value = key if value is None else value
        _checks.layer(query, key, value)
        scores = general_scores(query, key, self.weight)
        _checks.mask("attention_mask", attention_mask, scores.shape)
        _checks.start(start)
        positions = start + np.arange(query.shape[-2])
        mask = with_causal(attention_mask, causal, query, key)
        return local_attend(
            scores, value, positions, half_width=self.half_width, mask=mask, return_weights=return_weights
        )


class LocalPredictiveAttention:
    """Local attention with predictive alignment, local-p: a query says where it looks; with the "general" score.

    d_query, d_key, d_hidden: widths of queries, keys and the layer that predicts. half_width: D; the window is
    p - D to p + D. seed: of the initial parameters `weight` `[d_query, d_key]`, `w_position` `[d_query, d_hidden]`
    and `v_position` `[d_hidden]`.
    Raises ValueError for sizes that are not integers of at least 1.
    Source: Luong, Pham and Manning (2015), section 3.2, eqs. 9 and 10.
    """

    def __init__(self, d_query, d_key, d_hidden, half_width, *, seed=None):
        _checks.length("d_query", d_query)
        _checks.length("d_key", d_key)
        _checks.length("d_hidden", d_hidden)
        _checks.length("half_width", half_width)
        self.half_width = half_width
        rng = np.random.default_rng(seed)
        self.weight = _glorot(rng, d_query, d_key, (d_query, d_key))
        self.w_position = _glorot(rng, d_query, d_hidden, (d_query, d_hidden))
        self.v_position = _glorot(rng, d_hidden, 1, d_hidden)

    def __call__(
        self, query, key=None, value=None, *, attention_mask=None, causal=False, lengths=None, return_weights=False
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
        """
        key = query if key is None else key
        value = key if value is None else value
        _checks.layer(query, key, value)
        scores = general_scores(query, key, self.weight)
        _checks.mask("attention_mask", attention_mask, scores.shape)
        mask = with_causal(attention_mask, causal, query, key)
        k_len = key.shape[-2]
        if lengths is not None:
            padding = padding_mask(lengths, k_len)  # [..., 1, k_len]
            mask = padding if mask is None else mask & padding
        positions = predicted_positions(
            query, self.w_position, self.v_position, k_len if lengths is None else lengths
        )  # [..., q_len]
        return local_attend(
            scores,
            value,
            positions,
            half_width=self.half_width,
            gaussian=True,
            mask=mask,
            return_weights=return_weights,
        )
