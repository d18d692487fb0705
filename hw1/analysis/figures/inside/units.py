"""Figures of hidden units: when they are active, by class or along a feature; which never are."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from hw1.analysis.activations import unit_statistics
from hw1.analysis.figures.inside.subject import (
    Layer,
    Subject,
    arranged,
    evenly,
    most_varying,
    shown_of,
)
from hw1.analysis.figures.layout import Place, grid
from hw1.analysis.figures.marks import Axis, Bars, ColorScale, Figure, HeatMap, Line, Panel, Points
from hw1.analysis.figures.matplotlib import shortened, text_width
from hw1.analysis.figures.style import (
    BLUE,
    DIVERGING,
    INK,
    SEQUENTIAL,
    SKY,
    VERMILLION,
    WIDTH,
    YELLOW,
)
from hw1.analysis.figures.ticks import around
from hw1.words import counted, listed, number

MOST_LAYERS, MOST_UNITS = 8, 64
"""Layers whose units are shown, and units of a layer."""
MOST_NAMED = 24
"""Layers whose dead units are counted."""
N_BINS = 10
"""Of a regression's target; each has the same number of examples."""
FURTHEST = 3.0
"""Standard deviations at which the colors end."""
GAP, MARGINS = 14, 120
"""Pixels between panels side by side, and beside all of them."""
GRID_POINTS = 300
SIGNED = 0.3
"""Negative activations of this share of a unit's largest are shown as such."""
BELOW = 34
"""Pixels between panels one above the other."""
FUNCTION_HEIGHT = 170


class _Rows(NamedTuple):
    """Units of a layer in the order in which they are shown, and numbers ``(units, columns)``."""

    layer: Layer
    units: np.ndarray
    values: np.ndarray

    def panel(self, cells: HeatMap, x: Axis, place: Place, width: float = WIDTH) -> Panel:
        """A row of cells for each unit, from the top, with a title that has so much room."""
        y = Axis("", (len(self.units) - 0.5, -0.5), labeled=False, grid=False)
        return Panel((cells,), x, y, place, shortened(self.layer.heading(len(self.units)), width))


def unit_profiles(subject: Subject) -> Figure | None:
    """How the activation of each hidden unit differs between classes, or bins of the target.

    None for a network without hidden layers, for a single class, and for a function of one feature,
    along which there is more to see: `units_along_input`.
    """
    sample = subject.sample
    if not subject.has_classes and sample.input_shape == (1,):
        return None
    layers = evenly(subject.layers, MOST_LAYERS)
    groups, labels = _groups(subject)
    if not layers or len(labels) < 2:
        return None
    those = np.flatnonzero(groups >= 0)
    found = subject.activations(layers, sample.inputs[those])
    rows = [_profile(layer, found[layer.name], groups[those], len(labels)) for layer in layers]
    what = "class" if subject.has_classes else f"group of similar {sample.target_name}"
    group = what.split()[0]
    caption = (
        f"How far the mean activation of a unit lies, for each {what}, from its mean over all "
        f"examples, in its standard deviations. Units are sorted by the {group} for which they are "
        "most active. "
    )
    caption += _profiles_caption(rows, np.bincount(groups[those]), labels, group)
    caption += shown_of(len(layers), len(subject.layers), "layers")
    caption += shown_of(len(labels), len(sample.class_names), "classes")
    return _profiles_drawn(subject, rows, labels, caption)


