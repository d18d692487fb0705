from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix as sklearn_confusion
from torch import nn

from hw1.analysis.curves import LearningCurves
from hw1.analysis.figures.marks import Figure, HeatMap, Image, Points, Text
from hw1.analysis.figures.matplotlib import svg
from hw1.analysis.figures.training import (
    confident_mistakes,
    confusion_matrix,
    fitted_function,
    fold_scores,
    learning_curves,
    predictions,
)
from hw1.analysis.network import Network
from hw1.datasets import Dataset, digits, function
from hw1.tasks import METRICS

MSE, ACCURACY = METRICS["mean_squared_error"], METRICS["accuracy"]


class Affine(nn.Module):
    """A network that is a known function."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.slope * x


def affine(slope: float) -> Network:
    zero, one = torch.zeros(1), torch.ones(1)
    return Network(Affine(slope), zero, one, zero, one)


def marks(figure: Figure, name: str) -> list[Any]:
    """Those of the first panel that have this name."""
    return [m for m in figure.panels[0].marks if getattr(m, "name", "") == name]


def test_learning_curves_show_every_fold_their_mean_and_the_best_epoch() -> None:
    folds = np.array([[3.0, 5.0], [1.0, 2.0], [2.0, 2.5]])
    figure = learning_curves(LearningCurves(2, folds.mean(1), folds=folds), MSE)
    assert [list(m.y) for m in marks(figure, "each fold")] == folds.T.tolist()
    assert list(marks(figure, "validation")[0].y) == [4.0, 1.5, 2.25]
    (best,) = marks(figure, "checkpoint")
    assert (list(best.x), list(best.y)) == ([2], [1.5])
    assert "best after epoch 2 of 3: 1.5" in figure.caption
    assert "training examples" not in figure.caption
    assert not marks(figure, "training")
    (panel,) = figure.panels
    assert panel.x.whole
    assert "mean squared error" in svg(figure)


def test_learning_curves_show_training_beside_validation() -> None:
    scores, losses = np.array([0.5, 0.8, 0.75]), np.array([1.0, 0.6, 0.7])
    learned = np.array([0.4, 0.9, 0.99]), np.array([1.5, 0.5, np.nan])
    figure = learning_curves(LearningCurves(2, scores, *learned, losses), ACCURACY)
    loss, score = figure.panels
    assert (loss.y.label, score.y.label) == ("loss", "accuracy")
    for panel, training, validation in ((loss, learned[1], losses), (score, learned[0], scores)):
        lines = {mark.name: mark for mark in panel.marks}
        np.testing.assert_array_equal(lines["training"].y, training)
        np.testing.assert_array_equal(lines["validation"].y, validation)
        assert list(lines["checkpoint"].y) == [validation[1]]
    assert "the accuracy on training examples is 0.9, 0.1 better" in figure.caption
    assert "loss is lowest after epoch 2: 0.6; after the last it is 0.7." in figure.caption
    assert svg(figure)


def test_a_training_score_may_be_the_worse_one_and_losses_may_be_no_numbers() -> None:
    nothing = np.full(2, np.nan)
    curves = LearningCurves(1, np.array([2.0, 3.0]), np.array([2.5, np.nan]), nothing, nothing)
    figure = learning_curves(curves, MSE)
    assert "on training examples is 2.5, 0.5 worse" in figure.caption
    assert [panel.y.label for panel in figure.panels] == ["mean squared error"]


def test_fold_scores_show_each_trial_with_its_mean() -> None:
    figure = fold_scores([(7, [0.9, 0.8]), (2, [0.7, 0.9])], ACCURACY)
    (means,) = marks(figure, "mean over the folds")
    assert [text for _, text in figure.panels[0].x.ticks or ()] == ["7", "2"]
    assert list(means.y) == pytest.approx([0.85, 0.8])
    assert "by 0.05" in figure.caption
    assert "ranking" not in fold_scores([(7, [0.9, 0.8])], ACCURACY).caption


def test_the_fitted_function_has_the_mean_and_the_band_of_the_folds() -> None:
    train, test = function.load("train", Path()), function.load("test", Path())
    figure = fitted_function([affine(1.0), affine(3.0)], train, test)
    (mean,) = marks(figure, "mean of the folds")
    x = np.array(mean.x)
    assert x.min() == pytest.approx(-5)
    assert x.max() == pytest.approx(5)
    np.testing.assert_allclose(mean.y, 2 * x, rtol=1e-5)
    (band,) = marks(figure, "range of 2 folds")
    np.testing.assert_allclose(band.low, np.minimum(x, 3 * x), rtol=1e-5)
    np.testing.assert_allclose(band.high, np.maximum(x, 3 * x), rtol=1e-5)
    assert list(marks(figure, "training data")[0].x) == train.inputs[:, 0].tolist()
    assert list(marks(figure, "test data")[0].y) == test.targets[:, 0].tolist()
    assert "differ most, by 10, at" in figure.caption
    assert "test data" in svg(figure)
    assert not marks(fitted_function([affine(1.0)], train, None), "test data")


def test_predictions_stand_beside_the_truth() -> None:
    data = function.load("train", Path())
    outputs = data.targets + 0.5
    figure = predictions(data.targets[:, 0].numpy(), outputs[:, 0].numpy(), "y")
    assert "100% of the variance is explained, the mean residual is −0.5" in figure.caption
    left, right = (panel.marks[0] for panel in figure.panels)
    assert isinstance(left, Points) and isinstance(right, Points)
    np.testing.assert_allclose(left.y, outputs[:, 0])
    np.testing.assert_allclose(right.y, -0.5, atol=1e-6)


def test_the_confusion_matrix_has_the_share_of_each_class_and_what_is_wrong() -> None:
    data = digits.load("train", Path())
    rng = np.random.default_rng(0)
    outputs = torch.from_numpy(rng.normal(size=(len(data), 10)))
    outputs[range(len(data)), data.targets] += 1.0
    expected = sklearn_confusion(data.targets.numpy(), outputs.argmax(1).numpy())
    figure = confusion_matrix(expected, data.class_names)
    right, wrong = figure.panels[0].marks
    assert isinstance(right, HeatMap) and isinstance(wrong, HeatMap)
    assert wrong.hover[2][3] == f"2 taken for 3: {expected[2, 3]} examples"
    share = expected / expected.sum(1, keepdims=True)
    off = ~np.eye(10, dtype=bool)
    np.testing.assert_allclose(wrong.values[off], 100 * share[off])
    # The diagonal is shown, in colors of its own.
    np.testing.assert_allclose(np.diag(right.values), 100 * np.diag(share))
    assert np.isnan(np.diag(wrong.values)).all() and np.isnan(right.values[off]).all()
    assert [right.text[i][i] for i in range(10)] == [f"{100 * s:.0f}" for s in np.diag(share)]
    assert f"{np.diag(expected).sum() / expected.sum():.1%} are right" in figure.caption
    worst = np.unravel_index((share * off).argmax(), share.shape)
    assert f"{worst[0]} taken for {worst[1]} ({(share * off).max():.0%})" in figure.caption
    assert "true class" in svg(figure)


def test_the_most_confident_mistakes_come_first() -> None:
    data = digits.load("train", Path())
    outputs = torch.zeros(len(data), 10, dtype=torch.double)
    outputs[range(len(data)), data.targets] = 5.0
    for row, logit in ((10, 20.0), (20, 30.0)):
        outputs[row, (data.targets[row] + 1) % 10] = logit
    figure = confident_mistakes(outputs, data)
    images = [m for m in figure.panels[0].marks if isinstance(m, Image)]
    assert len(images) == 2
    for shown, row in zip(images, (20, 10), strict=True):
        pixels = data.inputs[row, 0].numpy() / data.inputs[row].max().item()
        np.testing.assert_allclose(shown.pixels, 255 * pixels, atol=0.5)
    said, label = (m.text for m in figure.panels[0].marks[:2] if isinstance(m, Text))
    predicted, truth = int(data.targets[20] + 1) % 10, int(data.targets[20])
    assert (said, label) == (f"{predicted} 100%", str(truth))
    assert f"Of {len(data)} images 2 are taken" in figure.caption


def test_without_mistakes_or_images_there_are_none_to_show() -> None:
    data = digits.load("train", Path())
    right = torch.nn.functional.one_hot(data.targets, 10).double()
    assert confident_mistakes(right, data) is None
    flat = Dataset(
        "flat", "classification", data.inputs.flatten(1).float(), data.targets, data.class_names
    )
    assert confident_mistakes(1 - right, flat) is None
