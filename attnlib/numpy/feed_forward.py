"""The feed-forward layer of a transformer block: at every position by itself, wider and back.

    FFN(x) = activation(x W_1 + b_1) W_2 + b_2                Vaswani et al. (2017), eq. 2, with ReLU
    GELU(x) = x · (1 + erf(x / √2)) / 2                       Hendrycks and Gimpel (2016), section 2

W_1 is called `w_hidden` here and W_2 `w_output`.
"""

import math

import numpy as np

from attnlib import _checks
from attnlib.numpy.layers import _glorot
from attnlib.numpy.multihead import _linear

_erf = np.frompyfunc(math.erf, 1, 1)  # NumPy has no error function of its own


class FeedForward:
    """Two linear layers with an activation between them, the same for every position.

    d_model: width of input and output. d_hidden: width in between, often 4 · d_model.
    activation: "gelu", the exact one with the error function, or "relu". seed: of the initial parameters `w_hidden`
    `[d_model, d_hidden]` and `w_output` `[d_hidden, d_model]`; the biases `b_hidden` and `b_output` begin at zero.

    Raises ValueError for sizes that are not integers of at least 1, and for an activation that there is not.
    Source: Vaswani et al. (2017), section 3.3; GELU: Hendrycks and Gimpel (2016), section 2.
    """

    def __init__(self, d_model, d_hidden, *, activation="gelu", seed=None):
        _checks.length("d_model", d_model)
        _checks.length("d_hidden", d_hidden)
        _checks.choice("activation", activation, ["gelu", "relu"])
        self.activation = activation
        rng = np.random.default_rng(seed)
        self.w_hidden = _glorot(rng, d_model, d_hidden, (d_model, d_hidden))
        self.b_hidden = np.zeros(d_hidden, np.float32)
        self.w_output = _glorot(rng, d_hidden, d_model, (d_hidden, d_model))
        self.b_output = np.zeros(d_model, np.float32)

    def __call__(self, x):
        """`[..., d_model] -> [..., d_model]`.

        Raises ValueError for a width or type that does not fit.
        """
        _checks.feed_forward(x, self.w_hidden)
        hidden = _linear(x, self.w_hidden, self.b_hidden)  # [..., d_hidden]
        if self.activation == "relu":
            hidden = np.maximum(hidden, 0)
        else:
            hidden = hidden * (1 + _erf(hidden / math.sqrt(2)).astype(x.dtype)) / 2
        return _linear(hidden, self.w_output, self.b_output)
