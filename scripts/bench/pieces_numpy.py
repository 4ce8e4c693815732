"""NumPy: the products of tiled attention and its gradients, its passes over the scores, of the plainest code's time."""

import os
import time
from functools import partial
from itertools import product

import numpy as np

from attnlib.numpy import backward as vjp
from attnlib.numpy.tiled import tiles
from scripts.bench.inputs import heads
from scripts.bench.numpy_attention import naive_gradients
from scripts.bench.pieces import shares

TILE = vjp.tiled_attention_vjp.__kwdefaults__


def each_tile(q, k, v, grad):
    """`[rows, d]`, `[cols, d]`, `[cols, d_v]`, `[rows, d_v]` of every tile, and a place for its scores."""
    length = q.shape[-2]
    q_tile, k_tile = (min(TILE[name], length) for name in ("q_tile", "k_tile"))
    held = np.ones((q_tile, k_tile), q.dtype)
    for at in np.ndindex(q.shape[:-2]):
        for rows, cols in product(tiles(length, q_tile), tiles(length, k_tile)):
            yield q[at][rows], k[at][cols], v[at][cols], grad[at][rows], held


def products(*arrays):
    for queries, keys, values, grad, scores in each_tile(*arrays):
        np.matmul(queries, keys.T, out=scores)
        scores @ values
        np.matmul(queries, keys.T, out=scores)  # once more, since they were not kept
        scores.T @ grad
        np.matmul(grad, values.T, out=scores)
        scores.T @ queries
        scores @ keys


def passes(*arrays):
    for *_, scores in each_tile(*arrays):
        peak = scores.max(-1, keepdims=True)
        for _ in range(2):
            scores -= peak
            np.exp(scores, out=scores)
        scores.sum(-1, keepdims=True)
        scores -= peak
        scores *= scores


def in_the_system(call, times):
    """The share of the time in which the system, not NumPy, is at work: it gives new memory, a page at a time."""
    call()
    start, before = time.perf_counter(), os.times().system
    for _ in range(times):
        call()
    return (os.times().system - before) / (time.perf_counter() - start)


def values(quick):
    answer = {}
    for length in (16,) if quick else (256, 1024):
        arrays = heads(length)
        contestants = {
            "naive": partial(naive_gradients, *arrays, False),
            "tiled": partial(vjp.tiled_attention_vjp, *arrays),
            "its seven products": partial(products, *arrays),
            "its passes over the scores": partial(passes, *arrays),
        }
        where = f"numpy, {length}, full, forward + backward"
        answer |= shares(where, contestants, quick)
        share = in_the_system(contestants["tiled"], 1 if quick else 40)
        answer[f"{where}: the system, for new memory, of tiled's time"] = share
    return answer
