"""A cache of keys and values: each step of decoding computes those of its own position and finds the rest here.

    attention of query t  =  Attention(q_t, [K_cache; k_t], [V_cache; v_t])

In a causal pass the keys and values of a position depend on nothing after it, so what was computed once stays
right (Shazeer, "Fast Transformer Decoding", 2019, section 2.4, the incremental form of attention).
"""

import torch

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
        self._start = self._end = 0  # the rows of the buffers that are in use
        self._keys = self._values = None

    @property
    def past(self):
        """How many keys from before its own step the next query will see."""
        kept = self._end - self._start
        return kept if self.window is None else min(kept, self.window - 1)

    def append(self, k, v):
        """`[..., n, d], [..., n, d_v] -> [..., k_len, d], [..., k_len, d_v]`: all that the n new queries may see.

        With a window these are the `window - 1` positions before the new ones, and the new ones.

        Raises ValueError when keys and values do not fit together or differ from the cached ones in shape or type.
        """
        _checks.values(k, v)
        if self._keys is not None:
            _checks.continues(k=(k, self._keys), v=(v, self._values))
        self._start, n = self._end - self.past, k.shape[-2]
        # Autograd remembers what earlier steps were computed from: where gradients are asked for, nothing may be
        # written into the buffers, and they are copied at each step.
        learning = torch.is_grad_enabled() and (k.requires_grad or v.requires_grad)
        if learning or self._keys is None or self._end + n > self._keys.shape[-2]:
            self._keys, self._values = self._grown(self._keys, k, learning), self._grown(self._values, v, learning)
            self._start, self._end = 0, self._end - self._start
        if not learning:
            self._keys[..., self._end : self._end + n, :] = k
            self._values[..., self._end : self._end + n, :] = v
        self._end += n
        self.length += n
        return self._keys[..., self._start : self._end, :], self._values[..., self._start : self._end, :]

    def mask(self, q_len):
        """`[q_len, k_len]`: which of the keys that `append` returned each of the last `q_len` queries may see.

        None where there is no window. What lies in a query's future is not its concern: that is what `causal` is for.
        """
        if self.window is None:
            return None
        k_len = self._end - self._start
        seen = torch.ones(q_len, k_len, dtype=torch.bool, device=self._keys.device)
        return seen.triu(k_len - q_len - self.window + 1)

    def _grown(self, buffer, new, learning):
        """A buffer twice as long as is needed now: what is cached is then copied seldom, on average once."""
        kept = self._end - self._start
        old = [buffer[..., self._start : self._end, :]] if kept else []
        if learning:
            return torch.cat([*old, new], dim=-2)
        grown = new.new_empty(*new.shape[:-2], 2 * (kept + new.shape[-2]), new.shape[-1])
        if kept:
            grown[..., :kept, :] = old[0]
        return grown
