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

Tensors cannot be written in place, so the tiles are loops (`tf.while_loop`, one iteration at a time, or a graph would
compute all tiles at once), and the gradients of queries and of keys are two passes. A loop wants tiles of one size:
the last tile is moved back until it ends with the sequence, and what it has in common with the one before is left out.
"""

import tensorflow as tf

from attnlib import _checks


def _length(x, axis=-2):
    return tf.shape(x)[axis] if x.shape[axis] is None else x.shape[axis]


def tiles(length, size):
    """How many tiles cover `length`, and the size of each; integers, or tensors in a graph of unknown length."""
    size = min(size, length) if isinstance(length, int) else tf.minimum(size, length)
    return (length + size - 1) // size, size


def _cut(x, start, size, axis=-2):
    # An axis of length 1 stands for every query or every key.
    length = _length(x, axis)
    if isinstance(length, int) and length == 1:
        return x
    if not isinstance(length, int):
        size = tf.minimum(size, length)
    begin, sizes = [0] * x.shape.rank, [_length(x, i) for i in range(x.shape.rank)]
    begin[axis], sizes[axis] = tf.minimum(start, length - size), size
    return tf.slice(x, begin, sizes)


def _join(stacked, length):
    """`[count, ..., size, d] -> [..., length, d]`: the tiles side by side, the last one without its overlap."""
    rank, count, size = stacked.shape.rank, _length(stacked, 0), _length(stacked)
    side_by_side = tf.transpose(stacked, [*range(1, rank - 2), 0, rank - 2, rank - 1])
    dims = [_length(stacked, i) for i in range(1, rank - 2)]
    joined = tf.reshape(side_by_side, [*dims, count * size, _length(stacked, -1)])
    if isinstance(length, int) and isinstance(count, int) and count * size == length:
        return joined
    return tf.concat([joined[..., : (count - 1) * size, :], joined[..., 2 * count * size - size - length :, :]], -2)


def tile_scores(queries, keys, mask, bias, causal, row, col, seen_rows, seen_cols, diagonal):
    """`[..., rows, d], [..., cols, d] -> [..., rows, cols]`: the masked scores of one tile; the queries are scaled.

    mask and bias broadcast to `[..., q_len, k_len]` or are None; a causal query i sees the keys up to i + diagonal.
    row and col are where the tile starts; the rows before seen_rows and the columns before seen_cols are left out.
    """
    scores = tf.matmul(queries, keys, transpose_b=True)
    rows, cols = _length(queries), _length(keys)
    allowed = []
    if bias is not None:
        scores += tf.cast(_cut(_cut(bias, row, rows), col, cols, -1), scores.dtype)
    if mask is not None:
        allowed.append(_cut(_cut(mask, row, rows), col, cols, -1))
    i, j = row + tf.range(rows)[:, None], col + tf.range(cols)
    if causal:
        allowed.append(j <= i + diagonal)
    if seen_rows is not None:
        allowed.append(i >= seen_rows)
    if seen_cols is not None:
        allowed.append(j >= seen_cols)
    for each in allowed:
        scores = tf.where(each, scores, -float("inf"))
    return scores


def _loop(first, last, body, state):
    done = tf.while_loop(
        lambda i, *_: i < last, lambda i, *s: (i + 1, *body(i, *s)), (first, *state), parallel_iterations=1
    )
    return done[1:]


def _over(count, function, dtypes):
    return tf.map_fn(function, tf.range(count), fn_output_signature=dtypes, parallel_iterations=1)


class _Tiles:
    """Where the tiles are: `count` of `size` along `length`."""

    def __init__(self, length, size):
        self.length = length
        self.count, self.size = tiles(length, size)
        self.even = isinstance(length, int) and length % self.size == 0  # no overlap

    def start(self, i):
        return tf.minimum(i * self.size, self.length - self.size)

    def seen(self, i):
        """Where the positions begin that no tile before had, None when that is the tile's start."""
        return None if self.even else i * self.size

    def clip(self, i):
        return tf.clip_by_value(i, 0, self.count)


