"""A figure of how hidden units make a function of a single feature."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots
from torch import Tensor

from hw1.analysis.figures.canvas import colour_bar
from hw1.analysis.figures.inside.sample import (
    Layer,
    evenly,
    find_layers,
    most_varying,
    outputs_of,
    shown_of,
    take_sample,
    unit_activations,
)
from hw1.analysis.figures.style import (
    BLUE,
    DIVERGING,
    INK,
    SEQUENTIAL,
    SMALL_SIZE,
    TEMPLATE,
    WIDTH,
    Figure,
    translucent,
)
from hw1.analysis.network import Network
from hw1.datasets import Dataset
from hw1.words import counted

MOST_LAYERS = 8
MOST_UNITS = 64
"""Units of a layer that are shown."""
GRID_POINTS = 300
SIGNED = 0.3
"""Negative activations of this share of a unit's largest are shown as such."""
GAP = 34
"""Pixels between panels."""
FUNCTION_HEIGHT = 170


def units_along_input(network: Network, dataset: Dataset, *, seed: int = 0) -> Figure | None:
    """How each hidden unit's activation runs along the only feature, above it the function.

    Args:
        network: any.
        dataset: its data; a sample of the rows is used.
        seed: of the sample.

    Returns:
        None for several features, for classes, or without hidden layers.
    """
    if dataset.input_shape != (1,) or dataset.task != "regression":
        return None
    sample = take_sample(dataset, seed)
    all_layers = find_layers(network, sample)
    layers = evenly(all_layers, MOST_LAYERS)
    if not layers:
        return None
    grid = torch.linspace(float(sample.inputs.min()), float(sample.inputs.max()), GRID_POINTS)
    found = unit_activations(network, grid[:, None], layers)
    sorted_units = [_along(found[layer.name]) for layer in layers]
    name = sample.feature_names[0] if sample.feature_names else "input"
    plot = _stack(layers, [len(units) for units, _ in sorted_units])
    _function(plot, network, sample, grid)
    signed = min(float(values.min()) for _, values in sorted_units) < -SIGNED
    for row, (layer, (units, values)) in enumerate(zip(layers, sorted_units, strict=True), 2):
        plot.add_heatmap(
            x0=float(grid[0]),
            dx=float(grid[1] - grid[0]),
            z=values.round(3).astype(np.float32),
            customdata=np.repeat(units[:, None], len(grid), 1).astype(np.int16),
            coloraxis="coloraxis",
            hovertemplate=f"{layer.unit} %{{customdata}} at %{{x:.3g}}: %{{z:.0%}}<extra></extra>",
            row=row,
            col=1,
        )
    plot.update_layout(
        coloraxis={
            "colorscale": [list(step) for step in (DIVERGING if signed else SEQUENTIAL)],
            "cmin": -1 if signed else 0,
            "cmax": 1,
            "colorbar": colour_bar("activation / its largest size", plot.layout.height),
        }
    )
    plot.update_xaxes(title_text=name, row=len(layers) + 1, col=1)
    return Figure(
        "inside_units",
        "From the input to the function",
        _along_caption(layers, found, sample) + shown_of(len(layers), len(all_layers), "layers"),
        plot,
    )


def _stack(layers: Sequence[Layer], n_shown: Sequence[int]) -> go.Figure:
    """A panel for the function and one below it for each layer, as high as its units need."""
    heights = [FUNCTION_HEIGHT, *(min(max(9 * n, 44), 230) for n in n_shown)]
    total = sum(heights) + GAP * len(layers)
    titles = [
        f"{layer.title}: {f'{n} of ' * (n < layer.n_units)}{counted(layer.n_units, layer.unit)}"
        for layer, n in zip(layers, n_shown, strict=True)
    ]
    plot = make_subplots(
        len(heights),
        1,
        shared_xaxes=True,
        row_heights=[height / sum(heights) for height in heights],
        vertical_spacing=GAP / total,
        subplot_titles=["", *titles],
    )
    plot.update_annotations(x=0, xanchor="left", font={"size": SMALL_SIZE, "color": INK}, yshift=1)
    plot.update_yaxes(showticklabels=False, showgrid=False, autorange="reversed")
    plot.update_xaxes(showgrid=False)
    plot.update_layout(
        template=TEMPLATE,
        width=WIDTH,
        height=round(total + 96),
        margin={"l": 64, "r": 96, "t": 40, "b": 56},
        legend={"y": 1 + 4 / total},
    )
    return plot


def _function(plot: go.Figure, network: Network, sample: Dataset, grid: Tensor) -> None:
    plot.add_scatter(
        x=sample.inputs[:, 0].numpy(),
        y=sample.targets[:, 0].numpy(),
        mode="markers",
        cliponaxis=False,
        marker={"color": translucent(INK, 0.6), "size": 5, "line": {"width": 0}},
        name="training rows",
        hovertemplate="%{x:.3g}: %{y:.3g}<extra>training row</extra>",
        row=1,
        col=1,
    )
    plot.add_scatter(
        x=grid.numpy(),
        y=outputs_of(network, grid[:, None])[:, 0].numpy(),
        mode="lines",
        line={"color": BLUE, "width": 2.5},
        name="network",
        hovertemplate="%{x:.3g}: %{y:.3g}<extra>network</extra>",
        row=1,
        col=1,
    )
    plot.update_yaxes(
        title_text=sample.target_name,
        showticklabels=True,
        showgrid=True,
        autorange=True,
        row=1,
        col=1,
    )
    # As wide as the data: the units' panels have no space beside them either.
    plot.update_xaxes(range=[float(grid[0]), float(grid[-1])])


def _along(activations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit numbers, sorted by where they are active, and activations by unit, 1 at the most."""
    units = most_varying(activations, MOST_UNITS)
    values = activations[:, units].T
    values = values / np.maximum(np.abs(values).max(1, keepdims=True), 1e-30)
    # Beside its lowest level: that of a unit that is nowhere zero tells nothing.
    above = np.abs(values - np.median(values, 1, keepdims=True)) + 1e-12
    centre = (above * np.arange(values.shape[1])).sum(1) / above.sum(1)
    order = np.argsort(centre, kind="stable")
    return units[order], values[order]


def _turns(activations: np.ndarray) -> float:
    """How often a unit turns between rising and falling along the input, on average."""
    spread = np.ptp(activations, axis=0)
    slopes = np.diff(activations, axis=0)
    turns = 0
    for slope, size in zip(slopes.T, spread, strict=True):
        signs = np.sign(slope[np.abs(slope) > 1e-4 * size])
        turns += int((signs[1:] != signs[:-1]).sum())
    return turns / int(activations.shape[1])


def _along_caption(layers: Sequence[Layer], found: dict[str, np.ndarray], sample: Dataset) -> str:
    turns = [_turns(found[layer.name]) for layer in layers]
    text = (
        f"Above, the network's {sample.target_name} and {len(sample)} training rows. Below, the "
        "activation of each unit at the same inputs, as a share of its largest size; a line is a "
        "unit, and those that are active further to the left come first. "
    )
    if len(layers) == 1:
        return text + f"A unit turns between rising and falling {turns[0]:.1f} times on average."
    return text + (
        f"A unit of {layers[0].title} turns between rising and falling {turns[0]:.1f} times on "
        f"average, one of {layers[-1].title} {turns[-1]:.1f} times."
    )
