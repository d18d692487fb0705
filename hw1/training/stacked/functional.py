"""Networks of any kind, as functions of their parameters."""

import warnings
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.modules.batchnorm import _BatchNorm

from hw1.training.keys import KeyedDropout

# What makes a network slower here is not the user's to mend.
warnings.filterwarnings("ignore", "There is a performance drop because we have not yet implemented")

State = dict[str, Tensor]
"""Parameters or buffers by name, each ``(n_models, *shape)``."""


class Functional:
    """Networks of one shape with the parameters and buffers that they are given.

    They go through ``torch.func.vmap``.

    Args:
        template: the network.
        precision: the type in which matrix products and convolutions are computed.
    """

    def __init__(self, template: nn.Module, precision: torch.dtype) -> None:
        self.template = template
        self.precision = precision
        self._dropouts = [m for m in template.modules() if isinstance(m, KeyedDropout)]
        if precision == torch.bfloat16:
            # Its backward pass under vmap wants inputs of the type of the running statistics.
            for module in template.modules():
                if isinstance(module, _BatchNorm):
                    module.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))
                    module.register_forward_hook(lambda _, inputs, outputs: outputs.bfloat16())

    def _autocast(self, device: str) -> AbstractContextManager[None]:
        enabled = self.precision == torch.bfloat16
        return torch.autocast(device, torch.bfloat16, enabled=enabled)

    def forward(self, parameters: State, buffers: State, inputs: Tensor) -> Tensor:
        """The outputs ``(n_models, batch, n_outputs)`` for normalized inputs."""
        for layer in self._dropouts:
            layer.calls = 0
        state: dict[str, Any] = parameters | buffers
        with self._autocast(inputs.device.type):

            def one(state: State, batch: Tensor) -> Any:
                return functional_call(self.template, state, (batch,))

            # What layers draw themselves is found out by `gradients`; vmap is not to be in its way.
            outputs: Tensor = vmap(one, randomness="same")(state, inputs)
        return outputs.to(inputs.dtype)
