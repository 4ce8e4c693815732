"""What goes on in the attention layers of a model, seen from outside: hooks that look on and change nothing.

    with Monitor(model) as monitor:
        model(batch)
    monitor.flat()      # {"blocks.0.attention/entropy": 0.71, …}

Queries and keys are projected once more for the look, so that it works for every `impl`, those that hold no weights
included. Outside the `with` a model has no hooks, and costs what it always cost.
"""

import torch

from attnlib import measures
from attnlib.torch.masks import with_causal
from attnlib.torch.multihead import MultiHeadAttention, mask_for_heads, positions_for_heads, repeat_heads
from attnlib.torch.scores import scaled_dot_scores


class Monitor:
    """Summaries of every `MultiHeadAttention` in a model, its subclasses included, while the model is called.

    model: a module that has such layers somewhere inside, or is one.
    bound: see `saturation`. allowed: boolean, where attention *ought* to be, as the `attention_mask` of these layers.

    `layers` holds what `attnlib.measures.summary` says of each layer, by its name and from its last call; where
    queries and keys are the same sequence, positions that no query may see are padding and do not count.
    Outputs and gradients are those without a monitor, to the last bit. Calls with a `cache` are not looked at.
    A compiled model does not run hooks that came after it: call the module that was compiled, which has its weights.

    Raises ValueError for a model without such layers, and at the end of the `with` when none of them was called.
    """

    def __init__(self, model, *, allowed=None, bound=measures.BOUND):
        self.model, self.allowed, self.bound = model, allowed, bound
        self.layers = {}
        self._hooks = []

    def __enter__(self):
        self.layers = {}
        for name, layer in attention_layers(self.model).items():
            self._hooks.append(layer.register_forward_hook(self._look(name), with_kwargs=True))
        return self

    def __exit__(self, kind, error, traceback):
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        if kind is None and not self.layers:
            raise ValueError("the model must be called inside the `with`, and not compiled: got no call of its layers")

    def flat(self):
        """The summaries as numbers for a log, by "layer/statistic": see `attnlib.measures.flat`."""
        return measures.flat(self.layers)

    def _look(self, name):
        def hook(layer, args, kwargs, output):
            self._record(name, layer, *args, **kwargs)

        return hook

    @torch.no_grad()
    def _record(
        self,
        name,
        layer,
        query,
        key=None,
        value=None,
        *,
        attention_mask=None,
        attention_bias=None,
        causal=False,
        cache=None,
        positions=None,
        **_,
    ):
        if cache is not None:
            return
        itself = key is None or key is query
        key = query if key is None else key
        if layer.rotary is not None:
            positions = positions_for_heads(positions, query, None)
        q, k, _ = layer.project(query, key, key, positions)
        scores = scaled_dot_scores(q, repeat_heads(k, layer.num_heads // layer.num_kv_heads))
        if attention_bias is not None:
            scores = scores + attention_bias
        mask = with_causal(mask_for_heads(attention_mask, query.ndim), causal, q, k)
        visible = None if mask is None else torch.broadcast_to(mask, scores.shape)
        self.layers[name] = measures.summary(
            _array(scores),
            mask=_array(visible),
            real=_array(visible.any(dim=-2).any(dim=-2)) if itself and visible is not None else None,
            tokens=_array(query),
            allowed=_array(mask_for_heads(self.allowed, query.ndim)),
            bound=self.bound,
        )


def attention_layers(model):
    """The `MultiHeadAttention` layers inside a model, by name, in the order in which they were put there.

    Raises ValueError for a model without one.
    """
    layers = {name or "model": m for name, m in model.named_modules() if isinstance(m, MultiHeadAttention)}
    if not layers:
        raise ValueError(f"model must have a MultiHeadAttention of attnlib inside, got {type(model).__name__} without")
    return layers


def gradient_norms(model, by=None):
    """The norm of the gradient of each parameter of a model, by name, or of each group of them.

    by: takes the name of a parameter to that of its group, such as `lambda name: name.split(".")[-1]`.
    Parameters without a gradient are left out.
    Raises ValueError for a model that no gradient has come to.
    """
    squares = {
        name: parameter.grad.detach().double().square().sum().item()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    if not squares:
        raise ValueError("model must have gradients: call backward first")
    return measures.grouped_norms(squares, by)


def _array(x):
    """A tensor as a NumPy array, of a precision that NumPy has."""
    if x is None:
        return None
    x = x.detach().cpu()
    return (x.float() if x.dtype.itemsize < 4 and x.is_floating_point() else x).numpy()
