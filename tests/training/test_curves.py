"""Training and validation losses and training scores against plain torch and scikit-learn."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from training.alone import DIGITS, REGRESSION, K, assert_measured, folds

from hw1.datasets import Dataset
from hw1.models import CNN, MLP
from hw1.tasks import METRICS
from hw1.training import Configuration, curves
from hw1.training.curves import Recorder
from hw1.training.lockstep import Lockstep
from hw1.training.networks import Backend, ModelClass
from hw1.training.reference import train_alone

SEEDS = [11, 22, 33]


PRECISION = torch.float64


@pytest.mark.parametrize("at_once", [1, 2500, 2**18])
@pytest.mark.parametrize("metric", ["mean_squared_error", "mean_absolute_error"])
def test_numbers(metric: str, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Epochs are measured one by one, several at a time, or at the end."""
    monkeypatch.setattr(curves, "AT_ONCE", at_once)
    check(MLP, REGRESSION, {"widths": (16,), "dropout": 0.1}, metric, "compiled")


@pytest.mark.parametrize("metric", ["accuracy", "f1_macro"])
@pytest.mark.parametrize("backend", ["compiled", "stacked", "fused"])
def test_classes(metric: str, backend: Backend) -> None:
    model = {"widths": (16,), "batch_norm": True}
    check(MLP, DIGITS, model, metric, backend)


def test_augmented_images() -> None:
    check(CNN, DIGITS, {"channels": (4,), "dropout": 0.2}, "accuracy", None, flip=True, shift=1)


def check(
    family: ModelClass,
    dataset: Dataset,
    model: dict[str, object],
    metric_name: str,
    backend: Backend | None,
    epochs: int = 5,
    **options: bool | int,
) -> None:
    """Losses and scores, of models one of which leaves early, and whose folds differ in size."""
    metric = METRICS[metric_name]
    c = Configuration(
        model=model, epochs=epochs, batch_size=24, lr=0.01, label_smoothing=0.1, l1=1e-3, **options
    )
    rows, held_out = folds(dataset)
    rows[2], held_out[1] = rows[2][:-3], held_out[1][:-7]
    models = Lockstep(
        family,
        [c] * K,
        dataset,
        [r[: len(rows[2])] for r in rows],
        SEEDS,
        validation_rows=held_out,
        metric=metric,
        backend=backend,
    )
    recorder = Recorder(models)
    expected: dict[int, list[float]] = {0: [], 2: []}
    for epoch in range(epochs):
        models.train_epoch()
        models.validate()
        recorder.add()
        for i, number in enumerate([0, 1, 2] if epoch < 2 else [0, 2]):
            if number in expected:
                expected[number].append(loss(models, i, held_out[number], c))
        if epoch == 1:
            recorder.keep([0, 2])
            models.keep([0, 2])
    for i, number in enumerate([0, 2]):
        own = rows[number][: len(rows[2])]
        alone = train_alone(family, c, dataset, own, SEEDS[number], epochs)
        assert_measured(recorder, i, models, alone)
        found = recorder.of(slice(i, i + 1)).validation_losses[:, 0]
        np.testing.assert_allclose(found, expected[number], rtol=1e-7)


def loss(models: Lockstep, i: int, rows: Tensor, c: Configuration) -> float:
    """Of the plain network that model ``i`` is now, for some rows."""
    plan, inputs, targets = models.plan, models.dataset.inputs[rows], models.dataset.targets[rows]
    shape = [-1, *[1] * (inputs.dim() - 2)]
    outputs = models.model(i)(
        (inputs - plan.input_mean[i].view(shape)) / plan.input_std[i].view(shape)
    )
    if models.dataset.task == "classification":
        of = functional.cross_entropy(outputs, targets, label_smoothing=c.label_smoothing)
    else:
        of = functional.mse_loss(outputs, (targets - plan.target_mean[i]) / plan.target_std[i])
    return of.item()
