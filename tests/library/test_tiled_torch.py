"""Tiled attention in PyTorch: its autograd function against the explicit form, and what it makes, counted."""

import pytest
import torch
from cases import CASES
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

import attnlib.torch as attn
from attnlib.torch import tiled

FRAMEWORK = "torch"


def with_gradients(output, tensors):
    return [output.detach(), *torch.autograd.grad(output.square().sum(), tensors)]


@pytest.mark.parametrize("case", [c for c in CASES if c.bias or c.name == "broadcast keys"], ids=lambda c: c.name)
@pytest.mark.parametrize("shape", [(3, 7), (1, 7), (3, 1), (7,), (1, 1), ()])
def test_the_bias_gets_its_gradient_whatever_its_shape(case, shape):
    q, k, v, options = case.arrays("float64")
    tensors = [torch.from_numpy(x).requires_grad_() for x in (q, k, v)]
    q_len, k_len = q.shape[-2], k.shape[-2]
    shape = [{3: q_len, 7: k_len, 1: 1}[n] for n in shape]
    options = {n: x if n in ("causal", "scale") else torch.from_numpy(x) for n, x in options.items()}
    options["bias"] = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    tensors.append(options["bias"])
    tiled = attn.tiled_attention(*tensors[:3], **options, q_tile=2, k_tile=3)
    explicit = attn.scaled_dot_product_attention(*tensors[:3], **options)
    for one, two in zip(with_gradients(tiled, tensors), with_gradients(explicit, tensors), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-12)


def test_gradcheck():
    q, k, v = (torch.randn(2, n, 3, dtype=torch.float64, requires_grad=True) for n in (5, 7, 7))
    bias = torch.randn(2, 1, 7, dtype=torch.float64, requires_grad=True)
    mask = torch.rand(5, 7) < 0.6
    mask[2] = False

    def function(q, k, v, bias):
        return attn.tiled_attention(q, k, v, mask=mask, bias=bias, causal=True, q_tile=2, k_tile=3)

    torch.autograd.gradcheck(function, (q, k, v, bias))


def test_a_second_derivative_is_an_error_and_not_a_wrong_number():
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    with pytest.raises(RuntimeError, match=r'^tiled attention has no second derivative: use impl="explicit"$'):
        torch.autograd.grad(attn.tiled_attention(x, x, x).square().sum(), x, create_graph=True)


def test_a_power_of_two_is_as_exact_as_the_exponential():
    x = torch.tensor([0.0, -1e-6, -0.3, -5, -50, -80, -1e4, torch.finfo(torch.float32).min, -torch.inf])
    torch.testing.assert_close(tiled._exp_(x.clone()).double(), x.double().exp(), rtol=1e-5, atol=1e-38)
    assert (tiled._exp_(x.clone())[-3:] == 0).all()


class Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that any operation makes."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        sizes = [x.numel() for x in tree_leaves(result) if isinstance(x, torch.Tensor)]
        self.elements = max([self.elements, *sizes])
        return result


@pytest.mark.parametrize("causal", [False, True])
def test_no_tensor_of_the_size_of_the_scores_is_ever_made(causal):
    n, d, tile = 64, 2, 8
    x = torch.randn(n, d, requires_grad=True)
    mask = torch.ones(1, n, dtype=torch.bool)
    with Largest() as seen:
        attn.tiled_attention(x, x, x, mask=mask, causal=causal, q_tile=tile, k_tile=tile).sum().backward()
    assert seen.elements == n * d  # the output; a tile has 64 elements, the scores would have 4,096
    with Largest() as seen:
        attn.scaled_dot_product_attention(x, x, x, causal=causal)
    assert seen.elements == n * n


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_causal_tiles_above_the_diagonal_are_not_computed(n):
    """n tiles a side: exactly (n + 1) / 2n of the floating-point operations, forward and backward."""
    x = torch.randn(2, 4 * n, 3, requires_grad=True)

    def operations(causal):
        with FlopCounterMode(display=False) as forward:
            output = attn.tiled_attention(x, x, x, causal=causal, q_tile=4, k_tile=4)
        with FlopCounterMode(display=False) as backward:
            output.sum().backward()
        return forward.get_total_flops(), backward.get_total_flops()

    for part, whole in zip(operations(True), operations(False), strict=True):
        assert 2 * n * part == (n + 1) * whole
    assert operations(False) == (2 * 2 * (4 * n) ** 2 * 3 * 2, 2 * 2 * (4 * n) ** 2 * 3 * 5)


