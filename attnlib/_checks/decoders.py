"""Recurrent decoders: inputs, memory and state of one batch, as wide as the decoder."""

from attnlib._checks.numbers import length, start
from attnlib._checks.shapes import arrays, dtype_name, floating, shape, show


def decoder_sizes(**sizes):
    """Widths of a recurrent decoder, by name; returned as they came."""
    for name, n in sizes.items():
        length(name, n)
    return sizes


def attention_layer(layer):
    """A layer is called like a function; its class would be too."""
    if not callable(layer) or isinstance(layer, type):
        raise ValueError(f"attention must be an attention layer, got {layer!r}")


def decoder(inputs, memory, memory_mask, states, sizes, weight, *, step=False, precision=True):
    """Inputs (all steps, or one), a memory and its mask, of one batch and as wide as a recurrent decoder.

    states: by name, arrays as wide as the decoder's units; None is left out. weight: a parameter; precision: whether
    the rest must agree with it in that, as in `multihead`.
    """
    states = {name: array for name, array in states.items() if array is not None}
    named = {"inputs": inputs, "memory": memory, **states}
    floating(**named)
    if precision:
        floating(inputs=inputs, **{"the decoder's parameters": weight})
    exactly("inputs", inputs, ["batch", *([] if step else ["out_len"]), sizes["d_input"]])
    batch = shape(inputs)[0]
    exactly("memory", memory, [batch, "in_len", sizes["d_memory"]])
    for name in states:
        exactly(name, states[name], [batch, sizes["units"]])
    for name, array in named.items():
        if 0 in shape(array):
            raise ValueError(f"{name} must not be empty, got shape {show(shape(array))}")
    if memory_mask is not None:
        arrays(memory_mask=memory_mask)
        if dtype_name(memory_mask) != "bool":
            raise ValueError(f"memory_mask must be boolean, True where not padding, got {dtype_name(memory_mask)}")
        exactly("memory_mask", memory_mask, [batch, shape(memory)[1]])


def decoder_keys(keys, memory, v_score):
    """A key for each place of the memory, in the scores' hidden space."""
    floating(memory=memory, keys=keys)
    exactly("keys", keys, [*shape(memory)[:2], shape(v_score)[0]])


def decoder_state(state):
    """Nothing, an array, or what a step returned; as (state, output, how many steps were made)."""
    if not isinstance(state, tuple | list):
        return state, None, 0
    if len(state) != 3:
        raise ValueError(f"state must be (state, output, steps), as a step returned it, got {len(state)} of them")
    start(state[2])
    return state


def exactly(name, array, wanted):
    """The argument has the axes that are wanted: so long, or of any length where a name stands; None is not known."""
    dims = shape(array)
    pairs = zip(dims, wanted, strict=False)
    if len(dims) != len(wanted) or any(isinstance(m, int) and n not in (None, m) for n, m in pairs):
        raise ValueError(f"{name} must be {show(wanted)} here, got shape {show(dims)}")
