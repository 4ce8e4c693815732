"""attnlib.torch's blocks against nn.TransformerEncoderLayer, nn.TransformerDecoderLayer, nn.Conv2d; in PyTorch."""

import io

import pytest
import torch
from torch import nn

import attnlib.torch as attn

FRAMEWORK = "torch"
SIZES = (6, 3, 11)


def random_parameters(module):
    for p in module.parameters():
        nn.init.normal_(p)
    return module


def layer_of(kind, norm, activation="gelu"):
    """PyTorch's layer with the options of our block."""
    make = nn.TransformerDecoderLayer if kind == "DecoderBlock" else nn.TransformerEncoderLayer
    return make(*SIZES, 0.0, activation, batch_first=True, norm_first=norm == "pre")


def copied(theirs, kind, **options):
    """Our block with the weights of PyTorch's layer, and pairs of parameters that should have the same gradients."""
    ours = getattr(attn, kind)(*SIZES, **options).double()
    ours.attention = attn.MultiHeadAttention.from_torch(theirs.self_attn)
    if kind == "DecoderBlock":
        ours.cross_attention = attn.MultiHeadAttention.from_torch(theirs.multihead_attn)
        norms = ["attention_norm", "cross_attention_norm", "feed_forward_norm"]
    else:
        norms = ["attention_norm", "feed_forward_norm"]
    pairs = []
    for i, name in enumerate(norms, 1):
        norm, other = getattr(ours, name), getattr(theirs, f"norm{i}")
        norm.load_state_dict(other.state_dict())
        pairs += [(norm.weight, other.weight), (norm.bias, other.bias)]
    for part, other in (("hidden", theirs.linear1), ("output", theirs.linear2)):
        weight, bias = (getattr(ours.feed_forward, f"{k}_{part}") for k in "wb")
        with torch.no_grad():
            weight.copy_(other.weight.T)
            bias.copy_(other.bias)
        pairs += [(weight, other.weight), (bias, other.bias)]
    return ours, pairs


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("kind", ["EncoderBlock", "DecoderBlock"])
def test_agrees_with_pytorchs_layers_with_gradients(kind, norm, activation):
    torch.manual_seed(0)
    theirs = random_parameters(layer_of(kind, norm, activation)).double()
    ours, pairs = copied(theirs, kind, norm=norm, activation=activation)
    x, memory = (torch.randn(2, n, 6, dtype=torch.float64, requires_grad=True) for n in (5, 7))
    inputs = (x, memory) if kind == "DecoderBlock" else (x,)
    unseen = torch.ones(5, 5, dtype=torch.bool).triu(1)
    got = ours(*inputs, causal=True)
    expected = theirs(*inputs, unseen)
    close = {"rtol": 1e-9, "atol": 1e-10}
    torch.testing.assert_close(got, expected, **close)
    weights = torch.randn_like(got)
    mine = torch.autograd.grad((got * weights).sum(), [*inputs, *(p for p, _ in pairs)])
    other = torch.autograd.grad((expected * weights).sum(), [*inputs, *(p for _, p in pairs)])
    for a, b in zip(mine, other, strict=True):
        torch.testing.assert_close(a, b.T if a.shape != b.shape else b, **close)


def test_patches_are_a_convolution_as_wide_as_its_stride():
    conv = random_parameters(nn.Conv2d(3, 7, 2, stride=2)).double()
    ours = attn.PatchEmbedding(2, 3, 7).double()
    with torch.no_grad():
        ours.w_patch.copy_(conv.weight.permute(2, 3, 1, 0).reshape(12, 7))
        ours.b_patch.copy_(conv.bias)
    images = torch.randn(2, 3, 4, 10, dtype=torch.float64)
    expected = conv(images).flatten(2).transpose(1, 2)  # [batch, patches, d_model]
    torch.testing.assert_close(ours(images.permute(0, 2, 3, 1)), expected)


def blocks(**options):
    torch.manual_seed(0)
    encoder = attn.EncoderBlock(8, 4, 11, num_kv_heads=2, rotary="halves", **options)
    return random_parameters(encoder), random_parameters(attn.DecoderBlock(8, 4, 11, num_kv_heads=2, **options))


