"""The checks of "Self-attention and many heads": right answers pass, each typical mistake is named."""

import numpy as np
import pytest

from attnlib.exercises import self_attention as ex

ALL = 4 * 512 * 512


def merge(X):
    return np.swapaxes(X, 1, 2).reshape(X.shape[0], X.shape[2], -1)


def step_matrix(d, offset, *, slower=1, sign=1, layout="pairs"):
    R = np.zeros((d, d))
    for i in range(d // 2):
        angle = sign * offset * 10000.0 ** (-2 * i / d / slower)
        a, b = (2 * i, 2 * i + 1) if layout == "pairs" else (i, i + d // 2)
        R[a, a] = R[b, b] = np.cos(angle)
        R[a, b], R[b, a] = -np.sin(angle), np.sin(angle)
    return R


def same_speed(d, offset):
    c, s = np.cos(offset), np.sin(offset)
    return np.kron(np.eye(d // 2), [[c, -s], [s, c]])


def is_equivariant(layer, X, order=(1, 2, 0, 4, 3)):
    order = list(order)
    return np.allclose(layer(X[:, order]), layer(X)[:, order], atol=1e-5)


def invariant(layer, X):
    return np.allclose(layer(X[:, ::-1]), layer(X))


def of_the_sums(layer, X):
    return np.allclose(layer(X[:, [1, 2, 0, 4, 3]]).sum(axis=1), layer(X).sum(axis=1), atol=1e-4)


def of_the_batch(layer, X):
    return np.allclose(layer(X[::-1]), layer(X)[::-1], atol=1e-5)


def sided_mask(heads, length):
    past = np.tri(length, dtype=bool)
    return np.stack([past] * (heads // 2) + [past.T] * (heads // 2))


RIGHT = [
    (ex.check_sizes, (ALL, ALL, 32)),
    (ex.check_merge, (merge,)),
    (ex.check_step_matrix, (step_matrix,)),
    (ex.check_is_equivariant, (is_equivariant,)),
    (ex.check_sided_mask, (sided_mask,)),
]

WRONG = [
    ("there is nothing to check", ex.check_sizes, (..., ..., ...)),
    ("that is one matrix", ex.check_sizes, (ALL // 4, ALL, 32)),
    ("forgot the output matrix", ex.check_sizes, (3 * ALL // 4, ALL, 32)),
    ("one head of eight", ex.check_sizes, (ALL // 8, ALL, 32)),
    ("not to 512", ex.check_sizes, (8 * ALL, ALL, 32)),
    ("four matrices of 512 rows and 8", ex.check_sizes, (7, ALL, 32)),
    ("keep their size", ex.check_sizes, (ALL, 2 * ALL, 32)),
    ("keep their size", ex.check_sizes, (ALL, ALL // 2, 32)),
    ("four matrices of 512 rows and 16", ex.check_sizes, (ALL, 7, 32)),
    ("100 × 100 scores", ex.check_sizes, (ALL, ALL, 100)),
    ("when there are 8", ex.check_sizes, (ALL, ALL, 64)),
    ("the number of heads", ex.check_sizes, (ALL, ALL, 16)),
    ("the width of the model", ex.check_sizes, (ALL, ALL, 512)),
    ("rank size at most", ex.check_sizes, (ALL, ALL, 7)),
    ("returned nothing", ex.check_merge, (lambda X: ...,)),
    ("heads and size become one axis", ex.check_merge, (lambda X: X,)),
    ("reshape alone", ex.check_merge, (lambda X: X.reshape(2, 5, 12),)),
    ("interleaved", ex.check_merge, (lambda X: np.moveaxis(X, 1, -1).reshape(2, 5, 12),)),
    ("heads stand in reversed", ex.check_merge, (lambda X: merge(X[:, ::-1]),)),
    ("words stand in reversed", ex.check_merge, (lambda X: merge(X)[:, ::-1],)),
    ("swapaxes, then reshape", ex.check_merge, (lambda X: 2 * merge(X),)),
    ("returned nothing", ex.check_step_matrix, (lambda d, offset: ...,)),
    ("the shape is", ex.check_step_matrix, (lambda d, offset: np.eye(d + 1),)),
    ("the other way", ex.check_step_matrix, (lambda d, offset: step_matrix(d, offset, sign=-1),)),
    ("the other way", ex.check_step_matrix, (lambda d, offset: step_matrix(d, offset).T,)),
    ("whatever the offset", ex.check_step_matrix, (lambda d, offset: step_matrix(d, 1),)),
    ("too slow or too fast", ex.check_step_matrix, (lambda d, offset: step_matrix(d, offset, slower=2),)),
    ("the same speed", ex.check_step_matrix, (same_speed,)),
    ("columns 2i and 2i", ex.check_step_matrix, (lambda d, offset: step_matrix(d, offset, layout="halves"),)),
    ("returned nothing", ex.check_is_equivariant, (lambda layer, X: ...,)),
    ("a right layer fails", ex.check_is_equivariant, (invariant,)),
    (
        "a right layer fails",
        ex.check_is_equivariant,
        (lambda layer, X: is_equivariant(lambda x: layer(x) + 1e-3 * x[:, :1], X),),
    ),
    ("sinusoidal positions passes", ex.check_is_equivariant, (of_the_batch,)),
    ("Reversing is not enough", ex.check_is_equivariant, (lambda f, X: is_equivariant(f, X, range(4, -1, -1)),)),
    ("reversed order passes", ex.check_is_equivariant, (of_the_sums,)),
    ("one True or False", ex.check_is_equivariant, (lambda f, X: np.isclose(f(X), f(X)),)),
    ("returned nothing", ex.check_sided_mask, (lambda heads, length: ...,)),
    ("One square for each head", ex.check_sided_mask, (lambda heads, length: np.tri(length, dtype=bool),)),
    ("wrong way round", ex.check_sided_mask, (lambda heads, length: sided_mask(heads, length)[::-1],)),
    ("inverted", ex.check_sided_mask, (lambda heads, length: ~sided_mask(heads, length),)),
    (
        "the past alone",
        ex.check_sided_mask,
        (lambda heads, length: np.stack([np.tri(length, dtype=bool)] * heads),),
    ),
    (
        "the diagonal is missing",
        ex.check_sided_mask,
        (lambda heads, length: sided_mask(heads, length) & ~np.eye(length, dtype=bool),),
    ),
    (
        "alternate",
        ex.check_sided_mask,
        (lambda heads, length: sided_mask(heads, length)[[*range(0, heads, heads // 2)] * 2][:heads],),
    ),
    ("True and False are expected", ex.check_sided_mask, (lambda h, n: np.full((h, n, n), 7.0),)),
]


@pytest.mark.parametrize(("check", "answers"), RIGHT, ids=lambda value: getattr(value, "__name__", None))
def test_right_answers_pass(check, answers, capsys):
    assert check(*answers) is True
    assert capsys.readouterr().out.startswith("Correct: ")


@pytest.mark.parametrize(("words", "check", "answers"), WRONG)
def test_wrong_answers_are_told_why(words, check, answers, capsys):
    assert check(*answers) is None
    said = capsys.readouterr().out
    assert said.startswith("Not yet: ")
    assert words in said
