"""Figures drawn with matplotlib: still, as SVG or PNG, for print and for a look.

One pixel of a figure is one unit of the SVG. Text stays text; it is laid out for DejaVu Sans.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from hw1.analysis.figures.layout import Place
from hw1.analysis.figures.marks import Axis, Figure, HeatMap, Panel
from hw1.analysis.figures.matplotlib_marks import draw
from hw1.analysis.figures.style import (
    BAR_LENGTH,
    FONT_FAMILIES,
    FONT_SIZE,
    GRID,
    INK,
    LEGEND_SPACE,
    MUTED,
    SMALL_SIZE,
    TITLE_SPACE,
)
from hw1.analysis.figures.ticks import ticks_of
from hw1.errors import printable

EDGE = 4.0
"""Pixels that stay free along the edges of a figure."""
PASSES = 3
"""The margins settle within as many."""
PIXELS_PER_TICK = 70, 35
"""Along a horizontal axis, and along a vertical one."""
BAR_SPACE, BAR_WIDTH = 16, 14
"""Pixels beside panels to a color bar, and of it."""

_SETTINGS: dict[str, Any] = {
    "axes.axisbelow": True,
    "font.family": "sans-serif",
    "font.sans-serif": list(FONT_FAMILIES),
    "lines.scale_dashes": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "hw1",
    "text.parse_math": False,
}


def svg(figure: Figure, width: int | None = None, height: int | None = None) -> str:
    """The figure as an SVG document: the same figure, the same text.

    Args:
        figure: what is drawn.
        width, height: pixels; by default the figure's own.
    """
    buffer = io.StringIO()
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type")) | {"Title": figure.title}
    with _settings():
        drawn = _fitted(figure, width, height)
        drawn.dpi = 144  # of what is rasterized
        FigureCanvasSVG(drawn).print_svg(buffer, metadata=metadata)  # type: ignore[no-untyped-call]
    # Pixels: a point would be a third larger.
    sized = re.sub(r'(width|height)="([\d.]+)pt"', r'\1="\2"', buffer.getvalue(), count=2)
    return printable(sized)  # with control characters it would be no XML


def png(figure: Figure, scale: float = 2.0) -> bytes:
    """The figure as a PNG with ``scale`` times as many pixels across as it says."""
    buffer = io.BytesIO()
    with _settings():
        drawn = _fitted(figure, None, None)
        drawn.dpi = 72 * scale
        FigureCanvasAgg(drawn).print_png(buffer, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return buffer.getvalue()


@lru_cache(maxsize=4096)
def text_width(text: str, size: float = SMALL_SIZE) -> float:
    """How wide a line of text is, in pixels, in the font in which an SVG is laid out."""
    font = FontProperties(family=FONT_FAMILIES[0], size=size)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, False)
    return float(width)


def shortened(text: str, width: float, size: float = SMALL_SIZE) -> str:
    """The text, or its beginning and an ellipsis where it is wider than ``width`` pixels."""
    if text_width(text, size) <= width:
        return text
    kept = text
    while kept and text_width(f"{kept}…", size) > width:
        kept = kept[:-1]
    return f"{kept.rstrip()}…"


@contextmanager
def _settings() -> Iterator[None]:
    """Matplotlib as it comes, and not as a user has set it up."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)  # type: ignore[arg-type]
        # The viewer's fonts may well have the letters that matplotlib's hasn't.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _fitted(figure: Figure, width: int | None, height: int | None) -> Canvas:
    """The figure in a size, with margins in which axes, legend and color bar have room."""
    size = width or figure.size[0], height or figure.size[1]
    margins = np.array(figure.margins, dtype=float)
    for _ in range(PASSES):
        drawn = _draw(figure, size, margins)
        box = drawn.get_tightbbox().padded(0)
        beyond = np.array([-box.x0, box.x1 - size[0] / 72, box.y1 - size[1] / 72, -box.y0])
        missing = np.maximum(72 * beyond + EDGE, 0)
        if missing.max() < 0.5:
            break
        margins = margins + missing
    return drawn


