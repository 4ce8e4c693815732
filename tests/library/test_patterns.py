"""Patterns of masks: by hand, against their formulas one pair at a time, and in attention."""

import re

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from attnlib import _checks

FRAMEWORK = "each"
T, F = True, False
lengths = st.integers(1, 9)
sizes = st.integers(1, 10)
sides = st.one_of(st.none(), st.integers(0, 9))

# What a query at position p sees of the key at position j, both counted along the keys.
PATTERNS = {
    "sliding_window_mask": lambda p, j, left, right: (
        (left is None or p - j <= left) and (right is None or j - p <= right)
    ),
    "block_local_mask": lambda p, j, block: any(b <= p < b + block and b <= j < b + block for b in range(0, 99, block)),
    "strided_mask": lambda p, j, stride: abs(p - j) in range(0, 99, stride),
    "global_token_mask": lambda p, j, tokens: p in tokens or j in tokens,
}


def options(data, name, k_len):
    if name == "sliding_window_mask":
        return {"left": data.draw(sides), "right": data.draw(sides)}
    if name == "global_token_mask":
        return {"tokens": data.draw(st.lists(st.integers(0, k_len - 1), min_size=1, max_size=3))}
    return {"block" if name == "block_local_mask" else "stride": data.draw(sizes)}


@pytest.mark.parametrize("name", PATTERNS)
@given(data=st.data(), q_len=lengths, k_len=lengths)
def test_one_pair_at_a_time(fw, name, data, q_len, k_len):
    chosen = options(data, name, k_len)
    mask = fw.numpy(getattr(fw.attn, name)(q_len, k_len, **chosen))
    assert mask.dtype == bool and mask.shape == (q_len, k_len)
    expected = [[PATTERNS[name](i + k_len - q_len, j, **chosen) for j in range(k_len)] for i in range(q_len)]
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("name", PATTERNS)
@given(data=st.data(), n=lengths)
def test_one_new_query_sees_what_the_last_of_all_sees(fw, name, data, n):
    pattern, chosen = getattr(fw.attn, name), options(data, name, n)
    everything = fw.numpy(pattern(n, **chosen))
    np.testing.assert_array_equal(fw.numpy(pattern(1, n, **chosen))[0], everything[-1])


def test_by_hand(fw):
    attn, numpy = fw.attn, fw.numpy
    np.testing.assert_array_equal(
        numpy(attn.sliding_window_mask(4, left=1)), [[T, F, F, F], [T, T, F, F], [F, T, T, F], [F, F, T, T]]
    )
    np.testing.assert_array_equal(numpy(attn.sliding_window_mask(2, 4, left=1, right=1)), [[F, T, T, T], [F, F, T, T]])
    np.testing.assert_array_equal(
        numpy(attn.block_local_mask(4, block=3)), [[T, T, T, F], [T, T, T, F], [T, T, T, F], [F, F, F, T]]
    )
    np.testing.assert_array_equal(numpy(attn.strided_mask(2, 5, stride=2)), [[F, T, F, T, F], [T, F, T, F, T]])
    np.testing.assert_array_equal(
        numpy(attn.global_token_mask(3, 4, tokens=[1])), [[T, T, T, T], [F, T, F, F], [F, T, F, F]]
    )


@given(q_len=lengths, k_len=lengths)
def test_a_window_without_limits_is_causal_or_everything(fw, q_len, k_len):
    attn, numpy = fw.attn, fw.numpy
    causal = numpy(attn.causal_mask(q_len, k_len))
    np.testing.assert_array_equal(numpy(attn.sliding_window_mask(q_len, k_len, left=None)), causal)
    np.testing.assert_array_equal(numpy(attn.sliding_window_mask(q_len, k_len, left=20)), causal)
    assert numpy(attn.sliding_window_mask(q_len, k_len, left=None, right=None)).all()
    assert numpy(attn.strided_mask(q_len, k_len, stride=1)).all()


@given(n=lengths, left=st.integers(0, 9), right=st.integers(0, 9))
def test_a_two_sided_window_is_two_one_sided_ones(fw, n, left, right):
    window = fw.attn.sliding_window_mask
    both = window(n, left=left, right=None) & window(n, left=None, right=right)
    np.testing.assert_array_equal(fw.numpy(window(n, left=left, right=right)), fw.numpy(both))


def test_longformer_and_sparse_transformer_from_their_parts(fw):
    attn = fw.attn
    longformer = attn.sliding_window_mask(5, left=1, right=1) | attn.global_token_mask(5, tokens=[0])
    np.testing.assert_array_equal(
        fw.numpy(longformer),
        [[T, T, T, T, T], [T, T, T, F, F], [T, T, T, T, F], [T, F, T, T, T], [T, F, F, T, T]],
    )
    # With left = stride and every stride-th key two steps reach every position before, as the paper argues.
    near, far = attn.sliding_window_mask(11, left=3), attn.strided_mask(11, stride=3) & attn.causal_mask(11)
    assert not fw.numpy(near | far).all()
    reached = fw.numpy(near).astype(int) @ fw.numpy(far).astype(int) > 0
    np.testing.assert_array_equal(reached, np.tri(11, dtype=bool))


