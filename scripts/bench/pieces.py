"""What a form cannot do without, timed alone: where a target is missed, this says what there is left to gain."""

import statistics

from scripts.bench.worker import race


def shares(where, contestants, quick, against="naive"):
    """`{name: call}`, timed in turn -> the median time of each as a multiple of that of the one called `against`."""
    seconds = race(contestants, 0 if quick else 3, 1 if quick else 5)
    return {
        f"{where}: {name}, of {against}'s time": statistics.median(
            a / b for a, b in zip(times, seconds[against], strict=True)
        )
        for name, times in seconds.items()
        if name != against
    }
