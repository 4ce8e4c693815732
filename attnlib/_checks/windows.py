"""Local attention: where its windows stand, given or predicted."""

from attnlib._checks.masks import lengths
from attnlib._checks.numbers import length
from attnlib._checks.scores import out_of_hidden
from attnlib._checks.shapes import FLOATING, INTEGER, arrays, dtype_name, fits, floating, sequences, shape, show


def positions(array, scores_shape=None):
    """Positions are numbers, one for each query; with scores they broadcast to the queries of these."""
    arrays(positions=array)
    dims = shape(array)
    if dtype_name(array) not in INTEGER | FLOATING:
        raise ValueError(f"positions must be numbers, got {dtype_name(array)}")
    if len(dims) < 1 or 0 in dims:
        raise ValueError(f"positions must be [..., q_len], none of it empty, got shape {show(dims)}")
    if scores_shape is not None and not fits(dims, scores_shape[:-1]):
        raise ValueError(
            f"positions must broadcast to {show(scores_shape[:-1])} for the scores {show(scores_shape)}, "
            f"got shape {show(dims)}"
        )


def predicted(q, w_position, v_position, source_lengths):
    """Queries, a matrix into a hidden space, a vector out of it, and a length for each row of queries."""
    sequences(q=q)
    floating(q=q, w_position=w_position, v_position=v_position)
    out_of_hidden("v_position", v_position)
    if shape(w_position) != (shape(q)[-1], shape(v_position)[0]):
        raise ValueError(
            f"w_position must be [d_q, d_hidden] for q {show(shape(q))} and v_position {show(shape(v_position))}, "
            f"got {show(shape(w_position))}"
        )
    if isinstance(source_lengths, int):
        length("lengths", source_lengths)
    else:
        lengths(source_lengths)
        dims, target = shape(source_lengths), shape(q)[:-2]
        if not fits(dims, target):
            raise ValueError(f"lengths must broadcast to {show(target)} for q {show(shape(q))}, got shape {show(dims)}")
