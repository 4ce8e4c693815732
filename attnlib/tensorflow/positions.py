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

import keras
import tensorflow as tf

from attnlib import _checks


def _normal(seed):
    """Normal with a standard deviation of 0.02."""
    return keras.initializers.RandomNormal(stddev=0.02, seed=seed)


def _check_length(name, n):
    # Lengths may be tensors here, as they are in a graph of unknown length.
    if not tf.is_tensor(n):
        _checks.length(name, n)


def sinusoidal_positions(length, d, *, base=10000.0, dtype=None):
    """`[length, d]`: sines in the even columns, cosines in the odd ones, to be added to `[..., length, d]`.

    base: the longest wave is nearly `2π · base` positions long. dtype: by default float32.

    Raises ValueError for a length or width that is not an integer of at least 1, or a base that is not positive.
    Source: Vaswani et al. (2017), section 3.5.
    """
    _check_length("length", length)
    _checks.length("d", d)
    _checks.positive("base", base)
    column = tf.range(d)
    position = tf.cast(tf.range(length), tf.float64)  # in float32, position 5,000 would be off by 0.0003
    angles = position[:, None] * base ** tf.cast(-2 * (column // 2) / d, tf.float64)  # [length, d]
    return tf.cast(tf.where(column % 2 == 0, tf.sin(angles), tf.cos(angles)), dtype or tf.float32)


@keras.saving.register_keras_serializable(package="attnlib")
class LearnedPositions(keras.layers.Layer):
    """A learned vector for each position, added to what stands there.

    max_len, d: how many positions there are and how wide they are. seed: of the initial `weight` `[max_len, d]`,
    normal with a standard deviation of 0.02.
    Raises ValueError for a size that is not an integer of at least 1.
    Source: Gehring et al. (2017), section 3.1; the initial scale: Radford et al. (2018), section 4.1.
    """

    def __init__(self, max_len, d, *, seed=None, **kwargs):
        super().__init__(**kwargs)
        _checks.length("max_len", max_len)
        _checks.length("d", d)
        self.max_len, self.d, self.seed = max_len, d, seed
        self.supports_masking = True  # what was padding stays padding

    def build(self, x_shape):
        self.weight = self.add_weight(name="weight", shape=(self.max_len, self.d), initializer=_normal(self.seed))

    def call(self, x, *, start=0):
        """`[..., length, d] -> [..., length, d]`: each vector with the one of its position added.

        start: the position of the first vector, as when decoding step by step.

        Raises ValueError when x is too wide or too long, or when start is negative.
        """
        _checks.learned_positions(x, start, self.weight)
        end = start + tf.shape(x)[-2]
        weight = tf.cast(self.weight, x.dtype)
        # What a graph does not know yet is asked when it runs: a slice beyond the end would come out shorter.
        with tf.control_dependencies([tf.debugging.assert_less_equal(end, self.max_len, "x must end within max_len")]):
            return x + weight[start:end]

    def get_config(self):
        return {**super().get_config(), "max_len": self.max_len, "d": self.d, "seed": self.seed}


def _relative_positions(q_len, k_len):
    """`[q_len, k_len]`: how far each key is ahead of each query; the last query stands at the last key."""
    return tf.range(k_len) - (tf.range(q_len)[:, None] + (k_len - q_len))


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
    distance = tf.abs(relative) if bidirectional else tf.maximum(-relative, 0)
    bucket = tf.searchsorted(starts, tf.reshape(distance, [-1]), side="right") - 1  # takes one axis here
    bucket = tf.reshape(bucket, tf.shape(distance))
    return tf.where(relative > 0, bucket + len(starts), bucket) if bidirectional else bucket


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
    _check_length("q_len", q_len)
    _check_length("k_len", k_len)
    _checks.buckets(num_buckets, max_distance, bidirectional)
    starts = _bucket_starts(num_buckets, max_distance, bidirectional)
    return _buckets(_relative_positions(q_len, k_len), starts, bidirectional)


@keras.saving.register_keras_serializable(package="attnlib")
class RelativePositionBias(keras.layers.Layer):
    """A learned number for each bucket of distances and each head, to be added to the scores as `bias`.

    num_heads: how many biases there are. num_buckets, max_distance, bidirectional: see `relative_position_buckets`.
    seed: of the initial `weight` `[num_buckets, num_heads]`, normal with a standard deviation of 0.02.
    T5 shares one such layer among all blocks of a stack and does not scale the dot products.
    Raises ValueError for sizes that are not integers of at least 1 or do not fit together.
    Source: Raffel et al. (2020), section 2.1.
    """

    def __init__(self, num_heads, *, num_buckets=32, max_distance=128, bidirectional=True, seed=None, **kwargs):
        super().__init__(**kwargs)
        _checks.length("num_heads", num_heads)
        _checks.buckets(num_buckets, max_distance, bidirectional)
        self.num_heads, self.num_buckets, self.max_distance = num_heads, num_buckets, max_distance
        self.bidirectional, self.seed = bidirectional, seed
        self.starts = tuple(_bucket_starts(num_buckets, max_distance, bidirectional))
        self.supports_masking = True  # masked queries and keys are welcome, see compute_mask

    def build(self, query_shape, key_shape=None):
        shape = (self.num_buckets, self.num_heads)
        self.weight = self.add_weight(name="weight", shape=shape, initializer=_normal(self.seed))

    def compute_mask(self, query, mask=None):
        """The output is a table of distances, of which none is padding."""
        return None

    def call(self, query, key=None):
        """`[..., q_len, d], [..., k_len, d_key] -> [num_heads, q_len, k_len]`, in the precision of the queries.

        Only the two lengths count, and the last query is aligned to the last key. key: defaults to `query`.

        Raises ValueError for queries or keys that are not sequences.
        """
        key = query if key is None else key
        _checks.sequences(query=query)
        _checks.sequences(key=key)  # of any precision: only its length counts
        relative = _relative_positions(tf.shape(query)[-2], tf.shape(key)[-2])
        bias = tf.gather(self.weight, _buckets(relative, self.starts, self.bidirectional))  # [q_len, k_len, num_heads]
        return tf.cast(tf.transpose(bias, (2, 0, 1)), query.dtype)

    def get_config(self):
        names = ("num_heads", "num_buckets", "max_distance", "bidirectional", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


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
    return tf.constant([2.0**x for x in exponents], dtype or tf.float32)


def alibi_bias(num_heads, q_len, k_len=None, *, dtype=None):
    """`[num_heads, q_len, k_len]`: minus a head's slope times the distance, to be added to the scores as `bias`.

    The last query is aligned to the last key. `k_len` defaults to `q_len`. The paper's attention is causal; here a
    key after the query is as far away as one before it. dtype: by default float32; the bias needs that of q.

    Raises ValueError for a number of heads or a length that is not an integer of at least 1.
    Source: Press, Smith and Lewis (2022), section 3.
    """
    k_len = q_len if k_len is None else k_len
    _check_length("q_len", q_len)
    _check_length("k_len", k_len)
    slopes = alibi_slopes(num_heads, dtype=dtype)
    nearness = -tf.abs(_relative_positions(q_len, k_len))  # [q_len, k_len], zero at the query itself
    return slopes[:, None, None] * tf.cast(nearness, slopes.dtype)


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
    x = tf.convert_to_tensor(x)
    d = tf.shape(x)[-1]
    frequencies = base ** tf.cast(-tf.range(0, d, 2) / d, tf.float64)
    angles = tf.cast(positions, tf.float64)[..., None] * frequencies  # [..., length, d/2]
    precise = tf.cast(x, tf.float32) if x.dtype.size < 4 else x
    cos, sin = tf.cast(tf.cos(angles), precise.dtype), tf.cast(tf.sin(angles), precise.dtype)
    if pairing == "halves":
        a, b = tf.split(precise, 2, axis=-1)
    else:
        a, b = precise[..., 0::2], precise[..., 1::2]
    turned = a * cos - b * sin, a * sin + b * cos
    if pairing == "halves":
        return tf.cast(tf.concat(turned, axis=-1), x.dtype)
    return tf.cast(tf.reshape(tf.stack(turned, axis=-1), tf.shape(x)), x.dtype)


def rotary_permutation(d):
    """`[d]`: the order of a vector's numbers that turns the interleaved pairing of `rotary` into that of halves.

    `rotary(x, positions, pairing="interleaved")[..., order]` is `rotary(x[..., order], positions)`. Ordering the
    columns of each head's query and key projections so moves a trained model from one pairing to the other; scores
    stay what they are. The way back is the inverse permutation, `argsort(order)`.

    Raises ValueError for a width that is not an even integer of at least 2.
    """
    _checks.even("d", d)
    return tf.concat([tf.range(0, d, 2), tf.range(1, d, 2)], axis=0)
