"""What tells well attention from sick: values one knows beforehand, what must not matter, and what must be refused."""

import math
import tracemalloc

import numpy as np
import pytest

from attnlib import measures
from attnlib.numpy import causal_mask, masked_softmax

RNG = np.random.default_rng(0)
UNIFORM = np.full((2, 3, 5, 7), 1 / 7)
ONE_HOT = np.eye(7)[RNG.integers(7, size=(2, 3, 5))]


def some(*shape):
    return masked_softmax(RNG.normal(size=shape))


def test_entropy_of_even_and_of_one_hot_weights():
    np.testing.assert_allclose(measures.entropy(UNIFORM), np.ones((2, 3, 5)))
    np.testing.assert_array_equal(measures.entropy(ONE_HOT), np.zeros((2, 3, 5)))
    assert not np.signbit(measures.entropy(ONE_HOT)).any()  # no "-0.00" on a page
    np.testing.assert_allclose(measures.entropy([[0.5, 0.5, 0, 0]]), [0.5])  # ln 2 / ln 4
    np.testing.assert_allclose(measures.entropy(np.float32([[0.5, 0.25, 0.25]])), [1.5 * math.log(2) / math.log(3)])


def test_entropy_counts_the_keys_that_may_be_seen_only():
    mask = causal_mask(6)
    weights = masked_softmax(np.zeros((6, 6)), mask)
    np.testing.assert_allclose(measures.entropy(weights, mask), [np.nan, 1, 1, 1, 1, 1])
    assert measures.entropy(weights)[2] == pytest.approx(math.log(3) / math.log(6))
    nothing = np.zeros((1, 6), bool)
    np.testing.assert_array_equal(measures.entropy(np.zeros((2, 6)), nothing), [np.nan, np.nan])


def test_saturation_is_a_share_of_the_queries_that_have_a_choice():
    weights = np.array([[1.0, 0, 0], [0.98, 0.02, 0], [0.995, 0.005, 0], [0.4, 0.3, 0.3]])
    assert measures.saturation(weights) == 0.5
    assert measures.saturation(weights, bound=0.97) == 0.75
    mask = np.array([[True, False, False], [True] * 3, [True] * 3, [True] * 3])
    assert measures.saturation(weights, mask) == pytest.approx(1 / 3)
    assert np.isnan(measures.saturation(np.ones((4, 1))))
    assert measures.saturation(ONE_HOT).tolist() == [[1.0] * 3] * 2


def test_similarity_of_equal_disjoint_and_half_equal_heads():
    weights = np.array([[[1.0, 0, 0]], [[0, 0.5, 0.5]], [[0.5, 0.5, 0]]])  # three heads, one query
    np.testing.assert_allclose(measures.head_similarity(weights), [[1, 0, 0.5], [0, 1, 0.5], [0.5, 0.5, 1]])
    same = np.repeat(some(4, 1, 5, 7), 3, axis=1)
    np.testing.assert_allclose(measures.head_similarity(same), np.ones((4, 3, 3)))
    weights = some(3, 5, 7)
    total_variation = np.abs(weights[0] - weights[1]).sum(axis=-1) / 2
    assert measures.head_similarity(weights)[0, 1] == pytest.approx(1 - total_variation.mean())


def test_queries_without_a_choice_do_not_make_heads_similar():
    mask = causal_mask(2)
    weights = np.array([[[1.0, 0], [1, 0]], [[1, 0], [0, 1]]])
    np.testing.assert_allclose(measures.head_similarity(weights, mask), np.eye(2))
    assert measures.head_similarity(weights)[0, 1] == 0.5


def test_mass_is_what_lies_where():
    weights = some(2, 3, 5, 7)
    where = np.arange(7) < 2
    np.testing.assert_allclose(measures.mass(weights, where), weights[..., :2].sum(axis=-1))
    np.testing.assert_allclose(measures.mass(weights, np.True_), np.ones((2, 3, 5)))
    assert measures.mass(masked_softmax(np.zeros((4, 4)), causal_mask(4)), ~causal_mask(4)).max() == 0


def test_rank_and_spread_of_tokens():
    one = np.outer([1.0, -2, 3, 4], [2.0, 5, 7])
    assert measures.effective_rank(one) == pytest.approx(1)
    assert measures.effective_rank(np.eye(5)) == pytest.approx(5)
    assert measures.effective_rank(np.diag([1.0, 1, 0, 0])) == pytest.approx(2)
    assert measures.effective_rank(np.zeros((3, 4))) == 0
    assert measures.token_spread(np.ones((4, 1)) * [2.0, 5, 7]) == pytest.approx(0, abs=1e-12)
    assert measures.token_spread(np.array([[1.0, 2], [-1, -2]])) == pytest.approx(1)
    assert measures.token_spread(np.zeros((3, 4))) == 0
    x = RNG.normal(size=(2, 6, 5))
    for measure in (measures.effective_rank, measures.token_spread):
        assert measure(x).shape == (2,)
        np.testing.assert_allclose(measure(1000 * x), measure(x))  # a size is not a shape