@given(seed=st.integers(0, 10_000), n=st.integers(2, 9), left=st.integers(0, 3), right=st.integers(0, 3))
def test_what_lies_outside_the_window_changes_nothing(fw, seed, n, left, right):
    rng = np.random.default_rng(seed)
    q, k, v = (rng.normal(size=(2, n, 5)) for _ in range(3))
    mask = fw.attn.sliding_window_mask(n, left=left, right=right)

    def output():
        return fw.numpy(fw.attn.scaled_dot_product_attention(*map(fw.array, (q, k, v)), mask=mask))

    before, at = output(), int(rng.integers(n))
    k[:, at] = 100 * rng.normal(size=(2, 5))
    v[:, at] = 100 * rng.normal(size=(2, 5))
    after, position = output(), np.arange(n)
    inside = (at >= position - left) & (at <= position + right)
    np.testing.assert_array_equal(after[:, ~inside], before[:, ~inside])
    assert not np.isclose(after[:, inside], before[:, inside]).all(axis=(0, 2)).any()


CALLS = [
    ("sliding_window_mask", (0,), {"left": 1}, "q_len must be an integer of at least 1, got 0"),
    ("sliding_window_mask", (3, -1), {"left": 1}, "k_len must be an integer of at least 1, got -1"),
    ("sliding_window_mask", (3,), {"left": -1}, "left must be an integer of at least 0 or None, got -1"),
    ("sliding_window_mask", (3,), {"left": 1, "right": 1.5}, "right must be an integer of at least 0 or None, got 1.5"),
    ("sliding_window_mask", (3,), {"left": True}, "left must be an integer of at least 0 or None, got True"),
    ("block_local_mask", (3,), {"block": 0}, "block must be an integer of at least 1, got 0"),
    ("block_local_mask", (2.0,), {"block": 1}, "q_len must be an integer of at least 1, got 2.0"),
    ("strided_mask", (3,), {"stride": -2}, "stride must be an integer of at least 1, got -2"),
    ("global_token_mask", (3,), {"tokens": []}, "tokens must be a list of positions, at least one, got []"),
    ("global_token_mask", (3,), {"tokens": 1}, "tokens must be a list of positions, at least one, got 1"),
    ("global_token_mask", (5, 3), {"tokens": [0, 3]}, "tokens must be integers from 0 to 2, got 3"),
    ("global_token_mask", (3,), {"tokens": [-1]}, "tokens must be integers from 0 to 2, got -1"),
    ("global_token_mask", (3,), {"tokens": [True]}, "tokens must be integers from 0 to 2, got True"),
]


@pytest.mark.parametrize("name, arguments, chosen, message", CALLS, ids=[f"{c[0]}: {c[3]}" for c in CALLS])
def test_bad_input(fw, name, arguments, chosen, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        getattr(fw.attn, name)(*arguments, **chosen)


def every_pattern(attn, q_len, k_len):
    return (
        attn.sliding_window_mask(q_len, k_len, left=2, right=1) & attn.block_local_mask(q_len, k_len, block=4)
        | attn.strided_mask(q_len, k_len, stride=3)
        | attn.global_token_mask(q_len, k_len, tokens=[1])
    )


def test_inside_a_graph_whose_lengths_are_not_known(fw):
    if fw.name == "torch":
        compiled = fw.torch.compile(
            lambda x, y: every_pattern(fw.attn, x.shape[0], y.shape[0]), fullgraph=True, backend="eager"
        )
        function = lambda q_len, k_len: compiled(fw.torch.ones(q_len), fw.torch.ones(k_len))  # noqa: E731
    elif fw.name == "tensorflow":
        graph = fw.tf.function(
            lambda x, y: every_pattern(fw.attn, fw.tf.shape(x)[0], fw.tf.shape(y)[0]),
            input_signature=[fw.tf.TensorSpec([None])] * 2,
        )
        function = lambda q_len, k_len: graph(fw.tf.ones(q_len), fw.tf.ones(k_len))  # noqa: E731
    else:
        function = lambda q_len, k_len: every_pattern(fw.attn, q_len, k_len)  # noqa: E731
    for q_len, k_len in ((5, 7), (3, 11), (7, 5)):
        expected = [
            [
                abs(p - j) % 3 == 0 or p == 1 or j == 1 or (-1 <= p - j <= 2 and p >= 0 and p // 4 == j // 4)
                for j in range(k_len)
            ]
            for p in range(k_len - q_len, k_len)
        ]
        np.testing.assert_array_equal(fw.numpy(function(q_len, k_len)), expected)


def test_tokens_among_keys_whose_number_is_not_known():
    with pytest.raises(ValueError, match="tokens must be integers from 0, got -1"):
        _checks.tokens([-1], None)
