"""Figures of a network's weights: what its first layer looks for, and what training changed."""

import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn

from hw1.analysis.activations import WeightHistogram, weight_histogram
from hw1.analysis.figures.inside.subject import Subject, arranged, evenly, shown_of
from hw1.analysis.figures.layout import BARRED_WIDTH, area, drawing, grid, tiles
from hw1.analysis.figures.marks import (
    Axis,
    Box,
    ColorScale,
    Figure,
    HeatMap,
    Histogram,
    Line,
    Mark,
    Panel,
    Text,
    Ticks,
)
from hw1.analysis.figures.matplotlib import shortened
from hw1.analysis.figures.style import BLUE, DIVERGING, GRAY, INK, MUTED, WIDTH
from hw1.analysis.figures.ticks import linear_ticks
from hw1.analysis.layers import weights_of
from hw1.words import counted, listed, number, tick_label

FIRST = "inside_first_layer"
MOST_KERNELS, MOST_IMAGES = 64, 40
MOST_UNITS, MOST_FEATURES = 64, 40
LARGEST = 120
"""Pixels of a figure for a kernel or an image."""
COLORS = ("red", "green", "blue")
MOST_PANELS = 12
"""Layers whose weights are shown."""
MOST_BINS = 50


def first_layer_weights(subject: Subject) -> Figure | None:
    """What the units of the first layer look for: kernels, weight images, or weights by feature.

    None where the first layer has neither kernels of several pixels, nor a weight for each pixel,
    nor one for each of several features.
    """
    name, title = next(iter(subject.weight_layers.items()), (None, ""))
    if name is None:
        return None
    layer, shape = subject.trained.network.get_submodule(name), subject.sample.input_shape
    weight = weights_of(subject.trained.network, name)
    # Without hidden layers the units are the classes.
    names = subject.sample.class_names if len(subject.weight_layers) == 1 else ()
    if isinstance(layer, nn.Conv2d) and weight[0, 0].numel() > 1:
        return _tiles(weight, title, "kernel")
    if isinstance(layer, nn.Linear) and layer.in_features == math.prod(shape):
        if subject.has_images:
            return _tiles(weight.view(-1, *shape), title, "weight image", names)
        if layer.in_features > 1:
            return _by_feature(weight.numpy(), title, subject.sample.feature_names, names)
    return None


def _tiles(weight: Tensor, title: str, kind: str, names: Sequence[str] = ()) -> Figure:
    """Kernels or images ``(n_units, channels, height, width)``, those of the largest norm."""
    n_units, n_channels = weight.shape[:2]
    norms = weight.flatten(1).norm(dim=1).nan_to_num()
    order = norms.argsort(descending=True, stable=True)
    chosen = sorted(order[: MOST_KERNELS if kind == "kernel" else MOST_IMAGES].tolist())
    parts = weight if n_channels in (1, 3) else weight.mean(1, keepdim=True)
    caption = f"The {counted(n_units, kind) if n_units > 1 else kind} of {title}"
    if len(chosen) < n_units:
        caption = f"Of the {n_units} {kind}s of {title} the {len(chosen)} of the largest norm"
    caption += ", each of red, green and blue," if n_channels == 3 else ""
    caption += f", each the mean over {n_channels} channels," if n_channels not in (1, 3) else ""
    caption += (
        " on a common scale: blue below zero, orange above. "
        f"The norms range from {number(float(norms.min()))} to {number(float(norms.max()))}"
    )
    weak = int((norms < 0.1 * norms.max()).sum())
    caption += f"; {weak} are below a tenth of the largest." if weak else "."
    if kind != "kernel":
        by_pixel = weight.square().sum((0, 1)).nan_to_num().flatten().sort(descending=True)[0]
        half = int((by_pixel.cumsum(0) < by_pixel.sum() / 2).sum()) + 1
        caption += f" Half of the squared weights belong to {half} of {len(by_pixel)} pixels."
    heading = "Kernels of the first layer" if kind == "kernel" else "Weights of the first layer"
    marks, width = _tiles_drawn({unit: parts[unit].numpy() for unit in chosen}, kind, names)
    return drawing(FIRST, heading, caption, marks, width)


