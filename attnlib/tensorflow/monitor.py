"""What goes on in the attention layers of a model, epoch by epoch: a callback that looks on and changes nothing.

    monitor = Monitor(some_inputs, their_targets)
    log = keras.callbacks.CSVLogger("log.csv")
    history = model.fit(x, y, epochs=10, callbacks=[monitor, log])
    history.history["encoder_block/multi_head_attention/entropy"]  # a number for each epoch

What it finds goes into the logs of the epoch, where the callbacks that stand after it, and the history, take it from.
Between the ends of two epochs a model computes, and costs, what it always did.
"""

import keras
import numpy as np
import tensorflow as tf

from attnlib import measures
from attnlib.tensorflow.masks import with_causal
from attnlib.tensorflow.multihead import MultiHeadAttention, mask_for_heads
from attnlib.tensorflow.scores import scaled_dot_scores


class Monitor(keras.callbacks.Callback):
    """Summaries of every `MultiHeadAttention` in a model, its subclasses included, at the end of each epoch.

    inputs: a batch to look at, the same every time, as the model takes it.
    targets: what belongs to it; with targets there are the norms of gradients as well, "gradient/" and their group.
    bound: see `saturation`. allowed: boolean, where attention *ought* to be, as the `attention_mask` of these layers.
    by: takes the name of a parameter to that of its group, see `gradient_norms`.

    `layers` holds what `attnlib.measures.summary` says of each layer, by its name and from its last call; where
    queries and keys are the same sequence, positions that no query may see are padding and do not count.
    The model is called eagerly and as in inference. Calls with a `cache` are not looked at.

    Raises ValueError for a model without such layers, and when none of them was called.
    """

    def __init__(self, inputs, targets=None, *, allowed=None, bound=measures.BOUND, by=None):
        super().__init__()
        self.inputs, self.targets = inputs, targets
        self.allowed, self.bound, self.by = allowed, bound, by
        self.layers = {}

    def on_epoch_end(self, epoch, logs=None):
        found = self.look()
        if logs is not None:
            logs.update(found)

    def look(self):
        """Calls the model once, and returns what it saw as numbers for a log: see `attnlib.measures.flat`."""
        self.layers, gradients = {}, {}
        watched = attention_layers(self.model)
        for name, layer in watched.items():
            self._watch(name, layer)
        try:
            if self.targets is None:
                self.model(self.inputs, training=False)
            else:
                gradients = gradient_norms(self.model, self.inputs, self.targets, self.by)
        finally:
            for layer in watched.values():
                del layer.call, layer._attend  # the methods of its class are there again
        if not self.layers:
            raise ValueError("the model must call its layers eagerly, and without a cache: got no such call")
        return measures.flat(self.layers) | {f"gradient/{group}": norm for group, norm in gradients.items()}

    def _watch(self, name, layer):
        """Put methods that look on before those of the class: Keras has no hooks."""
        call, attend, tokens = layer.call, layer._attend, {}

        def watched_call(query, key=None, *args, cache=None, **options):
            if cache is None and tf.is_tensor(query) and hasattr(query, "numpy"):
                tokens.update(query=query, itself=key is None or key is query)
            try:
                return call(query, key, *args, cache=cache, **options)
            finally:
                tokens.clear()

        def watched_attend(q, k, v, mask, bias, causal, dropout):
            if tokens:
                self._record(name, layer, q, k, mask, bias, causal, **tokens)
            return attend(q, k, v, mask, bias, causal, dropout)

        layer.call, layer._attend = watched_call, watched_attend

    def _record(self, name, layer, q, k, mask, bias, causal, query, itself):
        k = tf.repeat(k, layer.num_heads // layer.num_kv_heads, axis=-3)
        scores = scaled_dot_scores(q, k)
        if bias is not None:
            scores = scores + bias
        mask = with_causal(mask, causal, q, k)
        visible = None if mask is None else np.broadcast_to(mask, scores.shape)
        self.layers[name] = measures.summary(
            _array(scores),
            mask=visible,
            real=visible.any(axis=-2).any(axis=-2) if itself and visible is not None else None,
            tokens=_array(query),
            allowed=mask_for_heads(self.allowed, len(query.shape)),
            bound=self.bound,
        )


def attention_layers(model):
    """The `MultiHeadAttention` layers inside a model, by name.

    Raises ValueError for a model without one.
    """
    inside = model._flatten_layers() if hasattr(model, "_flatten_layers") else []
    layers = {layer.path or layer.name: layer for layer in inside if isinstance(layer, MultiHeadAttention)}
    if not layers:
        raise ValueError(f"model must have a MultiHeadAttention of attnlib inside, got {type(model).__name__} without")
    return layers


def gradient_norms(model, inputs, targets, by=None):
    """The norm of the gradient of each parameter of a compiled model, by name, or of each group of them.

    inputs, targets: one batch; the loss is that of `compile`, and the model is called as in inference.
    by: takes the name of a parameter to that of its group, such as `lambda name: name.split("/")[-1]`.
    Parameters without a gradient are left out.
    Raises ValueError for a model that is not compiled.
    """
    if not model.compiled:
        raise ValueError("model must be compiled, so that it has a loss: got one that is not")
    with tf.GradientTape() as tape:
        outputs = model(inputs, training=False)
        loss = model.compute_loss(inputs, tf.convert_to_tensor(targets), outputs, training=False)
    variables = model.trainable_variables
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    squares = {
        variable.path: float(np.square(_array(tf.convert_to_tensor(gradient)).astype(np.float64)).sum())
        for variable, gradient in zip(variables, gradients, strict=True)
        if gradient is not None
    }
    return measures.grouped_norms(squares, by)


def _array(x):
    """A tensor as a NumPy array, of a precision that NumPy has."""
    x = tf.convert_to_tensor(x)
    return (tf.cast(x, tf.float32) if x.dtype.size < 4 else x).numpy()
