"""Gradients by hand: what an automatic differentiator computes for attention, written out.

Each function is a vector-Jacobian product (vjp): from the gradient of a loss with respect to an output it gives
the gradients with respect to the inputs. For one row of weights w = softmax(s):

    dL/ds_j = w_j (dL/dw_j - sum_i w_i dL/dw_i)

and for output = w V with s = scale · q Kᵀ:

    dL/dV = wᵀ dL/doutput        dL/dw = dL/doutput Vᵀ
    dL/dq = scale · dL/ds K      dL/dk = scale · dL/dsᵀ q

A masked weight is zero and stays zero, so its score gets no gradient, and neither does a row without weights.

The sum over i in the first line equals doutput · output, a number for each query. With it and with the saved
logarithm of the row's sum, w = exp(s - logsumexp), a tile's gradients need that tile alone: FlashAttention,
Dao, Fu, Ermon, Rudra and Ré (2022), algorithm 4.
"""

import numpy as np

from attnlib import _checks
from attnlib.numpy.dense import scaled_dot_product_attention
from attnlib.numpy.multihead import mask_for_heads, merge_heads, positions_for_heads, repeat_heads, split_heads
from attnlib.numpy.positions import rotary
from attnlib.numpy.tiled import tile_scores, tiles, with_logsumexp


def _transpose(x):
    return np.swapaxes(x, -1, -2)


def _sum_to(gradient, array):
    """Sum a gradient over the axes along which `array` was broadcast."""
    if gradient.shape == array.shape:
        return gradient  # a sum over no axis would be a copy
    gradient = gradient.sum(axis=tuple(range(gradient.ndim - array.ndim)))
    repeated = tuple(i for i, n in enumerate(array.shape) if n == 1 and gradient.shape[i] != 1)
    return gradient.sum(axis=repeated, keepdims=True)


def _gradient(name, gradient, shape, what, **of):
    """The gradient of what has this shape, repeated along the axes where one stands for all; checked by name."""
    _checks.gradient(name, gradient, shape, what, **of)
    return np.broadcast_to(gradient, shape)


def _scores_gradient(q, k, grad_scores):
    return _gradient("grad_scores", grad_scores, _checks.scores_shape(q, k), "scores", q=q)


def masked_softmax_vjp(weights, grad_weights, *, axis=-1):
    """`[..., q_len, k_len] -> [..., q_len, k_len]`: the gradient of the scores, from that of the weights.

    weights: what `masked_softmax` returned. The mask is not needed: where it forbids, the weight is zero.
    Raises ValueError when the two do not fit together or are not of the same floating point type.
    """
    grad_weights = _gradient("grad_weights", grad_weights, weights.shape, "weights", weights=weights)
    mean = np.expand_dims(np.vecdot(weights, grad_weights, axis=axis), axis)  # sum_i w_i dL/dw_i
    grad_scores = grad_weights - mean
    grad_scores *= weights
    return grad_scores


def dot_scores_vjp(q, k, grad_scores, *, scale=1.0):
    """`[..., q_len, k_len] -> ([..., q_len, d], [..., k_len, d])`: the gradients of q and k for `scale · q kᵀ`.

    Raises ValueError when the arguments do not fit together.
    """
    _checks.dot(q, k)
    grad_scores = _scores_gradient(q, k, grad_scores)
    dq = scale * (grad_scores @ k)
    dk = scale * (_transpose(grad_scores) @ q)
    return _sum_to(dq, q), _sum_to(dk, k)


def general_scores_vjp(q, k, weight, grad_scores):
    """`[..., q_len, k_len] -> (dq, dk, dweight)`: the gradients for `q W kᵀ`, each of its argument's shape.

    Raises ValueError when the arguments do not fit together.
    """
    _checks.general(q, k, weight)
    grad_scores = _scores_gradient(q, k, grad_scores)
    dq = grad_scores @ k @ weight.T
    dk = _transpose(grad_scores) @ q @ weight
    dweight = _transpose(q) @ grad_scores @ k  # [..., d_q, d_k]
    return _sum_to(dq, q), _sum_to(dk, k), _sum_to(dweight, weight)


