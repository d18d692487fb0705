"""A figure of what the first layer of a network looks for."""

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from torch import Tensor, nn

from hw1.analysis.figures.canvas import BARRED_WIDTH, Canvas, shortened
from hw1.analysis.figures.inside.sample import is_image, take_sample, weight_of
from hw1.analysis.figures.style import DIVERGING, GREY, INK, TEMPLATE, WIDTH, Figure
from hw1.analysis.layers import weight_layers
from hw1.analysis.network import Network
from hw1.datasets import Dataset
from hw1.words import counted, number

MOST_KERNELS, MOST_IMAGES = 64, 40
MOST_UNITS, MOST_FEATURES = 64, 40
LARGEST = 120
"""Pixels of a figure for a kernel or an image."""
COLOURS = ("red", "green", "blue")


def first_layer_weights(network: Network, dataset: Dataset) -> Figure | None:
    """What the units of the first layer look for: kernels, weight images, or weights by feature.

    Args:
        network: any.
        dataset: its data.

    Returns:
        None where the first layer has neither kernels of several pixels, nor a weight for each
        pixel, nor one for each of several features.
    """
    sample = take_sample(dataset, 0, 2)
    titles = weight_layers(network.network, network.normalise(sample.inputs))
    name = next(iter(titles), None)
    if name is None:
        return None
    layer = network.network.get_submodule(name)
    weight = weight_of(network, name)
    # Without hidden layers the units are the classes.
    names = dataset.class_names if len(titles) == 1 else ()
    if isinstance(layer, nn.Conv2d) and weight[0, 0].numel() > 1:
        return _tiles(weight, titles[name], "kernel")
    if isinstance(layer, nn.Linear) and layer.in_features == math.prod(dataset.input_shape):
        if is_image(dataset):
            return _tiles(
                weight.view(-1, *dataset.input_shape), titles[name], "weight image", names
            )
        if layer.in_features > 1:
            return _by_feature(weight.numpy(), titles[name], dataset, names)
    return None


def _tiles(weight: Tensor, title: str, kind: str, names: Sequence[str] = ()) -> Figure:
    """Kernels or images ``(n_units, channels, height, width)``, those of the largest norm."""
    n_units, n_channels = weight.shape[:2]
    norms = weight.flatten(1).norm(dim=1).nan_to_num()
    order = norms.argsort(descending=True, stable=True)
    chosen = sorted(order[: MOST_KERNELS if kind == "kernel" else MOST_IMAGES].tolist())
    parts = weight if n_channels in (1, 3) else weight.mean(1, keepdim=True)
    sizes = parts[chosen].abs().flatten().nan_to_num()
    # A few weights beyond the scale's ends leave more colours for the others.
    limit = float(np.quantile(sizes.numpy(), 0.998, method="higher")) or 1.0
    plot = _draw_tiles({unit: parts[unit].numpy() for unit in chosen}, limit, kind, names)
    caption = f"The {counted(n_units, kind) if n_units > 1 else kind} of {title}"
    if len(chosen) < n_units:
        caption = f"Of the {n_units} {kind}s of {title} the {len(chosen)} of the largest norm"
    caption += ", each of red, green and blue," if n_channels == 3 else ""
    caption += f", each the mean over {n_channels} channels," if n_channels not in (1, 3) else ""
    caption += (
        " on a common scale: blue below zero, orange above. "
        f"The norms reach from {number(float(norms.min()))} to {number(float(norms.max()))}"
    )
    weak = int((norms < 0.1 * norms.max()).sum())
    caption += f"; {weak} are below a tenth of the largest." if weak else "."
    if kind != "kernel":
        by_pixel = weight.square().sum((0, 1)).nan_to_num().flatten().sort(descending=True)[0]
        half = int((by_pixel.cumsum(0) < by_pixel.sum() / 2).sum()) + 1
        caption += f" Half of the squared weights belong to {half} of {len(by_pixel)} pixels."
    heading = "Kernels of the first layer" if kind == "kernel" else "Weights of the first layer"
    return Figure("inside_first_layer", heading, caption, plot)


