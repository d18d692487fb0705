"""Networks of any kind, as functions of their parameters."""

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.modules.batchnorm import _BatchNorm

from hw1.errors import InputError
from hw1.training.keys import KeyedDropout

# What makes a network slower here is not the user's to mend.
warnings.filterwarnings("ignore", "There is a performance drop because we have not yet implemented")

State = dict[str, Tensor]
"""Parameters or buffers by name, each ``(n_models, *shape)``."""

RANDOM = (
    "{} draws random numbers that do not follow a model's seed: use dropout or Tensor.bernoulli_ "
    "for all its randomness"
)
IDLE = "{} has parameters that its outputs do not depend on: remove them from the family"


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
        """The outputs ``(n_models, batch, n_outputs)`` for normalised inputs."""
        for layer in self._dropouts:
            layer.calls = 0
        state: dict[str, Any] = parameters | buffers
        with self._autocast(inputs.device.type):

            def one(state: State, batch: Tensor) -> Any:
                return functional_call(self.template, state, (batch,))

            # What layers draw themselves is found out below; vmap is not to be in its way.
            outputs: Tensor = vmap(one, randomness="same")(state, inputs)
        return outputs.to(inputs.dtype)

    def gradients(
        self,
        parameters: State,
        buffers: State,
        inputs: Tensor,
        loss_gradients: Callable[[Tensor], Tensor],
        *,
        check: bool,
    ) -> list[Tensor]:
        """The gradient of each parameter, ``(n_models, *shape)``.

        Args:
            parameters: of which the gradients are wanted.
            buffers: changed in place by layers such as batch norm.
            inputs: ``(n_models, batch, *input_shape)``, normalised.
            loss_gradients: gives the gradient of the loss by the outputs.
            check: whether to look for random numbers that follow no seed.

        Raises:
            InputError: the network draws such numbers, or a parameter has no gradient.
        """
        name = type(self.template).__name__
        for parameter in parameters.values():
            parameter.requires_grad_()
        before = random_state(inputs.device) if check else None
        outputs = self.forward(parameters, buffers, inputs)
        if before is not None and not torch.equal(before, random_state(inputs.device)):
            raise InputError(RANDOM.format(name))
        # The models share no parameter, so the gradient of the sum is each model's own.
        of_outputs = loss_gradients(outputs.detach())
        try:
            return list(torch.autograd.grad(outputs, list(parameters.values()), of_outputs))
        except RuntimeError as error:
            if "not have been used" not in str(error):
                raise
            raise InputError(IDLE.format(name)) from error


def random_state(device: torch.device) -> Tensor:
    """The state of torch's global generator, which nothing in a training step is to touch."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()