def additive_scores_vjp(q, k, w_query, w_key, v_score, grad_scores):
    """`[..., q_len, k_len] -> (dq, dk, dw_query, dw_key, dv_score)`, each of its argument's shape.

    Uses tanh'(x) = 1 - tanh(x)². Raises ValueError when the arguments do not fit together.
    """
    _checks.additive(q, k, w_query, w_key, v_score)
    grad_scores = _scores_gradient(q, k, grad_scores)
    hidden = np.tanh((q @ w_query)[..., :, None, :] + (k @ w_key)[..., None, :, :])
    grad_hidden = grad_scores[..., None] * v_score * (1 - hidden**2)  # [..., q_len, k_len, d_hidden]
    dv_score = (grad_scores[..., None] * hidden).reshape(-1, v_score.size).sum(axis=0)
    grad_queries = grad_hidden.sum(axis=-2)  # [..., q_len, d_hidden]: a query meets every key
    grad_keys = grad_hidden.sum(axis=-3)  # [..., k_len, d_hidden]: a key meets every query
    dq, dk = grad_queries @ w_query.T, grad_keys @ w_key.T
    dw_query, dw_key = _transpose(q) @ grad_queries, _transpose(k) @ grad_keys
    return _sum_to(dq, q), _sum_to(dk, k), _sum_to(dw_query, w_query), _sum_to(dw_key, w_key), dv_score


def attend_vjp(weights, v, grad_output):
    """`[..., q_len, d_v] -> ([..., q_len, k_len], [..., k_len, d_v])`: the gradients of scores and values.

    weights: what `attend` returned with `return_weights=True`.
    Raises ValueError when the arguments do not fit together.
    """
    _checks.attend(weights, v, None)
    lead = np.broadcast_shapes(weights.shape[:-2], v.shape[:-2])
    grad_output = _gradient("grad_output", grad_output, (*lead, weights.shape[-2], v.shape[-1]), "output", v=v)
    grad_scores = masked_softmax_vjp(weights, grad_output @ _transpose(v))
    return grad_scores, _sum_to(_transpose(weights) @ grad_output, v)


def scaled_dot_product_attention_vjp(q, k, v, grad_output, /, *, mask=None, bias=None, causal=False, scale=None):
    """`[..., q_len, d_v] -> (dq, dk, dv)`: the gradients of queries, keys and values, each of its argument's shape.

    The arguments are those of `scaled_dot_product_attention`, and so are the errors.
    """
    _, weights = scaled_dot_product_attention(
        q, k, v, mask=mask, bias=bias, causal=causal, scale=scale, return_weights=True
    )
    grad_scores, dv = attend_vjp(weights, v, grad_output)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    dq, dk = dot_scores_vjp(q, k, grad_scores, scale=scale)
    return dq, dk, dv


def _linear_vjp(x, weight, grad_output):
    """The gradients for `x @ weight + bias`: of x, of the weight and of the bias."""
    dweight = _sum_to(_transpose(x) @ grad_output, weight)
    return grad_output @ weight.T, dweight, grad_output.reshape(-1, grad_output.shape[-1]).sum(axis=0)


def multi_head_attention_vjp(
    layer,
    query,
    key,
    value,
    grad_output,
    /,
    *,
    attention_mask=None,
    attention_bias=None,
    causal=False,
    positions=None,
):
    """`[..., q_len, d_model] -> ((dquery, dkey, dvalue), parameters)`: the gradients of inputs and parameters.

    layer: a `MultiHeadAttention`. parameters: its gradients by name, in the order "w_query", "b_query", "w_key", …;
    without those of the biases where it has none. In self-attention the gradient is dquery + dkey + dvalue.
    The other arguments are those of the layer's call, and so are the errors.
    """
    axes = _checks.multihead(query, key, value, layer.w_query)
    _checks.turned(layer.rotary, query, None, positions)
    _checks.head_scores(query, key, layer.num_heads, attention_mask, attention_bias, None)
    positions = positions_for_heads(positions, query, None)
    q, k, v = layer.project(query, key, value, positions)
    group = layer.num_heads // layer.num_kv_heads
    qkv = q, repeat_heads(k, group), repeat_heads(v, group)
    options = {"mask": mask_for_heads(attention_mask, axes), "bias": attention_bias, "causal": causal}
    heads = merge_heads(scaled_dot_product_attention(*qkv, **options))  # [..., q_len, num_heads * head_dim]
    shape = (*heads.shape[:-1], layer.w_output.shape[1])
    grad_output = _gradient("grad_output", grad_output, shape, "output", query=query)
    dheads, dw_output, db_output = _linear_vjp(heads, layer.w_output, grad_output)
    dq, dk, dv = scaled_dot_product_attention_vjp(*qkv, split_heads(dheads, layer.num_heads), **options)
    # Each head of keys and values has served a group of query heads: their gradients add up.
    dk, dv = (_sum_groups(gradient, layer.num_kv_heads) for gradient in (dk, dv))
    if layer.rotary is not None:  # the transpose of a rotation turns the other way
        turn = {"base": layer.rotary_base, "pairing": layer.rotary}
        dq, dk = (rotary(gradient, -1.0 * positions, **turn) for gradient in (dq, dk))
    inputs, parameters = [], {}
    for name, x, gradient in (("query", query, dq), ("key", key, dk), ("value", value, dv)):
        dx, parameters[f"w_{name}"], parameters[f"b_{name}"] = _linear_vjp(
            x, getattr(layer, f"w_{name}"), merge_heads(gradient)
        )
        inputs.append(dx)
    parameters |= {"w_output": dw_output, "b_output": db_output}
    if layer.b_query is None:
        parameters = {name: gradient for name, gradient in parameters.items() if name[0] == "w"}
    return tuple(inputs), parameters


