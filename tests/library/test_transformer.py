"""The transformer: padding, neighbours and the future change nothing, and steps repeat what one call says."""

import pytest
import torch
import torch.nn.functional as F

import attnlib.torch as attn
from attnlib.models.transformer import POSITIONS, Transformer

FRAMEWORK = "torch"
START, END = 1, 2
SOURCE = torch.tensor([[3, 7, 4, 6, 5], [5, 3, 6, 0, 0], [4, 4, 0, 0, 0]])
LENGTHS = torch.tensor([5, 3, 2])
PREVIOUS = torch.tensor([[1, 5, 4, 8], [1, 3, 9, 9], [1, 7, 0, 0]])
SIZES = {"d_model": 8, "num_heads": 2, "d_hidden": 6}
each_kind = pytest.mark.parametrize("norm, positions", [(n, p) for n in ("pre", "post") for p in POSITIONS])


def make(norm="pre", positions="sinusoidal", depth=2):
    """A model of which no parameter is zero, where a mistake could hide."""
    torch.manual_seed(3)
    model = Transformer(8, 11, **SIZES, depth=depth, norm=norm, positions=positions).double()
    for p in model.parameters():
        p.data += 0.3 * torch.randn_like(p)
    return model


def close(a, b):
    return torch.allclose(a, b, rtol=0, atol=1e-12)


@each_kind
def test_shapes_weights_and_gradients(norm, positions):
    model = make(norm, positions, depth=3)
    assert len(model.encoder) == len(model.decoder) == 3
    logits, weights = model(SOURCE, LENGTHS, PREVIOUS, return_weights=True)
    assert logits.shape == (3, 4, 11) and weights.shape == (3, 2, 4, 5)
    assert (weights[1, ..., 3:] == 0).all() and close(weights.sum(dim=-1), torch.ones(3, 2, 4).double())
    assert close(logits, model(SOURCE, LENGTHS, PREVIOUS))
    logits.square().sum().backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    assert all(g is not None and g.isfinite().all() and g.any() for g in gradients.values())


@each_kind
def test_padding_neighbours_and_the_future_change_nothing(norm, positions):
    model = make(norm, positions)
    logits = model(SOURCE, LENGTHS, PREVIOUS)
    assert close(model(F.pad(SOURCE, (0, 3)), LENGTHS, PREVIOUS), logits)
    assert close(model(torch.where(SOURCE == 0, 6, SOURCE), LENGTHS, PREVIOUS), logits)
    for i, n in enumerate(LENGTHS):
        assert close(model(SOURCE[i : i + 1, :n], LENGTHS[i : i + 1], PREVIOUS[i : i + 1])[0], logits[i])
    for place in range(4):
        changed = PREVIOUS.clone()
        changed[:, place] = 10
        later = model(SOURCE, LENGTHS, changed)
        assert close(later[:, :place], logits[:, :place]) and not close(later[:, place], logits[:, place])


@each_kind
def test_the_order_of_what_is_read_counts_unless_there_are_no_positions(norm, positions):
    model = make(norm, positions)
    turned = SOURCE[:1].flip(1)
    assert close(model(turned, LENGTHS[:1], PREVIOUS[:1]), model(SOURCE[:1], LENGTHS[:1], PREVIOUS[:1])) == (
        positions == "none"
    )


@each_kind
def test_steps_with_caches_repeat_one_call(norm, positions):
    model = make(norm, positions)
    memory, mask = model.encode(SOURCE, LENGTHS)
    caches = [attn.KVCache() for _ in model.decoder]
    steps = [model.decode(PREVIOUS[:, i : i + n], memory, mask, caches=caches) for i, n in ((0, 1), (1, 2), (3, 1))]
    assert close(torch.cat(steps, dim=1), model.decode(PREVIOUS, memory, mask))


def test_greedy_takes_the_likeliest_and_stops():
    model = make()
    written = model.greedy(SOURCE, LENGTHS, start=START, end=END, max_len=6)
    read = F.pad(written[:, :-1], (1, 0), value=START)
    assert torch.equal(model(SOURCE, LENGTHS, read).argmax(dim=-1), written) and written.shape == (3, 6)
    model.score.bias.data[END] += 1e6
    assert model.greedy(SOURCE, LENGTHS, start=START, end=END, max_len=6).tolist() == [[END]] * 3


def test_rotary_sees_distances_only():
    """Padding in front that is masked moves all places alike: the real ones come out the same."""
    model = make(positions="rotary")
    x = torch.randn(1, 5, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for block in model.encoder:
        moved = block(x, positions=torch.arange(7, 12))
        assert close(moved, block(x))


def test_it_is_the_formula_written_out():
    model = make(depth=1)
    encoder, decoder = model.encoder[0], model.decoder[0]
    waves = attn.sinusoidal_positions(5, 8, dtype=torch.float64)
    x = model.read.weight[SOURCE] * 8**0.5 + waves
    kept = (torch.arange(5) < LENGTHS[:, None])[:, None]
    h = encoder.attention_norm(x)
    x = x + encoder.attention(h, attention_mask=kept)
    memory = model.encoder_norm(x + encoder.feed_forward(encoder.feed_forward_norm(x)))
    y = model.write.weight[PREVIOUS] * 8**0.5 + waves[:4]
    y = y + decoder.attention(decoder.attention_norm(y), causal=True)
    y = y + decoder.cross_attention(decoder.cross_attention_norm(y), memory, attention_mask=kept)
    y = y + decoder.feed_forward(decoder.feed_forward_norm(y))
    logits = model.decoder_norm(y) @ model.score.weight.T + model.score.bias
    assert close(model(SOURCE, LENGTHS, PREVIOUS), logits)


def test_other_positions_are_refused():
    with pytest.raises(ValueError, match="positions must be one of none, sinusoidal, rotary: got 'learned'"):
        Transformer(8, 11, positions="learned")
