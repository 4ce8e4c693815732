"""Under autocast, where a model's tensors are of two types: everything runs, in half precision, close to float32."""

import pytest
import torch

import attnlib.torch as attn

FRAMEWORK = "torch"
torch.manual_seed(0)
# As in a block: queries come from a LayerNorm, in float32, and keys and values from a Linear, in half precision.
Q, K, V = torch.randn(2, 3, 5), torch.randn(2, 7, 5), torch.randn(2, 7, 5)
CALLS = {
    "dot_scores": lambda q, k, v: attn.dot_scores(q, k),
    "scaled_dot_scores": lambda q, k, v: attn.scaled_dot_scores(q, k),
    "general_scores": lambda q, k, v: attn.general_scores(q, k, torch.eye(5)),
    "additive_scores": lambda q, k, v: attn.additive_scores(q, k, torch.eye(5), torch.eye(5), torch.ones(5)),
    "attend": lambda q, k, v: attn.attend(q @ k.mT, v),
    "explicit": lambda q, k, v: attn.scaled_dot_product_attention(q, k, v, bias=torch.ones(3, 7)),
    "fused": lambda q, k, v: attn.scaled_dot_product_attention(q, k, v, bias=torch.ones(3, 7), impl="fused"),
    "DotProductAttention": lambda q, k, v: attn.DotProductAttention()(q, k, v),
    "GeneralAttention": lambda q, k, v: attn.GeneralAttention(5, 5, seed=0)(q, k, v),
    "AdditiveAttention": lambda q, k, v: attn.AdditiveAttention(5, 5, 7, seed=0)(q, k, v),
    "MultiHeadAttention": lambda q, k, v: attn.MultiHeadAttention(5, 1, seed=0)(q, k, v),
    "FeedForward": lambda q, k, v: attn.FeedForward(5, 7, seed=0)(v),
    "LuongDecoder": lambda q, k, v: attn.LuongDecoder(5, 5, 5, attn.DotProductAttention(), seed=0)(q, k),
}
# The sum in a block is of what comes in, not of products: it stays in float32.
BLOCKS = {
    "EncoderBlock": lambda q, k, v: attn.EncoderBlock(5, 1, 7, seed=0)(k),
    "DecoderBlock": lambda q, k, v: attn.DecoderBlock(5, 1, 7, seed=0)(q, k),
}


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_runs_in_half_precision(call, mixed):
    exact = call(Q, K, V)
    tensors = [x.clone().requires_grad_() for x in (Q, K, V)]
    with torch.autocast("cpu", torch.bfloat16):
        q, k, v = tensors
        got = call(q, *(x.bfloat16() if mixed else x for x in (k, v)))
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got.float(), exact, rtol=0.03, atol=0.05)
    got.float().square().sum().backward()
    assert all(x.grad is None or (x.grad.isfinite().all() and x.dtype == torch.float32) for x in tensors)


@pytest.mark.parametrize("call", BLOCKS.values(), ids=BLOCKS)
def test_a_block_takes_what_a_linear_before_it_gave(call):
    exact = call(Q, K, V)
    with torch.autocast("cpu", torch.bfloat16):
        got = call(Q, K.bfloat16(), V)
    torch.testing.assert_close(got.float(), exact, rtol=0.03, atol=0.05)


def test_outside_autocast_two_types_are_still_an_error():
    with pytest.raises(ValueError, match="q and k must have the same dtype, got q float32, k bfloat16"):
        attn.dot_scores(Q, K.bfloat16())
