"""Figures of a search: how its trials went, and what its parameters have to do with it.

Each takes a stored study, whatever its sampler, with pruned, failed and invalid trials, and
returns None where the study is too small for it.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from hw1.analysis.figures.marks import Axis, Bars, Dash, Figure, Line, Mark, Panel, Points
from hw1.analysis.figures.search_contour import contour
from hw1.analysis.figures.search_parameters import (
    importances,
    parallel_coordinates,
    rank,
    slices,
)
from hw1.analysis.figures.search_trials import (
    Values,
    best_mark,
    best_of,
    completed,
    describe_trial,
    metric_label,
    metric_name,
    name_trial,
)
from hw1.analysis.figures.style import (
    BLUE,
    GRAY,
    INK,
    PALETTE,
    PURPLE,
    SKY,
    VERMILLION,
    YELLOW,
)
from hw1.errors import InputError
from hw1.study import Study, state_name
from hw1.words import counted, duration, listed, number

N_CURVES = 400
"""Learning curves of completed trials, and of pruned ones, that a figure shows at most."""

STATE_COLORS = {
    "completed": BLUE,
    "pruned": GRAY,
    "running": SKY,
    "failed": VERMILLION,
    "out of memory": PURPLE,
    "interrupted": YELLOW,
    "invalid": INK,
}


def search_figures(study: Study) -> list[Figure]:
    """All figures of this module that the study is large enough for."""
    made = [
        history(study),
        intermediate_values(study),
        importances(study),
        slices(study),
        contour(study),
        rank(study),
        parallel_coordinates(study),
        empirical_distribution([study]),
        timeline(study),
    ]
    return [figure for figure in made if figure is not None]


def history(study: Study) -> Figure | None:
    """The value of each trial, and the best so far; None before a trial has completed."""
    trials = completed(study)
    if not trials:
        return None
    best = best_of(study, trials)
    pruned = [t for t in study.trials() if t.state == TrialState.PRUNED and _curve(t)]
    reached = [_best_point(study, _curve(trial))[1] for trial in pruned]
    values = [trial.values[0] for trial in trials]
    scale = Values.of([*values, *reached], study.metric.maximize)
    so_far = (np.maximum if study.metric.maximize else np.minimum).accumulate(values)
    last = study.trials()[-1].number
    numbers = [*(trial.number for trial in trials), last]
    steps = Line(
        numbers, scale.within([*so_far, so_far[-1]]), VERMILLION, "best so far", steps=True
    )
    marks: list[Mark] = [steps]
    if pruned:
        marks.append(_points(pruned, reached, scale, "pruned, at its best epoch", GRAY))
    marks.append(_points(trials, values, scale, "completed", BLUE))
    y = scale.axis(metric_label(study))
    marks += _without_value(study, y)
    x = Axis("trial", (-0.02 * last - 0.5, 1.02 * last + 0.5), whole=True)
    progress = study.progress()
    parts = [f"{progress.completed} completed"]
    for name in ("pruned", "failed", "interrupted", "refused"):
        if n := getattr(progress, name):
            parts.append(f"{n} {'invalid' if name == 'refused' else name}")
    beyond = int(scale.beyond([*values, *reached]).sum())
    spread = best.user_attrs.get("std")
    plus_minus = f" ± {number(spread)}" if spread is not None else ""
    caption = (
        f"The {metric_name(study)} of each trial, the mean over {study.settings.n_splits} folds at "
        f"its best epoch, and the best so far. Of {len(study.trials())} trials "
        f"{listed(parts)}. The best is trial {best.number} with {number(best.values[0])}"
        f"{plus_minus} (mean and standard deviation over the folds)."
    )
    if beyond:
        are = "is" if beyond == 1 else "are"
        caption += f" {counted(beyond, 'trial')} {are} far worse: a triangle at the edge."
    return Figure("search_history", "Optimization history", caption, (Panel(marks, x, y),))


def _points(
    trials: Sequence[FrozenTrial], values: Sequence[float], scale: Values, name: str, color: str
) -> Points:
    edge = "triangle-down" if scale.maximize else "triangle-up"
    usual = "circle" if color != GRAY else "circle-open"
    outside = scale.beyond(values)
    return Points(
        [trial.number for trial in trials],
        scale.within(values),
        color,
        name,
        size=8 if len(trials) <= 200 else 5,
        symbol=[edge if out else usual for out in outside] if outside.any() else usual,
        outline="#FFFFFF" if color != GRAY else GRAY,
        hover=[describe_trial(trial) for trial in trials],
    )


def _without_value(study: Study, axis: Axis) -> list[Mark]:
    """Trials without a value, as marks along the lower edge."""
    low, high = axis.range
    bottom = low * (high / low) ** 0.015 if axis.log else low + 0.015 * (high - low)
    marks: list[Mark] = []
    for name, color in STATE_COLORS.items():
        those = [trial for trial in study.trials() if state_name(trial) == name]
        if those and name not in ("completed", "pruned", "running"):
            marks.append(
                Points(
                    [trial.number for trial in those],
                    [bottom] * len(those),
                    color,
                    name,
                    size=9,
                    symbol="x",
                    outline_width=0,
                    hover=[describe_trial(trial) for trial in those],
                    clip=False,
                )
            )
    return marks


def intermediate_values(study: Study) -> Figure | None:
    """The learning curves: the mean over the folds of each trial after each epoch.

    None before a trial has two epochs.
    """
    trials = [
        trial for trial in study.trials() if trial.state in (TrialState.PRUNED, TrialState.COMPLETE)
    ]
    curves = {trial.number: _curve(trial) for trial in trials if _curve(trial)}
    if max(map(len, curves.values()), default=0) < 2:
        return None
    finished = [trial for trial in completed(study) if trial.number in curves]
    best = best_of(study, finished) if finished else None
    values = Values.of((v for c in curves.values() for _, v in c), study.metric.maximize)
    opacity = min(0.45, max(0.12, 20 / len(curves)))
    marks: list[Mark] = []
    left_out = 0
    for name, state, style in (
        ("pruned", TrialState.PRUNED, {"color": GRAY, "width": 1}),
        ("completed", TrialState.COMPLETE, {"color": BLUE, "width": 1.2, "opacity": opacity}),
    ):
        those = {
            trial.number: curves[trial.number]
            for trial in trials
            if trial.state == state and trial.number in curves and trial is not best
        }
        shown = list(those)[:: max(1, -(-len(those) // N_CURVES))]
        left_out += len(those) - len(shown)
        if shown:
            marks += _lines({n: those[n] for n in shown}, values, name=name, **style)
    caption = (
        f"The {metric_name(study)} after each epoch, the mean over the validation folds, of the "
        f"{len(curves)} trials that completed or were pruned."
    )
    if best is not None:
        curve = curves[best.number]
        style = {"color": VERMILLION, "width": 2.5, "name": f"best (trial {best.number})"}
        marks += _lines({best.number: curve}, values, **style)
        epoch, value = _best_point(study, curve)
        marks.append(best_mark([epoch], [value]))
        caption += (
            f" The best, trial {best.number}, reached {number(value)} in epoch {epoch} of "
            f"{curve[-1][0]} (the diamond)."
        )
    if left_out:
        caption += f" {left_out} curves, evenly chosen, are left out."
    last = max(epoch for curve in curves.values() for epoch, _ in curve)
    x = Axis("epoch", (1 - 0.02 * last, 1.02 * last), whole=True)
    panel = Panel(marks, x, values.axis(metric_label(study)))
    return Figure("search_curves", "Learning curves of the trials", caption, (panel,))


def _curve(trial: FrozenTrial) -> list[tuple[int, float]]:
    """The epochs and their finite means over the folds."""
    reports = sorted(trial.intermediate_values.items())
    return [(epoch, value) for epoch, value in reports if math.isfinite(value)]


def _best_point(study: Study, curve: Sequence[tuple[int, float]]) -> tuple[int, float]:
    return study.metric.best_first(curve, lambda point: point[1])[0]


def _lines(
    curves: Mapping[int, list[tuple[int, float]]], values: Values, **style: Any
) -> list[Mark]:
    """The curves of some trials, by their numbers, as one line with gaps."""
    gap = (math.nan, math.nan)
    points = np.array([point for curve in curves.values() for point in (*curve, gap)])
    numbers = np.array([n for n, curve in curves.items() for _ in range(len(curve) + 1)])
    hover = "trial {data}, epoch {x}: {y:.4g}"
    y = values.within(points[:, 1])
    marks: list[Mark] = [Line(points[:, 0], y, hover=hover, data=numbers, **style)]
    # Of a curve that ends after its first epoch a line shows nothing.
    single = [curve[0] for curve in curves.values() if len(curve) == 1]
    if single:
        x, y = np.array(single).T
        marks.append(Points(x, values.within(y), style["color"], size=4, outline_width=0))
    return marks


def empirical_distribution(studies: Sequence[Study]) -> Figure | None:
    """The share of completed trials whose value is at most so high, for each study.

    None before two trials have completed in any.

    Raises:
        InputError: the studies measure different metrics.
    """
    if len({study.settings.metric for study in studies}) > 1:
        raise InputError(
            "the studies measure different metrics: compare those that have one in common"
        )
    values = {
        study.name: np.sort([trial.values[0] for trial in completed(study)]) for study in studies
    }
    values = {name: those for name, those in values.items() if len(those) > 1}
    if not values:
        return None
    study = studies[0]
    scale = Values.of(np.concatenate(list(values.values())), study.metric.maximize)
    x = scale.axis(metric_label(study))
    dashes: tuple[Dash, ...] = ("solid", "dash", "dot", "dashdot")
    marks = [
        # From the axis's left end, where none is, to its right end, where all are.
        Line(
            [min(x.range[0], those[0]), *those, max(x.range[1], those[-1])],
            [0, *(np.arange(1, len(those) + 1) / len(those)), 1],
            PALETTE[i % len(PALETTE)],
            name if len(values) > 1 else "",
            dash=dashes[i // len(PALETTE) % len(dashes)],
            steps=True,
            hover="{y:.0%} at most {x:.4g}",
        )
        for i, (name, those) in enumerate(values.items())
    ]
    medians = [
        f"{number(float(np.median(those)))}" + (f" in {name}" if len(values) > 1 else "")
        for name, those in values.items()
    ]
    caption = (
        f"How the {metric_name(study)} of completed trials is distributed: the share whose value "
        f"is at most that of the axis. The median is {listed(medians)}."
    )
    panel = Panel(marks, x, Axis("share of completed trials", (-0.02, 1.02), percent=True))
    return Figure("search_distribution", "Distribution of the values", caption, (panel,))


def timeline(study: Study) -> Figure | None:
    """When each trial ran, and what became of it; None before a trial has ended."""
    trials = [t for t in study.trials() if t.datetime_start is not None]
    ends = [t.datetime_complete for t in trials if t.datetime_complete is not None]
    if not ends:
        return None
    latest = max([*ends, *(t.datetime_start for t in trials if t.datetime_start)])
    earliest = min(t.datetime_start for t in trials if t.datetime_start)
    total = (latest - earliest).total_seconds()
    unit, seconds = next(
        (u for u in (("seconds", 1), ("minutes", 60), ("hours", 3600)) if total < 150 * u[1]),
        ("days", 86_400),
    )

    def since(moment: datetime | None) -> float:
        return ((moment or latest) - earliest).total_seconds() / seconds

    marks = []
    for name, color in STATE_COLORS.items():
        those = [trial for trial in trials if state_name(trial) == name]
        if those:
            starts = np.array([since(trial.datetime_start) for trial in those])
            lengths = np.array([since(trial.datetime_complete) for trial in those]) - starts
            rows = [trial.number for trial in those]
            hover = [name_trial(trial) for trial in those]
            bars = Bars(rows, lengths, color, name, base=starts, thickness=0.85, hover=hover)
            marks.append(bars)
    x = Axis(f"{unit} since the first trial began", (0.0, 1.03 * total / seconds or 1.0))
    edges = trials[-1].number + 0.7, trials[0].number - 0.7
    caption = (
        f"When each of {len(trials)} trials ran. The search took {duration(total)} from "
        f"its first trial to its last, breaks included."
    )
    panel = Panel(marks, x, Axis("trial", edges, whole=True, grid=False))
    return Figure("search_timeline", "Timeline", caption, (panel,))
