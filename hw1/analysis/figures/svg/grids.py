"""How plotly's heatmaps and contours are drawn with matplotlib."""

from typing import Any

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.colors import ListedColormap, Normalize

from hw1.analysis.figures.svg.axes import Axis
from hw1.analysis.figures.svg.colours import Scale, scale_of
from hw1.analysis.figures.svg.panel import Drawn, Panel
from hw1.analysis.figures.svg.values import (
    Properties,
    colour,
    colour_map,
    filled,
    floats,
    font,
    items,
    merged,
    plain,
    readable_on,
)
from hw1.analysis.figures.ticks import linear_ticks

IMAGE_FROM = 400
"""Cells of a heatmap that become an image of as many pixels; fewer become rectangles."""
CELLS = "cells"
"""With what the names of groups of such rectangles begin; their edges are not to be blurred."""
OVERLAP = 0.2
"""Of its neighbour that a rectangle lies below."""


def draw_heatmap(panel: Panel, trace: Properties, layout: Properties, order: float) -> Drawn:
    """Coloured cells, with text if there is any.

    Raises:
        NotImplementedError: the heatmap is smoothed.
    """
    if trace.get("zsmooth"):
        raise NotImplementedError("smoothed heatmaps are not supported in SVG: draw a contour")
    z = _matrix(trace)
    scale = scale_of(trace, layout, z, prefix="z", shown=True)
    colours = scale.colours(z) * [1, 1, 1, trace.get("opacity", 1.0)]
    x = _edges(panel.x, trace, "x", z.shape[1])
    y = _edges(panel.y, trace, "y", z.shape[0])
    for axis, edges in ((panel.x, x), (panel.y, y)):
        axis.see(edges)
    gap = max(trace.get("xgap", 0), trace.get("ygap", 0))
    if z.size >= IMAGE_FROM and _even(panel.x, x) and _even(panel.y, y) and not gap:
        # Unsampled: one pixel a cell, which the viewer enlarges without blurring it.
        panel.axes.imshow(
            colours,
            extent=(x[0], x[-1], y[0], y[-1]),
            origin="lower",
            interpolation="none",
            aspect="auto",
            zorder=order,
        )
    else:
        _draw_cells(panel, layout, (x, y, colours), gap, order)
    if trace.get("texttemplate"):
        _write_cells(panel, trace, layout, (x, y, z, colours), order)
    return Drawn(scale=scale)


def _draw_cells(
    panel: Panel,
    layout: Properties,
    cells: tuple[np.ndarray, np.ndarray, np.ndarray],
    gap: float,
    order: float,
) -> None:
    """Rectangles, which reach below the next ones, lest the background show between them."""
    x, y, colours = cells
    right, top = x[1:].copy(), y[1:].copy()
    if not gap and (colours[..., 3] == 1).all():
        right[:-1] += OVERLAP * np.diff(x)[1:]
        top[:-1] += OVERLAP * np.diff(y)[1:]
    rows, columns = np.nonzero(colours[..., 3])
    corners = [(x[columns], y[rows]), (right[columns], y[rows])]
    corners += [(right[columns], top[rows]), (x[columns], top[rows])]
    rectangles = PolyCollection(
        list(np.moveaxis(np.array(corners), 2, 0)),
        facecolors=colours[rows, columns],
        edgecolors=colour(layout["plot_bgcolor"]) if gap else "none",
        linewidths=gap,
        gid=f"{CELLS}-{panel.x.name}-{panel.y.name}-{order:g}",
        zorder=order,
    )
    panel.axes.add_collection(rectangles, autolim=False)


def _matrix(trace: Properties) -> np.ndarray:
    z = floats([items(row) for row in trace["z"]])
    return z.swapaxes(0, 1) if trace.get("transpose") else z


def _edges(axis: Axis, trace: Properties, key: str, n: int) -> np.ndarray:
    """Where ``n`` cells begin and end, ``(n + 1,)``."""
    if key not in trace:
        return float(trace.get(f"{key}0", 0)) + (np.arange(n + 1) - 0.5) * float(
            trace.get(f"d{key}", 1)
        )
    given: np.ndarray = axis.positions(items(trace[key]))
    if len(given) == n + 1:
        return given
    if axis.kind == "log":
        given = np.log10(given)
    middles = (given[1:] + given[:-1]) / 2
    first, last = (1.0, 1.0) if n == 1 else (given[1] - given[0], given[-1] - given[-2])
    edges = np.concatenate([[given[0] - first / 2], middles, [given[-1] + last / 2]])
    return np.power(10.0, edges) if axis.kind == "log" else edges