def _tiles_drawn(
    shown: dict[int, np.ndarray], kind: str, names: Sequence[str]
) -> tuple[list[Mark], float]:
    """``(parts, height, width)`` by unit, the parts side by side; how far across they reach."""
    sizes = np.abs(np.nan_to_num(np.stack(list(shown.values()))))
    # A few weights beyond the scale's ends leave more colors for the others.
    limit = float(np.quantile(sizes, 0.998, method="higher")) or 1.0
    scale = ColorScale(DIVERGING, -limit, limit, "weight")
    _, n_parts, height, width = sizes.shape
    gap = 8 if n_parts == 1 else 14
    wanted = 5 if names else 8 if n_parts == 1 else 4
    if len(shown) > 32 and kind == "kernel":
        wanted *= 2
    room = (BARRED_WIDTH + gap) / wanted - gap
    across = min(room / n_parts, LARGEST)
    down, whole, label = across * height / width, across * n_parts, 20 if names else 0
    step_x, step_y = max(whole, room if names else 0) + gap, down + label + gap
    marks: list[Mark] = []
    places = tiles(len(shown), wanted, (step_x, step_y), (0.0, label))
    for (left, top), (unit, parts) in zip(places, shown.items(), strict=True):
        if names:
            marks.append(Text(shortened(names[unit], room), left + whole / 2, top - label / 2))
        for i, values in enumerate(parts):
            which = f"{kind} {unit}{f', {COLORS[i]}' if n_parts == 3 else ''}"
            x, y = area(left + i * across, top, (across, down))
            marks.append(HeatMap(values, scale, x, y, hover=f"{which}: {{z:.3f}}"))
            if i:
                marks.append(Line((x[0], x[0]), y, INK, width=1))
        marks.append(Box(*area(left, top, (whole, down)), GRAY, 0.7))
    return marks, min(len(shown), wanted) * step_x - gap


def _by_feature(
    weight: np.ndarray, title: str, feature_names: Sequence[str], names: Sequence[str]
) -> Figure:
    """Weights ``(n_units, n_features)``, those of the largest norms."""
    n_units, n_features = weight.shape
    units = np.sort(np.argsort(-np.linalg.norm(weight, axis=1), kind="stable")[:MOST_UNITS])
    strength = np.sqrt((weight**2).mean(0))
    features = np.argsort(-strength, kind="stable")[:MOST_FEATURES]
    shown = np.nan_to_num(weight[np.ix_(units, features)])
    if not names:
        # Units that rest on the same feature, with the same sign, side by side.
        strongest = np.abs(shown).argmax(1)
        order = np.lexsort((-shown[np.arange(len(shown)), strongest], strongest))
        units, shown = units[order], shown[order]
    called = feature_names or [f"feature {i + 1}" for i in range(n_features)]
    rows = [called[i] for i in features]
    columns = [names[unit] if names else f"unit {unit}" for unit in units]
    limit = float(np.abs(shown).max()) or 1.0
    cells = HeatMap(
        shown.T,
        ColorScale(DIVERGING, -limit, limit, "weight"),
        gap=1,
        hover=[
            [f"{column}, {row}: {z:.3f}" for column, z in zip(columns, values, strict=True)]
            for row, values in zip(rows, shown.T, strict=True)
        ],
    )
    x = Axis(
        "" if names else f"units of {title}",
        (-0.5, len(units) - 0.5),
        ticks=tuple(enumerate(columns)) if names else (),
        grid=False,
    )
    ticks = tuple((i, shortened(row, 160)) for i, row in enumerate(rows))
    y = Axis("", (len(rows) - 0.5, -0.5), ticks=ticks, grid=False)
    first, last = (f"{called[i]} ({number(strength[i])})" for i in (features[0], features[-1]))
    caption = (
        f"The weights of {title} per standard deviation of each feature. By root mean square the "
        f"weights of {first} are largest and come first, those of {last} are smallest here."
    )
    if len(units) < n_units:
        caption += f" Of {n_units} units the {len(units)} of the largest norm are shown."
    return Figure(
        FIRST,
        "Weights of the first layer",
        caption + shown_of(len(features), n_features, "features"),
        (Panel((cells,), x, y),),
        width=min(WIDTH, 340 + 56 * len(units)),
        height=100 + 24 * len(features),
        margins=(64, 96, 32, 52),
    )


