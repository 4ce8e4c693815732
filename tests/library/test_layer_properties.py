"""What must hold of every layer whatever its score function: layer and shapes are drawn by hypothesis."""

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings

FRAMEWORK = "each"
D = 6
MAKE = {
    "dot": lambda attn: attn.DotProductAttention(),
    "general": lambda attn: attn.GeneralAttention(D, D, seed=1),
    "additive": lambda attn: attn.AdditiveAttention(D, D, 5, seed=2),
    "concat": lambda attn: attn.ConcatAttention(D, D, 5, seed=3),
    "cosine": lambda attn: attn.CosineAttention(),
    "multi-head": lambda attn: attn.MultiHeadAttention(D, 3, seed=4),
    "grouped-query": lambda attn: attn.MultiHeadAttention(D, 4, num_kv_heads=2, head_dim=3, seed=5),
}
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
over_layers = given(
    name=st.sampled_from(sorted(MAKE)), seed=st.integers(0, 10_000), sizes=st.tuples(*[st.integers(1, 5)] * 3)
)
few = settings(max_examples=15)


def draw(fw, name, seed, sizes):
    """The layer as a function on arrays, a generator, and random queries and keys."""
    layer = MAKE[name](fw.attn)
    rng = np.random.default_rng(seed)
    batch, q_len, k_len = sizes
    query, key = (rng.normal(size=(batch, n, D)).astype(np.float32) for n in (q_len, k_len))

    def call(*arrays, **options):
        options = {n: fw.array(x) if isinstance(x, np.ndarray) else x for n, x in options.items()}
        result = layer(*map(fw.array, arrays), **options)
        return tuple(map(fw.numpy, result)) if isinstance(result, tuple) else fw.numpy(result)

    return call, rng, query, key


@few
@over_layers
def test_weights_sum_to_one_or_zero(fw, name, seed, sizes):
    call, rng, query, key = draw(fw, name, seed, sizes)
    mask = rng.random((query.shape[0], query.shape[1], key.shape[1])) < 0.5
    _, weights = call(query, key, attention_mask=mask, return_weights=True)
    if weights.ndim == 4:  # one for each head
        mask = np.broadcast_to(mask[:, None], weights.shape)
    assert (weights >= 0).all() and (weights[~mask] == 0).all()
    np.testing.assert_allclose(weights.sum(-1), mask.any(-1), rtol=1e-5)


@few
@over_layers
def test_changing_the_future_changes_nothing_before_it(fw, name, seed, sizes):
    call, rng, x, _ = draw(fw, name, seed, sizes)
    at = rng.integers(x.shape[1])
    before = call(x, causal=True)
    x[:, at:] = 10 * rng.normal(size=x[:, at:].shape)
    after = call(x, causal=True)
    np.testing.assert_allclose(after[:, :at], before[:, :at], **CLOSE)
    assert not np.allclose(after[:, at:], before[:, at:])


@few
@over_layers
def test_padding_changes_nothing(fw, name, seed, sizes):
    call, rng, query, key = draw(fw, name, seed, sizes)
    k_len = key.shape[1]
    longer = np.concatenate([key, 100 * rng.normal(size=(len(key), 3, D)).astype(np.float32)], axis=1)
    mask = np.arange(k_len + 3)[None, None] < np.full((len(key), 1, 1), k_len)
    np.testing.assert_allclose(call(query, longer, attention_mask=mask), call(query, key), **CLOSE)


@few
@over_layers
def test_permuting_keys_changes_nothing_and_permuting_queries_permutes_outputs(fw, name, seed, sizes):
    call, rng, query, key = draw(fw, name, seed, sizes)
    value = rng.normal(size=key.shape).astype(np.float32)
    of_keys, of_queries = (rng.permutation(x.shape[1]) for x in (key, query))
    got = call(query[:, of_queries], key[:, of_keys], value[:, of_keys])
    np.testing.assert_allclose(got, call(query, key, value)[:, of_queries], **CLOSE)


@few
@over_layers
def test_batch_rows_never_see_one_another(fw, name, seed, sizes):
    call, _, query, key = draw(fw, name, seed, sizes)
    together = call(query, key)
    for row in range(len(query)):
        alone = slice(row, row + 1)
        np.testing.assert_allclose(call(query[alone], key[alone]), together[alone], **CLOSE)
