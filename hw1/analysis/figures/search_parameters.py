"""Figures of what the hyperparameters of a search have to do with the value of its trials."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from textwrap import wrap
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial

from hw1.analysis.figures.layout import grid
from hw1.analysis.figures.marks import (
    Axis,
    Bars,
    ColorScale,
    Contour,
    Figure,
    HeatMap,
    Mark,
    Numbers,
    Panel,
    Parallel,
    Points,
    Ticks,
)
from hw1.analysis.figures.search_trials import Parameter, Search, Values, best_mark, name_trial
from hw1.analysis.figures.style import BLUE, INK, SEQUENTIAL
from hw1.analysis.figures.ticks import ticks_of
from hw1.words import value_text

FEW_TRIALS = 20
"""Completed trials below which importances are no more than a hint."""
N_SHOWN, N_RANKED, N_PAIRED = 6, 4, 3
"""The most important hyperparameters that are shown one by one, and whose pairs show ranks, and
have a contour."""
FEW_POINTS = 300
"""Up to as many are large."""
GRID = 41
"""Points along each axis at which the smoothed value is worked out."""
FAINT = 0.05
"""The kernel weight of all trials together below which a place is left white."""


def importances(search: Search) -> Figure | None:
    """How much each hyperparameter matters; None for fewer than two that vary."""
    shares = list(search.importances.values())
    if len(shares) < 2:
        return None
    labels = [parameter.label for parameter in search.parameters]
    text = ["<0.01" if share < 0.005 else f"{share:.2f}" for share in shares]
    bars = Bars(list(range(len(shares))), shares, BLUE, text=text)
    x = Axis("importance (share)", (0.0, 1.1 * shares[0]))
    y = Axis("", (len(labels) - 0.5, -0.5), ticks=tuple(enumerate(labels)), grid=False)
    caption = (
        "How strongly each hyperparameter decides whether a trial is among the best tenth, by "
        f"PED-ANOVA over {len(search.completed)} completed trials; the shares add up to 1. "
        f"{labels[0]} matters most ({shares[0]:.2f}), then {labels[1]} ({shares[1]:.2f})."
    )
    if len(search.completed) < FEW_TRIALS:
        caption += " So few trials give no more than a hint."
    title, height = "Importance of the hyperparameters", 110 + 27 * len(shares)
    return Figure("search_importances", title, caption, (Panel((bars,), x, y),), height=height)


def slices(search: Search) -> Figure | None:
    """The value over each important hyperparameter; None where none varies."""
    chosen = search.parameters[:N_SHOWN]
    if not chosen:
        return None
    values, best = Values.of(search.values, search.maximize), search.best
    n_columns = min(3, len(chosen))
    n_rows = -(-len(chosen) // n_columns)
    scale = ColorScale(SEQUENTIAL, 0, max(search.completed[-1].number, 1), "trial")
    # One above the other there is no room for more than the name.
    label = search.label if n_rows == 1 else search.metric
    panels = []
    places = grid(n_rows, n_columns, (0.03, 0.2))
    for i, (parameter, place) in enumerate(zip(chosen, places, strict=False)):
        those = search.having(parameter.name)
        x, y = parameter.spread(those), values.within([trial.values[0] for trial in those])
        numbers = [trial.number for trial in those]
        marks = [_points(those, x, y, numbers, scale, few=len(search.completed) <= FEW_POINTS)]
        if best in those:
            marks.append(best_mark(parameter.spread([best]), values.within([best.values[0]])))
        first = i % n_columns == 0
        up = replace(values.axis(label if first else "", shared="value"), labeled=first)
        panels.append(Panel(marks, parameter.axis(), up, place))
    caption = (
        f"The {search.metric} of {len(search.completed)} completed trials over each hyperparameter "
        f"by itself; later trials are darker, the diamond is the best (trial {best.number})."
    )
    return Figure(
        "search_slices",
        "Objective value over each hyperparameter",
        caption + _shown(search, chosen),
        panels,
        height=90 + 240 * n_rows,
    )


def _points(
    trials: Sequence[FrozenTrial],
    x: Numbers,
    y: Numbers,
    color: str | Numbers = "#FFFFFF",
    scale: ColorScale | None = None,
    *,
    few: bool = False,
) -> Points:
    """Trials in a small plot, with an outline: some may be as light as the paper."""
    style: dict[str, Any] = {"size": 7 if few else 4.5, "outline_width": 0.5}
    hover = [*map(name_trial, trials)]
    return Points(x, y, color, scale=scale, outline=INK, hover=hover, **style)


def _shown(search: Search, chosen: Sequence[Parameter]) -> str:
    """What a caption says about hyperparameters that are left out."""
    n = len(search.parameters)
    if n == len(chosen):
        return ""
    return f" Shown are the {len(chosen)} most important of {n} hyperparameters."


def parallel_coordinates(search: Search) -> Figure | None:
    """Each trial as a line across its important hyperparameters to its value.

    Only hyperparameters that all completed trials have; None where none of them varies.
    """
    trials, maximize = search.completed, search.maximize
    everywhere = [p for p in search.parameters if len(search.having(p.name)) == len(trials)]
    chosen = everywhere[:N_SHOWN]
    if not chosen:
        return None
    values = Values.of(search.values, maximize, colors=True)
    # The best last, on top of the others.
    trials = sorted(trials, key=lambda trial: trial.values[0], reverse=not maximize)
    shades = values.shades([trial.values[0] for trial in trials])
    # From the first shade that a thin line still shows.
    stops = tuple((i / (len(SEQUENTIAL) - 2), color) for i, (_, color) in enumerate(SEQUENTIAL[1:]))
    scale = values.scale("", stops)
    low, extent = scale.low, scale.high - scale.low
    lines = Parallel(
        np.stack([*(p.unit(p.positions(trials)) for p in chosen), (shades - low) / extent], axis=1),
        ["\n".join(wrap(label, 14)) for label in (*(p.label for p in chosen), search.metric)],
        [*map(_ticks, chosen), tuple(((at - low) / extent, t) for at, t in values.ticks())],
        shades,
        scale,
    )
    best = trials[-1]
    caption = (
        f"Each line is one of {len(trials)} completed trials; the darker, the better its "
        f"{search.metric}. The best, trial {best.number}, has "
        f"{', '.join(f'{p.label} {value_text(best.params[p.name])}' for p in chosen)}."
    )
    if values.beyond(search.values).any():
        caption += " What is far worse than most ends at the end of the last axis."
    nothing = Axis("", (0.0, 1.0), visible=False)
    return Figure(
        "search_parallel",
        "Parallel coordinates",
        caption,
        (Panel((lines,), nothing, nothing),),
        height=460,
        margins=(90, 90, 56, 24),
    )


def _ticks(parameter: Parameter) -> Ticks:
    """Those of a parallel axis, which runs from 0 to 1."""
    axis = replace(parameter.axis(5), range=(parameter.low, parameter.high))
    return tuple((float(parameter.unit(place)), text) for place, text in ticks_of(axis, 5))


def rank(search: Search) -> Figure | None:
    """The rank of the trials over each pair of important hyperparameters; None for one of them."""
    chosen = search.parameters[:N_RANKED]
    if len(chosen) < 2:
        return None
    n = len(chosen) - 1
    # The worst first: the best are drawn last, on top.
    ranked = search.study.ranked(search.completed)[::-1]
    ranks = {
        trial.number: i for trial, i in zip(ranked, np.linspace(1, 0, len(ranked)), strict=True)
    }
    ticks = ((0.0, "best"), (0.25, "25%"), (0.5, "median"), (0.75, "75%"), (1.0, "worst"))
    scale = ColorScale(SEQUENTIAL, 0, 1, "rank of the trial", ticks, reversed=True)
    panels = []
    cells = zip(itertools.product(range(n), range(n)), grid(n, n, (0.03, 0.04)), strict=True)
    for (row, column), place in cells:
        if column > row:
            continue
        x, y = chosen[column], chosen[row + 1]
        those = [trial for trial in ranked if trial.params.keys() >= {x.name, y.name}]
        places = x.spread(those), y.spread(those, upwards=True)
        colors = [ranks[trial.number] for trial in those]
        points = _points(those, *places, colors, scale, few=len(ranked) <= FEW_POINTS)
        across, up = x.axis(3, shared=f"x {column}"), y.axis(4, shared=f"y {row}")
        if row < n - 1:
            across = replace(across, label="", labeled=False)
        if column > 0:
            up = replace(up, label="", labeled=False)
        panels.append(Panel((points,), across, up, place))
    caption = (
        f"Where the good ones among {len(ranked)} completed trials lie, for each pair of "
        f"hyperparameters: the darker, the better the trial's rank by {search.metric}."
    )
    return Figure(
        "search_rank",
        "Rank over pairs of hyperparameters",
        caption + _shown(search, chosen),
        panels,
        height=100 + 190 * n,
    )


def contour(search: Search) -> Figure | None:
    """The smoothed value over each pair of the most important hyperparameters.

    None before four trials have completed, and where none has two of these hyperparameters.
    """
    trials, chosen = search.completed, search.parameters[:N_PAIRED]
    pairs = [(x, y) for x, y in itertools.combinations(chosen, 2) if search.having(x.name, y.name)]
    if not pairs or len(trials) < 4:
        return None
    values = Values.of(search.values, search.maximize, colors=True)
    scale = values.scale(search.metric)
    best = search.best
    panels = []
    for (x, y), place in zip(pairs, grid(1, len(pairs), (0.11, 0.0)), strict=True):
        those = search.having(x.name, y.name)
        points = _points(those, x.spread(those), y.spread(those, upwards=True))
        marks: list[Mark] = [_surface(x, y, those, values, scale), points]
        if best in those:
            marks.append(best_mark(x.spread([best]), y.spread([best], upwards=True)))
        axes = replace(x.axis(3), grid=False), replace(y.axis(4), grid=False)
        panels.append(Panel(marks, *axes, place))
    caption = (
        f"The {search.metric} over each pair of the {len(chosen)} most important "
        f"hyperparameters, smoothed over the {len(trials)} completed trials (the points) by a "
        "Gaussian kernel and averaged over all others; darker is better, and white is where no "
        f"trial is near. The diamond is the best (trial {best.number})."
    )
    title = "Objective value over pairs of hyperparameters"
    return Figure("search_contour", title, caption, panels, height=360)


def _surface(
    x: Parameter, y: Parameter, trials: Sequence[FrozenTrial], values: Values, scale: ColorScale
) -> Contour | HeatMap:
    """The smoothed value: contours between numbers, stripes or cells where there are categories."""
    at_x, at_y = _grid(x), _grid(y)
    shades = values.shades([trial.values[0] for trial in trials])
    weights_x = _weights(x, at_x, trials)
    weights_y = _weights(y, at_y, trials)
    total = weights_y @ weights_x.T
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where(total >= FAINT, (weights_y * shades) @ weights_x.T / total, np.nan)
    if x.choices or y.choices:
        return HeatMap(z, scale, _edges(x), _edges(y))
    return Contour(at_x, at_y, z, scale)


def _grid(parameter: Parameter) -> np.ndarray:
    """Where along a parameter the value is worked out."""
    if parameter.choices:
        return np.arange(len(parameter.choices), dtype=float)
    return parameter.at(np.linspace(0, 1, GRID))


def _edges(parameter: Parameter) -> np.ndarray | None:
    """Of cells around these places; None for categories."""
    half = 0.5 / (GRID - 1)
    return None if parameter.choices else parameter.at(np.linspace(-half, 1 + half, GRID + 1))


def _weights(parameter: Parameter, at: np.ndarray, trials: Sequence[FrozenTrial]) -> np.ndarray:
    """How much each trial counts at each place, ``(len(at), len(trials))``, at most 1.

    A Gaussian kernel along the axis, of a width by Scott's rule for two dimensions; for a category
    only trials that have it. The weighted mean is that of Nadaraya and Watson
    (https://en.wikipedia.org/wiki/Kernel_regression).
    """
    positions = parameter.positions(trials)
    if parameter.choices:
        return np.asarray(at[:, None] == positions, dtype=float)
    places = parameter.unit(positions)
    width = max(float(places.std()) * len(trials) ** (-1 / 6), 0.05)
    return np.asarray(np.exp(-0.5 * ((parameter.unit(at)[:, None] - places) / width) ** 2))
