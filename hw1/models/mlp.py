"""The multilayer perceptron."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from hw1.models.activations import activation_layer
from hw1.models.sizes import check_sizes


class MLP(nn.Module):
    """Linear layers of the given widths, each followed by batch norm, activation and dropout.

    Args:
        input_shape: the shape of one example; images are flattened.
        n_outputs: the number of outputs.
        widths: the number of units of each hidden layer; none makes a linear model.
        activation: a name in `hw1.models.activations.ACTIVATIONS`.
        batch_norm: whether hidden layers are batch-normalized before their activation.
        dropout: the probability of dropping a hidden unit.

    Raises:
        ArchitectureError: a width below one.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        n_outputs: int,
        *,
        widths: Sequence[int] = (64, 64),
        activation: str = "relu",
        batch_norm: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_sizes(1, **{f"width of layer {i + 1}": width for i, width in enumerate(widths)})
        layers: list[nn.Module] = [nn.Flatten()]
        n_inputs = math.prod(input_shape)
        for width in widths:
            layers.append(nn.Linear(n_inputs, width, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm1d(width))
            layers.append(activation_layer(activation))
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
            n_inputs = width
        layers.append(nn.Linear(n_inputs, n_outputs))
        self.layers = nn.Sequential(*layers)

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, *input_shape)`` to ``(batch, n_outputs)``."""
        outputs: Tensor = self.layers(inputs)
        return outputs
