from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix as sklearn_confusion
from torch import nn

from hw1.analysis.figures.style import Figure
from hw1.analysis.figures.svg import to_svg
from hw1.analysis.figures.training import (
    confident_mistakes,
    confusion_matrix,
    fitted_function,
    fold_scores,
    learning_curves,
    predictions_and_targets,
)
from hw1.analysis.network import Network
from hw1.datasets import Dataset, digits, function
from hw1.training.metrics import METRICS

MSE, ACCURACY = METRICS["regression"], METRICS["classification"]


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


def trace(figure: Figure, name: str) -> Any:
    return next(t for t in figure.plot.data if t.name == name)


def test_learning_curves_show_every_fold_their_mean_and_the_best_epoch() -> None:
    curves = np.array([[3.0, 5.0], [1.0, 2.0], [2.0, 2.5]])
    figure = learning_curves(curves, 2, MSE)
    folds = [t for t in figure.plot.data if t.name == "each fold"]
    assert [list(t.y) for t in folds] == curves.T.tolist()
    assert list(trace(figure, "mean over the folds").y) == [4.0, 1.5, 2.25]
    best = trace(figure, "best epoch")
    assert (list(best.x), list(best.y)) == ([2], [1.5])
    assert "best after epoch 2 of 3: 1.5" in figure.caption
    assert "mean squared error" in to_svg(figure.plot)


def test_fold_scores_show_each_trial_with_its_mean() -> None:
    figure = fold_scores([(7, [0.9, 0.8]), (2, [0.7, 0.9])], ACCURACY)
    means = trace(figure, "mean over the folds")
    assert list(means.x) == ["7", "2"]
    assert list(means.y) == pytest.approx([0.85, 0.8])
    assert "by 0.05" in figure.caption
    assert "order" not in fold_scores([(7, [0.9, 0.8])], ACCURACY).caption


def test_the_fitted_function_has_the_mean_and_the_band_of_the_folds() -> None:
    train, test = function.load("train", Path()), function.load("test", Path())
    figure = fitted_function([affine(1.0), affine(3.0)], train, test)
    mean = trace(figure, "mean of the folds")
    x = np.array(mean.x)
    assert x.min() == pytest.approx(-5)
    assert x.max() == pytest.approx(5)
    np.testing.assert_allclose(mean.y, 2 * x, rtol=1e-5)
    low = np.array(trace(figure, "range of 2 folds").y)
    np.testing.assert_allclose(low, np.minimum(x, 3 * x), rtol=1e-5)
    assert list(trace(figure, "training rows").x) == train.inputs[:, 0].tolist()
    assert list(trace(figure, "test rows").y) == test.targets[:, 0].tolist()
    assert "differ most, by 10, at" in figure.caption
    assert "test rows" in to_svg(figure.plot)
    names = [t.name for t in fitted_function([affine(1.0)], train, None).plot.data]
    assert "test rows" not in names


def test_predictions_stand_beside_the_truth() -> None:
    data = function.load("train", Path())
    outputs = data.targets + 0.5
    figure = predictions_and_targets(outputs, data)
    assert "100% of the variance is explained, the mean residual is -0.5" in figure.caption
    np.testing.assert_allclose(figure.plot.data[2].y, -0.5, atol=1e-6)


def test_the_confusion_matrix_is_that_of_scikit_learn() -> None:
    data = digits.load("train", Path())
    rng = np.random.default_rng(0)
    outputs = torch.from_numpy(rng.normal(size=(len(data), 10)))
    outputs[range(len(data)), data.targets] += 1.0
    figure = confusion_matrix(outputs, data)
    expected = sklearn_confusion(data.targets.numpy(), outputs.argmax(1).numpy())
    heatmap = figure.plot.data[0]
    assert heatmap.customdata.tolist() == expected.tolist()
    share = expected / expected.sum(1, keepdims=True)
    off = ~np.eye(10, dtype=bool)
    np.testing.assert_allclose(np.array(heatmap.z)[off], 100 * share[off])
    assert f"{np.diag(expected).sum() / expected.sum():.1%} are right" in figure.caption
    worst = np.unravel_index((share * off).argmax(), share.shape)
    assert f"{worst[0]} taken for {worst[1]} ({(share * off).max():.0%})" in figure.caption
    assert "true class" in to_svg(figure.plot)


def test_the_most_confident_mistakes_come_first() -> None:
    data = digits.load("train", Path())
    outputs = torch.zeros(len(data), 10, dtype=torch.double)
    outputs[range(len(data)), data.targets] = 5.0
    for row, logit in ((10, 20.0), (20, 30.0)):
        outputs[row, (data.targets[row] + 1) % 10] = logit
    figure = confident_mistakes(outputs, data)
    assert figure is not None
    images = [t.z for t in figure.plot.data]
    assert len(images) == 2
    for shown, row in zip(images, (20, 10), strict=True):
        np.testing.assert_allclose(shown, data.inputs[row, 0].numpy())
    titles = [a.text for a in figure.plot.layout.annotations]
    predicted, truth = int(data.targets[20] + 1) % 10, int(data.targets[20])
    assert titles[0] == f"{predicted} 100%<br><b>{truth}</b>"
    assert f"Of {len(data)} rows 2 are taken" in figure.caption


def test_without_mistakes_or_images_there_are_none_to_show() -> None:
    data = digits.load("train", Path())
    right = torch.nn.functional.one_hot(data.targets, 10).double()
    assert confident_mistakes(right, data) is None
    flat = Dataset(
        "flat", "classification", data.inputs.flatten(1).float(), data.targets, data.class_names
    )
    assert confident_mistakes(1 - right, flat) is None
