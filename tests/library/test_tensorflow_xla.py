"""What `test_tensorflow_layers.py` shows of graphs holds under XLA too: every score, mask and layer, with gradients."""

import numpy as np
import tensorflow as tf

import attnlib.tensorflow as attn

FRAMEWORK = "tensorflow"
LAYERS = [
    attn.DotProductAttention(scale=0.7),
    attn.GeneralAttention(8, 8, seed=1),
    attn.AdditiveAttention(8, 8, 5, seed=2),
    attn.ConcatAttention(8, 8, 5, seed=3),
    attn.CosineAttention(scale=3.0),
    attn.LocalMonotonicAttention(8, 8, 2, seed=4),
    attn.LocalPredictiveAttention(8, 8, 5, 2, seed=5),
]


def everything(q, k, v):
    """Outputs of all layers and of the function, under masks of every kind, and the gradients of what goes in."""
    q_len, k_len = q.shape[-2], k.shape[-2]
    mask = attn.sliding_window_mask(q_len, k_len, left=3) | attn.global_token_mask(q_len, k_len, tokens=[0])
    mask &= attn.block_local_mask(q_len, k_len, block=5) | attn.strided_mask(q_len, k_len, stride=2)
    with tf.GradientTape() as tape:
        tape.watch([q, k, v])
        outputs = [layer(q, k, v, attention_mask=mask, causal=True) for layer in LAYERS]
        outputs.append(attn.scaled_dot_product_attention(q, k, v, mask=mask, causal=True))
        outputs.append(attn.attend(attn.soft_cap(attn.dot_scores(q, k), 2.0), v, mask=mask))
        loss = sum(tf.reduce_sum(tf.square(output)) for output in outputs)
    return outputs, tape.gradient(loss, [q, k, v])


def test_under_xla_with_gradients():
    rng = np.random.default_rng(0)
    q, k, v = (tf.constant(rng.normal(size=(2, n, d)).astype("float32")) for n, d in ((3, 8), (7, 8), (7, 5)))
    got, expected = tf.function(everything, jit_compile=True)(q, k, v), everything(q, k, v)
    for ours, theirs in zip(tf.nest.flatten(got), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-5)
