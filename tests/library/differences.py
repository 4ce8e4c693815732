"""Gradients of the loops that the tests hold attnlib against, exact to the last digits."""

import numpy as np


def complex_step(function, inputs, grad_output):
    """d sum(function(*inputs) · grad_output) / d inputs, where `function` goes through for complex numbers.

    For a function without conj, abs or comparisons Im f(x + ih) / h is the derivative, and as nothing is subtracted
    h may be so small that no error is left (Squire and Trapp, 1998).
    """
    inputs = [np.asarray(x).astype(np.complex128) for x in inputs]
    grads = []
    for i, x in enumerate(inputs):
        grad = np.zeros(x.shape)
        for at in np.ndindex(x.shape):
            moved = [y.copy() for y in inputs]
            moved[i][at] += 1e-30j
            grad[at] = (function(*moved) * grad_output).sum().imag / 1e-30
        grads.append(grad)
    return grads
