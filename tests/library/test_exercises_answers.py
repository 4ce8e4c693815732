"""The voice of the exercises: what a learner reads, and that a check cannot be fooled or spoiled."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from attnlib.exercises._answers import exercise, require, require_shape, run, same, same_values, unpack

Q = np.arange(6.0).reshape(3, 2)
K = np.arange(8.0).reshape(4, 2)


@exercise
def check_scores(answer):
    """Scores of three queries against four keys."""
    got = run(answer, Q, K)
    require(not same_values(got, Q @ K.T / np.sqrt(2)), "do not scale yet.")
    same(got, Q @ K.T, "the scores", hint="score i, j is query i times key j.")
    return "every score is a dot product."


@exercise
def check_number(answer):
    same(answer, 0.25, "your number")
    return "a quarter."


def test_a_right_answer_is_told_what_it_shows(capsys):
    assert check_scores(lambda q, k: q @ k.T) is True
    assert capsys.readouterr().out == "Correct: every score is a dot product.\n"
    assert check_scores.__name__ == "check_scores"
    assert check_scores.__doc__.startswith("Scores of three")


@pytest.mark.parametrize("nothing", [None, ...])
def test_stubs_are_told_to_write_something(nothing, capsys):
    assert check_number(nothing) is None
    assert check_scores(lambda q, k: nothing) is None
    first, second = capsys.readouterr().out.splitlines()
    assert first == "Not yet: there is nothing to check here: replace the `...` with your answer."
    assert second == "Not yet: your function returned nothing: replace the `...`, and end with `return`."


def raises_deep_inside(q, k):
    return np.matmul(q, k)


def one_batch_too_many(q, k):
    return (q @ k.T)[None]


def singular(q, k):
    return np.linalg.inv(np.zeros((2, 2)))  # mine


def like_keras(q, k):
    raise ValueError(
        "Exception encountered when calling Bad.call().\n\n\x1b[1m{{node MatMul}} sizes differ\x1b[0m\n\nmore"
    )


def half_right(q, k):
    return np.where(np.arange(4) < 2, q @ k.T, 0)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (raises_deep_inside, "your code raised ValueError: matmul: "),
        (raises_deep_inside, " (in the line `return np.matmul(q, k)`)"),
        (singular, "your code raised LinAlgError: Singular matrix (in the line `return np.linalg.inv("),
        (like_keras, "your code raised ValueError: sizes differ (in the line `raise "),
        (lambda: 0, "your code raised TypeError: "),
        (one_batch_too_many, "the scores: the shape is (1, 3, 4), it must be (3, 4). score i, j"),
        (half_right, "the scores: found 0 at [0, 2], expected 5. score i, j is query i times key j."),
        (lambda q, k: q @ k.T * np.nan, "the scores: there is a NaN in it. score i, j"),
        (lambda q, k: q @ k.T / np.sqrt(2), "do not scale yet."),
        (lambda q, k: "scores", "the scores: numbers are expected, not one str."),
        (lambda q, k: [[1.0, 2.0], [3.0]], "the scores: numbers are expected, not a list of 2."),
        (lambda q, k: (q, k), "numbers are expected, not a tuple of 2."),
        (Q, "a function is expected here, not one ndarray of shape (3, 2)."),
    ],
)
def test_wrong_answers_are_told_what_is_wrong(answer, said, capsys):
    assert check_scores(answer) is None
    out = capsys.readouterr().out
    assert out.startswith("Not yet: ")
    assert said in out
    assert out.count("\n") == 1


def test_a_single_number_has_no_place(capsys):
    assert check_number(0.25) is True
    check_number(0.5)
    assert capsys.readouterr().out.endswith("Not yet: your number: found 0.5, expected 0.25.\n")


def test_a_nan_is_right_where_it_is_expected():
    same([np.nan, 1.0], [np.nan, 1.0])
    assert not same_values([1.0, np.nan], [np.nan, 1.0])


def test_masks_must_be_boolean(capsys):
    @exercise
    def check_mask(answer):
        same(answer, np.tri(3, dtype=bool), "the mask", hint="True means may attend.")
        return "nobody sees the future."

    assert check_mask(np.tri(3, dtype=bool)) is True
    assert check_mask(np.tri(3)) is None
    assert check_mask(~np.tri(3, dtype=bool)) is None
    _, numbers, inverted = capsys.readouterr().out.splitlines()
    assert numbers == "Not yet: the mask: True and False are expected, not float64. True means may attend."
    assert inverted == "Not yet: the mask: found 0 at [0, 0], expected 1. True means may attend."


def test_an_answer_that_writes_into_its_input_spoils_nothing():
    def greedy(q, k, more):
        q *= 0
        k -= 1
        more[0][:] = 7
        return q

    q, k, more = Q.copy(), torch.ones(2), [np.zeros(2)]
    run(greedy, q, k, more=more)
    np.testing.assert_array_equal(q, Q)
    assert k.tolist() == [1, 1]
    assert more[0].tolist() == [0, 0]


def test_tensors_are_read_like_arrays_and_keep_their_gradients(capsys):
    weight = torch.full((2,), 0.5, requires_grad=True)
    got = run(lambda x: x * x, weight)
    same(got, [0.25, 0.25])
    got.sum().backward()
    same(weight.grad, [1.0, 1.0])
    assert check_number(torch.tensor(0.25, requires_grad=True)) is True


def test_several_results_are_unpacked_or_asked_for(capsys):
    @exercise
    def check_pair(answer):
        output, weights = unpack(run(answer), "output", "weights")
        require_shape(output, (1,), "the output")
        require_shape(weights, (2,), "the weights")
        return "two results."

    assert check_pair(lambda: (np.ones(1), np.ones(2))) is True
    check_pair(lambda: np.ones(1))
    check_pair(lambda: (np.ones(2), np.ones(1)))
    _, one, swapped = capsys.readouterr().out.splitlines()
    assert one == "Not yet: return 2 values, `output, weights`, not one ndarray of shape (1,)."
    assert swapped == "Not yet: the output: the shape is (2,), it must be (1,)."


def test_a_bug_in_a_check_is_not_blamed_on_the_learner():
    @exercise
    def broken(answer):
        return "…" + answer

    with pytest.raises(TypeError):
        broken(1)


floats = hnp.arrays(np.float64, hnp.array_shapes(max_dims=3, max_side=4), elements=st.floats(-1e3, 1e3))


@given(floats, st.data())
def test_same_accepts_equal_values_and_finds_any_changed_one(expected, data):
    same(expected.tolist(), expected)
    at = tuple(data.draw(st.integers(0, size - 1)) for size in expected.shape)
    changed = expected.copy()
    changed[at] += 1 + abs(changed[at]) / 10
    assert not same_values(changed, expected)
    assert not same_values(expected[None], expected)
