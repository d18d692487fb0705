"""A figure of how hidden units make a function of a single feature."""

from collections.abc import Sequence

import numpy as np
import torch

from hw1.analysis.figures.inside.subject import Layer, Subject, evenly, most_varying, shown_of
from hw1.analysis.figures.layout import grid
from hw1.analysis.figures.marks import Axis, ColorScale, Figure, HeatMap, Line, Panel, Points
from hw1.analysis.figures.style import BLUE, DIVERGING, INK, SEQUENTIAL, WIDTH
from hw1.analysis.figures.ticks import around

MOST_LAYERS = 8
MOST_UNITS = 64
"""Units of a layer that are shown."""
GRID_POINTS = 300
SIGNED = 0.3
"""Negative activations of this share of a unit's largest are shown as such."""
GAP = 34
"""Pixels between panels."""
FUNCTION_HEIGHT = 170


def units_along_input(subject: Subject) -> Figure | None:
    """How each hidden unit's activation runs along the only feature, above it the function.

    None for several features or a single value of it, for classes, or without hidden layers.
    """
    sample = subject.sample
    if sample.input_shape != (1,) or subject.has_classes:
        return None
    layers = evenly(subject.layers, MOST_LAYERS)
    if not layers:
        return None
    feature = sample.feature_names[0] if sample.feature_names else "input"
    low, high = float(sample.inputs.min()), float(sample.inputs.max())
    if low == high:
        return None
    points = torch.linspace(low, high, GRID_POINTS)
    x = points.numpy()
    ends, half = (float(x[0]), float(x[-1])), float(x[1] - x[0]) / 2
    found = subject.activations(layers, points[:, None])
    units = [_along(found[layer.name]) for layer in layers]
    signed = min(float(values.min()) for _, values in units) < -SIGNED
    title = "activation / its largest size"
    scale = ColorScale(DIVERGING if signed else SEQUENTIAL, -1 if signed else 0, 1, title)

    heights = [FUNCTION_HEIGHT, *(min(max(9 * len(numbers), 44), 230) for numbers, _ in units)]
    total = sum(heights) + GAP * len(layers)
    first, *places = grid(len(heights), 1, (0, GAP / total), heights)
    panels = [
        _function(subject, points, Axis("", ends, grid=False, labeled=False, shared="x"), first)
    ]
    for layer, (numbers, values), place in zip(layers, units, places, strict=True):
        cells = HeatMap(
            values.round(3),
            scale,
            x=(ends[0] - half, ends[1] + half),
            hover=f"{layer.unit} {{data}} at {{x:.3g}}: {{z:.0%}}",
            data=np.repeat(numbers[:, None], len(x), 1).astype(np.int16),
        )
        last = place == places[-1]
        below = Axis(feature if last else "", ends, grid=False, labeled=last, shared="x")
        beside = Axis("", (len(numbers) - 0.5, -0.5), grid=False, labeled=False)
        panels.append(Panel((cells,), below, beside, place, layer.heading(len(numbers))))
    caption = _caption(layers, found, sample.target_name, len(sample))
    return Figure(
        "inside_units",
        "Activation of hidden units along the input",
        caption + shown_of(len(layers), len(subject.layers), "layers"),
        panels,
        width=WIDTH,
        height=round(total + 96),
        margins=(64, 96, 40, 56),
    )


def _function(
    subject: Subject, points: torch.Tensor, x: Axis, place: tuple[float, float, float, float]
) -> Panel:
    """The training examples and the network's function, as wide as the panels of units."""
    sample = subject.sample
    targets = sample.targets[:, 0].numpy()
    outputs = subject.outputs(points[:, None])[:, 0].numpy()
    hover = "{x:.3g}: {y:.3g}"
    examples = Points(
        sample.inputs[:, 0].numpy(),
        targets,
        INK,
        "training examples",
        size=5,
        outline_width=0,
        opacity=0.6,
        hover=f"training example, {hover}",
        clip=False,
    )
    line = Line(points.numpy(), outputs, BLUE, "network", width=2.5, hover=f"network, {hover}")
    y = Axis(sample.target_name, around(np.concatenate([targets, outputs])))
    return Panel((examples, line), x, y, place)


def _along(activations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit numbers, sorted by where they are active, and activations by unit, 1 at the most."""
    units = most_varying(activations, MOST_UNITS)
    values = activations[:, units].T
    values = values / np.maximum(np.abs(values).max(1, keepdims=True), 1e-30)
    # Beside its lowest level: that of a unit that is nowhere zero tells nothing.
    above = np.abs(values - np.median(values, 1, keepdims=True)) + 1e-12
    center = (above * np.arange(values.shape[1])).sum(1) / above.sum(1)
    order = np.argsort(center, kind="stable")
    return units[order], values[order]


def _turns(activations: np.ndarray) -> float:
    """How often a unit turns between rising and falling along the input, on average."""
    spread = np.ptp(activations, axis=0)
    turns = 0
    for slope, size in zip(np.diff(activations, axis=0).T, spread, strict=True):
        signs = np.sign(slope[np.abs(slope) > 1e-4 * size])
        turns += int((signs[1:] != signs[:-1]).sum())
    return turns / int(activations.shape[1])


def _caption(
    layers: Sequence[Layer], found: dict[str, np.ndarray], target: str, n_examples: int
) -> str:
    turns = [f"{_turns(found[layer.name]):.1f} times" for layer in layers]
    text = (
        f"Above, the network's {target} and {n_examples} training examples. Below, the activation "
        "of each unit at the same inputs, as a share of its largest size; a line is a unit, and "
        "those that are active further to the left come first. A unit "
    )
    if len(layers) == 1:
        return text + f"turns between rising and falling {turns[0]} on average."
    return text + (
        f"of {layers[0].title} turns between rising and falling {turns[0]} on average, one of "
        f"{layers[-1].title} {turns[-1]}."
    )