def test_padding_does_not_count_among_the_tokens():
    x = RNG.normal(size=(2, 6, 5))
    real = np.arange(6) < np.array([[4], [6]])
    for measure in (measures.effective_rank, measures.token_spread):
        expected = [measure(x[0, :4]), measure(x[1])]
        np.testing.assert_allclose(measure(x, real), expected)
        np.testing.assert_allclose(measure(np.where(real[..., None], x, 9.0), real), expected)


def test_order_of_keys_queries_and_examples_does_not_matter():
    scores, keys = RNG.normal(size=(4, 3, 5, 7)), RNG.permutation(7)
    mask = RNG.random((4, 1, 5, 7)) < 0.7
    expected = measures.summary(scores, mask=mask)
    queries, examples = RNG.permutation(5), RNG.permutation(4)
    for moved in (
        measures.summary(scores[..., keys], mask=mask[..., keys]),
        measures.summary(scores[:, :, queries], mask=mask[:, :, queries]),
        measures.summary(scores[examples], mask=mask[examples]),
    ):
        for name, value in expected.items():
            np.testing.assert_allclose(moved[name], value, err_msg=name)


def test_what_is_masked_does_not_matter():
    scores, mask = RNG.normal(size=(4, 3, 5, 7)), RNG.random((4, 1, 5, 7)) < 0.6
    expected = measures.summary(scores, mask=mask)
    for hidden in (1e30, -np.inf, np.inf, np.nan):
        for name, value in measures.summary(np.where(mask, scores, hidden), mask=mask).items():
            np.testing.assert_allclose(value, expected[name], err_msg=name)
    # A score of -inf is masked, whoever put it there.
    for name, value in measures.summary(np.where(mask, scores, -np.inf)).items():
        np.testing.assert_allclose(value, expected[name], err_msg=name)


def test_summary_is_the_mean_of_the_measures():
    scores = 3 * RNG.normal(size=(4, 3, 5, 7))
    tokens, weights = RNG.normal(size=(4, 5, 6)), masked_softmax(scores)
    found = measures.summary(scores, tokens=tokens, allowed=np.arange(7) > 0, bound=0.8)
    np.testing.assert_allclose(found["entropy"], measures.entropy(weights).mean(axis=(0, 2)))
    np.testing.assert_allclose(found["saturation"], measures.saturation(weights, bound=0.8).mean(axis=0))
    assert found["saturation"].max() > 0
    pairs = measures.head_similarity(weights).mean(axis=0)
    np.testing.assert_allclose(found["similarity"], (pairs.sum(axis=1) - 1) / 2)
    np.testing.assert_allclose(found["largest"], np.abs(scores).max(axis=(0, 2, 3)))
    np.testing.assert_allclose(found["rank"], measures.effective_rank(tokens).mean())
    np.testing.assert_allclose(found["outside"], weights[..., 0].mean())


def test_summary_of_queries_that_count():
    scores, tokens = RNG.normal(size=(2, 3, 5, 5)), RNG.normal(size=(2, 5, 6))
    real = np.arange(5) < np.array([[5], [3]])
    found = measures.summary(scores, real=real, tokens=tokens, allowed=np.arange(5) > 0)
    weights = masked_softmax(scores)
    both = np.concatenate([weights[0], weights[1][:, :3]], axis=1)  # [heads, 5 + 3 queries, keys]
    np.testing.assert_allclose(found["entropy"], measures.entropy(both).mean(axis=-1))
    np.testing.assert_allclose(found["outside"], both[..., 0].mean())
    np.testing.assert_allclose(found["rank"], measures.effective_rank(tokens, real).mean())
    assert found["largest"].max() == max(np.abs(scores[0]).max(), np.abs(scores[1][:, :3]).max())


def test_the_memory_of_a_look_does_not_grow_with_the_square_of_the_heads():
    def peak(heads):
        scores = np.random.default_rng(0).normal(size=(1, heads, 64, 64))
        tracemalloc.start()
        measures.summary(scores)
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return held / scores.nbytes

    assert peak(32) < 1.2 * peak(4)


def test_one_head_has_no_similarity_and_names_depend_on_what_is_given():
    found = measures.summary(RNG.normal(size=(1, 5, 7)))
    assert set(found) == {"entropy", "saturation", "largest"}
    assert all(value.shape == (1,) for value in found.values())