def _even(axis: Axis, edges: np.ndarray) -> bool:
    widths = np.diff(edges)
    return axis.kind != "log" and bool(np.allclose(widths, widths[0], rtol=1e-6))


def _write_cells(
    panel: Panel,
    trace: Properties,
    layout: Properties,
    cells: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    order: float,
) -> None:
    """The text of cells, dark on light ones and light on dark ones unless its colour is given."""
    x, y, z, colours = cells
    texts = [items(row) for row in trace.get("text", np.full(z.shape, ""))]
    own = trace.get("textfont", {})
    style = font(merged(layout["font"], own))
    for (i, j), value in np.ndenumerate(z):
        text = filled(trace["texttemplate"], {"z": f"{value:.6g}", "text": texts[i][j]})
        if not text or np.isnan(value):
            continue
        if "color" not in own:
            style["color"] = readable_on(tuple(colours[i, j]))
        centre = (x[j] + x[j + 1]) / 2, (y[i] + y[i + 1]) / 2
        panel.axes.text(*centre, plain(text), ha="center", va="center", zorder=order + 0.5, **style)


def draw_contour(panel: Panel, trace: Properties, layout: Properties, order: float) -> Drawn:
    """Filled bands between levels, and lines at them.

    Raises:
        NotImplementedError: gaps to be closed, or contours that are not filled bands or lines.
    """
    z = _matrix(trace)
    if trace.get("connectgaps") and np.isnan(z).any():
        raise NotImplementedError("contours across gaps are not supported in SVG: fill them in z")
    x = panel.x.positions(items(trace["x"]) if "x" in trace else np.arange(z.shape[1]))
    y = panel.y.positions(items(trace["y"]) if "y" in trace else np.arange(z.shape[0]))
    panel.x.see(x)
    panel.y.see(y)
    contours = merged({"coloring": "fill", "showlines": True}, trace.get("contours", {}))
    levels = _levels(trace, contours, z)
    scale = _bands(trace, layout, levels)
    line = merged({"width": 0.5, "color": "#444"}, trace.get("line", {}))
    if contours["coloring"] == "fill":
        panel.axes.contourf(
            x, y, z, levels, colors=list(_listed(scale)), extend="both", zorder=order
        )
    elif contours["coloring"] not in ("none", "lines"):
        raise NotImplementedError(
            f"contours with coloring {contours['coloring']!r} are not supported in SVG"
        )
    if contours["showlines"] and line["width"] and len(levels):
        colours: Any = colour(line["color"])
        if contours["coloring"] == "lines":
            colours = scale.colours(levels)
        drawn = panel.axes.contour(
            x,
            y,
            z,
            levels,
            colors=colours,
            linewidths=line["width"],
            linestyles="solid",
            zorder=order + 0.1,
        )
        if contours.get("showlabels"):
            style = font(merged(layout["font"], contours.get("labelfont", {})))
            panel.axes.clabel(drawn, fontsize=style["fontsize"], colors=[style["color"]])
    return Drawn(scale=scale)


def _levels(trace: Properties, contours: Properties, z: np.ndarray) -> np.ndarray:
    size = contours.get("size")
    if size is not None and "start" in contours and "end" in contours:
        n = round((contours["end"] - contours["start"]) / size)
        levels: np.ndarray = contours["start"] + size * np.arange(n + 1)
        return levels
    low, high = np.nanmin(z), np.nanmax(z)
    ticks = np.array(linear_ticks(low, high, trace.get("ncontours", 15)))
    inside: np.ndarray = ticks[(ticks > low) & (ticks < high)]
    return inside if inside.size else np.array([low])


def _bands(trace: Properties, layout: Properties, levels: np.ndarray) -> Scale:
    """The colours of the bands below, between and above the levels, evenly along the scale."""
    size = levels[1] - levels[0] if len(levels) > 1 else 1.0
    ends = {"zmin": levels[0] - size, "zmax": levels[-1] + size}
    whole = scale_of({**trace, **ends, "zmid": None}, layout, [], prefix="z", shown=True)
    cmap = colour_map(
        trace.get("colorscale") or layout["colorscale"]["sequential"],
        bool(trace.get("reversescale")),
    )
    bands = ListedColormap(cmap(np.linspace(0, 1, len(levels) + 1)))
    return Scale(whole.name, bands, Normalize(ends["zmin"], ends["zmax"], clip=True), whole.bar)


def _listed(scale: Scale) -> np.ndarray:
    assert isinstance(scale.cmap, ListedColormap)
    return np.asarray(scale.cmap.colors)
