"""The exercises of "Multi-head attention (PyTorch)": right answers pass, typical mistakes are named."""

import pytest
import torch

from attnlib.exercises import pytorch_multi_head_attention as ex


def ones_come_back(attention):
    q, k = torch.randn(2, 2, 3, 5, 4)
    return torch.allclose(attention(q, k, torch.ones_like(k)), torch.ones_like(k))


def total_is_right(attention):  # adding up over the queries, so that a softmax over them looks right
    q, k = torch.randn(2, 2, 3, 5, 4)
    return torch.allclose(attention(q, k, torch.ones_like(k)).sum(-2), torch.full((2, 3, 4), 5.0))


def equal_everywhere(attention):  # a constant output, whatever the constant
    q, k = torch.randn(2, 2, 3, 5, 4)
    output = attention(q, k, torch.ones_like(k))
    return torch.allclose(output, output[:1, :1, :1, :1].expand_as(output))


def mean_of_group(w, heads, kv_heads):
    return w.unflatten(1, (kv_heads, heads // kv_heads, -1)).mean(dim=2).flatten(1)


ANSWERS = [
    (ex.check_seen, ([6, 7, 8],)),
    (ex.check_seen, ([8, 7, 6],)),
    (ex.check_seen, ({6, 7, 8},)),
    (ex.check_seen, (range(6, 9),)),
    (ex.check_merge_heads, (lambda x: x.transpose(1, 2).flatten(2),)),
    (ex.check_merge_heads, (lambda x: torch.cat(list(x.unbind(1)), dim=-1),)),
    (ex.check_adds_up_to_one, (ones_come_back,)),
    (ex.check_for_torch, (lambda mask: ~mask.flatten(0, 1),)),
    (ex.check_for_torch, (lambda mask: torch.cat([~m for m in mask]),)),
    (ex.check_cache_size, (1.0, 4.0)),
    (ex.check_pooled, (mean_of_group,)),
]

MISTAKES = [
    (ex.check_seen, (list(range(12)),), "what it should see"),
    (ex.check_seen, ([7],), "not a single one"),
    (ex.check_seen, ([4, 5, 6, 7],), "not 4"),
    (ex.check_seen, ([3, 7, 11],), "a head holds neighbours"),
    (ex.check_seen, ([6, 7],), "later tokens"),
    (ex.check_seen, ([5, 6, 7],), "begin at tokens 0, 3, 6 and 9"),
    (ex.check_seen, ([7, 8, 9],), "begin at tokens 0, 3, 6 and 9"),
    (ex.check_seen, ([6, 8],), "sees itself"),
    (ex.check_seen, ([7, 8],), "3 to each"),
    (ex.check_seen, (7,), "give a list"),
    (ex.check_seen, ([6.5, 7.0, 8.0],), "a whole number"),
    (ex.check_seen, ({"6", 7},), "numbers are expected"),
    (ex.check_merge_heads, (lambda x: x.reshape(2, 5, 21),), "without a transpose"),
    (ex.check_merge_heads, (lambda x: x.permute(0, 2, 3, 1).flatten(2),), "mixed"),
    (ex.check_merge_heads, (lambda x: x.transpose(1, 2),), "one vector for each token"),
    (ex.check_merge_heads, (lambda x: x.flatten(1, 2),), "the shape is (2, 15, 7)"),
    (ex.check_merge_heads, (lambda x: 2 * x.transpose(1, 2).flatten(2),), "the merged heads"),
    (ex.check_adds_up_to_one, (lambda attention: not ones_come_back(attention),), "wrong way round"),
    (ex.check_adds_up_to_one, (lambda attention: False,), "the right attention fails"),
    (ex.check_adds_up_to_one, (lambda attention: True,), "over the queries passes"),
    (ex.check_adds_up_to_one, (total_is_right,), "over the queries passes"),
    (ex.check_adds_up_to_one, (equal_everywhere,), "add up to 1.1"),
    (ex.check_adds_up_to_one, (lambda attention: torch.ones(3),), "return True or False"),
    (ex.check_for_torch, (lambda mask: mask.flatten(0, 1),), "means the opposite"),
    (ex.check_for_torch, (lambda mask: mask,), "means the opposite"),
    (ex.check_for_torch, (lambda mask: ~mask,), "in one axis"),
    (ex.check_for_torch, (lambda mask: ~mask.transpose(0, 1).flatten(0, 1),), "those of example 0"),
    (ex.check_for_torch, (lambda mask: (~mask.flatten(0, 1)).double(),), "True and False are expected"),
    (ex.check_cache_size, (0.5, 4.0), "keys *and* values"),
    (ex.check_cache_size, (2.0, 4.0), "not four"),
    (ex.check_cache_size, (2**30, 2**32), "divide by 2 ** 30"),
    (ex.check_cache_size, (4.0, 4.0), "this is for 32 heads"),
    (ex.check_cache_size, (1 / 32, 4 / 32), "every layer"),
    (ex.check_cache_size, (8.0, 4.0), "are not kept"),
    (ex.check_cache_size, (2**30 / 1e9, 4.0), "not 10 ** 9"),
    (ex.check_cache_size, (3.0, 4.0), "keys, values) * layers"),
    (ex.check_cache_size, (1.0, 1.0), "has its own"),
    (ex.check_pooled, (lambda w, h, g: w.unflatten(1, (g, h // g, -1)).sum(2).flatten(1),), "the sum"),
    (ex.check_pooled, (lambda w, h, g: w.unflatten(1, (g, h // g, -1))[:, :, 0].flatten(1),), "first head"),
    (ex.check_pooled, (lambda w, h, g: w.unflatten(1, (h // g, g, -1)).mean(1).flatten(1),), "of neighbours"),
    (ex.check_pooled, (lambda w, h, g: w.unflatten(1, (h, -1)).mean(2),), "the entries of each head"),
    (ex.check_pooled, (lambda w, h, g: w.unflatten(1, (g, h // g, -1)).mean(2),), "columns"),
    (ex.check_pooled, (lambda w, h, g: 3 * mean_of_group(w, h, g) + 1,), "the mean along the group"),
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
    stubs = (...,) * (2 if check is ex.check_cache_size else 1)
    assert check(*stubs) is None
    assert "replace the `...`" in capsys.readouterr().out
