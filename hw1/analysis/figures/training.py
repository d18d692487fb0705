"""Figures of how a configuration trains, and of where its networks are right and wrong."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots
from torch import Tensor

from hw1.analysis.figures.search_trials import Values
from hw1.analysis.figures.style import (
    BLUE,
    GREY,
    GREYS,
    INK,
    MUTED,
    SEQUENTIAL,
    SMALL_SIZE,
    TEMPLATE,
    VERMILLION,
    WIDTH,
    Figure,
    translucent,
)
from hw1.analysis.network import Network, predict
from hw1.datasets import Dataset
from hw1.training.metrics import Metric
from hw1.words import number

GRID_POINTS = 400
"""Of a fitted function."""
MISTAKES = 15
MOST_CLASSES = 30
"""With so many, the numbers in a confusion matrix can be read."""


def learning_curves(curves: np.ndarray, best_epoch: int, metric: Metric) -> Figure:
    """Every fold's validation score by epoch, and their mean.

    Args:
        curves: ``(n_epochs, n_splits)``.
        best_epoch: from 1.
        metric: what is measured.
    """
    epochs = list(range(1, len(curves) + 1))
    mean = curves.mean(1)
    scale = Values.of(curves.ravel(), metric.maximize)
    plot = go.Figure(layout={"template": TEMPLATE})
    for fold, curve in enumerate(curves.T):
        plot.add_scatter(
            x=epochs,
            y=scale.within(curve),
            mode="lines",
            line={"color": GREY, "width": 1},
            name="each fold",
            legendgroup="folds",
            showlegend=fold == 0,
            hovertemplate=f"fold {fold + 1}, epoch %{{x}}: %{{y:.4g}}<extra></extra>",
        )
    plot.add_scatter(
        x=epochs,
        y=scale.within(mean),
        mode="lines",
        line={"color": BLUE, "width": 3},
        name="mean over the folds",
        hovertemplate="epoch %{x}: %{y:.4g}<extra></extra>",
    )
    plot.add_scatter(
        x=[best_epoch],
        y=[mean[best_epoch - 1]],
        mode="markers",
        marker={"color": VERMILLION, "size": 12},
        name="best epoch",
        hovertemplate="best: epoch %{x}, %{y:.4g}<extra></extra>",
    )
    plot.update_xaxes(title="epoch", range=[0.5, len(curves) + 0.5])
    plot.update_yaxes(title=metric.words, **scale.axis())
    spread = curves[best_epoch - 1].std(ddof=1)
    return Figure(
        "learning_curves",
        "Learning curves of the folds",
        f"The mean over {curves.shape[1]} folds is best after epoch {best_epoch} of {len(curves)}: "
        f"{number(mean[best_epoch - 1])}, with a standard deviation of "
        f"{number(spread)} between the folds. To this epoch the network is trained on all "
        "rows.",
        plot,
    )


def fold_scores(trials: Sequence[tuple[int, Sequence[float]]], metric: Metric) -> Figure:
    """The score of every fold of several trials.

    Args:
        trials: number and fold scores of each, the best first.
        metric: what is measured.
    """
    every = np.array([folds for _, folds in trials])
    scale = Values.of(every.ravel(), metric.maximize)
    near = ~scale.beyond(every.mean(1))
    scores, labels = (
        every[near],
        [str(n) for (n, _), kept in zip(trials, near, strict=True) if kept],
    )
    means = scores.mean(1)
    plot = go.Figure(layout={"template": TEMPLATE, "height": 380})
    for label, folds in zip(labels, scores, strict=True):
        plot.add_scatter(
            x=[label, label],
            y=scale.within([folds.min(), folds.max()]),
            mode="lines",
            line={"color": GREY, "width": 1},
            showlegend=False,
            hoverinfo="skip",
        )
    for fold in range(scores.shape[1]):
        plot.add_scatter(
            x=labels,
            y=scale.within(scores[:, fold]),
            mode="markers",
            marker={"color": translucent(BLUE, 0.55), "size": 8},
            name="each fold",
            legendgroup="folds",
            showlegend=fold == 0,
            hovertemplate=f"trial %{{x}}, fold {fold + 1}: %{{y:.4g}}<extra></extra>",
        )
    plot.add_scatter(
        x=labels,
        y=means,
        mode="markers",
        marker={"color": VERMILLION, "size": 11, "symbol": "diamond"},
        name="mean over the folds",
        hovertemplate="trial %{x}: %{y:.4g}<extra></extra>",
    )
    plot.update_xaxes(title="trial, the best first", type="category")
    plot.update_yaxes(title=metric.words, **scale.axis())
    within = scores.std(axis=1, ddof=1).mean()
    many = f"{len(labels)} of the best trials" if len(labels) > 1 else "the trial"
    caption = (
        f"Scores in each fold of {many}: a fold differs from another by {number(within)} "
        "(mean standard deviation within a trial)"
    )
    if len(labels) > 1:
        caption += (
            f", the means of the best and the last of these trials by "
            f"{number(abs(means[0] - means[-1]))}. Where the second is smaller, their order "
            "is chance to a good part"
        )
    return Figure("fold_scores", "Scores by fold", caption + ".", plot)


def fitted_function(networks: Sequence[Network], dataset: Dataset, test: Dataset | None) -> Figure:
    """What the networks of the folds make of a single feature, over training and test rows.

    Args:
        networks: of each fold.
        dataset: the training rows, with one feature and one target.
        test: the test rows, which are only shown.
    """
    x = dataset.inputs[:, 0].cpu()
    low, high = float(x.min()), float(x.max())
    if test is not None:
        low = min(low, float(test.inputs.min()))
        high = max(high, float(test.inputs.max()))
    grid = torch.linspace(low, high, GRID_POINTS)
    fitted = torch.stack([predict(n, grid[:, None])[:, 0] for n in networks]).numpy()
    mean, least, most = fitted.mean(0), fitted.min(0), fitted.max(0)
    plot = go.Figure(layout={"template": TEMPLATE})
    line = {"color": translucent(BLUE, 0.0), "width": 0}
    plot.add_scatter(
        x=grid.numpy(), y=most, mode="lines", line=line, showlegend=False, hoverinfo="skip"
    )
    plot.add_scatter(
        x=grid.numpy(),
        y=least,
        mode="lines",
        line=line,
        fill="tonexty",
        fillcolor=translucent(BLUE, 0.18),
        name=f"range of {len(networks)} folds",
        hoverinfo="skip",
    )
    if test is not None:
        plot.add_scatter(
            x=test.inputs[:, 0].numpy(),
            y=test.targets[:, 0].numpy(),
            mode="markers",
            marker={
                "color": VERMILLION,
                "size": 6,
                "symbol": "x-thin",
                "line": {"width": 1.5, "color": VERMILLION},
            },
            name="test rows",
            hovertemplate="test: %{x:.3g}, %{y:.3g}<extra></extra>",
        )
    plot.add_scatter(
        x=x.numpy(),
        y=dataset.targets[:, 0].cpu().numpy(),
        mode="markers",
        marker={"color": INK, "size": 6},
        name="training rows",
        hovertemplate="training: %{x:.3g}, %{y:.3g}<extra></extra>",
    )
    plot.add_scatter(
        x=grid.numpy(),
        y=mean,
        mode="lines",
        line={"color": BLUE, "width": 3},
        name="mean of the folds",
        hovertemplate="%{x:.3g}: %{y:.3g}<extra></extra>",
    )
    plot.update_xaxes(title=dataset.feature_names[0] if dataset.feature_names else "input")
    plot.update_yaxes(title=dataset.target_name)
    width = most - least
    widest = int(width.argmax())
    gap = float((x - grid[widest]).abs().min())
    return Figure(
        "fitted_function",
        "The fitted function",
        f"The networks of the folds agree to within {number(float(np.median(width)))} for "
        f"half of the inputs; they differ most, by {number(float(width.max()))}, at "
        f"{number(float(grid[widest]))}, where the next training row is "
        f"{number(gap)} away. The test rows are shown, not used.",
        plot,
    )


def predictions_and_targets(outputs: Tensor, dataset: Dataset) -> Figure:
    """Predictions of rows by networks that have not seen them, beside the truth.

    Args:
        outputs: ``(n_rows, n_outputs)``; the first output is shown.
        dataset: the training rows.
    """
    truth = dataset.targets[:, 0].cpu().double().numpy()
    found = outputs[:, 0].double().numpy()
    ends = [float(min(truth.min(), found.min())), float(max(truth.max(), found.max()))]
    plot = make_subplots(cols=2, horizontal_spacing=0.13)
    plot.update_layout(template=TEMPLATE, height=400, showlegend=False)
    dots = {"color": translucent(BLUE, 0.5), "size": 6}
    plot.add_scatter(x=truth, y=found, mode="markers", marker=dots, row=1, col=1)
    plot.add_scatter(
        x=ends, y=ends, mode="lines", line={"color": VERMILLION, "dash": "dash"}, row=1, col=1
    )
    plot.add_scatter(x=found, y=truth - found, mode="markers", marker=dots, row=1, col=2)
    plot.add_scatter(
        x=ends, y=[0, 0], mode="lines", line={"color": VERMILLION, "dash": "dash"}, row=1, col=2
    )
    name = dataset.target_name
    plot.update_xaxes(title=f"{name}, true", row=1, col=1)
    plot.update_yaxes(title=f"{name}, predicted", row=1, col=1)
    plot.update_xaxes(title=f"{name}, predicted", row=1, col=2)
    plot.update_yaxes(title="residual (true − predicted)", row=1, col=2)
    residuals = truth - found
    explained = 1 - residuals.var() / truth.var() if truth.var() > 0 else 0.0
    return Figure(
        "predictions",
        "Predictions and truth",
        f"Each training row as predicted by the fold that has not seen it: {explained:.0%} of the "
        f"variance is explained, the mean residual is {number(float(residuals.mean()))}. "
        "A curve or a funnel at the right would be something that the network has missed.",
        plot,
    )


def confusion_matrix(outputs: Tensor, dataset: Dataset) -> Figure:
    """How often rows of each class are taken for each class by networks that have not seen them.

    Args:
        outputs: ``(n_rows, n_classes)``.
        dataset: the training rows.
    """
    names = list(dataset.class_names)
    n = len(names)
    truth = dataset.targets.cpu().numpy()
    counts = np.zeros((n, n), dtype=int)
    np.add.at(counts, (truth, outputs.argmax(1).numpy()), 1)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    # Colour follows the mistakes: the diagonal would drown them.
    wrong = share.copy()
    np.fill_diagonal(wrong, np.nan)
    text = [[f"{100 * s:.0f}" if s >= 0.005 else "" for s in row] for row in share]
    plot = go.Figure(layout={"template": TEMPLATE, "width": WIDTH})
    plot.add_heatmap(
        z=100 * wrong,
        x=names,
        y=names,
        text=text if n <= MOST_CLASSES else None,
        texttemplate="%{text}" if n <= MOST_CLASSES else None,
        colorscale=[list(step) for step in SEQUENTIAL],
        zmin=0,
        colorbar={"title": "% of the true class"},
        customdata=counts,
        hovertemplate="%{y} taken for %{x}: %{customdata} rows<extra></extra>",
        xgap=1,
        ygap=1,
    )
    for i in range(n if n <= MOST_CLASSES else 0):
        plot.add_annotation(
            x=names[i], y=names[i], text=f"<b>{100 * share[i, i]:.0f}</b>", showarrow=False
        )
    plot.update_xaxes(title="predicted class", type="category", showgrid=False, tickangle=-40)
    plot.update_yaxes(title="true class", type="category", showgrid=False, autorange="reversed")
    plot.update_layout(height=560 if n > 4 else 420)
    correct = float(np.diag(counts).sum() / counts.sum())
    off = np.where(np.eye(n, dtype=bool), -1, share)
    worst = np.unravel_index(int(off.argmax()), off.shape)
    return Figure(
        "confusion_matrix",
        "Confusion of the classes",
        f"Percent of each true class, each row predicted by the fold that has not seen it: "
        f"{correct:.1%} are right. The most frequent confusion is "
        f"{names[worst[0]]} taken for {names[worst[1]]} ({off[worst]:.0%}); "
        f"{names[int(np.diag(share).argmin())]} is recognised least "
        f"({np.diag(share).min():.0%}).",
        plot,
    )


def confident_mistakes(outputs: Tensor, dataset: Dataset) -> Figure | None:
    """The images whose wrong class is the most probable of all.

    Args:
        outputs: ``(n_rows, n_classes)`` logits of networks that have not seen these rows.
        dataset: the training rows, images of one or three channels.

    Returns:
        None if the rows are no images, or none is mistaken.
    """
    if len(dataset.input_shape) != 3:
        return None
    probability, predicted = outputs.softmax(1).max(1)
    truth = dataset.targets.cpu()
    wrong = torch.nonzero(predicted != truth)[:, 0]
    if not len(wrong):
        return None
    chosen = wrong[probability[wrong].argsort(descending=True)[:MISTAKES]]
    columns = 5
    rows = -(-len(chosen) // columns)
    titles = [
        f"{dataset.class_names[predicted[i]]} {probability[i]:.0%}<br>"
        f"<b>{dataset.class_names[truth[i]]}</b>"
        for i in chosen.tolist()
    ]
    plot = make_subplots(
        rows, columns, subplot_titles=titles, horizontal_spacing=0.02, vertical_spacing=0.28 / rows
    )
    for place, i in enumerate(chosen.tolist()):
        row, column = place // columns + 1, place % columns + 1
        image = dataset.inputs[i].cpu().float().mean(0).numpy()
        plot.add_heatmap(
            z=image,
            colorscale=[list(step) for step in GREYS],
            showscale=False,
            hoverinfo="skip",
            row=row,
            col=column,
        )
    _square_pixels(plot, len(chosen))
    plot.update_annotations(font={"size": SMALL_SIZE, "color": MUTED})
    plot.update_layout(
        template=TEMPLATE, height=60 + rows * 190, margin={"l": 8, "r": 8, "t": 48, "b": 8}
    )
    half = float((probability[wrong] > 0.5).double().mean())
    return Figure(
        "confident_mistakes",
        "The most confident mistakes",
        f"Of {len(truth)} rows {len(wrong)} are taken for another class by the fold that has not "
        f"seen them, {half:.0%} of these with a probability above one half. Above each image: "
        "the predicted class with its probability, and the label in bold. Look for labels that "
        "are wrong or could be either.",
        plot,
    )


def _square_pixels(plot: go.Figure, n_images: int) -> None:
    for i in range(1, n_images + 1):
        suffix = "" if i == 1 else str(i)
        plot.layout[f"xaxis{suffix}"].update(visible=False, constrain="domain")
        plot.layout[f"yaxis{suffix}"].update(
            visible=False, autorange="reversed", scaleanchor=f"x{suffix}", constrain="domain"
        )
    for axis in [*plot.select_xaxes(), *plot.select_yaxes()]:
        axis.visible = False
