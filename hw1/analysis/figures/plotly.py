"""Figures drawn with plotly: interactive, in notebooks and on pages."""

import html
import math
from collections.abc import Sequence

import plotly.graph_objects as go

from hw1.analysis.figures.marks import (
    Axis,
    Box,
    ColorScale,
    Contour,
    Figure,
    Panel,
    Parallel,
    Points,
    Text,
)
from hw1.analysis.figures.plotly_marks import (
    Properties,
    colors_of,
    escaped,
    parallel_of,
    trace_of,
)
from hw1.analysis.figures.style import (
    BAR_LENGTH,
    INK,
    LEGEND_SPACE,
    SMALL_SIZE,
    TEMPLATE,
    TITLE_SPACE,
)
from hw1.analysis.figures.ticks import ticks_of

LOG_TICKS = 6
"""Of a logarithmic axis; plotly's own labels of such axes are large powers with small digits."""
FEW = 10
"""An axis of whole numbers shorter than this has a tick at each."""


def draw(figure: Figure) -> go.Figure:
    """The figure as one of plotly's; the same figure gives the same."""
    left, right, top, bottom = figure.margins
    inner = figure.height - top - bottom
    traces: list[Properties] = []
    shapes: list[Properties] = []
    annotations: list[Properties] = []
    layout: Properties = {
        "template": TEMPLATE,
        "height": figure.height,
        "margin": {"l": left, "r": right, "t": top, "b": bottom},
        "barmode": "overlay",
    }
    if figure.width is not None:
        layout["width"] = figure.width
    scales: dict[ColorScale, str] = {}
    shared: dict[str, str] = {}
    titled = any(panel.title for panel in figure.panels)
    for number, panel in enumerate(figure.panels, 1):
        suffix = "" if number == 1 else str(number)
        x, y = f"x{suffix}", f"y{suffix}"
        if panel.parallel is None:
            layout |= _axes(panel, suffix, shared)
        for mark in panel.marks:
            match mark:
                case Text():
                    annotations.append({**_text(mark, panel), "xref": x, "yref": y})
                case Box():
                    shapes.append({**_box(mark), "xref": x, "yref": y})
                case Parallel():
                    traces.append(parallel_of(mark, panel, scales))
                case _:
                    traces.append({**trace_of(mark, scales), "xaxis": x, "yaxis": y})
                    if isinstance(mark, Contour):  # nothing that brings the color bar
                        nothing = Points([math.nan], [math.nan], [0.0], scale=mark.scale)
                        traces.append({**trace_of(nothing, scales), "xaxis": x, "yaxis": y})
        if panel.title:
            annotations.append(_title(panel.title, x, y))
    named = _name(traces)
    layout |= {
        "shapes": shapes,
        "annotations": annotations,
        "showlegend": named,
        "legend": {"y": 1 + (TITLE_SPACE * titled + LEGEND_SPACE) / inner},
    }
    for scale, name in scales.items():
        layout[name] = _scale(scale, inner)
    return go.Figure(traces, layout)


def show(figure: Figure) -> None:
    """Show the figure in a notebook, with its title and its caption."""
    from IPython.display import HTML, display

    title, caption = html.escape(figure.title), html.escape(figure.caption)
    # Plotly's own renderer knows Jupyter, VS Code, Colab and others apart.
    display(HTML(f"<h4>{title}</h4>"), draw(figure), HTML(f"<p>{caption}</p>"))  # type: ignore[no-untyped-call]


def _name(traces: Sequence[Properties]) -> bool:
    """Give traces of one name one entry in the legend; whether there is any."""
    names = set()
    for trace in traces:
        name = trace.get("name")
        if name:
            trace |= {"legendgroup": name, "showlegend": name not in names}
            names.add(name)
        elif trace["type"] in ("scatter", "bar"):
            trace["showlegend"] = False
    return bool(names)


def _axes(panel: Panel, suffix: str, shared: dict[str, str]) -> Properties:
    """The layout of both axes; ``shared``: the first axis of each name, to which it is added."""
    left, lower, right, upper = panel.place
    ends = {"x": (left, right), "y": (lower, upper)}
    axes = {}
    for direction, other, axis in (("x", "y", panel.x), ("y", "x", panel.y)):
        settings = _axis(axis)
        settings |= {"domain": ends[direction], "anchor": f"{other}{suffix}"}
        first = shared.setdefault(axis.shared, f"{direction}{suffix}") if axis.shared else ""
        if first and first != f"{direction}{suffix}":
            settings["matches"] = first
        axes[f"{direction}axis{suffix}"] = settings
    if panel.square:
        axes[f"xaxis{suffix}"]["constrain"] = "domain"
        axes[f"yaxis{suffix}"] |= {"scaleanchor": f"x{suffix}", "constrain": "domain"}
    return axes


def _axis(axis: Axis) -> Properties:
    settings: Properties = {
        "range": [_place(end, axis) for end in axis.range],
        "type": "log" if axis.log else "linear",
        "visible": axis.visible,
        "showgrid": axis.grid,
        "showticklabels": axis.labeled,
    }
    if axis.label:
        settings["title"] = {"text": escaped(axis.label)}
    if axis.ticks is not None or axis.log:
        ticks = ticks_of(axis, LOG_TICKS)
        settings["tickvals"] = [place for place, _ in ticks]
        settings["ticktext"] = [escaped(text) for _, text in ticks]
    elif axis.whole and abs(axis.range[1] - axis.range[0]) < FEW:
        settings["dtick"] = 1
    elif axis.n_ticks is not None:
        settings["nticks"] = axis.n_ticks
    if axis.percent:
        settings["tickformat"] = ".0%"
    if axis.angle:
        settings["tickangle"] = -axis.angle
    return settings


def _place(number: float, axis: Axis) -> float:
    """Where plotly has a number in ranges and annotations: on log axes its logarithm."""
    return math.log10(number) if axis.log else number


def _scale(scale: ColorScale, inner: float) -> Properties:
    """A color axis, its bar beside panels of that height: at the top, not too long."""
    bar: Properties = {"title": {"text": escaped(scale.title)}, "y": 1, "yanchor": "top"}
    bar["len"] = min(1.0, BAR_LENGTH / inner)
    if scale.ticks is not None:
        bar["tickvals"] = [place for place, _ in scale.ticks]
        bar["ticktext"] = [escaped(text) for _, text in scale.ticks]
    return {
        **colors_of(scale),
        "cmin": scale.low,
        "cmax": scale.high,
        "showscale": bool(scale.title),
        "colorbar": bar,
    }


def _text(mark: Text, panel: Panel) -> Properties:
    text = escaped(mark.text)
    return {
        "text": f"<b>{text}</b>" if mark.bold else text,
        "x": _place(mark.x, panel.x),
        "y": _place(mark.y, panel.y),
        "xanchor": mark.anchor,
        "yanchor": mark.baseline,
        "align": mark.anchor,
        "font": {"size": mark.size, "color": mark.color},
        "textangle": -mark.angle,
    }


def _title(title: str, x: str, y: str) -> Properties:
    return {
        "text": escaped(title),
        "xref": f"{x} domain",
        "yref": f"{y} domain",
        "x": 0,
        "y": 1,
        "xanchor": "left",
        "yanchor": "bottom",
        "yshift": 2,
        "font": {"size": SMALL_SIZE, "color": INK},
    }


def _box(mark: Box) -> Properties:
    return {
        "type": "rect",
        "x0": mark.x[0],
        "x1": mark.x[1],
        "y0": mark.y[0],
        "y1": mark.y[1],
        "line": {"color": mark.color, "width": mark.width, "dash": mark.dash},
    }
