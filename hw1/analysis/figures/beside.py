"""The network among scikit-learn's models: scores with their intervals."""

import math
from collections.abc import Sequence
from dataclasses import replace

from hw1.analysis.evaluation import Evaluation
from hw1.analysis.figures.layout import grid
from hw1.analysis.figures.marks import Axis, Figure, Line, Mark, Panel, Points
from hw1.analysis.figures.search_trials import Values
from hw1.analysis.figures.style import BLUE, MUTED, VERMILLION
from hw1.analysis.standings import standings, verdict
from hw1.analysis.statistics import Estimate
from hw1.tasks import METRICS
from hw1.words import number

ROW_HEIGHT = 26


def beside_figures(found: Evaluation) -> list[Figure]:
    """A row for the network, its ensemble and each baseline, the best first; none without any."""
    if not found.baselines:
        return []
    rows = standings(found)
    metric = METRICS[found.metric]
    parts = {
        "cross-validation": [row.cross_validation for row in rows],
        "test": [row.test for row in rows],
    }
    shown = {
        name: of_rows
        for name, of_rows in parts.items()
        if any(one is not None and math.isfinite(one.mean) for one in of_rows)
    }
    ends = (len(rows) - 0.5, -0.5)
    named = Axis("", ends, ticks=tuple((i, row.name) for i, row in enumerate(rows)), grid=False)
    colors = [MUTED if row.is_baseline else BLUE for row in rows]
    panels = [
        _panel(metric.words, of_rows, colors, found.maximize, y, place, name)
        for (name, of_rows), y, place in zip(
            shown.items(),
            (named, replace(named, labeled=False)),
            grid(1, len(shown), (0.06, 0.0)),
            strict=False,
        )
    ]
    which = "higher" if found.maximize else "lower"
    return [
        Figure(
            "baselines",
            "The network among scikit-learn’s models",
            f"The {metric.words} ({which} is better) under repeated cross-validation and on the "
            "test examples, with 95% confidence intervals; a triangle at an edge lies beyond it. "
            + verdict(found),
            panels,
            height=len(rows) * ROW_HEIGHT + 110,
            margins=(170, 24, 40, 52),
        )
    ]


def _panel(
    words: str,
    scores: Sequence[Estimate | None],
    colors: Sequence[str],
    maximize: bool,
    y: Axis,
    place: tuple[float, float, float, float],
    title: str,
) -> Panel:
    """The scores of all rows that have one."""
    known = [one for one in scores if one is not None and math.isfinite(one.mean)]
    scale = Values.of([end for one in known for end in (one.low, one.mean, one.high)], maximize)
    marks: list[Mark] = []
    for row, (one, color) in enumerate(zip(scores, colors, strict=True)):
        if one is None or not math.isfinite(one.mean):
            continue
        if math.isfinite(one.low) and math.isfinite(one.high):
            marks.append(Line(scale.within([one.low, one.high]), [row, row], color, width=2))
        at = float(scale.within([one.mean])[0])
        symbol = "circle" if at == one.mean else "triangle-up"
        hover = f"{number(one.mean)} ({number(one.low)} to {number(one.high)})"
        marks.append(
            Points(
                [at],
                [row],
                color if symbol == "circle" else VERMILLION,
                size=10,
                symbol=symbol,
                hover=hover,
            )
        )
    return Panel(marks, scale.axis(words), y, place, title=title)
