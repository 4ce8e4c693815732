"""The exercises of "An attention layer (PyTorch)": right answers pass, typical mistakes are named."""

import pytest
import torch
import torch.nn.functional as F

from attnlib.exercises import pytorch_attention_layer as ex
from attnlib.torch import causal_mask, padding_mask

RIGHT = 3 * 512 * 64


def centred(weights, grad_weights):
    return weights * (grad_weights - (weights * grad_weights).sum(dim=-1, keepdim=True))


def with_mask(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=causal_mask(q.shape[-2], k.shape[-2]))


def compares_all(layer, x):
    return not all(torch.allclose(layer(x)[i], layer(x[i : i + 1])[0]) for i in range(len(x)))


ANSWERS = [
    (ex.check_parameter_count, (RIGHT, RIGHT)),
    (ex.check_softmax_backward, (centred,)),
    (ex.check_key_padding_mask, (lambda lengths, n: ~padding_mask(lengths, n)[:, 0],)),
    (ex.check_key_padding_mask, (lambda lengths, n: torch.arange(n) >= lengths[:, None],)),
    (ex.check_causal_with_cache, (with_mask,)),
    (ex.check_leaks_across_batch, (compares_all,)),
]

MISTAKES = [
    (ex.check_parameter_count, (RIGHT // 3, RIGHT), "counted one matrix"),
    (ex.check_parameter_count, (2 * 512 * 64, RIGHT), "counted two matrices"),
    (ex.check_parameter_count, (RIGHT + 192, RIGHT), "bias=False"),
    (ex.check_parameter_count, (4 * 512 * 64, RIGHT), "no output projection"),
    (ex.check_parameter_count, (RIGHT + 64 * 64, RIGHT), "no output projection"),
    (ex.check_parameter_count, (32 * RIGHT, RIGHT), "leave the 32 out"),
    (ex.check_parameter_count, (100 * RIGHT, RIGHT), "leave the 100 out"),
    (ex.check_parameter_count, (RIGHT + 1, RIGHT), "sizes of three matrices"),
    (ex.check_parameter_count, (RIGHT, 2 * RIGHT), "no parameter has an axis for the length"),
    (ex.check_softmax_backward, (lambda a, h: a * h,), "keys compete"),
    (ex.check_softmax_backward, (lambda a, h: a * (h - h.sum(-1, keepdim=True)),), "has lost its weights"),
    (ex.check_softmax_backward, (lambda a, h: a * (h - h.mean(-1, keepdim=True)),), "weighted by A"),
    (ex.check_softmax_backward, (lambda a, h: a * (h - (a * h).sum(-2, keepdim=True)),), "over the queries"),
    (ex.check_softmax_backward, (lambda a, h: a * (1 - a) * h,), "w(1 - w)"),
    (ex.check_softmax_backward, (lambda a, h: -centred(a, h),), "sign"),
    (ex.check_softmax_backward, (lambda a, h: 2 * centred(a, h),), "the gradient of the scores"),
    (ex.check_key_padding_mask, (lambda n, m: padding_mask(n, m)[:, 0],), "True marks the padding"),
    (ex.check_key_padding_mask, (padding_mask,), "True marks the padding"),
    (ex.check_key_padding_mask, (lambda n, m: ~padding_mask(n, m),), "[batch, max_len] without it"),
    (ex.check_key_padding_mask, (lambda n, m: torch.arange(m) > n[:, None],), "last real one"),
    (ex.check_causal_with_cache, (F.scaled_dot_product_attention,), "nothing is masked"),
    (
        ex.check_causal_with_cache,
        (lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),),
        "build a mask",
    ),
    (
        ex.check_causal_with_cache,
        (lambda q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=causal_mask(5).T[: q.shape[-2]]),),
        "sees the future and not the past",
    ),
    (
        ex.check_causal_with_cache,
        (lambda q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=~causal_mask(q.shape[-2], 5)),),
        "the mask is inverted",
    ),
    (
        ex.check_leaks_across_batch,
        (lambda layer, x: not torch.allclose(layer(x)[0], layer(x[0])),),
        "takes [batch, length, d], and was given (5, 4)",
    ),
    (ex.check_leaks_across_batch, (lambda layer, x: True,), "is said to leak"),
    (ex.check_leaks_across_batch, (lambda layer, x: False,), "attends across the batch passes"),
    (ex.check_leaks_across_batch, (lambda layer, x: not compares_all(layer, x),), "wrong way round"),
    (
        ex.check_leaks_across_batch,
        (lambda layer, x: not torch.allclose(layer(x)[0], layer(x[:1])[0]),),
        "not the first only",
    ),
    (ex.check_leaks_across_batch, (lambda layer, x: layer(x),), "return True or False"),
]


@pytest.mark.parametrize("check, answers", ANSWERS)
def test_right_answers_pass(check, answers, capsys):
    assert check(*answers) is True
    assert capsys.readouterr().out.startswith("Correct: ")


@pytest.mark.parametrize("check, answers, says", MISTAKES)
def test_mistakes_are_named(check, answers, says, capsys):
    assert check(*answers) is None
    printed = capsys.readouterr().out
    assert printed.startswith("Not yet: ") and says in printed


@pytest.mark.parametrize("check", dict.fromkeys(check for check, _ in ANSWERS))
def test_stubs_are_told_to_write_something(check, capsys):
    stubs = (...,) * (2 if check is ex.check_parameter_count else 1)
    assert check(*stubs) is None
    assert "replace the `...`" in capsys.readouterr().out
