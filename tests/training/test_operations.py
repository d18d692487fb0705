"""What it takes to train a network, against counts by hand."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from hw1.datasets import digits, function
from hw1.models import CNN, MLP, ResNet
from hw1.training import Configuration
from hw1.training.keys import with_keyed_dropout
from hw1.training.layers import dense_layers
from hw1.training.lockstep import Lockstep
from hw1.training.networks import footprint
from hw1.training.operations import OF_CALL, OF_STEP, OF_UNIT, count

DIGITS = digits.load("train", Path()).sample(100, seed=0)


def test_the_count_of_a_dense_network_is_that_of_the_compiled_code() -> None:
    model = {"widths": (8, 5), "batch_norm": True, "dropout": 0.2, "activation": "tanh"}
    c = Configuration(model=model, batch_size=20)
    found = footprint(MLP, c, DIGITS)
    models = Lockstep(MLP, [c], DIGITS, [torch.arange(100)], [0])
    # Linear, batch norm, activation, dropout.
    units = 64 + 4 * 8 + 4 * 5 + 10
    of_example = 6.0 * models.n_parameters(0) + OF_UNIT * units
    assert found.operations == 5 * (20 * of_example + OF_STEP)


def test_a_dense_network_counts_the_same_when_it_is_run() -> None:
    model = with_keyed_dropout(MLP((1, 8, 8), 10, widths=(8, 5), batch_norm=True, dropout=0.2))
    layers = dense_layers(model, (1, 8, 8))
    by_layers, run = count(model, layers, (1, 8, 8)), count(model, [], (1, 8, 8))
    assert by_layers.n_weights == run.n_weights
    # Flattening is a layer without work.
    assert run.units == by_layers.units + 64
    assert run.n_calls == by_layers.n_calls + 1


def test_a_convolution_counts_at_each_position() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3, stride=2, bias=False), nn.Flatten(),
        nn.Linear(2 * 2 * 2, 10),
    )  # fmt: skip
    counted = count(model, [], (1, 8, 8))
    assert counted.n_weights == (9 * 4 * 36 + 4) + 9 * 8 * 4 + (80 + 10)
    assert counted.units == 64 + 4 * 36 * 2 + 2 * 4 * 2 + 10
    assert counted.n_calls == 5


def test_attention_counts_at_each_token() -> None:
    model = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
    weights = sum(p.numel() for p in model.parameters() if p.dim() > 1)
    others = sum(p.numel() for p in model.parameters() if p.dim() <= 1)
    assert count(model, [], (5, 8)).n_weights == 5 * weights + others


def test_layers_that_are_called_again_count_again() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 6, bias=False)
            self.alone = nn.Parameter(torch.zeros(6, 6))

        def forward(self, inputs: Tensor) -> Tensor:
            return self.layer(self.layer(inputs)) @ self.alone

    counted = count(Twice(), [], (6,))
    assert (counted.n_weights, counted.n_calls) == (3 * 36, 2)


def test_a_network_that_cannot_be_run_counts_its_parameters() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(5, 1))
    assert count(model, [], (3,)).n_weights == 4 * 4 + 6


@pytest.mark.parametrize("family", [CNN, ResNet])
def test_an_epoch_of_other_networks(family: type[nn.Module]) -> None:
    small, large = (footprint(family, Configuration(batch_size=b), DIGITS) for b in (10, 50))
    counted = count(family((1, 8, 8), 10), [], (1, 8, 8))
    assert small.operations - large.operations == pytest.approx(8 * OF_CALL * counted.n_calls)
    assert large.operations > 100 * 6 * counted.n_weights > 0


def test_the_count_leaves_torchs_generator_alone() -> None:
    data = function.load("train", Path())
    before = torch.get_rng_state()
    footprint(CNN, Configuration(model={"dropout": 0.375}), DIGITS)
    footprint(MLP, Configuration(model={"dropout": 0.375}), data)
    assert torch.equal(torch.get_rng_state(), before)
