"""The table of cases that drives all three frameworks. Sizes are different primes, so that a swapped axis fails."""

from dataclasses import dataclass, field

import numpy as np

TOLERANCE = {np.float32: {"rtol": 2e-5, "atol": 2e-6}, np.float64: {"rtol": 1e-12, "atol": 1e-13}}


@dataclass(frozen=True)
class Case:
    name: str
    q: tuple = (2, 3, 5)
    k: tuple = (2, 7, 5)
    v: tuple = (2, 7, 11)
    mask: tuple | None = None  # the shape of a random mask
    lengths: tuple | None = None  # key lengths, for a padding mask
    bias: tuple | None = None  # the shape of a random bias
    options: dict = field(default_factory=dict)

    def arrays(self, dtype):
        """q, k, v, and the keyword arguments, as NumPy arrays; the same in every run."""
        rng = np.random.default_rng(17)
        q, k, v = (rng.normal(size=shape).astype(dtype) for shape in (self.q, self.k, self.v))
        options = dict(self.options)
        if self.mask is not None:
            options["mask"] = rng.random(self.mask) < 0.6
        if self.lengths is not None:
            options["mask"] = np.arange(self.k[-2]) < np.array(self.lengths)[:, None, None]
        if self.bias is not None:
            options["bias"] = rng.normal(size=self.bias).astype(dtype)
        return q, k, v, options


CASES = [
    Case("plain"),
    Case("two-dimensional", q=(3, 5), k=(7, 5), v=(7, 11)),
    Case("heads", q=(2, 3, 5, 7), k=(2, 3, 11, 7), v=(2, 3, 11, 13)),
    Case("broadcast keys", q=(2, 3, 5, 7), k=(3, 11, 7), v=(1, 11, 13)),
    Case("one query, one key", q=(2, 1, 5), k=(2, 1, 5), v=(2, 1, 3)),
    Case("scale", options={"scale": 0.3}),
    Case("mask", mask=(2, 3, 7)),
    Case("mask for every batch row", mask=(3, 7)),
    Case("padding, one row all padding", lengths=(4, 0)),
    Case("causal", q=(2, 7, 5), options={"causal": True}),
    Case("causal, fewer queries than keys", options={"causal": True}),
    Case(
        "causal, more queries than keys",
        q=(2, 7, 5),
        k=(2, 3, 5),
        v=(2, 3, 11),
        options={"causal": True},
    ),
    Case("causal and padding", lengths=(2, 5), options={"causal": True}),
    Case("bias", bias=(3, 7)),
    Case("bias, mask, causal, scale", mask=(2, 1, 7), bias=(1, 3, 7), options={"causal": True, "scale": 2.0}),
]
