"""Positions: learned, relative and rotary."""

from attnlib._checks.numbers import choice, length, positive, start
from attnlib._checks.shapes import FLOATING, INTEGER, arrays, dtype_name, fits, sequences, shape, show


def learned_positions(x, first, weight):
    """Sequences that end before the learned positions do; a length or a start not known yet is not checked."""
    sequences(x=x)
    max_len, d = shape(weight)
    n, width = shape(x)[-2:]
    if width not in (None, d):
        raise ValueError(f"x must be [..., length, {d}], as wide as the positions, got shape {show(shape(x))}")
    start(first)
    if n is not None and isinstance(first, int) and first + n > max_len:
        raise ValueError(
            f"x must end within the max_len {max_len} positions, got shape {show(shape(x))} and start {first}"
        )


def buckets(num_buckets, max_distance, bidirectional):
    """Each direction has buckets of one distance, at least one, and of growing ranges up to `max_distance`."""
    length("num_buckets", num_buckets)
    length("max_distance", max_distance)
    least = 4 if bidirectional else 2
    if num_buckets < least or (bidirectional and num_buckets % 2):
        even = "an even number of " if bidirectional else ""
        raise ValueError(f"num_buckets must be {even}at least {least}, got {num_buckets}")
    exact = num_buckets // least
    if max_distance <= exact:
        raise ValueError(
            f"max_distance must be above {exact}, the distances that have a bucket each, got {max_distance}"
        )


def rotary(x, positions, base, pairing):
    """Sequences of even width, and a position for each of their vectors."""
    sequences(x=x)
    arrays(positions=positions)
    if dtype_name(positions) not in INTEGER | FLOATING:
        raise ValueError(f"positions must be numbers, got {dtype_name(positions)}")
    dims = shape(x)
    if dims[-1] is not None and dims[-1] % 2:
        raise ValueError(f"x must have an even last axis (d), got shape {show(dims)}")
    got, target = shape(positions), dims[:-1]
    if not fits(got, target):
        raise ValueError(f"positions must broadcast to {show(target)} for x {show(dims)}, got shape {show(got)}")
    positive("base", base)
    choice("pairing", pairing, ["halves", "interleaved"])
