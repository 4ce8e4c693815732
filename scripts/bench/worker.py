"""Cases in a process of their own: `python -m scripts.bench.worker CASES`, a list as JSON; so are the answers."""

import importlib
import json
import random
import statistics
import sys
import time

from scripts.bench.memory import Peak

MOST_ROUNDS, MEMORY_ROUNDS = 200, 5


def race(contestants, seconds, fewest):
    """The seconds of each call: every contestant once a round, so that what disturbs the machine disturbs all alike.

    Each round has an order of its own: what a call finds in the caches depends on the one before it. The first is not
    timed: it builds graphs and starts threads.
    """
    times = {name: [] for name in contestants}
    shuffle, end = random.Random(0), time.perf_counter() + seconds
    for number in range(MOST_ROUNDS):
        if number > fewest and time.perf_counter() > end:
            break
        for name in shuffle.sample(list(contestants), len(contestants)):
            start = time.perf_counter()
            result = contestants[name]()
            elapsed = time.perf_counter() - start
            del result
            if number > 0:
                times[name].append(elapsed)
    return times


def peaks(contestants):
    """The memory of each, in MiB: in calls of their own, since measuring takes time from them.

    Of several the median counts: where operations run side by side, what is held at once differs.
    """
    mib = {name: [] for name in contestants}
    for _ in range(MEMORY_ROUNDS):
        for name, call in contestants.items():
            with Peak() as peak:
                call()
            mib[name].append(peak.mib)
    return {name: None if None in found else statistics.median(found) for name, found in mib.items()}


def run(case):
    module = importlib.import_module(f"scripts.bench.{case['module']}")
    if case["length"] is None:
        return module.values(case["quick"])
    contestants = module.contestants(case["length"], case["backward"])
    times, mib = race(contestants, case["seconds"], 1 if case["quick"] else 7), peaks(contestants)
    return [{"name": n, "causal": c, "seconds": times[n, c], "mib": mib[n, c]} for n, c in contestants]


def main():
    print(json.dumps([run(case) for case in json.loads(sys.argv[1])]))


if __name__ == "__main__":
    main()
