"""The recurrent network (Hochreiter and Schmidhuber, 1997, doi:10.1162/neco.1997.9.8.1735)."""

from collections.abc import Sequence

from torch import Tensor, nn

from hw1.errors import ArchitectureError
from hw1.models.sizes import check_sizes


class LSTM(nn.Module):
    """Layers of LSTM cells, one upon another, and a linear layer on the last hidden state.

    Args:
        input_shape: ``(steps, n_features)`` of one sequence.
        n_outputs: the number of outputs.
        hidden: the number of units of each layer, of each direction.
        layers: the number of layers.
        bidirectional: whether each layer also reads the sequence from its end.
        dropout: the probability of dropping an output of a layer, on the way to the next one or
            to the linear layer.

    Raises:
        ArchitectureError: the examples are no sequences, or a size is below one.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        n_outputs: int,
        *,
        hidden: int = 32,
        layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_sizes(1, hidden=hidden, layers=layers)
        if len(input_shape) != 2:
            raise ArchitectureError(
                f"an LSTM needs sequences (steps, features), not examples of shape "
                f"{tuple(input_shape)}"
            )
        n_inputs, n_states = input_shape[1], hidden * (1 + bidirectional)
        # Not as layers of one nn.LSTM: dropout is then a layer, too, and each has a name.
        self.layers = nn.ModuleList()
        for _ in range(layers):
            self.layers.append(
                nn.LSTM(n_inputs, hidden, batch_first=True, bidirectional=bidirectional)
            )
            n_inputs = n_states
        self.dropout = nn.Dropout(dropout) if dropout > 0 else nn.Identity()
        self.head = nn.Linear(n_states, n_outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """``(batch, steps, n_features)`` to ``(batch, n_outputs)``."""
        for layer in self.layers[:-1]:
            inputs = self.dropout(layer(inputs)[0])
        _, (last, _) = self.layers[-1](inputs)  # (directions, batch, hidden)
        outputs: Tensor = self.head(self.dropout(last.transpose(0, 1).flatten(1)))
        return outputs
