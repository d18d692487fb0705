"""Figures drawn with plotly: interactive, in notebooks and on pages."""

import base64
import html
import io
import math
from collections.abc import Sequence
from string import Formatter
from typing import Any

import numpy as np
import plotly.graph_objects as go
from PIL import Image as Pillow

from hw1.analysis.figures.marks import (
    Axis,
    Band,
    Bars,
    Box,
    ColorScale,
    Contour,
    Figure,
    HeatMap,
    Histogram,
    Image,
    Line,
    Mark,
    Numbers,
    Panel,
    Parallel,
    Points,
    Text,
)
from hw1.analysis.figures.style import (
    BAR_LENGTH,
    FONT_SIZE,
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

Properties = dict[str, Any]


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
        if not isinstance(panel.marks[0], Parallel):
            layout |= _axes(panel, suffix, shared)
        for mark in panel.marks:
            match mark:
                case Text():
                    annotations.append({**_text(mark, panel), "xref": x, "yref": y})
                case Box():
                    shapes.append({**_box(mark), "xref": x, "yref": y})
                case Parallel():
                    traces.append(_parallel(mark, panel, scales))
                case _:
                    traces.append({**_trace(mark, scales), "xaxis": x, "yaxis": y})
                    if isinstance(mark, Contour):  # nothing that brings the color bar
                        nothing = Points([math.nan], [math.nan], [0.0], scale=mark.scale)
                        traces.append({**_trace(nothing, scales), "xaxis": x, "yaxis": y})
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
        settings["title"] = {"text": _escaped(axis.label)}
    if axis.ticks is not None or axis.log:
        ticks = ticks_of(axis, LOG_TICKS)
        settings["tickvals"] = [place for place, _ in ticks]
        settings["ticktext"] = [_escaped(text) for _, text in ticks]
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
    bar: Properties = {"title": {"text": _escaped(scale.title)}, "y": 1, "yanchor": "top"}
    bar["len"] = min(1.0, BAR_LENGTH / inner)
    if scale.ticks is not None:
        bar["tickvals"] = [place for place, _ in scale.ticks]
        bar["ticktext"] = [_escaped(text) for _, text in scale.ticks]
    return {
        "colorscale": _stops(scale),
        "cmin": scale.low,
        "cmax": scale.high,
        "showscale": bool(scale.title),
        "colorbar": bar,
    }


def _stops(scale: ColorScale) -> list[list[Any]]:
    if scale.reversed:
        return [[1 - place, color] for place, color in reversed(scale.stops)]
    return [list(stop) for stop in scale.stops]


def _name_of(scale: ColorScale, scales: dict[ColorScale, str]) -> str:
    n = len(scales) + 1
    return scales.setdefault(scale, "coloraxis" if n == 1 else f"coloraxis{n}")


def _trace(mark: Mark, scales: dict[ColorScale, str]) -> Properties:
    match mark:
        case Line():
            return {
                "type": "scatter",
                "mode": "lines",
                "x": mark.x,
                "y": mark.y,
                "line": {
                    "color": _rgba(mark.color, mark.opacity),
                    "width": mark.width,
                    "dash": mark.dash,
                    "shape": "hv" if mark.steps else "linear",
                },
                "name": _escaped(mark.name),
                **_hover(mark.hover, mark.data),
            }
        case Band():
            return {
                "type": "scatter",
                "mode": "lines",
                "x": np.concatenate([mark.x, np.flip(mark.x)]),
                "y": np.concatenate([mark.low, np.flip(mark.high)]),
                "line": {"width": 0},
                "fill": "toself",
                "fillcolor": _rgba(mark.color, mark.opacity),
                "name": _escaped(mark.name),
                "hoverinfo": "skip",
            }
        case Points():
            return _points(mark, scales)
        case Bars():
            return {
                "type": "bar",
                "orientation": "h",
                "x": mark.length,
                "y": mark.y,
                "width": mark.thickness,
                "marker": {"color": mark.color},
                "name": _escaped(mark.name),
                "cliponaxis": False,
                **({} if mark.base is None else {"base": mark.base}),
                **_labels(mark.text),
                **_hover(mark.hover),
            }
        case Histogram():
            # Each edge twice, from zero and back to it.
            heights = np.concatenate([[0], np.repeat(mark.heights, 2), [0]])
            return {
                "type": "scatter",
                "mode": "lines",
                "x": np.repeat(np.asarray(mark.edges, dtype=np.float32), 2),
                "y": heights.astype(np.float32),
                "line": {"color": mark.color, "width": mark.width},
                "fill": "tozeroy",
                "fillcolor": _rgba(mark.fill, mark.opacity),
                "name": _escaped(mark.name),
                **_hover(mark.hover),
            }
        case HeatMap():
            return _heat_map(mark, scales)
        case Image():
            return _image(mark)
        case Contour():
            size = (mark.scale.high - mark.scale.low) / mark.n_bands
            ends = {"start": mark.scale.low + size, "end": mark.scale.high - size}
            return {
                "type": "contour",
                "x": mark.x,
                "y": mark.y,
                "z": mark.values,
                # With a color axis it would have a bar of its own kind beside that of others.
                "colorscale": _stops(mark.scale),
                "showscale": False,
                "contours": {**ends, "size": size},
                "line": {"width": 0.5, "color": "white"},
                "hoverinfo": "skip",
            }
    raise TypeError(f"{type(mark).__name__} is no trace")


def _points(mark: Points, scales: dict[ColorScale, str]) -> Properties:
    color: Properties = {"color": mark.color}
    if isinstance(mark.color, str):
        color = {"color": _rgba(mark.color, mark.opacity)}
    elif mark.scale is not None:
        color["coloraxis"] = _name_of(mark.scale, scales)
    symbols = mark.symbol if isinstance(mark.symbol, str) else list(mark.symbol)
    return {
        "type": "scatter",
        "mode": "markers",
        "x": mark.x,
        "y": mark.y,
        "marker": {
            **color,
            "size": mark.size,
            "symbol": symbols,
            "line": {"color": mark.outline, "width": mark.outline_width},
        },
        "cliponaxis": mark.clip,
        "name": _escaped(mark.name),
        **_hover(mark.hover),
    }


def _heat_map(mark: HeatMap, scales: dict[ColorScale, str]) -> Properties:
    trace: Properties = {
        "type": "heatmap",
        "z": mark.values if mark.values.dtype == np.uint8 else mark.values.astype(np.float32),
        "coloraxis": _name_of(mark.scale, scales),
        "xgap": mark.gap,
        "ygap": mark.gap,
        **_cells("x", mark.x, mark.values.shape[1]),
        **_cells("y", mark.y, mark.values.shape[0]),
        **_hover(mark.hover, mark.data),
    }
    if len(mark.text):
        bold = "<b>%{text}</b>" if mark.bold else "%{text}"
        trace |= {"text": [list(row) for row in mark.text], "texttemplate": bold}
    return trace


def _cells(key: str, given: Numbers | None, n: int) -> Properties:
    """Where ``n`` cells lie along an axis."""
    if given is None:
        return {}
    if len(given) > 2:
        return {key: given}
    step = (given[1] - given[0]) / n
    return {f"{key}0": given[0] + step / 2, f"d{key}": step}


def _image(mark: Image) -> Properties:
    buffer = io.BytesIO()
    Pillow.fromarray(mark.pixels).convert("RGB").save(buffer, "png")
    return {
        "type": "image",
        "source": f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}",
        **_cells("x", mark.x, mark.pixels.shape[1]),
        **_cells("y", mark.y, mark.pixels.shape[0]),
        "hoverinfo": "skip",
    }


