"""Positions as citizens of PyTorch: compiled, under autocast, saved and loaded, moved and converted."""

import io

import pytest
import torch
from torch import nn

import attnlib.torch as attn

FRAMEWORK = "torch"


class Positioned(nn.Module):
    """Self-attention with every kind of position at once."""

    def __init__(self):
        super().__init__()
        self.project = nn.Linear(8, 8)
        self.learned = attn.LearnedPositions(11, 8, seed=0)
        self.relative = attn.RelativePositionBias(1, num_buckets=6, max_distance=7, seed=1)

    def forward(self, x):
        n = x.shape[-2]
        x = x + attn.sinusoidal_positions(n, 8, dtype=x.dtype)
        x = self.learned(self.project(x))
        q = attn.rotary(x, torch.arange(n))
        k = attn.rotary(x, torch.arange(n), pairing="interleaved")
        bias = self.relative(q) + attn.alibi_bias(1, n, dtype=q.dtype)
        return attn.scaled_dot_product_attention(q, k, x, bias=bias)


def test_compiled_in_one_graph_and_for_other_lengths():
    model, x = Positioned(), torch.randn(2, 7, 8)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    for n in (7, 5):
        torch.testing.assert_close(compiled(x[:, :n]), model(x[:, :n]))
    compiled(x).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())


def test_autocast_keeps_what_it_is_given():
    model, x = Positioned(), torch.randn(2, 7, 8)
    exact = model(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        projected = model.project(x)
        assert model.learned(projected).dtype == attn.rotary(projected, torch.arange(7)).dtype == torch.bfloat16
        assert model.relative(projected).dtype == torch.bfloat16
        got = model(x)
    torch.testing.assert_close(got.float(), exact, rtol=0, atol=0.05)


def test_bfloat16_is_as_close_as_its_rounding_allows():
    x = torch.randn(3, 64)
    exact = attn.rotary(x.bfloat16().double(), torch.tensor([1000, 2047, 30001]))
    got = attn.rotary(x.bfloat16(), torch.tensor([1000, 2047, 30001]))
    torch.testing.assert_close(got.double(), exact, rtol=2**-8, atol=1e-3)


def test_saved_loaded_converted():
    model, other = Positioned(), Positioned()
    assert set(model.state_dict()) == {"project.weight", "project.bias", "learned.weight", "relative.weight"}
    with torch.no_grad():
        model.learned.weight.normal_()
        model.relative.weight.normal_()
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    x = torch.randn(2, 7, 8)
    assert torch.equal(other(x), model(x))
    assert model.double()(x.double()).dtype == torch.float64


def test_without_a_seed_manual_seed_decides():
    def weights():
        torch.manual_seed(3)
        return attn.LearnedPositions(3, 5).weight, attn.RelativePositionBias(3).weight

    for one, two in zip(weights(), weights(), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("pairing", ["halves", "interleaved"])
def test_gradcheck(pairing):
    x = torch.randn(2, 3, 6, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(lambda x: attn.rotary(x, torch.arange(3), pairing=pairing), x)


def test_tensors_are_made_on_the_device_that_is_asked_for():
    made = [
        attn.sinusoidal_positions(3, 4, device="meta"),
        attn.relative_position_buckets(3, device="meta"),
        attn.alibi_slopes(3, device="meta"),
        attn.alibi_bias(3, 4, device="meta"),
        attn.rotary_permutation(4, device="meta"),
    ]
    assert [x.device.type for x in made] == ["meta"] * 5
    x = torch.empty(2, 7, 8, device="meta")
    assert Positioned().relative.to("meta")(x).device.type == "meta"
    assert attn.rotary(x, torch.arange(7, device="meta")).device.type == "meta"


def test_repr_says_what_it_is():
    assert repr(attn.LearnedPositions(11, 8)) == "LearnedPositions(max_len=11, d=8)"
    expected = "RelativePositionBias(num_heads=3, num_buckets=32, max_distance=128, bidirectional=True)"
    assert repr(attn.RelativePositionBias(3)) == expected
