import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator
from sklearn.metrics import get_scorer
from torch.nn import functional

from hw1.errors import InputError
from hw1.tasks import METRICS, TASKS


class Parrot(BaseEstimator):
    """Predicts what it is given."""

    def predict(self, predictions: torch.Tensor) -> torch.Tensor:
        return predictions


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(1, 30), st.integers(2, 6), st.integers(0, 10**6))
def test_scores_are_scikit_learns_over_the_counted_rows(
    n_models: int, n_rows: int, n_outputs: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    outputs = torch.randn(n_models, n_rows, n_outputs, generator=generator)
    targets = torch.randn(n_models, n_rows, n_outputs, generator=generator)
    classes = torch.randint(n_outputs, (n_models, n_rows), generator=generator)
    counted = torch.rand(n_models, n_rows, generator=generator) < 0.7
    counted[:, 0] = True
    said = {"regression": (targets, outputs), "classification": (classes, outputs.argmax(2))}
    for task, (truth, predicted) in said.items():
        for metric in TASKS[task].metrics:
            # Of errors scikit-learn scores the negative.
            scorer, sign = (metric.name, 1) if metric.maximize else (f"neg_{metric.name}", -1)
            found = metric.scores(outputs, truth, counted)
            for i, on in enumerate(counted):
                theirs = sign * get_scorer(scorer)(Parrot(), predicted[i, on], truth[i, on])
                assert float(found[i]) == pytest.approx(theirs, rel=1e-5)


def test_a_network_that_has_diverged_has_no_score() -> None:
    outputs = torch.tensor([[[math.nan, math.nan]], [[0.0, 1.0]]])
    targets, counted = torch.zeros(2, 1, dtype=torch.long), torch.ones(2, 1, dtype=torch.bool)
    for metric in TASKS["classification"].metrics:
        assert metric.scores(outputs, targets, counted).isnan().tolist() == [True, False]


@pytest.mark.parametrize("smoothing", [[0.0, 0.0], [0.1, 0.3]])
def test_losses_and_gradients_are_torchs_model_by_model(smoothing: list[float]) -> None:
    torch.manual_seed(0)
    outputs, numbers, classes = torch.randn(2, 9, 5), torch.randn(2, 9, 5), torch.randint(5, (2, 9))
    for task, targets in (("regression", numbers), ("classification", classes)):
        found = TASKS[task].gradients(outputs, targets, torch.tensor(smoothing))
        losses = TASKS[task].losses(outputs, targets, torch.tensor(smoothing))
        for i, s in enumerate(smoothing):
            own = outputs[i].clone().requires_grad_()
            if task == "regression":
                loss = functional.mse_loss(own, targets[i])
            else:
                loss = functional.cross_entropy(own, targets[i], label_smoothing=s)
            loss.backward()
            torch.testing.assert_close(found[i], own.grad)
            torch.testing.assert_close(losses[i].mean(), loss.detach())


def test_better_knows_the_direction_and_nan() -> None:
    error, accuracy = METRICS["mean_squared_error"], METRICS["accuracy"]
    assert error.better(1, 2)
    assert not error.better(2, 1)
    assert accuracy.better(2, 1)
    assert not accuracy.better(1, 2)
    for metric in METRICS.values():
        assert metric.better(0.5, metric.worst)
        assert not metric.better(math.nan, 0.5)
    things = [("a", 2.0), ("b", None), ("c", 1.0), ("d", math.nan), ("e", 2.0)]
    for metric, order in (error, "caebd"), (accuracy, "aecbd"):
        assert "".join(n for n, _ in metric.best_first(things, lambda t: t[1])) == order
    assert (error.words, error.preference) == ("mean squared error", "lower is better")
    assert (error.direction, accuracy.direction) == ("minimize", "maximize")


def test_a_study_names_a_metric_of_its_task() -> None:
    assert TASKS["classification"].metric().name == "accuracy"
    assert TASKS["classification"].metric("f1_macro").maximize
    with pytest.raises(InputError, match=r"unknown metric 'accuracy': .*mean_squared_error"):
        TASKS["regression"].metric("accuracy")