def test_a_score_that_is_not_finite_is_said_and_not_hidden():
    scores, tokens = RNG.normal(size=(2, 3, 5, 7)), RNG.normal(size=(2, 5, 6))
    scores[1, 2, 3, 4] = np.nan
    found = measures.summary(scores, tokens=tokens, allowed=np.True_)
    assert np.isnan(found["largest"]).tolist() == [False, False, True]
    for name in ("entropy", "saturation", "similarity", "rank", "outside"):
        assert np.isnan(found[name]).all(), name
    scores[1, 2, 3, 4] = np.inf
    assert measures.summary(scores)["largest"][2] == np.inf
    tokens[0, 0, 0] = np.nan
    assert np.isnan(measures.summary(np.zeros((2, 3, 5, 7)), tokens=tokens)["rank"])


def test_half_precision_is_measured_in_double():
    scores = RNG.normal(size=(2, 3, 5, 7)).astype(np.float16)
    for name, value in measures.summary(scores).items():
        assert value.dtype == np.float64
        np.testing.assert_array_equal(value, measures.summary(scores.astype(np.float64))[name])


def test_flat_takes_the_mean_and_of_the_largest_the_largest():
    layers = {"a": {"entropy": np.array([0.2, 0.4]), "largest": np.array([3.0, 5.0])}, "b": {"rank": np.asarray(2.0)}}
    assert measures.flat(layers) == pytest.approx({"a/entropy": 0.3, "a/largest": 5.0, "b/rank": 2.0})
    assert all(type(value) is float for value in measures.flat(layers).values())


def test_grouped_norms():
    squares = {"a.w": 9.0, "b.w": 16.0, "b.b": 4.0}
    assert measures.grouped_norms(squares) == {"a.w": 3, "b.w": 4, "b.b": 2}
    assert measures.grouped_norms(squares, lambda name: name[-1]) == {"w": 5, "b": 2}
    assert math.isnan(measures.grouped_norms({"a": math.nan, "b": 1.0}, lambda name: "all")["all"])


@pytest.mark.parametrize(
    ("function", "arguments", "options", "message"),
    [
        (measures.entropy, (np.ones(3),), {}, r"weights must be \[..., q_len, k_len\], none empty: got shape \(3,\)"),
        (measures.entropy, (np.ones((3, 0)),), {}, r"none empty: got shape \(3, 0\)"),
        (measures.entropy, (-np.ones((2, 3)),), {}, "weights, not scores"),
        (measures.entropy, (np.full((2, 3), np.nan),), {}, "weights, not scores"),
        (measures.entropy, (np.ones((2, 3)), np.ones((2, 3))), {}, "mask must be boolean, got float64"),
        (measures.entropy, (np.ones((2, 3)), np.ones(2, bool)), {}, r"mask must broadcast to the shape \(2, 3\)"),
        (measures.entropy, (np.ones(3)[None], np.ones((2, 3), bool)), {}, "mask must broadcast"),
        (measures.mass, (np.ones((2, 3)), np.ones((2, 3))), {}, "where must be boolean, got float64"),
        (measures.saturation, (np.ones((2, 3)),), {"bound": 1}, "bound must be between 0 and 1: got 1"),
        (measures.head_similarity, (np.ones((2, 3)),), {}, r"num_heads, q_len, k_len\]: got shape \(2, 3\)"),
        (measures.effective_rank, (np.ones(3),), {}, r"x must be \[..., length, features\]"),
        (measures.token_spread, (np.full((2, 3), np.inf),), {}, "x must be finite"),
        (measures.token_spread, (np.ones((2, 3)), np.ones(3, bool)), {}, r"real must broadcast to the shape \(2,\)"),
        (measures.summary, (np.ones((2, 3)),), {}, r"scores must be \[..., num_heads, q_len, k_len\]"),
        (measures.summary, (np.ones((2, 3, 4), int),), {}, "scores must be floating point, got int64"),
        (measures.summary, (np.ones((2, 3, 4)),), {"bound": 0}, "bound must be between 0 and 1: got 0"),
        (measures.summary, (np.ones((2, 3, 4)),), {"allowed": np.ones(4)}, "allowed must be boolean"),
        (measures.summary, (np.ones((2, 3, 4)),), {"real": np.ones(4, bool)}, "real must broadcast"),
    ],
)
def test_what_cannot_be_measured(function, arguments, options, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments, **options)


def test_a_query_with_a_single_key_is_neither_saturated_nor_sure():
    found = measures.summary(np.zeros((2, 3, 4, 4)), mask=causal_mask(4))
    np.testing.assert_allclose(found["entropy"], np.ones(3))
    np.testing.assert_array_equal(found["saturation"], np.zeros(3))
