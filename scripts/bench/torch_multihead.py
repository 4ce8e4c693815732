"""PyTorch: the fused multi-head layer against `nn.MultiheadAttention`, by default and without weights.

By default PyTorch's layer returns the mean of the heads' weights too, which is what most calls ask for and throw away.
"""

import functools

import torch
from torch import nn

import attnlib.torch as attn
from scripts.bench.inputs import D_MODEL, HEADS, states
from scripts.bench.torch_attention import call


def contestants(length, backward):
    x, grad = (torch.from_numpy(x) for x in states(length))
    x.requires_grad_(backward)
    own = nn.MultiheadAttention(D_MODEL, HEADS, batch_first=True).train(backward)
    ours = attn.MultiHeadAttention.from_torch(own, impl="fused")

    def theirs(causal, weights):
        mask = nn.Transformer.generate_square_subsequent_mask(length) if causal else None
        return own(x, x, x, attn_mask=mask, is_causal=causal, need_weights=weights)[0]

    calls = {}
    for causal in (False, True):
        inputs = [x, *ours.parameters()]
        calls["fused", causal] = call(functools.partial(ours, x, causal=causal), inputs, grad, backward)
        inputs = [x, *own.parameters()]
        for name, weights in (("nn.MultiheadAttention", True), ("nn, need_weights=False", False)):
            calls[name, causal] = call(functools.partial(theirs, causal, weights), inputs, grad, backward)
    return calls
