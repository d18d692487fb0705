"""Figures of how a configuration trains, and of where its networks are right and wrong."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hw1.analysis.curves import LearningCurves
from hw1.analysis.figures.layout import DRAWING_WIDTH, area, as_bytes, drawing, fitted, grid, tiles
from hw1.analysis.figures.marks import (
    Axis,
    Band,
    ColorScale,
    Figure,
    HeatMap,
    Image,
    Line,
    Mark,
    Panel,
    Points,
    Text,
)
from hw1.analysis.figures.matplotlib import shortened
from hw1.analysis.figures.search_trials import Values
from hw1.analysis.figures.style import (
    BLUE,
    GRAY,
    GREEN,
    GRID,
    HEIGHT,
    INK,
    MUTED,
    SEQUENTIAL,
    VERMILLION,
    WIDTH,
)
from hw1.analysis.figures.ticks import around
from hw1.analysis.network import Network, predict
from hw1.datasets import Dataset
from hw1.tasks import Metric
from hw1.words import number

GRID_POINTS = 400
"""Of a fitted function."""
MISTAKES, MISTAKES_IN_ROW = 15, 5
MOST_CLASSES = 30
"""With so many, the numbers in a confusion matrix can be read."""


def learning_curves(curves: LearningCurves, metric: Metric) -> Figure:
    """Validation score by epoch, of each fold and their mean, beside the training score and losses.

    Where the losses are known, they have a panel of their own.
    """
    n_epochs, best = len(curves.validation_scores), curves.best_epoch
    beside = max(0.5, 0.02 * n_epochs)  # so that a point at the end is seen as a whole
    x = Axis("epoch", (1 - beside, n_epochs + beside), whole=True)
    training, validation = curves.training_losses, curves.validation_losses
    places = [(0.0, 0.0, 1.0, 1.0)]
    panels = []
    if training is not None and validation is not None:
        losses = [*training, *validation]
        if np.isfinite(losses).any():
            places = grid(1, 2, (0.13, 0.0))
            scale = Values.of(losses, maximize=False)
            marks = _by_epoch(training, validation, best, scale)
            panels.append(Panel(marks, x, scale.axis("loss"), places[0]))
    folds: Sequence[np.ndarray] = () if curves.folds is None else tuple(curves.folds.T)
    scores = curves.training_scores, curves.validation_scores
    every = np.concatenate([values for values in (*scores, *folds) if values is not None])
    scale = Values.of(every, metric.maximize)
    each = [
        Line(
            np.arange(1, n_epochs + 1),
            scale.within(of_fold),
            GRAY,
            "each fold",
            width=1,
            hover=f"fold {fold}, epoch {{x}}: {{y:.4g}}",
        )
        for fold, of_fold in enumerate(folds, 1)
    ]
    marks = (*each, *_by_epoch(*scores, best, scale))
    panels.append(Panel(marks, x, scale.axis(metric.words), places[-1]))
    return Figure(
        "learning_curves",
        "Learning curves",
        _of_curves(curves, metric),
        tuple(panels),
        height=400 if len(panels) > 1 else HEIGHT,
    )


def _by_epoch(
    training: np.ndarray | None, validation: np.ndarray, best: int, scale: Values
) -> tuple[Mark, ...]:
    """The means over the folds, and a point at the epoch that counts."""
    epochs = np.arange(1, len(validation) + 1)
    hover = "epoch {x}: {y:.4g}"
    marks: list[Mark] = []
    if training is not None:
        style: dict[str, Any] = {"dash": "dash", "hover": f"training, {hover}"}
        marks.append(Line(epochs, scale.within(training), GREEN, "training", **style))
    style = {"width": 3, "hover": f"validation, {hover}"}
    marks.append(Line(epochs, scale.within(validation), BLUE, "validation", **style))
    if best:
        at = [best], scale.within([validation[best - 1]])
        marks.append(Points(*at, VERMILLION, "checkpoint", size=12, hover=f"checkpoint: {hover}"))
    return tuple(marks)


def _of_curves(curves: LearningCurves, metric: Metric) -> str:
    """What learning curves show, in words."""
    best, n_epochs = curves.best_epoch, len(curves.validation_scores)
    score = float(curves.validation_scores[best - 1])
    spread = ""
    if curves.folds is not None:
        deviation = float(curves.folds[best - 1].std(ddof=1))
        spread = f", with a standard deviation of {number(deviation)} between the folds"
    text = (
        f"The mean validation score over the folds is best after epoch {best} of {n_epochs}: "
        f"{number(score)}{spread}. To this epoch the network is trained on all training data."
    )
    learned = None if curves.training_scores is None else float(curves.training_scores[best - 1])
    if learned is not None and math.isfinite(learned):
        gap = learned - score if metric.maximize else score - learned
        text += (
            f" In that epoch the {metric.words} on training examples is {number(learned)}, "
            f"{number(abs(gap))} {'better' if gap >= 0 else 'worse'}: a wide gap is overfitting. "
            "It is the mean over the epoch, each example as it was learned from, with dropout and "
            "augmentation"
        )
        text += ", as is the training loss." if curves.training_losses is not None else "."
    losses = curves.validation_losses
    if losses is not None and np.isfinite(losses).any():
        least, last = int(np.nanargmin(losses)), float(losses[-1])
        text += f" The validation loss is lowest after epoch {least + 1}: {number(losses[least])}"
        rises = math.isfinite(last) and number(last) != number(losses[least])
        text += f"; after the last it is {number(last)}." if rises else "."
    return text


def fold_scores(trials: Sequence[tuple[int, Sequence[float]]], metric: Metric) -> Figure:
    """The score of every fold of several trials.

    Args:
        trials: number and fold scores of each, the best first.
        metric: what is measured.
    """
    every = np.array([folds for _, folds in trials])
    scale = Values.of(every.ravel(), metric.maximize)
    near = ~scale.beyond(every.mean(1))
    scores, means = every[near], every[near].mean(1)
    names = [str(n) for (n, _), kept in zip(trials, near, strict=True) if kept]
    within, places = scale.within(scores), list(range(len(names)))
    marks: list[Mark] = [
        Line([place, place], [folds.min(), folds.max()], GRAY, width=1)
        for place, folds in enumerate(within)
    ]
    for fold, column in enumerate(within.T, 1):
        hover = f"fold {fold}: {{y:.4g}}"
        marks.append(Points(places, column, BLUE, "each fold", opacity=0.55, hover=hover))
    style: dict[str, Any] = {"size": 11, "symbol": "diamond", "hover": "mean: {y:.4g}"}
    marks.append(Points(places, means, VERMILLION, "mean over the folds", **style))
    x = Axis("trial, the best first", (-0.5, len(names) - 0.5), ticks=tuple(enumerate(names)))
    panel = Panel(marks, x, scale.axis(metric.words))
    spread = scores.std(axis=1, ddof=1).mean()
    many = f"{len(names)} of the best trials" if len(names) > 1 else "the trial"
    caption = (
        f"Scores in each fold of {many}: a fold differs from another by {number(spread)} "
        "(mean standard deviation within a trial)"
    )
    if len(names) > 1:
        caption += (
            f", the means of the best and the last of these trials by "
            f"{number(abs(means[0] - means[-1]))}. Where the second is smaller, the ranking is "
            "largely due to chance"
        )
    return Figure("fold_scores", "Scores by fold", caption + ".", (panel,), height=380)


def fitted_function(networks: Sequence[Network], dataset: Dataset, test: Dataset | None) -> Figure:
    """What the networks of the folds make of a single feature, over training and test data.

    Args:
        networks: of each fold.
        dataset: the training data, with one feature and one target.
        test: the test data, which are only shown.
    """
    both = [dataset] if test is None else [dataset, test]
    (x, y), *tested = ((d.inputs[:, 0].cpu().numpy(), d.targets[:, 0].cpu().numpy()) for d in both)
    every = np.concatenate([x, *(inputs for inputs, _ in tested)])
    grid_points = torch.linspace(float(every.min()), float(every.max()), GRID_POINTS)
    curves = torch.stack([predict(n, grid_points[:, None])[:, 0] for n in networks]).numpy()
    mean, least, most = curves.mean(0), curves.min(0), curves.max(0)
    at = grid_points.numpy()
    marks: list[Mark] = [Band(at, least, most, BLUE, f"range of {len(networks)} folds")]
    hover = "{x:.3g}, {y:.3g}"
    thin: dict[str, Any] = {"symbol": "x-thin", "outline": VERMILLION, "outline_width": 1.5}
    for those in tested:
        marks.append(
            Points(*those, VERMILLION, "test data", size=6, hover=f"test: {hover}", **thin)
        )
    marks += [
        Points(x, y, INK, "training data", size=6, hover=f"training: {hover}"),
        Line(at, mean, BLUE, "mean of the folds", width=3, hover="{x:.3g}: {y:.3g}"),
    ]
    panel = Panel(
        marks,
        Axis(dataset.feature_names[0] if dataset.feature_names else "input", around(at)),
        Axis(
            dataset.target_name,
            around(np.concatenate([y, least, most, *(targets for _, targets in tested)])),
        ),
    )
    width = most - least
    widest = int(width.argmax())
    gap = float(np.abs(x - at[widest]).min())
    return Figure(
        "fitted_function",
        "The fitted function",
        f"The networks of the folds agree to within {number(float(np.median(width)))} for "
        f"half of the inputs; they differ most, by {number(float(width.max()))}, at "
        f"{number(float(at[widest]))}, where the nearest training example is "
        f"{number(gap)} away." + " The test data are shown but not used." * len(tested),
        (panel,),
    )


def predictions(truth: np.ndarray, found: np.ndarray, name: str) -> Figure:
    """Predictions for held-out examples, beside the truth.

    Args:
        truth: of each example, ``(n_rows,)``.
        found: predictions for them, each by a network that was not trained on the example.
        name: of the target.
    """
    residuals = truth - found
    both = np.array([min(truth.min(), found.min()), max(truth.max(), found.max())])
    reach = around(both)
    predicted = f"{name}, predicted"
    left, right = grid(1, 2, (0.13, 0.0))

    def scattered(x: np.ndarray, y: np.ndarray, expected: np.ndarray) -> tuple[Mark, ...]:
        dots = Points(x, y, BLUE, size=6, opacity=0.5, hover="{x:.4g}, {y:.4g}")
        return dots, Line(both, expected, VERMILLION, dash="dash")

    across = Axis(predicted, reach)
    beside = Axis("residual (actual − predicted)", around(residuals))
    panels = (
        Panel(scattered(truth, found, both), Axis(f"{name}, actual", reach), across, left),
        Panel(scattered(found, residuals, np.zeros(2)), across, beside, right),
    )
    explained = 1 - residuals.var() / truth.var() if truth.var() > 0 else 0.0
    return Figure(
        "predictions",
        "Predicted vs. actual",
        "Each training example as predicted by the network that was not trained on it: "
        f"{explained:.0%} of the variance is explained, the mean residual is "
        f"{number(float(residuals.mean()))}. Curvature or a funnel on the right would be "
        "structure that the network has missed.",
        panels,
        height=400,
    )


def confusion_matrix(counts: np.ndarray, names: Sequence[str]) -> Figure:
    """How often held-out examples of each class are taken for each class.

    Args:
        counts: of examples, ``(true classes, predicted classes)``, each predicted by a network that
            was not trained on it.
        names: of the classes.
    """
    n = len(names)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    diagonal = np.eye(n, dtype=bool)
    # Colors follow the mistakes: the diagonal, in gray, would drown them.
    wrong = np.where(diagonal, np.nan, 100 * share)
    right = np.where(diagonal, 100 * share, np.nan)
    most = max(float(np.nanmax(wrong, initial=0.0)), 1.0)
    hover = [
        [f"{a} taken for {b}: {counts[i, j]} examples" for j, b in enumerate(names)]
        for i, a in enumerate(names)
    ]

    def cells(values: np.ndarray, scale: ColorScale, *, bold: bool) -> HeatMap:
        """Those that are numbers, with the text of them."""
        text = [[f"{value:.0f}" if value >= 0.5 else "" for value in row] for row in values]
        shown = text if n <= MOST_CLASSES else ()
        return HeatMap(values, scale, gap=1, text=shown, bold=bold, hover=hover)

    gray = ColorScale(((0.0, GRID), (1.0, GRID)), 0, 100)
    scale = ColorScale(SEQUENTIAL, 0, most, "% of the true class")
    ticks = tuple(enumerate(names))
    panel = Panel(
        (cells(right, gray, bold=True), cells(wrong, scale, bold=False)),
        Axis("predicted class", (-0.5, n - 0.5), ticks=ticks, grid=False, angle=40),
        Axis("true class", (n - 0.5, -0.5), ticks=ticks, grid=False),
    )
    correct = float(np.diag(counts).sum() / counts.sum())
    off = np.where(diagonal, -1, share)
    worst, taken_for = divmod(int(off.argmax()), n)
    recall = np.where(counts.sum(1) > 0, np.diag(share), np.inf)
    mistakes = (
        f"The most frequent confusion is {names[worst]} taken for {names[taken_for]} "
        f"({off[worst, taken_for]:.0%}); {names[int(recall.argmin())]} is recognized least "
        f"({recall.min():.0%})."
        if off.max() > 0
        else "No example is misclassified."
    )
    return Figure(
        "confusion_matrix",
        "Confusion matrix",
        "Percent of each true class, each example predicted by the network that was not trained "
        f"on it: {correct:.1%} are right. {mistakes}",
        (panel,),
        width=WIDTH,
        height=560 if n > 4 else 420,
    )


def confident_mistakes(outputs: Tensor, dataset: Dataset) -> Figure | None:
    """The images whose wrong class is the most probable of all.

    Args:
        outputs: ``(n_rows, n_classes)`` logits, each by a network that was not trained on the
            example.
        dataset: the training data, images of one or three channels.

    Returns:
        None if the inputs are not images, or none is mistaken.
    """
    if len(dataset.input_shape) != 3:
        return None
    probability, predicted = outputs.softmax(1).max(1)
    truth = dataset.targets.cpu()
    wrong = torch.nonzero(predicted != truth)[:, 0]
    if not len(wrong):
        return None
    chosen = wrong[probability[wrong].argsort(descending=True)[:MISTAKES]]
    gap, above = 20, 42
    side = (DRAWING_WIDTH + gap) / MISTAKES_IN_ROW - gap
    size = fitted(dataset.input_shape[1:], side)
    marks: list[Mark] = []
    step = side + gap, size[1] + above + gap
    places = tiles(len(chosen), MISTAKES_IN_ROW, step, (0.0, above))
    # From the lowest value of each image, black, to its highest.
    means = dataset.inputs[chosen.to(dataset.inputs.device)].cpu().double().mean(1)
    for (left, top), i, mean in zip(places, chosen.tolist(), means, strict=True):
        pixels = as_bytes(mean, float(mean.min()), float(mean.max()))
        name = shortened(dataset.class_names[int(predicted[i])], side - 40)
        label = shortened(dataset.class_names[int(truth[i])], side)
        marks += [
            Text(f"{name} {probability[i]:.0%}", left, top - 30, "left", color=MUTED),
            Text(label, left, top - 12, "left", bold=True),
            Image(pixels, *area(left, top, size)),
        ]
    half = float((probability[wrong] > 0.5).double().mean())
    return drawing(
        "confident_mistakes",
        "The most confident mistakes",
        f"Of {len(truth)} images {len(wrong)} are taken for another class by the network that "
        f"was not trained on them, {half:.0%} of these with a probability above one half. Above "
        "each image: the predicted class with its probability, and the label in bold. Look for "
        "labels that are wrong or could be either.",
        marks,
    )
