"""NumPy: attnlib's two forms against the plainest code for the formula."""

import numpy as np

import attnlib.numpy as attn
from attnlib.numpy import backward as vjp
from scripts.bench.inputs import heads


def naive(q, k, v, causal):
    return naive_weights(q, k, causal) @ v


def naive_weights(q, k, causal):
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.dtype.type(q.shape[-1]))
    if causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)
    exponentials = np.exp(scores - scores.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def naive_gradients(q, k, v, grad, causal):
    scale = 1 / np.sqrt(q.dtype.type(q.shape[-1]))
    weights = naive_weights(q, k, causal)
    output = weights @ v
    grad_weights = grad @ v.swapaxes(-1, -2)
    grad_scores = weights * (grad_weights - (grad_weights * weights).sum(-1, keepdims=True)) * scale
    return output, grad_scores @ k, grad_scores.swapaxes(-1, -2) @ q, weights.swapaxes(-1, -2) @ grad


def contestants(length, backward):
    q, k, v, grad = heads(length)
    calls = {}
    for causal in (False, True):
        if backward:
            calls["naive", causal] = lambda c=causal: naive_gradients(q, k, v, grad, c)
            calls["explicit", causal] = lambda c=causal: vjp.scaled_dot_product_attention_vjp(q, k, v, grad, causal=c)
            calls["tiled", causal] = lambda c=causal: vjp.tiled_attention_vjp(q, k, v, grad, causal=c)
        else:
            calls["naive", causal] = lambda c=causal: naive(q, k, v, c)
            calls["explicit", causal] = lambda c=causal: attn.scaled_dot_product_attention(q, k, v, causal=c)
            calls["tiled", causal] = lambda c=causal: attn.tiled_attention(q, k, v, causal=c)
    return calls