def _parallel(mark: Parallel, panel: Panel, scales: dict[ColorScale, str]) -> Properties:
    left, lower, right, upper = panel.place
    dimensions = [
        {
            "label": label,
            "values": values,
            "range": [0, 1],
            "tickvals": [place for place, _ in ticks],
            "ticktext": [text for _, text in ticks],
        }
        for label, values, ticks in zip(mark.labels, mark.values.T, mark.ticks, strict=True)
    ]
    return {
        "type": "parcoords",
        "domain": {"x": [left, right], "y": [lower, upper]},
        "dimensions": dimensions,
        "line": {"color": mark.color, "coloraxis": _name_of(mark.scale, scales)},
    }


def _text(mark: Text, panel: Panel) -> Properties:
    text = _escaped(mark.text)
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
        "text": _escaped(title),
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


def _labels(texts: Sequence[str]) -> Properties:
    """Text behind the ends of bars."""
    if not len(texts):
        return {}
    font = {"size": FONT_SIZE, "color": INK}
    said = {"text": [_escaped(text) for text in texts], "textposition": "outside"}
    return {**said, "textfont": font, "constraintext": "none", "textangle": 0}


def _hover(
    hover: str | Sequence[str] | Sequence[Sequence[str]], data: Numbers | None = None
) -> Properties:
    """What the pointer shows that rests on a point or a cell."""
    if not len(hover):
        return {"hoverinfo": "skip"}
    if not isinstance(hover, str):
        texts = [_escaped(t) if isinstance(t, str) else [_escaped(s) for s in t] for t in hover]
        return {"hovertext": texts, "hoverinfo": "text"}
    parts = []
    for words, field, form, _ in Formatter().parse(hover):
        parts.append(_escaped(words))
        if field:
            name = "customdata" if field == "data" else field
            parts.append(f"%{{{name}:{form}}}" if form else f"%{{{name}}}")
    given = {} if data is None else {"customdata": data}
    return {"hovertemplate": f"{''.join(parts)}<extra></extra>", **given}


def _escaped(text: str) -> str:
    """Text in which plotly finds no tags but line breaks."""
    return html.escape(text, quote=False).replace("\n", "<br>")


def _rgba(color: str, opacity: float) -> str:
    """A color ``#RRGGBB`` with an opacity in [0, 1]."""
    if opacity == 1:
        return color
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity:g})"
