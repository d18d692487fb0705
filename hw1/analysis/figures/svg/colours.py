"""Colours that stand for numbers in a plotly figure: the scales of traces, and their bars."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.colors import Colormap, Normalize

from hw1.analysis.figures.svg.values import Properties, colour_map, floats, merged

BAR_DEFAULTS: Properties = {
    "len": 1.0,
    "orientation": "v",
    "outlinewidth": 1,
    "thickness": 30,
    "title": {"text": "", "side": "top"},
}


@dataclass(frozen=True, eq=False)
class Scale:
    """What colours a trace's numbers have.

    Attributes:
        name: of the colour axis that traces share; empty for a trace's own scale.
        cmap: the colours.
        norm: what numbers become the ends of it.
        bar: the properties of its colour bar; None where none is shown.
    """

    name: str
    cmap: Colormap
    norm: Normalize
    bar: Properties | None

    def colours(self, values: Any) -> np.ndarray:
        """Numbers as red, green, blue, opacity in [0, 1]: of their shape with an axis of four.

        Nothing, NaN, is transparent.
        """
        numbers = floats(values)
        colours: np.ndarray = np.asarray(self.cmap(self.norm(np.nan_to_num(numbers))))
        colours[np.isnan(numbers)] = 0
        return colours


def scale_of(
    properties: Properties,
    layout: Properties,
    values: Any,
    *,
    prefix: str = "c",
    shown: bool = False,
) -> Scale:
    """The colour scale of a heatmap, of markers or of lines.

    Args:
        properties: of the trace, or of its markers or lines.
        layout: of the figure; it has the shared colour axes.
        values: the numbers, from whose extent the scale's ends are taken unless they are given.
        prefix: of the properties that give the ends.
        shown: whether there is a colour bar where nothing is said about it.
    """
    name = properties.get("coloraxis", "")
    if name:
        properties, prefix, shown = merged({"colorscale": None}, layout[name]), "c", True
    low, high = properties.get(f"{prefix}min"), properties.get(f"{prefix}max")
    numbers = floats(values)
    numbers = numbers[np.isfinite(numbers)]
    low = float(numbers.min() if numbers.size else 0.0) if low is None else float(low)
    high = float(numbers.max() if numbers.size else 1.0) if high is None else float(high)
    middle = properties.get(f"{prefix}mid")
    if middle is not None:
        reach = max(abs(high - middle), abs(middle - low))
        low, high = middle - reach, middle + reach
    colorscale = properties.get("colorscale") or layout["colorscale"]["sequential"]
    return Scale(
        name,
        colour_map(colorscale, bool(properties.get("reversescale"))),
        Normalize(low, high if high > low else low + 1, clip=True),
        merged(
            BAR_DEFAULTS,
            {"title": {"font": layout["font"]}, "tickfont": layout["font"]},
            properties.get("colorbar", {}),
        )
        if properties.get("showscale", shown)
        else None,
    )
