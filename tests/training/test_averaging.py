"""Averages of weights are scored and kept; training goes on as it does without them."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from sklearn.metrics import accuracy_score
from training.alone import DIGITS, K, folds, trained

from hw1.models import CNN, MLP
from hw1.training import Configuration
from hw1.training.lockstep import Lockstep
from hw1.training.networks import Backend, ModelClass

PRECISION = torch.float64
SEEDS = [11, 22, 33]
EACH_BACKEND: list[tuple[ModelClass, dict[str, Any], Backend]] = [
    (MLP, {"widths": (8,), "batch_norm": True}, "compiled"),
    (CNN, {"channels": (4,), "batch_norm": True}, "fused"),
    (MLP, {"widths": (8,), "batch_norm": True}, "stacked"),
    (CNN, {"channels": (4,), "batch_norm": True}, "stacked"),
]


@pytest.mark.parametrize(("family", "model", "backend"), EACH_BACKEND)
def test_the_average_of_the_weights_is_what_is_scored_and_kept(
    family: ModelClass, model: dict[str, Any], backend: Backend
) -> None:
    # All examples are a batch, so the weights after each step can be seen.
    c = Configuration(model=model, epochs=10, batch_size=100, lr=0.01)
    rows, validation = folds(DIGITS)
    two = [c, replace(c, ema=0.8)]
    options = {"validation_rows": validation[:1] * 2, "backend": backend}
    models = Lockstep(family, two, DIGITS, rows[:1] * 2, SEEDS[:1] * 2, **options)
    averages = models.state()[0]
    for t in range(1, 10):
        models.train_epoch()
        weights, found = models.state()
        assert torch.equal(*models.parameters)  # the training itself is the same
        for name, value in weights.items():
            if not name.endswith("num_batches_tracked"):
                keep = min(0.8, (1 + t) / (10 + t))
                averages[name] = keep * averages[name] + (1 - keep) * value
            else:
                averages[name] = value
            torch.testing.assert_close(found[name], averages[name], rtol=1e-9, atol=1e-12)
    x = (DIGITS.inputs[validation[0]] - models.plan.input_mean[1, 0]) / models.plan.input_std[1, 0]
    outputs = models.model(1)(x).detach()
    assert not torch.allclose(outputs, models.model(0)(x), atol=1e-3)
    torch.testing.assert_close(models.predict(validation[0])[1], outputs)
    expected = accuracy_score(DIGITS.targets[validation[0]].numpy(), outputs.argmax(1).numpy())
    assert float(models.validate()[1]) == pytest.approx(expected)
    # Where the last model with an average has gone, there are none any more.
    models.keep([0])
    trained(models, 1)
    torch.testing.assert_close(models.predict(validation[0])[0], models.model(0)(x))


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize(("family", "model", "backend"), EACH_BACKEND)
def test_state_and_restore_bring_weights_and_running_statistics_back(
    family: ModelClass, model: dict[str, Any], backend: Backend, ema: float
) -> None:
    rows, validation = folds(DIGITS)
    c = Configuration(model=model, ema=ema)
    models = trained(Lockstep(family, [c] * K, DIGITS, rows, SEEDS, backend=backend), 1)
    state, scores = models.state(), models.score(validation)
    outputs = models.predict(validation[0])
    models.train_epoch()
    assert not torch.equal(models.predict(validation[0]), outputs)
    models.restore(state)
    assert torch.equal(models.predict(validation[0]), outputs)
    assert torch.equal(models.score(validation), scores)
