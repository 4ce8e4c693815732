"""The functions and layers of dense attention, the masks and the cache, compiled in one graph for any length."""

import torch

import attnlib.torch as attn

FRAMEWORK = "torch"
GENERAL, ADDITIVE = attn.GeneralAttention(8, 8, seed=0), attn.AdditiveAttention(8, 8, 5, seed=1)
DOT, HEADS = attn.DotProductAttention(scale=0.5), attn.MultiHeadAttention(8, 2, seed=2)


def masks(q_len, k_len):
    near = attn.sliding_window_mask(q_len, k_len, left=2, right=1) | attn.global_token_mask(q_len, k_len, tokens=[0])
    return near | attn.block_local_mask(q_len, k_len, block=3) & attn.strided_mask(q_len, k_len, stride=2)


def everything(q, k, v):
    q_len, k_len = q.shape[1], k.shape[1]
    mask = masks(q_len, k_len)
    capped = attn.attend(attn.soft_cap(attn.scaled_dot_scores(q, k), 2.0), v, mask=mask)
    functions = [
        attn.scaled_dot_product_attention(q, k, v, mask=mask, causal=True, impl=impl) for impl in ("explicit", "fused")
    ]
    layers = [layer(q, k, v, attention_mask=mask, causal=True) for layer in (DOT, GENERAL, ADDITIVE)]
    return torch.stack([capped, *functions, *layers])


def decode(x):
    cache = attn.KVCache(window=3)
    return torch.cat([HEADS(x[:, i : i + 1], causal=True, cache=cache) for i in range(4)], dim=1)


def test_compiled_in_one_graph_and_for_other_lengths():
    torch.manual_seed(0)
    compiled = torch.compile(everything, fullgraph=True, backend="eager")
    for k_len in (7, 11):
        q, k, v = (torch.randn(2, n, 8) for n in (5, k_len, k_len))
        torch.testing.assert_close(compiled(q, k, v), everything(q, k, v))
    parameters = [*GENERAL.parameters(), *ADDITIVE.parameters()]
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(compiled(q, k, v).square().sum(), parameters))


def test_decoding_compiled_in_one_graph():
    x = torch.randn(2, 4, 8)
    torch.testing.assert_close(torch.compile(decode, fullgraph=True, backend="eager")(x), decode(x))
