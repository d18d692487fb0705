"""A figure of which hidden units are unused."""

from collections.abc import Sequence

import numpy as np

from hw1.analysis.activations import unit_statistics
from hw1.analysis.figures.inside.subject import Layer, Subject, evenly, shown_of
from hw1.analysis.figures.layout import grid
from hw1.analysis.figures.marks import Axis, Bars, Figure, Panel
from hw1.analysis.figures.style import SKY, VERMILLION, WIDTH, YELLOW
from hw1.words import counted, listed

MOST_LAYERS = 24


def unused_units(subject: Subject) -> Figure | None:
    """The share of dead units in each hidden layer, and of activations that are zero.

    None for a network without hidden layers, or one of whose units none is dead and none ever
    zero, and for a single example.
    """
    layers = evenly(subject.layers, MOST_LAYERS)
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
        _caption(layers, n_dead, zeros, len(subject.sample))
        + shown_of(len(layers), len(subject.layers), "layers"),
        _panels(layers, silent, dead, zeros, n_dead),
        width=WIDTH,
        height=26 * len(layers) + 100,
        margins=(84, 24, 40, 60),
    )


def _panels(
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


def _caption(
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
