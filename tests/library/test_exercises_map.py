"""The checks of "A map of attention": right answers pass, each typical mistake is named."""

import numpy as np
import pytest

from attnlib.exercises import map as ex
from attnlib.numpy import block_local_mask, causal_mask, global_token_mask, sliding_window_mask


def first_heard(mask, layers):
    known = np.zeros(len(mask), bool)
    known[-1] = True
    for _ in range(layers):
        known = known | mask[known].any(axis=0)
    return int(np.argmax(known))


def first_heard_upwards(mask, layers):  # the same from the bottom layer up
    heard = np.eye(len(mask), dtype=bool)
    for _ in range(layers):
        heard = (mask | np.eye(len(mask), dtype=bool)) @ heard
    return np.argmax(heard[-1])


def along_columns(mask, layers):
    return first_heard(mask.T, layers)


def forgetful(mask, layers):
    known = np.zeros(len(mask), bool)
    known[-1] = True
    for _ in range(layers):
        known = mask[known].any(axis=0)
    return int(np.argmax(known)) if known.any() else len(mask) - 1


def cached(length, layers, every, kv_heads, head_dim, window):
    full = layers // every
    return 2 * kv_heads * head_dim * (full * length + (layers - full) * min(length, window))


def counted(positions):
    """A wrong answer to exercise 3: `positions(length, full, local, window)` for each, times 2 · heads · width."""

    def answer(length, layers, every, kv_heads, head_dim, window):
        full = layers // every
        return 2 * kv_heads * head_dim * positions(length, full, layers - full, window)

    return answer


def reinforce(p, drawn, losses, baseline):
    return np.mean((losses - baseline)[:, None] * (np.eye(len(p))[drawn] - p), axis=0)


def estimate(each):
    """A wrong answer to exercise 4: the mean of `each(hits, p, losses, baseline)`."""
    return lambda p, drawn, losses, baseline: np.mean(each(np.eye(len(p))[drawn], p, losses[:, None], baseline), axis=0)


def blocks(n):
    block = int(np.ceil(np.sqrt(n)))
    return causal_mask(n) & (block_local_mask(n, block=block) | (np.arange(n) % block == block - 1))


RIGHT = [
    (ex.check_pencil, (5, 90)),
    (ex.check_first_heard, (first_heard,)),
    (ex.check_first_heard, (first_heard_upwards,)),
    (ex.check_cached_numbers, (cached,)),
    (ex.check_reinforce, (reinforce,)),
    (ex.check_pattern, (blocks,)),
    (ex.check_pattern, (lambda n: causal_mask(n) & global_token_mask(n, tokens=[0]) | blocks(n),)),
]

