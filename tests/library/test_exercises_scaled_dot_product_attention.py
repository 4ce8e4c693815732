"""The checks of "Scaled dot-product attention": right answers pass, each typical mistake is named."""

import numpy as np
import pytest

from attnlib.exercises import scaled_dot_product_attention as ex
from attnlib.numpy import backward, causal_mask, masked_softmax, padding_mask


def window(length, size, extra=0):
    i, j = np.arange(length)[:, None], np.arange(length)
    return (j <= i) & (j > i - size - extra)


def streaming(q, keys, values, *, scaled=True, shrink=True, divide=True, stable=True, start=-np.inf):
    peak, total, acc = (start if stable else 0.0), 0.0, 0.0
    for k, v in zip(keys, values, strict=True):
        score = q @ k / (np.sqrt(len(q)) if scaled else 1)
        new_peak = max(peak, score) if stable else 0.0
        factor = np.exp(peak - new_peak) if shrink else 1.0
        total, acc = total * factor + np.exp(score - new_peak), acc * factor + np.exp(score - new_peak) * v
        peak = new_peak
    return acc / total if divide else acc


def scale_gradient(q, k, v, grad_output, scale, *, factor=1.0, inner=None, softmax=True, products=True):
    scores = q @ k.T
    weights = masked_softmax((scale if inner is None else inner) * scores)
    grad = grad_output @ v.T
    if softmax:
        grad = backward.masked_softmax_vjp(weights, grad)
    return (grad * (factor * scores if products else 1)).sum()


def both(lengths, size):
    return causal_mask(size) & padding_mask(lengths, size)


GIB = 2**30

RIGHT = [
    (ex.check_bytes, (GIB, 16)),
    (ex.check_batch_mask, (both,)),
    (ex.check_window_mask, (window,)),
    (ex.check_streaming_attention, (streaming,)),
    (ex.check_scale_gradient, (scale_gradient,)),
]

