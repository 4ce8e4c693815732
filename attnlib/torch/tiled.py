"""Tiled attention: exact attention that never holds the score matrix.

The softmax of a row can be built while its scores arrive in tiles. With the maximum m, the sum l and the weighted
values o of the tiles seen so far, a new tile of scores s with values V gives

    m' = max(m, max_j s_j)                        the new maximum
    c  = exp(m - m')                              what the old sums are worth under it
    l' = c l + sum_j exp(s_j - m')
    o' = c o + sum_j exp(s_j - m') V_j            and at the end: output = o / l, logsumexp = m + log l

Milakov and Gimelshein (2018), algorithm 3, for the maximum and the sum; Dao, Fu, Ermon, Rudra and Ré (2022),
"FlashAttention", algorithms 1 and 4, for the values and the gradients. The memory is that of one tile, whatever the
lengths, and so is what the processor's cache has to hold. Of a causal mask the tiles above the diagonal are not
computed.
"""

import math

import torch

from attnlib import _checks


def tiles(length, size):
    """Slices of `size`, the last one shorter, that cover `length`."""
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def _exp_(x):
    """exp, in place, as 2^(x log₂ e). On a CPU torch.exp is slower, many times so where the result underflows."""
    return x.mul_(math.log2(math.e)).exp2_()


def _part(x, rows, cols):
    # An axis of length 1 stands for every query or every key.
    return x[..., rows if x.shape[-2] > 1 else slice(None), cols if x.shape[-1] > 1 else slice(None)]


def tile_scores(queries, keys, mask, bias, causal, rows, cols, diagonal):
    """`[..., rows, d], [..., cols, d] -> [..., rows, cols]`: the masked scores of one tile; the queries are scaled.

    mask and bias broadcast to `[..., q_len, k_len]` or are None; a causal query i sees the keys up to i + diagonal.
    """
    scores = queries @ keys.transpose(-1, -2)
    if bias is not None:
        scores += _part(bias, rows, cols)
    if mask is not None:
        scores = torch.where(_part(mask, rows, cols), scores, -torch.inf)
    if causal and cols.stop - 1 > rows.start + diagonal:  # the diagonal crosses this tile
        crossed = scores[..., max(0, rows.start + diagonal - cols.start) :]  # every query sees the columns before
        hidden = torch.ones(crossed.shape[-2:], dtype=torch.bool, device=scores.device)
        crossed.masked_fill_(hidden.triu_(min(0, rows.start + diagonal - cols.start) + 1), -torch.inf)
    return scores


def with_logsumexp(q, k, v, mask, bias, causal, scale, q_tile, k_tile):
    """`[..., q_len, d_v], [..., q_len, 1]`: the output, and the logarithm of each row's sum, +inf for an empty row."""
    q_len, k_len = q.shape[-2], k.shape[-2]
    dtype = torch.promote_types(q.dtype, torch.float32)  # half precision is summed in float32
    output = q.new_empty(*q.shape[:-1], v.shape[-1])
    logsumexp = q.new_empty(*q.shape[:-1], 1, dtype=dtype)
    for rows in tiles(q_len, q_tile):
        queries = q[..., rows, :].to(dtype) * scale
        peak = queries.new_full((*queries.shape[:-1], 1), -torch.inf)
        total = torch.zeros_like(peak)
        values = queries.new_zeros(*queries.shape[:-1], v.shape[-1])
        stop = min(k_len, rows.stop + k_len - q_len) if causal else k_len
        for cols in tiles(stop, k_tile):
            keys = k[..., cols, :].to(dtype)
            scores = tile_scores(queries, keys, mask, bias, causal, rows, cols, k_len - q_len)
            # Where every score is -inf the maximum would be too, and -inf - (-inf) is not a number.
            new_peak = torch.maximum(peak, scores.amax(-1, keepdim=True)).clamp_(min=torch.finfo(dtype).min)
            weights = _exp_(scores.sub_(new_peak))  # not divided by their sum yet
            correction = _exp_(peak - new_peak)
            total.mul_(correction).add_(weights.sum(-1, keepdim=True))
            values.mul_(correction).add_(weights @ v[..., cols, :].to(dtype))
            peak = new_peak
        empty = total == 0
        total.masked_fill_(empty, 1)
        output[..., rows, :] = values / total
        logsumexp[..., rows, :] = (peak + total.log()).masked_fill_(empty, torch.inf)
    return output, logsumexp


