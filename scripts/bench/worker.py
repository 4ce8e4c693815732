"""Cases in a process of their own: `python -m scripts.bench.worker CASES`, a list as JSON; so are the answers."""

import importlib
import json
import random
import sys
import time
from contextlib import nullcontext

from scripts.bench.memory import Peak

MOST_ROUNDS = 200


def race(contestants, seconds, fewest):
    """Every contestant once a round, so that what disturbs the machine disturbs all of them alike.

    Each round has an order of its own: what a call finds in the caches depends on the one before it.
    The first round is not timed: it builds graphs and starts threads. The second also measures memory.
    """
    times, mib = {name: [] for name in contestants}, {}
    shuffle, end = random.Random(0), time.perf_counter() + seconds
    for number in range(MOST_ROUNDS):
        if number > fewest and time.perf_counter() > end:
            break
        for name in shuffle.sample(list(contestants), len(contestants)):
            with Peak() if number == 1 else nullcontext() as peak:
                start = time.perf_counter()
                result = contestants[name]()
                elapsed = time.perf_counter() - start
            del result
            if number > 0:
                times[name].append(elapsed)
            if number == 1:
                mib[name] = peak.mib
    return [{"name": n, "causal": c, "seconds": times[n, c], "mib": mib[n, c]} for n, c in contestants]


def run(case):
    module = importlib.import_module(f"scripts.bench.{case['module']}")
    if case["length"] is None:
        return module.values(case["quick"])
    contestants = module.contestants(case["length"], case["backward"])
    return race(contestants, case["seconds"], 1 if case["quick"] else 2)


def main():
    print(json.dumps([run(case) for case in json.loads(sys.argv[1])]))


if __name__ == "__main__":
    main()
