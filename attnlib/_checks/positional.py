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
    dims = shape(x)
    if dims[-1] is not None and dims[-1] % 2:
        raise ValueError(f"x must have an even last axis (d), got shape {show(dims)}")
    placed(positions, x=x)
    positive("base", base)
    choice("pairing", pairing, ["halves", "interleaved"])


def placed(positions, **named):
    """Positions are numbers, one for each vector of the one sequence that is named."""
    ((name, x),) = named.items()
    arrays(positions=positions, **named)
    if dtype_name(positions) not in INTEGER | FLOATING:
        raise ValueError(f"positions must be numbers, got {dtype_name(positions)}")
    got, dims = shape(positions), shape(x)
    if not fits(got, dims[:-1]):
        target = show(dims[:-1])
        raise ValueError(f"positions must broadcast to {target} for {name} {show(dims)}, got shape {show(got)}")


def rotary_heads(pairing, base, head_dim):
    """None turns nothing; a pairing turns heads of even width."""
    if pairing is not None:
        choice("rotary", pairing, ["halves", "interleaved"])
        if head_dim % 2:
            raise ValueError(f"head_dim must be even with rotary, got {head_dim}")
    positive("rotary_base", base)


def turned(pairing, query, key, positions):
    """Turned queries and keys are of one sequence; where nothing is turned, positions would be overlooked."""
    if pairing is not None and key is not None:
        raise ValueError("key must be left out with rotary, which turns queries and keys of one sequence, got one")
    if positions is not None:
        if pairing is None:
            raise ValueError("positions must come with a layer that has rotary, got positions without")
        placed(positions, query=query)
