"""Decoding in TensorFlow, eagerly: the cache is an object of Python."""

import tensorflow as tf

from scripts.bench import decode


def values(quick):
    layers = {"explicit": {}, "explicit, 2 kv heads": {"num_kv_heads": 2}}
    return decode.values("tensorflow", layers, tf.constant, quick)
