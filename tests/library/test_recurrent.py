"""Recurrent decoders against loops over the papers' equations, with the gradients of those loops."""

import re

import numpy as np
import pytest
from cases import TOLERANCE

FRAMEWORK = "each"
BATCH, OUT, IN, D_INPUT, UNITS, D_MEMORY, D_HIDDEN = 2, 4, 7, 6, 3, 5, 8
MASK = np.arange(IN) < np.array([[5], [7]])
EXACT = {"rtol": 1e-11, "atol": 1e-12}


def local_m(fw, **options):
    return fw.attn.LocalMonotonicAttention(UNITS, D_MEMORY, 2, seed=1, **options)


def local_p(fw, **options):
    return fw.attn.LocalPredictiveAttention(UNITS, D_MEMORY, D_HIDDEN, 2, seed=1, **options)


ATTENTION = {
    "dot": lambda fw, **options: fw.attn.DotProductAttention(scale=1.0, **options),
    "general": lambda fw, **options: fw.attn.GeneralAttention(UNITS, D_MEMORY, seed=1, **options),
    "concat": lambda fw, **options: fw.attn.ConcatAttention(UNITS, D_MEMORY, D_HIDDEN, seed=1, **options),
    "local-m": local_m,
    "local-p": local_p,
}
PARAMETERS = {
    "dot": [],
    "general": ["weight"],
    "concat": ["w_concat", "v_score"],
    "local-m": ["weight"],
    "local-p": ["weight", "w_position", "v_position"],
    "bahdanau": ["w_query", "w_key", "v_score"],
}
CASES = [("bahdanau", None), *((name, feeding) for name in ATTENTION for feeding in (True, False))]
FEW = [("bahdanau", None), ("general", True), ("local-p", True), ("local-m", False)]
each_case = pytest.mark.parametrize("case", CASES, ids=str)
few_cases = pytest.mark.parametrize("case", FEW, ids=str)


def make(fw, case, dtype=np.float64):
    """A decoder with random parameters, and these by name, laid out as NumPy has them."""
    name, feeding = case
    options = {"dtype": np.dtype(dtype).name} if fw.name == "tensorflow" else {}
    if name == "bahdanau":
        decoder = fw.attn.BahdanauDecoder(D_INPUT, UNITS, D_MEMORY, D_HIDDEN, seed=2, **options)
    else:
        attention = ATTENTION[name](fw, **options)
        d_memory = UNITS if name == "dot" else D_MEMORY
        decoder = fw.attn.LuongDecoder(D_INPUT, UNITS, d_memory, attention, input_feeding=feeding, seed=2, **options)
    if fw.name == "tensorflow":
        decoder.build(None)
    if fw.name == "torch" and dtype == np.float64:
        decoder.double()
    rng, values = np.random.default_rng(7), {}
    for parameter, (read, write, _) in parameters(fw, decoder, name).items():
        values[parameter] = (0.6 * rng.normal(size=read().shape)).astype(dtype)
        write(values[parameter])
    return decoder, values


def parameters(fw, decoder, name):
    """By name: functions that read a parameter, write it, and turn its gradient, all laid out as NumPy has them."""
    names = [f"attention.{n}" for n in PARAMETERS[name]] + ["w_combine"] * (name != "bahdanau")
    found = {n: plain(fw, decoder, n) for n in names}
    return found | {f"gru.{n}": of_gru(fw, decoder.gru, n) for n in ("w_input", "w_state", "b_input", "b_state")}


def plain(fw, decoder, path):
    *parents, name = path.split(".")
    owner = getattr(decoder, parents[0]) if parents else decoder
    if fw.name == "numpy":
        return lambda: getattr(owner, name), lambda x: setattr(owner, name, x), None
    p = getattr(owner, name)
    write = p.data.copy_ if fw.name == "torch" else p.assign
    return lambda: fw.numpy(p), lambda x: write(fw.array(x)), (p, np.asarray)


def of_gru(fw, gru, name):
    if fw.name == "numpy":
        return plain(fw, gru, name)
    if fw.name == "torch":
        theirs = {"w_input": "weight_ih", "w_state": "weight_hh", "b_input": "bias_ih", "b_state": "bias_hh"}[name]
        p = getattr(gru, theirs)
        return lambda: fw.numpy(p).T, lambda x: p.data.copy_(fw.array(x.T)), (p, lambda g: g.T)
    if name.startswith("w"):
        p = gru.cell.kernel if name == "w_input" else gru.cell.recurrent_kernel
        return lambda: swapped(p.numpy()), lambda x: p.assign(swapped(x)), (p, swapped)
    row, p = ["b_input", "b_state"].index(name), gru.cell.bias

    def write(x):
        both = p.numpy()
        both[row] = swapped(x)
        p.assign(both)

    return lambda: swapped(p.numpy()[row]), write, (p, lambda g: swapped(g[row]))


