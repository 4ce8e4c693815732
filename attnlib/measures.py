"""Is attention well? Numbers that say so, from weights and scores as NumPy arrays, whichever framework they come from.

    entropy     -sum_j w_j ln w_j / ln m   1: even over the m keys that may be seen, 0: on one
    saturation  share of queries with a weight above a bound: hardly any gradient gets through
    similarity  sum_j min(w_j, w'_j)       1: two heads weight alike, 0: no key in common
    rank        exp(-sum_i p_i ln p_i)     p_i: shares of singular values; 1: all tokens agree
    spread      |X - mean| / |X|           0: all tokens are the same

`summary` takes them all of one layer. `attnlib.torch.monitor` and `attnlib.tensorflow.monitor` hand it what the layers
of a model compute.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from attnlib import _checks
from attnlib.numpy.softmax import masked_softmax

BOUND = 0.99


def entropy(weights: Any, mask: Any = None) -> np.ndarray:
    """`[..., q_len, k_len] -> [..., q_len]`: 1 where a query attends evenly to all keys it may see, 0 to one of them.

        -sum_j w_j ln w_j / ln m, with m the number of keys that the query may see

    mask: boolean, True where a query may attend, broadcasting to `weights`; None allows everything.
    A query that may see fewer than two keys has no choice and gets NaN.

    Raises ValueError for weights that are not finite and ≥ 0, and for a mask of another type or shape.
    Source: Zhai et al. (2023), https://arxiv.org/abs/2303.06296, where it is not divided.
    """
    weights, allowed = _weights(weights, mask)
    keys = allowed.sum(axis=-1)
    logs = np.log(weights, out=np.zeros_like(weights), where=weights > 0)
    total = np.maximum(-(weights * logs).sum(axis=-1), 0.0)
    return np.divide(total, np.log(np.maximum(keys, 2)), out=np.full(total.shape, np.nan), where=keys > 1)


def saturation(weights: Any, mask: Any = None, *, bound: float = BOUND) -> np.ndarray:
    """`[..., q_len, k_len] -> [...]`: the share of queries whose largest weight is above `bound`.

    mask: see `entropy`. Queries without a choice of keys do not count; where none has a choice the share is NaN.

    Raises ValueError as `entropy` does, and unless `0 < bound < 1`.
    """
    if not 0 < bound < 1:
        raise ValueError(f"bound must be between 0 and 1: got {bound}")
    weights, allowed = _weights(weights, mask)
    return _mean(weights.max(axis=-1) > bound, allowed.sum(axis=-1) > 1, axis=-1)


def head_similarity(weights: Any, mask: Any = None) -> np.ndarray:
    """`[..., num_heads, q_len, k_len] -> [..., num_heads, num_heads]`: what the weights of two heads have in common.

        sum_j min(w_j, w'_j), the mean over the queries: one minus their total variation distance

    mask: see `entropy`. Queries without a choice of keys do not count: there all heads agree.

    Raises ValueError as `entropy` does, and for weights without an axis for heads.
    """
    weights, allowed = _weights(weights, mask)
    if weights.ndim < 3:
        raise ValueError(f"weights must be [..., num_heads, q_len, k_len]: got shape {weights.shape}")
    heads = weights.shape[-3]
    common = np.empty((*weights.shape[:-3], heads, heads, weights.shape[-2]))
    for i in range(heads):  # one after the other: all pairs at once would hold num_heads times the weights
        common[..., i, i:, :] = np.minimum(weights[..., i : i + 1, :, :], weights[..., i:, :, :]).sum(axis=-1)
        common[..., i:, i, :] = common[..., i, i:, :]
    choice = allowed.sum(axis=-1) > 1  # [..., h, q_len]
    return _mean(common, choice[..., :, None, :] & choice[..., None, :, :], axis=-1)


def mass(weights: Any, where: Any) -> np.ndarray:
    """`[..., q_len, k_len] -> [..., q_len]`: the share of each query's weight that lies on the keys of `where`.

    where: boolean, broadcasting to `weights`: padding, the future, whatever should have none, or a place of interest.

    Raises ValueError as `entropy` does.
    """
    weights, chosen = _weights(weights, where, "where")
    return (weights * chosen).sum(axis=-1)


def token_spread(x: Any, real: Any = None) -> np.ndarray:
    """`[..., length, d] -> [...]`: how much tokens differ from each other: 0 when all are the same, at most 1.

        |X - mean of the tokens| / |X|, in the Frobenius norm

    real: boolean `[..., length]`, False for padding, which does not count. Tokens that are all zero do not differ.

    Raises ValueError for what is not `[..., length, d]` of finite numbers, and for `real` of another type or shape.
    Source: after the residual of Dong et al. (2021), https://arxiv.org/abs/2103.03404, who take other norms.
    """
    x, real = _tokens(x, real)
    count = np.maximum(real.sum(axis=-1), 1)[..., None, None]
    mean = x.sum(axis=-2, keepdims=True) / count
    size = np.sqrt(np.square(x).sum(axis=(-2, -1)))
    apart = np.sqrt(np.square((x - mean) * real[..., None]).sum(axis=(-2, -1)))
    return np.divide(apart, size, out=np.zeros_like(size), where=size > 0)


def effective_rank(x: Any, real: Any = None) -> np.ndarray:
    """`[..., length, d] -> [...]`: in how many directions the tokens spread; 1 when they are multiples of one vector.

        exp(-sum_i p_i ln p_i), p_i = s_i / sum s, of the singular values s; 0 for zeros

    real: boolean `[..., length]`, False for padding, which does not count.

    Raises ValueError as `token_spread` does.
    Source: Roy and Vetterli (2007), "The effective rank: a measure of effective dimensionality".
    """
    x, _ = _tokens(x, real)
    values = np.linalg.svd(x, compute_uv=False)
    total = values.sum(axis=-1, keepdims=True)
    shares = np.divide(values, total, out=np.zeros_like(values), where=total > 0)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return np.where(total[..., 0] > 0, np.exp(-(shares * logs).sum(axis=-1)), 0.0)


def summary(
    scores: Any, *, mask: Any = None, real: Any = None, tokens: Any = None, allowed: Any = None, bound: float = BOUND
) -> dict[str, np.ndarray]:
    """`[..., num_heads, q_len, k_len]` -> what `entropy`, `saturation` and the others say of one layer, by name.

    "entropy", "saturation", "similarity" (to the other heads, if there are any) and "largest" (the largest score, of
    either sign) are `[num_heads]`; "rank" (of `tokens`) and "outside" are single numbers.

    scores: as they come to the softmax, scaled and with their bias. Where they or the tokens are not finite, all but
    "largest" is NaN.
    mask: boolean, True where a query may attend, broadcasting to the scores.
    real: boolean `[..., q_len]`, False for queries that do not count, such as padding.
    tokens: `[..., length, d]`, what the layer reads. allowed: where attention *ought* to be, whatever the mask says,
    broadcasting to the scores; "outside" is the share of all weight that lies elsewhere.

    Raises ValueError for shapes and types that do not fit.
    """
    scores = np.asarray(scores)
    if scores.ndim < 3 or 0 in scores.shape:
        raise ValueError(f"scores must be [..., num_heads, q_len, k_len], none empty: got shape {scores.shape}")
    _checks.floating(scores=scores)
    if not 0 < bound < 1:
        raise ValueError(f"bound must be between 0 and 1: got {bound}")
    scores = scores.astype(np.float64)
    visible = _boolean("mask", mask, scores.shape) & (scores != -np.inf)  # which counts as masked
    if real is not None:
        visible = visible & _boolean("real", np.asarray(real)[..., None, :], scores.shape[:-1])[..., None]
    others = tuple(axis for axis in range(scores.ndim) if axis != scores.ndim - 3)  # every axis but that of the heads
    seen = np.where(visible, scores, 0.0)
    found = {"largest": np.abs(seen).max(axis=others)}
    well = bool(np.isfinite(seen).all() and (tokens is None or np.isfinite(tokens).all()))
    weights = masked_softmax(seen if well else np.zeros_like(seen), visible)
    found["entropy"] = _over(entropy(weights, visible), others[:-1])
    choice = visible.sum(axis=-1) > 1
    found["saturation"] = _mean(weights.max(axis=-1) > bound, choice, axis=others[:-1])
    if scores.shape[-3] > 1:
        pairs = head_similarity(weights, visible)
        pairs = _over(pairs, tuple(range(pairs.ndim - 2)))
        apart = ~np.eye(len(pairs), dtype=bool)
        found["similarity"] = np.array([row[rest].mean() for row, rest in zip(pairs, apart, strict=True)])
    if tokens is not None:
        found["rank"] = np.asarray(effective_rank(tokens if well else np.zeros_like(tokens), real).mean())
    if allowed is not None:
        outside = mass(weights, ~_boolean("allowed", allowed, scores.shape))
        found["outside"] = np.asarray(_mean(outside, visible.any(axis=-1), axis=None))
    return found if well else {name: v if name == "largest" else np.full_like(v, np.nan) for name, v in found.items()}


def flat(layers: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, float]:
    """The summaries of several layers as numbers for a log, by "layer/entropy": means over the heads, of "largest" the
    largest.

    layers: what `summary` gives, by the name of the layer.
    """
    fold: dict[str, Callable] = {"largest": np.max}
    return {
        f"{layer}/{name}": float(fold.get(name, np.mean)(value))
        for layer, found in layers.items()
        for name, value in found.items()
    }


def grouped_norms(squares: Mapping[str, float], by: Callable[[str], str] | None = None) -> dict[str, float]:
    """The norm of each group of parameters or gradients, from the sum of squares of each by its name.

    by: takes a parameter's name to that of its group; without it each is a group of its own.
    """
    groups: dict[str, float] = {}
    for name, square in squares.items():
        group = by(name) if by else name
        groups[group] = groups.get(group, 0.0) + float(square)
    return {group: total**0.5 for group, total in groups.items()}


def _weights(weights: Any, mask: Any, name: str = "mask") -> tuple[np.ndarray, np.ndarray]:
    weights = np.asarray(weights)
    if weights.ndim < 2 or 0 in weights.shape:
        raise ValueError(f"weights must be [..., q_len, k_len], none empty: got shape {weights.shape}")
    if weights.dtype.kind not in "fiu" or not np.all(np.isfinite(weights) & (weights >= 0)):
        raise ValueError("weights must be finite numbers ≥ 0 (weights, not scores): got others among them")
    return weights.astype(np.float64), _boolean(name, mask, weights.shape)


def _boolean(name: str, mask: Any, shape: tuple[int, ...]) -> np.ndarray:
    mask = np.asarray(True if mask is None else mask)
    if mask.dtype != bool:
        raise ValueError(f"{name} must be boolean, got {mask.dtype}")
    try:
        return np.broadcast_to(mask, shape)
    except ValueError:
        raise ValueError(f"{name} must broadcast to the shape {shape}: got {mask.shape}") from None


def _tokens(x: Any, real: Any) -> tuple[np.ndarray, np.ndarray]:
    """Tokens in float64, those that are not real as zeros, and which are real."""
    x = np.asarray(x)
    _checks.sequences(x=x)
    if not np.isfinite(x).all():
        raise ValueError("x must be finite: got inf or NaN among its numbers")
    real = _boolean("real", real, x.shape[:-1])
    return x * real[..., None].astype(np.float64), real


def _mean(values: np.ndarray, counted: np.ndarray, axis: Any) -> np.ndarray:
    """The mean over what counts; NaN where nothing does."""
    values, counted = np.broadcast_arrays(values, counted)
    total, number = np.where(counted, values, 0.0).sum(axis=axis), counted.sum(axis=axis)
    return np.divide(total, number, out=np.full(np.shape(total), np.nan), where=number > 0)


def _over(values: np.ndarray, axis: Any) -> np.ndarray:
    """The mean over `axis`, NaN left out."""
    return _mean(values, ~np.isnan(values), axis)
