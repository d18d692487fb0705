"""What it takes to train a network, counted in floating-point operations of matrix products."""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from hw1.training.layers import Layers
from hw1.training.threads import torch_threads

OF_UNIT, OF_STEP = 200.0, 2e5
"""What a unit costs beside its products, for each example, and what a step of compiled code costs
at least."""
OF_CALL = 2e7
"""What a step costs at least for each layer, where layers are called from Python."""
EXAMPLES = 2
"""As many as batch norm needs."""


def of_example(n_weights: Any, units: Any) -> Any:
    """Operations of a step for each example of a batch.

    Args:
        n_weights: the network's parameters, each as often as it is multiplied in an example.
        units: inputs, and outputs of all layers.
    """
    # Forward, backward by the inputs and by the weights: a product and a sum each.
    return 6.0 * n_weights + OF_UNIT * units


@dataclass
class Count:
    """What a network does with an example.

    Attributes:
        n_weights: see `of_example`.
        units: likewise.
        n_calls: the number of layers, each as often as it is called.
        draws: whether torch's generator is used.
    """

    n_weights: int = 0
    units: int = 0
    n_calls: int = 0
    draws: bool = False
    _seen: set[nn.Parameter] = field(default_factory=set)

    def add(self, layer: nn.Module, inputs: object, outputs: Any) -> None:
        """Count a call of a layer: a forward hook."""
        first = outputs[0] if isinstance(outputs, tuple) else outputs
        if not isinstance(first, Tensor) or first.dim() == 0:
            return
        size = first.shape[2:] if isinstance(layer, _ConvNd) else first.shape[1:-1]
        # With what it takes from layers within it without calling them, as attention does.
        own = {*layer.parameters(recurse=False)} | ({*layer.parameters()} - self._seen)
        self._seen |= own
        self.n_weights += sum(p.numel() * (math.prod(size) if p.dim() > 1 else 1) for p in own)
        if next(layer.children(), None) is None:
            self.units += first[0].numel()
            self.n_calls += 1


def count(model: nn.Module, layers: Layers, input_shape: tuple[int, ...]) -> Count:
    """Count in a forward pass, after which the network is of no other use.

    Draws from torch's generator if the network does. A network that cannot be run has the count
    of its parameters; what is wrong with it is told when it is trained.

    Args:
        model: the network.
        layers: those of a dense one, which need not be run; see `hw1.training.layers.dense_layers`.
        input_shape: of an example.
    """
    counted = Count(units=math.prod(input_shape))
    if layers:
        width = counted.units
        for _, layer in layers:
            width = getattr(layer, "out_features", width)
            counted.units += width
        counted.n_weights = sum(parameter.numel() for parameter in model.parameters())
        counted.n_calls = len(layers)
        return counted
    before = torch.get_rng_state()
    hooks = [module.register_forward_hook(counted.add) for module in model.modules()]
    try:
        with torch.no_grad(), torch_threads(1):
            model.train()(torch.zeros(EXAMPLES, *input_shape))
    except Exception:  # the network's own code may raise anything
        counted.n_weights = sum(parameter.numel() for parameter in model.parameters())
    for hook in hooks:
        hook.remove()
    counted.draws = not torch.equal(before, torch.get_rng_state())
    return counted
