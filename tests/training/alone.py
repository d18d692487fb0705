"""Data on which engines are held to `hw1.training.reference`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from hw1.datasets import Dataset, digits, function
from hw1.training.networks import Backend

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
