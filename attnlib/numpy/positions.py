"""Positions: attention alone does not know the order of its keys; here are five ways to tell it.

    sinusoidal   x_p + P[p],  P[p, 2i] = sin(p / base^(2i/d)),  P[p, 2i+1] = cos(p / base^(2i/d))
                                                Vaswani et al. (2017), section 3.5
    learned      x_p + W[p]                     Gehring et al. (2017), section 3.1
    relative     s(q_p, k_j) + w[bucket(j - p)] Raffel et al. (2020), section 2.1, "T5"
    ALiBi        s(q_p, k_j) - m |p - j|        Press, Smith and Lewis (2022), section 3
    rotary       (R_p q_p) · (R_j k_j),  R_p turns pair i of a vector by the angle p / base^(2i/d)
                                                Su et al. (2021), section 3.2, "RoPE"

The first two are added to the vectors, the next two to the scores (as `bias`), and the last turns queries and
keys, so that their dot product depends on the distance p - j alone.
"""

import bisect

import numpy as np

from attnlib import _checks


def sinusoidal_positions(length, d, *, base=10000.0, dtype=None):
    """`[length, d]`: sines in the even columns, cosines in the odd ones, to be added to `[..., length, d]`.

    base: the longest wave is nearly `2π · base` positions long. dtype: by default float32.

    Raises ValueError for a length or width that is not an integer of at least 1, or a base that is not positive.
    Source: Vaswani et al. (2017), section 3.5.
    """
    _checks.length("length", length)
    _checks.length("d", d)
    _checks.positive("base", base)
    column = np.arange(d)
    angles = np.arange(length)[:, None] * base ** (-2 * (column // 2) / d)  # [length, d], in float64
    return np.where(column % 2 == 0, np.sin(angles), np.cos(angles)).astype(np.float32 if dtype is None else dtype)


class LearnedPositions:
    """A learned vector for each position, added to what stands there.

    max_len, d: how many positions there are and how wide they are. seed: of the initial `weight` `[max_len, d]`,
    normal with a standard deviation of 0.02.
    Raises ValueError for a size that is not an integer of at least 1.
    Source: Gehring et al. (2017), section 3.1; the initial scale: Radford et al. (2018), section 4.1.
    """

    def __init__(self, max_len, d, *, seed=None):
        _checks.length("max_len", max_len)
        _checks.length("d", d)
        self.weight = np.random.default_rng(seed).normal(0, 0.02, (max_len, d)).astype(np.float32)

    def __call__(self, x, *, start=0):
        """`[..., length, d] -> [..., length, d]`: each vector with the one of its position added.

        start: the position of the first vector, as when decoding step by step.

        Raises ValueError when x is too wide or too long, or when start is negative.
        """
        _checks.learned_positions(x, start, self.weight)
        return x + self.weight[start : start + x.shape[-2]].astype(x.dtype)


def _relative_positions(q_len, k_len):
    """`[q_len, k_len]`: how far each key is ahead of each query; the last query stands at the last key."""
    return np.arange(k_len) - (np.arange(q_len)[:, None] + (k_len - q_len))


def _bucket_starts(num_buckets, max_distance, bidirectional):
    """The distances at which the buckets of one direction begin.

    Half of the buckets hold one distance each; bucket E + i of the other half begins at E (max / E)^(i/n), where E
    and n are the sizes of the two halves. In whole numbers, no rounding of a logarithm can move a boundary.
    """
    size = num_buckets // 2 if bidirectional else num_buckets
    exact, n = size // 2, size - size // 2
    starts = [exact ** (n - i) * max_distance**i for i in range(n)]  # to the power of n
    distances = range(max_distance + 1)
    return [*range(exact), *(bisect.bisect_left(distances, start, key=lambda x: x**n) for start in starts)]


def _buckets(relative, starts, bidirectional):
    distance = np.abs(relative) if bidirectional else np.maximum(-relative, 0)
    bucket = np.searchsorted(starts, distance, side="right") - 1
    return np.where(relative > 0, bucket + len(starts), bucket) if bidirectional else bucket


def relative_position_buckets(q_len, k_len=None, *, num_buckets=32, max_distance=128, bidirectional=True):
    """`[q_len, k_len]`: the number of the bucket that the distance from query to key falls into.

    The nearest distances have a bucket each, further ones share buckets that grow with the logarithm of the
    distance, and from `max_distance` on there is one bucket. bidirectional: keys after the query have the second
    half of the buckets (whose first, for a distance of 0, stays empty); otherwise they all fall into bucket 0, with
    the query's own position.
    The last query is aligned to the last key. `k_len` defaults to `q_len`.

    Raises ValueError for a length that is not an integer of at least 1, too few buckets (an even number where
    bidirectional) or a `max_distance` that the buckets of one distance reach already.
    Source: Raffel et al. (2020), section 2.1.
    """
    k_len = q_len if k_len is None else k_len
    _checks.length("q_len", q_len)
    _checks.length("k_len", k_len)
    _checks.buckets(num_buckets, max_distance, bidirectional)
    starts = _bucket_starts(num_buckets, max_distance, bidirectional)
    return _buckets(_relative_positions(q_len, k_len), starts, bidirectional)


class RelativePositionBias:
    """A learned number for each bucket of distances and each head, to be added to the scores as `bias`.

    num_heads: how many biases there are. num_buckets, max_distance, bidirectional: see `relative_position_buckets`.
    seed: of the initial `weight` `[num_buckets, num_heads]`, normal with a standard deviation of 0.02.
    T5 shares one such layer among all blocks of a stack and does not scale the dot products.
    Raises ValueError for sizes that are not integers of at least 1 or do not fit together.
    Source: Raffel et al. (2020), section 2.1.
    """

    def __init__(self, num_heads, *, num_buckets=32, max_distance=128, bidirectional=True, seed=None):
        _checks.length("num_heads", num_heads)
        _checks.buckets(num_buckets, max_distance, bidirectional)
        self.bidirectional = bidirectional
        self.starts = np.array(_bucket_starts(num_buckets, max_distance, bidirectional))
        self.weight = np.random.default_rng(seed).normal(0, 0.02, (num_buckets, num_heads)).astype(np.float32)

    def __call__(self, query, key=None):
        """`[..., q_len, d], [..., k_len, d_key] -> [num_heads, q_len, k_len]`, in the precision of the queries.

        Only the two lengths count, and the last query is aligned to the last key. key: defaults to `query`.

        Raises ValueError for queries or keys that are not sequences.
        """
        key = query if key is None else key
        _checks.sequences(query=query)
        _checks.sequences(key=key)  # of any precision: only its length counts
        relative = _relative_positions(query.shape[-2], key.shape[-2])
        bias = self.weight[_buckets(relative, self.starts, self.bidirectional)]  # [q_len, k_len, num_heads]
        return np.moveaxis(bias, -1, 0).astype(query.dtype)


def alibi_slopes(num_heads, *, dtype=None):
    """`[num_heads]`: how fast each head's bias falls with the distance, 2^(-8/n), 2^(-16/n), … for n heads.

    Where n is not a power of two, the slopes of the next smaller one come first, and then every second slope of the
    next larger one. dtype: by default float32.

    Raises ValueError for a number that is not an integer of at least 1.
    Source: Press, Smith and Lewis (2022), section 3; other numbers of heads: the authors' published code.
    """
    _checks.length("num_heads", num_heads)
    n = 2 ** (num_heads.bit_length() - 1)
    exponents = [-8 * i / n for i in range(1, n + 1)] + [-4 * i / n for i in range(1, 2 * (num_heads - n), 2)]
    return (2.0 ** np.array(exponents)).astype(np.float32 if dtype is None else dtype)


def alibi_bias(num_heads, q_len, k_len=None, *, dtype=None):
    """`[num_heads, q_len, k_len]`: minus a head's slope times the distance, to be added to the scores as `bias`.

    The last query is aligned to the last key. `k_len` defaults to `q_len`. The paper's attention is causal; here a
    key after the query is as far away as one before it. dtype: by default float32; the bias needs that of q.

    Raises ValueError for a number of heads or a length that is not an integer of at least 1.
    Source: Press, Smith and Lewis (2022), section 3.
    """
    k_len = q_len if k_len is None else k_len
    _checks.length("q_len", q_len)
    _checks.length("k_len", k_len)
    slopes = alibi_slopes(num_heads, dtype=dtype)
    nearness = -np.abs(_relative_positions(q_len, k_len))  # [q_len, k_len], zero at the query itself
    return slopes[:, None, None] * nearness.astype(slopes.dtype)


def rotary(x, positions, *, base=10000.0, pairing="halves"):
    """`[..., length, d], [..., length] -> [..., length, d]`: each pair of numbers turned by an angle of its position.

    x: queries or keys of one head, of even width. positions: numbers that broadcast to `[..., length]`.
    pairing: "halves" pairs number i with number i + d/2 (GPT-NeoX, Llama in Hugging Face's form);
    "interleaved" pairs numbers 2i and 2i + 1 (the paper, GPT-J, Llama as published). `rotary_permutation` leads
    from one to the other. The wrong one gives a model that runs and is wrong.

    Half precision is computed in float32 and returned as it came.
    Raises ValueError for an odd width, positions that do not fit, or a `pairing` that there is not.
    Source: Su et al. (2021), section 3.2 and eq. 34.
    """
    _checks.rotary(x, positions, base, pairing)
    d = x.shape[-1]
    angles = positions[..., None] * base ** (-np.arange(0, d, 2) / d)  # [..., length, d/2], in float64
    precise = x.astype(np.float32) if x.dtype.itemsize < 4 else x
    cos, sin = np.cos(angles).astype(precise.dtype), np.sin(angles).astype(precise.dtype)
    if pairing == "halves":
        a, b = precise[..., : d // 2], precise[..., d // 2 :]
    else:
        a, b = precise[..., 0::2], precise[..., 1::2]
    turned = a * cos - b * sin, a * sin + b * cos
    if pairing == "halves":
        return np.concatenate(turned, axis=-1).astype(x.dtype)
    return np.stack(turned, axis=-1).reshape(x.shape).astype(x.dtype)


def rotary_permutation(d):
    """`[d]`: the order of a vector's numbers that turns the interleaved pairing of `rotary` into that of halves.

    `rotary(x, positions, pairing="interleaved")[..., order]` is `rotary(x[..., order], positions)`. Ordering the
    columns of each head's query and key projections so moves a trained model from one pairing to the other; scores
    stay what they are. The way back is the inverse permutation, `argsort(order)`.

    Raises ValueError for a width that is not an even integer of at least 2.
    """
    _checks.even("d", d)
    return np.concatenate([np.arange(0, d, 2), np.arange(1, d, 2)])