@pytest.mark.parametrize("dtype, bound", [(torch.bfloat16, 2**-8), (torch.float16, 2**-11)])
def test_half_precision_is_rounded_once(dtype, bound):
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, n, 64).to(dtype).requires_grad_() for n in (33, 300, 300))
    exact = attn.scaled_dot_product_attention(q.double(), k.double(), v.double())
    got = attn.tiled_attention(q, k, v, q_tile=16, k_tile=32)
    assert got.dtype == dtype
    torch.testing.assert_close(got.double(), exact, rtol=bound, atol=1e-6)
    gradients = torch.autograd.grad(got.sum(), (q, k, v)), torch.autograd.grad(exact.sum(), (q, k, v))
    for one, two in zip(*gradients, strict=True):
        assert one.dtype == dtype
        torch.testing.assert_close(one, two, rtol=0.05, atol=5 * bound)


def test_the_gradient_of_a_bias_for_all_queries_is_added_up_in_float32():
    """In float16, where it is a sum over hundreds of tiles, small addends would be lost one by one."""
    torch.manual_seed(0)
    q, k, v = (torch.randn(n, 4).half() for n in (1600, 3, 3))
    bias = torch.zeros(1, 3, dtype=torch.float16, requires_grad=True)
    exact = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    grad = v[:1].expand(1600, 4) / 8
    attn.tiled_attention(q, k, v, bias=bias, q_tile=2).backward(grad)
    attn.scaled_dot_product_attention(q.double(), k.double(), v.double(), bias=exact).backward(grad.double())
    torch.testing.assert_close(bias.grad.double(), exact.grad, rtol=2**-10, atol=0)


def test_under_autocast_it_computes_in_what_comes_in():
    x = torch.randn(2, 33, 5, requires_grad=True)
    expected = with_gradients(attn.tiled_attention(x, x, x, q_tile=8, k_tile=8), [x])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = with_gradients(attn.tiled_attention(x, x, x, q_tile=8, k_tile=8), [x])
    for one, two in zip(got, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-6)


def test_compiled_without_a_break():
    q, k = (torch.randn(2, n, 5, dtype=torch.float64, requires_grad=True) for n in (5, 7))
    mask = torch.rand(2, 1, 7) < 0.7

    def function(q, k):
        return attn.tiled_attention(q, k, k, mask=mask, causal=True, q_tile=4, k_tile=4)

    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    for one, two in zip(with_gradients(compiled(q, k), [q, k]), with_gradients(function(q, k), [q, k]), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-12)


def test_gradients_of_half_precision_are_added_up_in_float32():
    """Sixty-four tiles, each rounded to bfloat16 before the next is added, would be several times further off."""
    torch.manual_seed(0)
    q, k, v = (torch.randn(8, 16, dtype=torch.bfloat16), *torch.randn(2, 256, 16).bfloat16())
    found = []
    for dtype in (torch.bfloat16, torch.float64):
        inputs = [x.to(dtype).requires_grad_() for x in (q, k, v)]
        output = attn.tiled_attention(*inputs, q_tile=8, k_tile=4)
        found.append(torch.autograd.grad(output.sum(dim=-1).square().sum(), inputs[:1])[0].double())
    ours, exact = found
    assert (ours - exact).abs().max() < 0.006 * exact.abs().max()  # 0.010 if rounded after each tile
