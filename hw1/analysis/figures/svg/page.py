"""What stands beside the panels of a plotly figure: legend, colour bars, title; with matplotlib."""

import math
from collections.abc import Sequence
from typing import Any

import matplotlib.figure
import numpy as np
from matplotlib.artist import Artist
from matplotlib.legend import Legend
from matplotlib.transforms import Bbox, Transform

from hw1.analysis.figures.svg.axes import Axis
from hw1.analysis.figures.svg.colours import Scale
from hw1.analysis.figures.svg.panel import Drawn
from hw1.analysis.figures.svg.values import Properties, colour, font, merged, plain

BAR_PADDING = 10
"""Pixels that plotly leaves around a colour bar."""

_UPPER = {"top": "upper", "middle": "center", "bottom": "lower"}
_NO_LEGEND = ("heatmap", "contour", "parcoords")


def anchor(settings: Properties, direction: str) -> str:
    """Which part of a box stands at its place; by itself the nearest to the paper's edge."""
    given = str(settings.get(f"{direction}anchor", "auto"))
    if given != "auto":
        return given
    names = ("left", "center", "right") if direction == "x" else ("bottom", "middle", "top")
    place = settings[direction]
    return names[0] if place < 1 / 3 else names[1] if place <= 2 / 3 else names[2]


def draw_legend(
    figure: matplotlib.figure.Figure,
    layout: Properties,
    traces: Sequence[Properties],
    drawn: Sequence[Drawn],
    paper: Transform,
) -> None:
    """The names of the traces, if there is more than one or one asks for it."""
    entries: list[tuple[Artist, str]] = []
    groups = set()
    for trace, result in zip(traces, drawn, strict=True):
        if not trace.get("showlegend", trace["type"] not in _NO_LEGEND) or result.handle is None:
            continue
        group = trace.get("legendgroup")
        if group and (group, trace.get("name")) in groups:
            continue
        groups.add((group, trace.get("name")))
        entries.append((result.handle, plain(trace.get("name", f"trace {len(entries)}"))))
    asked = any(trace.get("showlegend") for trace in traces)
    if not entries or not layout.get("showlegend", len(entries) > 1 or asked):
        return
    settings = layout["legend"]
    if str(settings.get("traceorder", "normal")).startswith("reversed"):
        entries.reverse()
    columns = len(entries) if settings["orientation"] == "h" else 1
    room = figure.bbox.width - paper.transform((settings["x"], 0))[0]
    legend = _legend(figure, settings, layout, entries, columns, paper)
    while columns > 1 and legend.get_window_extent().width > room:
        legend.remove()
        columns -= 1
        legend = _legend(figure, settings, layout, entries, columns, paper)


def _legend(
    figure: matplotlib.figure.Figure,
    settings: Properties,
    layout: Properties,
    entries: Sequence[tuple[Artist, str]],
    columns: int,
    paper: Transform,
) -> Legend:
    # Matplotlib fills column after column, plotly row after row.
    ordered = [entry for i in range(columns) for entry in entries[i::columns]]
    style = font(merged(layout["font"], settings.get("font", {})))
    background = settings.get("bgcolor", "transparent")
    vertical = _UPPER[anchor(settings, "y")]
    horizontal = anchor(settings, "x")
    place = "center" if vertical == horizontal == "center" else f"{vertical} {horizontal}"
    title = plain(settings.get("title", {}).get("text"))
    legend: Legend = figure.legend(  # type: ignore[call-overload]
        [handle for handle, _ in ordered],
        [name for _, name in ordered],
        loc=place,
        bbox_to_anchor=(settings["x"], settings["y"]),
        bbox_transform=paper,
        ncols=columns,
        fontsize=style["fontsize"],
        labelcolor=[style["color"]],
        title=title or None,
        title_fontsize=style["fontsize"],
        alignment="left",
        frameon=background != "transparent",
        facecolor=colour(background),
        framealpha=colour(background)[3],
        edgecolor="none",
        borderaxespad=0,
        borderpad=0.2,
        handlelength=1.7,
        handletextpad=0.6,
        columnspacing=1.6,
    )
    legend.set_zorder(7)
    return legend


