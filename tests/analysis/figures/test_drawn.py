"""Both libraries draw every mark, and what a figure says is in what they draw."""

import io
import json
import subprocess
import sys
from typing import Any

import matplotlib as library
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from hw1.analysis.figures import matplotlib, plotly
from hw1.analysis.figures.layout import MARGIN, drawing, fitted, grid
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
    Panel,
    Parallel,
    Points,
    Text,
)
from hw1.analysis.figures.matplotlib import shortened, svg, text_width
from hw1.analysis.figures.stored import from_json, to_json
from hw1.analysis.figures.style import BLUE, GRAY, INK, SEQUENTIAL

X = np.array([0.0, 1.0, 2.0])
BARRED = ColorScale(SEQUENTIAL, 0, 1, "a <title> of a bar", ((0.0, "none"), (1.0, "all")))
PLAIN = ColorScale(SEQUENTIAL, 0, 1, reversed=True)
CELLS = np.array([[0.0, 1.0], [np.nan, 0.5]])
LINE = Line(X, [0.0, np.nan, 2.0], BLUE, "a <name>", dash="dash", steps=True, hover="at {x}")
SYMBOLS = ["x", "x-thin", "circle-open"]
MARKS: dict[str, Mark] = {
    "line": LINE,
    "band": Band(X, X, X + 1, BLUE, "a <name>"),
    "points": Points(X, X, BLUE, "a <name>", symbol=SYMBOLS, hover="{y:.1g}"),
    "colored points": Points(X, X, X / 2, scale=BARRED, symbol="diamond", hover=["a", "b", "c"]),
    "bars": Bars(X, X, BLUE, "a <name>", base=[0.1] * 3, text=["<0.1", "b", "c"]),
    "histogram": Histogram([0, 1, 2], [0.3, 0.7], BLUE, GRAY, "a <name>", hover="{y:.0%}"),
    "cells": HeatMap(CELLS, BARRED, gap=1, text=[["a", "b"], ["", "c"]], bold=True, hover="{z}"),
    "uneven cells": HeatMap(CELLS, BARRED, x=[0.0, 0.5, 2.0], data=CELLS, hover="{data}"),
    "even cells": HeatMap(CELLS, BARRED, x=(0.0, 2.0), y=(0.0, 2.0)),
    "gray image": Image(np.arange(6, dtype=np.uint8).reshape(2, 3), (0.0, 2.0), (0.0, 2.0)),
    "image": Image(np.zeros((2, 3, 3), dtype=np.uint8), (0.0, 2.0), (0.0, 2.0)),
    "contour": Contour(X, X, np.outer(X, X) / 4, BARRED, n_bands=4),
    "text": Text("a <name>", 1, 1, "left", "top", angle=90, bold=True),
    "box": Box((0.5, 1.5), (0.5, 1.5), INK, dash="dot"),
    "parallel": Parallel(
        CELLS[:, 1:].repeat(2, 1), ["a", "b"], [((0.0, "low"),)] * 2, X[:2], PLAIN
    ),
}


def figure(*marks: Mark, **attributes: Any) -> Figure:
    x, y = Axis("an <axis>", (-0.5, 2.5)), Axis("y", (2.5, -0.5), percent=True)
    return Figure("name", "A <title>", "c", (Panel(marks, x, y, title="<panel>"),), **attributes)


@pytest.mark.parametrize("name", MARKS)
def test_every_mark_is_drawn_stored_and_drawn_alike(name: str) -> None:
    one = figure(MARKS[name])
    drawn = plotly.draw(one)
    still = svg(one)
    assert drawn.data or drawn.layout.annotations or drawn.layout.shapes
    again = from_json(json.loads(json.dumps(to_json(one))))
    assert svg(again) == still == svg(one)
    assert plotly.draw(again).to_json() == drawn.to_json()
    named = getattr(MARKS[name], "name", "") or getattr(MARKS[name], "text", "") == "a <name>"
    if named:
        assert "a &lt;name&gt;" in still and "a &lt;name&gt;" in drawn.to_json()
    has_bar = getattr(MARKS[name], "scale", None) is BARRED
    assert ("a &lt;title&gt; of a bar" in still) == has_bar
    assert ('"showscale":true' in drawn.to_json()) == has_bar


def test_marks_of_one_name_have_one_entry_in_the_legend() -> None:
    other = Line(X, X, GRAY, "other")
    drawn = plotly.draw(figure(LINE, LINE, other, Line(X, X, INK)))
    assert [trace.showlegend for trace in drawn.data] == [True, False, True, False]
    assert svg(figure(LINE, LINE, other)).count("a &lt;name&gt;") == 1
    assert not plotly.draw(figure(Line(X, X, INK))).layout.showlegend


def test_an_axis_is_the_same_for_both() -> None:
    log = Axis("loss", (0.01, 100.0), log=True)
    whole = Axis("epoch", (0.5, 5.5), whole=True)
    one = Figure("name", "t", "c", (Panel((Line([1, 2], [0.1, 10.0], BLUE),), whole, log),))
    layout = plotly.draw(one).layout
    assert layout.yaxis.type == "log" and layout.yaxis.range == (-2, 2)
    assert layout.xaxis.dtick == 1 and layout.xaxis.range == (0.5, 5.5)
    still = svg(one)
    for text in (*layout.yaxis.ticktext, "loss", "epoch", ">5<"):
        assert text in still


