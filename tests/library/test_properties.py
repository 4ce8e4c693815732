"""What must hold of attention whatever the numbers: shapes are drawn by hypothesis."""

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

FRAMEWORK = "each"
sizes = st.tuples(*[st.integers(1, 6)] * 5)  # batch, q_len, k_len, d, d_v
seeds = st.integers(0, 10_000)
CLOSE = {"rtol": 1e-9, "atol": 1e-12}


def draw(seed, sizes, scale=1.0):
    b, q_len, k_len, d, d_v = sizes
    rng = np.random.default_rng(seed)
    return rng, *(scale * rng.normal(size=s) for s in ((b, q_len, d), (b, k_len, d), (b, k_len, d_v)))


def attend(fw, q, k, v, **options):
    options = {n: fw.array(x) if isinstance(x, np.ndarray) else x for n, x in options.items()}
    result = fw.attn.scaled_dot_product_attention(*map(fw.array, (q, k, v)), **options)
    return tuple(map(fw.numpy, result)) if isinstance(result, tuple) else fw.numpy(result)


@given(seed=seeds, sizes=sizes, scale=st.sampled_from([1.0, 30.0, 1e4]))
def test_weights_sum_to_one_or_zero_and_the_output_lies_among_the_values(fw, seed, sizes, scale):
    rng, q, k, v = draw(seed, sizes, scale)
    mask = rng.random((q.shape[0], q.shape[1], k.shape[1])) < 0.5
    output, weights = attend(fw, q, k, v, mask=mask, return_weights=True)
    assert (weights >= 0).all() and (weights[~mask] == 0).all()
    np.testing.assert_allclose(weights.sum(-1), mask.any(-1), rtol=1e-12)
    assert (output[~mask.any(-1)] == 0).all()
    lowest, highest = v.min(1, keepdims=True), v.max(1, keepdims=True)
    inside = (output >= lowest - 1e-9 * scale) & (output <= highest + 1e-9 * scale)
    assert inside[mask.any(-1)].all()


@given(seed=seeds, sizes=sizes, at=st.integers(0, 5))
def test_changing_the_future_changes_nothing_before_it(fw, seed, sizes, at):
    b, n, _, d, d_v = sizes
    rng, q, k, v = draw(seed, (b, n, n, d, d_v))
    at = min(at, n - 1)
    before = attend(fw, q, k, v, causal=True)
    for x in (q, k, v):
        x[:, at:] = 100 * rng.normal(size=x[:, at:].shape)
    after = attend(fw, q, k, v, causal=True)
    np.testing.assert_array_equal(after[:, :at], before[:, :at])
    assert not np.allclose(after[:, at:], before[:, at:])


@given(seed=seeds, sizes=sizes)
def test_one_query_at_a_time_equals_all_at_once(fw, seed, sizes):
    b, n, _, d, d_v = sizes
    _, q, k, v = draw(seed, (b, n, n, d, d_v))
    together = attend(fw, q, k, v, causal=True)
    for t in range(n):
        step = attend(fw, q[:, t : t + 1], k[:, : t + 1], v[:, : t + 1], causal=True)
        np.testing.assert_allclose(step[:, 0], together[:, t], **CLOSE)


@given(seed=seeds, sizes=sizes, padding=st.integers(1, 4))
def test_padding_changes_nothing(fw, seed, sizes, padding):
    rng, q, k, v = draw(seed, sizes)
    lengths = np.full(q.shape[0], k.shape[1])
    longer = [np.concatenate([x, 100 * rng.normal(size=(x.shape[0], padding, x.shape[2]))], 1) for x in (k, v)]
    mask = fw.numpy(fw.attn.padding_mask(fw.array(lengths), k.shape[1] + padding))
    np.testing.assert_allclose(attend(fw, q, *longer, mask=mask), attend(fw, q, k, v), **CLOSE)


@given(seed=seeds, sizes=sizes)
def test_permuting_keys_with_values_changes_nothing(fw, seed, sizes):
    rng, q, k, v = draw(seed, sizes)
    order = rng.permutation(k.shape[1])
    np.testing.assert_allclose(attend(fw, q, k[:, order], v[:, order]), attend(fw, q, k, v), **CLOSE)


@given(seed=seeds, sizes=sizes)
def test_permuting_queries_permutes_outputs(fw, seed, sizes):
    rng, q, k, v = draw(seed, sizes)
    order = rng.permutation(q.shape[1])
    np.testing.assert_allclose(attend(fw, q[:, order], k, v), attend(fw, q, k, v)[:, order], **CLOSE)


@given(seed=seeds, sizes=sizes)
def test_batch_rows_never_see_one_another(fw, seed, sizes):
    _, q, k, v = draw(seed, sizes)
    together = attend(fw, q, k, v)
    for b in range(q.shape[0]):
        np.testing.assert_allclose(attend(fw, q[b], k[b], v[b]), together[b], **CLOSE)


@given(seed=seeds, sizes=sizes, shift=st.sampled_from([-1e4, 1e4]))
def test_a_bias_that_is_the_same_for_every_key_changes_nothing(fw, seed, sizes, shift):
    _, q, k, v = draw(seed, sizes)
    bias = np.full((q.shape[1], 1), shift)
    np.testing.assert_allclose(attend(fw, q, k, v, bias=bias), attend(fw, q, k, v), rtol=1e-7, atol=1e-9)


@given(seed=seeds, sizes=sizes)
def test_identical_keys_give_the_mean_of_the_values(fw, seed, sizes):
    _, q, k, v = draw(seed, sizes)
    output = attend(fw, q, np.broadcast_to(k[:, :1], k.shape).copy(), v)
    np.testing.assert_allclose(output, np.broadcast_to(v.mean(1, keepdims=True), output.shape), **CLOSE)


@given(seed=seeds, sizes=sizes)
def test_a_large_scale_picks_the_best_key(fw, seed, sizes):
    _, q, k, v = draw(seed, sizes)
    best = (q @ k.swapaxes(-1, -2)).argmax(-1)  # [b, q_len]
    expected = np.take_along_axis(v, best[..., None], axis=1)
    scores = np.sort(q @ k.swapaxes(-1, -2), axis=-1)
    clear = scores.shape[-1] == 1 or (scores[..., -1] - scores[..., -2]).min() > 1e-6
    if clear:
        np.testing.assert_allclose(attend(fw, q, k, v, scale=1e9), expected, **CLOSE)


def test_the_same_number_everywhere_stays_the_same(fw):
    """A rounding error in the weights would show here first: they must sum to one."""
    q, k = np.ones((4, 8), np.float32), np.ones((1000, 8), np.float32)
    output = attend(fw, q, k, np.full((1000, 3), 7.0, np.float32))
    np.testing.assert_allclose(output, 7.0, rtol=1e-5)
