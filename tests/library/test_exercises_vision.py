"""The exercises of "Attention in vision": right answers pass, typical mistakes are named."""

import pytest
import torch

import attnlib.torch as attn
from attnlib.exercises import vision as ex

FRAMEWORK = "torch"


def put_together(patches, p, order=(0, 1, 3, 2, 4, 5)):
    b, n, size = patches.shape
    side = round(n**0.5)
    tiles = patches.reshape(b, side, side, p, p, size // p**2)
    return tiles.permute(*order).reshape(b, side * p, side * p, -1)


def row_and_column(side, d):
    waves = attn.sinusoidal_positions(side, d // 2)
    return torch.stack([torch.cat([waves[i], waves[j]]) for i in range(side) for j in range(side)])


def swapped(side, d):
    half = d // 2
    table = row_and_column(side, d)
    return torch.cat([table[:, half:], table[:, :half]], dim=1)


def added(side, d):
    waves = attn.sinusoidal_positions(side, d)
    return (waves[:, None] + waves[None]).flatten(0, 1)


def pixel_by_pixel(cut):
    for row in range(6):
        for column in range(6):
            image = torch.zeros(1, 6, 6, 1)
            image[0, row, column] = 1.0
            where = [row // 2 * 3 + column // 2, row % 2 * 2 + column % 2]
            if cut(image, 2)[0].nonzero().tolist() != [where]:
                return False
    return True


def which_patch_only(cut):
    for row in range(6):
        for column in range(6):
            image = torch.zeros(1, 6, 6, 1)
            image[0, row, column] = 1.0
            inked = cut(image, 2)[0].any(dim=-1).nonzero()[:, 0].tolist()
            if inked != [row // 2 * 3 + column // 2]:
                return False
    return True


def first_patch_only(cut):
    image = torch.arange(36.0).view(1, 6, 6, 1)
    return cut(image, 2)[0, 0].tolist() == [0, 1, 6, 7]


def numbered(cut):  # with integers
    corners = [row * 12 + column * 2 for row in range(3) for column in range(3)]
    image = torch.arange(36).view(1, 6, 6, 1)
    return cut(image, 2)[0].tolist() == [[one, one + 1, one + 6, one + 7] for one in corners]


def right_shape(cut):
    return cut(torch.rand(2, 6, 6, 3), 2).shape == (2, 9, 12)


def rolled_out(weights):
    shares = torch.eye(weights.shape[-1], dtype=weights.dtype)
    for layer in weights:
        shares = (0.5 * torch.eye(len(shares), dtype=weights.dtype) + 0.5 * layer.mean(dim=0)) @ shares
    return shares


def plain_identity(weights):
    shares = torch.eye(weights.shape[-1])
    for layer in weights.mean(dim=1):
        shares = (0.5 * torch.eye(len(shares)) + 0.5 * layer) @ shares
    return shares


def heads_apart(weights):
    each = 0.5 * torch.eye(5) + 0.5 * weights
    return (each[2] @ each[1] @ each[0]).mean(dim=0)


def front_of_a_wide_one(side, d):
    waves = attn.sinusoidal_positions(side, d)[:, : d // 2]
    return torch.cat([waves.repeat_interleave(side, dim=0), waves.repeat(side, 1)], dim=1)


def halves(weights):
    return 0.5 * torch.eye(5) + 0.5 * weights.mean(dim=1)


ANSWERS = [
    (ex.check_sizes, (196, 590592, 16)),
    (ex.check_sizes, (196.0, 590592.0, 16.0)),
    (ex.check_put_together, (put_together,)),
    (ex.check_row_and_column, (row_and_column,)),
    (ex.check_row_and_column, (lambda side, d: row_and_column(side, d).double().numpy(),)),
    (ex.check_cuts_squares, (pixel_by_pixel,)),
    (ex.check_cuts_squares, (numbered,)),
    (ex.check_cuts_squares, (lambda cut: torch.equal(cut(x := torch.rand(2, 6, 6, 3), 2), attn.image_patches(x, 2)),)),
    (ex.check_rolled_out, (rolled_out,)),
    (ex.check_rolled_out, (plain_identity,)),
    (ex.check_rolled_out, (lambda w: halves(w)[2] @ halves(w)[1] @ halves(w)[0],)),
]

MISTAKES = [
    (ex.check_sizes, (14, 590592, 16), "along one side"),
    (ex.check_sizes, (197, 590592, 16), "class token is no patch"),
    (ex.check_sizes, (224 * 224, 590592, 16), "these are pixels"),
    (ex.check_sizes, (588, 590592, 16), "all three channels"),
    (ex.check_sizes, (3, 590592, 16), "(224 / 16) squared"),
    (ex.check_sizes, (196, 589824, 16), "a bias for each"),
    (ex.check_sizes, (196, 197376, 16), "has three channels."),
    (ex.check_sizes, (196, 196608, 16), "three channels, and each"),
    (ex.check_sizes, (196, 196 * 590592, 16), "one and the same layer"),
    (ex.check_sizes, (196, 1, 16), "from 16 · 16 · 3 numbers"),
    (ex.check_sizes, (196, 590592, 4), "four times as many"),
    (ex.check_sizes, (196, 590592, 2), "half the side: how many"),
    (ex.check_sizes, (196, 590592, 8), "every one attends"),
    (ex.check_sizes, (196, 590592, 1 / 16), "it grows"),
    (ex.check_sizes, (196, 590592, 5), "pairs of patches"),
    (ex.check_put_together, (lambda x, p: x.reshape(2, 6, 6, 3),), "a reshape alone"),
    (ex.check_put_together, (lambda x, p: put_together(x, p, (0, 2, 3, 1, 4, 5)),), "down the columns"),
    (ex.check_put_together, (lambda x, p: put_together(x, p, (0, 1, 4, 2, 3, 5)),), "turned over"),
    (ex.check_put_together, (lambda x, p: put_together(x, p, (0, 3, 1, 4, 2, 5)),), "the other way round"),
    (ex.check_put_together, (lambda x, p: put_together(x, p).permute(0, 3, 1, 2),), "channels must come last"),
    (ex.check_put_together, (lambda x, p: x,), "the shape is (2, 9, 12)"),
    (ex.check_put_together, (lambda x, p: 2 * put_together(x, p),), "change two axes"),
    (ex.check_put_together, (lambda x, p: put_together(x, 2)[..., :3],), "your code raised"),
    (ex.check_row_and_column, (swapped,), "first half must be of the row"),
    (ex.check_row_and_column, (added,), "not to be added"),
    (ex.check_row_and_column, (front_of_a_wide_one,), "the first d / 2 numbers of a position of width d"),
    (ex.check_row_and_column, (lambda side, d: attn.sinusoidal_positions(side * side, d),), "in the sequence"),
    (ex.check_row_and_column, (lambda side, d: row_and_column(side, d)[:, : d // 2],), "the shape is (9, 4)"),
    (ex.check_row_and_column, (lambda side, d: 2 * row_and_column(side, d),), "d / 2 waves of the row"),
    (ex.check_row_and_column, (lambda side, d: row_and_column(3, 8),), "the shape is (9, 8)"),
    (ex.check_cuts_squares, (lambda cut: not pixel_by_pixel(cut),), "wrong way round"),
    (ex.check_cuts_squares, (lambda cut: False,), "the right cut fails"),
    (ex.check_cuts_squares, (lambda cut: True,), "which cuts strips, passes"),
    (ex.check_cuts_squares, (right_shape,), "which cuts strips, passes"),
    (ex.check_cuts_squares, (first_patch_only,), "column by column passes"),
    (ex.check_cuts_squares, (which_patch_only,), "column by column inside, passes"),
    (ex.check_cuts_squares, (lambda cut: torch.ones(2),), "return True or False"),
    (ex.check_rolled_out, (lambda w: w.mean(1)[2] @ w.mean(1)[1] @ w.mean(1)[0],), "residual is missing"),
    (ex.check_rolled_out, (lambda w: halves(w)[0] @ halves(w)[1] @ halves(w)[2],), "wrong way round"),
    (ex.check_rolled_out, (lambda w: halves(w).prod(dim=0),), "entry by entry"),
    (ex.check_rolled_out, (lambda w: halves(w).mean(dim=0),), "do not average"),
    (ex.check_rolled_out, (lambda w: halves(w)[2],), "last layer alone"),
    (ex.check_rolled_out, (heads_apart,), "over the heads comes first"),
    (ex.check_rolled_out, (lambda w: rolled_out(w.transpose(0, 1)),), "yours is over the layers"),
    (ex.check_rolled_out, (lambda w: 2 * rolled_out(w),), "sum to 1"),
    (ex.check_rolled_out, (lambda w: torch.eye(5),), "A_3 A_2 A_1"),
    (ex.check_rolled_out, (lambda w: w.mean(dim=0),), "the shape is (2, 5, 5)"),
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
    stubs = (...,) * (3 if check is ex.check_sizes else 1)
    assert check(*stubs) is None
    assert "replace the `...`" in capsys.readouterr().out