def _profiles_drawn(
    subject: Subject, rows: Sequence[_Rows], labels: Sequence[str], caption: str
) -> Figure:
    """A panel for each layer, with room for the labels below it."""
    limit = min(max(*(np.abs(of_layer.values).max() for of_layer in rows), 0.1), FURTHEST)
    scale = ColorScale(DIVERGING, -limit, limit, "standard deviations")
    n_rows, columns = arranged(len(rows))
    across = (WIDTH - MARGINS) / columns - GAP
    widest = max(map(text_width, labels))
    upright = subject.has_classes and widest > across / len(labels) - 4
    below = round(20 + (widest if upright else 14) + (0 if subject.has_classes else 22))
    high = min(max(12 * max(len(of_layer.units) for of_layer in rows), 100), 330)
    height = n_rows * high + (n_rows - 1) * (below + 26)
    ticks = tuple(enumerate(labels))
    if not subject.has_classes:
        # None at the end, where a label would meet that of the next panel.
        ticks = tuple(evenly(ticks[len(ticks) // 8 : len(ticks) - len(ticks) // 8], 3))
    name = "" if subject.has_classes else subject.sample.target_name
    ends, angle = (-0.5, len(labels) - 0.5), 90 if upright else 0
    x = Axis(name, ends, ticks=ticks, angle=angle, grid=False)
    places = grid(n_rows, columns, (GAP / (WIDTH - MARGINS), (below + 26) / height))
    panels = []
    for of_layer, place in zip(rows, places, strict=False):
        layer, units, values = of_layer
        hover = [
            [f"{layer.unit} {unit}, {labels[i]}: {number(z)} SD" for i, z in enumerate(row)]
            for unit, row in zip(units, values, strict=True)
        ]
        panels.append(
            of_layer.panel(HeatMap(values.round(3), scale, hover=hover), x, place, across)
        )
    return Figure(
        "inside_profiles",
        f"Mean activation by {'class' if subject.has_classes else subject.sample.target_name}",
        caption,
        panels,
        width=WIDTH,
        height=height + 34 + below,
        margins=(24, 96, 34, below),
    )


def _profiles_caption(
    rows: Sequence[_Rows], counts: np.ndarray, labels: Sequence[str], what: str
) -> str:
    # A unit's variance between the groups, as a share of its variance: eta squared.
    shares = [float((values**2 @ (counts / counts.sum())).mean()) for _, _, values in rows]
    text = f"The {what} explains {shares[0]:.0%} of a unit's variance in {rows[0].layer.title}"
    if len(rows) > 1:
        text += f" and {shares[-1]:.0%} in {rows[-1].layer.title} (mean over the units shown)"
    layer, units, values = max(rows, key=lambda of_layer: of_layer.values.max())
    row, column = divmod(int(values.argmax()), len(labels))
    return text + (
        f". Furthest from its mean is {layer.unit} {units[row]} of {layer.title}: "
        f"{number(float(values.max()))} for {labels[column]}."
    )


def _groups(subject: Subject) -> tuple[np.ndarray, list[str]]:
    """The group of each example, −1 for none, and what the groups are called."""
    sample = subject.sample
    if subject.has_classes:
        classes = subject.classes
        places = np.full(len(sample.class_names), -1)
        places[classes] = np.arange(len(classes))
        return places[sample.targets.numpy()], [sample.class_names[c] for c in classes]
    target = sample.targets[:, 0].double().numpy()
    n = min(N_BINS, len(target))
    ranks = np.argsort(np.argsort(target, kind="stable"), kind="stable")
    groups = ranks * n // len(target)
    return groups, [number(float(np.median(target[groups == group])), 3) for group in range(n)]


def _profile(layer: Layer, activations: np.ndarray, groups: np.ndarray, n_groups: int) -> _Rows:
    """The groups' means in standard deviations, of units sorted by where they are highest.

    Args:
        layer: whose units these are.
        activations: ``(n_examples, n_units)``.
        groups: ``(n_examples,)``.
        n_groups: of which each has an example.
    """
    units = most_varying(activations, MOST_UNITS)
    chosen = activations[:, units]
    means = np.stack([chosen[groups == group].mean(0) for group in range(n_groups)], 1)
    spread = chosen.std(0)
    varies = spread > 1e-6 * np.abs(chosen).max(initial=0)
    # A dead unit has no effects.
    effects = (means - chosen.mean(0)[:, None]) / np.where(varies, spread, np.inf)[:, None]
    effects = np.nan_to_num(effects)
    best = np.where(varies, effects.argmax(1), n_groups)
    order = np.lexsort((-effects.max(1), best))
    return _Rows(layer, units[order], effects[order])


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
    rows = [_along(layer, found[layer.name]) for layer in layers]
    signed = min(float(values.min()) for _, _, values in rows) < -SIGNED
    title = "activation / its largest size"
    scale = ColorScale(DIVERGING if signed else SEQUENTIAL, -1 if signed else 0, 1, title)

    heights = [FUNCTION_HEIGHT, *(min(max(9 * len(units), 44), 230) for _, units, _ in rows)]
    total = sum(heights) + BELOW * len(layers)
    first, *places = grid(len(heights), 1, (0, BELOW / total), heights)
    across = Axis("", ends, grid=False, labeled=False, shared="x")
    panels = [_function(subject, points, across, first)]
    for of_layer, place in zip(rows, places, strict=True):
        layer, units, values = of_layer
        cells = HeatMap(
            values.round(3),
            scale,
            x=(ends[0] - half, ends[1] + half),
            hover=f"{layer.unit} {{data}} at {{x:.3g}}: {{z:.0%}}",
            data=np.repeat(units[:, None], len(x), 1).astype(np.int16),
        )
        below = replace(across, label=feature, labeled=True) if place == places[-1] else across
        panels.append(of_layer.panel(cells, below, place))
    caption = _along_caption(layers, found, sample.target_name, len(sample))
    return Figure(
        "inside_units",
        "Activation of hidden units along the input",
        caption + shown_of(len(layers), len(subject.layers), "layers"),
        panels,
        width=WIDTH,
        height=round(total + 96),
        margins=(64, 96, 40, 56),
    )


def _function(subject: Subject, points: torch.Tensor, x: Axis, place: Place) -> Panel:
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


def _along(layer: Layer, activations: np.ndarray) -> _Rows:
    """Activations by unit, 1 at the most, of units sorted by where they are active."""
    units = most_varying(activations, MOST_UNITS)
    values = activations[:, units].T
    values = values / np.maximum(np.abs(values).max(1, keepdims=True), 1e-30)
    # Beside its lowest level: that of a unit that is nowhere zero tells nothing.
    above = np.abs(values - np.median(values, 1, keepdims=True)) + 1e-12
    center = (above * np.arange(values.shape[1])).sum(1) / above.sum(1)
    order = np.argsort(center, kind="stable")
    return _Rows(layer, units[order], values[order])


def _turns(activations: np.ndarray) -> float:
    """How often a unit turns between rising and falling along the input, on average."""
    least = 1e-4 * np.ptp(activations, axis=0)
    slopes = zip(np.diff(activations, axis=0).T, least, strict=True)
    signs = [np.sign(slope[np.abs(slope) > size]) for slope, size in slopes]
    return float(np.mean([np.count_nonzero(np.diff(of_unit)) for of_unit in signs]))


def _along_caption(
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


def unused_units(subject: Subject) -> Figure | None:
    """The share of dead units in each hidden layer, and of activations that are zero.

    None for a network without hidden layers, or one of whose units none is dead and none ever
    zero, and for a single example.
    """
    layers = evenly(subject.layers, MOST_NAMED)
    if not layers or len(subject.sample) < 2:
        return None
    names = [layer.name for layer in layers]
    found = unit_statistics(subject.trained.network, subject.normalized, names)
    units = [found[name] for name in names]
    dead = np.array([float(u.dead.double().mean()) for u in units])
    silent = np.array([float((u.dead & (u.zeros == 1)).double().mean()) for u in units])
    zeros = np.array([float(u.zeros.mean()) for u in units])
    n_dead = [int(u.dead.sum()) for u in units]
    if not dead.any() and not zeros.any():
        return None
    return Figure(
        "inside_unused",
        "Dead units and sparsity",
        _unused_caption(layers, n_dead, zeros, len(subject.sample))
        + shown_of(len(layers), len(subject.layers), "layers"),
        _unused_panels(layers, silent, dead, zeros, n_dead),
        width=WIDTH,
        height=26 * len(layers) + 100,
        margins=(84, 24, 40, 60),
    )


def _unused_panels(
    layers: Sequence[Layer],
    silent: np.ndarray,
    dead: np.ndarray,
    zeros: np.ndarray,
    n_dead: Sequence[int],
) -> list[Panel]:
    """Shares ``(n_layers,)`` of units that are always zero, or dead, and of zero activations."""
    places = np.arange(len(layers))
    stuck = dead - silent
    always = "always the same, but not zero"
    of_units = [
        Bars(
            places,
            silent,
            VERMILLION,
            "always zero" if silent.any() else "",
            hover="always zero: {x:.1%} of the units",
        ),
        Bars(
            places,
            stuck,
            YELLOW,
            always if stuck.any() else "",
            silent,
            [f"{n} of {layer.n_units}" for n, layer in zip(n_dead, layers, strict=True)],
            hover=[f"{always}: {share:.1%} of the units" for share in stuck],
        ),
    ]
    percents = [f"{share:.0%}" for share in zeros]
    hover = "{x:.1%} of the activations are zero"
    of_zeros = Bars(places, zeros, SKY, text=percents, hover=hover)
    ticks = tuple((i, layer.title) for i, layer in enumerate(layers))
    panels: list[Panel] = []
    for place, marks, shares, what in zip(
        grid(1, 2, (0.12, 0)),
        (of_units, [of_zeros]),
        (dead, zeros),
        ("dead units", "activations that are zero"),
        strict=True,
    ):
        # With room for the labels behind the longest bars.
        ends = 0.0, 1.35 * max(float(shares.max()), 0.04)
        x = Axis(f"share of {what}", ends, n_ticks=5, percent=True)
        rows = len(layers) - 0.4, -0.6
        y = Axis("", rows, ticks=ticks, grid=False, labeled=not panels, shared="layers")
        panels.append(Panel(marks, x, y, place))
    return panels


def _unused_caption(
    layers: Sequence[Layer], n_dead: Sequence[int], zeros: np.ndarray, n_examples: int
) -> str:
    total = sum(n_dead)
    worst = [
        f"{n} of {counted(layer.n_units, layer.unit)} of {layer.title}"
        for n, layer in sorted(zip(n_dead, layers, strict=True), key=lambda pair: -pair[0])
        if n
    ]
    text = f"A unit is dead if its output is the same for all {n_examples:,} examples. "
    if total:
        more = f", and {total - sum(sorted(n_dead)[-3:])} in other layers" * (len(worst) > 3)
        text += f"{listed(worst[:3])}{more} {'is' if total == 1 else 'are'} dead. "
    else:
        text += f"None of the {counted(sum(la.n_units for la in layers), 'unit')} is dead. "
    if zeros.max() == 0:
        return text + "No activation is exactly zero."
    most = int(zeros.argmax())
    return text + f"Zeros are most frequent in {layers[most].title}: {zeros[most]:.0%}."
