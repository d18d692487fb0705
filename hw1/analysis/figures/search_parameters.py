"""Figures of what the parameters of a search have to do with the value of its trials."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from optuna.trial import FrozenTrial
from plotly.subplots import make_subplots

from hw1.analysis.figures.search_trials import (
    BEST_MARK,
    N_SHOWN,
    POINT_OUTLINE,
    Parameter,
    Values,
    best_of,
    completed,
    importances_of,
    metric_label,
    metric_name,
    name_trial,
    parameters,
    whole,
)
from hw1.analysis.figures.style import BLUE, SEQUENTIAL, TEMPLATE, VERMILLION, Figure
from hw1.study import Study
from hw1.words import number, value_text

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
    labels = [name.replace("_", " ") for name in shares]
    plot = go.Figure(layout={"template": TEMPLATE, "height": 110 + 27 * len(shares), "bargap": 0.3})
    plot.add_bar(
        x=list(shares.values()),
        y=labels,
        orientation="h",
        marker={"color": BLUE},
        text=["<0.01" if share < 0.005 else f"{share:.2f}" for share in shares.values()],
        textposition="outside",
        cliponaxis=False,
        hoverinfo="skip",
    )
    plot.update_xaxes(title_text="importance (share)", range=[0, 1.1 * max(shares.values())])
    plot.update_yaxes(type="category", autorange="reversed", showgrid=False)
    first, second = labels[:2]
    caption = (
        "How strongly each parameter decides whether a trial is among the best tenth, by PED-ANOVA "
        f"over {len(trials)} completed trials; the shares add up to 1. {first} matters most "
        f"({next(iter(shares.values())):.2f}), then {second} ({list(shares.values())[1]:.2f})."
    )
    if len(trials) < FEW_TRIALS:
        caption += " So few trials give no more than a hint."
    return Figure("search_importances", "Importance of the parameters", caption, plot)


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
        else f" Shown are the {len(chosen)} most important of {n} parameters."
    )


def small_plots(n_rows: int, n_columns: int, height: int, **options: Any) -> go.Figure:
    """Small plots in rows and columns, with room for a parameter's name below each."""
    plot = make_subplots(n_rows, n_columns, **options)
    return plot.update_layout(template=TEMPLATE, height=height, width=None, showlegend=False)


