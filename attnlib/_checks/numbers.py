"""Numbers and words: lengths, sizes, factors and choices."""

from attnlib._checks.shapes import INTEGER, dtype_name, shape, show


def is_whole(n, least):
    """Whether this is an integer and large enough. (bool is an int to Python, but counts nothing.)"""
    return isinstance(n, int) and not isinstance(n, bool) and n >= least


def whole(name, n, least, alternative=""):
    """A whole number of at least `least`; the message names the alternative that the caller lets pass."""
    if not is_whole(n, least):
        raise ValueError(f"{name} must be an integer of at least {least}{alternative}, got {n!r}")


def length(name, n):
    """A length is a whole number of at least 1."""
    whole(name, n, 1)


def side(name, n):
    """How far a window reaches to one side: a whole number of at least 0; None is no limit."""
    if n is not None:
        whole(name, n, 0, " or None")


def start(n):
    """Where the first position or query stands: a whole number of at least 0, or one that is not known yet."""
    if hasattr(n, "dtype") and hasattr(n, "shape"):
        if dtype_name(n) not in INTEGER or shape(n) != ():
            raise ValueError(f"start must be an integer of at least 0, got {dtype_name(n)} of shape {show(shape(n))}")
    else:
        whole("start", n, 0)


def even(name, n):
    length(name, n)
    if n % 2:
        raise ValueError(f"{name} must be even, got {n}")


def positive(name, number):
    """A number above zero, a finite one."""
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 < number < float("inf"):
        raise ValueError(f"{name} must be a number above 0, got {number!r}")


def choice(name, got, options):
    if got not in options:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}, got {got!r}")
