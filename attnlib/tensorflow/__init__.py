"""Attention in TensorFlow: functions on tensors, and Keras layers. The same names as `attnlib.numpy`."""

from attnlib.tensorflow.dense import attend, scaled_dot_product_attention
from attnlib.tensorflow.layers import AdditiveAttention, DotProductAttention, GeneralAttention
from attnlib.tensorflow.masks import causal_mask, padding_mask
from attnlib.tensorflow.scores import additive_scores, dot_scores, general_scores, scaled_dot_scores
from attnlib.tensorflow.softmax import masked_softmax

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