def draw_colour_bars(
    figure: matplotlib.figure.Figure,
    layout: Properties,
    scales: Sequence[Scale],
    inner: Bbox,
) -> None:
    """The bars of the scales that show one; one for those that share a colour axis."""
    seen = set()
    for scale in scales:
        if scale.bar is None or (scale.name and scale.name in seen):
            continue
        seen.add(scale.name)
        _draw_bar(figure, layout, scale, scale.bar, inner)


def _draw_bar(
    figure: matplotlib.figure.Figure,
    layout: Properties,
    scale: Scale,
    settings: Properties,
    inner: Bbox,
) -> None:
    upright = settings["orientation"] == "v"
    width, height = figure.get_size_inches() * 72
    settings = merged({"x": 1.02, "y": 0.5} if upright else {"x": 0.5, "y": 1.02}, settings)
    settings.setdefault("xanchor", "left" if upright else "center")
    settings.setdefault("yanchor", "middle" if upright else "bottom")
    room = (inner.height * height if upright else inner.width * width) * settings["len"]
    length, thickness = room - 2 * BAR_PADDING, settings["thickness"]
    size = (thickness, length) if upright else (length, thickness)
    left = inner.x0 * width + settings["x"] * inner.width * width
    bottom = inner.y0 * height + settings["y"] * inner.height * height
    along = {"left": BAR_PADDING, "center": -size[0] / 2, "right": -size[0] - BAR_PADDING}
    up = {"bottom": BAR_PADDING, "middle": -size[1] / 2, "top": -size[1] - BAR_PADDING}
    left += along[anchor(settings, "x")]
    bottom += up[anchor(settings, "y")]
    axes = figure.add_axes(
        (left / width, bottom / height, size[0] / width, size[1] / height), label="colour bar"
    )
    low, high = float(scale.norm.vmin or 0), float(scale.norm.vmax or 0)
    colours = scale.colours(np.linspace(low, high, 256))
    axes.imshow(
        colours[:, None] if upright else colours[None],
        extent=(0, 1, low, high) if upright else (low, high, 0, 1),
        origin="lower",
        interpolation="none",
        aspect="auto",
    )
    for spine in axes.spines.values():
        spine.set_linewidth(settings["outlinewidth"])
        spine.set_visible(bool(settings["outlinewidth"]))
    axis = Axis("y" if upright else "x", settings | {"range": (low, high)}, "linear")
    ticks, labels = axis.ticks(length)
    style: dict[str, Any] = font(settings["tickfont"])
    target, other = (axes.yaxis, axes.xaxis) if upright else (axes.xaxis, axes.yaxis)
    other.set_ticks([])
    target.set_ticks(ticks, labels, **style)
    target.set_tick_params(length=0, pad=4)
    if upright:
        axes.yaxis.tick_right()
    _bar_title(axes, settings, upright)


def _bar_title(axes: Any, settings: Properties, upright: bool) -> None:
    title = settings["title"]
    if not title["text"]:
        return
    style = font(title["font"], title["text"])
    if title["side"] == "right" and upright:
        axes.yaxis.set_label_position("right")
        axes.set_ylabel(plain(title["text"]), labelpad=6, **style)
    elif title["side"] == "bottom" and not upright:
        axes.set_xlabel(plain(title["text"]), **style)
    else:
        axes.set_title(plain(title["text"]), pad=6, loc="left", **style)


def draw_title(figure: matplotlib.figure.Figure, layout: Properties, inner: Bbox) -> None:
    """The title of the figure, in the middle of the upper margin."""
    settings = merged(
        {"x": 0.05, "font": layout["font"] | {"size": 1.4 * layout["font"]["size"]}},
        layout["title"],
    )
    x = settings["x"] if settings.get("xref") != "paper" else inner.x0 + settings["x"] * inner.width
    y = settings.get("y", math.fsum([inner.y1, 1]) / 2)
    figure.text(
        x,
        y,
        plain(settings["text"]),
        ha=anchor(settings, "x"),
        va="center",
        **font(settings["font"], settings["text"]),
    )
