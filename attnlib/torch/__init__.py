"""Attention in PyTorch: functions on tensors, and modules. The same names as `attnlib.numpy`."""

from attnlib.torch.dense import attend, scaled_dot_product_attention
from attnlib.torch.layers import AdditiveAttention, DotProductAttention, GeneralAttention
from attnlib.torch.masks import causal_mask, padding_mask
from attnlib.torch.positions import (
    LearnedPositions,
    RelativePositionBias,
    alibi_bias,
    alibi_slopes,
    relative_position_buckets,
    rotary,
    rotary_permutation,
    sinusoidal_positions,
)
from attnlib.torch.scores import additive_scores, dot_scores, general_scores, scaled_dot_scores
from attnlib.torch.softmax import masked_softmax

__all__ = [
    "AdditiveAttention",
    "DotProductAttention",
    "GeneralAttention",
    "LearnedPositions",
    "RelativePositionBias",
    "additive_scores",
    "alibi_bias",
    "alibi_slopes",
    "attend",
    "causal_mask",
    "dot_scores",
    "general_scores",
    "masked_softmax",
    "padding_mask",
    "relative_position_buckets",
    "rotary",
    "rotary_permutation",
    "scaled_dot_product_attention",
    "scaled_dot_scores",
    "sinusoidal_positions",
]
