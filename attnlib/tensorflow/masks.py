"""Masks: boolean, True where a query may attend to a key, broadcasting to `[..., q_len, k_len]`.

Two masks are combined with `&`: what both allow is allowed.
"""

import tensorflow as tf

from attnlib import _checks


def causal_mask(q_len, k_len=None):
    """`[q_len, k_len]`: a query sees the keys up to its own position and none after it.

    The last query is aligned to the last key, so that one new query (`q_len` 1) sees a whole cache of keys.
    `k_len` defaults to `q_len`.

    Raises ValueError for a length that is not an integer of at least 1.
    Source: the decoder's mask in Vaswani et al. (2017), section 3.1.
    """
    k_len = q_len if k_len is None else k_len
    _checks.length("q_len", q_len)
    _checks.length("k_len", k_len)
    return _causal(q_len, k_len)


def padding_mask(lengths, max_len):
    """`[...] -> [..., 1, max_len]`: the first `lengths` keys of each row are real, the rest is padding.

    lengths: integers from 0 to `max_len`, any shape. The axis of length 1 stands for every query.

    Raises ValueError for lengths that are not integers or lie outside 0 to `max_len`.
    """
    _checks.lengths(lengths)
    _checks.length("max_len", max_len)
    # A tensor of a graph has no values yet: there the range is left to the caller.
    if tf.executing_eagerly():
        smallest, largest = tf.reduce_min(lengths).numpy(), tf.reduce_max(lengths).numpy()
        _checks.lengths_in_range(smallest, largest, max_len)
    return tf.sequence_mask(lengths, max_len)[..., None, :]


def _causal(q_len, k_len):
    # Lengths may be tensors here, as they are in a graph of unknown length.
    return tf.range(k_len) <= tf.range(q_len)[:, None] + (k_len - q_len)


def with_causal(mask, causal, q, k):
    """The mask that `causal` asks for beside `mask`: `[..., q_len, d], [..., k_len, d]` give the lengths."""
    if not causal:
        return mask
    allowed = _causal(tf.shape(q)[-2], tf.shape(k)[-2])
    return allowed if mask is None else mask & allowed
