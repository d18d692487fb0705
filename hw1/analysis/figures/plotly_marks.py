"""How each mark of a figure becomes a trace of plotly's."""

import base64
import html
import io
from collections.abc import Sequence
from string import Formatter
from typing import Any

import numpy as np
from PIL import Image as Pillow

from hw1.analysis.figures.marks import (
    Band,
    Bars,
    ColorScale,
    Contour,
    HeatMap,
    Histogram,
    Image,
    Line,
    Mark,
    Numbers,
    Panel,
    Parallel,
    Points,
)
from hw1.analysis.figures.style import FONT_SIZE, INK

Properties = dict[str, Any]


def trace_of(mark: Mark, scales: dict[ColorScale, str]) -> Properties:
    """A mark as a trace; a scale that is not among ``scales`` gets a color axis there."""
    return _trace(mark, scales) | {"name": escaped(getattr(mark, "name", ""))}


def _trace(mark: Mark, scales: dict[ColorScale, str]) -> Properties:
    lines = {"type": "scatter", "mode": "lines"}
    match mark:
        case Line():
            style = {
                "color": _rgba(mark.color, mark.opacity),
                "width": mark.width,
                "dash": mark.dash,
                "shape": "hv" if mark.steps else "linear",
            }
            hover = _hover(mark.hover, mark.data)
            return {**lines, "x": mark.x, "y": mark.y, "line": style, **hover}
        case Band():
            return {
                **lines,
                "x": np.concatenate([mark.x, np.flip(mark.x)]),
                "y": np.concatenate([mark.low, np.flip(mark.high)]),
                "line": {"width": 0},
                "fill": "toself",
                "fillcolor": _rgba(mark.color, mark.opacity),
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
                "cliponaxis": False,
                **({} if mark.base is None else {"base": mark.base}),
                **_labels(mark.text),
                **_hover(mark.hover),
            }
        case Histogram():
            # Each edge twice, from zero and back to it.
            heights = np.concatenate([[0], np.repeat(mark.heights, 2), [0]])
            return {
                **lines,
                "x": np.repeat(np.asarray(mark.edges, dtype=np.float32), 2),
                "y": heights.astype(np.float32),
                "line": {"color": mark.color, "width": mark.width},
                "fill": "tozeroy",
                "fillcolor": _rgba(mark.fill, mark.opacity),
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
                **colors_of(mark.scale),
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
        color["coloraxis"] = name_of(mark.scale, scales)
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
        **_hover(mark.hover),
    }


def _heat_map(mark: HeatMap, scales: dict[ColorScale, str]) -> Properties:
    trace: Properties = {
        "type": "heatmap",
        "z": mark.values if mark.values.dtype == np.uint8 else mark.values.astype(np.float32),
        "coloraxis": name_of(mark.scale, scales),
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


def parallel_of(mark: Parallel, panel: Panel, scales: dict[ColorScale, str]) -> Properties:
    """Parallel axes, which have a place of their own."""
    left, lower, right, upper = panel.place
    dimensions = [
        {
            "label": escaped(label),
            "values": values,
            "range": [0, 1],
            "tickvals": [place for place, _ in ticks],
            "ticktext": [escaped(text) for _, text in ticks],
        }
        for label, values, ticks in zip(mark.labels, mark.values.T, mark.ticks, strict=True)
    ]
    return {
        "type": "parcoords",
        "domain": {"x": [left, right], "y": [lower, upper]},
        "dimensions": dimensions,
        "line": {"color": mark.color, "coloraxis": name_of(mark.scale, scales)},
    }


def colors_of(scale: ColorScale) -> Properties:
    """The colors of a scale."""
    return {"colorscale": scale.stops, "reversescale": scale.reversed}


def name_of(scale: ColorScale, scales: dict[ColorScale, str]) -> str:
    """The color axis of a scale; equal ones share it."""
    n = len(scales) + 1
    return scales.setdefault(scale, "coloraxis" if n == 1 else f"coloraxis{n}")


def _labels(texts: Sequence[str]) -> Properties:
    """Text behind the ends of bars."""
    if not len(texts):
        return {}
    font = {"size": FONT_SIZE, "color": INK}
    said = {"text": [escaped(text) for text in texts], "textposition": "outside"}
    return {**said, "textfont": font, "constraintext": "none", "textangle": 0}


def _hover(
    hover: str | Sequence[str] | Sequence[Sequence[str]], data: Numbers | None = None
) -> Properties:
    """What the pointer shows that rests on a point or a cell."""
    if not len(hover):
        return {"hoverinfo": "skip"}
    if not isinstance(hover, str):
        texts = [escaped(t) if isinstance(t, str) else [escaped(s) for s in t] for t in hover]
        return {"hovertext": texts, "hoverinfo": "text"}
    parts = []
    for words, field, form, _ in Formatter().parse(hover):
        parts.append(escaped(words))
        if field:
            name = "customdata" if field == "data" else field
            parts.append(f"%{{{name}:{form}}}" if form else f"%{{{name}}}")
    given = {} if data is None else {"customdata": data}
    return {"hovertemplate": f"{''.join(parts)}<extra></extra>", **given}


def escaped(text: str) -> str:
    """Text in which plotly finds no tags but line breaks."""
    return html.escape(text, quote=False).replace("\n", "<br>")


def _rgba(color: str, opacity: float) -> str:
    """A color ``#RRGGBB`` with an opacity in [0, 1]."""
    if opacity == 1:
        return color
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity:g})"
