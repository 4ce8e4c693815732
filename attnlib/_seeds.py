"""One seed for a layer that is made of layers."""

import random


def spread(seed, count):
    """As many seeds as there are layers inside, lest those of one shape begin alike; None leaves each to chance."""
    draw = random.Random(seed)
    return [None if seed is None else draw.randrange(2**28) for _ in range(count)]