def with_logsumexp(q, k, v, mask, bias, causal, scale, q_tile, k_tile):
    """`[..., q_len, d_v], [..., q_len, 1]`: the output, and the logarithm of each row's sum, +inf for an empty row."""
    rows, cols = _Tiles(_length(q), q_tile), _Tiles(_length(k), k_tile)
    diagonal = cols.length - rows.length
    dtype = tf.float32 if q.dtype.size < 4 else q.dtype  # half precision is summed in float32

    def row_of_tiles(i):
        row = rows.start(i)
        queries = tf.cast(_cut(q, row, rows.size), dtype) * scale

        def tile(j, peak, total, values):
            col = cols.start(j)
            keys = tf.cast(_cut(k, col, cols.size), dtype)
            scores = tile_scores(queries, keys, mask, bias, causal, row, col, None, cols.seen(j), diagonal)
            # Where every score is -inf the maximum would be too, and -inf - (-inf) is not a number.
            new_peak = tf.maximum(tf.maximum(peak, tf.reduce_max(scores, -1, keepdims=True)), dtype.min)
            weights = tf.exp(scores - new_peak)  # not divided by their sum yet
            correction = tf.exp(peak - new_peak)
            total = correction * total + tf.reduce_sum(weights, -1, keepdims=True)
            return new_peak, total, correction * values + weights @ tf.cast(_cut(v, col, cols.size), dtype)

        last = cols.clip((row + rows.size + diagonal + cols.size - 1) // cols.size) if causal else cols.count
        nothing = tf.zeros_like(queries[..., :1])
        start = nothing - float("inf"), nothing, nothing * tf.zeros(_length(v, -1), dtype)
        peak, total, values = _loop(0, last, tile, start)
        logsumexp = tf.where(total > 0, peak + tf.math.log(total), float("inf"))
        return tf.cast(tf.math.divide_no_nan(values, total), q.dtype), logsumexp

    output, logsumexp = _over(rows.count, row_of_tiles, (q.dtype, dtype))
    return _join(output, rows.length), _join(logsumexp, rows.length)


def _sum_to(x, shape):
    axes = tf.raw_ops.BroadcastGradientArgs(s0=tf.shape(x), s1=shape).r1
    return tf.reshape(tf.reduce_sum(x, axes), shape)


def _gradients(q, k, v, mask, bias, output, logsumexp, grad_output, causal, scale, q_tile, k_tile):
    rows, cols = _Tiles(_length(q), q_tile), _Tiles(_length(k), k_tile)
    diagonal, dtype = cols.length - rows.length, logsumexp.dtype
    # For each query the sum over its keys of w dL/dw.
    mean = tf.reduce_sum(tf.cast(grad_output, dtype) * tf.cast(output, dtype), -1, keepdims=True)

    def row_part(row):
        parts = [_cut(x, row, rows.size) for x in (q, grad_output, logsumexp, mean)]
        queries, grad, *rest = (tf.cast(x, dtype) for x in parts)
        return queries * scale, grad, *rest

    def col_part(col, size):
        return [tf.cast(_cut(x, col, size), dtype) for x in (k, v)]

    def tile_gradients(row, col, row_parts, col_parts, seen_rows=None, seen_cols=None):
        queries, grad, its_logsumexp, its_mean = row_parts
        keys, values = col_parts
        scores = tile_scores(queries, keys, mask, bias, causal, row, col, seen_rows, seen_cols, diagonal)
        weights = tf.exp(scores - its_logsumexp)
        return weights, weights * (tf.matmul(grad, values, transpose_b=True) - its_mean)

    def for_queries(i):
        row = rows.start(i)
        row_parts = row_part(row)

        def tile(j, dq):
            col = cols.start(j)
            col_parts = col_part(col, cols.size)
            _, grad_scores = tile_gradients(row, col, row_parts, col_parts, seen_cols=cols.seen(j))
            return (dq + grad_scores @ col_parts[0],)

        last = cols.clip((row + rows.size + diagonal + cols.size - 1) // cols.size) if causal else cols.count
        (dq,) = _loop(0, last, tile, (tf.zeros_like(row_parts[0]),))
        return tf.cast(dq * scale, q.dtype)

    def for_keys(j):
        col = cols.start(j)
        col_parts = col_part(col, cols.size)

        def tile(i, dk, dv):
            row = rows.start(i)
            row_parts = row_part(row)
            weights, grad_scores = tile_gradients(row, col, row_parts, col_parts, seen_rows=rows.seen(i))
            queries, grad, *_ = row_parts
            dk += tf.matmul(grad_scores, queries, transpose_a=True)  # the queries carry the scale
            return dk, dv + tf.matmul(weights, grad, transpose_a=True)

        first = rows.clip((col - diagonal) // rows.size) if causal else 0
        dk, dv = _loop(first, rows.count, tile, [tf.zeros_like(x) for x in col_parts])
        return tf.cast(dk, k.dtype), tf.cast(dv, v.dtype)

    def for_bias(i):  # a row of tiles at once: heads × q_tile × k_len
        row = rows.start(i)
        _, grad_scores = tile_gradients(row, 0, row_part(row), col_part(0, cols.length))
        return _sum_to(
            grad_scores, [*(_length(bias, a) for a in range(bias.shape.rank - 2)), rows.size, _length(bias, -1)]
        )

    dq = _join(_over(rows.count, for_queries, q.dtype), rows.length)
    dk, dv = (_join(x, cols.length) for x in _over(cols.count, for_keys, (k.dtype, v.dtype)))
    if bias is None:
        return dq, dk, dv
    dbias = _join(_over(rows.count, for_bias, dtype), rows.length)
    return dq, dk, dv, tf.cast(_sum_to(dbias, tf.shape(bias)), bias.dtype)


def _broadcast_leading(*tensors):
    """The tensors with the same leading axes; they are copied only where that is not known to be so."""
    static = [x.shape[:-2] for x in tensors]
    if all(s.is_fully_defined() and s == static[0] for s in static):
        return tensors
    lead, known = tf.shape(tensors[0])[:-2], static[0]
    for x in tensors[1:]:
        lead, known = tf.broadcast_dynamic_shape(lead, tf.shape(x)[:-2]), tf.broadcast_static_shape(known, x.shape[:-2])
    results = [tf.broadcast_to(x, tf.concat([lead, tf.shape(x)[-2:]], 0)) for x in tensors]
    for x, result in zip(tensors, results, strict=True):
        result.set_shape(known.concatenate(x.shape[-2:]))
    return results


def tiled_attention(q, k, v, /, *, mask=None, bias=None, causal=False, scale=None, q_tile=512, k_tile=512):
    """`[..., q_len, d], [..., k_len, d], [..., k_len, d_v] -> [..., q_len, d_v]`: attention, one tile at a time.

    The arguments and the result are those of `scaled_dot_product_attention`; the weights are never held.
    q_tile, k_tile: how many queries and how many keys a tile has. They change the time and the memory, not the result.

    Half precision is computed in float32 and returned as it came.
    Raises ValueError for shapes or types that do not fit, and for a tile that is not an integer of at least 1.
    Source: Dao, Fu, Ermon, Rudra and Ré (2022), "FlashAttention", algorithm 1.
    """
    _checks.tiled(q, k, v, mask, bias, q_tile, k_tile)
    q, k, v = _broadcast_leading(*map(tf.convert_to_tensor, (q, k, v)))
    dtype = tf.float32 if q.dtype.size < 4 else q.dtype
    scale = tf.cast(_length(q, -1), dtype) ** -0.5 if scale is None else scale
    mask, bias = (None if x is None else tf.convert_to_tensor(x) for x in (mask, bias))
    mask, bias = (x if x is None or x.shape.rank > 1 else tf.reshape(x, [1, -1]) for x in (mask, bias))
    options = causal, scale, q_tile, k_tile

    @tf.custom_gradient
    def attention(q, k, v, *its_bias):
        output, logsumexp = with_logsumexp(q, k, v, mask, *(its_bias or [None]), *options)

        @tf.custom_gradient
        def gradient(q, k, v, output, logsumexp, grad_output, *its_bias):
            def again(*_):
                raise RuntimeError('tiled attention has no second derivative: use impl="explicit"')

            rest = output, logsumexp, grad_output, *options
            return _gradients(q, k, v, mask, *(its_bias or [None]), *rest), again

        return output, lambda grad_output: gradient(q, k, v, output, logsumexp, grad_output, *its_bias)

    return attention(q, k, v, *([] if bias is None else [bias]))
