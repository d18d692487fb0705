"""What the drawing of all kinds of plotly traces has in common."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from hw1.analysis.figures.svg.axes import Axis
from hw1.analysis.figures.svg.colours import Scale, scale_of
from hw1.analysis.figures.svg.values import (
    Properties,
    colour,
    filled,
    items,
)

_DASHES = {
    "dot": (1, 1),
    "dash": (3, 3),
    "longdash": (5, 5),
    "dashdot": (3, 1, 1, 1),
    "longdashdot": (5, 2, 1, 2),
}


@dataclass(eq=False)
class Panel:
    """A pair of axes with what is drawn on it.

    Attributes:
        axes: matplotlib's.
        x, y: plotly's.
        line: the line before, to which the next one may fill.
    """

    axes: Axes
    x: Axis
    y: Axis
    line: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a trace leaves for the legend and for a colour bar; None where it leaves nothing."""

    handle: Artist | None = None
    scale: Scale | None = None


def colours_of(
    properties: Properties, layout: Properties, n: int, opacity: float
) -> tuple[np.ndarray, Scale | None]:
    """The colour of each of ``n`` points or bars ``(n, 4)``, and their scale if numbers have one.

    Args:
        properties: of the markers; its ``color`` is one colour, or one or a number per point.
        layout: of the figure.
        n: how many there are.
        opacity: what to multiply theirs with.
    """
    value, scale = properties["color"], None
    if isinstance(value, str):
        return np.tile(colour(value, opacity), (n, 1)), None
    values = items(value)
    if values and isinstance(values[0], str):
        colours = np.array([colour(v) for v in values])
    else:
        scale = scale_of(properties, layout, values)
        colours = scale.colours(values)
    return colours * [1, 1, 1, opacity], scale


def texts_of(trace: Properties, n: int) -> list[str]:
    """The text of each of ``n`` points or bars."""
    given = trace.get("text")
    texts = [given] * n if isinstance(given, str) or given is None else list(given)
    template = trace.get("texttemplate")
    if not template:
        return [str(text) if text is not None else "" for text in texts]
    columns = {key: items(trace[key]) for key in ("x", "y") if key in trace}
    return [
        filled(template, {"text": text} | {key: column[i] for key, column in columns.items()})
        for i, text in enumerate(texts)
    ]


def dash_pattern(dash: str, width: float) -> Any:
    """Plotly's name of a dash, or its lengths in pixels, as matplotlib takes it."""
    if dash == "solid":
        return "solid"
    if dash in _DASHES:
        return 0, tuple(part * max(width, 3) for part in _DASHES[dash])
    return 0, tuple(float(part.strip().removesuffix("px")) for part in dash.split(","))
