"""TensorFlow, in graph mode: attnlib's two forms against the plainest code for the formula."""

import functools

import tensorflow as tf

import attnlib.tensorflow as attn
from scripts.bench.inputs import heads


def naive(q, k, v, causal):
    scores = tf.matmul(q, k, transpose_b=True) / tf.sqrt(float(q.shape[-1]))
    if causal:
        seen = tf.linalg.band_part(tf.ones(scores.shape[-2:], bool), -1, 0)
        scores = tf.where(seen, scores, -float("inf"))
    return tf.nn.softmax(scores) @ v


def ours(impl, q, k, v, causal):
    return attn.scaled_dot_product_attention(q, k, v, causal=causal, impl=impl)


FORMS = {"naive": naive} | {name: functools.partial(ours, name) for name in ("explicit", "tiled")}


def call(function, inputs, parameters, grad, backward):
    """What is timed: a graph of the function, or of the function and the gradients of what it is computed from.

    The inputs are arguments of the graph: of constants TensorFlow would compute the result while it builds the graph.
    """

    @tf.function
    def forward(*inputs):
        return function(*inputs)

    @tf.function
    def forward_and_backward(*inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            output = function(*inputs)
        return tape.gradient(output, [*inputs, *parameters], output_gradients=grad)

    return functools.partial(forward_and_backward if backward else forward, *inputs)


def contestants(length, backward):
    q, k, v, grad = map(tf.constant, heads(length))
    return {
        (name, causal): call(functools.partial(form, causal=causal), (q, k, v), (), grad, backward)
        for causal in (False, True)
        for name, form in FORMS.items()
    }
