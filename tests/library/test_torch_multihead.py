"""attnlib.torch's multi-head attention against nn.MultiheadAttention, and as a citizen of PyTorch."""

import io
import re

import pytest
import torch
from torch import nn

import attnlib.torch as attn

FRAMEWORK = "torch"


def with_gradients(output, tensors):
    return [output.detach(), *torch.autograd.grad(output.square().sum(), tensors)]


def assert_close(ours, theirs, **tolerance):
    for one, two in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, two, **{"rtol": 1e-11, "atol": 1e-12, **tolerance})


@pytest.mark.parametrize("impl", ["explicit", "fused"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
def test_agrees_with_pytorchs_module_with_gradients_of_everything(impl, bias, batch_first):
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(6, 3, bias=bias, batch_first=batch_first, dtype=torch.float64)
    for p in theirs.parameters():
        nn.init.normal_(p)  # biases begin at zero
    ours = attn.MultiHeadAttention.from_torch(theirs, impl=impl)
    q, k, v = (torch.randn(2, n, 6, dtype=torch.float64, requires_grad=True) for n in (3, 5, 5))
    mask = torch.rand(2, 3, 5) < 0.6
    mask[..., 0] = True  # PyTorch's module gives NaN where nothing may be attended to
    inputs = (q, k, v) if batch_first else (q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1))
    # PyTorch's mask says what may not be attended to, and a mask for each row is one for each row and head.
    expected, weights = theirs(*inputs, attn_mask=~mask.repeat_interleave(3, dim=0), average_attn_weights=False)
    expected = expected if batch_first else expected.transpose(0, 1)
    got = ours(q, k, v, attention_mask=mask)
    packed = [theirs.in_proj_weight, theirs.out_proj.weight, *([theirs.in_proj_bias, theirs.out_proj.bias] * bias)]
    of = ("query", "key", "value")
    parameters = [getattr(ours, f"w_{n}") for n in (*of, "output")]
    parameters += [getattr(ours, f"b_{n}") for n in (*of, "output")] * bias
    out, dq, dk, dv, *d = with_gradients(got, (q, k, v, *parameters))
    ours_packed = [torch.cat(d[:3], dim=1).T, d[3].T, *([torch.cat(d[4:7]), d[7]] if bias else [])]
    assert_close([out, dq, dk, dv, *ours_packed], with_gradients(expected, (q, k, v, *packed)))
    if impl == "explicit":
        _, got_weights = ours(q, k, v, attention_mask=mask, return_weights=True)
        assert_close([got_weights], [weights])


@pytest.mark.parametrize("bias", [True, False])
def test_to_pytorch_and_back(bias):
    torch.manual_seed(0)
    layer = attn.MultiHeadAttention(6, 2, bias=bias, dropout=0.25).double().eval()
    for p in layer.parameters():
        nn.init.normal_(p)
    module = layer.to_torch()
    assert module.dropout == 0.25 and module.batch_first and not module.training
    x = torch.randn(2, 3, 6, dtype=torch.float64)
    assert_close([module(x, x, x)[0]], [layer(x)])
    again = attn.MultiHeadAttention.from_torch(module)
    assert again.dropout == 0.25 and not again.training
    assert again.state_dict().keys() == layer.state_dict().keys()  # no biases where there were none
    for name, p in layer.state_dict().items():
        assert torch.equal(again.state_dict()[name], p), name
    # A copy: what is done to the one does not reach the other.
    with torch.no_grad():
        module.in_proj_weight.zero_()
    assert layer.w_query.abs().min() > 0 and again.w_query.abs().min() > 0


@pytest.mark.parametrize(
    "options, message",
    [
        ({"kdim": 5}, "module must have kdim 6, got 5"),
        ({"vdim": 5}, "module must have vdim 6, got 5"),
        ({"add_bias_kv": True}, "module must have bias_k None, got a parameter"),
        ({"add_zero_attn": True}, "module must have add_zero_attn False, got True"),
    ],
)
def test_modules_without_a_counterpart(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        attn.MultiHeadAttention.from_torch(nn.MultiheadAttention(6, 2, **options))


@pytest.mark.parametrize("options", [{"num_kv_heads": 1}, {"head_dim": 5}])
def test_layers_without_a_counterpart(options):
    with pytest.raises(ValueError, match=r"nn.MultiheadAttention needs num_kv_heads = num_heads and heads that make"):
        attn.MultiHeadAttention(6, 2, **options).to_torch()


@pytest.mark.parametrize("sizes", [{}, {"num_kv_heads": 2}, {"num_kv_heads": 1}])
@pytest.mark.parametrize("options", [{}, {"causal": True}, {"mask": True}, {"bias": True, "causal": True}])
def test_fused_agrees_with_explicit(sizes, options):
    torch.manual_seed(0)
    explicit = attn.MultiHeadAttention(7, 4, head_dim=3, **sizes).double()
    fused = attn.MultiHeadAttention(7, 4, head_dim=3, impl="fused", **sizes).double()
    fused.load_state_dict(explicit.state_dict())
    for key_len in (5, 3):
        q, k = (torch.randn(2, n, 7, dtype=torch.float64, requires_grad=True) for n in (3, key_len))
        call = {"causal": options.get("causal", False)}
        if "mask" in options:
            call["attention_mask"] = torch.rand(2, 3, key_len) < 0.5
        if "bias" in options:
            call["attention_bias"] = torch.randn(4, 3, key_len, dtype=torch.float64)
        results = [with_gradients(layer(q, k, **call), (q, k, *layer.parameters())) for layer in (explicit, fused)]
        assert all(x.isfinite().all() for x in results[0])
        assert_close(*results)


def test_fused_decodes_with_a_cache():
    layer = attn.MultiHeadAttention(6, 4, head_dim=3, num_kv_heads=2, seed=0, impl="fused")
    x, cache = torch.randn(2, 7, 6), attn.KVCache(window=3)
    near = torch.ones(7, 7, dtype=torch.bool).triu(-2)
    with torch.no_grad():
        steps = [layer(x[:, t : t + 1], causal=True, cache=cache) for t in range(7)]
        expected = layer(x, causal=True, attention_mask=near)
    assert_close([torch.cat(steps, dim=1)], [expected], rtol=1e-4, atol=1e-6)


def test_weights_are_refused_on_the_fused_path():
    cache = attn.KVCache()
    with pytest.raises(ValueError, match='return_weights needs impl="explicit": impl="fused" never'):
        attn.MultiHeadAttention(6, 2, impl="fused")(torch.randn(2, 3, 6), return_weights=True, cache=cache)
    assert cache.length == 0


@pytest.mark.parametrize("learning", [False, True])
def test_gradients_flow_through_the_cache(learning):
    """With parameters that learn, and with inputs alone; the steps' gradients are those of the full pass."""
    layer = attn.MultiHeadAttention(6, 2, seed=0).double().requires_grad_(learning)
    x = torch.randn(2, 5, 6, dtype=torch.float64, requires_grad=True)
    inputs = (x, *layer.parameters()) if learning else (x,)
    cache = attn.KVCache()
    steps = torch.cat([layer(x[:, t : t + 1], causal=True, cache=cache) for t in range(5)], dim=1)
    assert_close(with_gradients(steps, inputs), with_gradients(layer(x, causal=True), inputs))


def test_a_prompt_with_gradients_may_be_followed_by_steps_without():
    layer = attn.MultiHeadAttention(6, 2, seed=0)
    x, cache = torch.randn(2, 5, 6), attn.KVCache()
    prompt = layer(x[:, :3], causal=True, cache=cache)
    with torch.no_grad():
        steps = [layer(x[:, t : t + 1], causal=True, cache=cache) for t in (3, 4)]
    prompt.square().sum().backward()  # nothing was written into what the prompt was computed from
    assert_close([torch.cat([prompt.detach(), *steps], 1)], [layer(x, causal=True).detach()], rtol=1e-4, atol=1e-6)


def test_a_growing_cache_is_copied_seldom():
    """Counted: 100 steps that copied all of the cache each time would copy 4,950 positions."""
    cache, made = attn.KVCache(), []
    original = cache._grown
    cache._grown = lambda buffer, *rest: made.append(cache.past) or original(buffer, *rest)
    for _ in range(100):
        cache.append(torch.zeros(1, 1, 5), torch.zeros(1, 1, 5))
    assert sum(made) / 2 <= 200  # keys and values
    windowed = attn.KVCache(window=4)
    for _ in range(100):
        windowed.append(torch.zeros(1, 1, 5), torch.zeros(1, 1, 5))
    assert windowed._keys.shape[-2] <= 8


@pytest.mark.parametrize("impl", ["explicit", "fused"])
def test_dropout_is_for_training(impl):
    torch.manual_seed(0)
    layer = attn.MultiHeadAttention(6, 2, dropout=0.5, seed=0, impl=impl)
    plain = attn.MultiHeadAttention(6, 2, seed=0, impl=impl)
    x = torch.randn(1, 5, 6)
    many = layer(x.expand(4000, 5, 6), causal=True)
    assert not torch.equal(many[0], many[1])
    # Weights are dropped without changing the mean.
    torch.testing.assert_close(many.mean(0, keepdim=True), plain(x, causal=True), rtol=0, atol=0.05)
    assert torch.equal(layer.eval()(x), plain(x))


def test_dropout_leaves_the_mask_in_force():
    layer = attn.MultiHeadAttention(6, 2, dropout=0.5, seed=0).train()
    x, mask = torch.randn(2, 4, 6), attn.padding_mask(torch.tensor([4, 2]), 4)
    _, weights = layer(x, attention_mask=mask, return_weights=True)
    assert (weights[1, ..., 2:] == 0).all() and (weights[0] > 0).all()


def test_the_weights_that_are_returned_are_those_before_dropout():
    layer = attn.MultiHeadAttention(6, 2, dropout=0.5, seed=0)
    x, bias = torch.randn(2, 5, 6), torch.randn(2, 5, 5)
    (_, training), (_, weights) = (
        layer.train(on)(x, attention_bias=bias, causal=True, return_weights=True) for on in (True, False)
    )
    torch.testing.assert_close(training, weights)


def test_a_cache_stays_on_its_device():
    cache = attn.KVCache(window=2)
    k, v = cache.append(*torch.empty(2, 2, 3, 4, 5, device="meta"))
    assert {x.device.type for x in (k, v, cache.mask(4))} == {"meta"}


@pytest.mark.parametrize("dropout", [1, -0.1, True, False, "0.1"])
def test_dropout_is_a_share(dropout):
    with pytest.raises(ValueError, match="dropout must be a number of at least 0 and below 1, got"):
        attn.MultiHeadAttention(6, 2, dropout=dropout)
    with pytest.raises(ValueError, match='dropout must be 0 for impl="tiled"'):
        attn.MultiHeadAttention(6, 2, dropout=0.1, impl="tiled")


@pytest.mark.parametrize("impl", ["explicit", "fused"])
def test_compiles_in_one_graph_without_recompiling_for_every_length(impl):
    layer = attn.MultiHeadAttention(6, 4, head_dim=2, num_kv_heads=2, seed=0, impl=impl)
    graphs = []
    compiled = torch.compile(layer, backend=lambda g, _: graphs.append(g) or g.forward, fullgraph=True, dynamic=True)
    for n in (3, 5, 7):
        x = torch.randn(2, n, 6)
        torch.testing.assert_close(compiled(x, causal=True), layer(x, causal=True))
    assert len(graphs) == 1


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("impl", ["explicit", "fused"])
def test_autocast(impl, mixed):
    """Queries from a LayerNorm are in float32, keys from a Linear in half precision."""
    torch.manual_seed(0)
    layer = attn.MultiHeadAttention(8, 4, num_kv_heads=2, seed=0, impl=impl)
    query, key, bias = torch.randn(2, 3, 8, requires_grad=True), torch.randn(2, 5, 8), torch.randn(4, 3, 5)
    exact = layer(query, key, attention_bias=bias)
    cache = attn.KVCache()
    with torch.autocast("cpu", torch.bfloat16):
        memory = key.bfloat16() if mixed else key
        got = layer(query, memory, attention_bias=bias)
        first = layer(query[:, :1], memory, attention_bias=bias[:, :1], cache=cache)
    assert got.dtype == first.dtype == torch.bfloat16
    torch.testing.assert_close(got.float(), exact, rtol=0.03, atol=0.05)
    torch.testing.assert_close(first.float(), exact[:, :1], rtol=0.03, atol=0.05)
    got.float().square().sum().backward()
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("impl", ["explicit", "fused"])
@pytest.mark.parametrize("dtype, error", [(torch.bfloat16, 0.02), (torch.float16, 0.003)])
def test_half_precision_is_as_close_as_its_rounding_allows(impl, dtype, error):
    torch.manual_seed(0)
    layer = attn.MultiHeadAttention(64, 4, num_kv_heads=2, seed=0, impl=impl).double()
    x = torch.randn(2, 32, 64, dtype=torch.float64)
    exact = layer(x, causal=True)
    got = layer.to(dtype)(x.to(dtype), causal=True)
    assert got.dtype == dtype
    assert (got.double() - exact).abs().max() < error


def test_saved_and_loaded():
    layer = attn.MultiHeadAttention(6, 2, num_kv_heads=1, seed=0)
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other, x = attn.MultiHeadAttention(6, 2, num_kv_heads=1), torch.randn(2, 3, 6)
    assert not torch.equal(other(x), layer(x))
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(x), layer(x))
    assert list(layer.state_dict()) == [f"{kind}_{n}" for kind in "wb" for n in ("query", "key", "value", "output")]
    assert "num_kv_heads=1" in repr(layer)


def test_gradcheck():
    layer = attn.MultiHeadAttention(4, 2, num_kv_heads=1, seed=0).double()
    q, k = (torch.randn(2, n, 4, dtype=torch.float64, requires_grad=True) for n in (2, 3))
    mask = torch.tensor([[True, True, False], [False] * 3])
    torch.autograd.gradcheck(lambda *x: layer(*x, attention_mask=mask), (q, k))


@pytest.mark.parametrize("positions", [None, torch.tensor([[4, 1, 7, 0, 2], [0, 0, 1, 2, 3]])])
def test_rotary_fused_and_compiled_and_under_autocast(positions):
    explicit = attn.MultiHeadAttention(8, 4, head_dim=6, num_kv_heads=2, rotary="halves", seed=0)
    fused = attn.MultiHeadAttention(8, 4, head_dim=6, num_kv_heads=2, rotary="halves", seed=0, impl="fused")
    x = torch.randn(2, 5, 8)
    expected = explicit(x, causal=True, positions=positions)
    compiled = torch.compile(fused, backend="eager", fullgraph=True)
    assert_close([fused(x, causal=True, positions=positions)], [expected], rtol=1e-4, atol=1e-6)
    assert_close([compiled(x, causal=True, positions=positions)], [expected], rtol=1e-4, atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        half = fused(x, causal=True, positions=positions)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), expected, rtol=0.03, atol=0.05)
    assert "rotary='halves'" in repr(fused)
    with pytest.raises(ValueError, match=r"nn.MultiheadAttention needs rotary None, got 'halves'"):
        attn.MultiHeadAttention(8, 4, rotary="halves").to_torch()
