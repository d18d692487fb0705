"""Data on which engines are held to `hw1.training.reference`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import Tensor, nn

from hw1.datasets import Dataset, digits, function
from hw1.training.curves import Recorder
from hw1.training.lockstep import Lockstep
from hw1.training.networks import Backend, ModelClass
from hw1.training.reference import Trained, train_alone

K = 3
SCORES: dict[str, Callable[..., float]] = {
    "mean_squared_error": metrics.mean_squared_error,
    "mean_absolute_error": metrics.mean_absolute_error,
    "accuracy": metrics.accuracy_score,
    "f1_macro": partial(metrics.f1_score, average="macro"),
}
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
        assert_same_networks(models.model(i), alone.network)


def assert_same_networks(lockstep: nn.Module, alone: nn.Module) -> None:
    expected = alone.state_dict()
    for name, value in lockstep.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-7, atol=1e-9, msg=name)


def assert_measured(recorder: Recorder, i: int, models: Lockstep, alone: Trained) -> None:
    """What was recorded of model ``i`` while it was trained is what it is worth alone."""
    found, dataset = recorder.of(slice(i, i + 1)), models.dataset
    outputs = alone.outputs if dataset.task == "regression" else alone.outputs.argmax(2)
    score = SCORES[models.metric.name]
    scores = [score(dataset.targets[r], o) for r, o in zip(alone.rows, outputs, strict=True)]
    for values, expected in (
        (found.training_losses, alone.losses),
        (found.training_scores, scores),
    ):
        np.testing.assert_allclose(values[:, 0], expected, rtol=1e-7, atol=1e-9)


@contextmanager
def optimizers_of(backend: Backend | None) -> Iterator[None]:
    """Stacked models have the optimizers of a GPU."""
    with pytest.MonkeyPatch.context() as patch:
        if backend == "stacked":
            patch.setattr("hw1.training.optimizers.COMPILED_ON", "")
        yield