def _draw(figure: Figure, size: tuple[int, int], margins: np.ndarray) -> Canvas:
    width, height = size
    canvas = Canvas(figsize=(width / 72, height / 72), dpi=72)
    canvas.set_facecolor("white")
    left, right, top, bottom = margins
    inner = max(width - left - right, 40), max(height - top - bottom, 40)
    entries: dict[str, Artist] = {}
    for panel in figure.panels:
        x0, y0, x1, y1 = panel.place
        corner = left + x0 * inner[0], bottom + y0 * inner[1]
        _panel(canvas, panel, (*corner, (x1 - x0) * inner[0], (y1 - y0) * inner[1]), entries)
    has_titles = any(panel.title for panel in figure.panels)
    above = (top - LEGEND_SPACE - TITLE_SPACE * has_titles) / height
    _legend(canvas, entries, (left / width, 1 - above), width - left)
    scales = (getattr(mark, "scale", None) for panel in figure.panels for mark in panel.marks)
    for scale in dict.fromkeys(s for s in scales if s is not None and s.title):
        # A bar at the top, not longer than the panels beside it.
        length, ends = min(inner[1], BAR_LENGTH), (scale.low, scale.high)
        shades = HeatMap(np.linspace(*ends, 256)[:, None], scale, (0.0, 1.0), ends)
        beside = Axis(scale.title, ends, ticks=scale.ticks, grid=False)
        bar = Panel((shades,), Axis("", (0.0, 1.0), visible=False), beside)
        place = left + inner[0] + BAR_SPACE, height - top - length, BAR_WIDTH, length
        axes = _panel(canvas, bar, place, entries)
        axes.yaxis.tick_right()
        axes.yaxis.set_label_position("right")
    return canvas


def _panel(canvas: Canvas, panel: Panel, place: Place, entries: dict[str, Artist]) -> Axes:
    """Draw a panel at a left and a lower end, so wide and so high, in pixels.

    ``entries`` of the legend are added to.
    """
    size = canvas.get_size_inches() * 72
    axes = canvas.add_axes(tuple(np.array(place) / [*size, *size]), label=str(len(canvas.axes)))
    axes.spines[:].set_visible(False)
    for i, mark in enumerate(panel.marks):
        handle = draw(axes, mark, i / len(panel.marks))
        name: str = getattr(mark, "name", "")
        if name and handle is not None:
            entries.setdefault(name, handle)
    if panel.parallel:
        return axes
    for direction, axis, target, pixels in (
        ("x", panel.x, axes.xaxis, place[2]),
        ("y", panel.y, axes.yaxis, place[3]),
    ):
        axes.set(**{f"{direction}scale": "log" if axis.log else "linear"})
        axes.set(**{f"{direction}lim": axis.range})
        target.set_minor_locator(NullLocator())
        if not axis.visible:
            target.set_visible(False)
            continue
        ticks = ticks_of(axis, int(pixels / PIXELS_PER_TICK[direction == "y"]))
        texts = [text if axis.labeled else "" for _, text in ticks]
        target.set_major_locator(FixedLocator([place for place, _ in ticks]))
        target.set_major_formatter(FixedFormatter(texts))
        target.set_tick_params(length=0, pad=4, labelsize=SMALL_SIZE, labelcolor=MUTED)
        if axis.grid:
            target.grid(True, color=GRID, linewidth=1)
        if direction == "x" and axis.angle:
            turned: dict[str, Any] = {"ha": "right", "rotation_mode": "anchor"}
            turned["va"] = "center" if axis.angle > 60 else "top"
            for tick in target.get_ticklabels():
                tick.set(rotation=axis.angle, **turned)
        label = axis.label
        if direction == "y" and text_width(label, FONT_SIZE) > pixels:
            label = label.partition(" (")[0]  # without its remark
        target.set_label_text(label, fontsize=FONT_SIZE, color=INK)
        target.labelpad = 8
    if panel.square:
        axes.set_aspect("equal")
    if panel.title:
        axes.set_title(panel.title, loc="left", fontsize=SMALL_SIZE, color=INK, pad=5)
    return axes


def _legend(
    canvas: Canvas, entries: dict[str, Artist], place: tuple[float, float], room: float
) -> None:
    """The names of marks in rows above the panels, in as few as have room."""
    names = list(entries)
    for columns in range(len(names), 0, -1):
        # Matplotlib fills column after column.
        ordered = [name for i in range(columns) for name in names[i::columns]]
        legend = canvas.legend(
            [entries[name] for name in ordered],
            ordered,
            loc="lower left",
            bbox_to_anchor=place,
            ncols=columns,
            fontsize=FONT_SIZE,
            labelcolor=INK,
            frameon=False,
            borderaxespad=0,
            borderpad=0.2,
            handlelength=1.7,
            handletextpad=0.6,
            columnspacing=1.6,
            scatteryoffsets=[0.5],
        )
        if legend.get_window_extent().width <= room:
            break
        legend.remove()
