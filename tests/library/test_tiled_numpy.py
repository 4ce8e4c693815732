"""What tiled attention in NumPy holds and computes, counted."""

import tracemalloc

import numpy as np
import pytest

import attnlib.numpy as attn
from attnlib.numpy import tiled
from attnlib.numpy.backward import tiled_attention_vjp

FRAMEWORK = "numpy"
MIB = 2**20


def peak_memory(function, *arguments, **options):
    """Bytes held at the highest point beyond what was there before."""
    tracemalloc.start()
    try:
        function(*arguments, **options)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("n", [256, 1024, 4096])
def test_memory_is_the_output_and_a_tile(n):
    q, k, v, grad = (np.random.default_rng(0).normal(size=(2, n, 64)).astype(np.float32) for _ in range(4))
    options = {"causal": n == 4096, "mask": np.ones((1, n), bool)}
    assert peak_memory(attn.tiled_attention, q, k, v, **options) < q.nbytes + 12 * MIB
    assert peak_memory(tiled_attention_vjp, q, k, v, grad, **options) < 4 * q.nbytes + 12 * MIB


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
def test_causal_tiles_above_the_diagonal_are_not_computed(n, monkeypatch):
    """n tiles a side: n (n + 1) / 2 of the n² tiles, exactly (n + 1) / 2n of the work, forward and backward."""
    areas = []

    def counted(queries, keys, *rest):
        areas.append(len(queries) * len(keys))
        return original(queries, keys, *rest)

    original = tiled.tile_scores
    monkeypatch.setattr(tiled, "tile_scores", counted)
    monkeypatch.setattr("attnlib.numpy.backward.tile_scores", counted)
    x = np.random.default_rng(0).normal(size=(4 * n, 3))

    def work(function, **options):
        areas.clear()
        function(*[x] * (3 if function is attn.tiled_attention else 4), q_tile=4, k_tile=4, **options)
        return sum(areas)

    for function in (attn.tiled_attention, tiled_attention_vjp):
        assert 2 * n * work(function, causal=True) == (n + 1) * work(function)
