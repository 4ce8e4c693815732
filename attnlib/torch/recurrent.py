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

import torch
from torch import nn

from attnlib import _checks
from attnlib._seeds import spread
from attnlib.torch._autocast import autocast, autocasting
from attnlib.torch.dense import attend
from attnlib.torch.layers import AdditiveAttention, _generator, _glorot
from attnlib.torch.local import LocalMonotonicAttention, LocalPredictiveAttention


class BahdanauDecoder(nn.Module):
    """A recurrent decoder whose state before each step attends, with additive scores; the context enters the step.

    d_input, units, d_memory, d_hidden: widths of the inputs, the state, the memory and the scores' hidden layer.
    seed: of the initial parameters: those of `attention`, an `AdditiveAttention`, and those of `gru`, whose input is
    `[input; context]`.

    An output is `[state; context]`: what the paper's g (eq. 4) reads beside the input. g is left to the caller.
    Raises ValueError for a width that is not an integer of at least 1.
    Source: Bahdanau, Cho and Bengio (2015), section 3.1 and appendix A.2.2.
    """

    def __init__(self, d_input, units, d_memory, d_hidden, *, seed=None):
        super().__init__()
        self.sizes = _checks.decoder_sizes(d_input=d_input, units=units, d_memory=d_memory)
        seeds = spread(seed, 2)
        self.attention = AdditiveAttention(units, d_memory, d_hidden, seed=seeds[0])
        self.gru = _gru(d_input + d_memory, units, _generator(seeds[1]))

    def forward(self, inputs, memory, state=None, *, memory_mask=None, return_weights=False):
        """`[batch, out_len, d_input], [batch, in_len, d_memory] -> [batch, out_len, units + d_memory]`.

        inputs: embeddings of what was written before each step: all steps at once, as in training.
        state: `[batch, units]`, before the first step; by default zeros.
        memory_mask: boolean `[batch, in_len]`, True where the memory is not padding.
        return_weights: return `(output, weights)`, the weights `[batch, out_len, in_len]`.

        Raises ValueError for shapes or types that do not fit.
        """
        inputs, memory, state = self._checked(inputs, memory, state, memory_mask)
        keys, mask, outputs, weights = self.keys(memory), _mask(memory_mask), [], []
        for x in inputs.unbind(1):
            output, state, seen = self._step(x, state, memory, keys, mask)
            outputs.append(output)
            weights.append(seen)
        output = torch.stack(outputs, dim=1)
        return (output, torch.stack(weights, dim=1)) if return_weights else output

    def step(self, inputs, state, memory, *, keys=None, memory_mask=None):
        """`[batch, d_input], [batch, units], [batch, in_len, d_memory] -> output, state, weights`.

        One step: output `[batch, units + d_memory]`, state `[batch, units]`, weights `[batch, in_len]`.
        state: None before the first step is zeros. keys: `keys(memory)`, computed once for all steps.

        Raises ValueError for shapes or types that do not fit.
        """
        inputs, memory, state = self._checked(inputs, memory, state, memory_mask, step=True)
        keys = self.keys(memory) if keys is None else keys
        _checks.decoder_keys(keys, memory, self.attention.v_score)
        return self._step(inputs, state, memory, keys, _mask(memory_mask))

    def keys(self, memory):
        """`[batch, in_len, d_memory] -> [batch, in_len, d_hidden]`: what the scores of all steps have in common."""
        return memory @ self.attention.w_key

    def _checked(self, inputs, memory, state, memory_mask, step=False):
        inputs, memory, state = autocast(inputs, memory, state)
        states, w_key, precision = {"state": state}, self.attention.w_key, not autocasting(inputs)
        _checks.decoder(inputs, memory, memory_mask, states, self.sizes, w_key, step=step, precision=precision)
        return inputs, memory, _zeros(inputs, self.sizes) if state is None else state

    def _step(self, x, state, memory, keys, mask):
        query = (state @ self.attention.w_query)[:, None]  # [batch, 1, d_hidden]
        scores = (torch.tanh(query + keys) @ self.attention.v_score)[:, None]  # [batch, 1, in_len]
        context, weights = attend(scores, memory, mask=mask, return_weights=True)
        state = self.gru(torch.cat([x, context[:, 0]], dim=-1), state)
        return torch.cat([state, context[:, 0]], dim=-1), state, weights[:, 0]


