"""Decoding in NumPy."""

from scripts.bench import decode


def values(quick):
    return decode.values("numpy", {"explicit": {}, "explicit, 2 kv heads": {"num_kv_heads": 2}}, lambda x: x, quick)
