"""Attention in PyTorch: functions on tensors, and modules. The same names as `attnlib.numpy`."""

from attnlib.torch.blocks import DecoderBlock, EncoderBlock
from attnlib.torch.cache import KVCache
from attnlib.torch.dense import attend, scaled_dot_product_attention
from attnlib.torch.feed_forward import FeedForward
from attnlib.torch.layers import (
    AdditiveAttention,
    ConcatAttention,
    CosineAttention,
    DotProductAttention,
    GeneralAttention,
)
from attnlib.torch.linear import elu_plus_one, linear_attention, recurrent_linear_attention
from attnlib.torch.local import (
    LocalMonotonicAttention,
    LocalPredictiveAttention,
    local_attend,
    local_gaussian,
    local_window_mask,
    predicted_positions,
)
from attnlib.torch.masks import causal_mask, padding_mask
from attnlib.torch.multihead import MultiHeadAttention
from attnlib.torch.patches import PatchEmbedding, image_patches
from attnlib.torch.patterns import block_local_mask, global_token_mask, sliding_window_mask, strided_mask
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
from attnlib.torch.recurrent import BahdanauDecoder, LuongDecoder
from attnlib.torch.scores import (
    additive_scores,
    concat_scores,
    cosine_scores,
    dot_scores,
    general_scores,
    scaled_dot_scores,
    soft_cap,
)
from attnlib.torch.softmax import masked_softmax
from attnlib.torch.tiled import tiled_attention

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
