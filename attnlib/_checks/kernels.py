"""Linear attention: its feature map and the state that its recurrent form hands on."""

from attnlib._checks.dense import values
from attnlib._checks.masks import key_mask
from attnlib._checks.scores import dot, scores_shape
from attnlib._checks.shapes import alike, arrays, floating, leading, shape, show


def linear(q, k, v, given_mask, feature_map):
    """What linear attention takes: queries, keys and values that fit, and a mask that only the keys decide."""
    dot(q, k)
    values(k, v)
    floating(q=q, v=v)
    leading(q=q, v=v)
    key_mask("mask", given_mask, scores_shape(q, k))
    if feature_map is not None and not callable(feature_map):
        raise ValueError(f"feature_map must be a function, got {type(feature_map).__name__}")


def features(x, phi):
    """A feature map gives floating point numbers and changes the last axis only."""
    arrays(feature_map=phi)
    floating(feature_map=phi)
    if not alike(shape(phi)[:-1], shape(x)[:-1]):
        raise ValueError(f"feature_map must keep all axes but the last, got {show(shape(phi))} from {show(shape(x))}")


def linear_state(state, s, z):
    """The two sums of a step before: as many features and as wide values as those of this one."""
    if not (isinstance(state, tuple | list) and len(state) == 2):
        raise ValueError(f"state must be (s, z), as a call before returned it, got {type(state).__name__}")
    for name, given, here in (("s", state[0], s), ("z", state[1], z)):
        arrays(**{f"state's {name}": given})
        floating(**{f"state's {name}": given, "the sums": here})
        if not alike(shape(given), shape(here)):
            raise ValueError(f"state's {name} must be {show(shape(here))} here, got shape {show(shape(given))}")