def _sum_groups(gradient, num_kv_heads):
    """`[..., num_heads, length, head_dim] -> [..., num_kv_heads, length, head_dim]`."""
    *axes, num_heads, length, head_dim = gradient.shape
    return gradient.reshape(*axes, num_kv_heads, num_heads // num_kv_heads, length, head_dim).sum(axis=-3)


def tiled_attention_vjp(
    q, k, v, grad_output, /, *, mask=None, bias=None, causal=False, scale=None, q_tile=256, k_tile=512
):
    """`[..., q_len, d_v] -> (dq, dk, dv)`: the gradients of queries, keys and values, each of its argument's shape.

    The arguments are those of `tiled_attention`, and so are the errors. The weights are computed again, one tile at
    a time, and never held.
    """
    _checks.tiled(q, k, v, mask, bias, q_tile, k_tile)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    output, logsumexp = with_logsumexp(q, k, v, mask, bias, causal, scale, q_tile, k_tile)
    grad_output = _gradient("grad_output", grad_output, output.shape, "output", q=q)
    lead, q_len, k_len, dtype = output.shape[:-2], q.shape[-2], k.shape[-2], logsumexp.dtype
    inputs = [np.broadcast_to(x, lead + x.shape[-2:]) for x in (q, k, v)]
    grads = [np.zeros(x.shape, dtype) for x in inputs]
    mask, bias = (x if x is None else np.broadcast_to(x, (*lead, q_len, k_len)) for x in (mask, bias))
    held, held_grad = (np.empty((min(q_tile, q_len), min(k_tile, k_len)), dtype) for _ in range(2))
    for at in np.ndindex(lead):
        its_q, its_k, its_v = (x[at].astype(dtype, copy=False) for x in inputs)
        dq, dk, dv = (x[at] for x in grads)
        its_mask, its_bias = (x if x is None else x[at] for x in (mask, bias))
        for rows in tiles(q_len, q_tile):
            queries = its_q[rows] * dtype.type(scale)
            grad = grad_output[at][rows].astype(dtype, copy=False)
            mean = (grad * output[at][rows]).sum(-1, keepdims=True)  # sum_i w_i dL/dw_i
            stop = min(k_len, rows.stop + k_len - q_len) if causal else k_len
            for cols in tiles(stop, k_tile):
                at_tile = its_mask, its_bias, causal, rows, cols, k_len - q_len
                scores = tile_scores(queries, its_k[cols], *at_tile, held)
                scores -= logsumexp[at][rows, None]
                weights = np.exp(scores, out=scores)
                dv[cols] += weights.T @ grad
                grad_scores = np.matmul(grad, its_v[cols].T, out=held_grad[: scores.shape[0], : scores.shape[1]])
                grad_scores -= mean
                grad_scores *= weights
                dk[cols] += grad_scores.T @ queries  # the queries carry the scale
                dq[rows] += grad_scores @ its_k[cols]
            dq[rows] *= dtype.type(scale)
    return tuple(_sum_to(grad, x).astype(x.dtype, copy=False) for grad, x in zip(grads, (q, k, v), strict=True))
