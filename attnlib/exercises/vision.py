"""Checks for the exercises of the chapter "Attention in vision"."""

import torch

import attnlib.torch as attn
from attnlib.exercises._answers import as_array, exercise, require, require_shape, run, same, same_values
from attnlib.interpret import rollout


def _normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@exercise
def check_sizes(tokens, parameters, factor):
    """Exercise 1: 224 × 224 pixels: the patches, the numbers of their embedding, and what half the side costs."""
    for mistake, message in (
        (14, "14 patches lie along one side: how many are there in rows and columns?"),
        (197, "the class token is no patch: count the patches alone."),
        (224 * 224, "these are pixels: a patch holds 16 × 16 of them."),
        (196 * 3, "a patch holds all three channels of its pixels: they make no more patches."),
    ):
        require(not same_values(tokens, mistake), message)
    same(tokens, 196, "the patches", hint="(224 / 16) squared.")
    for mistake, message in (
        (16 * 16 * 3 * 768, "and a bias for each of the 768 outputs."),
        (16 * 16 * 768 + 768, "a pixel has three channels."),
        (16 * 16 * 768, "a pixel has three channels, and each of the 768 outputs a bias."),
        (196 * (16 * 16 * 3 * 768 + 768), "all patches go through one and the same layer."),
    ):
        require(not same_values(parameters, mistake), message)
    same(parameters, 590592, "the parameters", hint="a linear layer from 16 · 16 · 3 numbers to 768.")
    for mistake, message in (
        (4, "four times the patches: and each attends to four times as many."),
        (2, "half the side: how many times the patches, and how many pairs of them?"),
        (8, "half the side: four times the patches, and every one attends to every one."),
        (1 / 16, "smaller patches are more: it grows."),
    ):
        require(not same_values(factor, mistake), message)
    same(factor, 16, "the factor", hint="pairs of patches.")
    return "196 patches, 590,592 numbers, and 16 times the pairs: small patches are dear."


@exercise
def check_put_together(answer):
    """Exercise 2: `put_together(patches, p)`, `[b, patches, p * p * channels] -> [b, height, width, channels]`."""
    images = _normal(2, 6, 6, 3)
    patches = attn.image_patches(images, 2)
    got = run(answer, patches, 2)
    message = "the channels must come last: [b, height, width, channels]."
    require(tuple(getattr(got, "shape", ())) != (2, 3, 6, 6), message)
    require_shape(got, (2, 6, 6, 3), "the pictures", hint="they are square: as many patches down as across.")
    message = "a reshape alone lays the pixels out one patch after the other: rows of a patch must go under each other."
    require(not same_values(got, patches.reshape(2, 6, 6, 3)), message)
    tiles = patches.view(2, 3, 3, 2, 2, 3)
    for mistake, message in (
        (tiles.permute(0, 2, 3, 1, 4, 5), "the patches go down the columns: they are counted row by row."),
        (tiles.permute(0, 1, 4, 2, 3, 5), "each patch is turned over: its pixels go row by row."),
        (
            tiles.permute(0, 3, 1, 4, 2, 5),
            "rows in a patch come before rows of patches: it must be the other way round.",
        ),
    ):
        require(not same_values(got, mistake.reshape(2, 6, 6, 3)), message)
    same(got, images, "the pictures", hint="[b, rows, columns, p, p, channels], then change two axes, then join.")
    images = _normal(1, 9, 9, 1, seed=1)
    same(run(answer, attn.image_patches(images, 3), 3), images, "pictures of one channel, patches of 3 × 3")
    return "what was cut is whole again."


@exercise
def check_row_and_column(answer):
    """Exercise 3: `row_and_column(side, d)`, sinusoidal positions in two dimensions, `[side * side, d]`."""
    got = run(answer, 3, 8)
    require_shape(got, (9, 8), "the positions", hint="one vector for each patch, row by row.")
    half = attn.sinusoidal_positions(3, 4).double()
    rows, columns = half[:, None].expand(3, 3, 4), half[None].expand(3, 3, 4)
    message = "the first half must be of the row, the second of the column."
    require(not same_values(got, torch.cat([columns, rows], dim=-1).flatten(0, 1)), message)
    whole = attn.sinusoidal_positions(3, 8)
    message = "the two are to stand side by side, d / 2 numbers each, not to be added."
    require(not same_values(got, (whole[:, None] + whole[None]).flatten(0, 1)), message)
    message = "this is the position in the sequence: patch 3 lies below patch 0, and must share the half of its column."
    require(not same_values(got, attn.sinusoidal_positions(9, 8)), message)
    front = whole[:, :4].double()
    front = torch.cat([front[:, None].expand(3, 3, 4), front[None].expand(3, 3, 4)], dim=-1).flatten(0, 1)
    message = "these are the first d / 2 numbers of a position of width d: take a whole position of width d / 2."
    require(not same_values(got, front), message)
    right = torch.cat([rows, columns], dim=-1).flatten(0, 1)
    same(got, right, "the positions", hint="d / 2 waves of the row, then d / 2 of the column.")
    require_shape(run(answer, 2, 6), (4, 6), "the positions of a 2 × 2 grid, d = 6")
    return "patches of one row share the first half, patches of one column the second."


