"""A figure of the mean activation of hidden units for each class."""

from collections.abc import Sequence

import numpy as np

from hw1.analysis.figures.inside.subject import (
    Layer,
    Subject,
    arranged,
    evenly,
    most_varying,
    shown_of,
)
from hw1.analysis.figures.layout import grid
from hw1.analysis.figures.marks import Axis, ColorScale, Figure, HeatMap, Panel
from hw1.analysis.figures.matplotlib import shortened, text_width
from hw1.analysis.figures.style import DIVERGING, WIDTH
from hw1.words import number

MOST_LAYERS = 8
MOST_UNITS = 64
"""Units of a layer that are shown."""
N_BINS = 10
"""Of a regression's target; each has the same number of examples."""
FURTHEST = 3.0
"""Standard deviations at which the colors end."""
GAP, MARGINS = 14, 120
"""Pixels between panels side by side, and beside all of them."""


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
    profiles = [_profile(found[layer.name], groups[those], len(labels)) for layer in layers]
    what = "class" if subject.has_classes else f"group of similar {sample.target_name}"
    group = what.split()[0]
    caption = (
        f"How far the mean activation of a unit lies, for each {what}, from its mean over all "
        f"examples, in its standard deviations. Units are sorted by the {group} for which they are "
        f"most active. {_caption(layers, profiles, np.bincount(groups[those]), labels, group)}"
    )
    caption += shown_of(len(layers), len(subject.layers), "layers")
    caption += shown_of(len(labels), len(sample.class_names), "classes")
    return _drawn(subject, layers, profiles, labels, caption)


def _drawn(
    subject: Subject,
    layers: Sequence[Layer],
    profiles: Sequence[tuple[np.ndarray, np.ndarray]],
    labels: Sequence[str],
    caption: str,
) -> Figure:
    """A panel for each layer, with room for the labels below it."""
    limit = min(max(max(np.abs(p).max() for _, p in profiles), 0.1), FURTHEST)
    scale = ColorScale(DIVERGING, -limit, limit, "standard deviations")
    rows, columns = arranged(len(layers))
    across = (WIDTH - MARGINS) / columns - GAP
    widest = max(map(text_width, labels))
    upright = subject.has_classes and widest > across / len(labels) - 4
    below = round(20 + (widest if upright else 14) + (0 if subject.has_classes else 22))
    high = min(max(12 * max(len(units) for units, _ in profiles), 100), 330)
    height = rows * high + (rows - 1) * (below + 26)
    ends = -0.5, len(labels) - 0.5
    ticks = tuple(enumerate(labels))
    if not subject.has_classes:
        # None at the end, where a label would meet that of the next panel.
        ticks = tuple(evenly(ticks[len(ticks) // 8 : len(ticks) - len(ticks) // 8], 3))
    name = "" if subject.has_classes else subject.sample.target_name
    x = Axis(name, ends, ticks=ticks, angle=90 if upright else 0, grid=False)
    panels = []
    for layer, (units, profile), place in zip(
        layers,
        profiles,
        grid(rows, columns, (GAP / (WIDTH - MARGINS), (below + 26) / height)),
        strict=False,
    ):
        hover = [
            [
                f"{layer.unit} {unit}, {label}: {number(z)} SD"
                for label, z in zip(labels, row, strict=True)
            ]
            for unit, row in zip(units, profile, strict=True)
        ]
        title = shortened(layer.heading(len(units)), across)
        cells = HeatMap(profile.round(3), scale, hover=hover)
        y = Axis("", (len(units) - 0.5, -0.5), labeled=False, grid=False)
        panels.append(Panel((cells,), x, y, place, title))
    return Figure(
        "inside_profiles",
        f"Mean activation by {'class' if subject.has_classes else subject.sample.target_name}",
        caption,
        panels,
        width=WIDTH,
        height=height + 34 + below,
        margins=(24, 96, 34, below),
    )


def _caption(
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


def _profile(
    activations: np.ndarray, groups: np.ndarray, n_groups: int
) -> tuple[np.ndarray, np.ndarray]:
    """Unit numbers ``(n,)``, sorted, and the groups' means in standard deviations ``(n, groups)``.

    Args:
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
    return units[order], effects[order]
