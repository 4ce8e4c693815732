"""The recurrent model: padding and the future change nothing, and steps repeat what one call says."""

import pytest
import torch

from attnlib.models.seq2seq import KINDS, Seq2Seq

FRAMEWORK = "torch"
START, END = 1, 2
SOURCE = torch.tensor([[3, 7, 4, 6, 5], [5, 3, 6, 0, 0], [4, 4, 0, 0, 0]])
LENGTHS = torch.tensor([5, 3, 2])
PREVIOUS = torch.tensor([[1, 5, 4, 8], [1, 3, 9, 9], [1, 7, 0, 0]])
each_kind = pytest.mark.parametrize("kind", KINDS)


def make(kind):
    torch.manual_seed(3)
    return Seq2Seq(8, 11, kind, units=6, width=5, half_width=1).double()


def close(a, b):
    return torch.allclose(a, b, rtol=0, atol=1e-12)


@each_kind
def test_shapes_and_weights(kind):
    logits, weights = make(kind)(SOURCE, LENGTHS, PREVIOUS, return_weights=True)
    assert logits.shape == (3, 4, 11) and weights.shape == (3, 4, 5)
    assert (weights[1, :, 3:] == 0).all() and (weights[2, :, 2:] == 0).all()
    sums = weights.sum(dim=-1)
    if kind == "none":
        assert (weights == 0).all()
    elif kind in ("additive", "global"):
        assert close(sums, torch.ones_like(sums))
    else:  # a window may lie beyond a short word, and local-p's bell takes from the sum
        assert (sums < 1 + 1e-12).all() and (weights[0, 0] > 0).sum() <= 3


@each_kind
def test_more_padding_changes_nothing(kind):
    model = make(kind)
    longer = torch.nn.functional.pad(SOURCE, (0, 3))
    assert close(model(longer, LENGTHS, PREVIOUS), model(SOURCE, LENGTHS, PREVIOUS))


@each_kind
def test_a_word_does_not_depend_on_its_batch(kind):
    model = make(kind)
    together = model(SOURCE, LENGTHS, PREVIOUS)
    for i, n in enumerate(LENGTHS):
        alone = model(SOURCE[i : i + 1, :n], LENGTHS[i : i + 1], PREVIOUS[i : i + 1])
        assert close(alone[0], together[i])


@each_kind
def test_a_step_does_not_see_what_comes_after_it(kind):
    model, other = make(kind), PREVIOUS.clone()
    other[:, 2] = 10
    before, after = model(SOURCE, LENGTHS, PREVIOUS), model(SOURCE, LENGTHS, other)
    assert close(before[:, :2], after[:, :2]) and not close(before[:, 2], after[:, 2])


@each_kind
def test_greedy_decoding_writes_what_one_call_says(kind):
    model = make(kind)
    numbers, weights = model.greedy(SOURCE, LENGTHS, start=START, end=END, max_len=6)
    previous = torch.nn.functional.pad(numbers[:, :-1], (1, 0), value=START)
    logits, at_once = model(SOURCE, LENGTHS, previous, return_weights=True)
    assert torch.equal(logits.argmax(dim=-1), numbers) and close(at_once, weights)


def test_greedy_decoding_stops_when_all_have_ended():
    model = make("global")
    with torch.no_grad():
        model.score.bias[END] = 50.0
    numbers, _ = model.greedy(SOURCE, LENGTHS, start=START, end=END, max_len=6)
    assert numbers.tolist() == [[END]] * 3


@each_kind
def test_every_parameter_gets_a_gradient(kind):
    model = make(kind)
    model(SOURCE, LENGTHS, PREVIOUS).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_without_attention_both_ends_of_the_word_are_read():
    model = make("none")
    memory, mask, _ = model.encode(SOURCE, LENGTHS)
    summary, _ = model.decoder.attention(memory[:, :1], memory, attention_mask=mask[:, None], return_weights=True)
    assert torch.equal(summary[1, 0], torch.cat([memory[1, 2, :3], memory[1, 0, 3:]]))


def test_the_seed_is_pytorchs():
    assert torch.equal(make("local-p").decoder.w_combine, make("local-p").decoder.w_combine)


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="kind must be one of none, additive, global, local-m, local-p: got 'hard'"):
        Seq2Seq(8, 11, "hard")
    with pytest.raises(ValueError, match="units must be even, half for each direction: got 7"):
        Seq2Seq(8, 11, "none", units=7)
