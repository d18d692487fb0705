"""A plotly figure as SVG, drawn with matplotlib: plotly's own export would need a browser.

It covers what the figures of hw1 use, and raises an error at what it doesn't know rather than
leave it out: traces scatter, bar, heatmap, contour and parcoords; subplots, linear, log, date and
category axes; legends, colour bars, annotations, shapes. One pixel of plotly is one unit of the
SVG. Plotly's margins are minima, as they are in the browser: they grow by what needs room.
"""

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import plotly.graph_objects as go
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox, BboxTransformTo, TransformedBbox

from hw1.analysis.figures.style import FONT_FAMILIES, HEIGHT, WIDTH
from hw1.analysis.figures.svg.axes import AXIS_DEFAULTS, Axis, dress, kind_of
from hw1.analysis.figures.svg.bars import draw_bars
from hw1.analysis.figures.svg.grids import CELLS, draw_contour, draw_heatmap
from hw1.analysis.figures.svg.marks import Page, draw_annotation, draw_shape
from hw1.analysis.figures.svg.page import draw_colour_bars, draw_legend, draw_title
from hw1.analysis.figures.svg.panel import Drawn, Panel
from hw1.analysis.figures.svg.parcoords import draw_parcoords
from hw1.analysis.figures.svg.scatter import draw_scatter
from hw1.analysis.figures.svg.values import Properties, colour, items, merged
from hw1.errors import printable

TRACES = ("scatter", "scattergl", "bar", "heatmap", "contour", "parcoords")
EDGE = 4.0
"""Pixels that stay free along the edges of the figure."""
PASSES = 3
"""The margins settle within as many."""

_LAYERS = {"heatmap": 1.0, "contour": 1.0, "bar": 2.0, "scatter": 3.0, "scattergl": 3.0}
_RC: dict[str, Any] = {
    "axes.axisbelow": True,
    "font.family": "sans-serif",
    "font.sans-serif": list(FONT_FAMILIES),
    "lines.scale_dashes": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "hw1",
    "text.parse_math": False,
}
_DEFAULTS: Properties = {
    "colorway": ["#636efa"],
    "font": {"family": "sans-serif", "size": 12, "color": "#2a3f5f"},
    "height": HEIGHT,
    "legend": {"orientation": "v", "x": 1.02, "y": 1.0, "xanchor": "left", "yanchor": "auto"},
    "margin": {"l": 80, "r": 80, "t": 100, "b": 80},
    "paper_bgcolor": "white",
    "plot_bgcolor": "white",
    "width": WIDTH,
    "colorscale": {"sequential": [[0, "#ffffff"], [1, "#000000"]]},
}


def to_svg(figure: go.Figure, title: str = "") -> str:
    """The figure as an SVG document: the same figure, the same text.

    Text stays text. It is laid out for DejaVu Sans; where that font is missing, the viewer's is
    used.

    Args:
        figure: of plotly.
        title: what viewers show as the document's title; it is not drawn.

    Raises:
        NotImplementedError: the figure has something that is not supported.
    """
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)  # type: ignore[arg-type]
        # The viewer's fonts may well have the letters that matplotlib's hasn't.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        layout, traces = _read(figure)
        margin = {side: float(layout["margin"][side]) for side in "lrtb"}
        for _ in range(PASSES):
            drawn = _draw(layout, traces, margin)
            missing = _overflow(drawn)
            if max(missing.values()) < 0.5:
                break
            margin = {side: margin[side] + missing[side] for side in margin}
        return _save(drawn, title)


def _save(figure: Figure, title: str) -> str:
    figure.dpi = 144  # of what is rasterised
    buffer = io.StringIO()
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type")) | (
        {"Title": title} if title else {}
    )
    FigureCanvasSVG(figure).print_svg(buffer, metadata=metadata)  # type: ignore[no-untyped-call]
    crisp = buffer.getvalue().replace(
        f'<g id="{CELLS}-', f'<g shape-rendering="crispEdges" id="{CELLS}-'
    )
    # Pixels, as in plotly: a point would be a third larger.
    sized = re.sub(r'(width|height)="([\d.]+)pt"', r'\1="\2"', crisp, count=2)
    return printable(sized)  # with control characters it would be no XML


def _overflow(figure: Figure) -> dict[str, float]:
    """By how many pixels what is drawn goes beyond each edge of the figure."""
    box = figure.get_tightbbox().padded(0)
    width, height = figure.get_size_inches()
    beyond = {"l": -box.x0, "r": box.x1 - width, "t": box.y1 - height, "b": -box.y0}
    return {side: max(0.0, inches * 72 + EDGE) for side, inches in beyond.items()}


