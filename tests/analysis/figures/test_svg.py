"""What is drawn is found in the SVG and compared with the data.

Where a value lies in pixels is known from two tick labels of the same SVG.
"""

import base64
import copy
import io
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from plotly.subplots import make_subplots

from hw1.analysis.figures.style import GREYS, PALETTE, TEMPLATE, WIDTH
from hw1.analysis.figures.svg import to_svg

SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"
RED, BLUE = "#ff0000", "#0000ff"


@dataclass(frozen=True)
class Text:
    text: str
    x: float
    y: float
    anchor: str
    size: float
    style: str


def numbers(path: ElementTree.Element) -> np.ndarray:
    """All coordinates of a path."""
    return np.array(re.findall(r"-?[\d.]+(?:e-?\d+)?", path.get("d", "")), dtype=float)


class Drawing:
    """An SVG taken apart."""

    def __init__(self, figure: go.Figure) -> None:
        self.source = to_svg(figure)
        self.root = ElementTree.fromstring(self.source)
        self.width, self.height = (float(self.root.get(key, "0")) for key in ("width", "height"))

    def texts(self) -> list[Text]:
        found = []
        for node in self.root.iter(f"{SVG}text"):
            style, transform = node.get("style", ""), node.get("transform", "")
            moved = re.search(r"translate\(([-\d.]+) ([-\d.]+)\)", transform)
            x, y = (moved[1], moved[2]) if moved else (node.get("x"), node.get("y"))
            anchor = re.search(r"text-anchor: (\w+)", style)
            size = re.search(r"font-size: ([\d.]+)px", style) or re.search(r"([\d.]+)px", style)
            assert size is not None
            assert x is not None and y is not None
            place = anchor[1] if anchor else "start"
            found.append(Text(node.text or "", float(x), float(y), place, float(size[1]), style))
        return found

    def text(self, text: str) -> Text:
        (found,) = [t for t in self.texts() if t.text == text]
        return found

    def words(self) -> list[str]:
        return [t.text for t in self.texts()]

    def paths(self, colour: str, kind: str = "stroke") -> list[np.ndarray]:
        """The corners of each path of that colour, ``(n, 2)``."""
        found = []
        for node in self.root.iter(f"{SVG}path"):
            if f"{kind}: {colour}" in node.get("style", "") and not node.get("id"):
                found.append(numbers(node).reshape(-1, 2))
        return found

    def marks(self) -> list[tuple[float, float, str]]:
        """Where markers lie, and their styles."""
        found = []
        for group in self.root.iter(f"{SVG}g"):
            if not group.get("id", "").startswith("PathCollection"):
                continue
            for node in group.iter():
                style = node.get("style", "")
                if node.tag == f"{SVG}use":  # a shape that is used again and again
                    found.append((float(node.get("x", "")), float(node.get("y", "")), style))
                elif node.tag == f"{SVG}path" and not node.get("id"):
                    corners = numbers(node).reshape(-1, 2)
                    x, y = (corners.max(0) + corners.min(0)) / 2
                    found.append((float(x), float(y), style))
        return found

    def places(self, colour: str, kind: str = "fill") -> np.ndarray:
        """Where markers of that colour lie, ``(n, 2)``."""
        return np.array([mark[:2] for mark in self.marks() if f"{kind}: {colour}" in mark[2]])

    def mark_colours(self) -> list[str]:
        return [m[1] for *_, style in self.marks() if (m := re.search(r"fill: (#\w+)", style))]

    def images(self) -> list[tuple[np.ndarray, ElementTree.Element]]:
        """The pixels ``(height, width, 4)`` of each image as it is seen, and its element."""
        found = []
        for node in self.root.iter(f"{SVG}image"):
            data = base64.b64decode(node.get(HREF, "").partition(",")[2])
            pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))
            flipped = re.search(r"matrix\(([-\d. e]+)\)", node.get("transform", ""))
            if flipped and float(flipped[1].split()[3]) < 0:
                pixels = pixels[::-1]
            found.append((pixels, node))
        return found

    def along(self, low: str, high: str, direction: str = "x") -> Callable[[Any], Any]:
        """Pixels of values on an axis with these two tick labels."""
        a, b = (getattr(self.text(label), direction) for label in (low, high))
        v, w = (float(label.replace("−", "-").replace(",", "")) for label in (low, high))
        return lambda value: a + (np.asarray(value, dtype=float) - v) / (w - v) * (b - a)


