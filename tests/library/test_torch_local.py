"""Scores, patterns and local attention as citizens of PyTorch: compiled in one graph, and under autocast."""

import pytest
import torch

import attnlib.torch as attn

FRAMEWORK = "torch"
LENGTHS = torch.tensor([4, 7])


def padding(k_len):
    return attn.padding_mask(LENGTHS.clamp(max=k_len), k_len)


LAYERS = {
    "concat": (attn.ConcatAttention(8, 8, 5, seed=0), lambda k_len: {"attention_mask": padding(k_len)}),
    "cosine": (attn.CosineAttention(), lambda k_len: {"attention_mask": attn.strided_mask(5, k_len, stride=2)}),
    "local-m": (attn.LocalMonotonicAttention(8, 8, 2, seed=0), lambda k_len: {"attention_mask": padding(k_len)}),
    "local-p": (
        attn.LocalPredictiveAttention(8, 8, 5, 2, seed=0),
        lambda k_len: {"lengths": LENGTHS.clamp(max=k_len)},
    ),
}
each_layer = pytest.mark.parametrize("layer, options", LAYERS.values(), ids=LAYERS)


def qkv(k_len=7):
    torch.manual_seed(0)
    return torch.randn(2, 5, 8), torch.randn(2, k_len, 8), torch.randn(2, k_len, 3)


def test_compiled_in_one_graph_and_for_other_lengths():
    def everything(q, k, v):
        return torch.stack([layer(q, k, v, **options(k.shape[1])) for layer, options in LAYERS.values()])

    compiled = torch.compile(everything, fullgraph=True, backend="eager")
    for k_len in (7, 11):
        torch.testing.assert_close(compiled(*qkv(k_len)), everything(*qkv(k_len)))
    parameters = [p for layer, _ in LAYERS.values() for p in layer.parameters()]
    gradients = torch.autograd.grad(compiled(*qkv()).square().sum(), parameters)
    assert all(g.abs().sum() > 0 for g in gradients)


@pytest.mark.parametrize("mixed", [False, True])
@each_layer
def test_under_autocast_in_half_precision(layer, options, mixed):
    """As in a block: queries from a LayerNorm are float32, keys and values from a Linear are in half precision."""
    q, k, v = qkv()
    exact = layer(q, k, v, **options(7))
    layer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        got = layer(q, *(x.bfloat16() if mixed else x for x in (k, v)), **options(7))
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got.float(), exact, rtol=0.05, atol=0.1)
    got.float().square().sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.dtype == torch.float32 for p in layer.parameters())


def test_lengths_out_of_range():
    layer, _ = LAYERS["local-p"]
    q, k, v = qkv()
    with pytest.raises(ValueError, match="lengths must be from 0 to max_len 7, got 4 to 9"):
        layer(q, k, v, lengths=torch.tensor([4, 9]))
