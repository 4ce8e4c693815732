"""PyTorch, counted: operations of causal tiles, the largest tensor ever made, the error in float32."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

import attnlib.torch as attn
from scripts.bench.error import root_mean_square
from scripts.bench.inputs import heads
from scripts.bench.torch_attention import FORMS, naive

TILES = 8


class Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that any operation makes."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.elements = max([self.elements, *(x.numel() for x in tree_leaves(result) if isinstance(x, torch.Tensor))])
        return result


def both_ways(length, **options):
    q, k, v, grad = (torch.from_numpy(x) for x in heads(length))
    inputs = [x.requires_grad_() for x in (q, k, v)]
    torch.autograd.grad(attn.tiled_attention(q, k, v, **options), inputs, grad)


def operations(length, causal):
    with FlopCounterMode(display=False) as counter:
        both_ways(length, causal=causal, q_tile=length // TILES, k_tile=length // TILES)
    return counter.get_total_flops()


def values(quick):
    length = 64 if quick else 2048
    share = operations(length, True) / operations(length, False)
    answer = {f"torch tiled, {TILES} tiles: causal operations over (n + 1) / 2n": share / ((TILES + 1) / (2 * TILES))}
    length = 64 if quick else 4096
    for causal in (False, True):
        with Largest() as seen:
            both_ways(length, causal=causal)
        where = "causal" if causal else "full"
        answer[f"torch tiled, {length}, {where}: largest tensor over N × N"] = seen.elements / length**2
    q, k, v, _ = (torch.from_numpy(x) for x in heads(64 if quick else 1024))
    for causal in (False, True):
        exact = naive(q.double(), k.double(), v.double(), causal).numpy()
        outputs = {name: form(q, k, v, causal).numpy() for name, form in FORMS.items()}
        answer |= root_mean_square("torch", causal, outputs, exact)
    return answer
