"""The exercises of "Queries, keys and values": right answers pass, wrong ones are told which mistake they are."""

import math

import numpy as np
import pytest

import attnlib.numpy as attn
from attnlib.exercises import queries_keys_values as ex


def said(capsys, check, answer):
    """What a check prints, after making sure that it does not accept the answer."""
    assert check(answer) is None
    out = capsys.readouterr().out
    assert out.startswith("Not yet: ")
    return out


@pytest.mark.parametrize("check", [ex.check_hard, ex.check_grad_query, ex.check_weight_per_label, ex.check_is_right])
def test_stubs_are_told_to_write_something(check, capsys):
    assert "replace the `...`" in said(capsys, check, lambda *args: ...)


@pytest.mark.parametrize(
    ("gap", "mistake"),
    [
        (math.log(99), "there are 999 of them"),
        (math.log(0.99), "ln 0.99 is below 0"),
        (math.log(999), "half of the weight"),
        (-math.log(99 * 999), "the sign is not"),
        (99 * 999, "take the logarithm"),
        (8.0, "A larger gap"),
        (20.0, "A smaller gap"),
        (-5000.0, "A larger gap"),
        (..., "replace the `...`"),
    ],
)
def test_gap(gap, mistake, capsys):
    assert ex.check_gap(math.log(99 * 999)) is True
    assert ex.check_gap(11.5) is True
    capsys.readouterr()
    assert mistake in said(capsys, ex.check_gap, gap)


def hard(q, k, v, *, choose=np.argmax):
    weights = np.eye(len(k))[choose(q @ k.T, axis=-1)]
    return weights @ v, weights


def over_queries(q, k, v):
    scores = q @ k.T
    weights = (scores == scores.max(axis=0)).astype(float)
    return weights @ v, weights


def soft(q, k, v):
    weights = attn.masked_softmax(q @ k.T)
    return weights @ v, weights


@pytest.mark.parametrize(
    ("answer", "mistake"),
    [
        (soft, "these are softmax weights"),
        (lambda q, k, v: hard(q, k, v, choose=np.argmin), "smallest dot product"),
        (over_queries, "you chose a query for each key"),
        (lambda q, k, v: hard(q, k, v)[0], "return 2 values"),
        (lambda q, k, v: (hard(q, k, v)[0] + 1, hard(q, k, v)[1]), "the answers: found"),
        (lambda q, k, v: (v[:3], hard(q, k, v)[1][::-1]), "the weights: found"),
    ],
)
def test_hard(answer, mistake, capsys):
    assert ex.check_hard(hard) is True
    capsys.readouterr()
    assert mistake in said(capsys, ex.check_hard, answer)


def grad_query(q, keys, values, c, g, *, scaled=True, minus_answer=True, weighted=True):
    w = attn.masked_softmax(c * keys @ q)
    ds = (values - w @ values if minus_answer else values) @ g
    return (c if scaled else 1) * (w * ds if weighted else ds) @ keys


@pytest.mark.parametrize(
    ("wrong", "mistake"),
    [
        ({"scaled": False}, "the scale is missing"),
        ({"minus_answer": False}, "subtract the answer"),
        ({"weighted": False}, "multiply the gradient of each score by its weight"),
    ],
)
def test_grad_query(wrong, mistake, capsys):
    assert ex.check_grad_query(grad_query) is True
    capsys.readouterr()
    assert mistake in said(capsys, ex.check_grad_query, lambda *args: grad_query(*args, **wrong))
    assert "ds_j" in said(capsys, ex.check_grad_query, lambda *args: -grad_query(*args))


def weight_per_label(weights, labels, count):
    return weights @ np.eye(count)[labels]


def overwriting(weights, labels, count):
    out = np.zeros((len(weights), count))
    out[:, labels] += weights
    return out


@pytest.mark.parametrize(
    ("answer", "mistake"),
    [
        (overwriting, "overwrite one another"),
        (lambda weights, labels, count: weights[:, labels], "labels are no positions"),
        (lambda weights, labels, count: weight_per_label(weights, labels, max(labels) + 1), "the shape is (2, 3)"),
    ],
)
def test_weight_per_label(answer, mistake, capsys):
    assert ex.check_weight_per_label(weight_per_label) is True
    capsys.readouterr()
    assert mistake in said(capsys, ex.check_weight_per_label, answer)


def against_attnlib(*sizes):
    """A learner's test: compare with the right function for q_len, k_len, d, d_v."""
    q_len, k_len, d, d_v = sizes
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(q_len, d)), rng.normal(size=(k_len, d)), rng.normal(size=(k_len, d_v))
    return lambda lookup: np.allclose(lookup(q, k, v), attn.scaled_dot_product_attention(q, k, v))


def shape_only(lookup):
    ones = np.ones((3, 3))
    return lookup(ones, ones, ones).shape == (3, 3)


@pytest.mark.parametrize(
    ("answer", "mistake"),
    [
        (lambda lookup: False, "calls a right lookup broken"),
        (lambda lookup: True, "lets 7 of 7 broken lookups pass"),
        (lambda lookup: "yes", "return True or False, not str"),
        (shape_only, "lets 7 of 7 broken lookups pass; one has keys and values swapped"),
        (against_attnlib(3, 4, 5, 2), "lets 1 of 7 broken lookups pass; one has transposed weights"),
    ],
)
def test_is_right(answer, mistake, capsys):
    assert ex.check_is_right(against_attnlib(4, 4, 4, 4)) is True
    capsys.readouterr()
    assert mistake in said(capsys, ex.check_is_right, answer)


def test_a_gap_is_one_finite_number(capsys):
    assert "It is one number" in said(capsys, ex.check_gap, [11.5])
    assert "a finite number" in said(capsys, ex.check_gap, math.nan)


def test_hard_takes_the_dot_product_not_the_angle(capsys):
    def cosine(q, k, v):
        return hard(q, k / np.linalg.norm(k, axis=-1, keepdims=True), v)

    assert "(cosine)" in said(capsys, ex.check_hard, cosine)


def test_hard_is_not_a_scaled_softmax(capsys):
    def soft(q, k, v):
        return attn.scaled_dot_product_attention(q, k, v, return_weights=True)

    assert "these are softmax weights" in said(capsys, ex.check_hard, soft)
