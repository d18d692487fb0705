"""Figures of a search: how its trials went, and what its parameters have to do with it.

Each takes a stored study, whatever its sampler, with pruned, failed and refused trials, and
returns None where the study is too small for it.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import plotly.graph_objects as go
from optuna.trial import FrozenTrial, TrialState

from hw1.analysis.figures import marks as marks_
from hw1.analysis.figures.marks import Axis, Bars, Panel
from hw1.analysis.figures.search_contour import contour
from hw1.analysis.figures.search_parameters import (
    importances,
    parallel_coordinates,
    rank,
    slices,
)
from hw1.analysis.figures.search_trials import (
    BEST_MARK,
    Values,
    best_of,
    completed,
    describe_trial,
    metric_label,
    metric_name,
    name_trial,
    whole,
)
from hw1.analysis.figures.style import (
    BLUE,
    GREY,
    INK,
    PALETTE,
    PURPLE,
    SKY,
    TEMPLATE,
    VERMILLION,
    YELLOW,
    Figure,
    translucent,
)
from hw1.errors import InputError
from hw1.study import Study, state_name
from hw1.words import duration, listed, number

N_CURVES = 400
"""Learning curves of completed trials, and of pruned ones, that a figure shows at most."""

STATE_COLOURS = {
    "completed": BLUE,
    "pruned": GREY,
    "running": SKY,
    "failed": VERMILLION,
    "out of memory": PURPLE,
    "interrupted": YELLOW,
    "refused": INK,
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
    pruned = [
        (trial, _best_point(study, _curve(trial))[1])
        for trial in study.trials()
        if trial.state == TrialState.PRUNED and _curve(trial)
    ]
    values = [trial.values[0] for trial in trials]
    scale = Values.of(values + [value for _, value in pruned], study.metric.maximize)
    plot = go.Figure(layout={"template": TEMPLATE})
    so_far = (np.maximum if study.metric.maximize else np.minimum).accumulate(values)
    plot.add_scatter(
        x=[*(trial.number for trial in trials), study.trials()[-1].number],
        y=scale.within([*so_far, so_far[-1]]),
        mode="lines",
        line={"color": VERMILLION, "width": 2, "shape": "hv"},
        name="best so far",
        hoverinfo="skip",
    )
    if pruned:
        those, reached = [trial for trial, _ in pruned], [value for _, value in pruned]
        plot.add_trace(_points(those, reached, scale, "pruned, at its best epoch", GREY))
    plot.add_trace(_points(trials, values, scale, "completed", BLUE))
    _mark_without_value(plot, study, scale)
    last = study.trials()[-1].number
    plot.update_xaxes(
        title_text="trial", range=[-0.02 * last - 0.5, 1.02 * last + 0.5], **whole(last)
    )
    plot.update_yaxes(title_text=metric_label(study), **scale.axis())
    progress = study.progress()
    parts = [f"{progress.completed} completed"]
    for name in ("pruned", "failed", "interrupted", "refused"):
        if getattr(progress, name):
            parts.append(f"{getattr(progress, name)} {name}")
    beyond = int(scale.beyond([*values, *(value for _, value in pruned)]).sum())
    spread = best.user_attrs.get("std")
    plus_minus = f" ± {number(spread)}" if spread is not None else ""
    caption = (
        f"The {metric_name(study)} of each trial, the mean over {study.settings.n_splits} folds at "
        f"its best epoch, and the best so far. Of {len(study.trials())} trials "
        f"{listed(parts)}. The best is trial {best.number} with {number(best.values[0])}"
        f"{plus_minus} (mean and standard deviation over the folds)."
    )
    if beyond:
        far = "1 trial is" if beyond == 1 else f"{beyond} trials are"
        caption += f" {far} far worse: a triangle at the edge."
    return Figure("search_history", "Optimisation history", caption, plot)


def _points(
    trials: Sequence[FrozenTrial], values: Sequence[float], scale: Values, name: str, colour: str
) -> go.Scatter:
    edge = "triangle-down" if scale.maximize else "triangle-up"
    usual = "circle" if colour != GREY else "circle-open"
    outside = scale.beyond(values)
    return go.Scatter(
        x=[trial.number for trial in trials],
        y=scale.within(values),
        mode="markers",
        marker={
            "color": colour,
            "size": 8 if len(trials) <= 200 else 5,
            "symbol": [edge if out else usual for out in outside] if outside.any() else usual,
            "line": {"color": "white" if colour != GREY else GREY, "width": 1},
        },
        name=name,
        hovertext=[describe_trial(trial) for trial in trials],
        hoverinfo="text",
    )


def _mark_without_value(plot: go.Figure, study: Study, scale: Values) -> None:
    """Trials without a value, as marks along the lower edge."""
    low, high = scale.axis()["range"]
    bottom = low + 0.015 * (high - low)
    for name, colour in STATE_COLOURS.items():
        those = [
            trial
            for trial in study.trials()
            if state_name(trial) == name and name not in ("completed", "pruned", "running")
        ]
        if those:
            plot.add_scatter(
                x=[trial.number for trial in those],
                y=[10**bottom if scale.log else bottom] * len(those),
                mode="markers",
                marker={"color": colour, "size": 9, "symbol": "x", "line": {"width": 0}},
                cliponaxis=False,
                name=name,
                hovertext=[describe_trial(trial) for trial in those],
                hoverinfo="text",
            )


def intermediate_values(study: Study) -> Figure | None:
    """The learning curves: the fold mean of each trial after each epoch.

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
    plot = go.Figure(layout={"template": TEMPLATE})
    opacity = min(0.45, max(0.12, 20 / len(curves)))
    left_out = 0
    for name, state, line in (
        ("pruned", TrialState.PRUNED, {"color": GREY, "width": 1}),
        ("completed", TrialState.COMPLETE, {"color": translucent(BLUE, opacity), "width": 1.2}),
    ):
        those = {
            trial.number: curves[trial.number]
            for trial in trials
            if trial.state == state and trial.number in curves and trial is not best
        }
        shown = list(those)[:: max(1, -(-len(those) // N_CURVES))]
        left_out += len(those) - len(shown)
        if shown:
            plot.add_trace(_lines({number: those[number] for number in shown}, values, name, line))
    caption = (
        f"The {metric_name(study)} after each epoch, the mean over the validation folds, of the "
        f"{len(curves)} trials that completed or were pruned."
    )
    if best is not None:
        curve = curves[best.number]
        line = {"color": VERMILLION, "width": 2.5}
        plot.add_trace(_lines({best.number: curve}, values, f"best (trial {best.number})", line))
        epoch, value = _best_point(study, curve)
        plot.add_scatter(
            x=[epoch],
            y=[value],
            mode="markers",
            marker={"color": VERMILLION, **BEST_MARK},
            showlegend=False,
            hoverinfo="skip",
        )
        caption += (
            f" The best, trial {best.number}, reached {number(value)} in epoch {epoch} of "
            f"{curve[-1][0]} (the diamond)."
        )
    if left_out:
        caption += f" {left_out} curves, evenly chosen, are left out."
    last = max(epoch for curve in curves.values() for epoch, _ in curve)
    plot.update_xaxes(title_text="epoch", range=[1 - 0.02 * last, 1.02 * last], **whole(last))
    plot.update_yaxes(title_text=metric_label(study), **values.axis())
    return Figure("search_curves", "Learning curves of the trials", caption, plot)


def _curve(trial: FrozenTrial) -> list[tuple[int, float]]:
    """The epochs and their finite fold means."""
    reports = sorted(trial.intermediate_values.items())
    return [(epoch, value) for epoch, value in reports if math.isfinite(value)]


def _best_point(study: Study, curve: Sequence[tuple[int, float]]) -> tuple[int, float]:
    return study.metric.best_first(curve, lambda point: point[1])[0]


def _lines(
    curves: Mapping[int, list[tuple[int, float]]], values: Values, name: str, line: dict[str, Any]
) -> go.Scatter:
    """The curves of some trials, by their numbers, as one line with gaps."""
    gap = (math.nan, math.nan)
    points = np.array([point for curve in curves.values() for point in (*curve, gap)])
    numbers = [number for number, curve in curves.items() for _ in range(len(curve) + 1)]
    # A curve that ends after its first epoch is a point, of which a line shows nothing.
    single = any(len(curve) == 1 for curve in curves.values())
    return go.Scatter(
        x=points[:, 0],
        y=values.within(points[:, 1]),
        customdata=np.array(numbers),
        mode="lines+markers" if single else "lines",
        marker={"size": 4, "line": {"width": 0}},
        line=line,
        name=name,
        hovertemplate="trial %{customdata}, epoch %{x}: %{y:.4g}<extra></extra>",
    )


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
    plot = go.Figure(layout={"template": TEMPLATE})
    for i, (name, those) in enumerate(values.items()):
        # From the axis's left end, where none is, to its right end, where all are.
        left, right = scale.axis()["range"]
        ends = [10**left, 10**right] if scale.log else [left, right]
        plot.add_scatter(
            x=[min(ends[0], those[0]), *those, max(ends[1], those[-1])],
            y=[0, *(np.arange(1, len(those) + 1) / len(those)), 1],
            mode="lines",
            line={
                "shape": "hv",
                "color": PALETTE[i % len(PALETTE)],
                "dash": ("solid", "dash", "dot", "dashdot")[i // len(PALETTE) % 4],
            },
            name=name,
            hovertemplate="%{y:.0%} at most %{x:.4g}<extra>" + name + "</extra>",
        )
    plot.update_xaxes(title_text=metric_label(study), **scale.axis())
    plot.update_yaxes(title_text="share of completed trials", range=[-0.02, 1.02], tickformat=".0%")
    medians = [
        f"{number(float(np.median(those)))}" + (f" in {name}" if len(values) > 1 else "")
        for name, those in values.items()
    ]
    caption = (
        f"How the {metric_name(study)} of completed trials is distributed: the share whose value "
        f"is at most that of the axis. The median is {listed(medians)}."
    )
    return Figure("search_distribution", "Distribution of the values", caption, plot)


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
    for name, color in STATE_COLOURS.items():
        those = [trial for trial in trials if state_name(trial) == name]
        if those:
            starts = np.array([since(trial.datetime_start) for trial in those])
            ends_ = np.array([since(trial.datetime_complete) for trial in those])
            marks.append(
                Bars(
                    [trial.number for trial in those],
                    ends_ - starts,
                    color,
                    name,
                    base=starts,
                    thickness=0.85,
                    hover=[name_trial(trial) for trial in those],
                )
            )
    last = (latest - earliest).total_seconds() / seconds
    x = Axis(f"{unit} since the first trial began", (0.0, 1.03 * last or 1.0))
    edges = trials[-1].number + 0.7, trials[0].number - 0.7
    panel = Panel(marks, x, Axis("trial", edges, whole=True, grid=False))
    caption = (
        f"When each of {len(trials)} trials ran. The search took {duration(total)} from "
        f"its first trial to its last, breaks included."
    )
    return marks_.Figure("search_timeline", "Timeline", caption, (panel,))
