"""Patterns: masks that leave most keys out, for sequences too long for every query to see every key.

A query at position p, counted along the keys, sees the key at position j where

    sliding window   p - left <= j <= p + right      Beltagy et al. (2020), "Longformer", section 3.1
    block-local      ⌊p / block⌋ = ⌊j / block⌋       Child et al. (2019), section 4.3, "fixed", A(1)
    strided          (p - j) mod stride = 0          Child et al. (2019), section 4.3, "strided", A(2)
    global tokens    p or j is a global position     Beltagy et al. (2020), "Longformer", section 3.1

As with `causal_mask` the last query stands at the last key. Patterns combine: `&` keeps what both allow and `|` what
either allows, so Longformer's pattern is `sliding_window_mask(...) | global_token_mask(...)` and the decoder's form of
any of them `... & causal_mask(...)`. A mask says what these models compute; dense attention still pays for every score.
"""

import torch

from attnlib import _checks


def _positions(q_len, k_len, device):
    """Positions of the queries `[q_len, 1]` and of the keys `[1, k_len]`, both counted along the keys."""
    k_len = q_len if k_len is None else k_len
    _checks.length("q_len", q_len)
    _checks.length("k_len", k_len)
    queries, keys = torch.arange(k_len - q_len, k_len, device=device), torch.arange(k_len, device=device)
    return queries[:, None], keys[None, :]


def sliding_window_mask(q_len, k_len=None, *, left, right=0, device=None):
    """`[q_len, k_len]`: a query sees `left` keys before its own position, its own, and `right` keys after it.

    right: 0, the default, makes a causal window of left + 1 keys. None for either side is no limit.
    `k_len` defaults to `q_len`; the last query is aligned to the last key.

    Raises ValueError for a length that is not an integer of at least 1 and a side that is not one of at least 0.
    Source: Beltagy, Peters and Cohan (2020), "Longformer", section 3.1: half of its window on each side.
    """
    queries, keys = _positions(q_len, k_len, device)
    _checks.side("left", left)
    _checks.side("right", right)
    mask = torch.ones(len(queries), keys.numel(), dtype=torch.bool, device=device)
    if left is not None:
        mask = mask & (keys >= queries - left)
    if right is not None:
        mask = mask & (keys <= queries + right)
    return mask


def block_local_mask(q_len, k_len=None, *, block, device=None):
    """`[q_len, k_len]`: a query sees the keys of its own block, and no key of another one.

    block: how many keys a block has; the first block begins at the first key and the last may be shorter.
    `k_len` defaults to `q_len`; the last query is aligned to the last key.

    Raises ValueError for a length or a block that is not an integer of at least 1.
    Source: Child et al. (2019), section 4.3, the first set of the "fixed" pattern.
    """
    queries, keys = _positions(q_len, k_len, device)
    _checks.length("block", block)
    return queries // block == keys // block


def strided_mask(q_len, k_len=None, *, stride, device=None):
    """`[q_len, k_len]`: a query sees the keys whose distance from its own position is a multiple of `stride`.

    `k_len` defaults to `q_len`; the last query is aligned to the last key.

    Raises ValueError for a length or a stride that is not an integer of at least 1.
    Source: Child et al. (2019), section 4.3, the second set of the "strided" pattern.
    """
    queries, keys = _positions(q_len, k_len, device)
    _checks.length("stride", stride)
    return (queries - keys) % stride == 0


def global_token_mask(q_len, k_len=None, *, tokens, device=None):
    """`[q_len, k_len]`: everybody sees the global tokens and the global tokens see everybody; nobody else is seen.

    tokens: a list of the global tokens' positions among the keys, from 0 to k_len - 1.
    `k_len` defaults to `q_len`; the last query is aligned to the last key.

    Raises ValueError for a length that is not an integer of at least 1 and a token that is not among the keys.
    Source: Beltagy, Peters and Cohan (2020), "Longformer", section 3.1.
    """
    queries, keys = _positions(q_len, k_len, device)
    _checks.tokens(tokens, keys.numel())
    mask = torch.zeros(len(queries), keys.numel(), dtype=torch.bool, device=device)
    for token in tokens:
        mask = mask | (queries == token) | (keys == token)
    return mask
