"""PyTorch: attnlib's three forms against the plainest code and against PyTorch's own function."""

import functools

import torch
import torch.nn.functional as F

import attnlib.torch as attn
from scripts.bench.inputs import heads


def naive(q, k, v, causal):
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    if causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1), -torch.inf)
    return torch.softmax(scores, dim=-1) @ v


def own(q, k, v, causal):
    return F.scaled_dot_product_attention(q, k, v, is_causal=causal)


def ours(impl, q, k, v, causal):
    return attn.scaled_dot_product_attention(q, k, v, causal=causal, impl=impl)


FORMS = {"naive": naive, "F.sdpa": own} | {n: functools.partial(ours, n) for n in ("explicit", "tiled", "fused")}


def call(function, inputs, grad, backward):
    """What is timed: the function, or the function and the gradients of what went in."""

    def forward():
        with torch.no_grad():
            return function()

    def forward_and_backward():
        return torch.autograd.grad(function(), inputs, grad)

    return forward_and_backward if backward else forward


def contestants(length, backward):
    q, k, v, grad = (torch.from_numpy(x) for x in heads(length))
    inputs = [x.requires_grad_(backward) for x in (q, k, v)]
    return {
        (name, causal): call(functools.partial(form, q, k, v, causal), inputs, grad, backward)
        for causal in (False, True)
        for name, form in FORMS.items()
    }