def _gradients(q, k, v, mask, bias, output, logsumexp, grad_output, causal, scale, q_tile, k_tile, for_bias):
    q_len, k_len, dtype = q.shape[-2], k.shape[-2], logsumexp.dtype
    dq, dk, dv = (torch.zeros_like(x, dtype=dtype) for x in (q, k, v))
    dbias = torch.zeros_like(bias, dtype=dtype) if for_bias else None
    for rows in tiles(q_len, q_tile):
        queries = q[..., rows, :].to(dtype) * scale
        grad = grad_output[..., rows, :].to(dtype)
        mean = (grad * output[..., rows, :]).sum(-1, keepdim=True)  # sum_i w_i dL/dw_i
        stop = min(k_len, rows.stop + k_len - q_len) if causal else k_len
        for cols in tiles(stop, k_tile):
            keys, values = k[..., cols, :].to(dtype), v[..., cols, :].to(dtype)
            scores = tile_scores(queries, keys, mask, bias, causal, rows, cols, k_len - q_len)
            weights = _exp_(scores.sub_(logsumexp[..., rows, :]))
            dv[..., cols, :] += weights.transpose(-1, -2) @ grad
            grad_scores = (grad @ values.transpose(-1, -2)).sub_(mean).mul_(weights)
            dk[..., cols, :] += grad_scores.transpose(-1, -2) @ queries  # the queries carry the scale
            dq[..., rows, :] += grad_scores @ keys
            if dbias is not None:
                part = _part(dbias, rows, cols)
                part += grad_scores.sum_to_size(part.shape)
    dq *= scale
    dq, dk, dv = (grad.to(x.dtype) for grad, x in ((dq, q), (dk, k), (dv, v)))
    return dq, dk, dv, dbias if dbias is None else dbias.to(bias.dtype)


class _TiledAttention(torch.autograd.Function):
    """q, k and v have the same leading axes; mask and bias have at least two axes."""

    @staticmethod
    def forward(ctx, q, k, v, mask, bias, causal, scale, q_tile, k_tile):
        with torch.autocast(q.device.type, enabled=False):
            output, logsumexp = with_logsumexp(q, k, v, mask, bias, causal, scale, q_tile, k_tile)
        ctx.save_for_backward(q, k, v, mask, bias, output, logsumexp)
        ctx.options = causal, scale, q_tile, k_tile
        return output

    @staticmethod
    def backward(ctx, grad_output):
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():  # create_graph=True
            raise RuntimeError('tiled attention has no second derivative: use impl="explicit"')
        with torch.autocast(grad_output.device.type, enabled=False):
            dq, dk, dv, dbias = _gradients(*ctx.saved_tensors, grad_output, *ctx.options, ctx.needs_input_grad[4])
        return dq, dk, dv, None, dbias, None, None, None, None


def tiled_attention(q, k, v, /, *, mask=None, bias=None, causal=False, scale=None, q_tile=256, k_tile=256):
    """`[..., q_len, d], [..., k_len, d], [..., k_len, d_v] -> [..., q_len, d_v]`: attention, one tile at a time.

    The arguments and the result are those of `scaled_dot_product_attention`; the weights are never held.
    q_tile, k_tile: how many queries and how many keys a tile has. They change the time and the memory, not the result.

    Half precision is computed in float32 and returned as it came.
    Raises ValueError for shapes or types that do not fit, and for a tile that is not an integer of at least 1.
    Source: Dao, Fu, Ermon, Rudra and Ré (2022), "FlashAttention", algorithm 1.
    """
    _checks.tiled(q, k, v, mask, bias, q_tile, k_tile)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    lead = torch.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    q, k, v = (x.expand(*lead, *x.shape[-2:]) for x in (q, k, v))
    mask, bias = (x if x is None else torch.atleast_2d(x) for x in (mask, bias))
    return _TiledAttention.apply(q, k, v, mask, bias, causal, scale, q_tile, k_tile)
