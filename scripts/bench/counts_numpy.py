"""NumPy, counted: what tiled attention holds, and how far float32 is from float64."""

import tracemalloc

import numpy as np

import attnlib.numpy as attn
from scripts.bench.error import root_mean_square
from scripts.bench.inputs import HEADS, WIDTH, heads
from scripts.bench.numpy_attention import naive


def peak_bytes(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def values(quick):
    answer = {}
    for length in (64,) if quick else (256, 1024, 4096):
        q, k, v, _ = heads(length)
        for causal in (False, True):
            held = peak_bytes(lambda c=causal: attn.tiled_attention(q, k, v, causal=c))  # noqa: B023 (called at once)
            where = f"numpy tiled, {length}, {'causal' if causal else 'full'}"
            answer[f"{where}: MiB held beyond the output"] = (held - 4 * HEADS * length * WIDTH) / 2**20
    q, k, v, _ = heads(64 if quick else 1024)
    for causal in (False, True):
        exact = naive(*(x.astype(np.float64) for x in (q, k, v)), causal)
        outputs = {"naive": naive(q, k, v, causal)}
        for impl in ("explicit", "tiled"):
            outputs[impl] = attn.scaled_dot_product_attention(q, k, v, causal=causal, impl=impl)
        answer |= root_mean_square("numpy", causal, outputs, exact)
    return answer
