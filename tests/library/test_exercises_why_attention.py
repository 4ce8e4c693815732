"""The exercises of "Why attention?": right answers pass, typical wrong ones are told which mistake they are."""

import math

import numpy as np
import pytest

import attnlib.numpy as attn
from attnlib.exercises import why_attention as ex


def said(capsys, check, answer):
    """What a check prints, after making sure that it does not accept the answer."""
    assert check(answer) is None
    out = capsys.readouterr().out
    assert out.startswith("Not yet: ")
    return out


@pytest.mark.parametrize(
    "check",
    [
        ex.check_most_letters,
        ex.check_gaussian_attention,
        ex.check_far_mask,
        ex.check_boxcar_weights,
    ],
)
def test_stubs_are_told_to_write_something(check, capsys):
    assert "replace the `...`" in said(capsys, check, lambda *args, **kwargs: ...)


def test_a_number_left_out_is_told_so(capsys):
    assert "replace the `...`" in said(capsys, ex.check_bandwidth, ...)


def most_letters(d, alphabet, bits=32):
    return math.floor(bits * d / math.log2(alphabet))


@pytest.mark.parametrize(
    ("answer", "mistake"),
    [
        (lambda d, alphabet, bits=32: bits * d // alphabet, "does not cost A bits"),
        (lambda d, alphabet, bits=32: math.floor(bits * d / math.log(alphabet)), "natural logarithm"),
        (lambda d, alphabet, bits=32: math.ceil(bits * d / math.log2(alphabet)), "rounded down"),
        (lambda d, alphabet, bits=32: math.floor(32 * d / math.log2(alphabet)), "use the argument `bits`"),
    ],
)
def test_most_letters(answer, mistake, capsys):
    assert ex.check_most_letters(most_letters) is True
    capsys.readouterr()
    assert mistake in said(capsys, ex.check_most_letters, answer)


@pytest.mark.parametrize(
    ("h", "mistake"),
    [
        (3 / (2 * math.log(9)), "take the square root"),
        (math.sqrt(1 / (2 * math.log(9))), "square the distances"),
        (math.sqrt(3 / math.log(9)), "2h² below"),
        (0.4, "Widen"),
        (3.0, "Narrow"),
        (-1.0, "greater than 0"),
    ],
)
def test_bandwidth(h, mistake, capsys):
    assert ex.check_bandwidth(math.sqrt(3 / (2 * math.log(9)))) is True
    assert ex.check_bandwidth(0.826) is True
    capsys.readouterr()
    out = said(capsys, ex.check_bandwidth, h)
    assert mistake.lower() in out.lower()


def test_the_advice_on_the_bandwidth_points_the_right_way(capsys):
    assert "Narrow the bandwidth" in said(capsys, ex.check_bandwidth, 3.0)
    assert "Widen the bandwidth" in said(capsys, ex.check_bandwidth, 0.4)


def with_bias(bias):
    return lambda q, k, v, h: attn.scaled_dot_product_attention(q, k, v, scale=1 / h**2, bias=bias(k, h))


def right_bias(k, h):
    return -(k**2).sum(axis=-1)[..., None, :] / (2 * h**2)


@pytest.mark.parametrize(
    ("bias", "mistake"),
    [
        (lambda k, h: None, "without the bias"),
        (lambda k, h: -right_bias(k, h), "the sign of the bias is wrong"),
        (lambda k, h: 2 * right_bias(k, h), "twice too large"),
        (lambda k, h: right_bias(k, 1.0), "divide the bias by h²"),
        (lambda k, h: -np.linalg.norm(k, axis=-1)[..., None, :] / (2 * h**2), "must be squared"),
        (lambda k, h: -(k**2).sum(axis=-1) / (2 * h**2), "Error"),  # right, but only without a batch
    ],
)
def test_gaussian_attention(bias, mistake, capsys):
    assert ex.check_gaussian_attention(with_bias(right_bias)) is True
    capsys.readouterr()
    assert mistake in said(capsys, ex.check_gaussian_attention, with_bias(bias))


def far_mask(places, r):
    return np.linalg.norm(places[:, None] - places[None], axis=-1) > r


@pytest.mark.parametrize(
    ("answer", "mistake"),
    [
        (lambda places, r: ~far_mask(places, r), "the mask is inverted"),
        (lambda places, r: ((places[:, None] - places[None]) ** 2).sum(axis=-1) > r, "not its square"),
        (lambda places, r: far_mask(places, r).astype(float), "True and False are expected"),
        (lambda places, r: far_mask(places, max(r, 1.9)), "with r = 0 only the place itself"),
        (
            lambda places, r: (
                (np.linalg.norm(places[:, None] - places[None], axis=-1) >= r) & ~np.eye(len(places), dtype=bool)
            ),
            "a place at distance r exactly",
        ),
    ],
)
def test_far_mask(answer, mistake, capsys):
    assert ex.check_far_mask(far_mask) is True
    capsys.readouterr()
    assert mistake in said(capsys, ex.check_far_mask, answer)


def reached(q, k, h):
    return np.linalg.norm(q[:, None] - k[None], axis=-1) <= h


def boxcar_weights(q, k, h):
    return attn.masked_softmax(np.zeros((len(q), len(k))), reached(q, k, h))


def all_when_none(q, k, h):
    mask = reached(q, k, h)
    return boxcar_weights(q, k, h) + np.where(mask.any(axis=-1, keepdims=True), 0, 1 / len(k))


def over_queries(q, k, h):
    return attn.masked_softmax(np.zeros((len(q), len(k))), reached(q, k, h), axis=0)


def not_a_number(q, k, h):
    mask = reached(q, k, h)
    return mask / mask.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize(
    ("answer", "mistake"),
    [
        (lambda q, k, h: reached(q, k, h).astype(float), "weights must sum to one"),
        (over_queries, "each column sums to one"),
        (not_a_number, "0 / 0 gave NaN"),
        (all_when_none, "it must get zeros"),
        (lambda q, k, h: boxcar_weights(q, k, 2 * h), "equal weight for every key within h"),
    ],
)
def test_boxcar_weights(answer, mistake, capsys):
    assert ex.check_boxcar_weights(boxcar_weights) is True
    capsys.readouterr()
    assert mistake in said(capsys, ex.check_boxcar_weights, answer)


def test_a_number_in_a_list_is_told_so(capsys):
    assert "It is one number" in said(capsys, ex.check_bandwidth, [0.826])


@pytest.mark.parametrize(
    "answer",
    [
        lambda places, r: (np.abs(places[:, None] - places) > r).any(axis=-1),
        lambda places, r: np.abs(places[:, None] - places).sum(axis=-1) > r,
    ],
)
def test_a_mask_of_another_distance_is_told_so(answer, capsys):
    assert "root of the sum of squares" in said(capsys, ex.check_far_mask, answer)


def test_a_mask_may_be_a_list(capsys):
    assert ex.check_far_mask(lambda places, r: [[bool(math.dist(a, b) > r) for b in places] for a in places]) is True


def test_a_bell_within_reach_is_no_boxcar(capsys):
    def bell(q, k, h):
        distances = np.linalg.norm(q[:, None] - k, axis=-1)
        return attn.masked_softmax(-distances, distances <= h)

    assert "keep the distances out" in said(capsys, ex.check_boxcar_weights, bell)