class LuongDecoder(nn.Module):
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
        super().__init__()
        self.sizes = _checks.decoder_sizes(d_input=d_input, units=units, d_memory=d_memory)
        _checks.attention_layer(attention)
        self.attention, self.input_feeding = attention, input_feeding
        generator = _generator(seed)
        self.gru = _gru(d_input + units * input_feeding, units, generator)
        self.w_combine = _glorot(generator, d_memory + units, units)

    def forward(self, inputs, memory, state=None, *, memory_mask=None, return_weights=False):
        """`[batch, out_len, d_input], [batch, in_len, d_memory] -> [batch, out_len, units]`.

        inputs: embeddings of what was written before each step: all steps at once, as in training.
        state: `[batch, units]`, before the first step; by default zeros. Or what a step returned, to go on.
        memory_mask: boolean `[batch, in_len]`, True where the memory is not padding.
        return_weights: return `(output, weights)`, the weights `[batch, out_len, in_len]`.

        Raises ValueError for shapes or types that do not fit.
        """
        inputs, memory, hidden, output, start = self._unpacked(inputs, memory, state, memory_mask)
        if self.input_feeding:
            outputs, weights = [], []
            for t, x in enumerate(inputs.unbind(1)):
                hidden = self.gru(torch.cat([x, output], dim=-1), hidden)
                output, seen = self._combined(hidden[:, None], memory, memory_mask, start + t)
                output = output[:, 0]
                outputs.append(output)
                weights.append(seen)
            output, weights = torch.stack(outputs, dim=1), torch.cat(weights, dim=1)
        else:
            # All steps in one call, the one that nn.GRU makes; that module itself does not go through torch.compile.
            gru = [self.gru.weight_ih, self.gru.weight_hh, self.gru.bias_ih, self.gru.bias_hh]
            states, _ = torch.gru(inputs, hidden[None], gru, True, 1, 0.0, False, False, True)
            output, weights = self._combined(states, memory, memory_mask, start)
        return (output, weights) if return_weights else output

    def step(self, inputs, state, memory, *, memory_mask=None):
        """`[batch, d_input], state, [batch, in_len, d_memory] -> output, state, weights`.

        One step: output `[batch, units]`, weights `[batch, in_len]`.
        state: before the first step `[batch, units]`, or None for zeros; then what the step before returned: the
        vector that is carried on, the output (zeros at first), and how many steps were made.

        Raises ValueError for shapes or types that do not fit.
        """
        inputs, memory, hidden, output, position = self._unpacked(inputs, memory, state, memory_mask, step=True)
        hidden = self.gru(torch.cat([inputs, output], dim=-1) if self.input_feeding else inputs, hidden)
        output, weights = self._combined(hidden[:, None], memory, memory_mask, position)
        return output[:, 0], (hidden, output[:, 0], position + 1), weights[:, 0]

    def _unpacked(self, inputs, memory, state, memory_mask, step=False):
        hidden, output, position = _checks.decoder_state(state)
        inputs, memory, hidden, output = autocast(inputs, memory, hidden, output)
        states, precision = {"state": hidden, "the state's output": output}, not autocasting(inputs)
        _checks.decoder(inputs, memory, memory_mask, states, self.sizes, self.w_combine, step=step, precision=precision)
        zeros = _zeros(inputs, self.sizes)
        return inputs, memory, zeros if hidden is None else hidden, zeros if output is None else output, position

    def _combined(self, hidden, memory, memory_mask, start):
        """`[batch, out_len, units] -> [batch, out_len, units], [batch, out_len, in_len]`: attention and eq. 5."""
        options = {"attention_mask": _mask(memory_mask), "return_weights": True}
        if isinstance(self.attention, LocalMonotonicAttention):
            options["start"] = start
        if isinstance(self.attention, LocalPredictiveAttention) and memory_mask is not None:
            options["lengths"] = memory_mask.sum(dim=-1)
        context, weights = self.attention(hidden, memory, **options)
        return torch.tanh(torch.cat([context, hidden], dim=-1) @ self.w_combine), weights

    def extra_repr(self):
        return f"input_feeding={self.input_feeding}"


def _gru(d_input, units, generator):
    """PyTorch's own cell with its own initialisation, uniform in ±1 / sqrt(units), but from the generator."""
    cell = nn.GRUCell(d_input, units, device="meta").to_empty(device="cpu")  # draws nothing from PyTorch's generator
    for parameter in cell.parameters():
        nn.init.uniform_(parameter, -(units**-0.5), units**-0.5, generator=generator)
    return cell


def _mask(memory_mask):
    return None if memory_mask is None else memory_mask[:, None]  # [batch, 1, in_len]


def _zeros(inputs, sizes):
    return inputs.new_zeros(len(inputs), sizes["units"])