def slices(study: Study) -> Figure | None:
    """The value over each important parameter; None before two trials have completed."""
    trials = completed(study)
    chosen = most_important(study, trials, N_SHOWN)
    if not chosen:
        return None
    values = Values.of((trial.values[0] for trial in trials), study.metric.maximize)
    n_columns = min(3, len(chosen))
    n_rows = -(-len(chosen) // n_columns)
    plot = small_plots(
        n_rows,
        n_columns,
        90 + 240 * n_rows,
        shared_yaxes=True,
        horizontal_spacing=0.03,
        vertical_spacing=0.2 if n_rows > 1 else 0,
    )
    best = best_of(study, trials)
    for i, parameter in enumerate(chosen):
        place = {"row": i // n_columns + 1, "col": i % n_columns + 1}
        those = [trial for trial in trials if parameter.name in trial.params]
        plot.add_scatter(
            x=parameter.spread(those),
            y=values.within([trial.values[0] for trial in those]),
            mode="markers",
            marker={
                "color": [trial.number for trial in those],
                "cmin": 0,
                "cmax": max(trials[-1].number, 1),
                "colorscale": SEQUENTIAL,
                "showscale": i == 0,
                "colorbar": {"title": {"text": "trial"}, **whole(trials[-1].number)},
                "size": point_size(trials),
                "line": POINT_OUTLINE,
            },
            hovertext=[name_trial(trial) for trial in those],
            hoverinfo="text",
            **place,
        )
        if parameter.name in best.params:
            mark_best(plot, parameter.spread([best]), values.within([best.values[0]]), place)
        plot.update_xaxes(title_text=parameter.label, **parameter.axis(), **place)
    plot.update_yaxes(**values.axis())
    _name_rows(plot, metric_label(study), n_rows)
    caption = (
        f"The {metric_name(study)} of {len(trials)} completed trials over each parameter by itself;"
        f" later trials are darker, the diamond is the best (trial {best.number})."
        + _shown(chosen, trials)
    )
    return Figure("search_slices", "Value over each parameter", caption, plot)


def mark_best(plot: go.Figure, x: Any, y: Any, place: dict[str, int]) -> None:
    """Put the best trial's mark there."""
    plot.add_scatter(
        x=x,
        y=y,
        mode="markers",
        marker={"color": VERMILLION, **BEST_MARK},
        hoverinfo="skip",
        **place,
    )


def _name_rows(plot: go.Figure, label: str, n_rows: int) -> None:
    """One title for the vertical axes of all rows."""
    if n_rows == 1:
        plot.update_yaxes(title_text=label, row=1, col=1)
        return
    plot.add_annotation(
        text=label,
        textangle=-90,
        xref="paper",
        yref="paper",
        x=0,
        y=0.5,
        xshift=-58,
        xanchor="center",
        yanchor="middle",
        showarrow=False,
    )
    plot.update_layout(margin={"l": 80})


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
    values = Values.of((trial.values[0] for trial in trials), study.metric.maximize, colours=True)
    # The best last, on top of the others.
    trials = sorted(trials, key=lambda trial: trial.values[0], reverse=not study.metric.maximize)
    shades = values.shades([trial.values[0] for trial in trials])
    bar = values.colour_bar(metric_label(study))
    low, high = values.ends
    dimensions = [_dimension(parameter, trials) for parameter in chosen]
    dimensions.append(
        {
            "label": metric_name(study),
            "values": shades,
            "range": [low, high],
            "tickvals": bar["tickvals"],
            "ticktext": bar["ticktext"],
        }
    )
    plot = go.Figure(layout={"template": TEMPLATE, "height": 460})
    plot.add_parcoords(
        dimensions=dimensions,
        line={
            "color": shades,
            "colorscale": _from_faint(),
            "cmin": low,
            "cmax": high,
            "reversescale": not study.metric.maximize,
            "showscale": False,
        },
    )
    plot.update_layout(margin={"l": 90, "r": 90, "t": 56, "b": 24})
    best = trials[-1]
    caption = (
        f"Each line is one of {len(trials)} completed trials; the darker, the better its "
        f"{metric_name(study)}. The best, trial {best.number}, has "
        f"{', '.join(f'{p.label} {value_text(best.params[p.name])}' for p in chosen)}."
    )
    if values.beyond([trial.values[0] for trial in trials]).any():
        caption += " What is far worse than most ends at the end of the last axis."
    return Figure("search_parallel", "Parallel coordinates", caption, plot)


def _from_faint() -> list[tuple[float, str]]:
    """The colour scale from its first shade that a thin line still shows."""
    return [(i / (len(SEQUENTIAL) - 2), shade) for i, (_, shade) in enumerate(SEQUENTIAL[1:])]


def _dimension(parameter: Parameter, trials: Sequence[FrozenTrial]) -> dict[str, Any]:
    """One of the parallel axes; all run from 0 to 1, for plotly has no logarithmic ones."""
    ticks, texts = parameter.ticks(5) or _plain_ticks(parameter)
    return {
        "label": parameter.label,
        "values": parameter.unit(parameter.positions(trials)),
        "range": [0, 1],
        "tickvals": parameter.unit(ticks),
        "ticktext": texts,
    }


def _plain_ticks(parameter: Parameter) -> tuple[list[float], list[str]]:
    ticks = np.linspace(parameter.low, parameter.high, 5)
    if parameter.integer:
        ticks = np.unique(ticks.round())
    return ticks.tolist(), [number(float(tick)) for tick in ticks]


def rank(study: Study) -> Figure | None:
    """The rank of the trials over each pair of important parameters.

    None before two trials have completed, or for one parameter.
    """
    trials = completed(study)
    chosen = most_important(study, trials, N_RANKED)
    if len(chosen) < 2:
        return None
    n = len(chosen) - 1
    plot = small_plots(
        n,
        n,
        100 + 190 * n,
        shared_xaxes=True,
        shared_yaxes=True,
        horizontal_spacing=0.03,
        vertical_spacing=0.04,
    )
    values = np.array([trial.values[0] for trial in trials])
    # The worst first: the best are drawn last, on top.
    order = np.argsort(values if study.metric.maximize else -values, kind="stable")
    drawn = [trials[i] for i in order]
    marker = {
        "color": np.linspace(1, 0, len(trials)),
        "cmin": 0,
        "cmax": 1,
        "colorscale": SEQUENTIAL,
        "reversescale": True,
        "colorbar": {
            "title": {"text": "rank of the trial"},
            "tickvals": [0, 0.25, 0.5, 0.75, 1],
            "ticktext": ["best", "25 %", "median", "75 %", "worst"],
        },
        "size": point_size(trials),
        "line": POINT_OUTLINE,
    }
    for row, column in itertools.product(range(n), range(n)):
        place = {"row": row + 1, "col": column + 1}
        if column > row:
            plot.update_xaxes(visible=False, **place)
            plot.update_yaxes(visible=False, **place)
            continue
        x, y = chosen[column], chosen[row + 1]
        plot.add_scatter(
            x=x.spread(drawn),
            y=y.spread(drawn, upwards=True),
            mode="markers",
            marker={**marker, "showscale": row == column == 0},
            hovertext=[name_trial(trial) for trial in drawn],
            hoverinfo="text",
            **place,
        )
        plot.update_xaxes(title_text=x.label if row == n - 1 else None, **x.axis(3), **place)
        plot.update_yaxes(title_text=y.label if column == 0 else None, **y.axis(4), **place)
    caption = (
        f"Where the good ones among {len(trials)} completed trials lie, for each pair of "
        f"parameters: the darker, the better the trial's rank by {metric_name(study)}."
        + _shown(chosen, trials)
    )
    return Figure("search_rank", "Rank over pairs of parameters", caption, plot)
