"""Feed-forward networks of many models, forward and backward by hand.

A step of a small network costs what its launches cost, not what its arithmetic does. A stack of
linear layers, batch norms, activations and dropouts needs about ten launches a layer when its
backward pass is written out over the axis of the models, a fraction of what autograd and
``torch.func.vmap`` take for the same plain network.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from hw1.training.keys import KeyedDropout
from hw1.training.layers import Layers

aten = torch.ops.aten

State = Mapping[str, Tensor]
"""Parameters, their gradients or buffers by name, each ``(n_models, *shape)``."""


class _Layer(Protocol):
    """A layer of all models; forward, then backward, a batch at a time."""

    def forward(self, values: Tensor, factors: Tensor | None) -> Tensor:
        """Train on ``values`` ``(n_models, batch, n_inputs)``, dropping out by ``factors``."""

    def backward(self, grad: Tensor) -> Tensor:
        """Write the gradients of the parameters and return that of the inputs."""

    def evaluate(self, values: Tensor) -> Tensor:
        """The outputs of the trained layer."""


class _Linear:
    def __init__(self, name: str, layer: nn.Linear, parameters: State, grads: State) -> None:
        self.weight = parameters[f"{name}.weight"]
        self.transposed = self.weight.transpose(1, 2)
        self.of_weight = grads[f"{name}.weight"]
        self.has_bias = layer.bias is not None
        if self.has_bias:
            self.bias = parameters[f"{name}.bias"][:, None]
            self.of_bias = grads[f"{name}.bias"]
        self.is_first = False

    def forward(self, values: Tensor, factors: Tensor | None) -> Tensor:
        self.inputs = values
        return self.evaluate(values)

    def evaluate(self, values: Tensor) -> Tensor:
        if self.has_bias:
            return torch.baddbmm(self.bias, values, self.transposed)
        return torch.bmm(values, self.transposed)

    def backward(self, grad: Tensor) -> Tensor:
        torch.bmm(grad.transpose(1, 2), self.inputs, out=self.of_weight)
        if self.has_bias:
            torch.sum(grad, 1, out=self.of_bias)
        # Nothing is learned below the first layer.
        return grad if self.is_first else torch.bmm(grad, self.weight)


class _BatchNorm:
    """Ioffe and Szegedy (2015), https://arxiv.org/abs/1502.03167."""

    def __init__(
        self, name: str, layer: nn.BatchNorm1d, parameters: State, grads: State, buffers: State
    ) -> None:
        self.weight = parameters[f"{name}.weight"][:, None]
        self.bias = parameters[f"{name}.bias"][:, None]
        self.of_weight, self.of_bias = grads[f"{name}.weight"], grads[f"{name}.bias"]
        self.running_mean = buffers[f"{name}.running_mean"][:, None]
        self.running_var = buffers[f"{name}.running_var"][:, None]
        self.num_batches_tracked = buffers[f"{name}.num_batches_tracked"]
        self.eps = layer.eps
        assert layer.momentum is not None
        self.momentum = layer.momentum

    def forward(self, values: Tensor, factors: Tensor | None) -> Tensor:
        n_rows = values.shape[1]
        # torch.var is several times slower along an axis that is not the last.
        mean = values.mean(1, keepdim=True)
        values = values - mean
        var = values.square().mean(1, keepdim=True)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.mul_(1 - self.momentum)
        self.running_var.add_(var, alpha=self.momentum * n_rows / (n_rows - 1))
        self.num_batches_tracked.add_(1)
        self.rstd = var.add_(self.eps).rsqrt_()
        self.values = values.mul_(self.rstd)
        return torch.addcmul(self.bias, self.values, self.weight)

    def evaluate(self, values: Tensor) -> Tensor:
        scale = torch.rsqrt(self.running_var + self.eps).mul_(self.weight)
        return torch.addcmul(self.bias, values - self.running_mean, scale)

    def backward(self, grad: Tensor) -> Tensor:
        n_rows = grad.shape[1]
        torch.sum(grad, 1, out=self.of_bias)
        torch.sum(grad * self.values, 1, out=self.of_weight)
        grad = torch.addcmul(grad, self.values, self.of_weight[:, None], value=-1 / n_rows)
        grad.sub_(self.of_bias[:, None], alpha=1 / n_rows)
        return grad.mul_(self.rstd * self.weight)


