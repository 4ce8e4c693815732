"""Checks for the exercises of the chapter "A map of attention"."""

import numpy as np

from attnlib.exercises._answers import as_array, exercise, require, require_shape, run, same, same_values
from attnlib.numpy import causal_mask, sliding_window_mask


@exercise
def check_pencil(layers, pairs):
    """Exercise 1: layers from the first token to the last, and allowed pairs, for a causal window of five keys."""
    require_shape(layers, (), "the layers", hint="It is one number.")
    require_shape(pairs, (), "the pairs", hint="It is one number.")
    require(not same_values(layers, 4), "the layers: five keys are four steps back, because one of them is the token.")
    require(not same_values(layers, 4.75), "the layers: there is no three quarters of a layer; round up.")
    same(layers, 5, "the layers", hint="19 places to go, 4 in each layer.")
    require(not same_values(pairs, 100), "the pairs: the first tokens have fewer than four before them.")
    require(not same_values(pairs, 210), "the pairs: that is the causal mask without its window.")
    same(pairs, 90, "the pairs", hint="add up the rows: 1, 2, 3, 4, and then 5 each.")
    return "four places a layer, and the first rows are short."


@exercise
def check_first_heard(answer):
    """Exercise 2: `first_heard(mask, layers)`, the earliest position that reaches the last token."""
    window = sliding_window_mask(17, left=3)  # no two of the numbers below are the same
    got = as_array(run(answer, window, 2), "the position")
    require_shape(got, (), "the position", hint="It is one number.")
    require(
        not same_values(got, 16),
        "`mask[i, j]` says that i sees j: the rows are the queries. Yours looks along columns.",
    )
    require(not same_values(got, 13), "only one layer was walked: whom do those see that the last token sees?")
    require(not same_values(got, 11), "positions count from 0, and so does the answer: this is off by one.")
    require(not same_values(got, 6), "that is how far back the news comes from: the position itself is wanted.")
    require(not same_values(got, 7), "that is how many positions were heard of: the earliest of them is wanted.")
    same(got, 10, "the earliest position after two layers", hint="this mask reaches three places back in a layer.")
    same(as_array(run(answer, window, 0)), 16, "without any layer", hint="the last token has heard of itself.")
    same(as_array(run(answer, window, 9)), 0, "after many layers", hint="there is nothing before position 0.")
    others = np.zeros((5, 5), bool)  # nobody sees itself; 4 sees 2, 2 sees 4, and 3 sees 0
    others[4, 2] = others[2, 4] = others[3, 0] = True
    got = as_array(run(answer, others, 2))
    require(not same_values(got, 4), "what was heard is kept: the residual connection carries it past a layer.")
    require(not same_values(got, 0), "a token that the last one does not see, directly or not, does not count.")
    same(got, 2, "where no token sees itself", hint="the last token sees position 2 only.")
    return "each layer adds what the ones already heard have seen."


@exercise
def check_cached_numbers(answer):
    """Exercise 3: `cached_numbers(length, layers, every, kv_heads, head_dim, window)`."""
    arguments = (1000, 12, 4, 3, 5, 70)
    got = as_array(run(answer, *arguments), "the count")
    require_shape(got, (), "the count", hint="It is one number.")
    positions = 3 * 1000 + 9 * 70
    mistakes = {
        "keys *and* values are cached: twice as many.": 15 * positions,
        "every layer is counted as full: most keep a window only.": 30 * 12 * 1000,
        "every layer is counted as local: every fourth is full.": 30 * 12 * 70,
        "full and local are swapped: one layer of each group is full, the others are local.": 30 * (9 * 1000 + 3 * 70),
        "this is the cache of one layer of each kind: count how many layers of each there are.": 30 * 1070,
        "the full layers are counted twice: they keep no window besides.": 30 * (3 * 1000 + 12 * 70),
        "`every` says how far apart the full layers are, not how many they are.": 30 * (4 * 1000 + 8 * 70),
        "each head of keys has its own cache: `kv_heads` is not used.": 10 * positions,
        "a window of 70 keys has the token's own among them: 70 positions are kept, not 71.": 30 * (3000 + 9 * 71),
        "a window of 70 keys has the token's own among them: 70 positions are kept, not 69.": 30 * (3000 + 9 * 69),
    }
    for message, mistake in mistakes.items():
        require(not same_values(got, mistake, tolerance=1e-9), message)
    same(got, 30 * positions, "the count", hint="2 · kv_heads · head_dim for every position kept.", tolerance=1e-9)
    got = as_array(run(answer, 50, 12, 4, 3, 5, 70), "the count")
    require(
        not same_values(got, 30 * (3 * 50 + 9 * 70), tolerance=1e-9),
        "a text shorter than the window does not fill it: the smaller of the two is kept.",
    )
    same(got, 30 * 12 * 50, "the count for a text shorter than the window", tolerance=1e-9)
    return "after a while only the full layers grow."


