"""What every framework is given: 8 heads of 64, float32, one sequence."""

import numpy as np

HEADS, WIDTH = 8, 64
D_MODEL = HEADS * WIDTH


def arrays(count, *shape):
    """`count` arrays of standard normal numbers, the same in every process."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape, np.float32) for _ in range(count)]


def heads(length):
    """Queries, keys, values and what comes back from the loss, each `[1, heads, length, width]`."""
    return arrays(4, 1, HEADS, length, WIDTH)


def states(length):
    """A layer's input and what comes back from the loss, each `[1, length, d_model]`."""
    return arrays(2, 1, length, D_MODEL)
