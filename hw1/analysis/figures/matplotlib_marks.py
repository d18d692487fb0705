"""How each mark of a figure is drawn with matplotlib."""

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize, to_rgba
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from hw1.analysis.figures.marks import (
    Band,
    Bars,
    Box,
    ColorScale,
    Contour,
    HeatMap,
    Histogram,
    Image,
    Line,
    Mark,
    Parallel,
    Points,
    Text,
)
from hw1.analysis.figures.style import FONT_SIZE, INK, MUTED, SMALL_SIZE

RASTERIZED_FROM = 1000
"""Points of one mark; as paths, so many would make a huge file."""

_SYMBOLS = {"circle": "o", "diamond": "D", "triangle-up": "^", "triangle-down": "v", "x": "X"}
_SYMBOLS |= {"circle-open": "o", "x-thin": "x"}
_DASHES = {"dash": (3, 3), "dot": (1, 1), "dashdot": (3, 1, 1, 1)}
_BASELINES = {"top": "top", "middle": "center", "bottom": "bottom"}
_BELOW, _MIDDLE, _ABOVE = 1.0, 3.0, 5.0
"""The layers of images, of other marks, and of boxes and text."""


def draw(axes: Axes, mark: Mark, order: float) -> Artist | None:
    """Draw a mark; ``order`` in [0, 1): over those before it. What a legend shows of it."""
    match mark:
        case Line():
            return _line(axes, mark, _MIDDLE + order)
        case Band():
            fill = {"facecolor": to_rgba(mark.color, mark.opacity), "edgecolor": "none"}
            ends = np.asarray(mark.low), np.asarray(mark.high)
            return axes.fill_between(mark.x, *ends, zorder=_MIDDLE + order, **fill)  # type: ignore[arg-type]
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
            return axes.stairs(heights, edges, fill=True, zorder=_MIDDLE + order, **style)
        case HeatMap():
            _heat_map(axes, mark, _BELOW + order)
        case Image():
            cells = {"vmin": 0, "vmax": 255, "cmap": "gray"} if mark.pixels.ndim == 2 else {}
            _draw_cells(axes, mark.pixels, (mark.x, mark.y), _BELOW + order, **cells)
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


def _points(axes: Axes, mark: Points, order: float) -> Artist | None:
    x, y = np.asarray(mark.x, dtype=float), np.asarray(mark.y, dtype=float)
    if isinstance(mark.color, str):
        colors = np.tile(to_rgba(mark.color, mark.opacity), (len(x), 1))
    else:
        assert mark.scale is not None, "numbers need a scale to be colors"
        colors = _colors_of(mark.scale, mark.color)
    symbols = np.array([mark.symbol] * len(x) if isinstance(mark.symbol, str) else mark.symbol)
    drawn = []
    for symbol in dict.fromkeys(symbols.tolist()):
        here = symbols == symbol
        hollow, thin = symbol.endswith("-open"), symbol.endswith("-thin")
        width = mark.outline_width or float(hollow or thin)
        points = axes.scatter(
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
        drawn.append(points)
    return drawn[0] if drawn else None


def _bars(axes: Axes, mark: Bars, order: float) -> Artist | None:
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
    return bars[0] if len(bars) else None


def _color_map(scale: ColorScale) -> Colormap:
    colors = LinearSegmentedColormap.from_list("", list(scale.stops), N=1021)
    return colors.reversed() if scale.reversed else colors


def _colors_of(scale: ColorScale, values: Any) -> np.ndarray:
    """Numbers as red, green, blue and opacity in [0, 1]; NaN is transparent."""
    numbers = np.asarray(values, dtype=float)
    norm = Normalize(scale.low, scale.high, clip=True)
    colors = np.asarray(_color_map(scale)(norm(np.nan_to_num(numbers))))
    colors[np.isnan(numbers)] = 0
    return colors


def _heat_map(axes: Axes, mark: HeatMap, order: float) -> None:
    rows, columns = mark.values.shape
    x = np.array([-0.5, columns - 0.5]) if mark.x is None else np.asarray(mark.x, dtype=float)
    y = np.array([-0.5, rows - 0.5]) if mark.y is None else np.asarray(mark.y, dtype=float)
    colors = _colors_of(mark.scale, mark.values)
    if len(x) == len(y) == 2 and not mark.gap:
        _draw_cells(axes, colors, ((x[0], x[1]), (y[0], y[1])), order)
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


def _draw_cells(axes: Axes, cells: np.ndarray, ends: Any, order: float, **colors: Any) -> None:
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
    lines = LineCollection(paths, colors=list(_colors_of(mark.scale, mark.color)), linewidths=1.0)
    axes.add_collection(lines)
    words: dict[str, Any] = {"textcoords": "offset pixels", "annotation_clip": False, "color": INK}
    # What ticks say stands before the lines, on white.
    halo = {"boxstyle": "square,pad=0.1", "facecolor": (1, 1, 1, 0.9), "edgecolor": "none"}
    of_ticks: dict[str, Any] = {**words, "fontsize": SMALL_SIZE, "bbox": halo, "zorder": 5}
    of_ticks |= {"xytext": (-7, 0), "ha": "right", "va": "center"}
    line: dict[str, Any] = {"color": MUTED, "clip_on": False, "zorder": 4}
    for i, (label, ticks) in enumerate(zip(mark.labels, mark.ticks, strict=True)):
        axes.plot([i, i], [0, 1], linewidth=1, **line)
        axes.annotate(label, (i, 1), xytext=(0, 12), ha="center", fontsize=FONT_SIZE, **words)
        for place, text in ticks:
            axes.annotate(text, (i, place), **of_ticks)
            axes.plot([i], [place], marker="_", markersize=6, **line)
