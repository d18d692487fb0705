"""Networks of any kind, as functions of their parameters."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.modules.batchnorm import _BatchNorm

from hw1.training.keys import KeyedDropout
from hw1.training.precision import Precision

# What makes a network slower here is not the user's to mend.
warnings.filterwarnings("ignore", "There is a performance drop because we have not yet implemented")

State = dict[str, Tensor]
"""Parameters or buffers by name, each ``(n_models, *shape)``."""


def stack(template: nn.Module, precision: Precision) -> Callable[[State, Tensor], Tensor]:
    """The network as a function of what many models have in its place, through ``vmap``.

    Args:
        template: the network.
        precision: of matrix products and convolutions.

    Returns:
        Parameters and buffers and normalized inputs ``(n_models, batch, *input_shape)`` to outputs
        ``(n_models, batch, n_outputs)``.
    """
    dropouts = [m for m in template.modules() if isinstance(m, KeyedDropout)]
    rounds = precision == "bfloat16"
    for module in template.modules():
        # Its backward pass under vmap wants inputs of the type of the running statistics.
        if rounds and isinstance(module, _BatchNorm):
            module.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))
            module.register_forward_hook(lambda _, inputs, outputs: outputs.bfloat16())

    def one(state: State, batch: Tensor) -> Any:
        return functional_call(template, state, (batch,))

    def forward(state: State, inputs: Tensor) -> Tensor:
        for layer in dropouts:
            layer.calls = 0
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=rounds):
            # What layers draw themselves is found out by `gradients`; vmap is not to be in its way.
            outputs: Tensor = vmap(one, randomness="same")(state, inputs)
        return outputs.to(inputs.dtype)

    return forward
