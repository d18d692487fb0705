"""Looking into a network changes nothing, whatever it does and wherever one looks."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from analysis.undisturbed import Awkward, undisturbed
from torch import Tensor, nn

from hw1.analysis.activations import unit_statistics, weight_histogram
from hw1.analysis.attribution import integrated_gradients, smooth_grad
from hw1.analysis.layers import activations
from hw1.analysis.maximization import maximize_activations
from hw1.analysis.receptive_fields import effective_receptive_field, receptive_field

BOUNDS: dict[str, Any] = {"low": -1.0, "high": 1.0, "seed": 0, "steps": 3}
SHAPE = (1, 8, 8)
LOOKS: list[Callable[[nn.Module, Tensor], Any]] = [
    lambda m, x: activations(m, x, ["act"])["act"],
    lambda m, x: torch.tensor(weight_histogram(m, m, "conv", 5).edges),
    lambda m, x: unit_statistics(m, x, ["act"])["act"].zeros,
    lambda m, x: smooth_grad(m, x, [0, 1, 2], seed=0, n_samples=2),
    lambda m, x: integrated_gradients(m, x, [0, 1, 2], n_steps=2),
    lambda m, x: maximize_activations(m, SHAPE, [0, 3], **BOUNDS).inputs,
    lambda m, x: maximize_activations(m, SHAPE, [0, 2], layer="act", **BOUNDS).inputs,
    lambda m, x: receptive_field(m, SHAPE, "act"),
    lambda m, x: effective_receptive_field(m, x, "act", 0, 0.95).map,
]


@pytest.mark.parametrize("look", LOOKS)
def test_the_network_is_left_as_it_was(look: Callable[[nn.Module, Tensor], Any]) -> None:
    torch.manual_seed(2)
    model = Awkward()
    images = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0))
    before = images.clone()
    with undisturbed(model):
        found = look(model, images)
    assert torch.equal(images, before)
    # And it can be looked at when nothing of it is trained.
    for p in model.parameters():
        p.requires_grad_(False)
    with torch.no_grad():
        again = look(model, images)
    torch.testing.assert_close(again, found, atol=0.01, rtol=0.1)
    assert again.double().abs().max() > 0
    assert not again.requires_grad