def swapped(x):
    """Reset, update, candidate to Keras's update, reset, candidate, and back."""
    r, z, n = np.split(x, 3, axis=-1)
    return np.concatenate([z, r, n], axis=-1)


def arrays(case, dtype=np.float64, seed=3):
    rng = np.random.default_rng(seed)
    d_memory = UNITS if case[0] == "dot" else D_MEMORY
    shapes = ((BATCH, OUT, D_INPUT), (BATCH, IN, d_memory), (BATCH, UNITS))
    return [rng.normal(size=s).astype(dtype) for s in shapes]


def call(fw, decoder, inputs, memory, state=None, *, memory_mask=None, **options):
    return decoder(*map(fw.array, (inputs, memory, state)), memory_mask=fw.array(memory_mask), **options)


def by_loops(case, p, inputs, memory, state, mask):
    """The papers' equations, one row and one step at a time; complex numbers go through. Output and weights."""
    name, feeding = case
    outputs, all_weights = [], []
    for row, s in enumerate(state):
        h, fed = memory[row], np.zeros(UNITS)
        for t, y in enumerate(inputs[row]):
            if name == "bahdanau":
                hidden = np.tanh(s @ p["attention.w_query"] + h @ p["attention.w_key"])
                weights = align(hidden @ p["attention.v_score"], mask[row])
                s = gru(p, np.concatenate([y, weights @ h]), s)
                output = np.concatenate([s, weights @ h])
            else:
                s = gru(p, np.concatenate([y, fed]) if feeding else y, s)
                weights = luong_weights(name, p, s, h, t, mask[row])
                output = fed = np.tanh(np.concatenate([weights @ h, s]) @ p["w_combine"])
            outputs.append(output)
            all_weights.append(weights)
    return np.reshape(outputs, (*inputs.shape[:2], -1)), np.reshape(all_weights, (*inputs.shape[:2], -1))


def gru(p, x, s):
    x, h = x @ p["gru.w_input"] + p["gru.b_input"], s @ p["gru.w_state"] + p["gru.b_state"]
    r, z = (1 / (1 + np.exp(-x[i * UNITS :][:UNITS] - h[i * UNITS :][:UNITS])) for i in (0, 1))
    return (1 - z) * np.tanh(x[2 * UNITS :] + r * h[2 * UNITS :]) + z * s


def luong_weights(name, p, s, h, t, mask):
    if name == "dot":
        return align(h @ s, mask)
    if name == "concat":
        pairs = np.concatenate([np.broadcast_to(s, (len(h), UNITS)), h], axis=-1)
        return align(np.tanh(pairs @ p["attention.w_concat"]) @ p["attention.v_score"], mask)
    scores, at = h @ (s @ p["attention.weight"]), np.arange(len(h))
    if name == "general":
        return align(scores, mask)
    if name == "local-m":
        return align(scores, mask & (abs(at - t) <= 2))
    logit = np.tanh(s @ p["attention.w_position"]) @ p["attention.v_position"]
    position = mask.sum() / (1 + np.exp(-logit))
    return align(scores, mask & (abs(at - position.real) <= 2)) * np.exp(-((at - position) ** 2) / 2)


def align(scores, mask):
    e = np.exp(scores) * mask
    return e / e.sum() if mask.any() else e


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@each_case
def test_output_and_weights(fw, case, dtype):
    decoder, p = make(fw, case, dtype)
    expected, expected_weights = by_loops(case, p, *arrays(case, dtype), MASK)
    output, weights = call(fw, decoder, *arrays(case, dtype), memory_mask=MASK, return_weights=True)
    assert fw.numpy(output).dtype == fw.numpy(weights).dtype == dtype
    np.testing.assert_allclose(fw.numpy(output), expected, **TOLERANCE[dtype])
    np.testing.assert_allclose(fw.numpy(weights), expected_weights, **TOLERANCE[dtype])
    np.testing.assert_array_equal(fw.numpy(call(fw, decoder, *arrays(case, dtype), memory_mask=MASK)), fw.numpy(output))