def _squares(images, p):  # as the chapter's `cut`: of integers too, which number the pixels well
    b, height, width, channels = images.shape
    x = images.reshape(b, height // p, p, width // p, p, channels)
    return x.transpose(2, 3).reshape(b, -1, p * p * channels)


def _turned(images, p):
    b, height, width, channels = images.shape
    x = images.reshape(b, height // p, p, width // p, p, channels).permute(0, 1, 3, 4, 2, 5)
    return x.reshape(b, -1, p * p * channels)  # the right patches, each column by column


def _strips(images, p):
    return images.reshape(len(images), -1, p * p * images.shape[-1])


def _lattice(images, p):
    b, height, width, channels = images.shape
    x = images.reshape(b, p, height // p, p, width // p, channels).permute(0, 2, 4, 1, 3, 5)
    return x.reshape(b, -1, p * p * channels)


def _no_transpose(images, p):
    b, height, width, channels = images.shape
    x = images.reshape(b, height // p, p, width // p, p, channels).permute(0, 1, 3, 2, 4, 5)
    return x.transpose(1, 2).reshape(b, -1, p * p * channels)  # the patches column by column


def _one_missing(images, p):
    patches = _squares(images, p).clone()
    patches[:, -1] = patches[:, 0]
    return patches


@exercise
def check_cuts_squares(answer):
    """Exercise 4: `cuts_squares(cut)`, a test that passes the right way to cut and fails the wrong ones."""
    cuts = {
        "the right cut": _squares,
        "`images.reshape`, which cuts strips,": _strips,
        "a cut with the sizes the wrong way round, which takes every fourth pixel,": _lattice,
        "a cut that counts the patches column by column": _no_transpose,
        "a cut that repeats the first patch instead of the last": _one_missing,
        "a cut whose patches are right, but written down column by column inside,": _turned,
    }
    verdicts = {}
    for name, cut in cuts.items():
        got = run(answer, cut)
        require(getattr(got, "ndim", 0) == 0 and got in (True, False), "return True or False.")
        verdicts[name] = bool(got)
    wrong_way = {name: name != "the right cut" for name in cuts}
    require(verdicts != wrong_way, "the answer is the wrong way round.")
    message = "the right cut fails: ink in one pixel must be found in the patch of its place, and nowhere else."
    require(verdicts.pop("the right cut"), message)
    for name, passed in verdicts.items():
        hint = "put ink into one pixel, and ask which patch has it, and where in the patch; at every place."
        require(not passed, f"{name} passes: {hint}")
    return "one pixel of ink at a time, and nothing can be in the wrong place."


@exercise
def check_rolled_out(answer):
    """Exercise 5: `rolled_out(weights)`, `[layers, heads, n, n] -> [n, n]`, half of each layer from the residual."""
    weights = torch.softmax(3 * _normal(3, 2, 5, 5), dim=-1).float()  # as a model's: they meet torch.eye(5)
    got = run(answer, weights)
    require_shape(got, (5, 5), "the rollout", hint="the mean over the heads, then a product over the layers.")
    mixed = weights.mean(dim=1)
    halves = 0.5 * torch.eye(5) + 0.5 * mixed
    each = 0.5 * torch.eye(5) + 0.5 * weights  # the heads apart
    over_layers = 0.5 * torch.eye(5) + 0.5 * weights.mean(dim=0)
    for mistake, message in (
        (mixed[2] @ mixed[1] @ mixed[0], "the residual is missing: half of what a layer hands on is what came."),
        (halves[0] @ halves[1] @ halves[2], "the layers are the wrong way round: the last one stands on the left."),
        (halves[2] * halves[1] * halves[0], "`*` multiplies entry by entry: the layers are a matrix product."),
        (halves.mean(dim=0), "the layers follow each other: multiply, do not average."),
        (halves[2], "this is the last layer alone."),
        (
            (each[2] @ each[1] @ each[0]).mean(dim=0),
            "the mean over the heads comes first, in each layer: then multiply.",
        ),
        (over_layers[1] @ over_layers[0], "the mean is over the heads, axis 1: yours is over the layers."),
    ):
        require(not same_values(got, mistake), message)
    rows = as_array(got, "the rollout").sum(axis=-1)
    require(same_values(rows, torch.ones(5)), "the rows must sum to 1: half from the residual, half from attention.")
    same(got, rollout(weights.numpy()), "the rollout", hint="A_3 A_2 A_1, each half identity and half mean weights.")
    return "three layers, traced back to the patches."