WRONG = [
    ("there is nothing to check", ex.check_bytes, (..., ...)),
    ("the batch of 2", ex.check_bytes, (GIB // 2, 16)),
    ("the 8 heads", ex.check_bytes, (GIB // 8, 16)),
    ("the batch and the heads", ex.check_bytes, (GIB // 16, 16)),
    ("takes 4 bytes", ex.check_bytes, (GIB // 4, 16)),
    ("are a square", ex.check_bytes, (GIB // 4096, 16)),
    ("multiply batch, heads", ex.check_bytes, (17, 16)),
    ("in both directions", ex.check_bytes, (GIB, 4)),
    ("queries and keys both grow", ex.check_bytes, (GIB, 8)),
    ("returned nothing", ex.check_batch_mask, (lambda lengths, size: ...,)),
    (
        "combined with |",
        ex.check_batch_mask,
        (lambda lengths, size: causal_mask(size) | padding_mask(lengths, size),),
    ),
    ("the mask is inverted", ex.check_batch_mask, (lambda lengths, size: ~both(lengths, size),)),
    (
        "causal part is missing",
        ex.check_batch_mask,
        (lambda lengths, size: padding_mask(lengths, size) & np.ones((size, size), bool),),
    ),
    (
        "padding part is missing",
        ex.check_batch_mask,
        (lambda lengths, size: np.repeat(causal_mask(size)[None], len(lengths), axis=0),),
    ),
    (
        "forbids the past",
        ex.check_batch_mask,
        (lambda lengths, size: causal_mask(size).T & padding_mask(lengths, size),),
    ),
    (
        "padding rows are forbidden",
        ex.check_batch_mask,
        (lambda lengths, size: causal_mask(size) & np.swapaxes(padding_mask(lengths, size), -1, -2),),
    ),
    (
        "a query in the padding may see",
        ex.check_batch_mask,
        (lambda lengths, size: both(lengths, size) & np.swapaxes(padding_mask(lengths, size), -1, -2),),
    ),
    (
        "the diagonal is missing",
        ex.check_batch_mask,
        (lambda lengths, size: both(lengths, size) & ~np.eye(size, dtype=bool),),
    ),
    (
        "off by one",
        ex.check_batch_mask,
        (lambda lengths, size: np.tri(size, k=1, dtype=bool) & padding_mask(lengths, size),),
    ),
    ("the shape is (5, 5)", ex.check_batch_mask, (lambda lengths, size: causal_mask(size),)),
    ("True and False are expected", ex.check_batch_mask, (lambda n, size: both(n, size).astype(int) * 2,)),
    ("the mask is inverted", ex.check_window_mask, (lambda n, w: ~window(n, w),)),
    (
        "reaches into the future",
        ex.check_window_mask,
        (lambda n, w: np.abs(np.arange(n)[:, None] - np.arange(n)) < w,),
    ),
    ("one key too wide", ex.check_window_mask, (lambda n, w: window(n, w, 1),)),
    ("one key too narrow", ex.check_window_mask, (lambda n, w: window(n, w, -1),)),
    ("key i is missing", ex.check_window_mask, (lambda n, w: window(n, w) & ~np.eye(n, dtype=bool),)),
    ("ends before key i", ex.check_window_mask, (lambda n, w: window(n, w, 1) & ~np.eye(n, dtype=bool),)),
    ("this is the transpose", ex.check_window_mask, (lambda n, w: window(n, w).T,)),
    ("old keys are still allowed", ex.check_window_mask, (lambda n, w: np.tri(n, dtype=bool),)),
    (
        "length 4, window 9",
        ex.check_window_mask,
        (lambda n, w: window(n, w) if w < n else np.eye(n, dtype=bool),),
    ),
    ("not divided by √d", ex.check_streaming_attention, (lambda *a: streaming(*a, scaled=False),)),
    ("not divided by `total`", ex.check_streaming_attention, (lambda *a: streaming(*a, divide=False),)),
    ("multiply both", ex.check_streaming_attention, (lambda *a: streaming(*a, shrink=False),)),
    ("±10 000 overflow", ex.check_streaming_attention, (lambda *a: streaming(*a, stable=False),)),
    ("start at -inf", ex.check_streaming_attention, (lambda *a: streaming(*a, start=0.0),)),
    ("one key with its value", ex.check_streaming_attention, (lambda q, K, V: streaming(q, list(K), list(V)),)),
    (
        "mean of all values",
        ex.check_streaming_attention,
        (lambda q, K, V: np.mean([v for _, v in zip(K, V, strict=True)], axis=0),),
    ),
    ("your code raised", ex.check_streaming_attention, (lambda q, K, V: masked_softmax(K @ q) @ V,)),
    ("is zero: each must", ex.check_scale_gradient, (lambda *a: scale_gradient(*a, products=False),)),
    ("without c", ex.check_scale_gradient, (lambda *a: scale_gradient(*a, factor=a[-1]),)),
    ("leaves out the softmax", ex.check_scale_gradient, (lambda *a: scale_gradient(*a, softmax=False),)),
    ("computed without the scale", ex.check_scale_gradient, (lambda *a: scale_gradient(*a, inner=1.0),)),
    ("add up over all scores", ex.check_scale_gradient, (lambda *a: a[0] @ a[1].T,)),
    ("chain rule", ex.check_scale_gradient, (lambda *a: 2 * scale_gradient(*a),)),
]


@pytest.mark.parametrize(("check", "answers"), RIGHT)
def test_a_right_answer_passes(check, answers, capsys):
    assert check(*answers) is True
    assert capsys.readouterr().out.startswith("Correct: ")


@pytest.mark.parametrize(("message", "check", "answers"), WRONG)
def test_a_wrong_answer_is_named(message, check, answers, capsys):
    assert check(*answers) is None
    said = capsys.readouterr().out
    assert said.startswith("Not yet: ")
    assert message in said
