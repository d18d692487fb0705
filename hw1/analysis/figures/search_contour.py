"""The value of a search's trials over pairs of parameters, smoothed."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from optuna.trial import FrozenTrial

from hw1.analysis.figures.layout import grid
from hw1.analysis.figures.marks import ColorScale, Contour, Figure, HeatMap, Mark, Panel, Points
from hw1.analysis.figures.search_parameters import most_important
from hw1.analysis.figures.search_trials import (
    POINT_OUTLINE,
    Parameter,
    Values,
    best_mark,
    best_of,
    completed,
    metric_name,
    name_trial,
)
from hw1.study import Study

N_PAIRED = 3
"""The most important parameters whose pairs have a contour."""
GRID = 41
"""Points along each axis at which the smoothed value is worked out."""
N_BANDS = 8
FAINT = 0.05
"""The kernel weight of all trials together below which a place is left white."""


def contour(study: Study) -> Figure | None:
    """The smoothed value over each pair of the most important parameters.

    None before four trials have completed, or for one parameter.
    """
    trials = completed(study)
    chosen = most_important(study, trials, N_PAIRED)
    if len(chosen) < 2 or len(trials) < 4:
        return None
    values = Values.of((trial.values[0] for trial in trials), study.metric.maximize, colors=True)
    scale = values.scale(metric_name(study))
    pairs = list(itertools.combinations(chosen, 2))
    best = best_of(study, trials)
    panels = []
    for (x, y), place in zip(pairs, grid(1, len(pairs), (0.11, 0.0)), strict=True):
        those = [trial for trial in trials if x.name in trial.params and y.name in trial.params]
        marks: list[Mark] = []
        if those:
            marks.append(_surface(x, y, those, values, scale))
            across, up = x.spread(those), y.spread(those, upwards=True)
            hover = [name_trial(trial) for trial in those]
            marks.append(Points(across, up, "#FFFFFF", size=4.5, hover=hover, **POINT_OUTLINE))
        if best in those:
            marks.append(best_mark(x.spread([best]), y.spread([best], upwards=True)))
        axes = replace(x.axis(3), grid=False), replace(y.axis(4), grid=False)
        panels.append(Panel(marks, *axes, place))
    caption = (
        f"The {metric_name(study)} over each pair of the {len(chosen)} most important "
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
    return Contour(at_x, at_y, z, scale, N_BANDS)


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
