"""Attention in NumPy: the executable specification that the PyTorch and TensorFlow modules are held to."""

from attnlib.numpy import backward
from attnlib.numpy.dense import attend, scaled_dot_product_attention
from attnlib.numpy.layers import AdditiveAttention, DotProductAttention, GeneralAttention
from attnlib.numpy.masks import causal_mask, padding_mask
from attnlib.numpy.scores import additive_scores, dot_scores, general_scores, scaled_dot_scores
from attnlib.numpy.softmax import masked_softmax

__all__ = [
    "AdditiveAttention",
    "DotProductAttention",
    "GeneralAttention",
    "additive_scores",
    "attend",
    "backward",
    "causal_mask",
    "dot_scores",
    "general_scores",
    "masked_softmax",
    "padding_mask",
    "scaled_dot_product_attention",
    "scaled_dot_scores",
]
