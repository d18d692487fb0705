"""Data on which engines are held to `hw1.training.reference`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from hw1.datasets import Dataset, digits, function
from hw1.training.lockstep import Lockstep
from hw1.training.networks import Backend, ModelClass
from hw1.training.reference import train_alone

K = 3
# In double precision rounding cannot hide a mistake, nor an optimizer blow it up.
REGRESSION = function.load("train", Path())
REGRESSION = replace(
    REGRESSION, inputs=REGRESSION.inputs.double(), targets=REGRESSION.targets.double()
)
DIGITS = digits.load("train", Path()).sample(150, seed=0)


def folds(dataset: Dataset, k: int = K) -> tuple[list[Tensor], list[Tensor]]:
    fold = torch.arange(len(dataset)) % k
    numbers = range(k)
    return [(fold != i).nonzero()[:, 0] for i in numbers], [
        (fold == i).nonzero()[:, 0] for i in numbers
    ]


def trained(models: Lockstep, epochs: int) -> Lockstep:
    """The models, after some more epochs."""
    for _ in range(epochs):
        models.train_epoch()
    return models


def assert_as_alone(
    models: Lockstep,
    dataset: Dataset,
    rows: Sequence[Tensor],
    seeds: Sequence[int],
    epochs: int,
    family: ModelClass | None = None,
) -> None:
    """Each model is what it becomes alone, as a network of ``family`` if that is given."""
    for i, c in enumerate(models.configurations):
        family_of = family or models.model_class
        alone = train_alone(family_of, c, dataset, rows[i], seeds[i], epochs)
        assert_same_networks(models.model(i), alone)


def assert_same_networks(lockstep: nn.Module, alone: nn.Module) -> None:
    expected = alone.state_dict()
    for name, value in lockstep.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-7, atol=1e-9, msg=name)


@contextmanager
def optimizers_of(backend: Backend | None) -> Iterator[None]:
    """Stacked models have the optimizers of a GPU."""
    with pytest.MonkeyPatch.context() as patch:
        if backend == "stacked":
            patch.setattr("hw1.training.optimizers.COMPILED_ON", "")
        yield
