"""What is to be reached: each target picks what was measured for it, and the worst of that meets it or misses it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """values: (results, lengths) -> [(where, number)]; every one must be at most `limit`, and at least `least`."""

    what: str
    limit: float
    values: object
    least: float = 0.0

    def verdict(self, results, lengths):
        """`(worst, where, verdict)`: the number farthest from what it should be; no number, no verdict."""
        found = self.values(results, lengths)
        if not found:
            return None, "", "not measured"
        where, worst = max(found, key=lambda pair: max(pair[1] - self.limit, self.least - pair[1]))
        return worst, where, "met" if self.least <= worst <= self.limit else "missed"


def ratios(form, against, *, suite="", lengths=slice(None), memory=False, **wanted):
    """The time ratios, or those of the peak memory, of the rows that fit."""

    def values(results, all_lengths):
        rows = [
            row
            for row in results.rows()
            if (row.form, row.against) == (form, against)
            and row.suite.startswith(suite)
            and row.length in all_lengths[lengths]
            and all(getattr(row, name) == value for name, value in wanted.items())
        ]
        if memory:
            return [(row.where(), row.mib / max(row.against_mib, 1)) for row in rows if row.mib is not None]
        return [(row.where(), row.ratio) for row in rows]

    return values


def counted(ending, start=""):
    """The counted values whose names begin and end so."""

    def values(results, _):
        return [
            (n.rpartition(":")[0], x) for n, x in results.values.items() if n.startswith(start) and n.endswith(ending)
        ]

    return values


LONG, LONGEST, SHORTEST = slice(1, None), slice(-1, None), slice(0, 1)
NN = "nn.MultiheadAttention"
TARGETS = (
    Target("explicit against the plainest code, N ≥ 1024", 1.2, ratios("explicit", "naive", lengths=LONG)),
    Target('PyTorch "fused" against F.scaled_dot_product_attention', 1.05, ratios("fused", "F.sdpa")),
    Target("NumPy tiled: MiB beyond the output", 12, counted("MiB held beyond the output")),
    Target("NumPy tiled against naive, N ≥ 1024", 0.7, ratios("tiled", "naive", suite="numpy", lengths=LONG)),
    Target("NumPy tiled against naive, N = 256", 1.2, ratios("tiled", "naive", suite="numpy", lengths=SHORTEST)),
    Target("causal tiles: operations over (n + 1) / 2n", 1, counted("causal operations over (n + 1) / 2n"), least=1),
    Target(
        "causal tiles: time of that of all tiles, 4096 (1.7 times faster)",
        1 / 1.7,
        ratios("tiled, causal", "tiled, full", lengths=LONGEST),
    ),
    Target("PyTorch tiled against naive", 0.5, ratios("tiled", "naive", suite="torch")),
    Target("PyTorch tiled against the fused kernel", 1.7, ratios("tiled", "F.sdpa")),
    Target("PyTorch tiled: largest tensor over N × N (below 1)", 0.99, counted("largest tensor over N × N")),
    Target(
        f"PyTorch multi-head against {NN}, N ≥ 1024, forward", 0.7, ratios("fused", NN, lengths=LONG, backward=False)
    ),
    Target(
        f"PyTorch multi-head against {NN}, N ≥ 1024, forward: memory",
        0.1,
        ratios("fused", NN, lengths=LONG, backward=False, memory=True),
    ),
    Target(
        f"PyTorch multi-head against {NN}, forward + backward, causal",
        1.0,
        ratios("fused", NN, backward=True, causal=True),
    ),
    Target("Keras multi-head against Keras's own", 1.0, ratios("explicit", "keras")),
    Target("Keras multi-head, tiled, 4096: memory", 1 / 8, ratios("tiled", "keras", lengths=LONGEST, memory=True)),
    Target("Keras multi-head, tiled, 4096: time", 1.3, ratios("tiled", "keras", lengths=LONGEST)),
    Target("decoding with a cache: growth of time per token, 128 to 1024", 1.5, counted(": growth with a cache")),
    Target("error in float32 against naive's", 1.1, counted(": error against naive's")),
    Target("import attnlib.numpy: milliseconds beyond NumPy's", 30, counted("milliseconds beyond NumPy's")),
)
