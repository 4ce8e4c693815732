"""Checks for the exercises of the chapter "An attention layer (PyTorch)"."""

import torch
import torch.nn.functional as F

from attnlib.exercises._answers import exercise, require, run, same, same_values
from attnlib.torch import causal_mask, padding_mask


def _normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@exercise
def check_parameter_count(parameters, at_200):
    """Exercise 1: the parameters of `SelfAttention(512, 64)`, for sequences of 100 and of 200."""
    right = 3 * 512 * 64
    for mistake, message in (
        (right // 3, "you counted one matrix, but queries, keys and values each have their own."),
        (2 * right // 3, "you counted two matrices, there are three."),
        (right + 3 * 64, "these are linear maps with `bias=False`."),
        (4 * 512 * 64, "there is no output projection in this layer."),
        (right + 64 * 64, "there is no output projection in this layer."),
        (32 * right, "the batch shares its parameters: leave the 32 out."),
        (100 * right, "all positions share the parameters: leave the 100 out."),
    ):
        require(not same_values(parameters, mistake, tolerance=1e-9), message)
    same(parameters, right, "the parameters", hint="add up the sizes of three matrices.", tolerance=1e-9)
    hint = "no parameter has an axis for the length."
    same(at_200, right, "the parameters at length 200", hint=hint, tolerance=1e-9)
    return "three matrices, whatever the batch and the length."


@exercise
def check_softmax_backward(answer):
    """Exercise 2: `softmax_backward(weights, grad_weights)`."""
    scores, grad = _normal(2, 3, 5).requires_grad_(), _normal(2, 3, 5).flip(-1)
    weights = torch.softmax(scores, dim=-1)
    (expected,) = torch.autograd.grad(weights, scores, grad)
    weights = weights.detach()
    got = run(answer, weights, grad)
    mistakes = {
        "the sum over the row is missing: keys compete, so each score moves every weight.": weights * grad,
        "the sum over the row has lost its weights, it is of A times H.": weights
        * (grad - grad.sum(dim=-1, keepdim=True)),
        "the plain mean of the row is subtracted: it must be weighted by A.": weights
        * (grad - grad.mean(dim=-1, keepdim=True)),
        "the sum runs over the queries: it belongs on the last axis.": weights
        * (grad - (weights * grad).sum(dim=-2, keepdim=True)),
        "this is the derivative of each weight by its own score only, w(1 - w).": weights * (1 - weights) * grad,
        "the sign is wrong.": -expected,
    }
    for message, mistake in mistakes.items():
        require(not same_values(got, mistake), message)
    same(got, expected, "the gradient of the scores", hint="A times (H minus the row sum of A times H).")
    return "it is what autograd computes."


@exercise
def check_key_padding_mask(answer):
    """Exercise 3: `key_padding_mask(lengths, max_len)` for `nn.MultiheadAttention`."""
    lengths, size = torch.tensor([4, 1, 3]), 5
    allowed = padding_mask(lengths, size)  # [batch, 1, max_len]
    got = run(answer, lengths, size)
    message = "this mask is this book's, True = may attend: here True marks the padding."
    require(not same_values(got, allowed[:, 0]) and not same_values(got, allowed), message)
    message = "the axis of length 1 is for the queries: `key_padding_mask` is [batch, max_len] without it."
    require(not same_values(got, ~allowed), message)
    hint = "True from position `length` on; position `length - 1` is the last real one."
    same(got, ~allowed[:, 0], "the mask", hint=hint)
    return "True marks the padding, one row an example."


@exercise
def check_causal_with_cache(answer):
    """Exercise 4: `causal_with_cache(q, k, v)`, aligned to the last query and key."""
    for q_len in (5, 2, 1):
        q, k, v = _normal(2, q_len, 3), _normal(2, 5, 3) + 1, _normal(2, 5, 4)
        mask = causal_mask(q_len, 5)
        got = run(answer, q, k, v)
        expected = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        plain = F.scaled_dot_product_attention(q, k, v)
        if q_len == 5:
            require(not same_values(got, plain), "nothing is masked: a query sees what comes after it.")
            upper = F.scaled_dot_product_attention(q, k, v, attn_mask=mask.T)
            require(not same_values(got, upper), "this sees the future and not the past: query i sees j ≤ i.")
            inverted = F.scaled_dot_product_attention(q, k, v, attn_mask=~mask)
            require(not same_values(got, inverted), "the mask is inverted: here True means may attend.")
        if q_len == 2:
            first = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            message = "the first query is aligned to the first key, as `is_causal=True` does: build a mask."
            require(not same_values(got, first), message)
        same(got, expected, f"the output for {q_len} queries and 5 keys", hint="query i sees j ≤ i + k_len - q_len.")
    return "the newest query sees the whole cache."


@exercise
def check_leaks_across_batch(answer):
    """Exercise 5: `leaks_across_batch(layer, x)` tells layers that leak from those that do not."""
    x = _normal(3, 5, 4)

    def tight(x):
        if x.ndim != 3:
            raise ValueError(f"the layer takes [batch, length, d], and was given {tuple(x.shape)}")
        return F.scaled_dot_product_attention(x, x, x)

    def swapped(x):
        return tight(x.transpose(0, 1)).transpose(0, 1)

    def last_only(x):  # leaks into the last example only
        output = tight(x)
        if len(x) > 1:
            output[-1] += output[-2]
        return output

    verdicts = {}
    for name, layer in (("tight", tight), ("swapped", swapped), ("last_only", last_only)):
        got = run(answer, layer, x)
        require(getattr(got, "ndim", 0) == 0 and got in (True, False), "return True or False, one for the layer.")
        verdicts[name] = bool(got)
    require(verdicts != {"tight": True, "swapped": False, "last_only": False}, "the answer is the wrong way round.")
    require(not verdicts["tight"], "a layer that treats every example by itself is said to leak.")
    message = "a layer that attends across the batch passes: compare each example alone with itself in the batch."
    require(verdicts["swapped"], message)
    require(verdicts["last_only"], "a leak into the last example passes: compare every example, not the first only.")
    return "your test knows a leak when there is one, and only then."
