"""The softmax with a gradient of its own is still as good as one made of PyTorch's operations."""

import pytest
import torch

import attnlib.torch as attn

FRAMEWORK = "torch"
SCORES = torch.randn(2, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
MASK = torch.rand(2, 3, 5, generator=torch.Generator().manual_seed(1)) < 0.7
MASK[0, 1] = False


@pytest.mark.parametrize("axis", [-1, 1])
def test_first_and_second_derivatives(axis):
    scores = SCORES.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda s: attn.masked_softmax(s, MASK, axis=axis), scores)
    assert torch.autograd.gradgradcheck(lambda s: attn.masked_softmax(s, MASK, axis=axis), scores)


def test_function_transforms():
    def loss(scores, mask):
        return (attn.masked_softmax(scores, mask) ** 2).sum()

    each = torch.vmap(torch.func.grad(loss))(SCORES, MASK)
    for i in range(len(SCORES)):
        scores = SCORES[i].clone().requires_grad_()
        (expected,) = torch.autograd.grad(loss(scores, MASK[i]), scores)
        torch.testing.assert_close(each[i], expected, rtol=1e-12, atol=1e-12)


def test_the_gradient_holds_the_weights_and_nothing_else_of_their_size():
    held = []
    scores = SCORES.clone().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda x: held.append(x.numel()) or x, lambda x: x):
        attn.masked_softmax(scores)
    assert held == [SCORES.numel()]
