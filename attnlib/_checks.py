"""What every public function asks of its arguments, once for the three frameworks.

Only `.shape` and `.dtype` are read, so NumPy, PyTorch and TensorFlow arrays pass through the same checks and
a mistake gets the same message everywhere. A TensorFlow axis of unknown length is `None` and is not checked.
"""

FLOATING = {"float16", "bfloat16", "float32", "float64"}
INTEGER = {"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}


def dtype_name(array):
    """The dtype's plain name: `float32` for NumPy's, PyTorch's and TensorFlow's alike."""
    dtype = array.dtype
    return getattr(dtype, "name", None) or str(dtype).removeprefix("torch.")


def shape(array):
    return tuple(array.shape)


def show(dims):
    """A shape as the messages print it: `[2, 3]`, an unknown axis as `?`."""
    return "[" + ", ".join("?" if n is None else str(n) for n in dims) + "]"


def arrays(**named):
    """Each argument has a shape and a dtype; a list or a number gets an error that says so."""
    for name, array in named.items():
        if not (hasattr(array, "shape") and hasattr(array, "dtype")):
            raise ValueError(f"{name} must be an array, got {type(array).__name__}")


def floating(**named):
    """Every argument is floating point, and all are of the same precision."""
    arrays(**named)
    dtypes = {name: dtype_name(array) for name, array in named.items()}
    for name, dtype in dtypes.items():
        if dtype not in FLOATING:
            raise ValueError(f"{name} must be floating point, got {dtype}")
    if len(set(dtypes.values())) > 1:
        got = ", ".join(f"{name} {dtype}" for name, dtype in dtypes.items())
        raise ValueError(f"{' and '.join(dtypes)} must have the same dtype, got {got}")


def sequences(**named):
    """Every argument is a floating point `[..., length, features]`, none of it empty."""
    floating(**named)
    for name, array in named.items():
        dims = shape(array)
        if len(dims) < 2:
            raise ValueError(f"{name} must be [..., length, features], got shape {show(dims)}")
        if 0 in dims:
            raise ValueError(f"{name} must not be empty, got shape {show(dims)}")


def layer(query, key, value):
    """What a layer is called with: `[batch, ..., length, features]`, and one value for each key.

    The batch must be there. Without it, states `[batch, features]` would pass for one sequence, and the examples of
    a batch would attend to each other.
    """
    named = {"query": query, "key": key, "value": value}
    sequences(**named)
    for name, array in named.items():
        if len(shape(array)) < 3:
            raise ValueError(f"{name} must be [batch, ..., length, features], got shape {show(shape(array))}")
    same("key", -2, "value", -2, "length", key=key, value=value)
    leading(**named)


def same(first, axis_of_first, second, axis_of_second, what, **named):
    """One axis of the argument called `first` is as long as one of the argument called `second`."""
    one, two = shape(named[first]), shape(named[second])
    n, m = one[axis_of_first], two[axis_of_second]
    if n is not None and m is not None and n != m:
        raise ValueError(f"{first} and {second} must have the same {what}, got {show(one)} and {show(two)}")


def leading(count=2, **named):
    """The axes before the last `count` broadcast against each other."""
    names, dims = list(named), [shape(array) for array in named.values()]
    longest = max(len(d) for d in dims) - count
    for axis in range(1, longest + 1):
        sizes = {d[-count - axis] for d in dims if len(d) >= count + axis} - {1, None}
        if len(sizes) > 1:
            got = ", ".join(f"{name} {show(d)}" for name, d in zip(names, dims, strict=True))
            raise ValueError(f"the leading axes of {' and '.join(names)} must broadcast, got {got}")


def broadcasts(name, array, target):
    """The argument called `name` broadcasts to the shape `target` without enlarging it."""
    dims = shape(array)
    fits = len(dims) <= len(target) and all(
        n in (1, None) or m is None or n == m for n, m in zip(reversed(dims), reversed(target), strict=False)
    )
    if not fits:
        raise ValueError(f"{name} must broadcast to the scores {show(target)}, got shape {show(dims)}")


def mask(name, array, scores_shape):
    """A mask is boolean and broadcasts to the scores; None is no mask."""
    if array is not None:
        arrays(**{name: array})
        if dtype_name(array) != "bool":
            raise ValueError(f"{name} must be boolean, True where a query may attend, got {dtype_name(array)}")
        broadcasts(name, array, scores_shape)


def bias(array, q, scores_shape):
    """What is added to the scores is of the queries' precision and broadcasts to the scores; None adds nothing."""
    if array is not None:
        floating(q=q, bias=array)
        broadcasts("bias", array, scores_shape)


def scores_shape(q, k):
    """`[..., q_len, k_len]`, the leading axes broadcast; an unknown axis is None."""
    axes_q, axes_k = shape(q)[:-2], shape(k)[:-2]
    longest = max(len(axes_q), len(axes_k))
    pairs = zip((1,) * (longest - len(axes_q)) + axes_q, (1,) * (longest - len(axes_k)) + axes_k, strict=True)
    return (*(m if n == 1 else n for n, m in pairs), shape(q)[-2], shape(k)[-2])


def dot(q, k):
    """Queries and keys of the same width."""
    sequences(q=q, k=k)
    same("q", -1, "k", -1, "last axis (d)", q=q, k=k)
    leading(q=q, k=k)


def general(q, k, weight):
    """Queries and keys of any width, and the matrix between them."""
    sequences(q=q, k=k)
    leading(q=q, k=k)
    floating(q=q, weight=weight)
    if shape(weight) != (shape(q)[-1], shape(k)[-1]):
        raise ValueError(
            f"weight must be [d_q, d_k] for q {show(shape(q))} and k {show(shape(k))}, got {show(shape(weight))}"
        )


def additive(q, k, w_query, w_key, v_score):
    """Queries and keys of any width, two matrices into one hidden space, and a vector out of it."""
    sequences(q=q, k=k)
    leading(q=q, k=k)
    floating(q=q, w_query=w_query, w_key=w_key, v_score=v_score)
    if len(shape(v_score)) != 1:
        raise ValueError(f"v_score must be [d_hidden], got shape {show(shape(v_score))}")
    hidden = shape(v_score)[0]
    for name, matrix, of, features in (("w_query", w_query, "q", q), ("w_key", w_key, "k", k)):
        if shape(matrix) != (shape(features)[-1], hidden):
            raise ValueError(
                f"{name} must be [last axis of {of}, d_hidden] for {of} {show(shape(features))} and "
                f"v_score {show(shape(v_score))}, got {show(shape(matrix))}"
            )


def attend(scores, v, given_mask):
    """Scores `[..., q_len, k_len]` and values `[..., k_len, d_v]`."""
    sequences(scores=scores, v=v)
    same("scores", -1, "v", -2, "k_len", scores=scores, v=v)
    leading(scores=scores, v=v)
    mask("mask", given_mask, shape(scores))


def values(k, v):
    """One value for each key."""
    sequences(k=k, v=v)
    same("k", -2, "v", -2, "length", k=k, v=v)
    leading(k=k, v=v)


def length(name, n):
    """A length is a whole number of at least 1. (bool is an int to Python, but not a length.)"""
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"{name} must be an integer of at least 1, got {n!r}")


def lengths(array):
    arrays(lengths=array)
    if dtype_name(array) not in INTEGER:
        raise ValueError(f"lengths must be integers, got {dtype_name(array)}")


def lengths_in_range(smallest, largest, max_len):
    if smallest < 0 or largest > max_len:
        raise ValueError(f"lengths must be from 0 to max_len {max_len}, got {smallest} to {largest}")


def choice(name, got, options):
    if got not in options:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}, got {got!r}")
