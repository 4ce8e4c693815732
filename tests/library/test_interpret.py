"""Rollout: shares by hand, chains of layers, and what it must refuse."""

import numpy as np
import pytest

from attnlib.interpret import rollout


def stochastic(rng, *shape):
    weights = rng.random(shape)
    return weights / weights.sum(axis=-1, keepdims=True)


def test_two_layers_with_a_pencil():
    first = [[1, 0], [0.5, 0.5]]
    second = [[1, 0], [1, 0]]
    # 0.5 (I + A): [[1, 0], [1/4, 3/4]] and [[1, 0], [1/2, 1/2]]; the second times the first
    np.testing.assert_allclose(rollout([[first], [second]]), [[1, 0], [0.5 + 0.125, 0.375]])
    np.testing.assert_allclose(rollout([[first], [second]], residual=0), [[1, 0], [1, 0]])


def test_rows_are_shares_and_nothing_flows_back_through_a_causal_mask():
    rng = np.random.default_rng(0)
    weights = stochastic(rng, 3, 2, 5, 7, 7)  # layers, batch, heads, queries, keys
    shares = rollout(weights)
    assert shares.shape == (2, 7, 7)
    np.testing.assert_allclose(shares.sum(axis=-1), 1)
    causal = np.tril(weights)
    shares = rollout(causal / causal.sum(axis=-1, keepdims=True))
    np.testing.assert_array_equal(shares, np.tril(shares))


def test_rows_of_a_batch_are_independent_and_positions_have_no_order():
    rng = np.random.default_rng(1)
    weights = stochastic(rng, 3, 2, 5, 7, 7)
    np.testing.assert_allclose(rollout(weights)[1], rollout(weights[:, 1]))
    order = rng.permutation(7)
    moved = weights[..., order, :][..., order]
    np.testing.assert_allclose(rollout(moved), rollout(weights)[..., order, :][..., order])


def test_heads_and_residual():
    rng = np.random.default_rng(2)
    weights = stochastic(rng, 1, 3, 5, 5)
    np.testing.assert_allclose(rollout(weights, residual=0), weights[0].mean(axis=0))
    largest = weights[0].max(axis=0)
    expected = largest / largest.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(rollout(weights, residual=0, heads="max"), expected)
    # All of it from the residual connection, nearly: everything stays where it is.
    np.testing.assert_allclose(rollout(weights, residual=0.999), np.eye(5), atol=1e-3)
    # A query that attends to nothing has only its own residual share, also where heads are compared.
    weights[..., 2, :] = 0
    for heads in ("mean", "max"):
        np.testing.assert_allclose(rollout(weights, heads=heads)[2], [0, 0, 0.5, 0, 0])


@pytest.mark.parametrize(
    ("weights", "options", "message"),
    [
        (np.ones((3, 4, 4)), {}, r"\[layers, ..., num_heads, length, length\]: got shape \(3, 4, 4\)"),
        (np.ones((2, 3, 4, 5)), {}, r"got shape \(2, 3, 4, 5\)"),
        (-np.ones((2, 3, 4, 4)), {}, "weights, not scores"),
        (np.full((2, 3, 4, 4), np.nan), {}, "weights, not scores"),
        (np.ones((2, 3, 4, 4)), {"heads": "min"}, "got 'min'"),
        (np.ones((2, 3, 4, 4)), {"residual": 1}, "less than 1: got 1"),
    ],
)
def test_what_cannot_be_rolled_out(weights, options, message):
    with pytest.raises(ValueError, match=message):
        rollout(weights, **options)
