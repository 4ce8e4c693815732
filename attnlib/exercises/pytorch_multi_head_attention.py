"""Checks for the exercises of the chapter "Multi-head attention (PyTorch)"."""

import torch

from attnlib.exercises._answers import as_array, exercise, require, require_shape, run, same, same_values


def _normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@exercise
def check_seen(seen):
    """Exercise 1: the tokens that change token 7, of twelve with four heads and no transpose."""
    seen = as_array(list(seen) if isinstance(seen, set | frozenset) else seen, "the tokens")
    require(seen.ndim == 1, "give a list of tokens, such as [0, 1].")
    require(same_values(seen, seen.astype(int)), "a token is a whole number, from 0 to 11.")
    came = sorted({int(token) for token in seen})
    right = [6, 7, 8]
    for mistake, message in (
        (list(range(12)), "that is what it should see: without the transpose each head holds some tokens only."),
        ([7], "a head holds 12 / 4 tokens, not a single one."),
        ([4, 5, 6, 7], "a head holds 12 / 4 = 3 tokens, not 4."),
        ([3, 7, 11], "the numbers are counted off in order: a head holds neighbours."),
        ([6, 7], "no mask is used: later tokens of the same head are seen as well."),
        ([5, 6, 7], "the heads begin at tokens 0, 3, 6 and 9: which of these is 7 in?"),
        ([7, 8, 9], "the heads begin at tokens 0, 3, 6 and 9: which of these is 7 in?"),
    ):
        require(came != mistake, message)
    require(7 in came, "token 7 sees itself.")
    require(came == right, "12 tokens are dealt to 4 heads in order, 3 to each: which are in the head of token 7?")
    return "token 7 is in head 2, with 6 and 8."


@exercise
def check_merge_heads(answer):
    """Exercise 2: `merge_heads(x)`, `[batch, heads, length, head_dim] -> [batch, length, heads * head_dim]`."""
    x = _normal(2, 3, 5, 7)
    right = x.transpose(1, 2).flatten(2)
    got = run(answer, x)
    message = "without a transpose the numbers are counted off in the wrong order: length must come before heads."
    require(not same_values(got, x.reshape(2, 5, 21)), message)
    message = "the entries of the heads are mixed: head 0 comes first as a whole, then head 1."
    require(not same_values(got, x.permute(0, 2, 3, 1).flatten(2)), message)
    require(not same_values(got, x.transpose(1, 2)), "join the last two axes: one vector for each token.")
    same(got, right, "the merged heads", hint="first [batch, length, heads, head_dim], then one axis of the last two.")
    return "token by token, head 0 first."


def _attention(axis):
    def attention(q, k, v):
        return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, dim=axis) @ v

    return attention


def _scaled(q, k, v):  # every weight a tenth too large
    return 1.1 * _attention(-1)(q, k, v)


@exercise
def check_adds_up_to_one(answer):
    """Exercise 3: `adds_up_to_one(attention)` without looking at the weights."""
    attentions = {
        "right": _attention(-1),
        "over the queries": _attention(-2),
        "over the heads": _attention(1),
        "scaled": _scaled,
    }
    verdicts = {}
    for name, attention in attentions.items():
        got = run(answer, attention)
        require(getattr(got, "ndim", 0) == 0 and got in (True, False), "return True or False.")
        verdicts[name] = bool(got)
    turned = verdicts == {name: name != "right" for name in attentions}
    require(not turned, "the answer is the wrong way round.")
    require(verdicts["right"], "the right attention fails: with which values is the weighted mean known beforehand?")
    for name in ("over the queries", "over the heads"):
        message = f"a softmax {name} passes: let every value be the same, and ask for it back, at every query."
        require(not verdicts[name], message)
    message = "weights that add up to 1.1 pass: compare the output with the value itself."
    require(not verdicts["scaled"], message)
    return "a mean of equal values is that value, and only if the weights add up to one."


@exercise
def check_for_torch(answer):
    """Exercise 4: `for_torch(mask)`, a mask for each head as the `attn_mask` of `nn.MultiheadAttention`."""
    mask = _normal(2, 3, 5, 7) > 0
    right = ~mask.flatten(0, 1)
    got = run(answer, mask)
    message = "True still means may attend: `nn.MultiheadAttention` means the opposite."
    require(not same_values(got, mask.flatten(0, 1)) and not same_values(got, mask), message)
    require(not same_values(got, ~mask), "batch and heads belong in one axis: [batch * heads, q_len, k_len].")
    message = "the heads come first here: the first `heads` masks must be those of example 0."
    require(not same_values(got, ~mask.transpose(0, 1).flatten(0, 1)), message)
    same(got, right, "the mask", hint="turn True and False round, and join the first two axes.")
    return "batch first, then heads, and True forbids."


@exercise
def check_cache_size(shared, not_shared):
    """Exercise 5: the cache of 8192 tokens in GiB, with 8 and with 32 heads of keys and values."""
    for mistake, message in (
        (0.5, "keys *and* values are kept: twice as much."),
        (2.0, "a number takes two bytes, not four."),
        (2**30, "GiB are asked for: divide by 2 ** 30."),
        (4.0, "this is for 32 heads: 8 of keys and values are kept."),
        (1.0 / 32, "every layer keeps its own: there are 32."),
        (8.0, "heads of queries are not kept, and keys and values have 8 heads."),
        (2**30 / 1e9, "a GiB is 2 ** 30 bytes, not 10 ** 9."),
    ):
        require(not same_values(shared, mistake), message)
    hint = "2 (keys, values) * layers * heads * entries * tokens * bytes."
    same(shared, 1.0, "the cache with sharing", hint=hint)
    same(not_shared, 4.0, "the cache without sharing", hint="then each of the 32 query heads has its own.")
    return "1 GiB instead of 4, for a single text."


@exercise
def check_pooled(answer):
    """Exercise 6: `pooled(w_key, num_heads, num_kv_heads)`, the mean over each group of heads."""
    w = _normal(5, 6 * 3)  # d_model 5, six heads of 3
    heads = w.unflatten(1, (2, 3, 3))  # [d_model, kv heads, group, head_dim]
    right = heads.mean(dim=2).flatten(1)
    got = run(answer, w, 6, 2)
    require_shape(got, (5, 6), "the pooled matrix", hint="num_kv_heads * head_dim columns.")
    for mistake, message in (
        (heads.sum(dim=2), "this is the sum of each group, the mean is asked for."),
        (heads[:, :, 0], "this takes the first head of each group, the mean is asked for."),
        (
            w.unflatten(1, (3, 2, 3)).mean(dim=1),
            "heads 0, 2, 4 are grouped: a group is of neighbours, heads 0, 1, 2.",
        ),
        (
            w.unflatten(1, (2, 3, 3)).mean(dim=3),
            "the mean runs over the entries of each head: it must run over the heads of a group.",
        ),
    ):
        require(not same_values(got, mistake.flatten(1)), message)
    same(got, right, "the pooled matrix", hint="[d_model, kv heads, group, head_dim], and the mean along the group.")
    return "each shared head begins as the mean of its group."
