"""Recurrent decoders with attention: a state that is carried from word to word, and a memory to look things up in.

    Bahdanau    c_i = Σ_j softmax_j(v · tanh(W_a s_{i-1} + U_a h_j)) h_j    eqs. 5 and 6, appendix A.1.2
                s_i = f(s_{i-1}, y_{i-1}, c_i)                              section 3.1, appendix A.2.2
    Luong       h_t = f(h_{t-1}, y_{t-1}),  c_t = attention of h_t          section 3
                h̃_t = tanh(W_c [c_t; h_t])                                  eq. 5
                with input feeding h_t = f(h_{t-1}, [y_{t-1}; h̃_{t-1}])     section 3.3

Bahdanau, Cho and Bengio (2015) let the state before the step ask, and what it gets enters the step; Luong, Pham and
Manning (2015) let the state after the step ask. Here f is the same for both, so that they differ in nothing else: a
gated recurrent unit, as in the first paper (the second stacks LSTMs), whose one vector is state and query at once:

    r = σ(W_r x + U_r s + b_r)                       z = σ(W_z x + U_z s + b_z)
    n = tanh(W_n x + b_n + r ∘ (U_n s + b'_n))       s <- (1 - z) ∘ n + z ∘ s

That is the cell of PyTorch's `GRU` and of Keras's, so that weights can be handed over. The first paper writes 1 - z
for z, and resets the state before its matrix, U_n (r ∘ s), not after.
"""

import numpy as np

from attnlib import _checks
from attnlib.numpy.dense import attend
from attnlib.numpy.layers import AdditiveAttention, _glorot
from attnlib.numpy.local import LocalMonotonicAttention, LocalPredictiveAttention


class _GRUCell:
    """`w_input` `[d_input, 3 * units]`, `w_state` `[units, 3 * units]`, two biases; columns: reset, update, candidate.

    PyTorch holds the transposed matrices; Keras has update before reset, and both biases in one array.
    """

    def __init__(self, rng, d_input, units):
        self.w_input = _glorot(rng, d_input, units, (d_input, 3 * units))
        self.w_state = _glorot(rng, units, units, (units, 3 * units))
        self.b_input = np.zeros(3 * units, np.float32)
        self.b_state = np.zeros(3 * units, np.float32)

    def __call__(self, x, state):
        """`[batch, d_input], [batch, units] -> [batch, units]`."""
        r_x, z_x, n_x = np.split(x @ self.w_input + self.b_input, 3, axis=-1)
        r_s, z_s, n_s = np.split(state @ self.w_state + self.b_state, 3, axis=-1)
        r, z = _sigmoid(r_x + r_s), _sigmoid(z_x + z_s)
        return (1 - z) * np.tanh(n_x + r * n_s) + z * state


class BahdanauDecoder:
    """A recurrent decoder whose state before each step attends, with additive scores; the context enters the step.

    d_input, units, d_memory, d_hidden: widths of the inputs, the state, the memory and the scores' hidden layer.
    seed: of the initial parameters: those of `attention`, an `AdditiveAttention`, and those of `gru`, whose input is
    `[input; context]`.

    An output is `[state; context]`: what the paper's g (eq. 4) reads beside the input. g is left to the caller.
    Raises ValueError for a width that is not an integer of at least 1.
    Source: Bahdanau, Cho and Bengio (2015), section 3.1 and appendix A.2.2.
    """

    def __init__(self, d_input, units, d_memory, d_hidden, *, seed=None):
        self.sizes = _checks.decoder_sizes(d_input=d_input, units=units, d_memory=d_memory)
        rng = np.random.default_rng(seed)
        self.attention = AdditiveAttention(units, d_memory, d_hidden, seed=rng)
        self.gru = _GRUCell(rng, d_input + d_memory, units)

    def __call__(self, inputs, memory, state=None, *, memory_mask=None, return_weights=False):
        """`[batch, out_len, d_input], [batch, in_len, d_memory] -> [batch, out_len, units + d_memory]`.

        inputs: embeddings of what was written before each step: all steps at once, as in training.
        state: `[batch, units]`, before the first step; by default zeros.
        memory_mask: boolean `[batch, in_len]`, True where the memory is not padding.
        return_weights: return `(output, weights)`, the weights `[batch, out_len, in_len]`.

        Raises ValueError for shapes or types that do not fit.
        """
        _checks.decoder(inputs, memory, memory_mask, {"state": state}, self.sizes, self.gru.w_input)
        keys, outputs, weights = self.keys(memory), [], []
        for t in range(inputs.shape[1]):
            output, state, seen = self.step(inputs[:, t], state, memory, keys=keys, memory_mask=memory_mask)
            outputs.append(output)
            weights.append(seen)
        output = np.stack(outputs, axis=1)
        return (output, np.stack(weights, axis=1)) if return_weights else output

    def step(self, inputs, state, memory, *, keys=None, memory_mask=None):
        """`[batch, d_input], [batch, units], [batch, in_len, d_memory] -> output, state, weights`.

        One step: output `[batch, units + d_memory]`, state `[batch, units]`, weights `[batch, in_len]`.
        state: None before the first step is zeros. keys: `keys(memory)`, computed once for all steps.

        Raises ValueError for shapes or types that do not fit.
        """
        _checks.decoder(inputs, memory, memory_mask, {"state": state}, self.sizes, self.gru.w_input, step=True)
        state = _zeros(inputs, self.sizes) if state is None else state
        keys = self.keys(memory) if keys is None else keys
        _checks.decoder_keys(keys, memory, self.attention.v_score)
        query = (state @ self.attention.w_query)[:, None]  # [batch, 1, d_hidden]
        scores = (np.tanh(query + keys) @ self.attention.v_score)[:, None]  # [batch, 1, in_len]
        context, weights = attend(scores, memory, mask=_mask(memory_mask), return_weights=True)
        state = self.gru(np.concatenate([inputs, context[:, 0]], axis=-1), state)
        return np.concatenate([state, context[:, 0]], axis=-1), state, weights[:, 0]

    def keys(self, memory):
        """`[batch, in_len, d_memory] -> [batch, in_len, d_hidden]`: what the scores of all steps have in common."""
        return memory @ self.attention.w_key


