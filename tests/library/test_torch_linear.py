"""Linear attention as a citizen of PyTorch: compiled, under autocast, checked by gradcheck."""

import pytest
import torch

import attnlib.torch as attn

FRAMEWORK = "torch"


def qkv(*lead, n=7, dtype=torch.float32):
    torch.manual_seed(0)
    return [torch.randn(*lead, n, d, dtype=dtype, requires_grad=True) for d in (5, 5, 3)]


def test_compiled_in_one_graph():
    mask = attn.padding_mask(torch.tensor([2, 3]), 3)

    def both(q, k, v):
        parallel = attn.linear_attention(q, k, v, mask=mask, causal=True)
        return parallel + attn.recurrent_linear_attention(q, k, v, mask=mask)[0] + attn.linear_attention(q, k, v)

    tensors = qkv(2, n=3)
    expected, got = both(*tensors), torch.compile(both, fullgraph=True, backend="eager")(*tensors)
    torch.testing.assert_close(got, expected)
    gradients = [torch.autograd.grad(y.square().sum(), tensors) for y in (got, expected)]
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize("causal", [False, True])
def test_gradcheck(causal):
    mask = torch.tensor([[[True, False, True, True]], [[False] * 4]])
    tensors = qkv(2, n=4, dtype=torch.float64)
    torch.autograd.gradcheck(lambda *x: attn.linear_attention(*x, mask=mask, causal=causal), tensors)


def test_gradients_reach_back_through_a_carried_state():
    tensors = qkv(2, dtype=torch.float64)

    def in_two_parts(q, k, v):
        first, state = attn.recurrent_linear_attention(q[:, :4], k[:, :4], v[:, :4])
        second, _ = attn.recurrent_linear_attention(q[:, 4:], k[:, 4:], v[:, 4:], state)
        return torch.cat([first, second], dim=1)

    whole, parts = attn.linear_attention(*tensors, causal=True), in_two_parts(*tensors)
    gradients = [torch.autograd.grad(y.square().sum(), tensors) for y in (whole, parts)]
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize("causal", [False, True])
def test_autocast_takes_what_models_hand_over(causal):
    q, k, v = (x.detach() for x in qkv(2))
    exact = attn.linear_attention(q, k, v, causal=causal)
    learned = torch.nn.Linear(5, 11)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = attn.linear_attention(q, k.bfloat16(), v, causal=causal)
        step, (s, z) = attn.recurrent_linear_attention(q.bfloat16(), k, v)
        attn.linear_attention(q, k, v, causal=causal, feature_map=lambda x: learned(x).exp())
    assert got.dtype == step.dtype == torch.bfloat16
    assert s.dtype == z.dtype == torch.float32
    torch.testing.assert_close(got.float(), exact, rtol=0, atol=0.05)


def test_autocast_sums_in_float32():
    q, k, v = (x.detach().bfloat16() for x in qkv(3, n=97))
    exact = attn.linear_attention(q.double(), k.double(), v.double())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = attn.linear_attention(q, k, v)
        step, _ = attn.recurrent_linear_attention(q, k, v)
    last = attn.linear_attention(q[:, -1:].double(), k.double(), v.double())
    for got, want in ((output, exact), (step[:, -1:], last)):
        assert (got == want.bfloat16()).float().mean() > 0.97  # rounded once, at the end
