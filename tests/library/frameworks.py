"""What the tests need of a framework: its attnlib module, arrays in and out, and gradients.

Parameters are called as in NumPy, those of a layer inside a layer with a dot: "attention.w_query".
"""

import importlib
from operator import attrgetter

import numpy as np


class NumPy:
    name = "numpy"

    def __init__(self):
        self.attn = importlib.import_module(f"attnlib.{self.name}")

    def array(self, x):
        """A NumPy array, or None, as the framework's own."""
        return x

    def numpy(self, x):
        return np.asarray(x)

    def gradients(self, function, inputs, grad_output):
        """d sum(function(*inputs) · grad_output) / d inputs: here by central differences, in float64."""
        inputs = [x.astype(np.float64) for x in inputs]
        grads = []
        for i, x in enumerate(inputs):
            grad = np.zeros_like(x)
            for at in np.ndindex(x.shape):
                ends = []
                for step in (1e-6, -1e-6):
                    moved = [y.copy() for y in inputs]
                    moved[i][at] += step
                    ends.append(float((function(*moved) * grad_output).sum()))
                grad[at] = (ends[0] - ends[1]) / 2e-6
            grads.append(grad)
        return grads

    def layer_gradients(self, layer, inputs, names, grad_output, options):
        """As `gradients`, of a layer's inputs and of its parameters called `names`."""

        def function(*arrays):
            self.set_parameters(layer, dict(zip(names, arrays[len(inputs) :], strict=True)))
            return layer(*arrays[: len(inputs)], **options)

        grads = self.gradients(function, [*inputs, *(attrgetter(name)(layer) for name in names)], grad_output)
        return grads[: len(inputs)], grads[len(inputs) :]

    def set_parameters(self, layer, values):
        for name, value in values.items():
            *path, last = name.split(".")
            setattr(attrgetter(".".join(path))(layer) if path else layer, last, value)


class Torch(NumPy):
    name = "torch"

    def __init__(self):
        super().__init__()
        self.torch = importlib.import_module("torch")

    def array(self, x):
        return None if x is None else self.torch.from_numpy(np.array(x))

    def numpy(self, x):
        return x.detach().numpy()

    def gradients(self, function, inputs, grad_output):
        tensors = [self.array(x).requires_grad_() for x in inputs]
        function(*tensors).backward(self.array(grad_output))
        return [t.grad.numpy() for t in tensors]

    def layer_gradients(self, layer, inputs, names, grad_output, options):
        grads = self.gradients(lambda *x: layer(*x, **options), inputs, grad_output)
        return grads, [attrgetter(name)(layer).grad.numpy() for name in names]

    def set_parameters(self, layer, values):
        layer.load_state_dict({name: self.array(value) for name, value in values.items()})


class TensorFlow(NumPy):
    name = "tensorflow"

    def __init__(self):
        super().__init__()
        self.tf = importlib.import_module("tensorflow")

    def array(self, x):
        return None if x is None else self.tf.constant(x)

    def numpy(self, x):
        return x.numpy()

    def gradients(self, function, inputs, grad_output):
        tensors = [self.array(x) for x in inputs]
        with self.tf.GradientTape() as tape:
            tape.watch(tensors)
            output = function(*tensors)
        return [g.numpy() for g in tape.gradient(output, tensors, output_gradients=self.array(grad_output))]

    def layer_gradients(self, layer, inputs, names, grad_output, options):
        tensors, parameters = [self.array(x) for x in inputs], [self._variable(layer, name).value for name in names]
        with self.tf.GradientTape() as tape:
            tape.watch(tensors)
            output = layer(*tensors, **options)
        grads = tape.gradient(output, tensors + parameters, output_gradients=self.array(grad_output))
        return [g.numpy() for g in grads[: len(inputs)]], [g.numpy() for g in grads[len(inputs) :]]

    def set_parameters(self, layer, values):
        if not layer.built:
            layer.build(None)
        for name, value in values.items():
            self._variable(layer, name).assign(value)

    def _variable(self, layer, name):
        """Keras calls what the others call weight and bias of a layer norm gamma and beta."""
        return attrgetter(name.replace("norm.weight", "norm.gamma").replace("norm.bias", "norm.beta"))(layer)


ALL = {framework.name: framework for framework in (NumPy, Torch, TensorFlow)}
