"""A figure of the sizes of a network's weights, before training and after it."""

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hw1.analysis.activations import WeightHistogram
from hw1.analysis.activations import weight_histograms as count_weights
from hw1.analysis.figures.inside.sample import evenly, shown_of, take_sample, weight_of
from hw1.analysis.figures.style import (
    BLUE,
    GREY,
    INK,
    MUTED,
    SMALL_SIZE,
    TEMPLATE,
    WIDTH,
    Figure,
    translucent,
)
from hw1.analysis.layers import weight_layers
from hw1.analysis.network import Network
from hw1.datasets import Dataset
from hw1.words import counted, listed, number, tick_label

MOST_PANELS = 12
"""Layers whose weights are shown."""
MOST_BINS = 50
COLUMNS = 4
"""Panels side by side, at most."""


def weight_histograms(trained: Network, initial: Network, dataset: Dataset) -> Figure | None:
    """How the weights of each layer are distributed, before training and after it.

    Args:
        trained, initial: the same network after training and before it.
        dataset: its data.

    Returns:
        None for a network without linear or convolutional layers.
    """
    titles = weight_layers(trained.network, trained.normalise(take_sample(dataset, 0, 2).inputs))
    shown = evenly(list(titles), MOST_PANELS)
    if not shown:
        return None
    histograms = {name: _counts(initial, trained, name) for name in shown}
    rows = math.ceil(len(shown) / COLUMNS)
    columns = math.ceil(len(shown) / rows)
    plot = _panels(
        rows,
        columns,
        [
            f"{titles[name]}: {counted(weight_of(trained, name).numel(), 'weight')}"
            for name in shown
        ],
    )
    for i, name in enumerate(shown):
        _histogram(plot, histograms[name], i // columns + 1, i % columns + 1, first=i == 0)
    for column in range(columns):
        plot.update_xaxes(
            title_text="weight", row=(len(shown) - 1 - column) // columns + 1, col=column + 1
        )
    plot.update_yaxes(title_text="share of weights", col=1)
    caption = _histogram_caption(trained, initial, {name: titles[name] for name in shown})
    outside = {
        titles[name]: h.trained_outside for name, h in histograms.items() if h.trained_outside
    }
    if outside:
        beyond = listed([f"{n:,} of {title}" for title, n in outside.items()])
        caption += f" Trained weights beyond the axes: {beyond}."
    caption += shown_of(len(shown), len(titles), "layers")
    return Figure("inside_weights", "Weights before and after training", caption, plot)


def _counts(initial: Network, trained: Network, name: str) -> WeightHistogram:
    n_weights = weight_of(trained, name).numel()
    n_bins = min(max(round(2 * n_weights ** (1 / 3)), MOST_BINS // 5), MOST_BINS)
    both = initial.network, trained.network
    return count_weights(*both, [name], n_bins)[name]


def _panels(rows: int, columns: int, titles: list[str]) -> go.Figure:
    """Panels with titles; those without a title are left out."""
    height = 150 * rows + 50 * (rows - 1)
    specs: list[list[dict[str, Any] | None]] = [
        [{} if row * columns + column < len(titles) else None for column in range(columns)]
        for row in range(rows)
    ]
    plot = make_subplots(
        rows,
        columns,
        specs=specs,
        subplot_titles=titles,
        horizontal_spacing=0.07 if columns > 1 else 0.0,
        vertical_spacing=50 / height if rows > 1 else 0.0,
    )
    plot.update_annotations(font={"size": SMALL_SIZE, "color": INK}, yshift=2)
    plot.update_layout(
        template=TEMPLATE,
        width=WIDTH,
        height=height + 120,
        margin={"t": 62, "b": 58, "l": 64, "r": 16},
        legend={"y": 1 + 32 / height},
    )
    return plot


def _histogram(
    plot: go.Figure, histogram: WeightHistogram, row: int, col: int, *, first: bool
) -> None:
    """The outline of both histograms; the counts of the first stand behind."""
    edges = histogram.edges
    # An outline: each edge twice, from zero and back to it.
    x = np.repeat(edges, 2)
    highest = 0.0
    for name, counts, colour, fill in (
        ("before training", histogram.initial, MUTED, translucent(GREY, 0.55)),
        ("after training", histogram.trained, BLUE, translucent(BLUE, 0.12)),
    ):
        share = counts / max(counts.sum(), 1)
        highest = max(highest, float(share.max()))
        plot.add_scatter(
            x=x.astype(np.float32),
            y=np.concatenate([[0], np.repeat(share, 2), [0]]).astype(np.float32),
            mode="lines",
            line={"color": colour, "width": 1 if colour == MUTED else 1.5},
            fill="tozeroy",
            fillcolor=fill,
            name=name,
            legendgroup=name,
            showlegend=first,
            hovertemplate="%{x:.3g}: %{y:.2%}<extra>" + name + "</extra>",
            row=row,
            col=col,
        )
    plot.update_xaxes(showgrid=False, **_ticks(edges), row=row, col=col)
    # None are within the edges where all are no numbers.
    plot.update_yaxes(tickformat=".0%", nticks=4, range=[0, 1.05 * highest or 1], row=row, col=col)


def _ticks(edges: np.ndarray) -> dict[str, Any]:
    """Zero and one round number on either side, the same in a browser and in print."""
    reach = 0.8 * max(-edges[0], edges[-1])
    power = 10.0 ** math.floor(math.log10(reach))
    step = next(factor for factor in (5, 2, 1) if factor * power <= reach * (1 + 1e-9)) * power
    ticks = [tick for tick in (-step, 0.0, step) if edges[0] <= tick <= edges[-1]]
    labels = [tick_label(tick, step) for tick in ticks]
    if not ticks:
        ticks = [float(edges[0] + edges[-1]) / 2]
        labels = [number(ticks[0])]
    return {
        "range": [float(edges[0]), float(edges[-1])],
        "tickvals": ticks,
        "ticktext": labels,
    }


def _histogram_caption(trained: Network, initial: Network, titles: dict[str, str]) -> str:
    spread, moved = {}, {}
    for name, title in titles.items():
        before, after = weight_of(initial, name), weight_of(trained, name)
        spread[title] = float(before.std(correction=0)), float(after.std(correction=0))
        moved[title] = float((after - before).norm() / max(float(before.norm()), 1e-30))
    most = max(moved, key=lambda title: moved[title])
    text = "The weights of each layer before training (grey) and after it (blue), without biases. "
    if moved[most] == 0:
        return text + "None has changed."
    if len(titles) > 1:
        least = min(moved, key=lambda title: moved[title])
        return text + (
            f"Most has changed {most}: its weights moved by {moved[most]:.0%} of their initial "
            f"norm, and their standard deviation went from {number(spread[most][0])} to "
            f"{number(spread[most][1])}; least {least}, by {moved[least]:.0%}."
        )
    return text + (
        f"They moved by {moved[most]:.0%} of their initial norm; their standard deviation went "
        f"from {number(spread[most][0])} to {number(spread[most][1])}."
    )
