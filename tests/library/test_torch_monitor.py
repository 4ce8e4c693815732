"""PyTorch's monitor: it looks on and changes nothing, and leaves nothing behind."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import attnlib.torch as attn
from attnlib import measures
from attnlib.torch.monitor import Monitor, attention_layers, gradient_norms

FRAMEWORK = "torch"


def model(impl="explicit", **options):
    torch.manual_seed(0)
    blocks = [attn.EncoderBlock(12, 3, 20, seed=i, impl=impl, **options) for i in range(2)]
    return nn.Sequential(nn.Embedding(11, 12), *blocks, nn.Linear(12, 11))


@pytest.fixture
def ids():
    return torch.randint(11, (4, 6), generator=torch.Generator().manual_seed(1))


def hooks(m):
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in m.modules())


def step(m, ids):
    """Output and gradients of one step."""
    m.zero_grad()
    output = m(ids)
    output.square().sum().backward()
    return [output, *(p.grad.clone() for p in m.parameters())]


@pytest.mark.parametrize("impl", ["explicit", "tiled", "fused"])
@pytest.mark.parametrize("options", [{}, {"rotary": "halves"}, {"num_kv_heads": 1}])
def test_outputs_and_gradients_are_the_same_to_the_last_bit(ids, impl, options):
    m = model(impl, **options)
    before = step(m, ids)
    with Monitor(m) as monitor:
        during = step(m, ids)
    assert list(monitor.layers) == ["1.attention", "2.attention"]
    for a, b, c in zip(before, during, step(m, ids), strict=True):
        assert torch.equal(a, b) and torch.equal(a, c)


def test_dropout_draws_the_same_numbers(ids):
    m = model(dropout=0.3)
    torch.manual_seed(3)
    before = step(m, ids)
    torch.manual_seed(3)
    with Monitor(m):
        during = step(m, ids)
    assert all(torch.equal(a, b) for a, b in zip(before, during, strict=True))


def test_hooks_are_there_inside_the_with_only(ids):
    m = model()
    assert hooks(m) == 0
    with Monitor(m):
        assert hooks(m) == 2
        m(ids)
    assert hooks(m) == 0
    with pytest.raises(RuntimeError, match="in between"), Monitor(m):
        raise RuntimeError("in between")
    assert hooks(m) == 0


def test_the_same_numbers_whatever_the_implementation(ids):
    found = {}
    for impl in ("explicit", "tiled", "fused"):
        with Monitor(model(impl)) as monitor:
            monitor.model(ids)
        found[impl] = monitor.flat()
    for impl in ("tiled", "fused"):
        assert found[impl] == pytest.approx(found["explicit"], rel=1e-4)


def test_the_weights_are_those_that_the_layer_returns(ids):
    m = model()
    x = m[0](ids)
    with Monitor(m[1]) as monitor, torch.no_grad():
        _, weights = m[1](x, causal=True, return_weights=True)
    mask = attn.causal_mask(6).numpy()
    wanted = measures.entropy(weights.numpy(), mask)[..., 1:].mean(axis=(0, 2))
    np.testing.assert_allclose(monitor.layers["attention"]["entropy"], wanted, rtol=1e-5)


def test_a_layer_by_itself_and_one_that_is_called_with_keywords(ids):
    layer = attn.MultiHeadAttention(12, 3, seed=0)
    x = model()[0](ids)
    with Monitor(layer) as monitor:
        layer(query=x, key=x, attention_mask=attn.padding_mask(torch.tensor([6, 5, 4, 1]), 6))
    assert list(monitor.layers) == ["model"]
    assert monitor.flat()["model/entropy"] < 1


def test_a_subclass_that_projects_in_its_own_way_is_seen_as_it_is(ids):
    class Eight(attn.MultiHeadAttention):
        def project(self, query, key, value, positions=None):
            q, k, v = super().project(query, key, value, positions)
            return 8 * q, k, v

    plain = attn.MultiHeadAttention(12, 3, seed=0)
    eight = Eight(12, 3, seed=0)
    x = model()[0](ids)
    largest = []
    for layer in (plain, eight):
        with Monitor(layer) as monitor:
            layer(x)
        largest.append(monitor.layers["model"]["largest"])
    np.testing.assert_allclose(largest[1], 8 * largest[0], rtol=1e-5)


def test_the_last_call_is_what_is_kept(ids):
    m = model()
    with Monitor(m) as monitor:
        m(ids)
        first = monitor.flat()
        m(ids.flip(0)[:2])
    with Monitor(m) as alone:
        m(ids.flip(0)[:2])
    assert monitor.flat() == alone.flat() != first


def test_half_precision_and_autocast(ids):
    m = model()
    with Monitor(m) as monitor:
        m(ids)
    full = monitor.flat()
    with torch.autocast("cpu", dtype=torch.bfloat16), Monitor(m) as monitor:
        m(ids)
    assert monitor.flat() == pytest.approx(full, rel=0.05, abs=0.05)
    with Monitor(m.to(torch.bfloat16)) as monitor:
        m(ids)
    assert monitor.flat() == pytest.approx(full, rel=0.05, abs=0.05)


def test_a_run_that_has_gone_wrong_can_still_be_looked_at(ids):
    m = model()
    with torch.no_grad():
        m[1].feed_forward.w_output[0, 0] = torch.nan
    with Monitor(m) as monitor:
        m(ids)
    found = monitor.flat()
    assert np.isfinite(found["1.attention/entropy"]) and np.isnan(found["2.attention/entropy"])
    assert np.isnan(found["2.attention/largest"]) and np.isnan(found["2.attention/rank"])


def test_calls_with_a_cache_are_not_looked_at(ids):
    layer = attn.MultiHeadAttention(12, 3, seed=0)
    x = model()[0](ids)
    with Monitor(layer) as monitor:
        layer(x, causal=True)
        before = copy.deepcopy(monitor.layers)
        layer(x, causal=True, cache=attn.KVCache())
    assert monitor.flat() == measures.flat(before)
    with pytest.raises(ValueError, match="got no call of its layers"), Monitor(layer):
        layer(x, causal=True, cache=attn.KVCache())


def test_a_compiled_model_is_looked_at_through_the_module_that_was_compiled(ids):
    m = model()
    compiled = torch.compile(m, backend="eager", fullgraph=True)
    expected = compiled(ids)
    with pytest.raises(ValueError, match="not compiled"), Monitor(m):
        compiled(ids)
    with Monitor(m) as monitor:
        assert torch.allclose(m(ids), expected, atol=1e-6)
    assert len(monitor.layers) == 2
    assert torch.equal(compiled(ids), expected)


def test_what_cannot_be_monitored():
    with pytest.raises(ValueError, match="must have a MultiHeadAttention of attnlib inside, got Linear without"):
        attention_layers(nn.Linear(3, 4))
    with pytest.raises(ValueError, match="must be called inside the `with`"), Monitor(model()):
        pass
    with pytest.raises(ValueError, match="call backward first"):
        gradient_norms(nn.Linear(3, 4))


def test_gradient_norms(ids):
    m = model()
    step(m, ids)
    norms = gradient_norms(m)
    assert list(norms) == [name for name, _ in m.named_parameters()]
    assert norms["1.attention.w_key"] == pytest.approx(m[1].attention.w_key.grad.norm().item(), rel=1e-5)
    total = nn.utils.get_total_norm([p.grad for p in m.parameters()]).item()
    assert gradient_norms(m, lambda name: "all") == pytest.approx({"all": total}, rel=1e-5)
    m[3].bias.grad = None
    assert set(norms) - set(gradient_norms(m)) == {"3.bias"}
    m[3].weight.grad[0, 0] = torch.nan
    assert np.isnan(gradient_norms(m, lambda name: name[0])["3"])
