"""Attention mechanisms in NumPy, PyTorch and TensorFlow, written to be read.

Importing `attnlib` loads no framework. Choose one:

    import attnlib.numpy as attn         # the executable specification
    import attnlib.torch as attn         # the same names, PyTorch tensors and modules
    import attnlib.tensorflow as attn    # the same names, TensorFlow tensors and Keras layers
"""

__version__ = "0.1.0"
