"""Gradients by autograd, of networks whose randomness all follows a seed."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from hw1.errors import InputError

RANDOM = (
    "{} draws random numbers that do not follow a model's seed: use dropout or Tensor.bernoulli_ "
    "for all its randomness"
)
IDLE = "{} has parameters that its outputs do not depend on: remove them from the model class"


def gradients(
    network: nn.Module,
    forward: Callable[[], Tensor],
    parameters: Sequence[Tensor],
    loss_gradients: Callable[[Tensor], Tensor],
    *,
    check: bool,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The outputs, and the gradient of each parameter.

    Args:
        network: for its name in errors.
        forward: gives the outputs.
        parameters: of which the gradients are wanted.
        loss_gradients: gives the gradient of the loss by the outputs.
        check: whether to look for random numbers that follow no seed.

    Raises:
        InputError: the network draws such numbers, or a parameter has no gradient.
    """
    name, device = type(network).__name__, parameters[0].device
    before = _random_state(device) if check else None
    outputs = forward()
    if before is not None and not torch.equal(before, _random_state(device)):
        raise InputError(RANDOM.format(name))
    try:
        given = outputs.detach()
        return given, torch.autograd.grad(outputs, parameters, loss_gradients(given))
    except RuntimeError as error:
        if "not have been used" not in str(error):
            raise
        raise InputError(IDLE.format(name)) from error


def _random_state(device: torch.device) -> Tensor:
    """The state of torch's global generator, which nothing in a training step is to touch."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()
