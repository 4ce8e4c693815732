"""The feed-forward layer of a transformer block: at every position by itself, wider and back.

    FFN(x) = activation(x W_1 + b_1) W_2 + b_2                Vaswani et al. (2017), eq. 2, with ReLU
    GELU(x) = x · (1 + erf(x / √2)) / 2                       Hendrycks and Gimpel (2016), section 2

W_1 is called `w_hidden` here and W_2 `w_output`.
"""

import torch
import torch.nn.functional as F
from torch import nn

from attnlib import _checks
from attnlib.torch._autocast import autocasting
from attnlib.torch.layers import _generator, _glorot
from attnlib.torch.multihead import _linear


class FeedForward(nn.Module):
    """Two linear layers with an activation between them, the same for every position.

    d_model: width of input and output. d_hidden: width in between, often 4 · d_model.
    activation: "gelu", the exact one with the error function, or "relu". seed: of the initial parameters `w_hidden`
    `[d_model, d_hidden]` and `w_output` `[d_hidden, d_model]`; the biases `b_hidden` and `b_output` begin at zero.

    Raises ValueError for sizes that are not integers of at least 1, and for an activation that there is not.
    Source: Vaswani et al. (2017), section 3.3; GELU: Hendrycks and Gimpel (2016), section 2.

    dropout: the share of the hidden layer set to zero in training.
    """

    def __init__(self, d_model, d_hidden, *, activation="gelu", dropout=0.0, seed=None):
        super().__init__()
        _checks.length("d_model", d_model)
        _checks.length("d_hidden", d_hidden)
        _checks.choice("activation", activation, ["gelu", "relu"])
        _checks.dropout(dropout, "explicit")
        self.activation, self.dropout = activation, dropout
        generator = _generator(seed)
        self.w_hidden = _glorot(generator, d_model, d_hidden)
        self.b_hidden = nn.Parameter(torch.zeros(d_hidden))
        self.w_output = _glorot(generator, d_hidden, d_model)
        self.b_output = nn.Parameter(torch.zeros(d_model))

    def forward(self, x):
        """`[..., d_model] -> [..., d_model]`.

        Raises ValueError for a width or type that does not fit.
        """
        _checks.feed_forward(x, self.w_hidden, precision=not autocasting(x))
        hidden = _linear(x, self.w_hidden, self.b_hidden)  # [..., d_hidden]
        hidden = F.relu(hidden) if self.activation == "relu" else F.gelu(hidden)
        return _linear(F.dropout(hidden, self.dropout, self.training), self.w_output, self.b_output)

    def extra_repr(self):
        d_model, d_hidden = self.w_hidden.shape
        return f"d_model={d_model}, d_hidden={d_hidden}, activation={self.activation!r}, dropout={self.dropout}"
