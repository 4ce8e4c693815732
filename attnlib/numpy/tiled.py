"""Tiled attention: exact attention that never holds the score matrix.

The softmax of a row can be built while its scores arrive in tiles. With the maximum m, the sum l and the weighted
values o of the tiles seen so far, a new tile of scores s with values V gives

    m' = max(m, max_j s_j)                        the new maximum
    c  = exp(m - m')                              what the old sums are worth under it
    l' = c l + sum_j exp(s_j - m')
    o' = c o + sum_j exp(s_j - m') V_j            and at the end: output = o / l, logsumexp = m + log l

Milakov and Gimelshein (2018), algorithm 3, for the maximum and the sum; Dao, Fu, Ermon, Rudra and Ré (2022),
"FlashAttention", algorithm 1, for the values. The memory is that of one tile, whatever the lengths, and so is what
the processor's cache has to hold. Of a causal mask the tiles above the diagonal are not computed.
"""

import numpy as np

from attnlib import _checks


def tiles(length, size):
    """Slices of `size`, the last one shorter, that cover `length`."""
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def tile_scores(queries, keys, mask, bias, causal, rows, cols, diagonal, held):
    """`[rows, d], [cols, d] -> [rows, cols]`: the masked scores of one tile; the queries are scaled already.

    mask and bias are `[q_len, k_len]` or None; a causal query i sees the keys up to i + diagonal.
    held: where the scores are written; memory that is used again need not be asked for again.
    """
    scores = np.matmul(queries, keys.T, out=held[: len(queries), : len(keys)])
    if bias is not None:
        scores += bias[rows, cols]
    if mask is not None:
        np.copyto(scores, -np.inf, where=~mask[rows, cols])
    if causal and cols.stop - 1 > rows.start + diagonal:  # the diagonal crosses this tile
        crossed = scores[:, max(0, rows.start + diagonal - cols.start) :]  # every query sees the columns before
        seen = np.tri(*crossed.shape, min(0, rows.start + diagonal - cols.start), dtype=bool)
        np.copyto(crossed, -np.inf, where=~seen)
    return scores


def with_logsumexp(q, k, v, mask, bias, causal, scale, q_tile, k_tile):
    """`[..., q_len, d_v], [..., q_len]`: the output, and the logarithm of each row's sum, +inf for an empty row."""
    lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    q_len, k_len = q.shape[-2], k.shape[-2]
    dtype = np.result_type(q.dtype, np.float32)  # half precision is summed in float32
    output = np.empty((*lead, q_len, v.shape[-1]), q.dtype)
    logsumexp = np.empty((*lead, q_len), dtype)
    q, k, v = (np.broadcast_to(x, lead + x.shape[-2:]) for x in (q, k, v))
    mask, bias = (x if x is None else np.broadcast_to(x, (*lead, q_len, k_len)) for x in (mask, bias))
    held = np.empty((min(q_tile, q_len), min(k_tile, k_len)), dtype)  # a tile of scores, then of weights
    for at in np.ndindex(lead):
        its_mask, its_bias = (x if x is None else x[at] for x in (mask, bias))
        for rows in tiles(q_len, q_tile):
            queries = q[at][rows].astype(dtype) * dtype.type(scale)
            peak = np.full((len(queries), 1), -np.inf, dtype)
            total = np.zeros((len(queries), 1), dtype)
            values = np.zeros((len(queries), v.shape[-1]), dtype)
            stop = min(k_len, rows.stop + k_len - q_len) if causal else k_len
            for cols in tiles(stop, k_tile):
                keys = k[at][cols].astype(dtype, copy=False)
                scores = tile_scores(queries, keys, its_mask, its_bias, causal, rows, cols, k_len - q_len, held)
                # Where every score is -inf the maximum would be too, and -inf - (-inf) is not a number.
                new_peak = np.maximum(np.maximum(peak, scores.max(-1, keepdims=True)), np.finfo(dtype).min)
                scores -= new_peak
                weights = np.exp(scores, out=scores)  # not divided by their sum yet
                correction = np.exp(peak - new_peak)
                total = correction * total + weights.sum(-1, keepdims=True)
                values *= correction
                values += weights @ v[at][cols].astype(dtype, copy=False)
                peak = new_peak
            empty = total == 0
            total[empty] = 1
            output[at][rows] = values / total
            logsumexp[at][rows] = np.where(empty, np.inf, peak + np.log(total))[:, 0]
    return output, logsumexp


def tiled_attention(q, k, v, /, *, mask=None, bias=None, causal=False, scale=None, q_tile=256, k_tile=512):
    """`[..., q_len, d], [..., k_len, d], [..., k_len, d_v] -> [..., q_len, d_v]`: attention, one tile at a time.

    The arguments and the result are those of `scaled_dot_product_attention`; the weights are never held.
    q_tile, k_tile: how many queries and how many keys a tile has. They change the time and the memory, not the result.

    Half precision is computed in float32 and returned as it came.
    Raises ValueError for shapes or types that do not fit, and for a tile that is not an integer of at least 1.
    Source: Dao, Fu, Ermon, Rudra and Ré (2022), "FlashAttention", algorithm 1.
    """
    _checks.tiled(q, k, v, mask, bias, q_tile, k_tile)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    output, _ = with_logsumexp(q, k, v, mask, bias, causal, scale, q_tile, k_tile)
    return output