def _read(figure: go.Figure) -> tuple[Properties, list[Properties]]:
    """The layout and the visible traces, with what the template and plotly add to them."""
    template = figure.layout.template.to_plotly_json()
    of_layout = template.get("layout", {})
    own = {k: v for k, v in figure.layout.to_plotly_json().items() if k != "template"}
    of_axes = {k: v for k, v in of_layout.items() if k not in ("xaxis", "yaxis")}
    layout = merged(_DEFAULTS, of_axes, own)
    layout["axis templates"] = {"x": of_layout.get("xaxis", {}), "y": of_layout.get("yaxis", {})}
    for name in [key for key in layout if re.fullmatch(r"coloraxis\d*", key)]:
        layout[name] = merged(of_layout.get("coloraxis", {}), layout[name])
    traces = []
    for i, trace in enumerate(figure.data):
        if trace.type not in TRACES:
            raise NotImplementedError(
                f"traces of type {trace.type!r} are not supported in SVG: use {', '.join(TRACES)}"
            )
        if trace.visible in (False, "legendonly"):
            continue
        of_type = template.get("data", {}).get(trace.type) or [{}]
        default = layout["colorway"][i % len(layout["colorway"])]
        traces.append(
            merged({"colour": default}, of_type[i % len(of_type)], trace.to_plotly_json())
        )
    return layout, traces


def _draw(layout: Properties, traces: Sequence[Properties], margin: Mapping[str, float]) -> Figure:
    """The matplotlib figure with these margins."""
    width, height = float(layout["width"]), float(layout["height"])
    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    figure.set_facecolor(colour(layout["paper_bgcolor"]))
    inner = Bbox.from_extents(
        margin["l"] / width,
        margin["b"] / height,
        max(1 - margin["r"] / width, margin["l"] / width + 0.05),
        max(1 - margin["t"] / height, margin["b"] / height + 0.05),
    )
    paper = BboxTransformTo(TransformedBbox(inner, figure.transFigure))
    axes = _axes(layout, traces)
    panels = _panels(figure, axes, traces, inner, layout)
    drawn = _draw_traces(figure, panels, layout, traces, inner)
    _share_ranges(axes)
    for names, panel in panels.items():
        for axis in (panel.x, panel.y):
            dress(axis, panel.axes, shown=_owner(axis, panels) == names)
        _square(panel)
    page = Page(figure, panels, axes, paper)
    for shape in layout.get("shapes", ()):
        draw_shape(page, shape, layout)
    for annotation in layout.get("annotations", ()):
        draw_annotation(page, annotation, layout)
    draw_legend(figure, layout, traces, drawn, paper)
    draw_colour_bars(figure, layout, [d.scale for d in drawn if d.scale is not None], inner)
    if layout.get("title", {}).get("text"):
        draw_title(figure, layout, inner)
    return figure


def _axes(layout: Properties, traces: Sequence[Properties]) -> dict[str, Axis]:
    """The axes that the traces lie on, by their names."""
    axes: dict[str, Axis] = {}
    along = [trace for trace in traces if trace["type"] != "parcoords"]
    for direction in "xy":
        for name in dict.fromkeys(trace.get(f"{direction}axis", direction) for trace in along):
            settings = merged(
                AXIS_DEFAULTS,
                {"tickfont": layout["font"], "title": {"font": layout["font"]}},
                layout["axis templates"][direction],
                layout.get(f"{direction}axis{name[1:]}", {}),
            )
            values = [
                value
                for trace in along
                if trace.get(f"{direction}axis", direction) == name
                for key in ("base", direction)
                for value in np.atleast_1d(np.asarray(trace.get(key, []), dtype=object))
                if key == direction or _lies(trace) == direction
            ]
            categories = [str(c) for c in items(settings.get("categoryarray"))]
            axes[name] = Axis(name, settings, kind_of(settings, values), categories)
    for axis in axes.values():
        if axis.settings.get("overlaying") in axes:
            axis.settings["domain"] = axes[axis.settings["overlaying"]].settings["domain"]
    return axes


def _lies(trace: Properties) -> str:
    """The direction along which a bar extends."""
    return "x" if trace.get("orientation") == "h" else "y"


