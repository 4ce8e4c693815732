"""TensorFlow: a softmax that knows rows without keys, of the time of the framework's own, which gives them NaN."""

import tensorflow as tf

import attnlib.tensorflow as attn
from scripts.bench.inputs import HEADS, arrays
from scripts.bench.pieces import shares
from scripts.bench.tensorflow_attention import call


def values(quick):
    answer = {}
    for length in (16,) if quick else (256, 1024, 4096):
        scores, grad = map(tf.constant, arrays(2, 1, HEADS, length, length))
        contestants = {
            name: call(function, (scores,), (), grad, True)
            for name, function in {"masked_softmax": attn.masked_softmax, "tf.nn.softmax": tf.nn.softmax}.items()
        }
        answer |= shares(f"tensorflow, {length}, forward + backward", contestants, quick, against="tf.nn.softmax")
    return answer
