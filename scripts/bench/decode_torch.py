"""Decoding in PyTorch."""

import torch

from scripts.bench import decode


def values(quick):
    layers = {
        f"{impl}, {kv} kv heads": {"impl": impl, "num_kv_heads": kv} for impl in ("fused", "explicit") for kv in (8, 2)
    }
    with torch.no_grad():
        return decode.values("torch", layers, torch.from_numpy, quick)
