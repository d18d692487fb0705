"""Initialisation schemes for the weights of linear and convolutional layers."""

from collections.abc import Callable
from typing import Any, Literal, get_args

from torch import Tensor, nn

from hw1.errors import choose

Initialization = Literal[
    "default", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "orthogonal"
]
INITIALIZATIONS: tuple[str, ...] = get_args(Initialization)


def initialize(model: nn.Module, scheme: str) -> None:
    """Draw the weights of all linear and convolutional layers anew.

    The Kaiming schemes use the gain of ReLU, the others gain one. ``"default"`` leaves torch's
    own initialisation as it is. Biases stay as torch has drawn them in every scheme, uniformly
    within 1 / sqrt(fan_in): with zeros, all first-layer units of a single feature bend at its mean.
    Draws from torch's global generator.

    Raises:
        InputError: ``scheme`` is not one of `INITIALIZATIONS`.
    """
    draw: dict[str, Callable[[Tensor], Any]] = {
        "xavier_uniform": nn.init.xavier_uniform_,
        "xavier_normal": nn.init.xavier_normal_,
        "kaiming_uniform": lambda weight: nn.init.kaiming_uniform_(weight, nonlinearity="relu"),
        "kaiming_normal": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
        "orthogonal": nn.init.orthogonal_,
    }
    if choose("initialization", scheme, INITIALIZATIONS) == "default":
        return
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
            draw[scheme](module.weight)
