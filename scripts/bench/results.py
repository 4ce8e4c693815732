"""What the cases answered, and the ratios that follow."""

import statistics
from dataclasses import dataclass, field

# Suite, form, and what it is held against.
COMPARISONS = (
    ("numpy attention", "explicit", "naive"),
    ("numpy attention", "tiled", "naive"),
    ("torch attention", "explicit", "naive"),
    ("torch attention", "tiled", "naive"),
    ("torch attention", "fused", "naive"),
    ("torch attention", "tiled", "F.sdpa"),
    ("torch attention", "fused", "F.sdpa"),
    ("torch multihead", "fused", "nn.MultiheadAttention"),
    ("torch multihead", "fused", "nn, need_weights=False"),
    ("tensorflow attention", "explicit", "naive"),
    ("tensorflow attention", "tiled", "naive"),
    ("keras multihead", "explicit", "keras"),
    ("keras multihead", "tiled", "keras"),
)


@dataclass(frozen=True)
class Row:
    """One comparison at one length: the median over rounds of the time ratio, its quartiles, and both peaks."""

    suite: str
    form: str
    against: str
    length: int
    backward: bool
    causal: bool
    ratio: float
    low: float
    high: float
    milliseconds: float
    against_milliseconds: float
    mib: float | None
    against_mib: float | None

    def where(self):
        return f"{self.suite}, {self.length}, {pass_name(self.backward)}, {mask_name(self.causal)}"


@dataclass
class Results:
    races: dict = field(default_factory=dict)  # (suite, length, backward) -> what the worker's race answered
    values: dict = field(default_factory=dict)  # what was counted, by name

    def rows(self):
        found = []
        for (suite, length, backward), answers in self.races.items():
            runs = {(a["name"], a["causal"]): a for a in answers}
            for its_suite, form, against in COMPARISONS:
                for causal in (False, True) if its_suite == suite else ():
                    both = runs[form, causal], runs[against, causal]
                    found.append(_row((suite, form, against, length, backward, causal), *both))
            if suite.endswith("attention"):
                key = suite, "tiled, causal", "tiled, full", length, backward, True
                found.append(_row(key, runs["tiled", True], runs["tiled", False]))
        return found


def _row(key, one, two):
    ratios = [a / b for a, b in zip(one["seconds"], two["seconds"], strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    times = (1000 * statistics.median(run["seconds"]) for run in (one, two))
    return Row(*key, statistics.median(ratios), low, high, *times, one["mib"], two["mib"])


def pass_name(backward):
    return "forward + backward" if backward else "forward"


def mask_name(causal):
    return "causal" if causal else "full"
