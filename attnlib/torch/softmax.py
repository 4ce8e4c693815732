"""Softmax over the keys that a query may attend to.

    softmax(s)_j = exp(s_j - m) / sum_i exp(s_i - m),    m = max_i s_i

Subtracting the maximum changes nothing in exact arithmetic and keeps every exponent at or below zero, so that
scores of any size stay finite (Goodfellow, Bengio and Courville, "Deep Learning", 2016, section 4.1).

`torch.softmax` alone gives NaN for a row of -inf, in the values and in the gradients, hence the written-out form. Its
gradient is written out too, because it needs the weights w alone, not every step on the way to them:

    dL/ds_j = w_j (dL/dw_j - sum_i w_i dL/dw_i)
"""

import torch

from attnlib import _checks


class _Softmax(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(scores, mask, axis):
        weights = scores.clone() if mask is None else scores.masked_fill(~mask, -torch.inf)
        # Where every score is -inf the maximum would be too, and -inf - (-inf) is not a number.
        peak = weights.amax(axis, keepdim=True).clamp(min=torch.finfo(scores.dtype).min)
        weights.sub_(peak).exp_()  # in place: large tensors cost more to ask for than to compute
        total = weights.sum(axis, keepdim=True)
        return weights.div_(total.masked_fill_(total == 0, 1))

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(output)
        ctx.axis = inputs[2]

    @staticmethod
    def backward(ctx, grad):
        (weights,) = ctx.saved_tensors
        rows = (x.movedim(ctx.axis, -1) for x in (weights, grad))
        mean = torch.einsum("...i,...i->...", *rows).unsqueeze(ctx.axis)  # sum_i w_i dL/dw_i
        return (grad - mean).mul_(weights), None, None


def masked_softmax(scores, mask=None, *, axis=-1):
    """`[..., q_len, k_len] -> [..., q_len, k_len]`: weights that sum to one over the keys that may be seen.

    scores: floating point, any shape; -inf counts as masked.
    mask: boolean, True where a query may attend, broadcasting to `scores`; None allows everything.
    axis: the axis that sums to one.

    A query that may attend to nothing gets zeros. Half precision is computed in float32 and returned as it came.
    Raises ValueError for scores that are not floating point, and for a mask of another type or shape.
    """
    _checks.floating(scores=scores)
    _checks.mask("mask", mask, tuple(scores.shape))
    dtype = scores.dtype
    if dtype.itemsize < 4:
        scores = scores.float()
    return _Softmax.apply(scores, mask, axis).to(dtype)
