"""Figures of an ablation: what every change does, and the learning curves of each group."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hw1.analysis.ablation import Ablation, Effect, findings
from hw1.analysis.controlled import Measured
from hw1.analysis.figures.layout import grid
from hw1.analysis.figures.marks import Axis, Figure, Line, Mark, Panel, Points, Text
from hw1.analysis.figures.search_trials import Values
from hw1.analysis.figures.style import BLUE, INK, MUTED, PALETTE, VERMILLION
from hw1.analysis.figures.ticks import around
from hw1.analysis.variants import group_words
from hw1.tasks import METRICS
from hw1.words import number, plus_minus

COLORS = {"worse": VERMILLION, "better": BLUE, "no clear difference": MUTED}
ROWS_IN_COLUMN = 14
"""More are drawn side by side."""
ROW_HEIGHT = 16
MOST_CURVES = len(PALETTE)


def ablation_figures(found: Ablation) -> list[Figure]:
    """All of them."""
    groups = [(group, effects) for group, effects in found.groups.items() if effects]
    if not groups:
        return []
    return [differences(found), *(curves(found, *group) for group in groups)]


def differences(found: Ablation) -> Figure:
    """The difference that every change makes, with its interval."""
    metric = METRICS[found.metric]
    scale = _scale(found)
    groups = list(found.groups.values())
    columns = _columns(groups) if len(found.effects) > ROWS_IN_COLUMN else [groups]
    n_rows = max(sum(map(len, column)) + len(column) - 1 for column in columns)
    places = grid(1, len(columns), (0.34, 0.0))
    x = Axis(f"difference in {metric.words}", around([scale.low, scale.high]), n_ticks=5)
    panels = [
        _rows(column, n_rows, scale, x, place)
        for column, place in zip(columns, places, strict=False)
    ]
    base, which = found.base, "higher" if found.maximize else "lower"
    of = "the defaults" if base.trial is None else f"trial {base.trial}"
    return Figure(
        "ablation_differences",
        "What each change does",
        f"One thing at a time is changed in the configuration of {of}, whose {metric.words} is "
        f"{plus_minus(base.estimate.mean, base.estimate.std)}: the difference from it over "
        f"{base.n_repeats} × {base.n_splits} folds, with 95% intervals that hold jointly "
        f"({which} is better). " + " ".join(findings(found)),
        panels,
        height=n_rows * ROW_HEIGHT + 96,
        margins=(64, 24, 32, 52),
    )


def _scale(found: Ablation) -> Values:
    """The axis of differences: it holds all but those far out, and the intervals near them."""
    tested = [effect.test.difference for effect in found.effects if effect.test]
    scale = Values.of([0.0, *(one.mean for one in tested)], found.maximize)
    wide = (scale.high - scale.low) / 2
    low = min([scale.low, *(one.low for one in tested)])
    high = max([scale.high, *(one.high for one in tested)])
    ends = max(low, scale.low - wide), min(high, scale.high + wide)
    return Values(False, *ends, found.maximize)


def _columns(groups: Sequence[list[Effect]]) -> list[list[list[Effect]]]:
    """The groups in two columns of about the same length."""
    lengths = np.cumsum([len(group) + 1 for group in groups])
    first = int(np.abs(lengths - lengths[-1] / 2).argmin()) + 1
    return [column for column in (list(groups[:first]), list(groups[first:])) if column]


def _rows(
    groups: Sequence[list[Effect]],
    n_rows: int,
    scale: Values,
    x: Axis,
    place: tuple[float, float, float, float],
) -> Panel:
    """A column of changes, from the top, with a free row between groups."""
    marks: list[Mark] = [Line([0, 0], [-0.5, n_rows - 0.5], INK, width=1)]
    ticks: list[tuple[float, str]] = []
    row = 0
    for effects in groups:
        for i, effect in enumerate(effects):
            words = group_words(effect.measured.group)
            ticks.append(
                (row, f"{words}: {effect.measured.variant}" if not i else effect.measured.variant)
            )
            marks += _marks(effect, row, scale)
            row += 1
        row += 1
    y = Axis("", (n_rows - 0.5, -0.5), ticks=tuple(ticks), grid=False)
    return Panel(marks, x, y, place)


def _marks(effect: Effect, row: int, scale: Values) -> list[Mark]:
    if effect.verdict == "base":
        style: dict[str, Any] = {"symbol": "diamond", "hover": "the base"}
        return [Points([0.0], [row], INK, "base", size=8, **style)]
    if effect.test is None:
        return [Text(effect.verdict, 0.0, row, "left", color=VERMILLION)]
    found, color = effect.test.difference, COLORS[effect.verdict]
    at = float(scale.within([found.mean])[0])
    beyond = at != found.mean
    hover = f"{effect.name}: {number(found.mean)} ({number(found.low)} to {number(found.high)})"
    symbol = "circle" if not beyond else "triangle-up" if found.mean > at else "triangle-down"
    return [
        Line(scale.within([found.low, found.high]), [row, row], color, width=2),
        Points([at], [row], color, effect.verdict, size=9, symbol=symbol, hover=hover),
    ]


def curves(found: Ablation, group: str, effects: Sequence[Effect]) -> Figure:
    """Training and validation scores of a group by epoch; of a large one those that differ most."""
    metric = METRICS[found.metric]
    base = found.base
    shown = [effect.measured for effect in effects if not effect.measured.is_base]
    shown = sorted(shown, key=lambda one: -_distance(one, base))[: MOST_CURVES - 1]
    shown = [base, *(e.measured for e in effects if e.measured in shown)]
    every = [one.curve(f"{part}_scores") for one in shown for part in ("training", "validation")]
    scale = Values.of(np.concatenate(every), found.maximize)
    n_epochs = max(one.curves["epochs"][-1] for one in shown)
    x = Axis("epoch", around([1, n_epochs]), whole=True)
    y = scale.axis(metric.words, shared="scores")
    panels = []
    for part, place in zip(("training", "validation"), grid(1, 2, (0.12, 0.0)), strict=True):
        marks: list[Mark] = []
        for one, color in zip(shown, PALETTE, strict=False):
            marks += _curve(one, part, color, scale, _name(one, effects))
        panels.append(Panel(marks, x, y, place, title=f"{part} examples"))
    hidden = len({e.measured.variant for e in effects if not e.measured.is_base}) - len(shown) + 1
    left_out = f" {hidden} that differ least are not drawn." if hidden > 0 else ""
    return Figure(
        f"ablation_curves_{group}",
        f"Learning curves by {group_words(group)}",
        f"The {metric.words} on training and validation examples, means over all folds of all "
        "repeats; a point marks the epoch that is scored. On training examples it is the mean "
        f"over the epoch, as they were learned from.{left_out}",
        panels,
        height=380,
    )


def _distance(one: Measured, base: Measured) -> float:
    """By how much scores differ; most of all without any."""
    distance = abs(one.estimate.mean - base.estimate.mean)
    return math.inf if math.isnan(distance) else distance


def _name(one: Measured, effects: Sequence[Effect]) -> str:
    """What a curve is called: that of the base, what the base has."""
    if one.group:
        return one.variant
    own = next((e.measured.variant for e in effects if e.measured.is_base), "")
    return f"{own} (base)" if own and own != "as the base" else "base"


def _curve(one: Measured, part: str, color: str, scale: Values, name: str) -> list[Mark]:
    epochs, values = one.curves["epochs"], one.curve(f"{part}_scores")
    hover = f"{name}, epoch {{x}}: {{y:.4g}}"
    width = 3 if not one.group else 2
    marks: list[Mark] = [Line(epochs, scale.within(values), color, name, width=width, hover=hover)]
    if part == "validation" and one.epoch in epochs:
        at = scale.within([values[epochs.index(one.epoch)]])
        marks.append(Points([one.epoch], at, color, size=9))
    return marks
