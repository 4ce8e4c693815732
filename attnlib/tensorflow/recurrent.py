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

import keras
import tensorflow as tf

from attnlib import _checks
from attnlib._seeds import spread
from attnlib.tensorflow._affine import affine
from attnlib.tensorflow.dense import attend
from attnlib.tensorflow.layers import AdditiveAttention, _glorot
from attnlib.tensorflow.local import LocalMonotonicAttention, LocalPredictiveAttention


class _Decoder(keras.layers.Layer):
    def __init__(self, seed, sizes, **kwargs):
        super().__init__(**kwargs)
        self.sizes, self.seed = _checks.decoder_sizes(**sizes), seed
        self.supports_masking = True  # the output has a row for each input, so it keeps the inputs' mask

    def _build(self, d_input):
        for_input, for_state, _ = spread(self.seed, 3)
        self.gru = keras.layers.GRU(
            self.sizes["units"],
            return_sequences=True,
            kernel_initializer=_glorot(for_input),
            recurrent_initializer=keras.initializers.Orthogonal(seed=for_state),
            dtype=self.dtype_policy,
        )
        self.gru.build((None, None, d_input))
        if not self.attention.built:
            self.attention.build(None)

    def _checked(self, inputs, memory, memory_mask, *states, step=False):
        if not self.built:
            self.build(None)
        inputs, memory, *states = (self._own(x) for x in (inputs, memory, *states))
        named = dict(zip(("state", "the state's output"), states, strict=False))
        _checks.decoder(inputs, memory, memory_mask, named, self.sizes, inputs, step=step)
        zeros = tf.zeros((tf.shape(inputs)[0], self.sizes["units"]), inputs.dtype)
        return inputs, memory, *(zeros if x is None else x for x in states)

    def _own(self, x):
        # In the layer's precision, and without a mask of Keras's: inside a loop no tensor has one, so that inner
        # layers must not find one elsewhere either. What is not floating point is left to the checks.
        floating = hasattr(x, "dtype") and tf.as_dtype(x.dtype).is_floating
        return tf.cast(tf.identity(x), self.compute_dtype) if floating else x

    def _scan(self, step, inputs, memory, state, width):
        """`step(x, state) -> output, state, weights`, over all steps: outputs and weights `[batch, out_len, ...]`."""
        batch, in_len = tf.shape(memory)[0], tf.shape(memory)[1]
        initial = (tf.zeros((batch, width), inputs.dtype), state, tf.zeros((batch, in_len), inputs.dtype))
        steps = tf.scan(lambda carried, x: step(x, carried[1]), tf.transpose(inputs, (1, 0, 2)), initial)
        return tf.transpose(steps[0], (1, 0, 2)), tf.transpose(steps[2], (1, 0, 2))

    def get_config(self):
        return {**super().get_config(), **self.sizes, "seed": self.seed}


@keras.saving.register_keras_serializable(package="attnlib")
class BahdanauDecoder(_Decoder):
    """A recurrent decoder whose state before each step attends, with additive scores; the context enters the step.

    d_input, units, d_memory, d_hidden: widths of the inputs, the state, the memory and the scores' hidden layer.
    seed: of the initial parameters: those of `attention`, an `AdditiveAttention`, and those of `gru`, whose input is
    `[input; context]`.

    An output is `[state; context]`: what the paper's g (eq. 4) reads beside the input. g is left to the caller.
    Raises ValueError for a width that is not an integer of at least 1.
    Source: Bahdanau, Cho and Bengio (2015), section 3.1 and appendix A.2.2.
    """

    def __init__(self, d_input, units, d_memory, d_hidden, *, seed=None, **kwargs):
        super().__init__(seed, {"d_input": d_input, "units": units, "d_memory": d_memory}, **kwargs)
        attention = {"seed": spread(seed, 3)[2], "dtype": self.dtype_policy}
        self.attention = AdditiveAttention(units, d_memory, d_hidden, **attention)

    def build(self, inputs_shape, memory_shape=None, state_shape=None):
        self._build(self.sizes["d_input"] + self.sizes["d_memory"])

    def call(self, inputs, memory, state=None, *, memory_mask=None, return_weights=False):
        """`[batch, out_len, d_input], [batch, in_len, d_memory] -> [batch, out_len, units + d_memory]`.

        inputs: embeddings of what was written before each step: all steps at once, as in training.
        state: `[batch, units]`, before the first step; by default zeros.
        memory_mask: boolean `[batch, in_len]`, True where the memory is not padding.
        return_weights: return `(output, weights)`, the weights `[batch, out_len, in_len]`.

        Raises ValueError for shapes or types that do not fit.

        memory_mask: filled by Keras where the memory carries a mask. Padded inputs are computed like any other; the
        output carries their mask.
        """
        inputs, memory, state = self._checked(inputs, memory, memory_mask, state)
        keys, mask = self.keys(memory), _mask(memory_mask)
        width = self.sizes["units"] + self.sizes["d_memory"]
        output, weights = self._scan(lambda x, s: self._step(x, s, memory, keys, mask), inputs, memory, state, width)
        return (output, weights) if return_weights else output

    def step(self, inputs, state, memory, *, keys=None, memory_mask=None):
        """`[batch, d_input], [batch, units], [batch, in_len, d_memory] -> output, state, weights`.

        One step: output `[batch, units + d_memory]`, state `[batch, units]`, weights `[batch, in_len]`.
        state: None before the first step is zeros. keys: `keys(memory)`, computed once for all steps.

        Raises ValueError for shapes or types that do not fit.
        """
        inputs, memory, state = self._checked(inputs, memory, memory_mask, state, step=True)
        keys = self.keys(memory) if keys is None else keys
        _checks.decoder_keys(keys, memory, self.attention.v_score)
        return self._step(inputs, state, memory, keys, _mask(memory_mask))

    def keys(self, memory):
        """`[batch, in_len, d_memory] -> [batch, in_len, d_hidden]`: what the scores of all steps have in common."""
        memory = self._own(memory)
        return affine(memory, tf.cast(self.attention.w_key, memory.dtype))

    def _step(self, x, state, memory, keys, mask):
        w_query, v_score = (tf.cast(w, x.dtype) for w in (self.attention.w_query, self.attention.v_score))
        query = (state @ w_query)[:, None]  # [batch, 1, d_hidden]
        scores = tf.linalg.matvec(tf.tanh(query + keys), v_score)[:, None]  # [batch, 1, in_len]
        context, weights = attend(scores, memory, mask=mask, return_weights=True)
        state, _ = self.gru.cell(tf.concat([x, context[:, 0]], axis=-1), state)
        return tf.concat([state, context[:, 0]], axis=-1), state, weights[:, 0]

    def get_config(self):
        return {**super().get_config(), "d_hidden": self.attention.d_hidden}


