"""Decoding one token at a time: how the time per token grows with a cache, and what recomputing everything costs."""

import importlib
import statistics
import time

from scripts.bench.inputs import D_MODEL, HEADS, arrays

SHORT, LONG = 128, 1024
WINDOW = 32  # tokens that are timed around each of the two lengths


def seconds_per_token(attn, layer, tokens, length):
    """With a cache of about `length` positions, filled first."""
    cache = attn.KVCache()
    layer(tokens[:, : length - WINDOW // 2], causal=True, cache=cache)
    times = []
    for at in range(length - WINDOW // 2, length + WINDOW // 2):
        start = time.perf_counter()
        layer(tokens[:, at : at + 1], causal=True, cache=cache)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def seconds_recomputed(layer, tokens, length):
    start = time.perf_counter()
    layer(tokens[:, :length], causal=True)
    return time.perf_counter() - start


def values(framework, options, to_array, quick):
    """For each layer the median of several runs, the short and the long cache in turn."""
    attn = importlib.import_module(f"attnlib.{framework}")
    (tokens,) = arrays(1, 1, LONG + WINDOW, D_MODEL)
    tokens, answer = to_array(tokens), {}
    for name, arguments in options.items():
        layer = attn.MultiHeadAttention(D_MODEL, HEADS, **arguments)
        seconds_per_token(attn, layer, tokens, SHORT)
        rounds = [[seconds_per_token(attn, layer, tokens, n) for n in (SHORT, LONG)] for _ in range(1 if quick else 9)]
        again = [[seconds_recomputed(layer, tokens, n) for n in (SHORT, LONG)] for _ in range(1 if quick else 3)]
        label = f"{framework} {name}"
        answer[f"{label}: microseconds a token at {SHORT}"] = 1e6 * statistics.median(short for short, _ in rounds)
        answer[f"{label}: microseconds a token at {LONG}"] = 1e6 * statistics.median(long for _, long in rounds)
        answer[f"{label}: growth with a cache"] = statistics.median(long / short for short, long in rounds)
        answer[f"{label}: growth when recomputed"] = statistics.median(long / short for short, long in again)
        cached, recomputed = (statistics.median(long for _, long in pairs) for pairs in (rounds, again))
        answer[f"{label}: cache against recomputing at {LONG}"] = cached / recomputed
    return answer
