"""Figures of a search: how its trials went, and what its hyperparameters have to do with it.

Each takes a stored study's `Search`, whatever its sampler, with pruned, failed and invalid trials,
and returns None where the study is too small for it.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from hw1.analysis.figures.marks import Axis, Bars, Dash, Figure, Line, Mark, Numbers, Panel, Points
from hw1.analysis.figures.search_parameters import (
    contour,
    importances,
    parallel_coordinates,
    rank,
    slices,
)
from hw1.analysis.figures.search_trials import (
    Search,
    Values,
    best_mark,
    describe_trial,
    name_trial,
)
from hw1.analysis.figures.style import BLUE, GRAY, INK, PALETTE, PURPLE, SKY, VERMILLION, YELLOW
from hw1.errors import InputError
from hw1.study import Study, state_name
from hw1.words import counted, duration, listed, number

N_CURVES = 400
"""Learning curves of completed trials, and of pruned ones, that a figure shows at most."""

STATES = {
    "completed": BLUE,
    "pruned": GRAY,
    "running": SKY,
    "failed": VERMILLION,
    "out of memory": PURPLE,
    "interrupted": YELLOW,
    "invalid": INK,
}
"""What becomes of trials, and its color."""


def search_figures(study: Study) -> list[Figure]:
    """All figures of this module that the study is large enough for."""
    search = Search(study)
    made = [
        history(search),
        intermediate_values(search),
        importances(search),
        slices(search),
        contour(search),
        rank(search),
        parallel_coordinates(search),
        empirical_distribution([study]),
        timeline(search),
    ]
    return [figure for figure in made if figure is not None]


def _by_state(trials: Sequence[FrozenTrial]) -> dict[str, list[FrozenTrial]]:
    """The trials that began, by what became of them, in the order of `STATES`."""
    found = {name: [trial for trial in trials if state_name(trial) == name] for name in STATES}
    return {name: those for name, those in found.items() if those}


def history(search: Search) -> Figure | None:
    """The value of each trial, and the best so far; None before a trial has completed."""
    trials, values = search.completed, search.values
    if not trials:
        return None
    states = _by_state(search.trials)
    pruned = [trial for trial in states.get("pruned", ()) if _curve(trial)]
    reached = [_best_point(search, _curve(trial))[1] for trial in pruned]
    scale = Values.of([*values, *reached], search.maximize)
    so_far = scale.within((np.maximum if search.maximize else np.minimum).accumulate(values))
    last = search.trials[-1].number
    numbers = [*(trial.number for trial in trials), last]
    line = Line(numbers, [*so_far, so_far[-1]], VERMILLION, "best so far", steps=True)
    marks: list[Mark] = [line]
    if pruned:
        marks.append(_points(pruned, reached, scale, "pruned, at its best epoch", GRAY))
    marks.append(_points(trials, values, scale, "completed", BLUE))
    x = Axis("trial", (-0.02 * last - 0.5, 1.02 * last + 0.5), whole=True)
    y = scale.axis(search.label)
    # Trials without a value are marks along the lower edge.
    low, high = y.range
    bottom = low * (high / low) ** 0.015 if y.log else low + 0.015 * (high - low)
    cross: dict[str, Any] = {"size": 9, "symbol": "x", "outline_width": 0, "clip": False}
    for name, those in states.items():
        if name not in ("completed", "pruned", "running"):
            at, hover = [trial.number for trial in those], [*map(describe_trial, those)]
            marks.append(
                Points(at, [bottom] * len(those), STATES[name], name, hover=hover, **cross)
            )
    best = search.best
    parts = [f"{len(those)} {name}" for name, those in states.items()]
    spread = best.user_attrs.get("std")
    plus_minus = f" ± {number(spread)}" if spread is not None else ""
    caption = (
        f"The {search.metric} of each trial, the mean over {search.study.settings.n_splits} folds "
        f"at its best epoch, and the best so far. Of {len(search.trials)} trials {listed(parts)}. "
        f"The best is trial {best.number} with {number(best.values[0])}{plus_minus} (mean and "
        "standard deviation over the folds)."
    )
    beyond = int(scale.beyond([*values, *reached]).sum())
    if beyond:
        are = "is" if beyond == 1 else "are"
        caption += f" {counted(beyond, 'trial')} {are} far worse: a triangle at the edge."
    return Figure("search_history", "Optimization history", caption, (Panel(marks, x, y),))


def _points(
    trials: Sequence[FrozenTrial], values: Numbers, scale: Values, name: str, color: str
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
        hover=[*map(describe_trial, trials)],
    )


def intermediate_values(search: Search) -> Figure | None:
    """The learning curves: the mean over the folds of each trial after each epoch.

    None before a trial has two epochs.
    """
    ended = [t for t in search.trials if t.state in (TrialState.PRUNED, TrialState.COMPLETE)]
    curves = {trial.number: curve for trial in ended if (curve := _curve(trial))}
    if max(map(len, curves.values()), default=0) < 2:
        return None
    finished = [trial for trial in search.completed if trial.number in curves]
    best = search.study.ranked(finished)[0] if finished else None
    values = Values.of((v for c in curves.values() for _, v in c), search.maximize)
    opacity = min(0.45, max(0.12, 20 / len(curves)))
    marks: list[Mark] = []
    left_out = 0
    for name, state, style in (
        ("pruned", TrialState.PRUNED, {"color": GRAY, "width": 1}),
        ("completed", TrialState.COMPLETE, {"color": BLUE, "width": 1.2, "opacity": opacity}),
    ):
        those = [
            t.number for t in ended if t.state == state and t.number in curves and t is not best
        ]
        shown = those[:: max(1, -(-len(those) // N_CURVES))]
        left_out += len(those) - len(shown)
        if shown:
            marks += _lines({n: curves[n] for n in shown}, values, name=name, **style)
    caption = (
        f"The {search.metric} after each epoch, the mean over the validation folds, of the "
        f"{len(curves)} trials that completed or were pruned."
    )
    if best is not None:
        curve = curves[best.number]
        style = {"color": VERMILLION, "width": 2.5, "name": f"best (trial {best.number})"}
        marks += _lines({best.number: curve}, values, **style)
        epoch, value = _best_point(search, curve)
        marks.append(best_mark([epoch], [value]))
        caption += (
            f" The best, trial {best.number}, reached {number(value)} in epoch {epoch} of "
            f"{curve[-1][0]} (the diamond)."
        )
    if left_out:
        caption += f" {left_out} curves, evenly chosen, are left out."
    last = max(curve[-1][0] for curve in curves.values())
    x = Axis("epoch", (1 - 0.02 * last, 1.02 * last), whole=True)
    panel = Panel(marks, x, values.axis(search.label))
    return Figure("search_curves", "Learning curves of the trials", caption, (panel,))


def _curve(trial: FrozenTrial) -> list[tuple[int, float]]:
    """The epochs and their finite means over the folds."""
    reports = sorted(trial.intermediate_values.items())
    return [(epoch, value) for epoch, value in reports if math.isfinite(value)]


def _best_point(search: Search, curve: Sequence[tuple[int, float]]) -> tuple[int, float]:
    return search.study.metric.best_first(curve, lambda point: point[1])[0]


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
    searches = [search for search in map(Search, studies) if len(search.values) > 1]
    if not searches:
        return None
    search = searches[0]
    scale = Values.of(np.concatenate([one.values for one in searches]), search.maximize)
    x = scale.axis(search.label)
    dashes: tuple[Dash, ...] = ("solid", "dash", "dot", "dashdot")
    marks, medians = [], []
    for i, one in enumerate(searches):
        values = np.sort(one.values)
        name = one.study.name if len(searches) > 1 else ""
        # From the axis's left end, where none is, to its right end, where all are.
        line = Line(
            [min(x.range[0], values[0]), *values, max(x.range[1], values[-1])],
            [0, *(np.arange(1, len(values) + 1) / len(values)), 1],
            PALETTE[i % len(PALETTE)],
            name,
            dash=dashes[i // len(PALETTE) % len(dashes)],
            steps=True,
            hover="{y:.0%} at most {x:.4g}",
        )
        marks.append(line)
        medians.append(f"{number(float(np.median(values)))}{name and f' in {name}'}")
    caption = (
        f"How the {search.metric} of completed trials is distributed: the share whose value "
        f"is at most that of the axis. The median is {listed(medians)}."
    )
    panel = Panel(marks, x, Axis("share of completed trials", (-0.02, 1.02), percent=True))
    return Figure("search_distribution", "Distribution of the values", caption, (panel,))


def timeline(search: Search) -> Figure | None:
    """When each trial ran, and what became of it; None before a trial has ended."""
    trials = [t for t in search.trials if t.datetime_start is not None]
    starts = [t.datetime_start for t in trials if t.datetime_start is not None]
    ends = [t.datetime_complete for t in trials if t.datetime_complete is not None]
    if not ends:
        return None
    earliest, latest = min(starts), max([*ends, *starts])
    total = (latest - earliest).total_seconds()
    unit, seconds = next(
        (u for u in (("seconds", 1), ("minutes", 60), ("hours", 3600)) if total < 150 * u[1]),
        ("days", 86_400),
    )

    def since(moment: datetime | None) -> float:
        return ((moment or latest) - earliest).total_seconds() / seconds

    marks = []
    for name, those in _by_state(trials).items():
        begun = np.array([since(trial.datetime_start) for trial in those])
        lengths = np.array([since(trial.datetime_complete) for trial in those]) - begun
        rows, hover = [trial.number for trial in those], [*map(name_trial, those)]
        bars = Bars(rows, lengths, STATES[name], name, base=begun, thickness=0.85, hover=hover)
        marks.append(bars)
    x = Axis(f"{unit} since the first trial began", (0.0, 1.03 * total / seconds or 1.0))
    edges = trials[-1].number + 0.7, trials[0].number - 0.7
    caption = (
        f"When each of {len(trials)} trials ran. The search took {duration(total)} from "
        f"its first trial to its last, breaks included."
    )
    panel = Panel(marks, x, Axis("trial", edges, whole=True, grid=False))
    return Figure("search_timeline", "Timeline", caption, (panel,))
