"""The value of a search's trials over pairs of parameters, smoothed."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from optuna.trial import FrozenTrial

from hw1.analysis.figures.search_parameters import mark_best, most_important, small_plots
from hw1.analysis.figures.search_trials import (
    POINT_OUTLINE,
    Parameter,
    Values,
    best_of,
    completed,
    metric_name,
    name_trial,
)
from hw1.analysis.figures.style import SEQUENTIAL, Figure
from hw1.study import Study

N_PAIRED = 3
"""The most important parameters whose pairs have a contour."""
GRID = 41
"""Points along each axis at which the smoothed value is worked out."""
N_LEVELS = 8
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
    values = Values.of((trial.values[0] for trial in trials), study.metric.maximize, colours=True)
    pairs = list(itertools.combinations(chosen, 2))
    plot = small_plots(1, len(pairs), 360, horizontal_spacing=0.11)
    best = best_of(study, trials)
    for i, (x, y) in enumerate(pairs):
        place = {"row": 1, "col": i + 1}
        those = [trial for trial in trials if x.name in trial.params and y.name in trial.params]
        if those:
            plot.add_trace(_surface(x, y, those, values, metric_name(study), i == 0), **place)
            plot.add_scatter(
                x=x.spread(those),
                y=y.spread(those, upwards=True),
                mode="markers",
                marker={"color": "white", "size": 4.5, "line": POINT_OUTLINE},
                hovertext=[name_trial(trial) for trial in those],
                hoverinfo="text",
                **place,
            )
        if best in those:
            mark_best(plot, x.spread([best]), y.spread([best], upwards=True), place)
        plot.update_xaxes(title_text=x.label, **x.axis(3), showgrid=False, **place)
        plot.update_yaxes(title_text=y.label, **y.axis(4), showgrid=False, **place)
    caption = (
        f"The {metric_name(study)} over each pair of the {len(chosen)} most important parameters, "
        f"smoothed over the {len(trials)} completed trials (the points) by a Gaussian kernel and "
        "averaged over all other parameters; darker is better, and white is where no trial is "
        f"near. The diamond is the best (trial {best.number})."
    )
    return Figure("search_contour", "Value over pairs of parameters", caption, plot)


def _surface(
    x: Parameter, y: Parameter, trials: Sequence[FrozenTrial], values: Values, title: str, bar: bool
) -> go.Contour | go.Heatmap:
    """The smoothed value: contours between numbers, stripes or cells where there are categories."""
    at_x, at_y = _grid(x), _grid(y)
    shades = values.shades([trial.values[0] for trial in trials])
    weights_x = _weights(x, at_x, trials)
    weights_y = _weights(y, at_y, trials)
    total = weights_y @ weights_x.T
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where(total >= FAINT, (weights_y * shades) @ weights_x.T / total, np.nan)
    low, high = values.ends
    common: dict[str, Any] = {
        "x": at_x,
        "y": at_y,
        "z": z,
        "reversescale": not values.maximize,
        "colorscale": SEQUENTIAL,
        "showscale": bar,
        "colorbar": values.colour_bar(title),
        "hoverinfo": "skip",
    }
    if x.choices or y.choices:
        return go.Heatmap(**common, zmin=low, zmax=high)
    size = (high - low) / N_LEVELS
    return go.Contour(
        **common,
        contours={"start": low + size, "end": high - size, "size": size},
        line={"width": 0.5, "color": "white"},
    )


def _grid(parameter: Parameter) -> np.ndarray:
    """Where along a parameter the value is worked out."""
    if parameter.choices:
        return np.arange(len(parameter.choices), dtype=float)
    return parameter.at(np.linspace(0, 1, GRID))


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
