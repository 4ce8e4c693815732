"""Masks: boolean, True where a query may attend to a key, broadcasting to `[..., q_len, k_len]`.

Two masks are combined with `&`: what both allow is allowed.
"""

import torch

from attnlib import _checks


def causal_mask(q_len, k_len=None, *, device=None):
    """`[q_len, k_len]`: a query sees the keys up to its own position and none after it.

    The last query is aligned to the last key, so that one new query (`q_len` 1) sees a whole cache of keys.
    `k_len` defaults to `q_len`.

    Raises ValueError for a length that is not an integer of at least 1.
    Source: the decoder's mask in Vaswani et al. (2017), section 3.1.
    """
    k_len = q_len if k_len is None else k_len
    _checks.length("q_len", q_len)
    _checks.length("k_len", k_len)
    return torch.ones(q_len, k_len, dtype=torch.bool, device=device).tril(k_len - q_len)


def padding_mask(lengths, max_len):
    """`[...] -> [..., 1, max_len]`: the first `lengths` keys of each row are real, the rest is padding.

    lengths: integers from 0 to `max_len`, any shape. The axis of length 1 stands for every query.

    Raises ValueError for lengths that are not integers or lie outside 0 to `max_len`.
    """
    _checks.lengths(lengths)
    _checks.length("max_len", max_len)
    # A graph that is being compiled has no values yet: there the range is left to the caller.
    if lengths.numel() and not torch.compiler.is_compiling():
        _checks.lengths_in_range(lengths.min().item(), lengths.max().item(), max_len)
    return torch.arange(max_len, device=lengths.device) < lengths[..., None, None]


def with_causal(mask, causal, q, k):
    """The mask that `causal` asks for beside `mask`: `[..., q_len, d], [..., k_len, d]` give the lengths."""
    if not causal:
        return mask
    allowed = causal_mask(q.shape[-2], k.shape[-2], device=q.device)
    return allowed if mask is None else mask & allowed
