"""The axes of a plotly figure, for matplotlib: what lies where, ranges, ticks and their labels."""

import datetime
import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import XAxis
from matplotlib.ticker import FixedFormatter, FixedLocator

from hw1.analysis.figures.svg.values import (
    Properties,
    colour,
    floats,
    font,
    format_number,
    plain,
)
from hw1.analysis.figures.ticks import linear_ticks, log_ticks
from hw1.words import tick_label

PIXELS_PER_TICK = {"x": 70, "y": 35}
_DATE_STEPS = [
    *(1, 2, 5, 15, 30, 60, 120, 300, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200),
    *(86_400 * days for days in (1, 2, 7, 14, 28, 91, 182, 365)),
]
PADDING = 0.05
"""Of the range, beside markers at its ends."""

AXIS_DEFAULTS: Properties = {
    "color": "#444444",
    "domain": (0.0, 1.0),
    "gridcolor": "#eeeeee",
    "gridwidth": 1,
    "linecolor": "#444444",
    "linewidth": 1,
    "showgrid": True,
    "showline": False,
    "showticklabels": True,
    "tickangle": "auto",
    "ticklen": 5,
    "ticks": "",
    "title": {"text": "", "standoff": 8},
    "visible": True,
    "zeroline": False,
}


@dataclass(eq=False)
class Axis:
    """An axis, and what is known of the data along it.

    Attributes:
        name: as traces call it: ``"x"``, ``"y2"``.
        settings: its properties.
        kind: how values become positions.
        categories: those of a category axis, in order; their positions are 0, 1, ...
        low, high: the extent of the data seen so far.
        padded: whether there is to be space beside the data.
        from_zero: whether bars stand on it, which begin where the axis does.
    """

    name: str
    settings: Properties
    kind: Literal["linear", "log", "category", "date"]
    categories: list[str] = field(default_factory=list)
    low: float = math.inf
    high: float = -math.inf
    padded: bool = False
    from_zero: bool = False

    @property
    def direction(self) -> Literal["x", "y"]:
        """Whether it is horizontal or vertical."""
        return "x" if self.name[0] == "x" else "y"

    def positions(self, values: Any) -> np.ndarray:
        """Values as floating-point positions of the same shape, NaN where there is none."""
        if self.kind == "category":
            for value in np.asarray(values, dtype=object).ravel():
                if value is not None and str(value) not in self.categories:
                    self.categories.append(str(value))
            places = {category: i for i, category in enumerate(self.categories)}
            flat = [
                np.nan if value is None else places[str(value)]
                for value in np.asarray(values, dtype=object).ravel()
            ]
            return np.array(flat, dtype=np.float64).reshape(np.shape(values))
        if self.kind == "date":
            dates = np.asarray(values, "datetime64[us]") - np.datetime64("1970-01-01")
            days: np.ndarray = dates / np.timedelta64(1, "D")
            return days
        return floats(values)

    def position(self, value: Any) -> float:
        """Where a range's end or an annotation stands: on log axes plotly gives its logarithm."""
        if self.kind == "log":
            return float(10.0 ** float(value))
        if self.kind == "category" and not isinstance(value, str):
            return float(value)
        return float(self.positions([value])[0])

    def see(self, positions: np.ndarray, *, padded: bool = False) -> None:
        """Take in the extent of some data."""
        shown = positions[np.isfinite(positions)]
        if self.kind == "log":
            shown = shown[shown > 0]
        if shown.size:
            self.low = min(self.low, float(shown.min()))
            self.high = max(self.high, float(shown.max()))
        self.padded |= padded

    def limits(self) -> tuple[float, float]:
        """The two ends of the axis, the left or lower one first."""
        given = self.settings.get("range")
        if given is not None and None not in given:
            return self.position(given[0]), self.position(given[1])
        low, high = self._extent()
        if str(self.settings.get("autorange", "")) == "reversed":
            return high, low
        return low, high

    def _extent(self) -> tuple[float, float]:
        low, high = self.low, self.high
        if self.kind == "category":
            return -0.5, max(len(self.categories), 1) - 0.5
        if low > high:
            return (1.0, 10.0) if self.kind == "log" else (0.0, 1.0)
        if self.settings.get("rangemode") in ("tozero", "nonnegative"):
            low, high = min(low, 0.0), max(high, 0.0)
        if self.kind == "log":
            low, high = math.log10(low), math.log10(high)
        space = PADDING * (high - low) if self.padded else 0.0
        if high - low <= 1e-12 * max(abs(low), abs(high)):
            space = 0.5 if self.kind == "log" else 0.5 * (abs(high) or 1.0)
        stands = self.from_zero or self.settings.get("rangemode") in ("tozero", "nonnegative")
        stands &= self.kind != "log"
        low, high = (
            low - space * (not (stands and low == 0)),
            high + space * (not (stands and high == 0)),
        )
        return (10.0**low, 10.0**high) if self.kind == "log" else (low, high)

    def ticks(self, pixels: float) -> tuple[list[float], list[str]]:
        """The positions of the ticks and their labels, on an axis of that length."""
        settings = self.settings
        low, high = sorted(self.limits())
        if settings.get("tickvals") is not None:
            positions = self.positions(settings["tickvals"]).tolist()
            labels = [plain(text) for text in settings.get("ticktext") or settings["tickvals"]]
            pairs = [(p, s) for p, s in zip(positions, labels, strict=True) if low <= p <= high]
            return [p for p, _ in pairs], [s for _, s in pairs]
        wanted = max(settings.get("nticks") or int(pixels / PIXELS_PER_TICK[self.direction]), 2)
        if self.kind == "category":
            every = math.ceil(len(self.categories) / max(pixels / 14, 1))
            return [float(i) for i in range(0, len(self.categories), every)], [
                plain(category) for category in self.categories[::every]
            ]
        if self.kind == "date":
            return _date_ticks(low, high, wanted)
        if self.kind == "log":
            positions = log_ticks(low, high, wanted)
            step = None
        else:
            positions = self._linear_ticks(low, high, wanted)
            step = positions[1] - positions[0] if len(positions) > 1 else None
        pattern = settings.get("tickformat")
        labels = [format_number(p, pattern) if pattern else tick_label(p, step) for p in positions]
        prefix, suffix = settings.get("tickprefix", ""), settings.get("ticksuffix", "")
        return positions, [f"{prefix}{label}{suffix}" for label in labels]

    def _linear_ticks(self, low: float, high: float, wanted: int) -> list[float]:
        step = self.settings.get("dtick")
        if step is None:
            return linear_ticks(low, high, wanted)
        start = float(self.settings.get("tick0", 0))
        first = math.ceil((low - start) / step - 1e-9)
        last = math.floor((high - start) / step + 1e-9)
        return [start + step * i for i in range(first, last + 1)]


