"""TensorFlow, counted: the error in float32."""

import tensorflow as tf

from scripts.bench.error import root_mean_square
from scripts.bench.inputs import heads
from scripts.bench.numpy_attention import naive
from scripts.bench.tensorflow_attention import FORMS


def values(quick):
    arrays = heads(64 if quick else 1024)[:3]
    answer = {}
    for causal in (False, True):
        exact = naive(*(x.astype("float64") for x in arrays), causal)
        outputs = {name: form(*map(tf.constant, arrays), causal).numpy() for name, form in FORMS.items()}
        answer |= root_mean_square("tensorflow", causal, outputs, exact)
    return answer
