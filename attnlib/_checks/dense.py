"""Softmax-weighted values: attention as functions, whole or in tiles, and as layers."""

from attnlib._checks.masks import bias, mask
from attnlib._checks.numbers import length
from attnlib._checks.scores import dot, scores_shape
from attnlib._checks.shapes import leading, same, sequences, shape, show


def values(k, v):
    """One value for each key."""
    sequences(k=k, v=v)
    same("k", -2, "v", -2, "length", k=k, v=v)
    leading(k=k, v=v)


def attend(scores, v, given_mask):
    """Scores `[..., q_len, k_len]` and values `[..., k_len, d_v]`."""
    sequences(scores=scores, v=v)
    same("scores", -1, "v", -2, "k_len", scores=scores, v=v)
    leading(scores=scores, v=v)
    mask("mask", given_mask, shape(scores))


def tiled(q, k, v, given_mask, given_bias, q_tile, k_tile):
    """Queries, keys, values, mask and bias of attention, and tiles of at least one query and one key."""
    dot(q, k)
    values(k, v)
    mask("mask", given_mask, scores_shape(q, k))
    bias(given_bias, q, scores_shape(q, k))
    length("q_tile", q_tile)
    length("k_tile", k_tile)


def no_weights(impl, return_weights):
    """Only the explicit form holds the weights and can return them."""
    if return_weights and impl != "explicit":
        raise ValueError(f'return_weights needs impl="explicit": impl="{impl}" never holds the weights')


def batched(**named):
    """Every argument is `[batch, ..., length, features]`.

    The batch must be there. Without it, states `[batch, features]` would pass for one sequence, and the examples of
    a batch would attend to each other.
    """
    sequences(**named)
    for name, array in named.items():
        if len(shape(array)) < 3:
            raise ValueError(f"{name} must be [batch, ..., length, features], got shape {show(shape(array))}")


def layer(query, key, value):
    """What a layer is called with: sequences with a batch, and one value for each key."""
    named = {"query": query, "key": key, "value": value}
    batched(**named)
    same("key", -2, "value", -2, "length", key=key, value=value)
    leading(**named)
