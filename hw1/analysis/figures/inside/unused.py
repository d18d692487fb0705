"""A figure of which hidden units are unused."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hw1.analysis.activations import unit_statistics
from hw1.analysis.figures.inside.sample import Layer, evenly, find_layers, shown_of, take_sample
from hw1.analysis.figures.style import (
    SKY,
    SMALL_SIZE,
    TEMPLATE,
    VERMILLION,
    WIDTH,
    YELLOW,
    Figure,
)
from hw1.analysis.network import Network
from hw1.datasets import Dataset
from hw1.words import counted, listed

MOST_LAYERS = 24


def unused_units(network: Network, dataset: Dataset, *, seed: int = 0) -> Figure | None:
    """The share of dead units in each hidden layer, and of activations that are zero.

    Args:
        network: any.
        dataset: its data; a sample of the rows is used.
        seed: of the sample.

    Returns:
        None for a network without hidden layers, or one of whose units none is dead and none
        ever zero, and for a single row.
    """
    sample = take_sample(dataset, seed)
    all_layers = find_layers(network, sample)
    layers = evenly(all_layers, MOST_LAYERS)
    if not layers or len(sample) < 2:
        return None
    inputs = network.normalise(sample.inputs)
    found = unit_statistics(network.network, inputs, [layer.name for layer in layers])
    dead = np.array([float(found[layer.name].dead_share) for layer in layers])
    silent = np.array([float((f.dead & (f.zeros == 1)).double().mean()) for f in found.values()])
    sparsity = np.array([f.sparsity for f in found.values()])
    n_dead = [int(found[layer.name].dead.sum()) for layer in layers]
    if not dead.any() and not sparsity.any():
        return None
    plot = _bars(layers, silent, dead, sparsity, n_dead)
    caption = _unused_caption(layers, n_dead, sparsity, len(sample))
    caption += shown_of(len(layers), len(all_layers), "layers")
    return Figure("inside_unused", "Dead units and zeros", caption, plot)


def _bars(
    layers: Sequence[Layer],
    silent: np.ndarray,
    dead: np.ndarray,
    sparsity: np.ndarray,
    n_dead: Sequence[int],
) -> go.Figure:
    """Shares ``(n_layers,)`` of units that are always zero, or dead, and of zero activations."""
    plot = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.12)
    places = list(range(len(layers)))
    for name, shares, colour in (
        ("always zero", silent, VERMILLION),
        ("always the same, but not zero", dead - silent, YELLOW),
    ):
        plot.add_bar(
            x=shares,
            y=places,
            orientation="h",
            name=name,
            showlegend=bool(shares.any()),
            marker={"color": colour},
            hovertemplate=f"{name}: %{{x:.1%}} of the units<extra></extra>",
            row=1,
            col=1,
        )
    plot.add_bar(
        x=sparsity,
        y=places,
        orientation="h",
        showlegend=False,
        marker={"color": SKY},
        text=[f"{share:.0%}" for share in sparsity],
        textposition="outside",
        hovertemplate="%{x:.1%} of the activations are zero<extra></extra>",
        row=1,
        col=2,
    )
    for place, share, n, layer in zip(places, dead, n_dead, layers, strict=True):
        plot.add_annotation(
            text=f"{n} of {layer.n_units}",
            x=share,
            y=place,
            xanchor="left",
            xshift=4,
            font={"size": SMALL_SIZE},
            row=1,
            col=1,
        )
    _dress_bars(plot, layers, dead, sparsity)
    return plot


def _dress_bars(
    plot: go.Figure, layers: Sequence[Layer], dead: np.ndarray, zeros: np.ndarray
) -> None:
    """Axes with room for the labels behind the longest bars."""
    height = 26 * len(layers)
    for column, shares, title in (
        (1, dead, "dead units"),
        (2, zeros, "activations that are zero"),
    ):
        plot.update_xaxes(
            title_text=f"share of {title}",
            range=[0, 1.25 * max(shares.max(), 0.04)],
            tickformat=".0%",
            nticks=5,
            row=1,
            col=column,
        )
    plot.update_yaxes(
        tickvals=list(range(len(layers))),
        ticktext=[layer.title for layer in layers],
        range=[len(layers) - 0.4, -0.6],
        showgrid=False,
    )
    plot.update_layout(
        template=TEMPLATE,
        barmode="stack",
        bargap=0.3,
        width=WIDTH,
        height=height + 100,
        legend={"y": 1 + 8 / height},
        margin={"l": 84, "r": 24, "t": 40, "b": 60},
    )


def _unused_caption(
    layers: Sequence[Layer], n_dead: Sequence[int], sparsity: np.ndarray, n_rows: int
) -> str:
    total = sum(n_dead)
    worst = [
        f"{n} of {counted(layer.n_units, layer.unit)} of {layer.title}"
        for n, layer in sorted(zip(n_dead, layers, strict=True), key=lambda pair: -pair[0])
        if n
    ]
    text = f"A unit is dead if its output is the same for all {n_rows:,} rows looked at. "
    if total:
        more = f", and {total - sum(sorted(n_dead)[-3:])} in other layers" * (len(worst) > 3)
        are = "is" if total == 1 else "are"
        text += f"{listed(worst[:3])}{more} {are} dead. "
    else:
        text += f"None of the {counted(sum(la.n_units for la in layers), 'unit')} is. "
    if sparsity.max() == 0:
        return text + "No activation is exactly zero."
    most = int(sparsity.argmax())
    return text + f"Most zeros has {layers[most].title}: {sparsity[most]:.0%} of its activations."