@each_case
def test_gradients(fw, case):
    """Of every input and parameter, along a random direction for each: the derivative of the loops is exact."""
    if fw.name == "numpy":
        pytest.skip("the decoders in NumPy go forward only")
    decoder, p = make(fw, case)
    inputs = dict(zip(("inputs", "memory", "state"), arrays(case), strict=True))
    grad = np.random.default_rng(5).normal(size=by_loops(case, p, **inputs, mask=MASK)[0].shape)
    natives = {n: native for n, (_, _, native) in parameters(fw, decoder, case[0]).items()}
    got = gradients(fw, decoder, inputs, natives, grad)
    rng = np.random.default_rng(6)
    for name, gradient in got.items():
        everything = {**inputs, **p}
        direction = rng.normal(size=everything[name].shape)
        moved = {**everything, name: everything[name] + 1e-30j * direction}
        output, _ = by_loops(case, {n: moved[n] for n in p}, *(moved[n] for n in inputs), MASK)
        expected = (output * grad).sum().imag / 1e-30
        assert abs(expected) > 1e-6 and gradient.shape == direction.shape, name
        np.testing.assert_allclose((gradient * direction).sum(), expected, **EXACT, err_msg=name)


def gradients(fw, decoder, inputs, natives, grad):
    tensors = [fw.array(x) for x in inputs.values()]
    if fw.name == "torch":
        tensors = [t.requires_grad_() for t in tensors]
        decoder(*tensors, memory_mask=fw.array(MASK)).backward(fw.array(grad))
        found = {n: convert(p.grad.numpy()) for n, (p, convert) in natives.items()}
        return {n: t.grad.numpy() for n, t in zip(inputs, tensors, strict=True)} | found
    with fw.tf.GradientTape() as tape:
        tape.watch(tensors)
        output = decoder(*tensors, memory_mask=fw.array(MASK))
    sources = [*tensors, *(p.value for p, _ in natives.values())]
    grads = [g.numpy() for g in tape.gradient(output, sources, output_gradients=fw.array(grad))]
    found = {n: convert(g) for (n, (_, convert)), g in zip(natives.items(), grads[3:], strict=True)}
    return dict(zip(inputs, grads[:3], strict=True)) | found


@each_case
def test_step_by_step_is_all_at_once(fw, case):
    decoder, _ = make(fw, case)
    inputs, memory, state = arrays(case)
    state = state if case in FEW else None
    expected, expected_weights = call(fw, decoder, inputs, memory, state, memory_mask=MASK, return_weights=True)
    options = {"memory_mask": fw.array(MASK)}
    if case[0] == "bahdanau":
        options["keys"] = decoder.keys(fw.array(memory))
    carried = fw.array(state)
    for t in range(OUT):
        output, carried, weights = decoder.step(fw.array(inputs[:, t]), carried, fw.array(memory), **options)
        np.testing.assert_allclose(fw.numpy(output), fw.numpy(expected)[:, t], **EXACT)
        np.testing.assert_allclose(fw.numpy(weights), fw.numpy(expected_weights)[:, t], **EXACT)
        options.pop("keys", None)  # computed by the later steps themselves, with the same result


@few_cases
def test_the_first_state_is_zeros_unless_given(fw, case):
    decoder, _ = make(fw, case)
    inputs, memory, _ = arrays(case)
    zeros = np.zeros((BATCH, UNITS))
    inputs, memory, zeros = map(fw.array, (inputs, memory, zeros))
    np.testing.assert_array_equal(fw.numpy(decoder(inputs, memory)), fw.numpy(decoder(inputs, memory, zeros)))
    (output, *_), (expected, *_) = (decoder.step(inputs[:, 0], state, memory) for state in (None, zeros))
    np.testing.assert_array_equal(fw.numpy(output), fw.numpy(expected))


@pytest.mark.parametrize("case", [case for case in FEW if case[0] != "bahdanau"], ids=str)
def test_a_call_goes_on_from_what_a_step_returned(fw, case):
    decoder, _ = make(fw, case)
    inputs, memory, state = arrays(case)
    expected = fw.numpy(call(fw, decoder, inputs, memory, state))
    _, carried, _ = decoder.step(*map(fw.array, (inputs[:, 0], state, memory)))
    rest = decoder(fw.array(inputs[:, 1:]), fw.array(memory), carried)
    np.testing.assert_allclose(fw.numpy(rest), expected[:, 1:], **EXACT)


@each_case
def test_padding_of_the_memory_changes_nothing(fw, case):
    decoder, _ = make(fw, case)
    inputs, memory, state = arrays(case)
    short = memory[:, :5]
    padded = np.concatenate([short, 1e3 * np.ones_like(short[:, :4])], axis=1)
    mask = np.broadcast_to(np.arange(9) < 5, (BATCH, 9))
    got, weights = call(fw, decoder, inputs, padded, state, memory_mask=mask, return_weights=True)
    np.testing.assert_allclose(fw.numpy(got), fw.numpy(call(fw, decoder, inputs, short, state)), **EXACT)
    assert (fw.numpy(weights)[..., 5:] == 0).all()


