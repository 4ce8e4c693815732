"""Attention in PyTorch: functions on tensors, and modules. The same names as `attnlib.numpy`."""

from attnlib.torch.dense import attend, scaled_dot_product_attention
from attnlib.torch.layers import AdditiveAttention, DotProductAttention, GeneralAttention
from attnlib.torch.masks import causal_mask, padding_mask
from attnlib.torch.scores import additive_scores, dot_scores, general_scores, scaled_dot_scores
from attnlib.torch.softmax import masked_softmax

__all__ = [
    "AdditiveAttention",
    "DotProductAttention",
    "GeneralAttention",
    "additive_scores",
    "attend",
    "causal_mask",
    "dot_scores",
    "general_scores",
    "masked_softmax",
    "padding_mask",
    "scaled_dot_product_attention",
    "scaled_dot_scores",
]
