"""A vision transformer for small pictures, and a convolutional network of its size to hold it against.

    pixels -> patches -> a linear layer -> a class token in front, positions -> encoder blocks
           -> norm -> scores

    z_0 = [x_class; x_1 E; ...; x_N E] + E_pos                 Dosovitskiy et al. (2021), eq. 1
    z_l = block(z_(l-1)),  l = 1 ... L                         eqs. 2 and 3, pre-norm
    y   = LayerNorm(z_L)[class]                                eq. 4

As in the authors' published code, the class token and the layer that scores begin at zero, and what the class token
starts with is its position. Pictures have their channels last, `[batch, height, width, channels]`.
"""

import torch
import torch.nn.functional as F
from torch import nn

import attnlib.torch as attn
from attnlib._seeds import spread

POSITIONS = ("learned", "sinusoidal", "sinusoidal 2-d", "rotary", "none")
POOLS = ("class", "mean")


class VisionTransformer(nn.Module):
    """`[b, size, size, channels] -> [b, classes]`: scores of what a picture shows.

    size, channels: of the pictures, which are square. patch_size: must divide the size. d_model, num_heads, d_hidden,
    depth: of the blocks, see `EncoderBlock`.
    positions: "learned", "sinusoidal" (of the number of a patch), "sinusoidal 2-d" (half of each vector of its row,
    half of its column), "rotary" (of its number) or "none".
    position_std: of learned positions at the start, by default about as large as the vectors of the patches. With
    0.02, as in the authors' published code, it takes long until a position is heard beside them.
    stem: channels of a 3 × 3 convolution in front, of whose map the patches are cut, the paper's "hybrid"; 0: none.
    pool: what is scored, the "class" token, which stands in front of the patches, or the "mean" of the patches.
    seed: of the initial parameters.

    Raises ValueError for another word, and for sizes that do not fit.
    Source: Dosovitskiy et al. (2021), section 3.1.
    """

    def __init__(
        self,
        *,
        size=8,
        channels=1,
        classes=10,
        patch_size=2,
        d_model=32,
        num_heads=4,
        d_hidden=64,
        depth=2,
        positions="learned",
        position_std=0.5,
        stem=0,
        pool="class",
        seed=0,
    ):
        super().__init__()
        for name, word, words in (("positions", positions, POSITIONS), ("pool", pool, POOLS)):
            if word not in words:
                raise ValueError(f"{name} must be one of {', '.join(words)}: got {word!r}")
        if not 1 <= patch_size <= size or size % patch_size:
            raise ValueError(f"patch_size must divide the size of the pictures, {size}: got {patch_size}")
        if positions == "sinusoidal 2-d" and d_model % 2:
            raise ValueError(f'd_model must be even for "sinusoidal 2-d", half a row and half a column: got {d_model}')
        side, seeds = size // patch_size, spread(seed, 2 + depth)
        self.pool = pool
        self.stem = _Stem(channels, stem, seed=seeds[0]) if stem else None
        self.embed = attn.PatchEmbedding(patch_size, stem or channels, d_model, seed=seeds[0])
        self.class_token = nn.Parameter(torch.zeros(1, 1, d_model)) if pool == "class" else None
        length = side**2 + (pool == "class")
        if positions == "learned":
            self.positions = attn.LearnedPositions(length, d_model, seed=seeds[1])  # begins with 0.02
            with torch.no_grad():
                self.positions.weight.mul_(position_std / 0.02)
        else:
            self.positions = _Fixed(_table(positions, side, d_model, first=pool == "class"))
        rotary = "halves" if positions == "rotary" else None
        self.blocks = nn.ModuleList(
            attn.EncoderBlock(d_model, num_heads, d_hidden, rotary=rotary, seed=block_seed) for block_seed in seeds[2:]
        )
        self.norm = nn.LayerNorm(d_model)
        self.head = nn.Linear(d_model, classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, images, *, return_weights=False):
        """return_weights: return `(scores, weights)`, the weights `[depth, b, num_heads, length, length]`."""
        x = self.embed(images if self.stem is None else self.stem(images))  # [b, patches, d_model]
        if self.pool == "class":
            x = torch.cat([self.class_token.expand(len(x), 1, -1), x], dim=1)  # [b, 1 + patches, d_model]
        x, kept = self.positions(x), []
        for block in self.blocks:
            x, weights = block(x, return_weights=True)
            kept.append(weights)
        x = self.norm(x)
        scores = self.head(x[:, 0] if self.pool == "class" else x.mean(dim=1))
        return (scores, torch.stack(kept)) if return_weights else scores


