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
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize, to_rgba
from matplotlib.figure import Figure as Canvas
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

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
    WIDTH,
)
from hw1.analysis.figures.ticks import ticks_of
from hw1.errors import printable

EDGE = 4.0
"""Pixels that stay free along the edges of a figure."""
PASSES = 3
"""The margins settle within as many."""
PIXELS_PER_TICK = 70, 35
"""Along a horizontal axis, and along a vertical one."""
RASTERIZED_FROM = 1000
"""Points of one mark; as paths, so many would make a huge file."""
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
_SYMBOLS = {"circle": "o", "diamond": "D", "triangle-up": "^", "triangle-down": "v", "x": "X"}
_SYMBOLS |= {"circle-open": "o", "x-thin": "x"}
_DASHES = {"dash": (3, 3), "dot": (1, 1), "dashdot": (3, 1, 1, 1)}
_BASELINES = {"top": "top", "middle": "center", "bottom": "bottom"}
_BELOW, _MIDDLE, _ABOVE = 1.0, 3.0, 5.0
"""The layers of images, of other marks, and of boxes and text."""


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
    size = width or figure.width or WIDTH, height or figure.height
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
    for number, panel in enumerate(figure.panels):
        x0, y0, x1, y1 = panel.place
        axes = canvas.add_axes(
            (
                (left + x0 * inner[0]) / width,
                (bottom + y0 * inner[1]) / height,
                (x1 - x0) * inner[0] / width,
                (y1 - y0) * inner[1] / height,
            ),
            label=str(number),
        )
        axes.spines[:].set_visible(False)
        for i, mark in enumerate(panel.marks):
            handle = _mark(axes, mark, i / len(panel.marks))
            name: str = getattr(mark, "name", "")
            if name and handle is not None:
                entries.setdefault(name, handle)
        _dress(axes, panel)
    has_titles = any(panel.title for panel in figure.panels)
    above = (top - LEGEND_SPACE - TITLE_SPACE * has_titles) / height
    _legend(canvas, entries, (left / width, 1 - above), width - left)
    place = left + inner[0] + BAR_SPACE, height - top, inner[1]
    for scale in dict.fromkeys(_scales(figure)):
        _color_bar(canvas, scale, place)
    return canvas


def _dress(axes: Axes, panel: Panel) -> None:
    """Ranges, ticks, grid, labels and title of a panel."""
    if isinstance(panel.marks[0], Parallel):
        return
    box = axes.get_window_extent()
    for direction, axis, target, pixels in (
        ("x", panel.x, axes.xaxis, box.width),
        ("y", panel.y, axes.yaxis, box.height),
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


def _mark(axes: Axes, mark: Mark, order: float) -> Artist | None:
    """Draw a mark; ``order`` in [0, 1): over those before it. What a legend shows of it."""
    match mark:
        case Line():
            return _line(axes, mark, _MIDDLE + order)
        case Band():
            fill = to_rgba(mark.color, mark.opacity)
            area = {"facecolor": fill, "edgecolor": "none"}
            axes.fill_between(mark.x, mark.low, mark.high, zorder=_MIDDLE + order, **area)  # type: ignore[arg-type]
            return Patch(**area)  # type: ignore[arg-type]
        case Points():
            return _points(axes, mark, _MIDDLE + order)
        case Bars():
            return _bars(axes, mark, _MIDDLE + order)
        case Histogram():
            style: dict[str, Any] = {
                "facecolor": to_rgba(mark.fill, mark.opacity),
                "edgecolor": to_rgba(mark.color),
                "linewidth": mark.width,
            }
            edges, heights = np.asarray(mark.edges), np.asarray(mark.heights)
            axes.stairs(heights, edges, fill=True, zorder=_MIDDLE + order, **style)
            return Patch(**style)
        case HeatMap():
            _heat_map(axes, mark, _BELOW + order)
        case Image():
            cells = {"vmin": 0, "vmax": 255, "cmap": "gray"} if mark.pixels.ndim == 2 else {}
            _cells(axes, mark.pixels, (mark.x, mark.y), _BELOW + order, **cells)
        case Contour():
            _contour(axes, mark, _BELOW + order)
        case Parallel():
            _parallel(axes, mark)
        case Text():
            axes.text(
                mark.x,
                mark.y,
                mark.text,
                ha=mark.anchor,
                va=_BASELINES[mark.baseline],
                fontsize=mark.size,
                color=mark.color,
                rotation=mark.angle,
                fontweight="bold" if mark.bold else "normal",
                zorder=_ABOVE + order,
            )
        case Box():
            (x0, x1), (y0, y1) = mark.x, mark.y
            line = {"linewidth": mark.width, "linestyle": _dash(mark.dash, mark.width)}
            outline = {"fill": False, "edgecolor": mark.color, "clip_on": False, **line}
            corner = min(x0, x1), min(y0, y1)
            size = abs(x1 - x0), abs(y1 - y0)
            axes.add_patch(Rectangle(corner, *size, zorder=_ABOVE + order, **outline))
    return None


def _line(axes: Axes, mark: Line, order: float) -> Artist:
    x, y = np.asarray(mark.x, dtype=float), np.asarray(mark.y, dtype=float)
    if mark.steps:
        x, y = np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]
    style: dict[str, Any] = {
        "color": to_rgba(mark.color, mark.opacity),
        "linewidth": mark.width,
        "linestyle": _dash(mark.dash, mark.width),
        "solid_joinstyle": "round",
    }
    # A gap ends a line: translucent ones are darker where they cross.
    there = np.isfinite(x) & np.isfinite(y)
    starts = np.flatnonzero(np.diff(there.astype(int))) + 1
    for part in np.split(np.arange(len(x)), starts):
        if part.size and there[part[0]]:
            axes.plot(x[part], y[part], zorder=order, **style)
    return Line2D([], [], **style)