def _panels(
    figure: Figure,
    axes: Mapping[str, Axis],
    traces: Sequence[Properties],
    inner: Bbox,
    layout: Properties,
) -> dict[tuple[str, str], Panel]:
    """Each pair of axes that traces lie on."""
    panels: dict[tuple[str, str], Panel] = {}
    for trace in traces:
        names = (trace.get("xaxis", "x"), trace.get("yaxis", "y"))
        if trace["type"] == "parcoords" or names in panels:
            continue
        x, y = axes[names[0]], axes[names[1]]
        pair = figure.add_axes(
            _rectangle(inner, x.settings["domain"], y.settings["domain"]), label=" ".join(names)
        )
        over = bool(x.settings.get("overlaying") or y.settings.get("overlaying"))
        pair.set_zorder(1 if over else 0)
        pair.set_facecolor("none" if over else colour(layout["plot_bgcolor"]))
        pair.spines[:].set_visible(False)
        panels[names] = Panel(pair, x, y)
    return panels


def _rectangle(
    inner: Bbox, across: Sequence[float], up: Sequence[float]
) -> tuple[float, float, float, float]:
    """Where axes with these domains lie in the figure."""
    return (
        inner.x0 + across[0] * inner.width,
        inner.y0 + up[0] * inner.height,
        (across[1] - across[0]) * inner.width,
        (up[1] - up[0]) * inner.height,
    )


def _draw_traces(
    figure: Figure,
    panels: Mapping[tuple[str, str], Panel],
    layout: Properties,
    traces: Sequence[Properties],
    inner: Bbox,
) -> list[Drawn]:
    """Draw all traces; what each leaves for the legend and the colour bars."""
    drawn: dict[int, Drawn] = {}
    bars: dict[tuple[str, str], list[int]] = {}
    for i, trace in enumerate(traces):
        names = (trace.get("xaxis", "x"), trace.get("yaxis", "y"))
        order = _LAYERS.get(trace["type"], 0) + i / len(traces) / 2
        match trace["type"]:
            case "scatter" | "scattergl":
                drawn[i] = draw_scatter(panels[names], trace, layout, order)
            case "heatmap":
                drawn[i] = draw_heatmap(panels[names], trace, layout, order)
            case "contour":
                drawn[i] = draw_contour(panels[names], trace, layout, order)
            case "bar":
                bars.setdefault(names, []).append(i)
            case _:
                domain = merged({"x": (0.0, 1.0), "y": (0.0, 1.0)}, trace.get("domain", {}))
                pair = figure.add_axes(
                    _rectangle(inner, domain["x"], domain["y"]), label=f"parcoords {i}"
                )
                drawn[i] = draw_parcoords(figure, pair, trace, layout)
    for names, numbers in bars.items():
        together = [traces[i] for i in numbers]
        results = draw_bars(panels[names], together, layout, _LAYERS["bar"])
        drawn.update(zip(numbers, results, strict=True))
    return [drawn[i] for i in range(len(traces))]


def _share_ranges(axes: Mapping[str, Axis]) -> None:
    """Give axes that match each other one range, over the data of all."""
    groups: dict[str, list[Axis]] = {}
    for name, axis in axes.items():
        root = name
        while axes[root].settings.get("matches") in axes and root != axes[root].settings["matches"]:
            root = axes[root].settings["matches"]
        groups.setdefault(root, []).append(axis)
    for root, group in groups.items():
        low, high = min(axis.low for axis in group), max(axis.high for axis in group)
        for axis in group:
            axis.low, axis.high = low, high
            axis.padded = any(other.padded for other in group)
            axis.from_zero = any(other.from_zero for other in group)
            for key in ("range", "autorange"):
                if key in axes[root].settings:
                    axis.settings.setdefault(key, axes[root].settings[key])


def _owner(axis: Axis, panels: Mapping[tuple[str, str], Panel]) -> tuple[str, str]:
    """The panel at which an axis has its ticks and its title."""
    those = [names for names in panels if axis.name in names]
    anchor = axis.settings.get("anchor")
    return next((names for names in those if anchor in names), those[0])


def _square(panel: Panel) -> None:
    """Give both axes one scale where one is anchored to the other, as for pixels."""
    for axis, other in ((panel.x, panel.y), (panel.y, panel.x)):
        if axis.settings.get("scaleanchor") == other.name:
            ratio = float(axis.settings.get("scaleratio", 1))
            panel.axes.set_aspect(
                1 / ratio if axis.direction == "x" else ratio,
                adjustable="box" if axis.settings.get("constrain") == "domain" else "datalim",
            )