@few_cases
def test_the_future_changes_nothing_before_it(fw, case):
    decoder, _ = make(fw, case)
    inputs, memory, state = arrays(case)
    changed = inputs.copy()
    changed[:, 2] += 1
    before, after = (fw.numpy(call(fw, decoder, x, memory, state)) for x in (inputs, changed))
    np.testing.assert_array_equal(before[:, :2], after[:, :2])
    assert (before[..., :UNITS] != after[..., :UNITS])[:, 2:].all()
    if case[0] == "bahdanau":  # the state before the step asks, so the word that it reads has no say
        np.testing.assert_array_equal(before[:, 2, UNITS:], after[:, 2, UNITS:])


@few_cases
def test_rows_of_the_batch_never_see_one_another(fw, case):
    decoder, _ = make(fw, case)
    inputs, memory, state = arrays(case)
    expected = fw.numpy(call(fw, decoder, inputs, memory, state))
    for x in (inputs, memory, state):
        x[1] += 1
    after = fw.numpy(call(fw, decoder, inputs, memory, state))
    np.testing.assert_array_equal(after[0], expected[0])
    assert (after[1] != expected[1]).all()


@each_case
def test_weights_sum_to_one_or_zero(fw, case):
    decoder, _ = make(fw, case)
    mask = MASK.copy()
    mask[0] = False
    output, weights = call(fw, decoder, *arrays(case), memory_mask=mask, return_weights=True)
    weights = fw.numpy(weights)
    assert weights.shape == (BATCH, OUT, IN) and np.isfinite(fw.numpy(output)).all()
    assert (weights[0] == 0).all()
    if case[0] == "local-p":  # a bell, so less than one
        assert (weights[1].sum(-1) > 0.1).all() and (weights[1].sum(-1) < 1).all()
    else:
        np.testing.assert_allclose(weights[1].sum(-1), 1)


def test_local_m_follows_the_step(fw):
    decoder, _ = make(fw, ("local-m", True))
    _, weights = call(fw, decoder, *arrays(("local-m", True)), return_weights=True)
    seen = np.abs(np.arange(IN) - np.arange(OUT)[:, None]) <= 2
    np.testing.assert_array_equal(fw.numpy(weights) > 0, np.broadcast_to(seen, (BATCH, OUT, IN)))


def test_input_feeding_makes_a_difference_from_the_second_step_on(fw):
    (fed, p), (other, _) = make(fw, ("general", True)), make(fw, ("general", False))
    for name, (_, write, _) in parameters(fw, other, "general").items():
        write(p[name][:D_INPUT] if name == "gru.w_input" else p[name])
    one, two = (fw.numpy(call(fw, d, *arrays(("general", True)))) for d in (fed, other))
    np.testing.assert_allclose(one[:, 0], two[:, 0], **EXACT)
    assert (np.abs(one - two)[:, 1:].max(axis=-1) > 1e-3).all()


def test_the_same_seed_makes_the_same_decoder(fw):
    def values(seed):
        if fw.name == "torch":
            fw.torch.manual_seed(seed + 10)  # of no effect where a seed is given
        general = fw.attn.GeneralAttention(UNITS, D_MEMORY, seed=0)
        decoders = {
            "bahdanau": fw.attn.BahdanauDecoder(D_INPUT, UNITS, D_MEMORY, D_HIDDEN, seed=seed),
            "general": fw.attn.LuongDecoder(D_INPUT, UNITS, D_MEMORY, general, seed=seed),
        }
        for decoder in decoders.values():
            if fw.name == "tensorflow":
                decoder.build(None)
        read = [r() for name, d in decoders.items() for r, _, _ in parameters(fw, d, name).values()]
        return np.concatenate([np.ravel(x) for x in read])

    np.testing.assert_array_equal(values(1), values(1))
    assert np.mean(values(1) != values(2)) > 0.6  # some begin at zero, or come with their layer


