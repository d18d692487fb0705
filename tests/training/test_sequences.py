"""Sequences: normalized by feature over all steps, and an LSTM on them in lockstep."""

from typing import Any

import numpy as np
import pytest
import torch
from training.alone import K, assert_as_alone, folds, trained

from hw1.analysis.network import Network
from hw1.datasets import Dataset
from hw1.datasets.given import given
from hw1.errors import ArchitectureError, InputError
from hw1.models import LSTM, MLP
from hw1.training import Configuration
from hw1.training.lockstep import Lockstep
from hw1.training.networks import Backend, ModelClass
from hw1.training.plan import Plan

RANDOM = np.random.default_rng(0)
SPREAD, SHIFT = np.array([3.0, 0.01, 1.0]), np.array([5.0, 0.0, -40.0])
X = RANDOM.normal(size=(90, 6, 3)).cumsum(1) * SPREAD + SHIFT
Y = X[:, -1, :1] + X[:, 0, 1:2] + RANDOM.normal(size=(90, 1))
NUMBERS = Dataset("walks", "regression", torch.from_numpy(X), torch.from_numpy(Y))
CLASSES = Dataset(
    "walks", "classification", torch.from_numpy(X), torch.from_numpy(Y[:, 0] > 5).long(), ("0", "1")
)
SEEDS = [11, 22, 33]


PRECISION = torch.float64


BACKENDS: list[tuple[ModelClass, Backend | None]] = [
    (LSTM, None), (MLP, "compiled"), (MLP, "fused"), (MLP, "stacked")
]  # fmt: skip


@pytest.mark.parametrize(("family", "backend"), BACKENDS)
def test_features_are_normalized_over_the_steps_of_the_training_examples(
    family: ModelClass, backend: Backend | None
) -> None:
    (rows, *_), _ = folds(NUMBERS)
    mean, std = X[rows].mean((0, 1)), X[rows].std((0, 1))
    plan = Plan([Configuration()], NUMBERS, [rows], [0], normalizes=False)
    np.testing.assert_allclose(plan.input_mean[0], mean)
    np.testing.assert_allclose(plan.input_std[0], std)
    # What reaches the network: a whole prediction by hand is that of the backend.
    models = Lockstep(family, [Configuration()], NUMBERS, [rows], [0], backend=backend)
    plain, every = models.model(0).eval(), torch.arange(len(X))[None]
    with torch.no_grad():
        expected = plain(torch.from_numpy((X - mean) / std)).numpy()
    expected = expected * Y[rows].std() + Y[rows].mean()
    np.testing.assert_allclose(models.predict(every)[0], expected)
    np.testing.assert_allclose(Network.of(models, 0)(NUMBERS.inputs).detach(), expected)


@pytest.mark.parametrize("dataset", [NUMBERS, CLASSES], ids=lambda dataset: dataset.task)
@pytest.mark.parametrize(
    "model",
    [{}, {"hidden": 5, "layers": 2, "dropout": 0.3}, {"hidden": 4, "bidirectional": True}],
    ids=str,
)
def test_an_lstm_in_lockstep_is_the_one_trained_alone(
    dataset: Dataset, model: dict[str, Any]
) -> None:
    c = Configuration(model=model, lr=0.01, epochs=3, batch_size=20, weight_decay=0.01, l1=1e-3)
    rows, _ = folds(dataset)
    models = trained(Lockstep(LSTM, [c] * K, dataset, rows, SEEDS), 3)
    assert_as_alone(models, dataset, rows, SEEDS, 3)


def test_an_lstm_reads_from_both_ends() -> None:
    model = LSTM((6, 3), 2, hidden=4, layers=2, bidirectional=True).eval()
    stacked = torch.nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True)
    for i in range(2):
        for name, value in model.layers[i].state_dict().items():
            stacked.state_dict()[name.replace("l0", f"l{i}")].copy_(value)
    outputs = stacked(NUMBERS.inputs)[0]
    ends = torch.cat([outputs[:, -1, :4], outputs[:, 0, 4:]], 1)
    torch.testing.assert_close(model(NUMBERS.inputs), model.head(ends))


@pytest.mark.parametrize(
    ("shape", "model", "words"),
    [
        ((3,), {}, r"needs sequences \(steps, features\), not examples of shape \(3,\)"),
        ((1, 28, 28), {}, "needs sequences"),
        ((6, 3), {"hidden": 0}, "hidden must be at least 1"),
        ((6, 3), {"layers": 0}, "layers must be at least 1"),
    ],
)
def test_an_lstm_that_cannot_exist_is_refused(
    shape: tuple[int, ...], model: dict[str, Any], words: str
) -> None:
    with pytest.raises(ArchitectureError, match=words):
        LSTM(shape, 1, **model)


def test_arrays_of_three_dimensions_are_sequences() -> None:
    found = given((X, Y), (X[:3], Y[:3]), task="regression")
    assert found.train.input_shape == (6, 3)
    assert found.train.inputs.equal(NUMBERS.inputs.float())
    with pytest.raises(InputError, match=r"shape \(5, 3\) and 1 outputs, data \(6, 3\)"):
        given((X, Y), (X[:, 1:], Y), task="regression")