class _Dropout:
    def forward(self, values: Tensor, factors: Tensor | None) -> Tensor:
        assert factors is not None
        self.factors = factors
        return values * factors

    def evaluate(self, values: Tensor) -> Tensor:
        return values

    def backward(self, grad: Tensor) -> Tensor:
        return grad * self.factors


class _Activation:
    """An elementwise function, and its derivative at its output or at its input."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer
        self.derivative, self.at_output = _DERIVATIVES[type(layer)]

    def forward(self, values: Tensor, factors: Tensor | None) -> Tensor:
        outputs = self.evaluate(values)
        self.at = outputs if self.at_output else values
        return outputs

    def evaluate(self, values: Tensor) -> Tensor:
        outputs: Tensor = self.layer(values)
        return outputs

    def backward(self, grad: Tensor) -> Tensor:
        return self.derivative(self.layer, grad, self.at)


# The gradient by the input, from the layer, the gradient by the output and one of the two.
_DERIVATIVES: dict[type[nn.Module], tuple[Callable[[Any, Tensor, Tensor], Tensor], bool]] = {
    nn.ReLU: (lambda m, g, y: aten.threshold_backward(g, y, 0), True),
    nn.Tanh: (lambda m, g, y: aten.tanh_backward(g, y), True),
    nn.Sigmoid: (lambda m, g, y: aten.sigmoid_backward(g, y), True),
    nn.LeakyReLU: (
        lambda m, g, x: aten.leaky_relu_backward(g, x, m.negative_slope, False),
        False,
    ),
    nn.ELU: (lambda m, g, x: aten.elu_backward(g, m.alpha, 1, 1, False, x), False),
    nn.GELU: (lambda m, g, x: aten.gelu_backward(g, x, approximate=m.approximate), False),
    nn.SiLU: (lambda m, g, x: aten.silu_backward(g, x), False),
}


class Dense:
    """The networks of all models as one program over the axis of the models.

    Args:
        layers: what `hw1.training.layers.dense_layers` found.
        parameters: of the networks.
        grads: written by `backward`.
        buffers: batch norm's are changed by `forward`.
    """

    def __init__(
        self,
        layers: Layers,
        parameters: State,
        grads: State,
        buffers: State,
    ) -> None:
        self._layers: list[_Layer] = []
        for name, layer in layers:
            match layer:
                case nn.Linear():
                    self._layers.append(_Linear(name, layer, parameters, grads))
                case nn.BatchNorm1d():
                    self._layers.append(_BatchNorm(name, layer, parameters, grads, buffers))
                case KeyedDropout():
                    self._layers.append(_Dropout())
                case _:
                    self._layers.append(_Activation(layer))
        if isinstance(self._layers[0], _Linear):
            self._layers[0].is_first = True

    def forward(self, inputs: Tensor, factors: Sequence[Tensor]) -> Tensor:
        """The outputs for a batch to train on, ``(n_models, batch, n_outputs)``.

        Args:
            inputs: ``(n_models, batch, n_features)``.
            factors: of each dropout layer in turn, ``(n_models, batch, width)``.
        """
        remaining = iter(factors)
        for layer in self._layers:
            drops = isinstance(layer, _Dropout)
            inputs = layer.forward(inputs, next(remaining) if drops else None)
        return inputs

    def backward(self, grad: Tensor) -> None:
        """Write the gradient of every parameter.

        Args:
            grad: of the loss by the outputs of the last `forward`, of their shape.
        """
        for layer in reversed(self._layers):
            grad = layer.backward(grad)

    def evaluate(self, inputs: Tensor) -> Tensor:
        """The outputs of the trained networks, with batch norm's running statistics."""
        for layer in self._layers:
            inputs = layer.evaluate(inputs)
        return inputs
