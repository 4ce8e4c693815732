"""Masks and biases that fit the scores, and what masks are made from."""

from attnlib._checks.numbers import is_whole
from attnlib._checks.shapes import INTEGER, arrays, broadcasts, dtype_name, floating, shape, show


def mask(name, array, scores_shape):
    """A mask is boolean and broadcasts to the scores; None is no mask."""
    if array is not None:
        arrays(**{name: array})
        if dtype_name(array) != "bool":
            raise ValueError(f"{name} must be boolean, True where a query may attend, got {dtype_name(array)}")
        broadcasts(name, array, scores_shape)


def key_mask(name, array, scores_shape):
    """A mask that is the same for every query: boolean, `[..., 1, k_len]`; None is no mask."""
    if array is not None:
        mask(name, array, scores_shape)
        if len(shape(array)) > 1 and shape(array)[-2] not in (1, None):
            raise ValueError(
                f"{name} must be the same for every query, [..., 1, k_len], for the scores {show(scores_shape)}, "
                f"got shape {show(shape(array))}"
            )


def bias(array, q, scores_shape):
    """What is added to the scores is of the queries' precision and broadcasts to the scores; None adds nothing."""
    if array is not None:
        floating(q=q, bias=array)
        broadcasts("bias", array, scores_shape)


def lengths(array):
    arrays(lengths=array)
    if dtype_name(array) not in INTEGER:
        raise ValueError(f"lengths must be integers, got {dtype_name(array)}")


def lengths_in_range(smallest, largest, max_len):
    if smallest < 0 or largest > max_len:
        raise ValueError(f"lengths must be from 0 to max_len {max_len}, got {smallest} to {largest}")


def tokens(positions, k_len):
    """Positions among the keys, at least one; a number of keys that is not known yet is not compared."""
    if not isinstance(positions, (list, tuple, range)) or not positions:
        raise ValueError(f"tokens must be a list of positions, at least one, got {positions!r}")
    for n in positions:
        if not is_whole(n, 0) or (k_len is not None and n >= k_len):
            below = "" if k_len is None else f" to {k_len - 1}"
            raise ValueError(f"tokens must be integers from 0{below}, got {n!r}")
