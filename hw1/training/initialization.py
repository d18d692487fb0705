"""Initialization schemes for the weights of linear and convolutional layers."""

from typing import TYPE_CHECKING

from hw1.errors import choose

if TYPE_CHECKING:  # what is only read needs no torch
    from torch import nn

INITIALIZATIONS = (
    "default",
    "xavier_uniform",
    "xavier_normal",
    "kaiming_uniform",
    "kaiming_normal",
    "orthogonal",
)


def initialize(model: "nn.Module", scheme: str) -> None:
    """Draw the weights of all linear and convolutional layers anew, as ``torch.nn.init`` does.

    The Kaiming schemes use the gain of ReLU, the others gain one. ``"default"`` leaves torch's
    own initialization as it is. Biases stay as torch has drawn them in every scheme, uniformly
    within 1 / sqrt(fan_in): with zeros, all first-layer units of a single feature bend at its mean.
    Draws from torch's global generator.

    Raises:
        InputError: ``scheme`` is not one of `INITIALIZATIONS`.
    """
    from torch import nn

    if choose("initialization", scheme, INITIALIZATIONS) == "default":
        return
    draw = getattr(nn.init, f"{scheme}_")
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
            draw(module.weight)
