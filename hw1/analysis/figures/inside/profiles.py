"""A figure of what hidden units answer to."""

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hw1.analysis.figures.canvas import colour_bar, shortened, text_width
from hw1.analysis.figures.inside.sample import (
    Layer,
    evenly,
    find_layers,
    most_varying,
    shown_classes,
    shown_of,
    take_sample,
    unit_activations,
)
from hw1.analysis.figures.style import (
    DIVERGING,
    INK,
    SMALL_SIZE,
    TEMPLATE,
    WIDTH,
    Figure,
)
from hw1.analysis.network import Network
from hw1.datasets import Dataset
from hw1.words import counted, number

MOST_LAYERS = 8
MOST_UNITS = 64
"""Units of a layer that are shown."""
N_BINS = 10
"""Of a regression's target; each has the same number of rows."""
FURTHEST = 3.0
"""Standard deviations at which the colours end."""


def unit_profiles(network: Network, dataset: Dataset, *, seed: int = 0) -> Figure | None:
    """How the activation of each hidden unit differs between classes, or bins of the target.

    Args:
        network: any.
        dataset: its data; a sample of the rows is used.
        seed: of the sample.

    Returns:
        None for a network without hidden layers, or a single class.
    """
    sample = take_sample(dataset, seed)
    all_layers = find_layers(network, sample)
    layers = evenly(all_layers, MOST_LAYERS)
    groups, labels = _groups(sample)
    if not layers or len(labels) < 2:
        return None
    rows = np.flatnonzero(groups >= 0)
    found = unit_activations(network, sample.inputs[rows], layers)
    profiles = [_profile(found[layer.name], groups[rows], len(labels)) for layer in layers]
    columns = len(layers) if len(layers) <= 4 else math.ceil(len(layers) / 2)
    plot = _profile_panels(layers, [len(units) for units, _ in profiles], labels, sample)
    limit = min(max(max(np.abs(p).max() for _, p in profiles), 0.1), FURTHEST)
    for i, (units, profile) in enumerate(profiles):
        plot.add_heatmap(
            z=profile.round(3).astype(np.float32),
            coloraxis="coloraxis",
            hovertext=_hover(layers[i].unit, units, profile, labels),
            hoverinfo="text",
            row=i // columns + 1,
            col=i % columns + 1,
        )
    plot.update_layout(
        coloraxis={
            "colorscale": [list(step) for step in DIVERGING],
            "cmin": -limit,
            "cmax": limit,
            "colorbar": colour_bar("standard deviations", plot.layout.height),
        }
    )
    what = "class"
    if sample.task == "regression":
        what = f"group of rows of similar {sample.target_name}"
    caption = (
        f"How far the mean activation of a unit lies, for each {what}, from its mean over all "
        "rows, in its standard deviations. Units are sorted by what they answer to most. "
    )
    caption += _profile_caption(
        layers, profiles, np.bincount(groups[rows]), labels, what.split()[0]
    )
    caption += shown_of(len(layers), len(all_layers), "layers")
    caption += shown_of(len(labels), len(sample.class_names), "classes")
    return Figure("inside_profiles", "What the units answer to", caption, plot)


def _hover(
    unit: str, numbers: np.ndarray, profile: np.ndarray, labels: Sequence[str]
) -> list[list[str]]:
    return [
        [f"{unit} {number}, {la}: {number(z)} SD" for la, z in zip(labels, row, strict=True)]
        for number, row in zip(numbers, profile, strict=True)
    ]