@keras.saving.register_keras_serializable(package="attnlib")
class LuongDecoder(_Decoder):
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

    def __init__(self, d_input, units, d_memory, attention, *, input_feeding=True, seed=None, **kwargs):
        super().__init__(seed, {"d_input": d_input, "units": units, "d_memory": d_memory}, **kwargs)
        _checks.attention_layer(attention)
        self.attention, self.input_feeding = attention, input_feeding

    def build(self, inputs_shape, memory_shape=None, state_shape=None):
        units, d_memory = self.sizes["units"], self.sizes["d_memory"]
        shape = (d_memory + units, units)
        self.w_combine = self.add_weight(name="w_combine", shape=shape, initializer=_glorot(spread(self.seed, 3)[2]))
        self._build(self.sizes["d_input"] + units * self.input_feeding)

    def call(self, inputs, memory, state=None, *, memory_mask=None, return_weights=False):
        """`[batch, out_len, d_input], [batch, in_len, d_memory] -> [batch, out_len, units]`.

        inputs: embeddings of what was written before each step: all steps at once, as in training.
        state: `[batch, units]`, before the first step; by default zeros. Or what a step returned, to go on.
        memory_mask: boolean `[batch, in_len]`, True where the memory is not padding.
        return_weights: return `(output, weights)`, the weights `[batch, out_len, in_len]`.

        Raises ValueError for shapes or types that do not fit.

        memory_mask: filled by Keras where the memory carries a mask. Padded inputs are computed like any other; the
        output carries their mask.
        """
        hidden, output, start = _checks.decoder_state(state)
        inputs, memory, hidden, output = self._checked(inputs, memory, memory_mask, hidden, output)
        if self.input_feeding:
            state = hidden, output, tf.cast(start, tf.int32)
            units = self.sizes["units"]
            output, weights = self._scan(
                lambda x, s: self._step(x, s, memory, memory_mask), inputs, memory, state, units
            )
        else:  # all steps are one call
            output, weights = self._combined(self.gru(inputs, initial_state=hidden), memory, memory_mask, start)
        return (output, weights) if return_weights else output

    def step(self, inputs, state, memory, *, memory_mask=None):
        """`[batch, d_input], state, [batch, in_len, d_memory] -> output, state, weights`.

        One step: output `[batch, units]`, weights `[batch, in_len]`.
        state: before the first step `[batch, units]`, or None for zeros; then what the step before returned: the
        vector that is carried on, the output (zeros at first), and how many steps were made.

        Raises ValueError for shapes or types that do not fit.
        """
        hidden, output, position = _checks.decoder_state(state)
        inputs, memory, hidden, output = self._checked(inputs, memory, memory_mask, hidden, output, step=True)
        return self._step(inputs, (hidden, output, tf.cast(position, tf.int32)), memory, memory_mask)

    def _step(self, x, state, memory, memory_mask):
        hidden, output, position = state
        hidden, _ = self.gru.cell(tf.concat([x, output], axis=-1) if self.input_feeding else x, hidden)
        output, weights = self._combined(hidden[:, None], memory, memory_mask, position)
        return output[:, 0], (hidden, output[:, 0], position + 1), weights[:, 0]

    def _combined(self, hidden, memory, memory_mask, start):
        """`[batch, out_len, units] -> [batch, out_len, units], [batch, out_len, in_len]`: attention and eq. 5."""
        options = {"attention_mask": _mask(memory_mask), "return_weights": True}
        if isinstance(self.attention, LocalMonotonicAttention):
            options["start"] = start
        if isinstance(self.attention, LocalPredictiveAttention) and memory_mask is not None:
            options["lengths"] = tf.reduce_sum(tf.cast(memory_mask, tf.int32), axis=-1)
        context, weights = (tf.cast(x, hidden.dtype) for x in self.attention(hidden, memory, **options))
        return tf.tanh(affine(tf.concat([context, hidden], axis=-1), tf.cast(self.w_combine, hidden.dtype))), weights

    def get_config(self):
        attention = keras.saving.serialize_keras_object(self.attention)
        return {**super().get_config(), "attention": attention, "input_feeding": self.input_feeding}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "attention": keras.saving.deserialize_keras_object(config["attention"])})


def _mask(memory_mask):
    return None if memory_mask is None else memory_mask[:, None]  # [batch, 1, in_len]
