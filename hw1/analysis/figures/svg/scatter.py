"""How plotly's lines and points are drawn with matplotlib."""

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hw1.analysis.figures.svg.colours import Scale
from hw1.analysis.figures.svg.panel import Drawn, Panel, colours_of, dash_pattern, texts_of
from hw1.analysis.figures.svg.values import (
    Properties,
    colour,
    floats,
    font,
    items,
    merged,
    plain,
)

RASTERISED_FROM = 1000
"""Markers of one trace; as paths, so many would make a huge file."""

_SYMBOLS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "cross": "P",
    "x": "X",
    "triangle-up": "^",
    "triangle-down": "v",
    "triangle-left": "<",
    "triangle-right": ">",
    "pentagon": "p",
    "hexagon": "h",
    "star": "*",
    "cross-thin": "+",
    "x-thin": "x",
    "line-ns": "|",
    "line-ew": "_",
}
_THIN = ("cross-thin", "x-thin", "line-ns", "line-ew")
_ANCHORS = {"left": "right", "center": "center", "right": "left"}


def draw_scatter(panel: Panel, trace: Properties, layout: Properties, order: float) -> Drawn:
    """Lines, markers, text, fills and error bars.

    Args:
        panel: where.
        trace: with the template's properties; ``colour`` is its colour by default.
        layout: of the figure.
        order: what is drawn over what.
    """
    n = max(len(items(trace.get("x"))), len(items(trace.get("y"))))
    x = panel.x.positions(items(trace["x"]) if "x" in trace else np.arange(n))
    y = panel.y.positions(items(trace["y"]) if "y" in trace else np.arange(n))
    mode = trace.get("mode") or ("lines+markers" if n < 20 else "lines")
    if trace.get("connectgaps"):
        there = np.isfinite(x) & np.isfinite(y)
        x, y = x[there], y[there]
    opacity = trace.get("opacity", 1.0)
    line = merged({"color": trace["colour"], "width": 2, "shape": "linear"}, trace.get("line", {}))
    padded = "markers" in mode or "text" in mode
    panel.x.see(x, padded=padded)
    panel.y.see(y, padded=True)
    path = _shaped(x, y, line["shape"])
    _fill(panel, trace, path, line, order)
    panel.line = path
    style: dict[str, Any] = {
        "color": colour(line["color"], opacity),
        "linewidth": line["width"],
        "linestyle": dash_pattern(line.get("dash", "solid"), line["width"]),
    }
    handle: Artist | None = None
    if "lines" in mode:
        # A gap ends a line, as in plotly: translucent ones are darker where they cross.
        for part in _parts(*path):
            panel.axes.plot(*part, **style, zorder=order, solid_joinstyle="round")
        handle = Line2D([], [], **style)
    draw_error_bars(panel, trace, x, y, line["color"], order)
    scale = None
    if "markers" in mode:
        marker, scale = _markers(panel, trace, layout, (x, y), order)
        handle = Line2D([], [], **(style if handle else {"linestyle": "none"}), **marker)
    if "text" in mode:
        _labels(panel, trace, layout, (x, y), order)
    if trace.get("fill", "none") != "none" and (mode == "none" or line["width"] == 0):
        handle = Patch(facecolor=_fill_colour(trace, line), edgecolor="none")
    return Drawn(handle, scale)


def _shaped(x: np.ndarray, y: np.ndarray, shape: str) -> tuple[np.ndarray, np.ndarray]:
    """A line's points, those of its steps too."""
    match shape:
        case "linear":
            return x, y
        case "hv":
            return np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]
        case "vh":
            return np.repeat(x, 2)[:-1], np.repeat(y, 2)[1:]
        case "hvh":
            middle = np.repeat((x[1:] + x[:-1]) / 2, 2)
            return np.concatenate([x[:1], middle, x[-1:]]), np.repeat(y, 2)
    raise NotImplementedError(f"lines of shape {shape!r} are not supported in SVG")


