"""Tiled attention in TensorFlow: in graphs of unknown batch and length, under XLA, and what it computes, counted."""

import numpy as np
import pytest
import tensorflow as tf

import attnlib.tensorflow as attn
from attnlib.tensorflow import tiled

FRAMEWORK = "tensorflow"
RNG = np.random.default_rng(0)


def with_gradients(function, tensors):
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        output = function(*tensors)
        loss = tf.reduce_sum(tf.square(output))
    return [output, *tape.gradient(loss, tensors)]


def inputs(b, q_len, k_len):
    return [tf.constant(RNG.normal(size=s)) for s in ((b, q_len, 3), (b, k_len, 3), (b, k_len, 5))]


def assert_same(ours, theirs):
    for one, two in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("jit", [False, True])
def test_in_a_graph_of_unknown_batch_and_length(jit):
    """XLA compiles once for each shape that comes; the trace is the same."""
    unknown = [tf.TensorSpec([None, None, d], tf.float64) for d in (3, 3, 5)]
    masks = tf.TensorSpec([None, 1, None], tf.bool)

    @tf.function(input_signature=[*unknown, masks], jit_compile=jit)
    def graph(q, k, v, mask):
        def function(q, k, v):
            return attn.tiled_attention(q, k, v, mask=mask, causal=True, q_tile=2, k_tile=3)

        return with_gradients(function, [q, k, v])

    for sizes in ((2, 5, 7), (1, 4, 6), (3, 7, 2)):
        tensors = inputs(*sizes)
        mask = tf.constant(RNG.random((sizes[0], 1, sizes[2])) < 0.6)
        explicit = with_gradients(
            lambda *x, m=mask: attn.scaled_dot_product_attention(*x, mask=m, causal=True), tensors
        )
        assert_same(graph(*tensors, mask), explicit)


@pytest.mark.parametrize("shape", [(1, 5, 1), (2, 1, 7), (1, 1, 1)])
def test_what_stands_for_all_queries_or_keys_is_found_when_the_graph_runs(shape):
    """Axes of which the graph does not know that their length is 1: of a mask, of a bias, of the batch."""
    unknown = [tf.TensorSpec([None, None, d], tf.float64) for d in (3, 3, 5)]
    others = [tf.TensorSpec([None] * 3, tf.bool), tf.TensorSpec([None] * 3, tf.float64)]

    @tf.function(input_signature=[*unknown, *others])
    def graph(q, k, v, mask, bias):
        def function(q, k, v, bias):
            return attn.tiled_attention(q, k, v, mask=mask, bias=bias, q_tile=2, k_tile=3)

        return with_gradients(function, [q, k, v, bias])

    q, k, v = inputs(2, 5, 7)
    mask, bias = tf.constant(RNG.random(shape) < 0.6), tf.constant(RNG.normal(size=shape))
    for tensors in ([q, k, v], [q[:1], k, v], [q, k[:1], v[:1]]):
        explicit = with_gradients(
            lambda q, k, v, b: attn.scaled_dot_product_attention(q, k, v, mask=mask, bias=b), [*tensors, bias]
        )
        assert_same(graph(*tensors, mask, bias), explicit)


@pytest.mark.parametrize("shape", [(2, 5, 7), (5, 1), (7,)])
def test_the_bias_gets_its_gradient_whatever_its_shape(shape):
    tensors = [*inputs(2, 5, 7), tf.constant(RNG.normal(size=shape))]

    def attention(impl, **tile):
        def function(q, k, v, bias):
            return impl(q, k, v, bias=bias, causal=True, **tile)

        return with_gradients(function, tensors)

    ours = attention(attn.tiled_attention, q_tile=2, k_tile=3)
    assert_same(ours, attention(attn.scaled_dot_product_attention))


def test_a_second_derivative_is_an_error_and_not_a_wrong_number():
    x = tf.constant(RNG.normal(size=(5, 3)))
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            output = attn.tiled_attention(x, x, x)
        first = inner.gradient(output, x)
    with pytest.raises(RuntimeError, match=r'^tiled attention has no second derivative: use impl="explicit"$'):
        outer.gradient(first, x)


@pytest.mark.parametrize("n", [1, 3])
def test_causal_tiles_above_the_diagonal_are_not_computed(n, monkeypatch):
    """n tiles a side: n (n + 1) / 2 of the n² tiles, exactly (n + 1) / 2n of the work, in each pass."""
    areas, original = [], tiled.tile_scores

    def counted(queries, keys, *rest):
        areas.append(queries.shape[-2] * keys.shape[-2])
        return original(queries, keys, *rest)

    monkeypatch.setattr(tiled, "tile_scores", counted)
    x = tf.constant(RNG.normal(size=(4 * n, 3)))

    def work(causal):
        areas.clear()
        with_gradients(lambda x: attn.tiled_attention(x, x, x, causal=causal, q_tile=4, k_tile=4), [x])
        return sum(areas)

    assert work(False) == 3 * (4 * n) ** 2  # forward, for queries, for keys
    assert 2 * n * work(True) == (n + 1) * work(False)


def sizes_in_graph(function, spec):
    """The number of elements of every tensor in the function's graph and in the bodies of its loops."""
    graphs, sizes = [tf.function(function).get_concrete_function(spec).graph], []
    while graphs:
        graph = graphs.pop()
        for operation in graph.get_operations():
            sizes += [t.shape.num_elements() for t in operation.outputs]
            bodies = (graph._get_function(a.func.name) for a in operation.node_def.attr.values() if a.HasField("func"))
            graphs += [body.graph for body in bodies if body is not None]
    return [size for size in sizes if size is not None]


def test_no_tensor_of_the_size_of_the_scores_is_in_the_graph():
    n, d, tile = 64, 2, 8

    def tiled_form(x):
        return with_gradients(lambda x: attn.tiled_attention(x, x, x, causal=True, q_tile=tile, k_tile=tile), [x])

    def in_a_loop(x):  # the sizes that are found do include those inside loops
        return tf.map_fn(lambda _: attn.scaled_dot_product_attention(x, x, x)[0, 0], tf.range(2), tf.float32)

    spec = tf.TensorSpec([n, d])
    assert max(sizes_in_graph(tiled_form, spec)) == n * d
    assert max(sizes_in_graph(in_a_loop, spec)) == n * n


@pytest.mark.parametrize("dtype, bound", [(tf.bfloat16, 2**-8), (tf.float16, 2**-11)])
def test_half_precision_is_rounded_once(dtype, bound):
    q, k, v = (tf.cast(RNG.normal(size=(2, n, 16)), dtype) for n in (9, 40, 40))
    tensors = [tf.cast(x, tf.float64) for x in (q, k, v)]
    exact = with_gradients(attn.scaled_dot_product_attention, tensors)
    got = with_gradients(lambda *x: attn.tiled_attention(*x, q_tile=4, k_tile=16), [q, k, v])
    assert all(x.dtype == dtype for x in got)
    np.testing.assert_allclose(tf.cast(got[0], tf.float64), exact[0], rtol=bound, atol=1e-6)
    for one, two in zip(got[1:], exact[1:], strict=True):
        np.testing.assert_allclose(tf.cast(one, tf.float64), two, rtol=0.05, atol=10 * bound)