def test_compiled_in_one_graph_for_every_length():
    encoder = attn.EncoderBlock(8, 4, 11, num_kv_heads=2, rotary="halves", seed=0)
    decoder, patches = attn.DecoderBlock(8, 4, 11, impl="fused", seed=1), attn.PatchEmbedding(2, 3, 8, seed=2)
    graphs = []

    def run(images, x):
        return decoder(x, encoder(patches(images)))

    compiled = torch.compile(run, backend=lambda g, _: graphs.append(g) or g.forward, fullgraph=True, dynamic=True)
    # No length is 3 or 8: what is as long as another axis at first, PyTorch takes for the same size, and the number of
    # channels and d_model are fixed.
    for n in (5, 7, 11):
        images, x = torch.randn(2, 2 * n, 4, 3), torch.randn(2, n, 8)
        torch.testing.assert_close(compiled(images, x), run(images, x))
    assert len(graphs) == 1


def test_saved_and_loaded():
    encoder, decoder = blocks()
    for block, other in ((encoder, attn.EncoderBlock), (decoder, attn.DecoderBlock)):
        file = io.BytesIO()
        torch.save(block.state_dict(), file)
        file.seek(0)
        options = {"rotary": "halves"} if block is encoder else {}
        again = other(8, 4, 11, num_kv_heads=2, **options)
        again.load_state_dict(torch.load(file, weights_only=True))
        x = torch.randn(2, 3, 8)
        assert torch.equal(again(*[x] * (1 if block is encoder else 2)), block(*[x] * (1 if block is encoder else 2)))
    assert "feed_forward.w_hidden" in decoder.state_dict() and "norm='pre'" in repr(decoder)
    assert "activation='gelu'" in repr(decoder) and "patch_size=2" in repr(attn.PatchEmbedding(2, 3, 7))


def test_dropout_is_for_training_and_of_every_part():
    x = torch.randn(1, 3, 6)
    encoder = attn.EncoderBlock(*SIZES, dropout=0.5, seed=0)
    assert encoder.attention.dropout == encoder.feed_forward.dropout == encoder.dropout.p == 0.5
    assert attn.DecoderBlock(*SIZES, dropout=0.5).cross_attention.dropout == 0.5
    plain = attn.EncoderBlock(*SIZES, seed=0)
    one, two = encoder(x), encoder(x)
    assert not torch.equal(one, two)
    encoder.eval()
    assert torch.equal(encoder(x), plain(x))
    feed_forward, without = attn.FeedForward(6, 11, dropout=0.5, seed=0), attn.FeedForward(6, 11, seed=0)
    many = feed_forward(x.expand(4000, 3, 6))
    torch.testing.assert_close(many.mean(0, keepdim=True), without(x), rtol=0, atol=0.1)  # the mean stays
    assert torch.equal(feed_forward.eval()(x), without(x))
    # What a sub-layer adds is dropped before it is added: with nothing else dropped, half of the numbers stay.
    encoder.train()
    encoder.attention.dropout = encoder.feed_forward.dropout = 0.0
    nn.init.zeros_(encoder.feed_forward.w_output)
    kept = (encoder(x.expand(2000, 3, 6)) == x).float().mean()
    assert abs(kept - 0.5) < 0.05


@pytest.mark.parametrize("dropout", [1, -0.1, True, False, "0.1"])
def test_dropout_is_a_share(dropout):
    for make in (lambda: attn.FeedForward(6, 11, dropout=dropout), lambda: attn.EncoderBlock(*SIZES, dropout=dropout)):
        with pytest.raises(ValueError, match="dropout must be a number of at least 0 and below 1, got"):
            make()
    with pytest.raises(ValueError, match='dropout must be 0 for impl="tiled"'):
        attn.EncoderBlock(*SIZES, dropout=0.1, impl="tiled")


def test_fused_decodes_with_a_cache():
    (_, explicit), (_, fused) = blocks(), blocks(impl="fused")
    x, memory, cache = torch.randn(2, 5, 8), torch.randn(2, 7, 8), attn.KVCache()
    with torch.no_grad():
        steps = [fused(x[:, t : t + 1], memory, cache=cache) for t in range(5)]
        torch.testing.assert_close(torch.cat(steps, 1), explicit(x, memory), rtol=1e-3, atol=1e-4)