def _parts(x: np.ndarray, y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The pieces of a line between its gaps."""
    there = np.isfinite(x) & np.isfinite(y)
    starts = np.flatnonzero(np.diff(there.astype(int))) + 1
    pieces = zip(np.split(x, starts), np.split(y, starts), np.split(there, starts), strict=True)
    return [(px, py) for px, py, here in pieces if here.any()]


def _fill_colour(trace: Properties, line: Properties) -> tuple[float, float, float, float]:
    opacity = trace.get("opacity", 1.0)
    if "fillcolor" in trace:
        return colour(trace["fillcolor"], opacity)
    return colour(line["color"], 0.5 * opacity)


def _fill(
    panel: Panel,
    trace: Properties,
    path: tuple[np.ndarray, np.ndarray],
    line: Properties,
    order: float,
) -> None:
    """The area between a line and zero, the line before, or its own ends."""
    style: dict[str, Any] = {
        "facecolor": _fill_colour(trace, line),
        "edgecolor": "none",
        "zorder": order - 0.0005,
    }
    x, y = path
    match trace.get("fill", "none"):
        case "none":
            return
        case "tozeroy":
            zero = np.finfo(float).tiny if panel.y.kind == "log" else 0.0
            panel.y.see(np.zeros(1))
            panel.y.from_zero = True
            panel.axes.fill_between(x, y, zero, **style)
        case "tonexty" | "tonextx":
            if panel.line is None:
                raise ValueError("a trace that fills to the next one needs a trace before it")
            before_x, before_y = panel.line
            panel.axes.fill(
                np.concatenate([before_x, x[::-1]]), np.concatenate([before_y, y[::-1]]), **style
            )
        case "toself":
            for part in _parts(x, y):
                panel.axes.fill(*part, **style)
        case other:
            raise NotImplementedError(f"the fill {other!r} is not supported in SVG")


def draw_error_bars(
    panel: Panel, trace: Properties, x: np.ndarray, y: np.ndarray, default: str, order: float
) -> None:
    """The error bars of points or bars, in their colour by default."""
    for direction, axis, along in (("x", panel.x, x), ("y", panel.y, y)):
        bars = trace.get(f"error_{direction}", {})
        if not bars or not bars.get("visible", True):
            continue
        match bars.get("type", "data"):
            case "data":
                above = floats(items(bars["array"]))
                below = floats(items(bars.get("arrayminus", bars["array"])))
            case "constant":
                above = below = np.full(len(along), float(bars["value"]))
            case other:
                raise NotImplementedError(f"error bars of type {other!r} are not supported in SVG")
        axis.see(along + np.nan_to_num(above))
        axis.see(along - np.nan_to_num(below))
        panel.axes.errorbar(
            x,
            y,
            xerr=np.stack([below, above]) if direction == "x" else None,
            yerr=np.stack([below, above]) if direction == "y" else None,
            fmt="none",
            ecolor=colour(bars.get("color", default), trace.get("opacity", 1.0)),
            elinewidth=bars.get("thickness", 2),
            capsize=bars.get("width", 4),
            capthick=bars.get("thickness", 2),
            zorder=order - 0.0002,
        )


def _markers(
    panel: Panel,
    trace: Properties,
    layout: Properties,
    points: tuple[np.ndarray, np.ndarray],
    order: float,
) -> tuple[Properties, Scale | None]:
    """Draw the markers; what a legend's entry needs, and their colour scale."""
    x, y = points
    marker = merged(
        {"color": trace.get("line", {}).get("color", trace["colour"])},
        {"size": 6, "symbol": "circle", "line": {"width": 0}},
        trace.get("marker", {}),
    )
    opacity = trace.get("opacity", 1.0) * marker.get("opacity", 1.0)
    colours, scale = colours_of(marker, layout, len(x), opacity)
    one_size = np.isscalar(marker["size"])
    sizes = np.full(len(x), marker["size"]) if one_size else floats(items(marker["size"]))
    if not one_size and marker.get("sizeref"):
        ratio = sizes / marker["sizeref"]
        sizes = np.sqrt(ratio) if marker.get("sizemode") == "area" else ratio
    given = marker["symbol"]
    symbols = np.array([given] * len(x) if isinstance(given, str | int) else list(given), dtype=str)
    legend: Properties = {}
    for symbol in dict.fromkeys(symbols.tolist()):
        base = symbol.removesuffix("-open")
        if base not in _SYMBOLS:
            raise NotImplementedError(f"the marker symbol {symbol!r} is not supported in SVG")
        thin, hollow = base in _THIN, symbol.endswith("-open")
        here = symbols == symbol
        width = marker["line"]["width"]
        if hollow or thin:
            width = width or 1
        outline = colours[here] if hollow or thin else colour(marker["line"].get("color", "#444"))
        panel.axes.scatter(
            x[here],
            y[here],
            s=sizes[here] ** 2,
            marker=_SYMBOLS[base],
            facecolors=colours[here] if thin or not hollow else "none",
            # Of markers that are lines the face is all there is.
            edgecolors=None if thin else outline if width else "none",
            linewidths=width,
            zorder=order + 0.0002,
            rasterized=bool(here.sum() > RASTERISED_FROM),
            clip_on=bool(trace.get("cliponaxis", True)),
        )
        if not legend and here.any():
            of_all = tuple(colours[here][len(colours[here]) // 2])
            legend = {
                "marker": _SYMBOLS[base],
                "markersize": float(np.median(sizes)),
                "markerfacecolor": "none" if hollow else of_all,
                "markeredgecolor": of_all
                if hollow or thin
                else colour(marker["line"].get("color", "#444"))
                if width
                else "none",
                "markeredgewidth": width,
            }
    return legend, scale


def _labels(
    panel: Panel,
    trace: Properties,
    layout: Properties,
    points: tuple[np.ndarray, np.ndarray],
    order: float,
) -> None:
    """The text of points."""
    x, y = points
    texts = texts_of(trace, len(x))
    size = trace.get("marker", {}).get("size", 6) if "markers" in trace["mode"] else 0
    style = font(merged(layout["font"], trace.get("textfont", {})))
    given = trace.get("textposition", "middle center")
    positions = [given] * len(x) if isinstance(given, str) else list(given)
    for px, py, text, position in zip(x, y, texts, positions, strict=True):
        vertical, horizontal = position.split()
        up, right = (
            {"top": 1, "middle": 0, "bottom": -1}[vertical],
            {"left": -1, "center": 0, "right": 1}[horizontal],
        )
        panel.axes.annotate(
            plain(text),
            (px, py),
            xytext=(right * (size / 2 + 3), up * (size / 2 + 3)),
            textcoords="offset pixels",
            ha=_ANCHORS[horizontal],
            va={"top": "bottom", "middle": "center", "bottom": "top"}[vertical],
            annotation_clip=True,
            zorder=order + 0.0004,
            **style,
        )