@exercise
def check_reinforce(answer):
    """Exercise 4: `reinforce(p, drawn, losses, baseline)`, the gradient with respect to the scores."""
    rng = np.random.default_rng(11)
    p = np.array([0.5, 0.2, 0.2, 0.1])
    drawn, losses, baseline = rng.choice(4, size=7, p=p), rng.normal(3, 1, size=7), 2.0
    hits = np.eye(4)[drawn]
    centred = (losses - baseline)[:, None]
    expected = np.mean(centred * (hits - p), axis=0)
    got = run(answer, p, drawn, losses, baseline)
    require_shape(got, (4,), "the gradient", hint="One number for each score: the mean over the draws.")
    mistakes = {
        "the baseline is not used.": np.mean(losses[:, None] * (hits - p), axis=0),
        "the weights are not subtracted: a score also lowers the other keys' weights.": np.mean(centred * hits, axis=0),
        "the sign: this is the step to take, not the gradient of the loss.": -expected,
        "the draws are added up: take their mean.": 7 * expected,
        "that is the gradient of log p with respect to p, not to the scores.": np.mean(centred * hits / p, axis=0),
        "that is the mean of the losses: use the baseline that is given.": np.mean(
            (losses - losses.mean())[:, None] * (hits - p), axis=0
        ),
        "the baseline is added: subtract it from the losses.": np.mean(
            (losses + baseline)[:, None] * (hits - p), axis=0
        ),
    }
    for message, mistake in mistakes.items():
        require(not same_values(got, mistake), message)
    same(got, expected, "the gradient", hint="the mean of (loss - baseline) times (one-hot of the draw - p).")
    return "right on average, from draws and their losses alone."


@exercise
def check_pattern(answer):
    """Exercise 5: `pattern(n)`, causal, path length at most two, at most 4 n √n pairs."""
    for n in (49, 60, 100):
        mask = as_array(run(answer, n), "the mask")
        require_shape(mask, (n, n), f"the mask for n = {n}")
        require(mask.dtype == bool, f"the mask: True and False are expected, not {mask.dtype}.")
        require(not np.triu(mask, 1).any(), "the pattern looks ahead: `& attn.causal_mask(n)` makes it causal.")
        once = (mask | np.eye(n, dtype=bool)).astype(np.int64)
        missing = np.argwhere((once @ once == 0) & causal_mask(n))
        require(
            len(missing) == 0,
            f"for n = {n}, position {missing[0][0] if len(missing) else 0} has not heard of position "
            f"{missing[0][1] if len(missing) else 0} after two layers. Who could pass it on?",
        )
        require(
            mask.sum() <= 4 * n * np.sqrt(n),
            f"for n = {n} the pattern allows {mask.sum()} pairs; at most {int(4 * n * np.sqrt(n))} are wanted. "
            "It does its work: now make it sparser.",
        )
    return "two layers connect everybody, at the price of about n √n pairs."
