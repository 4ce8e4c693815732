"""What layers begin with: numbers of the published spread, which other tests replace by their own."""

import math
import operator

import numpy as np
import pytest

FRAMEWORK = "each"
# For each layer its sizes, and for each of its parameters the numbers of units on its two sides.
GLOROT = {
    "GeneralAttention": ((53, 101), {"weight": (53, 101)}),
    "AdditiveAttention": ((53, 101, 211), {"w_query": (53, 211), "w_key": (101, 211), "v_score": (211, 1)}),
    "ConcatAttention": ((53, 101, 211), {"w_concat": (154, 211), "v_score": (211, 1)}),
    "LocalMonotonicAttention": ((53, 101, 2), {"weight": (53, 101)}),
    "LocalPredictiveAttention": (
        (53, 101, 211, 2),
        {"weight": (53, 101), "w_position": (53, 211), "v_position": (211, 1)},
    ),
}
NORMAL = {
    "LearnedPositions": ((101, 53), {}),
    "RelativePositionBias": ((53,), {"num_buckets": 102, "max_distance": 211}),
}


def parameter(fw, layer, name):
    if fw.name == "tensorflow" and not layer.built:
        layer.build(None)
    return fw.numpy(getattr(layer, name))


@pytest.mark.parametrize("name", GLOROT)
def test_matrices_are_uniform_between_the_bounds_of_glorot(fw, name):
    sizes, parameters = GLOROT[name]
    layer = getattr(fw.attn, name)(*sizes, seed=1)
    for each, (fan_in, fan_out) in parameters.items():
        values = parameter(fw, layer, each)
        if fw.name == "tensorflow" and values.ndim == 1:
            fan_out = fan_in  # Keras takes the length of a vector for both
        limit = math.sqrt(6 / (fan_in + fan_out))
        assert values.dtype == np.float32
        # Uniform: nothing outside, something close to both ends, and as much spread as between them.
        np.testing.assert_array_less(abs(values), limit * (1 + 1e-6), err_msg=each)
        assert values.min() < -0.95 * limit and values.max() > 0.95 * limit, each
        np.testing.assert_allclose(values.std(), limit / math.sqrt(3), rtol=0.1, err_msg=each)


@pytest.mark.parametrize(
    "name, sizes, vector",
    [
        ("AdditiveAttention", (5, 7, 2), "v_score"),
        ("ConcatAttention", (5, 7, 2), "v_score"),
        ("LocalPredictiveAttention", (5, 7, 2, 3), "v_position"),
    ],
)
def test_the_other_side_of_a_vector_is_one_unit(fw, name, sizes, vector):
    """Many short ones: in the bound of a long one a unit more or less does not show."""
    layers = [getattr(fw.attn, name)(*sizes, seed=seed) for seed in range(60)]
    largest = max(abs(parameter(fw, layer, vector)).max() for layer in layers)
    limit = math.sqrt(6 / (2 + (2 if fw.name == "tensorflow" else 1)))
    assert 0.95 * limit < largest < limit * (1 + 1e-6)


BIASES = {
    "PatchEmbedding": ((2, 3, 5), ["b_patch"]),
    "FeedForward": ((5, 7), ["b_hidden", "b_output"]),
    "MultiHeadAttention": ((6, 2), ["b_query", "b_key", "b_value", "b_output"]),
}


@pytest.mark.parametrize("name", BIASES)
def test_biases_begin_at_zero(fw, name):
    sizes, biases = BIASES[name]
    layer = getattr(fw.attn, name)(*sizes, seed=1)
    for each in biases:
        values = parameter(fw, layer, each)
        assert values.dtype == np.float32 and values.ndim == 1
        np.testing.assert_array_equal(values, 0)


@pytest.mark.parametrize("name", NORMAL)
def test_tables_are_normal_with_a_small_spread(fw, name):
    sizes, options = NORMAL[name]
    weight = parameter(fw, getattr(fw.attn, name)(*sizes, **options, seed=1), "weight")
    assert weight.dtype == np.float32
    np.testing.assert_allclose(weight.std(), 0.02, rtol=0.1)
    np.testing.assert_allclose(weight.mean(), 0, atol=0.002)
    assert abs(weight).max() > 0.05  # no number of a uniform distribution of this spread would be
    np.testing.assert_array_equal(parameter(fw, getattr(fw.attn, name)(*sizes, **options, seed=1), "weight"), weight)
    assert not np.allclose(parameter(fw, getattr(fw.attn, name)(*sizes, **options, seed=2), "weight"), weight)


def test_the_parts_of_a_decoder_do_not_begin_alike(fw):
    """From one seed each, two matrices would be the same numbers, but for their scale."""
    sizes = {"d_input": 17, "units": 19, "d_memory": 23}
    bahdanau = fw.attn.BahdanauDecoder(**sizes, d_hidden=19, seed=1)
    luong = fw.attn.LuongDecoder(**sizes, attention=fw.attn.GeneralAttention(19, 23, seed=2), seed=1)
    gru = {"numpy": "w_input", "torch": "weight_ih", "tensorflow": "cell.kernel"}[fw.name]
    for decoder in (bahdanau, luong):
        if fw.name == "tensorflow":
            decoder.build(None)
        weight = operator.attrgetter(f"gru.{gru}")(decoder)
        other = parameter(fw, luong, "w_combine") if decoder is luong else parameter(fw, bahdanau.attention, "w_query")
        one, two = (np.ravel(x)[: other.size] for x in (fw.numpy(weight), other))
        assert abs(np.corrcoef(one, two)[0, 1]) < 0.5