def weight_histograms(subject: Subject) -> Figure | None:
    """How the weights of each layer are distributed, before training and after it.

    None for a network without linear, convolutional or recurrent layers.
    """
    titles = subject.weight_layers
    shown = evenly(list(titles), MOST_PANELS)
    if not shown:
        return None
    initial, trained = subject.initial.network, subject.trained.network
    rows, columns = arranged(len(shown))
    height = 150 * rows + 50 * (rows - 1)
    panels, outside, zero = [], [], []
    for i, (name, place) in enumerate(
        zip(shown, grid(rows, columns, (0.07, 50 / height)), strict=False)
    ):
        weights = weights_of(trained, name)
        n_weights, n_zero = weights.numel(), int((weights == 0).sum())
        n_bins = min(max(round(2 * n_weights ** (1 / 3)), MOST_BINS // 5), MOST_BINS)
        histogram = weight_histogram(initial, trained, name, n_bins)
        marks, x, y = _both(
            histogram,
            "weight" if i + columns >= len(shown) else "",
            "" if i % columns else "share of weights",
        )
        title = f"{titles[name]}: {counted(n_weights, 'weight')}"
        panels.append(Panel(marks, x, y, place, title))
        if n_zero:
            zero.append(f"{n_zero / n_weights:.1%} of {titles[name]}")
        if histogram.outside:
            outside.append(f"{histogram.outside:,} of {titles[name]}")
    caption = _caption(subject, {titles[name]: name for name in shown})
    if zero:
        caption += f" Weights that are exactly zero: {listed(zero)}."
    if outside:
        caption += f" Trained weights beyond the axes: {listed(outside)}."
    return Figure(
        "inside_weights",
        "Weights before and after training",
        caption + shown_of(len(shown), len(titles), "layers"),
        panels,
        width=WIDTH,
        height=height + 120,
        margins=(64, 16, 62, 58),
    )


def _both(
    histogram: WeightHistogram, x_label: str, y_label: str
) -> tuple[list[Histogram], Axis, Axis]:
    """Both histograms, the trained one before the other, and their axes."""
    edges = histogram.edges
    marks, highest = [], 0.0
    for name, counts, color, fill, width, opacity in (
        ("before training", histogram.initial, MUTED, GRAY, 1.0, 0.55),
        ("after training", histogram.trained, BLUE, BLUE, 1.5, 0.12),
    ):
        shares = counts / max(counts.sum(), 1)
        highest = max(highest, float(shares.max()))
        hover = f"{name}, {{x:.3g}}: {{y:.2%}}"
        marks.append(Histogram(edges, shares, color, fill, name, width, opacity, hover))
    low, high = float(edges[0]), float(edges[-1])
    x = Axis(x_label, (low, high), ticks=_ticks(low, high), grid=False)
    # None are within the edges where all are no numbers.
    return marks, x, Axis(y_label, (0, 1.05 * highest or 1), n_ticks=4, percent=True)


def _ticks(low: float, high: float) -> Ticks:
    """Zero and a round number on either side."""
    step = linear_ticks(0, 0.8 * max(-low, high), 2)[1]
    ticks = [(t, tick_label(t, step)) for t in (-step, 0.0, step) if low <= t <= high]
    middle = (low + high) / 2
    return tuple(ticks) or ((middle, number(middle)),)


def _caption(subject: Subject, names: dict[str, str]) -> str:
    """What changed most and least, and how much; ``names`` of layers by their titles."""
    moved, spread = {}, {}
    for title, name in names.items():
        before, after = (weights_of(n.network, name) for n in (subject.initial, subject.trained))
        moved[title] = float((after - before).norm() / max(float(before.norm()), 1e-30))
        spread[title] = [number(float(w.std(correction=0))) for w in (before, after)]
    most, least = max(moved, key=moved.__getitem__), min(moved, key=moved.__getitem__)
    text = "The weights of each layer before training (gray) and after it (blue), without biases. "
    if moved[most] == 0:
        return text + "None has changed."
    change = (
        f"weights moved by {moved[most]:.0%} of their initial norm, and their standard deviation "
        f"went from {' to '.join(spread[most])}"
    )
    if len(names) == 1:
        return text + f"The {change}."
    return text + (
        f"Of the layers, {most} changed most: its {change}; {least} changed least, by "
        f"{moved[least]:.0%}."
    )