def figure(*traces: Any, **layout: Any) -> go.Figure:
    """With axes from 0 to 10 unless they are given."""
    fixed = {"range": [0, 10], "dtick": 10, "title": None}
    given = {"template": TEMPLATE, "xaxis": fixed, "yaxis": fixed, **layout}
    return go.Figure(list(traces), layout=given)


def ends(drawing: Drawing) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Pixels of values on the axes of `figure`, whose labels 0 and 10 are there twice."""
    labels = drawing.texts()
    zeros, tens = ([t for t in labels if t.text == text] for text in ("0", "10"))
    left, right = (next(t.x for t in group if t.anchor == "middle") for group in (zeros, tens))
    low, high = (next(t.y for t in group if t.anchor == "end") for group in (zeros, tens))
    # A label's baseline is below its middle, everywhere by as much.
    below = 0.35 * labels[0].size
    return (
        lambda x: left + np.asarray(x, dtype=float) / 10 * (right - left),
        lambda y: low - below + np.asarray(y, dtype=float) / 10 * (high - low),
    )


def assert_at(places: np.ndarray, drawing: Drawing, x: Any, y: Any) -> None:
    across, up = ends(drawing)
    np.testing.assert_allclose(places[:, 0], across(x), atol=0.05)
    np.testing.assert_allclose(places[:, 1], up(y), atol=1.0)


X, Y = [1, 2, 4, 8], [3, 7, 2, 9]


def test_a_line_goes_through_its_points() -> None:
    drawing = Drawing(figure(go.Scatter(x=X, y=Y, mode="lines", line={"color": RED, "width": 3})))
    (path,) = drawing.paths(RED)
    assert_at(path, drawing, X, Y)
    assert "stroke-width: 3" in drawing.source


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), min_size=1, max_size=30))
def test_markers_lie_at_their_points(points: list[tuple[float, float]]) -> None:
    x, y = zip(*points, strict=True)
    marker = {"color": RED, "line": {"width": 0}}
    drawing = Drawing(figure(go.Scatter(x=x, y=y, mode="markers", marker=marker)))
    assert_at(drawing.places(RED), drawing, x, y)


def test_a_logarithmic_axis() -> None:
    x = [1, 10, 50, 1000]
    trace = go.Scatter(x=x, y=Y, mode="lines", line_color=RED)
    drawing = Drawing(figure(trace, xaxis={"type": "log", "range": [0, 3]}))
    (path,) = drawing.paths(RED)
    left, right = drawing.text("1").x, drawing.text("1,000").x
    np.testing.assert_allclose(path[:, 0], left + np.log10(x) / 3 * (right - left), atol=0.05)


def test_a_reversed_axis() -> None:
    trace = go.Scatter(x=X, y=Y, mode="lines", line_color=RED)
    fixed = {"range": [0, 10], "dtick": 5}
    drawing = Drawing(figure(trace, xaxis={"range": [10, 0], "dtick": 5}, yaxis=fixed))
    (path,) = drawing.paths(RED)
    assert (np.diff(path[:, 0]) < 0).all()
    automatic = Drawing(figure(trace, xaxis={"autorange": "reversed"}))
    assert (np.diff(automatic.paths(RED)[0][:, 0]) < 0).all()


def test_a_category_axis() -> None:
    names = ["sgd", "adam", "sgd", "rmsprop"]
    trace = go.Scatter(x=names, y=Y, mode="markers", marker={"color": RED, "line_width": 0})
    drawing = Drawing(figure(trace, xaxis={}))
    np.testing.assert_allclose(
        drawing.places(RED)[:, 0], [drawing.text(name).x for name in names], atol=0.05
    )
    ordered = {"type": "category", "categoryarray": ["rmsprop", "adam", "sgd"]}
    drawing = Drawing(figure(trace, xaxis=ordered))
    assert drawing.text("rmsprop").x < drawing.text("adam").x < drawing.text("sgd").x


def test_numbers_on_a_category_axis_are_categories() -> None:
    trace = go.Scatter(x=["16", "64", "1024"], y=[1, 2, 3], mode="markers", marker_color=RED)
    drawing = Drawing(figure(trace, xaxis={"type": "category"}))
    steps = np.diff([drawing.text(name).x for name in ("16", "64", "1024")])
    assert steps[0] == pytest.approx(steps[1], abs=0.1)


def test_a_date_axis() -> None:
    x = [datetime(2026, 3, 1, 22), datetime(2026, 3, 1, 23), datetime(2026, 3, 2, 1)]
    drawing = Drawing(figure(go.Scatter(x=x, y=[1, 2, 3], mode="lines", line_color=RED), xaxis={}))
    (path,) = drawing.paths(RED)
    hours = [drawing.text(label).x for label in ("23:00", "01:00")]
    np.testing.assert_allclose(path[1:, 0], hours, atol=20)  # two lines are not anchored
    assert {"01 Mar 2026", "02 Mar 2026"} <= set(drawing.words())
    assert path[2, 0] - path[1, 0] == pytest.approx(2 * (path[1, 0] - path[0, 0]), abs=0.1)


def test_steps_and_gaps() -> None:
    steps = go.Scatter(x=[1, 3, 6], y=[2, 5, 4], mode="lines", line={"color": RED, "shape": "hv"})
    drawing = Drawing(figure(steps))
    (path,) = drawing.paths(RED)
    assert_at(path, drawing, [1, 3, 3, 6, 6], [2, 2, 5, 5, 4])
    gap = go.Scatter(x=[1, 2, 3, 4, 5], y=[1, 2, None, 4, 5], mode="lines", line_color=RED)
    drawing = Drawing(figure(gap))
    first, second = drawing.paths(RED)
    assert_at(first, drawing, [1, 2], [1, 2])
    assert_at(second, drawing, [4, 5], [4, 5])
    gap.connectgaps = True
    assert len(Drawing(figure(gap)).paths(RED)) == 1


def test_fills() -> None:
    low = go.Scatter(x=X, y=[1, 1, 1, 1], mode="lines", line_width=0)
    band = go.Scatter(x=X, y=Y, mode="lines", line_width=0, fill="tonexty", fillcolor=RED)
    drawing = Drawing(figure(low, band, showlegend=False))
    (area,) = drawing.paths(RED, "fill")
    assert_at(area[:8], drawing, X + X[::-1], [1, 1, 1, 1, *Y[::-1]])
    zero = go.Scatter(x=X, y=Y, mode="lines", line_color=BLUE, fill="tozeroy", fillcolor=RED)
    drawing = Drawing(figure(zero))
    (area,) = drawing.paths(RED, "fill")
    _, up = ends(drawing)
    assert area[:, 1].max() == pytest.approx(up(0), abs=1)
    assert area[:, 1].min() == pytest.approx(up(9), abs=1)
    loop = go.Scatter(x=[1, 5, 5], y=[1, 1, 5], mode="lines", fill="toself", fillcolor=RED)
    (area,) = Drawing(figure(loop)).paths(RED, "fill")
    assert len(np.unique(area.round(2), axis=0)) == 3


def test_dashes_opacity_and_error_bars() -> None:
    trace = go.Scatter(
        x=X,
        y=Y,
        mode="markers",
        marker={"color": BLUE, "line_width": 0},
        error_y={"type": "data", "array": [1, 1, 1, 1], "color": RED, "width": 0},
    )
    drawing = Drawing(figure(trace))
    bars = drawing.paths(RED)
    assert len(bars) == 4
    for bar, x, y in zip(bars, X, Y, strict=True):
        assert_at(bar[np.argsort(-bar[:, 1])], drawing, [x, x], [y - 1, y + 1])
    dashed = go.Scatter(x=X, y=Y, mode="lines", line={"color": RED, "dash": "dash", "width": 2})
    assert "stroke-dasharray: 9,9" in Drawing(figure(dashed)).source
    faint = go.Scatter(x=X, y=Y, mode="lines", line_color="rgba(255, 0, 0, 0.25)")
    assert "stroke-opacity: 0.25" in Drawing(figure(faint)).source


def test_the_colours_of_markers() -> None:
    scale = [[0, "#010000"], [0.5, "#00ff00"], [1, "#ffffff"]]
    marker = {"color": [5, 10, 20], "colorscale": scale, "cmin": 5, "cmax": 20, "line_width": 0}
    trace = go.Scatter(x=[1, 2, 3], y=[1, 2, 3], mode="markers", marker=marker)
    first, second, third = Drawing(figure(trace)).mark_colours()
    assert (first, third) == ("#010000", "#ffffff")
    assert abs(int(second[3:5], 16) - 170) < 3
    trace.marker.reversescale = True
    assert Drawing(figure(trace)).mark_colours()[::2] == ["#ffffff", "#010000"]
    named = go.Scatter(
        x=[1, 2], y=[1, 2], mode="markers", marker={"color": ["red", "rgb(0,0,255)"]}
    )
    assert Drawing(figure(named)).mark_colours() == [RED, BLUE]
    hollow = go.Scatter(
        x=[1], y=[1], mode="markers", marker={"symbol": "circle-open", "color": RED}
    )
    assert len(Drawing(figure(hollow)).places(RED, "stroke")) == 1


def test_text_at_points() -> None:
    trace = go.Scatter(
        x=X, y=Y, mode="markers+text", text=["a", "b", "c", "d"], textposition="top center"
    )
    drawing = Drawing(figure(trace))
    across, up = ends(drawing)
    for text, x, y in zip("abcd", X, Y, strict=True):
        assert drawing.text(text).x == pytest.approx(across(x), abs=0.1)
        assert 2 < up(y) - drawing.text(text).y < 20


@pytest.mark.parametrize("mode", ["group", "stack", "overlay"])
def test_bars(mode: str) -> None:
    bars = [
        go.Bar(x=[2, 6], y=[3, 4], marker_color=RED),
        go.Bar(x=[2, 6], y=[1, 5], marker_color=BLUE),
    ]
    drawing = Drawing(figure(*bars, barmode=mode, bargap=0.5, showlegend=False))
    across, up = ends(drawing)
    red, blue = (drawing.paths(colour, "fill") for colour in (RED, BLUE))
    shift, width = {"group": (0.5, 1), "stack": (0, 2), "overlay": (0, 2)}[mode]
    for boxes, base, heights, side in (
        (red, [0, 0], [3, 4], -1),
        (blue, [3, 4] if mode == "stack" else [0, 0], [1, 5], 1),
    ):
        for box, x, low, height in zip(boxes, [2, 6], base, heights, strict=True):
            centre = x + side * shift
            left, right = across([centre - width / 2, centre + width / 2])
            assert box[:, 0].min() == pytest.approx(left, abs=0.1)
            assert box[:, 0].max() == pytest.approx(right, abs=0.1)
            assert box[:, 1].max() == pytest.approx(up(low), abs=1)
            assert box[:, 1].min() == pytest.approx(up(low + height), abs=1)


def test_lying_bars_with_bases_and_text() -> None:
    trace = go.Bar(
        y=["one", "two"],
        x=[3, 4],
        base=[1, 5],
        orientation="h",
        marker_color=RED,
        text=["3 %", "4 %"],
        textposition="outside",
    )
    drawing = Drawing(figure(trace, yaxis={}, xaxis={"range": [0, 10], "dtick": 10}))
    across = drawing.along("0", "10")
    for box, low, high, text in zip(
        drawing.paths(RED, "fill"), [1, 5], [4, 9], ["3 %", "4 %"], strict=True
    ):
        assert box[:, 0].min() == pytest.approx(across(low), abs=0.1)
        assert box[:, 0].max() == pytest.approx(across(high), abs=0.1)
        assert drawing.text(text).x == pytest.approx(across(high) + 4, abs=0.5)


@pytest.mark.parametrize("orientation", ["h", "v"])
def test_thousands_of_bars_are_an_image_in_their_places(orientation: str) -> None:
    places = np.linspace(0, 10, 1500)
    along, across = ("y", "x") if orientation == "h" else ("x", "y")
    bars = {along: places, across: np.full(1500, 2.0), "base": places / 2}
    drawing = Drawing(figure(go.Bar(orientation=orientation, marker_color=RED, **bars)))
    assert not drawing.paths(RED, "fill")
    ((pixels, node),) = drawing.images()
    x, y = ends(drawing)
    left, bottom, width, height = (
        float(node.get(key, "0")) for key in ("x", "y", "width", "height")
    )
    assert node.get("transform") == f"scale(1 -1) translate(0 -{height:g})"
    top, pixels = -bottom, pixels[::-1]

    def is_red(at: float, value: float) -> bool:
        column, row = (at, value) if orientation == "v" else (value, at)
        i = (y(row) - top) / height * len(pixels)
        j = (x(column) - left) / width * pixels.shape[1]
        if not (0 <= i < len(pixels) and 0 <= j < pixels.shape[1]):
            return False
        return bool(pixels[int(i), int(j), 3] > 100)

    for at in (1.0, 5.0, 9.0):
        inside = [is_red(at, at / 2 + shift) for shift in (0.1, 1.0, 1.9)]
        outside = [is_red(at, at / 2 + shift) for shift in (-0.1, 2.1)]
        assert (inside, outside) == ([True] * 3, [False] * 2)


def test_bars_stand_on_the_axis() -> None:
    drawing = Drawing(figure(go.Bar(x=[1, 2], y=[3, 4], marker_color=RED), yaxis={}, xaxis={}))
    bottom = max(box[:, 1].max() for box in drawing.paths(RED, "fill"))
    assert drawing.text("0").y - 0.35 * 12 == pytest.approx(bottom, abs=1.5)


SCALE = [[0, "#0000ff"], [1, "#ff00ff"]]


def test_a_heatmap_of_few_cells() -> None:
    z = [[0, 51, None], [102, 153, 255]]
    trace = go.Heatmap(
        z=z, x=["a", "b", "c"], y=["p", "q"], colorscale=SCALE, texttemplate="%{z}", xgap=1
    )
    drawing = Drawing(figure(trace, xaxis={}, yaxis={}))
    for row, values in zip("pq", z, strict=True):
        for column, value in zip("abc", values, strict=True):
            if value is None:
                continue
            x, y = drawing.text(column).x, drawing.text(row).y
            boxes = [
                box
                for box in drawing.paths(f"#{value:02x}00ff", "fill")
                if box[:, 0].min() < x < box[:, 0].max() and box[:, 1].min() < y < box[:, 1].max()
            ]
            assert len(boxes) == 1, value
    assert {"0", "51", "102", "153", "255"} <= set(drawing.words())
    assert "None" not in drawing.source and "nan" not in drawing.source
    # Light on dark cells, dark on light ones.
    assert "#ffffff" in drawing.text("51").style.lower() or "white" in drawing.text("51").style
    light = go.Heatmap(
        z=[[0, 1]], colorscale=GREYS, texttemplate="<b>%{text}</b>", text=[["d", "l"]]
    )
    drawing = Drawing(figure(light, xaxis={}, yaxis={}))
    assert "#ffffff" in drawing.text("d").style
    assert "fill" not in drawing.text("l").style


def test_a_heatmap_of_many_cells_is_an_image_of_as_many_pixels() -> None:
    z = np.random.default_rng(0).integers(0, 256, (28, 30))
    trace = go.Heatmap(z=z, colorscale=GREYS, zmin=0, zmax=255, showscale=False)
    square = {"constrain": "domain", "showgrid": False}
    drawing = Drawing(figure(trace, xaxis=square, yaxis={**square, "scaleanchor": "x"}))
    ((pixels, node),) = drawing.images()
    assert pixels.shape == (28, 30, 4)
    np.testing.assert_allclose(pixels[::-1, :, 0], z, atol=1)  # plotly's rows begin below
    assert "pixelated" in node.get("style", "")
    a, _, _, d, *_ = map(float, re.findall(r"[-\d.e]+", node.get("transform", "").split("(")[1]))
    assert abs(a) == pytest.approx(abs(d), rel=1e-3)  # square
    turned = figure(trace, xaxis=square, yaxis={**square, "autorange": "reversed"})
    np.testing.assert_allclose(Drawing(turned).images()[0][0][:, :, 0], z, atol=1)


def test_a_colour_bar_shows_the_ends_of_the_scale_and_its_title() -> None:
    bar = {"title": {"text": "rows"}, "tickvals": [0, 5], "ticktext": ["none", "five"]}
    drawing = Drawing(figure(go.Heatmap(z=[[0, 10]], colorscale=SCALE, colorbar=bar)))
    assert {"rows", "none", "five"} <= set(drawing.words())
    ((pixels, _),) = drawing.images()
    assert pixels[0, 0, :3].tolist() == [255, 0, 255]
    assert pixels[-1, 0, :3].tolist() == [0, 0, 255]
    height = drawing.text("none").y - drawing.text("five").y
    assert 0.4 * drawing.height < 2 * height < drawing.height
    hidden = figure(go.Heatmap(z=[[0, 10]], colorscale=SCALE, colorbar=bar, showscale=False))
    assert "rows" not in Drawing(hidden).words()


def test_contours_lie_where_the_levels_are() -> None:
    x = np.linspace(0, 10, 21)
    trace = go.Contour(
        x=x,
        y=[0, 5, 10],
        z=np.tile(x, (3, 1)),
        colorscale=SCALE,
        contours={"start": 2, "end": 8, "size": 2},
        line={"color": BLUE, "width": 1},
    )
    drawing = Drawing(figure(trace))
    across, _ = ends(drawing)
    lines = drawing.paths(BLUE)
    assert sorted(line[0, 0] for line in lines) == pytest.approx(across([2, 4, 6, 8]), abs=0.1)
    assert all(np.ptp(line[:, 0]) < 0.1 for line in lines)
    for i, (low, high) in enumerate([(0, 2), (2, 4), (4, 6), (6, 8), (8, 10)]):
        (band,) = drawing.paths(f"#{round(255 * i / 4):02x}00ff", "fill")
        assert band[:, 0].min() == pytest.approx(across(low), abs=0.1)
        assert band[:, 0].max() == pytest.approx(across(high), abs=0.1)


def test_parallel_coordinates() -> None:
    dimensions = [
        {"label": "lr", "values": [0, 1], "range": [0, 1]},
        {
            "label": "optimizer",
            "values": [2, 0],
            "range": [0, 2],
            "tickvals": [0, 1, 2],
            "ticktext": ["sgd", "adam", "none"],
        },
        {"label": "score", "values": [5, 10], "range": [0, 10]},
    ]
    line = {"color": [0, 1], "colorscale": [[0, RED], [1, BLUE]]}
    drawing = Drawing(figure(go.Parcoords(dimensions=dimensions, line=line)))
    (red,), (blue,) = drawing.paths(RED), drawing.paths(BLUE)
    columns = [drawing.text(label).x for label in ("lr", "optimizer", "score")]
    np.testing.assert_allclose(red[:, 0], columns, atol=0.1)
    low, high = blue[1, 1], red[1, 1]  # sgd and none
    np.testing.assert_allclose(red[:, 1], [low, high, (low + high) / 2], atol=0.1)
    np.testing.assert_allclose(blue[:, 1], [high, low, high], atol=0.1)
    assert drawing.text("none").y < drawing.text("adam").y < drawing.text("sgd").y


def test_the_legend() -> None:
    traces = [
        go.Scatter(x=X, y=Y, name="shown"),
        go.Scatter(x=X, y=Y, name="silent", showlegend=False),
        go.Scatter(x=X, y=Y, name="off", visible="legendonly"),
        go.Bar(x=X, y=Y, name="bars <i>too</i>"),
    ]
    words = Drawing(figure(*traces)).words()
    assert [word for word in words if word in ("shown", "silent", "off", "bars too")] == [
        "shown",
        "bars too",
    ]
    assert "shown" not in Drawing(figure(traces[0])).words()
    assert "shown" in Drawing(figure(traces[0], showlegend=True)).words()
    many = [go.Scatter(x=X, y=Y, name=f"a rather long name {i}") for i in range(9)]
    drawing = Drawing(figure(*many))
    names = [drawing.text(f"a rather long name {i}") for i in range(9)]
    assert max(name.x for name in names) < drawing.width
    rows = [name.y for name in names]
    assert rows == sorted(rows)  # row after row
    assert len(set(rows)) > 1


def test_annotations_and_shapes() -> None:
    plot = figure(go.Scatter(x=[1, 100], y=Y[:2]), xaxis={"type": "log", "range": [0, 2]})
    plot.add_annotation(x=1, y=5, text="<b>ten</b><br>there", showarrow=False)
    plot.add_annotation(x=0, y=1, xref="paper", yref="paper", text="corner", showarrow=False)
    plot.add_annotation(x=1, y=5, text="arrow", showarrow=True, ax=40, ay=-60, arrowcolor=RED)
    plot.add_hline(y=5, line_color=BLUE)
    plot.add_vrect(x0=10, x1=100, fillcolor="#00ff00", line_width=0, layer="below")
    drawing = Drawing(plot)
    left, right = drawing.text("1").x, drawing.text("100").x
    middle = (left + right) / 2
    (line,) = [path for path in drawing.paths(BLUE) if len(path) == 2]
    np.testing.assert_allclose(line[:, 0], [left, right], atol=0.1)
    np.testing.assert_allclose(line[0, 1], line[1, 1])
    assert drawing.text("arrow").x == pytest.approx(middle + 40, abs=0.5)
    assert drawing.text("arrow").y == pytest.approx(line[0, 1] - 60, abs=8)
    tip = np.concatenate(drawing.paths(RED))
    assert np.abs(tip - [middle, line[0, 1]]).sum(1).min() < 6
    assert drawing.text("ten").y < line[0, 1] < drawing.text("there").y + 4
    assert "700" in drawing.text("ten").style or "bold" in drawing.text("ten").style
    (box,) = drawing.paths("#00ff00", "fill")
    assert box[:, 0].min() == pytest.approx(middle, abs=0.1)
    assert box[:, 0].max() == pytest.approx(right, abs=0.1)
    assert drawing.text("corner").x == pytest.approx(left, abs=0.5)


def test_titles_labels_and_formats() -> None:
    drawing = Drawing(
        figure(
            go.Scatter(x=X, y=[0, 0.25, 0.5, 1]),
            title_text="A <i>title</i> &amp; more",
            xaxis={"title": "epoch", "tickvals": [2, 5], "ticktext": ["two", "five"]},
            yaxis={"title": "share", "tickformat": ".0%", "range": [0, 1], "dtick": 0.5},
        )
    )
    assert {"A title & more", "epoch", "two", "five", "share", "0%", "50%", "100%"} <= set(
        drawing.words()
    )
    bare = figure(go.Scatter(x=X, y=Y), xaxis={"visible": False, "title": "epoch"}, yaxis={})
    bare.update_yaxes(showticklabels=False)
    assert Drawing(bare).words() == []


def test_what_needs_room_gets_it() -> None:
    name = "a category of which the name is long"
    trace = go.Bar(x=[1], y=[name], orientation="h")
    drawing = Drawing(figure(trace, yaxis={"title": "which"}, xaxis={}))
    label = drawing.text(name)
    assert label.anchor == "end"
    assert label.x > 0.5 * label.size * len(name)  # a letter is about 0.6 times as wide as high
    for t in drawing.texts():
        assert 0 < t.x < drawing.width and 0 < t.y < drawing.height


def test_panels_and_axes_that_belong_together() -> None:
    plot = make_subplots(1, 2, shared_yaxes=True, subplot_titles=["left", "right"])
    plot.update_layout(template=TEMPLATE)
    plot.add_scatter(x=[0, 1], y=[0, 4], line_color=RED, mode="lines", row=1, col=1)
    plot.add_scatter(x=[0, 1], y=[4, 8], line_color=BLUE, mode="lines", row=1, col=2)
    plot.update_layout(showlegend=False)
    drawing = Drawing(plot)
    (red,), (blue,) = drawing.paths(RED), drawing.paths(BLUE)
    assert red[1, 1] == pytest.approx(blue[0, 1], abs=0.1)  # both are 4
    assert red[:, 0].max() < WIDTH / 2 < blue[:, 0].min()
    assert drawing.text("left").x < drawing.text("right").x
    assert len([t for t in drawing.texts() if t.anchor == "end"]) == len(
        [t for t in drawing.texts() if t.anchor == "end" and t.x < 100]
    )


def test_a_second_vertical_axis() -> None:
    plot = figure(
        go.Scatter(x=X, y=Y, mode="lines", line_color=RED),
        go.Scatter(x=X, y=[100 * y for y in Y], mode="lines", line_color=BLUE, yaxis="y2"),
        showlegend=False,
        yaxis2={"overlaying": "y", "side": "right", "range": [0, 1000], "dtick": 1000},
    )
    drawing = Drawing(plot)
    (red,), (blue,) = drawing.paths(RED), drawing.paths(BLUE)
    np.testing.assert_allclose(red, blue, atol=0.01)
    assert drawing.text("1,000").x > drawing.width / 2


def everything() -> list[go.Figure]:
    """Figures with all kinds of traces."""
    rng = np.random.default_rng(0)
    plot = figure(
        go.Scatter(x=X, y=Y, name="line", error_x={"type": "constant", "value": 1}),
        go.Bar(x=X, y=Y, name="bars"),
        go.Scatter(x=rng.random(1500), y=rng.random(1500), mode="markers", name="points"),
        xaxis={"title": "a title"},
    )
    return [
        plot,
        figure(go.Heatmap(z=rng.random((40, 40)))),
        figure(go.Contour(z=rng.random((9, 9)))),
        figure(go.Parcoords(dimensions=[{"values": [1, 2], "label": "a"}] * 2)),
        go.Figure(),
    ]


def test_the_same_figure_gives_the_same_bytes_and_nothing_global_changes() -> None:
    before = copy.deepcopy(dict(matplotlib.rcParams))
    for plot in everything():
        untouched = plot.to_json()
        assert to_svg(plot) == to_svg(plot)
        assert plot.to_json() == untouched
    assert dict(matplotlib.rcParams) == before


def test_it_needs_no_pyplot_and_no_screen() -> None:
    code = """
