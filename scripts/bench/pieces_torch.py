"""PyTorch: the fused kernel, and the products and exponentials of tiles, of the time of the plainest code."""

from functools import partial
from itertools import product

import torch

import attnlib.torch as attn
from attnlib.torch.tiled import tiles
from scripts.bench.inputs import heads
from scripts.bench.pieces import shares
from scripts.bench.torch_attention import FORMS, call

TILE = attn.tiled_attention.__kwdefaults__


def each_tile(q, k, v, grad):
    """Of every tile its queries, keys, values and gradients, and a tensor of the shape of its scores."""
    length = q.shape[-2]
    for rows, cols in product(tiles(length, TILE["q_tile"]), tiles(length, TILE["k_tile"])):
        queries, keys = q[..., rows, :], k[..., cols, :]
        yield queries, keys, v[..., cols, :], grad[..., rows, :], queries @ keys.mT


@torch.no_grad()
def products(backward, *tensors):
    for queries, keys, values, grad, scores in each_tile(*tensors):
        scores @ values
        if backward:
            queries @ keys.mT  # once more, since they were not kept
            scores.mT @ grad
            grad @ values.mT
            scores.mT @ queries
            scores @ keys


@torch.no_grad()
def exponentials(backward, scores, count):
    for _ in range(count):
        for _ in range(1 + backward):
            scores.fill_(-1.0).exp2_()


def values(quick):
    answer = {}
    for length, backward in product((16,) if quick else (256, 1024), (False, True)):
        q, k, v, grad = (torch.from_numpy(x) for x in heads(length))
        inputs = [x.requires_grad_(backward) for x in (q, k, v)]
        scores = next(each_tile(q, k, v, grad))[-1].detach()
        count = q.shape[1] * length**2 // scores.numel()
        contestants = {
            name: call(partial(FORMS[form], q, k, v, False), inputs, grad, backward)
            for name, form in {"naive": "naive", "the fused kernel": "F.sdpa", "tiled": "tiled"}.items()
        }
        contestants["its products"] = partial(products, backward, q, k, v, grad)
        contestants["its exponentials"] = partial(exponentials, backward, scores, count)
        where = f"torch, {length}, full, {'forward + backward' if backward else 'forward'}"
        answer |= shares(where, contestants, quick)
    return answer
