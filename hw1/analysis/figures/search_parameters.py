"""Figures of what the parameters of a search have to do with the value of its trials."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from optuna.trial import FrozenTrial

from hw1.analysis.figures.layout import grid
from hw1.analysis.figures.marks import (
    Axis,
    Bars,
    ColorScale,
    Figure,
    Panel,
    Parallel,
    Points,
    Ticks,
)
from hw1.analysis.figures.search_trials import (
    N_SHOWN,
    POINT_OUTLINE,
    Parameter,
    Values,
    best_mark,
    best_of,
    completed,
    importances_of,
    metric_label,
    metric_name,
    name_trial,
    parameters,
)
from hw1.analysis.figures.style import BLUE, SEQUENTIAL
from hw1.analysis.figures.ticks import ticks_of
from hw1.study import Study
from hw1.words import in_words, value_text

FEW_TRIALS = 20
"""Completed trials below which importances are no more than a hint."""
N_RANKED = 4
"""The most important parameters whose pairs show ranks."""


def importances(study: Study) -> Figure | None:
    """How much each parameter matters; None for fewer than two that vary or two trials."""
    trials = completed(study)
    shares = importances_of(study, trials)
    if len(shares) < 2:
        return None
    labels = [in_words(name) for name in shares]
    rows = range(len(shares))
    text = ["<0.01" if share < 0.005 else f"{share:.2f}" for share in shares.values()]
    bars = Bars(list(rows), list(shares.values()), BLUE, text=text)
    x = Axis("importance (share)", (0.0, 1.1 * max(shares.values())))
    names = tuple((float(i), label) for i, label in enumerate(labels))
    y = Axis("", (len(labels) - 0.5, -0.5), ticks=names, grid=False)
    first, second = labels[:2]
    caption = (
        "How strongly each hyperparameter decides whether a trial is among the best tenth, by "
        f"PED-ANOVA over {len(trials)} completed trials; the shares add up to 1. {first} matters "
        f"most ({next(iter(shares.values())):.2f}), then {second} ({list(shares.values())[1]:.2f})."
    )
    if len(trials) < FEW_TRIALS:
        caption += " So few trials give no more than a hint."
    height = 110 + 27 * len(shares)
    title = "Importance of the hyperparameters"
    return Figure("search_importances", title, caption, (Panel((bars,), x, y),), height=height)


def point_size(trials: Sequence[FrozenTrial]) -> float:
    """The size of points in small plots, in pixels."""
    return 7 if len(trials) <= 300 else 4.5


def most_important(study: Study, trials: Sequence[FrozenTrial], n: int) -> list[Parameter]:
    """At most ``n`` parameters, the most important first."""
    varied = parameters(trials)
    return [varied[name] for name in list(importances_of(study, trials))[:n]]


def _shown(chosen: Sequence[Parameter], trials: Sequence[FrozenTrial]) -> str:
    """What a caption says about parameters that are left out."""
    n = len(parameters(trials))
    return (
        ""
        if n <= len(chosen)
        else f" Shown are the {len(chosen)} most important of {n} hyperparameters."
    )


def slices(study: Study) -> Figure | None:
    """The value over each important parameter; None before two trials have completed."""
    trials = completed(study)
    chosen = most_important(study, trials, N_SHOWN)
    if not chosen:
        return None
    values = Values.of((trial.values[0] for trial in trials), study.metric.maximize)
    n_columns = min(3, len(chosen))
    n_rows = -(-len(chosen) // n_columns)
    best = best_of(study, trials)
    scale = ColorScale(SEQUENTIAL, 0, max(trials[-1].number, 1), "trial")
    # One above the other there is no room for more than the name.
    label = metric_label(study) if n_rows == 1 else metric_name(study)
    panels = []
    places = grid(n_rows, n_columns, (0.03, 0.2))
    for i, (parameter, place) in enumerate(zip(chosen, places, strict=False)):
        those = [trial for trial in trials if parameter.name in trial.params]
        marks = [
            Points(
                parameter.spread(those),
                values.within([trial.values[0] for trial in those]),
                [trial.number for trial in those],
                scale=scale,
                size=point_size(trials),
                hover=[name_trial(trial) for trial in those],
                **POINT_OUTLINE,
            )
        ]
        if parameter.name in best.params:
            marks.append(best_mark(parameter.spread([best]), values.within([best.values[0]])))
        first = i % n_columns == 0
        y = replace(values.axis(label if first else "", shared="value"), labeled=first)
        panels.append(Panel(marks, parameter.axis(), y, place))
    caption = (
        f"The {metric_name(study)} of {len(trials)} completed trials over each hyperparameter by "
        f"itself; later trials are darker, the diamond is the best (trial {best.number})."
        + _shown(chosen, trials)
    )
    height = 90 + 240 * n_rows
    title = "Objective value over each hyperparameter"
    return Figure("search_slices", title, caption, panels, height=height)


def parallel_coordinates(study: Study) -> Figure | None:
    """Each trial as a line across its important parameters to its value.

    Only parameters that all completed trials have. None before two trials have completed.
    """
    trials = completed(study)
    everywhere = [
        parameter
        for parameter in most_important(study, trials, len(parameters(trials)))
        if all(parameter.name in trial.params for trial in trials)
    ]
    chosen = everywhere[:N_SHOWN]
    if not chosen:
        return None
    values = Values.of((trial.values[0] for trial in trials), study.metric.maximize, colors=True)
    # The best last, on top of the others.
    trials = sorted(trials, key=lambda trial: trial.values[0], reverse=not study.metric.maximize)
    shades = values.shades([trial.values[0] for trial in trials])
    last = values.scale("", _from_faint())
    within = (shades - last.low) / (last.high - last.low)
    lines = Parallel(
        np.stack([*(p.unit(p.positions(trials)) for p in chosen), within], axis=1),
        [*(parameter.label for parameter in chosen), metric_name(study)],
        [*map(_ticks, chosen), _rescaled(values.ticks(), last.low, last.high)],
        shades,
        last,
    )
    best = trials[-1]
    caption = (
        f"Each line is one of {len(trials)} completed trials; the darker, the better its "
        f"{metric_name(study)}. The best, trial {best.number}, has "
        f"{', '.join(f'{p.label} {value_text(best.params[p.name])}' for p in chosen)}."
    )
    if values.beyond([trial.values[0] for trial in trials]).any():
        caption += " What is far worse than most ends at the end of the last axis."
    nothing = Axis("", (0.0, 1.0), visible=False)
    margins = 90, 90, 56, 24
    panel = Panel((lines,), nothing, nothing)
    return Figure(
        "search_parallel", "Parallel coordinates", caption, (panel,), height=460, margins=margins
    )


def _from_faint() -> tuple[tuple[float, str], ...]:
    """The color scale from its first shade that a thin line still shows."""
    return tuple((i / (len(SEQUENTIAL) - 2), shade) for i, (_, shade) in enumerate(SEQUENTIAL[1:]))


def _ticks(parameter: Parameter) -> Ticks:
    """Those of a parallel axis, which runs from 0 to 1."""
    axis = replace(parameter.axis(5), range=(parameter.low, parameter.high))
    return tuple((float(parameter.unit(place)), text) for place, text in ticks_of(axis, 5))


def _rescaled(ticks: Ticks, low: float, high: float) -> Ticks:
    return tuple(((place - low) / (high - low), text) for place, text in ticks)


def rank(study: Study) -> Figure | None:
    """The rank of the trials over each pair of important parameters.

    None before two trials have completed, or for one parameter.
    """
    trials = completed(study)
    chosen = most_important(study, trials, N_RANKED)
    if len(chosen) < 2:
        return None
    n = len(chosen) - 1
    values = np.array([trial.values[0] for trial in trials])
    # The worst first: the best are drawn last, on top.
    order = np.argsort(values if study.metric.maximize else -values, kind="stable")
    drawn = [trials[i] for i in order]
    ticks = ((0.0, "best"), (0.25, "25%"), (0.5, "median"), (0.75, "75%"), (1.0, "worst"))
    scale = ColorScale(SEQUENTIAL, 0, 1, "rank of the trial", ticks, reversed=True)
    panels = []
    places = grid(n, n, (0.03, 0.04))
    for (row, column), place in zip(itertools.product(range(n), range(n)), places, strict=True):
        if column > row:
            continue
        x, y = chosen[column], chosen[row + 1]
        points = Points(
            x.spread(drawn),
            y.spread(drawn, upwards=True),
            np.linspace(1, 0, len(trials)),
            scale=scale,
            size=point_size(trials),
            hover=[name_trial(trial) for trial in drawn],
            **POINT_OUTLINE,
        )
        across, up = x.axis(3, shared=f"x {column}"), y.axis(4, shared=f"y {row}")
        if row < n - 1:
            across = replace(across, label="", labeled=False)
        if column > 0:
            up = replace(up, label="", labeled=False)
        panels.append(Panel((points,), across, up, place))
    caption = (
        f"Where the good ones among {len(trials)} completed trials lie, for each pair of "
        f"hyperparameters: the darker, the better the trial's rank by {metric_name(study)}."
        + _shown(chosen, trials)
    )
    height = 100 + 190 * n
    title = "Rank over pairs of hyperparameters"
    return Figure("search_rank", title, caption, panels, height=height)
