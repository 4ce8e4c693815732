"""attnlib.torch against PyTorch's own functions, and as a citizen of PyTorch: gradcheck, state_dict, modules."""

import copy
import io

import pytest
import torch
import torch.nn.functional as F
from cases import CASES

import attnlib.torch as attn

FRAMEWORK = "torch"


def inputs(case, dtype=torch.float64):
    q, k, v, options = case.arrays("float64")
    tensors = [torch.from_numpy(x).to(dtype).requires_grad_() for x in (q, k, v)]
    options = {n: x if n in ("causal", "scale") else torch.from_numpy(x) for n, x in options.items()}
    if "bias" in options:
        options["bias"] = options["bias"].to(dtype)
    return tensors, options


def with_gradients(output, tensors):
    return [output.detach(), *torch.autograd.grad(output.square().sum(), tensors)]


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_explicit_and_fused_agree_with_gradients(case, dtype, tolerance):
    tensors, options = inputs(case, dtype)
    explicit, fused = (
        with_gradients(attn.scaled_dot_product_attention(*tensors, **options, impl=impl), tensors)
        for impl in ("explicit", "fused")
    )
    for one, two in zip(explicit, fused, strict=True):
        assert one.isfinite().all()
        torch.testing.assert_close(one, two, rtol=tolerance, atol=tolerance)


def test_fused_calls_the_kernel_as_it_wants_to_be_called(monkeypatch):
    """With equal lengths and no mask `is_causal` is passed on; otherwise a mask of our alignment is."""
    calls = []
    kernel = F.scaled_dot_product_attention
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda *a, **k: calls.append(k) or kernel(*a, **k))
    q, k = torch.randn(3, 5), torch.randn(7, 5)
    attn.scaled_dot_product_attention(q, q, q, causal=True, impl="fused")
    attn.scaled_dot_product_attention(q, k, k, causal=True, impl="fused")
    assert calls[0] == {"is_causal": True, "scale": None}
    assert torch.equal(calls[1]["attn_mask"], attn.causal_mask(3, 7))


@pytest.mark.parametrize("boolean", [True, False])
def test_agrees_with_pytorchs_function(boolean):
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, n, d, dtype=torch.float64, requires_grad=True) for n, d in ((5, 7), (11, 7), (11, 13)))
    mask = torch.rand(5, 11) < 0.7
    bias = torch.randn(5, 11, dtype=torch.float64)
    ours = attn.scaled_dot_product_attention(q, k, v, **({"mask": mask} if boolean else {"bias": bias}))
    theirs = F.scaled_dot_product_attention(q, k, v, attn_mask=mask if boolean else bias)
    for one, two in zip(with_gradients(ours, (q, k, v)), with_gradients(theirs, (q, k, v)), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-12)


def test_weights_are_refused_on_the_fused_path():
    q = torch.randn(3, 5)
    with pytest.raises(ValueError, match='return_weights needs impl="explicit"'):
        attn.scaled_dot_product_attention(q, q, q, impl="fused", return_weights=True)


LAYERS = [
    attn.DotProductAttention(),
    attn.GeneralAttention(5, 5, seed=0),
    attn.AdditiveAttention(5, 5, 7, seed=0),
    attn.ConcatAttention(5, 5, 7, seed=0),
    attn.CosineAttention(scale=5.0),
    attn.LocalMonotonicAttention(5, 5, 2, seed=0),
    attn.LocalPredictiveAttention(5, 5, 7, 2, seed=0),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda m: type(m).__name__)
def test_gradcheck(layer):
    layer = copy.deepcopy(layer).double()
    q, k, v = (torch.randn(2, n, 5, dtype=torch.float64, requires_grad=True) for n in (3, 4, 4))
    mask = torch.tensor([[True, True, False, True], [False] * 4, [True] * 4])
    torch.autograd.gradcheck(lambda *x: layer(*x, attention_mask=mask), (q, k, v))


@pytest.mark.parametrize("layer", LAYERS, ids=lambda m: type(m).__name__)
def test_saved_and_loaded(layer):
    layer = copy.deepcopy(layer)
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    sizes = {
        "GeneralAttention": (5, 5),
        "AdditiveAttention": (5, 5, 7),
        "ConcatAttention": (5, 5, 7),
        "LocalMonotonicAttention": (5, 5, 2),
        "LocalPredictiveAttention": (5, 5, 7, 2),
    }
    other = type(layer)(*sizes.get(type(layer).__name__, ()))
    x = torch.randn(2, 3, 5)
    if list(layer.parameters()):
        assert not torch.equal(other(x), layer(x))
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(x), layer(x))


@pytest.mark.parametrize("layer", LAYERS[1:], ids=lambda m: type(m).__name__)
def test_every_parameter_learns(layer):
    layer = copy.deepcopy(layer)
    layer(torch.randn(2, 3, 5), torch.randn(2, 7, 5)).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in layer.parameters())


def test_without_a_seed_manual_seed_decides():
    def weight():
        torch.manual_seed(3)
        return attn.GeneralAttention(5, 7).weight

    assert torch.equal(weight(), weight())


@pytest.mark.parametrize("impl", ["explicit", "fused"])
def test_bfloat16_is_as_close_as_its_rounding_allows(impl):
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, n, 64) for n in (32, 48, 48))
    exact = attn.scaled_dot_product_attention(q.double(), k.double(), v.double())
    got = attn.scaled_dot_product_attention(q.bfloat16(), k.bfloat16(), v.bfloat16(), impl=impl)
    assert got.dtype == torch.bfloat16
    assert (got.double() - exact).abs().max() < 0.03
