"""Types and shapes of arrays: the rules that the checks of every mechanism are made of."""

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


def fits(dims, target):
    """Whether the shape `dims` broadcasts to the shape `target` without enlarging it; an unknown axis may."""
    pairs = zip(reversed(dims), reversed(target), strict=False)
    return len(dims) <= len(target) and all(n in (1, None) or m is None or n == m for n, m in pairs)


def broadcasts(name, array, target, what="scores"):
    """The argument called `name` broadcasts to the shape `target`, which is that of the scores or of what is said."""
    if not fits(shape(array), target):
        raise ValueError(f"{name} must broadcast to the {what} {show(target)}, got shape {show(shape(array))}")


def gradient(name, array, target, what, **of):
    """The argument called `name` is the gradient of what has this shape: of the type of the arrays it comes from."""
    floating(**of, **{name: array})
    broadcasts(name, array, target, what)


def alike(dims, target):
    """Whether two shapes are the same; an unknown axis may be."""
    return len(dims) == len(target) and all(None in (n, m) or n == m for n, m in zip(dims, target, strict=True))