def _draw_tiles(
    tiles: dict[int, np.ndarray], limit: float, kind: str, names: Sequence[str]
) -> go.Figure:
    """``(parts, height, width)`` by unit; the parts side by side."""
    n_parts, height, width = next(iter(tiles.values())).shape
    gap = 8 if n_parts == 1 else 14
    wanted = 5 if names else 8 if n_parts == 1 else 4
    if len(tiles) > 32 and kind == "kernel":
        wanted *= 2
    room = (BARRED_WIDTH + gap) / wanted - gap
    across = min(room / n_parts, LARGEST)
    down, whole, label = across * height / width, across * n_parts, 20 if names else 0
    canvas = Canvas()
    scale = canvas.scale(DIVERGING, -limit, limit, "weight")
    for place, (unit, parts) in enumerate(tiles.items()):
        left = place % wanted * (max(whole, room if names else 0) + gap)
        top = place // wanted * (down + label + gap)
        if names:
            canvas.text(shortened(names[unit], room), left + whole / 2, top + label / 2)
        for i, values in enumerate(parts):
            which = f"{kind} {unit}{f', {COLOURS[i]}' if n_parts == 3 else ''}"
            where = left + i * across, top + label
            canvas.image(values, *where, (across, down), scale, f"{which}: %{{z:.3f}}")
            if i:
                canvas.box(where[0], where[1], where[0], where[1] + down, colour=INK, width=1)
        corner = left + whole, top + label + down
        canvas.box(left, top + label, *corner, colour=GREY, width=0.7)
    columns, rows = min(len(tiles), wanted), -(-len(tiles) // wanted)
    return canvas.figure(
        rows * (down + label + gap) - gap,
        columns * (max(whole, room if names else 0) + gap) - gap,
    )


def _by_feature(weight: np.ndarray, title: str, dataset: Dataset, names: Sequence[str]) -> Figure:
    """Weights ``(n_units, n_features)``, those of the largest norms."""
    n_units, n_features = weight.shape
    units = np.sort(np.argsort(-np.linalg.norm(weight, axis=1), kind="stable")[:MOST_UNITS])
    strength = np.sqrt((weight**2).mean(0))
    features = np.argsort(-strength, kind="stable")[:MOST_FEATURES]
    shown = np.nan_to_num(weight[np.ix_(units, features)])
    called = dataset.feature_names or [f"feature {i + 1}" for i in range(n_features)]
    if not names:
        # Units that rest on the same feature, with the same sign, side by side.
        strongest = np.abs(shown).argmax(1)
        signed = shown[np.arange(len(shown)), strongest]
        order = np.lexsort((-signed, strongest))
        units, shown = units[order], shown[order]
    labels = [names[unit] if names else f"unit {unit}" for unit in units]
    limit = float(np.abs(shown).max()) or 1.0
    width = min(WIDTH, 340 + 56 * len(units))
    plot = go.Figure(layout={"template": TEMPLATE, "width": width})
    plot.add_heatmap(
        z=shown.T.astype(np.float32),
        x=labels,
        y=[shortened(called[i], 160) for i in features],
        colorscale=[list(step) for step in DIVERGING],
        zmin=-limit,
        zmax=limit,
        colorbar={"title": "weight"},
        hovertemplate="%{x}, %{y}: %{z:.3f}<extra></extra>",
        xgap=1,
        ygap=1,
    )
    plot.update_xaxes(
        title_text="" if names else f"units of {title}",
        showticklabels=bool(names),
        type="category",
        showgrid=False,
    )
    plot.update_yaxes(type="category", autorange="reversed", showgrid=False)
    plot.update_layout(height=100 + 24 * len(features))
    first, last = features[0], features[-1]
    caption = (
        f"The weights of {title} per standard deviation of each feature, the feature of the "
        f"largest weights first: {called[first]} (root mean square {number(strength[first])}); "
        f"those of {called[last]} are smallest here ({number(strength[last])})."
    )
    if len(features) < n_features:
        caption += f" Shown are {len(features)} of {n_features} features."
    if len(units) < n_units:
        caption += f" Shown are the {len(units)} of {n_units} units of the largest norm."
    return Figure("inside_first_layer", "Weights of the first layer", caption, plot)