def kind_of(
    settings: Properties, values: list[Any]
) -> Literal["linear", "log", "category", "date"]:
    """The kind of an axis: as its settings say, or as the values along it are."""
    kind = settings.get("type")
    if kind in ("linear", "log", "category", "date"):
        return kind  # type: ignore[no-any-return]
    if kind not in (None, "-"):
        raise NotImplementedError(f"axes of type {kind!r} are not supported in SVG")
    for value in values:
        if isinstance(value, datetime.date | np.datetime64):
            return "date"
        if isinstance(value, str):
            try:
                float(value)
            except ValueError:
                return "category"
    return "linear"


def _date_ticks(low: float, high: float, wanted: int) -> tuple[list[float], list[str]]:
    """Dates, or times of day with the date below where it changes; positions are days."""
    span = (high - low) * 86_400
    step = next((s for s in _DATE_STEPS if span / s <= wanted), math.ceil(span / wanted))
    first, last = math.ceil(low * 86_400 / step), math.floor(high * 86_400 / step)
    seconds = [step * i for i in range(first, last + 1)]
    labels, before = [], None
    for second in seconds:
        time = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=second)
        date = f"{time:%d %b %Y}"
        clock = f"{time:%H:%M:%S}" if step % 60 else f"{time:%H:%M}"
        labels.append(date if step >= 86_400 else clock + f"\n{date}" * (date != before))
        before = date
    return [second / 86_400 for second in seconds], labels


