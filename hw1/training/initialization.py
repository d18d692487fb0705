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


def initialize(model: "nn.Module", scheme: str, input_scale: float | None = None) -> None:
    """Draw the weights of all linear and convolutional layers anew, as ``torch.nn.init`` does.

    The Kaiming schemes use the gain of ReLU, the others gain one. ``"default"`` leaves torch's
    own initialization as it is. Biases stay as torch has drawn them in every scheme, uniformly
    within 1 / sqrt(fan_in): with zeros, all first-layer units of a single feature bend at its mean.
    Draws from torch's global generator.

    With an ``input_scale`` s the first layer is drawn otherwise: weights w normally with standard
    deviation s / sqrt(fan_in), and each unit's bias such that it bends at a point c of its own,
    -w c, uniform within sqrt(3) of zero in each input, as inputs of variance one may lie. The
    biases of other schemes let units of large weights all bend near the mean (Steinwart, "A sober
    look at neural network initializations", 2019). A layer without biases has the weights alone.

    Raises:
        InputError: ``scheme`` is not one of `INITIALIZATIONS`.
    """
    from torch import nn

    layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.modules.conv._ConvNd)]
    if choose("initialization", scheme, INITIALIZATIONS) != "default":
        draw = getattr(nn.init, f"{scheme}_")
        for layer in layers:
            draw(layer.weight)
    if input_scale is not None and layers:
        weight, bias = layers[0].weight.detach(), layers[0].bias
        weight.normal_(0, input_scale / weight[0].numel() ** 0.5)
        if bias is not None:
            of_inputs = weight.flatten(2).sum(2) if weight.dim() > 2 else weight
            points = of_inputs.new_empty(of_inputs.shape).uniform_(-(3**0.5), 3**0.5)
            bias.detach().copy_(-(of_inputs * points).sum(1))