def _profile_panels(
    layers: Sequence[Layer], n_shown: Sequence[int], labels: Sequence[str], sample: Dataset
) -> go.Figure:
    """A panel for each layer, without its heatmap."""
    columns = len(layers) if len(layers) <= 4 else math.ceil(len(layers) / 2)
    rows = -(-len(layers) // columns)
    titles = [
        f"{layer.title}: "
        f"{counted(n, layer.unit) if n == layer.n_units else f'{n} of {layer.n_units}'}"
        for layer, n in zip(layers, n_shown, strict=True)
    ]
    across = (WIDTH - 120) / columns - 14
    classes = sample.task == "classification"
    upright = classes and max(map(text_width, labels)) > across / len(labels) - 4
    below = 20 + (max(map(text_width, labels)) if upright else 14) + (0 if classes else 22)
    high = min(max(12 * max(n_shown), 100), 330)
    gap = below + 26
    height = rows * high + (rows - 1) * gap
    plot = make_subplots(
        rows,
        columns,
        specs=[
            [{} if r * columns + c < len(layers) else None for c in range(columns)]
            for r in range(rows)
        ],
        subplot_titles=[shortened(title, across) for title in titles],
        horizontal_spacing=14 / (WIDTH - 120) if columns > 1 else 0.0,
        vertical_spacing=gap / height if rows > 1 else 0.0,
    )
    ticks = list(range(len(labels))) if classes else _inner_ticks(len(labels))
    plot.update_xaxes(
        tickvals=ticks,
        ticktext=[labels[i] for i in ticks],
        tickangle=90 if upright else 0,
        title_text="" if classes else sample.target_name,
        showgrid=False,
    )
    plot.update_yaxes(showticklabels=False, showgrid=False, autorange="reversed")
    plot.update_annotations(font={"size": SMALL_SIZE, "color": INK}, yshift=2)
    plot.update_layout(
        template=TEMPLATE,
        width=WIDTH,
        height=round(height + 34 + below),
        margin={"l": 24, "r": 96, "t": 34, "b": round(below)},
    )
    return plot


def _inner_ticks(n: int) -> list[int]:
    """Three of ``n`` places, none at the end, where a label would meet that of the next panel."""
    return evenly(range(n)[n // 8 : n - n // 8], 3)


def _profile_caption(
    layers: Sequence[Layer],
    profiles: Sequence[tuple[np.ndarray, np.ndarray]],
    counts: np.ndarray,
    labels: Sequence[str],
    what: str,
) -> str:
    # A unit's variance between the groups, as a share of its variance: eta squared.
    shares = [float((p**2 @ (counts / counts.sum())).mean()) for _, p in profiles]
    text = f"The {what} explains {shares[0]:.0%} of a unit's variance in {layers[0].title}"
    if len(layers) > 1:
        text += f" and {shares[-1]:.0%} in {layers[-1].title} (mean over the units shown)"
    best = max(range(len(layers)), key=lambda i: profiles[i][1].max())
    units, profile = profiles[best]
    row, column = divmod(int(profile.argmax()), len(labels))
    return text + (
        f". Furthest from its mean is {layers[best].unit} {units[row]} of {layers[best].title}: "
        f"{number(float(profile.max()))} for {labels[column]}."
    )


def _groups(sample: Dataset) -> tuple[np.ndarray, list[str]]:
    """The group of each row, −1 for none, and what the groups are called."""
    if sample.task == "classification":
        classes = shown_classes(sample)
        places = np.full(len(sample.class_names), -1)
        places[classes] = np.arange(len(classes))
        return places[sample.targets.numpy()], [sample.class_names[c] for c in classes]
    target = sample.targets[:, 0].double().numpy()
    n = min(N_BINS, len(target))
    ranks = np.argsort(np.argsort(target, kind="stable"), kind="stable")
    groups = ranks * n // len(target)
    return groups, [number(float(np.median(target[groups == group]))) for group in range(n)]


def _profile(
    activations: np.ndarray, groups: np.ndarray, n_groups: int
) -> tuple[np.ndarray, np.ndarray]:
    """Unit numbers ``(n,)``, sorted, and the groups' means in standard deviations ``(n, groups)``.

    Args:
        activations: ``(n_rows, n_units)``.
        groups: ``(n_rows,)``.
        n_groups: of which each has a row.
    """
    units = most_varying(activations, MOST_UNITS)
    chosen = activations[:, units]
    means = np.stack([chosen[groups == group].mean(0) for group in range(n_groups)], 1)
    spread = chosen.std(0)
    scale = np.abs(chosen).max(initial=0)
    varies = spread > 1e-6 * scale
    # A dead unit answers to nothing.
    effects = (means - chosen.mean(0)[:, None]) / np.where(varies, spread, np.inf)[:, None]
    effects = np.nan_to_num(effects)
    best = np.where(varies, effects.argmax(1), n_groups)
    order = np.lexsort((-effects.max(1), best))
    return units[order], effects[order]
