"""How plotly's bars are drawn with matplotlib."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.patches import Patch

from hw1.analysis.figures.svg.panel import Drawn, Panel, colours_of, texts_of
from hw1.analysis.figures.svg.scatter import RASTERISED_FROM, draw_error_bars
from hw1.analysis.figures.svg.values import (
    Properties,
    colour,
    floats,
    font,
    items,
    merged,
    plain,
)


def draw_bars(
    panel: Panel, traces: Sequence[Properties], layout: Properties, order: float
) -> list[Drawn]:
    """All bars of a panel, which stand beside, on or before each other.

    Raises:
        NotImplementedError: a ``barmode`` or ``textposition`` that is not supported.
    """
    mode = layout.get("barmode", "group")
    if mode not in ("group", "stack", "overlay"):
        raise NotImplementedError(f"the barmode {mode!r} is not supported in SVG")
    upright = traces[0].get("orientation", "v") == "v"
    along, across = (panel.x, panel.y) if upright else (panel.y, panel.x)
    keys = ("x", "y") if upright else ("y", "x")
    places = [along.positions(items(trace[keys[0]])) for trace in traces]
    distances = np.diff(np.unique(np.concatenate(places)))
    room = (float(distances.min()) if distances.size else 1.0) * (1 - layout.get("bargap", 0.2))
    share = len(traces) if mode == "group" else 1
    tops: dict[tuple[float, bool], float] = {}
    result = []
    for i, (trace, centres) in enumerate(zip(traces, places, strict=True)):
        lengths = floats(items(trace[keys[1]]))
        if "base" in trace:
            base = trace["base"]
            starts = across.positions([base] * len(lengths) if np.isscalar(base) else items(base))
            if across.kind == "date":
                lengths = lengths / 86_400_000  # from milliseconds to matplotlib's days
        else:
            starts = np.zeros(len(lengths))
            across.from_zero = True
        if mode == "stack":
            for j, (centre, length) in enumerate(zip(centres, lengths, strict=True)):
                key = (float(centre), bool(length >= 0))
                starts[j] = tops.get(key, 0.0)
                tops[key] = starts[j] + float(np.nan_to_num(length))
        widths = np.full(
            len(centres), room / share * (1 - layout.get("bargroupgap", 0) * (share > 1))
        )
        if "width" in trace:
            width = trace["width"]
            widths = np.broadcast_to(
                floats(width if np.isscalar(width) else items(width)), len(centres)
            )
        elif share > 1:
            centres = centres + (i - (share - 1) / 2) * room / share
        along.see(centres - widths / 2)
        along.see(centres + widths / 2)
        across.see(np.concatenate([starts, starts + lengths]), padded=True)
        result.append(
            _draw_bar(panel, trace, layout, (centres, widths, starts, lengths), order + i * 0.001)
        )
    return result


def _draw_bar(
    panel: Panel,
    trace: Properties,
    layout: Properties,
    boxes: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    order: float,
) -> Drawn:
    centres, widths, starts, lengths = boxes
    upright = trace.get("orientation", "v") == "v"
    marker = merged({"color": trace["colour"], "line": {"width": 0}}, trace.get("marker", {}))
    opacity = trace.get("opacity", 1.0) * marker.get("opacity", 1.0)
    colours, scale = colours_of(marker, layout, len(centres), opacity)
    style: dict[str, Any] = {
        "color": colours,
        "edgecolor": colour(marker["line"].get("color", "#444")),
        "linewidth": marker["line"]["width"],
        "zorder": order,
    }
    ends = starts + lengths
    if len(centres) > RASTERISED_FROM:  # a patch a bar would take minutes
        sides = np.stack([centres - widths / 2, centres + widths / 2])
        along = np.stack([sides[0], sides[1], sides[1], sides[0]], axis=1)
        across = np.stack([starts, starts, ends, ends], axis=1)
        corners = np.stack([along, across] if upright else [across, along], axis=2)
        del style["color"]
        panel.axes.add_collection(
            PolyCollection(
                # Bars that snapped to pixels would leave gaps between some.
                list(corners),
                facecolors=colours,
                rasterized=True,
                snap=False,
                **style,
            ),
            autolim=False,
        )
    elif upright:
        panel.axes.bar(centres, lengths, widths, starts, **style)
    else:
        panel.axes.barh(centres, lengths, widths, starts, **style)
    x, y = (centres, ends) if upright else (ends, centres)
    draw_error_bars(panel, trace, x, y, "#444", order + 0.0006)
    if "text" in trace or "texttemplate" in trace:
        _label_bars(panel, trace, layout, (x, y), lengths, order)
    first = tuple(colours[0]) if len(colours) else colour(trace["colour"])
    return Drawn(Patch(facecolor=first, edgecolor="none"), scale)


def _label_bars(
    panel: Panel,
    trace: Properties,
    layout: Properties,
    ends: tuple[np.ndarray, np.ndarray],
    lengths: np.ndarray,
    order: float,
) -> None:
    position = trace.get("textposition", "auto")
    if position == "none":
        return
    if position not in ("inside", "outside"):
        raise NotImplementedError("bars need a textposition, inside or outside, in SVG")
    upright = trace.get("orientation", "v") == "v"
    style = font(merged(layout["font"], trace.get("textfont", {})))
    for x, y, length, text in zip(*ends, lengths, texts_of(trace, len(lengths)), strict=True):
        outward = (1 if length >= 0 else -1) * (1 if position == "outside" else -1)
        beyond = "left" if outward > 0 else "right"
        above = "bottom" if outward > 0 else "top"
        panel.axes.annotate(
            plain(text),
            (x, y),
            xytext=(0, 4 * outward) if upright else (4 * outward, 0),
            textcoords="offset pixels",
            ha="center" if upright else beyond,
            va=above if upright else "center",
            zorder=order + 0.0008,
            **style,
        )
