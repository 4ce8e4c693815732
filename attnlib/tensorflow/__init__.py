"""Attention in TensorFlow: functions on tensors, and Keras layers. The same names as `attnlib.numpy`."""

from attnlib.tensorflow.blocks import DecoderBlock, EncoderBlock
from attnlib.tensorflow.cache import KVCache
from attnlib.tensorflow.dense import attend, scaled_dot_product_attention
from attnlib.tensorflow.feed_forward import FeedForward
from attnlib.tensorflow.layers import (
    AdditiveAttention,
    ConcatAttention,
    CosineAttention,
    DotProductAttention,
    GeneralAttention,
)
from attnlib.tensorflow.linear import elu_plus_one, linear_attention, recurrent_linear_attention
from attnlib.tensorflow.local import (
    LocalMonotonicAttention,
    LocalPredictiveAttention,
    local_attend,
    local_gaussian,
    local_window_mask,
    predicted_positions,
)
from attnlib.tensorflow.masks import causal_mask, padding_mask
from attnlib.tensorflow.multihead import MultiHeadAttention
from attnlib.tensorflow.patches import PatchEmbedding, image_patches
from attnlib.tensorflow.patterns import block_local_mask, global_token_mask, sliding_window_mask, strided_mask
from attnlib.tensorflow.positions import (
    LearnedPositions,
    RelativePositionBias,
    alibi_bias,
    alibi_slopes,
    relative_position_buckets,
    rotary,
    rotary_permutation,
    sinusoidal_positions,
)
from attnlib.tensorflow.recurrent import BahdanauDecoder, LuongDecoder
from attnlib.tensorflow.scores import (
    additive_scores,
    concat_scores,
    cosine_scores,
    dot_scores,
    general_scores,
    scaled_dot_scores,
    soft_cap,
)
from attnlib.tensorflow.softmax import masked_softmax
from attnlib.tensorflow.tiled import tiled_attention

__all__ = [
    "AdditiveAttention",
    "BahdanauDecoder",
    "ConcatAttention",
    "CosineAttention",
    "DecoderBlock",
    "DotProductAttention",
    "EncoderBlock",
    "FeedForward",
    "GeneralAttention",
    "KVCache",
    "LearnedPositions",
    "LocalMonotonicAttention",
    "LocalPredictiveAttention",
    "LuongDecoder",
    "MultiHeadAttention",
    "PatchEmbedding",
    "RelativePositionBias",
    "additive_scores",
    "alibi_bias",
    "alibi_slopes",
    "attend",
    "block_local_mask",
    "causal_mask",
    "concat_scores",
    "cosine_scores",
    "dot_scores",
    "elu_plus_one",
    "general_scores",
    "global_token_mask",
    "image_patches",
    "linear_attention",
    "local_attend",
    "local_gaussian",
    "local_window_mask",
    "masked_softmax",
    "padding_mask",
    "predicted_positions",
    "recurrent_linear_attention",
    "relative_position_buckets",
    "rotary",
    "rotary_permutation",
    "scaled_dot_product_attention",
    "scaled_dot_scores",
    "sinusoidal_positions",
    "sliding_window_mask",
    "soft_cap",
    "strided_mask",
    "tiled_attention",
]
