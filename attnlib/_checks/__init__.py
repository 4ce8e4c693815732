"""What every public function asks of its arguments, once for the three frameworks: `_checks.name(...)`.

Only `.shape` and `.dtype` are read, so NumPy, PyTorch and TensorFlow arrays pass through the same checks and
a mistake gets the same message everywhere. A TensorFlow axis of unknown length is `None` and is not checked.

A module for a mechanism; none is called like a check, which it would hide.
"""

# ruff: noqa: F401 - what is imported here is what the others use

from attnlib._checks.blocks import block, feed_forward, images, patch_embedding
from attnlib._checks.decoders import attention_layer, decoder, decoder_keys, decoder_sizes, decoder_state
from attnlib._checks.dense import attend, layer, no_weights, tiled, values
from attnlib._checks.kernels import features, linear, linear_state
from attnlib._checks.masks import bias, lengths, lengths_in_range, mask, tokens
from attnlib._checks.multi_head import continues, dropout, head_scores, heads, multihead
from attnlib._checks.numbers import choice, even, length, positive, side, start
from attnlib._checks.positional import buckets, learned_positions, rotary, rotary_heads, turned
from attnlib._checks.scores import additive, concat, cosine, dot, general, scores_shape, temperature
from attnlib._checks.shapes import floating, gradient, same, sequences, shape
from attnlib._checks.windows import positions, predicted
