"""What a whole model attends to: the weights of its layers and heads put together, as NumPy arrays.

`rollout` follows attention through the layers. It reads weights alone, not values: what a model looks at is not yet
what it uses.
"""

from typing import Any

import numpy as np


def rollout(weights: Any, *, residual: float = 0.5, heads: str = "mean") -> np.ndarray:
    """`[layers, ..., num_heads, length, length] -> [..., length, length]`: from the last layer back to the inputs.

        A_l <- residual I + (1 - residual) mean over the heads of the weights of layer l
        rollout = A_L ... A_2 A_1

    Row i holds the shares in which position i, after the last layer, goes back to each position of the input, if the
    residual connection carries `residual` of what comes and attention the rest. Each row that can attend sums to 1.

    weights: of self-attention, the layers in the order in which they are computed. heads: "mean" or "max" over the
    heads of a layer; the larger is scaled so that rows sum to 1 again.

    Raises ValueError for weights that are not square or not finite and ≥ 0, for another word, and unless
    `0 <= residual < 1`.
    Source: Abnar and Zuidema (2020), https://arxiv.org/abs/2005.00928, section 3.
    """
    weights = np.asarray(weights)
    if weights.ndim < 4 or weights.shape[-1] != weights.shape[-2] or 0 in weights.shape:
        raise ValueError(f"weights must be [layers, ..., num_heads, length, length]: got shape {weights.shape}")
    if weights.dtype.kind not in "fiu" or not np.all(np.isfinite(weights) & (weights >= 0)):
        raise ValueError("weights must be finite numbers ≥ 0 (weights, not scores): got others among them")
    if heads not in ("mean", "max"):
        raise ValueError(f'heads must be "mean" or "max": got {heads!r}')
    if not 0 <= residual < 1:
        raise ValueError(f"residual must be at least 0 and less than 1: got {residual}")
    mixed = weights.mean(axis=-3) if heads == "mean" else weights.max(axis=-3)  # [layers, ..., length, length]
    if heads == "max":
        total = mixed.sum(axis=-1, keepdims=True)
        mixed = np.divide(mixed, total, out=np.zeros_like(mixed), where=total > 0)
    mixed = residual * np.eye(weights.shape[-1]) + (1 - residual) * mixed
    shares = mixed[0]
    for layer in mixed[1:]:
        shares = layer @ shares
    return shares