import sys
import plotly.graph_objects as go
from hw1.analysis.figures.svg import to_svg
to_svg(go.Figure(go.Scatter(y=[1, 2])))
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_settings_of_the_user_do_not_matter() -> None:
    plot = everything()[0]
    plain = to_svg(plot)
    with matplotlib.rc_context({"font.size": 30, "axes.grid": True, "svg.fonttype": "path"}):
        assert to_svg(plot) == plain


def test_the_size_is_that_of_the_figure_in_pixels() -> None:
    drawing = Drawing(figure(go.Scatter(x=X, y=Y), width=500, height=300))
    assert (drawing.width, drawing.height) == (500, 300)
    assert drawing.root.get("viewBox") == "0 0 500 300"


def test_letters_that_matplotlib_lacks_and_signs_that_svg_needs_pass_through() -> None:
    drawing = Drawing(figure(go.Scatter(x=["猫", "a < b & $c$"], y=[1, 2]), xaxis={}))
    assert {"猫", "a < b & $c$"} <= set(drawing.words())
    assert "<title>猫 & more".replace("&", "&amp;") in to_svg(go.Figure(), "猫 & more")


def test_traces_have_the_colours_of_the_palette_in_order() -> None:
    traces = [go.Scatter(x=X, y=Y, mode="lines", showlegend=False) for _ in range(3)]
    drawing = Drawing(figure(*traces))
    assert all(len(drawing.paths(colour.lower())) == 1 for colour in PALETTE[:3])