def _dash(dash: str, width: float) -> Any:
    return (0, [part * max(width, 3) for part in _DASHES[dash]]) if dash in _DASHES else "solid"


def _points(axes: Axes, mark: Points, order: float) -> Artist:
    x, y = np.asarray(mark.x, dtype=float), np.asarray(mark.y, dtype=float)
    if isinstance(mark.color, str):
        colors = np.tile(to_rgba(mark.color, mark.opacity), (len(x), 1))
    else:
        assert mark.scale is not None, "numbers need a scale to be colors"
        colors = _colors(mark.scale, mark.color)
    symbols = np.array([mark.symbol] * len(x) if isinstance(mark.symbol, str) else mark.symbol)
    handle = Line2D([], [], linestyle="none")
    for symbol in dict.fromkeys(symbols.tolist()):
        here = symbols == symbol
        hollow, thin = symbol.endswith("-open"), symbol.endswith("-thin")
        width = mark.outline_width or float(hollow or thin)
        axes.scatter(
            x[here],
            y[here],
            s=mark.size**2,
            marker=_SYMBOLS[symbol],
            facecolors="none" if hollow else colors[here],
            # Of a thin one the face is all there is.
            edgecolors=None if thin else colors[here] if hollow else mark.outline,
            linewidths=width,
            zorder=order,
            rasterized=bool(here.sum() > RASTERIZED_FROM),
            clip_on=mark.clip,
        )
        color = colors[here][0]
        if not handle.get_marker() or handle.get_marker() == "None":
            handle.set_marker(_SYMBOLS[symbol])
            handle.set_markersize(mark.size)
            handle.set_markerfacecolor("none" if hollow else color)
            handle.set_markeredgecolor(color if hollow or thin else mark.outline)
            handle.set_markeredgewidth(width)
    return handle


def _bars(axes: Axes, mark: Bars, order: float) -> Artist:
    lengths = np.asarray(mark.length, dtype=float)
    base = np.zeros(len(lengths)) if mark.base is None else np.asarray(mark.base, dtype=float)
    style: dict[str, Any] = {"color": mark.color, "linewidth": 0, "zorder": order}
    bars = axes.barh(np.asarray(mark.y), lengths, mark.thickness, base, **style)
    if len(bars) > RASTERIZED_FROM:
        for bar in bars:
            bar.set_rasterized(True)
    for y, end, text in zip(mark.y, base + lengths, mark.text, strict=False):
        axes.annotate(
            text,
            (end, y),
            xytext=(4, 0),
            textcoords="offset pixels",
            va="center",
            fontsize=FONT_SIZE,
            color=INK,
            zorder=_ABOVE,
        )
    return Patch(facecolor=mark.color, edgecolor="none")


def _color_map(scale: ColorScale) -> Colormap:
    colors = LinearSegmentedColormap.from_list("", list(scale.stops), N=1021)
    return colors.reversed() if scale.reversed else colors


def _norm(scale: ColorScale) -> Normalize:
    return Normalize(scale.low, scale.high, clip=True)


def _colors(scale: ColorScale, values: Any) -> np.ndarray:
    """Numbers as red, green, blue and opacity in [0, 1]; NaN is transparent."""
    numbers = np.asarray(values, dtype=float)
    colors = np.asarray(_color_map(scale)(_norm(scale)(np.nan_to_num(numbers))))
    colors[np.isnan(numbers)] = 0
    return colors


def _heat_map(axes: Axes, mark: HeatMap, order: float) -> None:
    rows, columns = mark.values.shape
    x = np.array([-0.5, columns - 0.5]) if mark.x is None else np.asarray(mark.x, dtype=float)
    y = np.array([-0.5, rows - 0.5]) if mark.y is None else np.asarray(mark.y, dtype=float)
    colors = _colors(mark.scale, mark.values)
    if len(x) == len(y) == 2 and not mark.gap:
        _cells(axes, colors, ((x[0], x[1]), (y[0], y[1])), order)
    else:
        x = x if len(x) > 2 else np.linspace(x[0], x[1], columns + 1)
        y = y if len(y) > 2 else np.linspace(y[0], y[1], rows + 1)
        lines = {"edgecolors": "white", "linewidth": mark.gap} if mark.gap else {}
        axes.pcolormesh(x, y, colors, zorder=order, rasterized=not mark.gap, **lines)  # type: ignore[arg-type]
    for row, texts in enumerate(mark.text):
        for column, text in enumerate(texts):
            if text:
                axes.text(
                    column,
                    row,
                    text,
                    ha="center",
                    va="center",
                    fontsize=FONT_SIZE,
                    fontweight="bold" if mark.bold else "normal",
                    color=_readable_on(colors[row, column]),
                    zorder=_ABOVE,
                )