def test_axes_of_one_name_move_together() -> None:
    axes = [Axis("", (0.0, 1.0), shared=name) for name in ("a", "b", "a", "")]
    y = Axis("", (0.0, 1.0))
    panels = [Panel((LINE,), x, y, p) for x, p in zip(axes, grid(1, 4), strict=True)]
    layout = plotly.draw(Figure("name", "t", "c", panels)).layout
    assert [layout[f"xaxis{i}"].matches for i in ("", 2, 3, 4)] == [None, None, "x", None]


@given(st.integers(1, 5), st.integers(1, 5), st.floats(0, 0.2), st.floats(0, 0.2))
def test_a_grid_fills_its_room_with_gaps(rows: int, columns: int, across: float, up: float) -> None:
    places = grid(rows, columns, (across, up))
    assert len(places) == rows * columns
    left, lower = min(p[0] for p in places), min(p[1] for p in places)
    right, upper = max(p[2] for p in places), max(p[3] for p in places)
    assert (left, lower, right, upper) == pytest.approx((0, 0, 1, 1), abs=1e-9)
    assert all(0 <= p[0] < p[2] <= 1 and 0 <= p[1] < p[3] <= 1 for p in places)
    if columns > 1:
        assert places[1][0] - places[0][2] == pytest.approx(across)
    if rows > 1:
        assert places[0][1] - places[columns][3] == pytest.approx(up)


def test_a_pixel_of_a_drawing_is_one_of_the_figure() -> None:
    marks = [Image(np.zeros((3, 3), dtype=np.uint8), (0.0, 30.0), (0.0, 30.0))]
    made = drawing("name", "t", "c", marks, 300)
    assert (made.width, made.height) == (300 + 2 * MARGIN, 30 + 2 * MARGIN)
    assert (made.panels[0].x.range, made.panels[0].y.range) == ((0, 300), (30, 0))
    barred = drawing("name", "t", "c", [HeatMap(CELLS, BARRED, (0, 9), (0, 9))], 300)
    assert barred.width is not None and barred.width > 300 + 2 * MARGIN and barred.height > 130


def test_a_png_has_the_pixels_that_were_asked_for() -> None:
    one = figure(LINE, width=300, height=200)
    picture = Pillow.open(io.BytesIO(matplotlib.png(one, 2)))
    assert picture.size == (600, 400)
    assert matplotlib.png(one, 2) == matplotlib.png(one, 2)
    assert 'width="500" height="250"' in svg(one, 500, 250)


@given(
    st.text(st.characters(codec="latin-1", exclude_categories=["C"]), max_size=40),
    st.integers(30, 200),
)
def test_text_is_shortened_to_its_room(text: str, width: int) -> None:
    short = shortened(text, width)
    assert text_width(short) <= width
    assert short == text or text.startswith(short.removesuffix("…"))
    assert (short == text) == (text_width(text) <= width)


@given(st.integers(1, 50), st.integers(1, 50))
def test_a_fitted_image_has_square_pixels(height: int, width: int) -> None:
    across, down = fitted((height, width), 60)
    assert max(across, down) == pytest.approx(60)
    assert across / width == pytest.approx(down / height)


def test_points_and_images_lie_where_their_numbers_are() -> None:
    axis = Axis("", (0.0, 10.0), visible=False)
    x, y = [1.0, 4.0, 8.0], [2.0, 9.0, 5.0]
    square = Image(np.array([[0, 255], [255, 255]], dtype=np.uint8), (0.0, 2.0), (0.0, 2.0))
    marks = square, Points(x, y, "#FF0000", size=10, outline_width=0)
    panels = (Panel(marks, axis, axis),)
    one = Figure("n", "t", "c", panels, width=400, height=400, margins=(50, 50, 50, 50))
    trace = plotly.draw(one).data[-1]
    assert (list(trace.x), list(trace.y)) == (x, y)
    pixels = np.array(Pillow.open(io.BytesIO(matplotlib.png(one, 1))).convert("RGB"))

    def at(a: float, b: float) -> list[int]:
        return pixels[round(350 - 30 * b), round(50 + 30 * a)].tolist()

    assert all(at(a, b) == [255, 0, 0] for a, b in zip(x, y, strict=True))
    assert at(0.3, 0.3) == [0, 0, 0]
    assert at(0.3, 1.7) == at(1.7, 0.3) == [255, 255, 255]


def test_settings_of_the_user_do_not_matter_and_stay() -> None:
    one = figure(LINE, Text("\u732b & $c$", 1, 1))
    plain = svg(one)
    assert "\u732b &amp; $c$" in plain
    with library.rc_context({"font.size": 30, "axes.grid": True, "svg.fonttype": "path"}):
        before = dict(library.rcParams)
        assert svg(one) == plain
        assert dict(library.rcParams) == before


def test_it_needs_no_pyplot() -> None:
    code = """import sys
from hw1.analysis.figures import matplotlib
from hw1.analysis.figures.marks import Axis, Figure, Line, Panel
axis = Axis("", (0.0, 1.0))
panel = Panel((Line([0, 1], [0, 1], "#000000"),), axis, axis)
matplotlib.svg(Figure("n", "t", "c", (panel,)))
assert "matplotlib.pyplot" not in sys.modules"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_long_label_loses_its_remark_in_a_small_drawing() -> None:
    y = Axis("mean squared error of all the folds (lower is better)", (0.0, 2.0))
    one = Figure("n", "t", "c", (Panel((LINE,), Axis("", (0.0, 2.0)), y),))
    assert y.label in svg(one, 780, 600)
    small = svg(one, 300, 180)
    assert y.label not in small
    assert "mean squared error" in small