X, M, S = np.zeros((2, 4, 6), np.float32), np.zeros((2, 7, 5), np.float32), np.zeros((2, 3), np.float32)
BAD = [
    ({"inputs": X[0]}, "inputs must be [batch, out_len, 6] here, got shape [4, 6]"),
    ({"inputs": X[..., :4]}, "inputs must be [batch, out_len, 6] here, got shape [2, 4, 4]"),
    ({"inputs": X[:, :0]}, "inputs must not be empty, got shape [2, 0, 6]"),
    ({"inputs": np.zeros((2, 4, 6), np.int32)}, "inputs must be floating point, got int32"),
    ({"memory": M[:1]}, "memory must be [2, in_len, 5] here, got shape [1, 7, 5]"),
    ({"memory": X[:, :4]}, "memory must be [2, in_len, 5] here, got shape [2, 4, 6]"),
    ({"memory": M[:, :0]}, "memory must not be empty, got shape [2, 0, 5]"),
    ({"state": S[:1]}, "state must be [2, 3] here, got shape [1, 3]"),
    ({"state": S[None]}, "state must be [2, 3] here, got shape [1, 2, 3]"),
    ({"memory_mask": M[..., 0]}, "memory_mask must be boolean, True where not padding, got float32"),
    ({"memory_mask": MASK[:, None]}, "memory_mask must be [2, 7] here, got shape [2, 1, 7]"),
    ({"memory_mask": MASK[:1]}, "memory_mask must be [2, 7] here, got shape [1, 7]"),
]


@pytest.mark.parametrize("change, message", BAD)
@pytest.mark.parametrize("case", [("bahdanau", None), ("general", True), ("general", False)], ids=str)
def test_bad_input(fw, case, change, message):
    decoder, _ = make(fw, case, np.float32)
    given = {"inputs": X, "memory": M, "state": S, "memory_mask": MASK, **change}
    with pytest.raises(ValueError, match=re.escape(message)):
        call(fw, decoder, **given)
    if "out_len" in message or given["inputs"].shape[1] == 0:
        message = "inputs must be [batch, 6] here, got shape [2, 4, 6]"
        given["inputs"] = X
    else:
        given["inputs"] = given["inputs"][:, 0]
    given = {name: fw.array(value) for name, value in given.items()}
    with pytest.raises(ValueError, match=re.escape(message)):
        decoder.step(given["inputs"], given["state"], given["memory"], memory_mask=given["memory_mask"])


@few_cases
def test_another_precision_than_the_decoders(fw, case):
    if fw.name == "tensorflow":
        pytest.skip("Keras casts what it is given to the layer's own precision")
    decoder, _ = make(fw, case, np.float32)
    with pytest.raises(ValueError, match="inputs and the decoder's parameters must have the same dtype, got inputs fl"):
        call(fw, decoder, X.astype(np.float64), M.astype(np.float64))


def test_bad_keys_and_states(fw):
    bahdanau, _ = make(fw, ("bahdanau", None), np.float32)
    luong, _ = make(fw, ("general", True), np.float32)
    x, s, m = map(fw.array, (X[:, 0], S, M))
    with pytest.raises(ValueError, match=re.escape("keys must be [2, 7, 8] here, got shape [2, 7, 5]")):
        bahdanau.step(x, s, m, keys=m)
    with pytest.raises(ValueError, match="state must be an array, got tuple"):
        bahdanau.step(x, (s, s, 0), m)
    with pytest.raises(ValueError, match=re.escape("state must be (state, output, steps), as a step returned it")):
        luong.step(x, (s, s), m)
    with pytest.raises(ValueError, match=re.escape("the state's output must be [2, 3] here, got shape [2, 7, 5]")):
        luong.step(x, (s, m, 0), m)
    with pytest.raises(ValueError, match="start must be an integer of at least 0, got -1"):
        luong.step(x, (s, s, -1), m)


@pytest.mark.parametrize("name", ["d_input", "units", "d_memory"])
def test_sizes(fw, name):
    sizes = {"d_input": D_INPUT, "units": UNITS, "d_memory": D_MEMORY, name: 0}
    message = f"{name} must be an integer of at least 1, got 0"
    with pytest.raises(ValueError, match=message):
        fw.attn.BahdanauDecoder(**sizes, d_hidden=D_HIDDEN)
    with pytest.raises(ValueError, match=message):
        fw.attn.LuongDecoder(**sizes, attention=fw.attn.DotProductAttention())
    with pytest.raises(ValueError, match="d_hidden must be an integer of at least 1, got 0"):
        fw.attn.BahdanauDecoder(D_INPUT, UNITS, D_MEMORY, 0)
    with pytest.raises(ValueError, match="attention must be an attention layer, got 'general'"):
        fw.attn.LuongDecoder(D_INPUT, UNITS, D_MEMORY, "general")
    with pytest.raises(ValueError, match="attention must be an attention layer, got <class"):
        fw.attn.LuongDecoder(D_INPUT, UNITS, D_MEMORY, fw.attn.DotProductAttention)