@pytest.mark.parametrize(
    "unknown",
    [
        figure(go.Pie(values=[1])),
        figure(go.Histogram(x=[1])),
        figure(go.Box(y=[1])),
        figure(go.Scatter3d(x=[1], y=[1], z=[1])),
        figure(go.Scatter(x=X, y=Y, line_shape="spline", mode="lines")),
        figure(go.Scatter(x=X, y=Y, fill="tonext")),
        figure(go.Scatter(x=X, y=Y, marker_symbol="hourglass", mode="markers")),
        figure(go.Scatter(x=X, y=Y, error_y={"type": "sqrt"})),
        figure(go.Scatter(x=X, y=Y, mode="text", texttemplate="%{customdata}")),
        figure(go.Bar(x=X, y=Y), barmode="relative"),
        figure(go.Bar(x=X, y=Y, text=Y)),
        figure(go.Heatmap(z=[[1, 2]], zsmooth="best")),
        figure(go.Contour(z=[[1, None], [2, 3]], connectgaps=True)),
        figure(go.Contour(z=[[1, 2], [2, 3]], contours_coloring="heatmap")),
        figure(go.Scatter(x=X, y=Y), xaxis={"type": "multicategory"}),
        figure(go.Scatter(x=X, y=Y), xaxis={"tickformat": "~s"}),
        figure(go.Scatter(x=X, y=Y), shapes=[{"type": "path", "path": "M0,0L1,1", "x0": 0}]),
    ],
    ids=str,
)
def test_what_is_not_supported_is_refused(unknown: go.Figure) -> None:
    with pytest.raises(NotImplementedError, match=r"SVG"):
        to_svg(unknown)