def _readable_on(background: np.ndarray) -> str:
    """Black or white, whichever has more contrast (https://www.w3.org/TR/WCAG21/, 1.4.3)."""
    channels = background[:3] if background[3] else np.ones(3)
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ [0.2126, 0.7152, 0.0722])
    return "black" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "white"


def _cells(axes: Axes, cells: np.ndarray, ends: Any, order: float, **colors: Any) -> None:
    """Even cells as an image of one pixel each, which the viewer enlarges without blurring it."""
    extent = (*ends[0], *ends[1])
    style = {"origin": "lower", "interpolation": "none", "aspect": "auto", **colors}
    axes.imshow(cells, extent=extent, zorder=order, **style)


def _contour(axes: Axes, mark: Contour, order: float) -> None:
    levels = np.linspace(mark.scale.low, mark.scale.high, mark.n_bands + 1)[1:-1]
    colors = list(_color_map(mark.scale)(np.linspace(0, 1, mark.n_bands)))
    surface = np.asarray(mark.x), np.asarray(mark.y), mark.values
    axes.contourf(*surface, levels, colors=colors, extend="both", zorder=order)
    lines = {"colors": "white", "linewidths": 0.5, "linestyles": "solid"}
    axes.contour(*surface, levels, zorder=order + 0.1, **lines)  # type: ignore[arg-type]


def _parallel(axes: Axes, mark: Parallel) -> None:
    n = len(mark.labels)
    axes.set_axis_off()
    axes.set(xlim=(0, max(n - 1, 1)), ylim=(0, 1))
    paths = [np.stack([np.arange(n), row], axis=1) for row in mark.values]
    lines = LineCollection(paths, colors=list(_colors(mark.scale, mark.color)), linewidths=1.0)
    axes.add_collection(lines)
    halo = {"boxstyle": "square,pad=0.1", "facecolor": (1, 1, 1, 0.75), "edgecolor": "none"}
    for i, (label, ticks) in enumerate(zip(mark.labels, mark.ticks, strict=True)):
        axes.plot([i, i], [0, 1], color=MUTED, linewidth=1, zorder=4, clip_on=False)
        words: dict[str, Any] = {"textcoords": "offset pixels", "annotation_clip": False}
        axes.annotate(
            label, (i, 1), xytext=(0, 12), ha="center", fontsize=FONT_SIZE, color=INK, **words
        )
        words |= {"fontsize": SMALL_SIZE, "color": MUTED, "bbox": halo, "zorder": 5}
        for place, text in ticks:
            axes.annotate(text, (i, place), xytext=(-7, 0), ha="right", va="center", **words)
            axes.plot([i], [place], marker="_", markersize=6, color=MUTED, clip_on=False, zorder=4)


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
        )
        if legend.get_window_extent().width <= room:
            break
        legend.remove()


def _scales(figure: Figure) -> Iterator[ColorScale]:
    """Those that have a bar."""
    for panel in figure.panels:
        for mark in panel.marks:
            scale = getattr(mark, "scale", None)
            if scale is not None and scale.title:
                yield scale


def _color_bar(canvas: Canvas, scale: ColorScale, place: tuple[float, float, float]) -> None:
    """A bar at a left and an upper end, not longer than the panels beside it."""
    left, top, room = place
    width, height = canvas.get_size_inches() * 72
    length = min(room, BAR_LENGTH)
    size = BAR_WIDTH / width, length / height
    axes = canvas.add_axes((left / width, (top - length) / height, *size), label="color bar")
    ends = (0.0, 1.0), (scale.low, scale.high)
    shades = _colors(scale, np.linspace(scale.low, scale.high, 256))[:, None]
    _cells(axes, shades, ends, _BELOW)
    axes.spines[:].set_visible(False)
    axes.xaxis.set_visible(False)
    along = Axis("", (scale.low, scale.high), ticks=scale.ticks)
    ticks = ticks_of(along, int(length / PIXELS_PER_TICK[1]))
    axes.yaxis.tick_right()
    axes.set_yticks([p for p, _ in ticks], [t for _, t in ticks], fontsize=SMALL_SIZE, color=MUTED)
    axes.yaxis.set_tick_params(length=0, pad=4)
    axes.yaxis.set_label_position("right")
    axes.set_ylabel(scale.title, labelpad=6, fontsize=FONT_SIZE, color=INK)
