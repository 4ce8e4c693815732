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


def fits(dims, target):
    """Whether the shape `dims` broadcasts to the shape `target` without enlarging it; an unknown axis may."""
    pairs = zip(reversed(dims), reversed(target), strict=False)
    return len(dims) <= len(target) and all(n in (1, None) or m is None or n == m for n, m in pairs)


def broadcasts(name, array, target):
    """The argument called `name` broadcasts to the scores of shape `target`."""
    if not fits(shape(array), target):
        raise ValueError(f"{name} must broadcast to the scores {show(target)}, got shape {show(shape(array))}")


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


def out_of_hidden(name, vector):
    """The vector that turns a hidden layer into one number."""
    if len(shape(vector)) != 1:
        raise ValueError(f"{name} must be [d_hidden], got shape {show(shape(vector))}")


def additive(q, k, w_query, w_key, v_score):
    """Queries and keys of any width, two matrices into one hidden space, and a vector out of it."""
    sequences(q=q, k=k)
    leading(q=q, k=k)
    floating(q=q, w_query=w_query, w_key=w_key, v_score=v_score)
    out_of_hidden("v_score", v_score)
    hidden = shape(v_score)[0]
    for name, matrix, of, features in (("w_query", w_query, "q", q), ("w_key", w_key, "k", k)):
        if shape(matrix) != (shape(features)[-1], hidden):
            raise ValueError(
                f"{name} must be [last axis of {of}, d_hidden] for {of} {show(shape(features))} and "
                f"v_score {show(shape(v_score))}, got {show(shape(matrix))}"
            )


def concat(q, k, w_concat, v_score):
    """Queries and keys of any width, one matrix from both into a hidden space, and a vector out of it."""
    sequences(q=q, k=k)
    leading(q=q, k=k)
    floating(q=q, w_concat=w_concat, v_score=v_score)
    out_of_hidden("v_score", v_score)
    widths, hidden = (shape(q)[-1], shape(k)[-1]), shape(v_score)[0]
    if None in widths or shape(w_concat) != (sum(widths), hidden):
        raise ValueError(
            f"w_concat must be [d_q + d_k, d_hidden] for q {show(shape(q))}, k {show(shape(k))} and "
            f"v_score {show(shape(v_score))}, got {show(shape(w_concat))}"
        )


def cosine(q, k, scale):
    """Queries and keys of the same width, and a number or an array that multiplies their scores."""
    dot(q, k)
    if isinstance(scale, bool) or not isinstance(scale, (int, float)):
        floating(scale=scale)
        broadcasts("scale", scale, scores_shape(q, k))


def temperature(scale, max_scale):
    """A scale above zero and no larger than the largest."""
    positive("scale", scale)
    positive("max_scale", max_scale)
    if scale > max_scale:
        raise ValueError(f"scale must be at most max_scale {max_scale}, got {scale}")


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


def side(name, n):
    """How far a window reaches to one side: a whole number of at least 0; None is no limit."""
    if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 0):
        raise ValueError(f"{name} must be an integer of at least 0 or None, got {n!r}")


def tokens(positions, k_len):
    """Positions among the keys, at least one; a number of keys that is not known yet is not compared."""
    if not isinstance(positions, (list, tuple, range)) or not positions:
        raise ValueError(f"tokens must be a list of positions, at least one, got {positions!r}")
    for n in positions:
        if isinstance(n, bool) or not isinstance(n, int) or n < 0 or (k_len is not None and n >= k_len):
            below = "" if k_len is None else f" to {k_len - 1}"
            raise ValueError(f"tokens must be integers from 0{below}, got {n!r}")


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


def positive(name, number):
    """A number above zero, a finite one."""
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 < number < float("inf"):
        raise ValueError(f"{name} must be a number above 0, got {number!r}")