class _Stem(nn.Module):
    """`[b, size, size, channels] -> [b, size, size, width]`: a convolution of 3 × 3 pixels, and nothing below zero."""

    def __init__(self, channels, width, *, seed):
        super().__init__()
        self.layer = nn.Conv2d(channels, width, 3, padding=1)
        nn.init.kaiming_uniform_(self.layer.weight, generator=torch.Generator().manual_seed(seed))
        nn.init.zeros_(self.layer.bias)

    def forward(self, images):
        return F.relu(self.layer(images.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)


class ConvNet(nn.Module):
    """`[b, size, size, channels] -> [b, classes]`: two convolutions, each pooled, and two linear layers.

    widths: channels of the two convolutions, of 3 × 3 pixels, and width of the layer behind them. As they are, it has
    nearly as many parameters as `VisionTransformer()`. Parameters are drawn from PyTorch's generator: call
    `torch.manual_seed` before.

    Raises ValueError for a size that cannot be halved twice.
    """

    def __init__(self, *, size=8, channels=1, classes=10, widths=(16, 32, 96)):
        super().__init__()
        if size < 4 or size % 4:
            raise ValueError(f"size must be a multiple of 4, for it is halved twice: got {size}")
        first, second, hidden = widths
        self.layers = nn.Sequential(
            *(nn.Conv2d(channels, first, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(first, second, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(second * (size // 4) ** 2, hidden), nn.ReLU(), nn.Linear(hidden, classes)),
        )

    def forward(self, images):
        return self.layers(images.permute(0, 3, 1, 2))  # PyTorch's convolutions want the channels first


class Scaled(nn.Module):
    """A model of pictures whose pixels are first shifted and scaled as those of the training pictures.

    mean, std: of all pixels of the *training* pictures. They are buffers: they are saved and loaded with the model.
    """

    def __init__(self, model, mean, std):
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.as_tensor(mean))
        self.register_buffer("std", torch.as_tensor(std))

    def forward(self, images, **options):
        return self.model((images - self.mean) / self.std, **options)


class Scrambled(nn.Module):
    """`[b, size, size, channels] -> [b, size, size, channels]`: the same rearrangement of every picture.

    patch_size: of the squares that change places, 1 for single pixels. seed: of the rearrangement.
    Raises ValueError for a patch size that does not divide the size.
    """

    def __init__(self, size, patch_size, *, seed=0):
        super().__init__()
        if not 1 <= patch_size <= size or size % patch_size:
            raise ValueError(f"patch_size must divide the size of the pictures, {size}: got {patch_size}")
        self.side, self.patch_size = size // patch_size, patch_size
        order = torch.randperm(self.side**2, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("order", order)

    def forward(self, images):
        b, size, _, channels = images.shape
        patches = attn.image_patches(images, self.patch_size)[:, self.order]  # [b, patches, patch_size² · channels]
        tiles = patches.view(b, self.side, self.side, self.patch_size, self.patch_size, channels)
        return tiles.transpose(2, 3).reshape(b, size, size, channels)


class _Fixed(nn.Module):
    def __init__(self, table):
        super().__init__()
        self.register_buffer("table", table, persistent=False)

    def forward(self, x):
        return x + self.table.to(x.dtype)


def _table(positions, side, d_model, *, first):
    """What is added to the vectors: zeros where positions are absent or rotary; the class token's row is the first."""
    if positions == "sinusoidal":
        return attn.sinusoidal_positions(side**2 + first, d_model)
    if positions == "sinusoidal 2-d":
        half = attn.sinusoidal_positions(side, d_model // 2)
        rows = half[:, None].expand(side, side, -1)
        columns = half[None].expand(side, side, -1)
        return F.pad(torch.cat([rows, columns], dim=-1).flatten(0, 1), (0, 0, int(first), 0))
    return torch.zeros(side**2 + first, d_model)


def shifted(images, by, *, most=1):
    """`[b, height, width, channels], [b, 2] -> [b, height, width, channels]`: each picture moved on its own.

    by: rows down and columns to the right, whole numbers from `-most` to `most`. What comes in is 0, so that 0 must be
    paper: shift before the pixels are scaled.

    Raises ValueError for shifts that are not whole or further than `most`, or not one pair a picture.
    """
    if images.ndim != 4 or by.shape != (len(images), 2):
        shapes = f"{tuple(images.shape)} and {tuple(by.shape)}"
        raise ValueError(f"images must be [b, height, width, channels] and by [b, 2]: got {shapes}")
    if by.dtype.is_floating_point or by.dtype == torch.bool or (by.numel() and by.abs().max() > most):
        raise ValueError(f"by must be whole numbers from {-most} to {most}: got {by.dtype}, {by.tolist()[:3]} …")
    height, width = images.shape[1:3]
    padded = F.pad(images, (0, 0, most, most, most, most))
    rows = torch.arange(height, device=images.device) + most - by[:, :1]  # [b, height]
    columns = torch.arange(width, device=images.device) + most - by[:, 1:]  # [b, width]
    picture = torch.arange(len(images), device=images.device)[:, None, None]
    return padded[picture, rows[:, :, None], columns[:, None, :]]