def dress(axis: Axis, axes: Axes, *, shown: bool) -> None:
    """Set an axis's range, ticks, labels, grid and title in ``axes``; ``shown``: not just range.

    Another pair of axes may share it and show it already.
    """
    settings, across = axis.settings, axis.direction == "x"
    target = axes.xaxis if across else axes.yaxis
    if axis.kind == "log":
        (axes.set_xscale if across else axes.set_yscale)("log")
    (axes.set_xlim if across else axes.set_ylim)(*axis.limits())
    box = axes.get_window_extent()
    positions, labels = axis.ticks(box.width if across else box.height)
    target.set_major_locator(FixedLocator(positions))
    target.set_minor_locator(FixedLocator([]))
    visible = settings["visible"]
    if visible and settings["showgrid"] and not settings.get("overlaying"):
        target.grid(True, color=colour(settings["gridcolor"]), linewidth=settings["gridwidth"])
    line = {"color": colour(settings["linecolor"]), "linewidth": settings["linewidth"]}
    side = settings.get("side") or ("bottom" if across else "left")
    opposite = {"bottom": "top", "top": "bottom", "left": "right", "right": "left"}[side]
    for edge, there in ((side, shown), (opposite, bool(settings.get("mirror")) and shown)):
        axes.spines[edge].set_visible(visible and settings["showline"] and there)
        axes.spines[edge].set(**line)
    low, high = sorted(axis.limits())
    if visible and settings["zeroline"] and low <= 0 <= high:
        zero = {
            "color": colour(settings.get("zerolinecolor", settings["gridcolor"])),
            "linewidth": settings.get("zerolinewidth", 1),
            "zorder": 0.6,
        }
        (axes.axvline if across else axes.axhline)(0, **zero)
    length = settings["ticklen"] if settings["ticks"] and visible and shown else 0
    target.set_tick_params(
        length=length,
        width=settings.get("tickwidth", 1),
        color=colour(settings.get("tickcolor", settings["linecolor"])),
        direction="in" if settings["ticks"] == "inside" else "out",
        pad=4,
    )
    if not (visible and shown and settings["showticklabels"]):
        target.set_major_formatter(FixedFormatter([""] * len(labels)))
    else:
        target.set_major_formatter(FixedFormatter(labels))
    if side in ("top", "right"):
        (axes.xaxis.tick_top if across else axes.yaxis.tick_right)()
        target.set_label_position(side)  # type: ignore[arg-type]
    style = font(settings["tickfont"])
    for label in target.get_ticklabels():
        label.set(**style)
    if across:
        _turn_labels(axes.xaxis, settings["tickangle"], labels, box.width)
    if visible and shown and settings["title"]["text"]:
        title = settings["title"]
        set_label = axes.set_xlabel if across else axes.set_ylabel
        set_label(
            plain(title["text"]), labelpad=title["standoff"], **font(title["font"], title["text"])
        )


def _turn_labels(axis: XAxis, angle: float | str, labels: list[str], pixels: float) -> None:
    """Turn a horizontal axis's labels clockwise, if asked to or where they would overlap."""
    if isinstance(angle, str):
        size = axis.get_ticklabels()[0].get_fontsize() if labels else 0.0
        longest = max((len(s) for label in labels for s in label.split("\n")), default=0)
        # A letter is about 0.6 times as wide as high.
        angle = 30 if longest * 0.6 * float(size) * len(labels) > pixels else 0
    if not angle:
        return
    for label in axis.get_ticklabels():
        label.set(
            rotation=-angle,
            rotation_mode="anchor",
            ha="left" if angle > 0 else "right",
            va="center" if abs(angle) > 60 else "top",
        )
