"""The vision transformer: what it must not depend on, what it must, and that shifts and scrambles move whole pixels."""

import pytest
import torch

import attnlib.torch as attn
from attnlib.models.vision import POOLS, POSITIONS, ConvNet, Scaled, Scrambled, VisionTransformer, shifted

FRAMEWORK = "torch"
SIZES = {"size": 6, "channels": 3, "classes": 5, "patch_size": 2, "d_model": 8, "num_heads": 2, "d_hidden": 7}
SIDE = 3


def make(seed=3, **options):
    """A model of which no parameter is zero, where a mistake could hide."""
    torch.manual_seed(seed)
    model = VisionTransformer(**SIZES, **options).double()
    for p in model.parameters():
        p.data += 0.3 * torch.randn_like(p)
    return model


def pictures(count=4, size=6, channels=3):
    return torch.randn(count, size, size, channels, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def close(a, b):
    return torch.allclose(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("positions", POSITIONS)
def test_shapes_weights_and_gradients(positions, pool):
    model = make(positions=positions, pool=pool, depth=3)
    scores, weights = model(pictures(), return_weights=True)
    length = SIDE**2 + (pool == "class")
    assert scores.shape == (4, 5) and weights.shape == (3, 4, 2, length, length)
    assert close(weights.sum(dim=-1), torch.ones(3, 4, 2, length, dtype=torch.float64))
    assert close(scores, model(pictures()))
    scores.square().sum().backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    assert all(g is not None and g.isfinite().all() and g.any() for g in gradients.values())


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("positions", POSITIONS)
def test_only_without_positions_the_order_of_patches_is_nothing(positions, pool):
    model, order = make(positions=positions, pool=pool), Scrambled(6, 2, seed=5)
    same = close(model(order(pictures())), model(pictures()))
    assert same == (positions == "none")


def test_patches_and_their_positions_can_change_places_together():
    model, order = make(), Scrambled(6, 2, seed=5)
    relabelled = make()
    relabelled.positions.weight.data[1:] = model.positions.weight[1:][order.order]
    assert close(relabelled(order(pictures())), model(pictures()))


@pytest.mark.parametrize("make_model", [make, lambda: ConvNet(size=8, channels=3, classes=5).double()])
def test_a_picture_does_not_depend_on_its_batch(make_model):
    model = make_model()
    images = pictures(size=6 if isinstance(model, VisionTransformer) else 8)
    for i in range(len(images)):
        assert close(model(images[i : i + 1])[0], model(images)[i])


def test_it_is_the_encoder_of_the_paper_written_out():
    model, images = make(), pictures()
    x = attn.image_patches(images, 2) @ model.embed.w_patch + model.embed.b_patch
    x = torch.cat([model.class_token.expand(4, 1, -1), x], dim=1) + model.positions.weight
    for block in model.blocks:
        x = x + block.attention(block.attention_norm(x))
        x = x + block.feed_forward(block.feed_forward_norm(x))
    y = model.norm(x)[:, 0]
    assert close(model(images), y @ model.head.weight.mT + model.head.bias)


def test_two_dimensional_positions_say_row_and_column():
    table = make(positions="sinusoidal 2-d", pool="mean").positions.table.view(SIDE, SIDE, 8)
    waves = attn.sinusoidal_positions(SIDE, 4)
    for row in range(SIDE):
        for column in range(SIDE):
            assert torch.equal(table[row, column], torch.cat([waves[row], waves[column]]))
    with_class = make(positions="sinusoidal 2-d").positions.table
    assert not with_class[0].any() and torch.equal(with_class[1:], table.flatten(0, 1))


def test_rotary_positions_are_in_the_blocks_alone():
    model = make(positions="rotary")
    assert all(block.attention.rotary == "halves" for block in model.blocks)
    assert not model.positions.table.any()


def test_it_begins_undecided_and_seeds_decide_the_rest():
    model, images = VisionTransformer(), torch.rand(3, 8, 8, 1)
    assert not model(images).any() and not model.class_token.any()
    assert 0.4 < model.positions.weight.std() < 0.6
    assert VisionTransformer(position_std=0.02).positions.weight.std() < 0.03
    assert torch.equal(VisionTransformer(seed=4).embed.w_patch, VisionTransformer(seed=4).embed.w_patch)
    assert not torch.equal(VisionTransformer(seed=4).embed.w_patch, model.embed.w_patch)
    first, second = model.blocks
    assert not torch.equal(first.attention.w_query, second.attention.w_query)


def test_the_two_networks_are_of_one_size():
    counts = [sum(p.numel() for p in model.parameters()) for model in (VisionTransformer(), ConvNet())]
    assert counts == [18218, 18154]


def test_shifts_move_each_picture_on_its_own_and_bring_in_paper():
    images = torch.arange(1.0, 33.0).view(2, 4, 4, 1)
    moved = shifted(images, torch.tensor([[1, 0], [0, -1]]))
    assert torch.equal(moved[0, 1:], images[0, :-1]) and not moved[0, 0].any()  # one row down
    assert torch.equal(moved[1, :, :-1], images[1, :, 1:]) and not moved[1, :, -1].any()  # a column to the left
    assert torch.equal(shifted(images, torch.zeros(2, 2, dtype=torch.long)), images)
    far = shifted(images, torch.tensor([[-2, 2], [2, 2]]), most=2)
    assert torch.equal(far[0, :2, 2:], images[0, 2:, :2]) and far[0].count_nonzero() == 4


def test_a_scramble_is_one_rearrangement_for_all_pictures():
    images = pictures()
    for p in (1, 2, 3, 6):
        moved = Scrambled(6, p, seed=2)(images)
        before, after = attn.image_patches(images, p), attn.image_patches(moved, p)
        assert torch.equal(after, before[:, Scrambled(6, p, seed=2).order])
    assert not torch.equal(Scrambled(6, 2, seed=2)(images), images)


def test_scaling_is_that_of_the_training_pictures_and_saved_with_the_model():
    images = pictures()
    model = Scaled(make(), images.mean() + 1, images.std() * 2)
    assert close(model(images), model.model((images - model.mean) / model.std))
    other = Scaled(make(seed=9), torch.tensor(0.0).double(), torch.tensor(1.0).double())
    other.load_state_dict(model.state_dict())
    assert close(other(images), model(images))
    assert model(images, return_weights=True)[1].shape[0] == 2


@pytest.mark.parametrize(
    "wrong, says",
    [
        ({"positions": "leaned"}, "positions must be one of learned, sinusoidal, .*: got 'leaned'"),
        ({"pool": "max"}, "pool must be one of class, mean: got 'max'"),
        ({"patch_size": 3}, "patch_size must divide the size of the pictures, 8: got 3"),
        ({"patch_size": 0}, "patch_size must divide the size of the pictures, 8: got 0"),
        ({"patch_size": 16}, "patch_size must divide the size of the pictures, 8: got 16"),
        ({"positions": "sinusoidal 2-d", "d_model": 9, "num_heads": 3}, "d_model must be even .*: got 9"),
        ({"num_heads": 5}, "32"),
    ],
)
def test_what_does_not_fit_is_named(wrong, says):
    with pytest.raises(ValueError, match=says):
        VisionTransformer(**wrong)


def test_other_errors():
    with pytest.raises(ValueError, match=r"size must be a multiple of 4.*: got 6"):
        ConvNet(size=6)
    with pytest.raises(ValueError, match="patch_size must divide the size of the pictures, 8: got 3"):
        Scrambled(8, 3)
    images = torch.rand(2, 4, 4, 1)
    with pytest.raises(ValueError, match=r"by \[b, 2\]: got \(2, 4, 4, 1\) and \(3, 2\)"):
        shifted(images, torch.zeros(3, 2, dtype=torch.long))
    for by in (torch.full((2, 2), 2), torch.zeros(2, 2), torch.zeros(2, 2, dtype=torch.bool)):
        with pytest.raises(ValueError, match="by must be whole numbers from -1 to 1"):
            shifted(images, by)