WRONG = {
    "there is nothing to check": (ex.check_pencil, (..., ...)),
    "five keys are four steps": (ex.check_pencil, (4, 90)),
    "round up": (ex.check_pencil, (19 / 4, 90)),
    "19 places to go": (ex.check_pencil, (7, 90)),
    "the first tokens have fewer": (ex.check_pencil, (5, 100)),
    "without its window": (ex.check_pencil, (5, 210)),
    "add up the rows": (ex.check_pencil, (5, 91)),
    "It is one number": (ex.check_pencil, ([5], 90)),
    "returned nothing": (ex.check_first_heard, (lambda mask, layers: ...,)),
    "along columns": (ex.check_first_heard, (along_columns,)),
    "only one layer": (ex.check_first_heard, (lambda mask, layers: first_heard(mask, min(layers, 1)),)),
    "count from 0": (ex.check_first_heard, (lambda mask, layers: first_heard(mask, layers) + 1,)),
    "how far back": (ex.check_first_heard, (lambda mask, layers: len(mask) - 1 - first_heard(mask, layers),)),
    "how many positions": (ex.check_first_heard, (lambda mask, layers: len(mask) - first_heard(mask, layers),)),
    "three places back": (ex.check_first_heard, (lambda mask, layers: 3,)),
    "has heard of itself": (ex.check_first_heard, (lambda mask, layers: first_heard(mask, max(layers, 2)),)),
    "nothing before position 0": (
        ex.check_first_heard,
        (lambda mask, layers: len(mask) - 1 - 3 * layers,),
    ),
    "the residual connection": (ex.check_first_heard, (forgetful,)),
    "directly or not, does not count": (
        ex.check_first_heard,
        (lambda mask, layers: 0 if len(mask) == 5 else first_heard(mask, layers),),
    ),
    "keys *and* values": (ex.check_cached_numbers, (lambda *a: cached(*a) // 2,)),
    "every layer is counted as full": (ex.check_cached_numbers, (counted(lambda t, f, loc, w: (f + loc) * t),)),
    "every layer is counted as local": (ex.check_cached_numbers, (counted(lambda t, f, loc, w: (f + loc) * w),)),
    "full and local are swapped": (ex.check_cached_numbers, (counted(lambda t, f, loc, w: loc * t + f * w),)),
    "one layer of each kind": (ex.check_cached_numbers, (counted(lambda t, f, loc, w: t + w),)),
    "counted twice": (ex.check_cached_numbers, (counted(lambda t, f, loc, w: f * t + (f + loc) * w),)),
    "how far apart": (
        ex.check_cached_numbers,
        (lambda t, layers, every, h, d, w: 2 * h * d * (every * t + (layers - every) * w),),
    ),
    "`kv_heads` is not used": (
        ex.check_cached_numbers,
        (lambda t, layers, every, h, d, w: cached(t, layers, every, 1, d, w),),
    ),
    "not 71": (ex.check_cached_numbers, (counted(lambda t, f, loc, w: f * t + loc * (w + 1)),)),
    "not 69": (ex.check_cached_numbers, (counted(lambda t, f, loc, w: f * t + loc * (w - 1)),)),
    "does not fill it": (ex.check_cached_numbers, (counted(lambda t, f, loc, w: f * t + loc * w),)),
    "for every position kept": (ex.check_cached_numbers, (lambda *a: 3 * cached(*a),)),
    "baseline is not used": (ex.check_reinforce, (estimate(lambda hits, p, loss, b: loss * (hits - p)),)),
    "weights are not subtracted": (ex.check_reinforce, (estimate(lambda hits, p, loss, b: (loss - b) * hits),)),
    "the sign": (ex.check_reinforce, (estimate(lambda hits, p, loss, b: (b - loss) * (hits - p)),)),
    "take their mean": (ex.check_reinforce, (lambda p, drawn, *rest: len(drawn) * reinforce(p, drawn, *rest),)),
    "log p with respect to p": (
        ex.check_reinforce,
        (estimate(lambda hits, p, loss, b: (loss - b) * hits / p),),
    ),
    "the baseline that is given": (
        ex.check_reinforce,
        (estimate(lambda hits, p, loss, b: (loss - loss.mean()) * (hits - p)),),
    ),
    "the baseline is added": (
        ex.check_reinforce,
        (estimate(lambda hits, p, loss, b: (loss + b) * (hits - p)),),
    ),
    "One number for each score": (ex.check_reinforce, (lambda p, *rest: reinforce(p, *rest).mean(),)),
    "the shape is": (ex.check_pattern, (lambda n: np.ones(n, bool),)),
    "True and False are expected": (ex.check_pattern, (lambda n: blocks(n).astype(int),)),
    "looks ahead": (ex.check_pattern, (lambda n: np.ones((n, n), bool),)),
    "has not heard of": (ex.check_pattern, (lambda n: sliding_window_mask(n, left=5),)),
    "now make it sparser": (ex.check_pattern, (causal_mask,)),
}


@pytest.mark.parametrize(("check", "answers"), RIGHT)
def test_a_right_answer_passes(check, answers, capsys):
    assert check(*answers) is True
    assert capsys.readouterr().out.startswith("Correct: ")


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_answer_is_named(message, capsys):
    check, answers = WRONG[message]
    assert check(*answers) is None
    said = capsys.readouterr().out
    assert said.startswith("Not yet: ")
    assert message in said