class LuongDecoder:
    """A recurrent decoder whose state after each step attends; an output is made of state and context.

    d_input, units, d_memory: widths of the inputs, the state (and the output), and the memory.
    attention: a layer from queries of width `units` to keys of width `d_memory`, such as
    `GeneralAttention(units, d_memory)`. Local-m is aligned to the step that is made; local-p predicts positions within
    the memory that is not padding, which comes last.
    input_feeding: whether each step's output is part of the next step's input. Without it no state needs an output,
    and all states are computed before any attention.
    seed: of the initial parameters: `w_combine` `[d_memory + units, units]` and those of `gru`.

    Raises ValueError for a width that is not an integer of at least 1, and for attention that is not a layer.
    Source: Luong, Pham and Manning (2015), section 3, eq. 5; input feeding: section 3.3.
    """

    def __init__(self, d_input, units, d_memory, attention, *, input_feeding=True, seed=None):
        self.sizes = _checks.decoder_sizes(d_input=d_input, units=units, d_memory=d_memory)
        _checks.attention_layer(attention)
        self.attention, self.input_feeding = attention, input_feeding
        rng = np.random.default_rng(seed)
        self.gru = _GRUCell(rng, d_input + units * input_feeding, units)
        self.w_combine = _glorot(rng, d_memory + units, units, (d_memory + units, units))

    def __call__(self, inputs, memory, state=None, *, memory_mask=None, return_weights=False):
        """`[batch, out_len, d_input], [batch, in_len, d_memory] -> [batch, out_len, units]`.

        inputs: embeddings of what was written before each step: all steps at once, as in training.
        state: `[batch, units]`, before the first step; by default zeros. Or what a step returned, to go on.
        memory_mask: boolean `[batch, in_len]`, True where the memory is not padding.
        return_weights: return `(output, weights)`, the weights `[batch, out_len, in_len]`.

        Raises ValueError for shapes or types that do not fit.
        """
        hidden, output, start = self._unpacked(inputs, memory, state, memory_mask)
        outputs, weights = [], []
        for t in range(inputs.shape[1]):
            hidden = self._next(inputs[:, t], hidden, output)
            if self.input_feeding:
                output, seen = self._combined(hidden[:, None], memory, memory_mask, start + t)
                output = output[:, 0]
                weights.append(seen)
            outputs.append(output if self.input_feeding else hidden)
        output = np.stack(outputs, axis=1)
        if self.input_feeding:
            weights = np.concatenate(weights, axis=1)
        else:
            output, weights = self._combined(output, memory, memory_mask, start)
        return (output, weights) if return_weights else output

    def step(self, inputs, state, memory, *, memory_mask=None):
        """`[batch, d_input], state, [batch, in_len, d_memory] -> output, state, weights`.

        One step: output `[batch, units]`, weights `[batch, in_len]`.
        state: before the first step `[batch, units]`, or None for zeros; then what the step before returned: the
        vector that is carried on, the output (zeros at first), and how many steps were made.

        Raises ValueError for shapes or types that do not fit.
        """
        hidden, output, position = self._unpacked(inputs, memory, state, memory_mask, step=True)
        hidden = self._next(inputs, hidden, output)
        output, weights = self._combined(hidden[:, None], memory, memory_mask, position)
        return output[:, 0], (hidden, output[:, 0], position + 1), weights[:, 0]

    def _unpacked(self, inputs, memory, state, memory_mask, step=False):
        hidden, output, position = _checks.decoder_state(state)
        states = {"state": hidden, "the state's output": output}
        _checks.decoder(inputs, memory, memory_mask, states, self.sizes, self.w_combine, step=step)
        zeros = _zeros(inputs, self.sizes)
        return zeros if hidden is None else hidden, zeros if output is None else output, position

    def _next(self, x, hidden, output):
        return self.gru(np.concatenate([x, output], axis=-1) if self.input_feeding else x, hidden)

    def _combined(self, hidden, memory, memory_mask, start):
        """`[batch, out_len, units] -> [batch, out_len, units], [batch, out_len, in_len]`: attention and eq. 5."""
        options = {"attention_mask": _mask(memory_mask), "return_weights": True}
        if isinstance(self.attention, LocalMonotonicAttention):
            options["start"] = start
        if isinstance(self.attention, LocalPredictiveAttention) and memory_mask is not None:
            options["lengths"] = memory_mask.sum(axis=-1)
        context, weights = self.attention(hidden, memory, **options)
        return np.tanh(np.concatenate([context, hidden], axis=-1) @ self.w_combine), weights


def _mask(memory_mask):
    return None if memory_mask is None else memory_mask[:, None]  # [batch, 1, in_len]


def _zeros(inputs, sizes):
    return np.zeros((len(inputs), sizes["units"]), inputs.dtype)


def _sigmoid(x):
    return (1 + np.tanh(x / 2)) / 2  # 1 / (1 + exp(-x)), without an exponential that could overflow
