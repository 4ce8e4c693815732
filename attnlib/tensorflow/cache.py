"""A cache of keys and values: each step of decoding computes those of its own position and finds the rest here.

    attention of query t  =  Attention(q_t, [K_cache; k_t], [V_cache; v_t])

In a causal pass the keys and values of a position depend on nothing after it, so what was computed once stays
right (Shazeer, "Fast Transformer Decoding", 2019, section 2.4, the incremental form of attention).

A tensor cannot be written into, so each step makes new ones. The cache is an object of Python: use it eagerly, or make
it inside the graph that goes through all the steps.
"""

import tensorflow as tf

from attnlib import _checks


class KVCache:
    """The keys and values of all positions so far, or of the last `window` ones.

    window: how many keys a query sees, its own among them; older ones are forgotten. None keeps all.
    `length` counts what was ever appended, forgotten positions included: it is the position of the next key.
    Raises ValueError for a window that is not an integer of at least 1.
    Source: Shazeer (2019), section 2.4; window: Beltagy, Peters and Cohan (2020), section 3.1.
    """

    def __init__(self, *, window=None):
        if window is not None:
            _checks.length("window", window)
        self.window = window
        self.length = 0
        self._keys = self._values = None

    @property
    def past(self):
        """How many keys from before its own step the next query will see."""
        if self._keys is None:
            return 0
        kept = self._keys.shape[-2]
        return kept if self.window is None or kept is None else min(kept, self.window - 1)

    def append(self, k, v):
        """`[..., n, d], [..., n, d_v] -> [..., k_len, d], [..., k_len, d_v]`: all that the n new queries may see.

        With a window these are the `window - 1` positions before the new ones, and the new ones.

        Raises ValueError when keys and values do not fit together or differ from the cached ones in shape or type.
        """
        _checks.values(k, v)
        n = tf.shape(k)[-2] if k.shape[-2] is None else k.shape[-2]
        if self._keys is not None:
            _checks.continues(k=(k, self._keys), v=(v, self._values))
            k, v = (tf.concat([self._recent(old), new], axis=-2) for old, new in ((self._keys, k), (self._values, v)))
        self._keys, self._values = tf.convert_to_tensor(k), tf.convert_to_tensor(v)
        self.length += n
        return self._keys, self._values

    def mask(self, q_len):
        """`[q_len, k_len]`: which of the keys that `append` returned each of the last `q_len` queries may see.

        None where there is no window. What lies in a query's future is not its concern: that is what `causal` is for.
        """
        if self.window is None:
            return None
        k_len = tf.shape(self._keys)[-2]
        return tf.range(k_len) > tf.range(q_len)[:, None] + (k_len - q_len - self.window)

    def _recent(self, array):
        """What the next query will see of the cached keys or values."""
        if self.window is None:
            return array
        kept = tf.shape(array)[-2]
        return array[..., kept - tf.minimum(kept, self.window - 1) :, :]