def learned_positions(x, start, weight):
    """Sequences that end before the learned positions do; a length or a start not known yet is not checked."""
    sequences(x=x)
    max_len, d = shape(weight)
    n, width = shape(x)[-2:]
    if width not in (None, d):
        raise ValueError(f"x must be [..., length, {d}], as wide as the positions, got shape {show(shape(x))}")
    if isinstance(start, (int, float)):
        if isinstance(start, (bool, float)) or start < 0:
            raise ValueError(f"start must be an integer of at least 0, got {start!r}")
        if n is not None and start + n > max_len:
            raise ValueError(
                f"x must end within the max_len {max_len} positions, got shape {show(shape(x))} and start {start}"
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


def even(name, n):
    length(name, n)
    if n % 2:
        raise ValueError(f"{name} must be even, got {n}")


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


def key_mask(name, array, scores_shape):
    """A mask that is the same for every query: boolean, `[..., 1, k_len]`; None is no mask."""
    if array is not None:
        mask(name, array, scores_shape)
        if len(shape(array)) > 1 and shape(array)[-2] not in (1, None):
            raise ValueError(
                f"{name} must be the same for every query, [..., 1, k_len], for the scores {show(scores_shape)}, "
                f"got shape {show(shape(array))}"
            )


def heads(d_model, num_heads, num_kv_heads, head_dim):
    """Sizes of multi-head attention that fit together; returns those left open, `num_kv_heads` and `head_dim`."""
    length("d_model", d_model)
    length("num_heads", num_heads)
    if num_kv_heads is None:
        num_kv_heads = num_heads
    length("num_kv_heads", num_kv_heads)
    if num_heads % num_kv_heads:
        raise ValueError(f"num_kv_heads must divide num_heads {num_heads}, got {num_kv_heads}")
    if head_dim is None:
        if d_model % num_heads:
            raise ValueError(f"num_heads must divide d_model {d_model} where head_dim is not given, got {num_heads}")
        head_dim = d_model // num_heads
    length("head_dim", head_dim)
    return num_kv_heads, head_dim


def multihead(query, key, value, w_query, *, precision=True):
    """Sequences as wide as the layer, a value for each key; returns how many axes they have at most.

    precision: whether they must agree with the layer in that too; under PyTorch's autocast they need not.
    """
    named = {"query": query, "key": key, "value": value}
    layer(**named)
    d_model = shape(w_query)[0]
    for name, array in named.items():
        if shape(array)[-1] not in (None, d_model):
            got = show(shape(array))
            raise ValueError(f"{name} must be [..., length, {d_model}], as wide as the layer, got shape {got}")
    if precision:
        floating(query=query, w_query=w_query)
    return max(len(shape(array)) for array in named.values())


def head_scores(query, key, num_heads, attention_mask, attention_bias, cache):
    """A mask for all heads, or with one axis more for each; a bias for each. Keys of the cache come first."""
    *axes, q_len, k_len = scores_shape(query, key)
    if cache is not None:
        k_len = None if None in (k_len, cache.past) else k_len + cache.past
    per_head = (*axes, num_heads, q_len, k_len)
    if attention_mask is not None:
        arrays(attention_mask=attention_mask)
        alike = len(shape(attention_mask)) < len(per_head)
        mask("attention_mask", attention_mask, (*axes, q_len, k_len) if alike else per_head)
    if attention_bias is not None:
        floating(query=query, attention_bias=attention_bias)
        broadcasts("attention_bias", attention_bias, per_head)


def continues(**named):
    """New and cached sequences (a pair for each name) differ in length only."""
    for name, (new, cached) in named.items():
        if dtype_name(new) != dtype_name(cached):
            raise ValueError(f"{name} must have the cache's dtype {dtype_name(cached)}, got {dtype_name(new)}")
        one, two = shape(new), shape(cached)
        pairs = zip((*one[:-2], one[-1]), (*two[:-2], two[-1]), strict=False)
        if len(one) != len(two) or any(n != m for n, m in pairs if None not in (n, m)):
            expected = (*two[:-2], None, two[-1])
            raise ValueError(f"{name} must continue the cache {show(expected)}, got shape {show(one)}")


def dropout(share, impl):
    """A share of the weights that leaves some; where weights are never held, none can be dropped."""
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share < 1:
        raise ValueError(f"dropout must be a number of at least 0 and below 1, got {share!r}")
    if share and impl == "tiled":
        raise ValueError(f'dropout must be 0 for impl="tiled", which never holds the weights, got {share!r}')


def tiled(q, k, v, given_mask, given_bias, q_tile, k_tile):
    """Queries, keys, values, mask and bias of attention, and tiles of at least one query and one key."""
    dot(q, k)
    values(k, v)
    mask("mask", given_mask, scores_shape(q, k))
    bias(given_bias, q, scores_shape(q, k))
    length("q_tile", q_tile)
    length("k_tile", k_tile)


def no_weights(impl, return_weights):
    """Only the explicit form holds the weights and can return them."""
    if return_weights and impl != "explicit":
        raise ValueError(f'return_weights needs impl="explicit": impl="{impl}" never holds the weights')


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
    one, two = shape(x)[:-1], shape(phi)[:-1]
    if len(one) != len(two) or any(None not in (n, m) and n != m for n, m in zip(one, two, strict=True)):
        raise ValueError(f"feature_map must keep all axes but the last, got {show(shape(phi))} from {show(shape(x))}")


def linear_state(state, s, z):
    """The two sums of a step before: as many features and as wide values as those of this one."""
    if not (isinstance(state, tuple | list) and len(state) == 2):
        raise ValueError(f"state must be (s, z), as a call before returned it, got {type(state).__name__}")
    for name, given, here in (("s", state[0], s), ("z", state[1], z)):
        arrays(**{f"state's {name}": given})
        floating(**{f"state's {name}": given, "the sums": here})
        dims, target = shape(given), shape(here)
        if len(dims) != len(target) or any(None not in (n, m) and n != m for n, m in zip(dims, target, strict=True)):
            raise ValueError(f"state's {name} must be {show(target)} here, got shape {show(dims)}")


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


def start(n):
    """Where the first query stands: a whole number of at least 0, or one that is not known yet."""
    if hasattr(n, "dtype") and hasattr(n, "shape"):
        if dtype_name(n) not in INTEGER or shape(n) != ():
            raise ValueError(f"start must be an integer of at least 0, got {dtype_name(n)} of shape {show(shape(n))}")
    elif isinstance(n, bool) or not isinstance(n, int) or n < 0:
        raise ValueError(f"start must be an integer of at least 0, got {n!r}")
