"""What a figure is: its words, and panels of marks over named axes. Nothing here draws.

`plotly.draw` makes a figure interactive, `matplotlib.svg` and `matplotlib.png` make it still; both
draw the same marks, so a figure is written once, and a test looks at its marks. To add one, return
a `Figure` from a function and name that function in the list of its module::

    line = Line(epochs, scores, BLUE, "mean", hover="epoch {x}: {y:.4g}")
    panel = Panel((line,), Axis("epoch", around(epochs), whole=True), Axis("loss", around(scores)))
    return Figure("curves", "Learning curves", "What to see, with numbers.", (panel,))

- Places are in the units of the axes, which have no categories: those are 0, 1, ... with `ticks`
  that name them. A range says which end is left, or below: ``(9.5, -0.5)`` is an axis upside down.
- Panels side by side lie in a `grid`. What is placed by the pixel is a `drawing`: see
  `hw1.analysis.figures.layout`.
- What is drawn later lies on top, but images and heat maps below all else, boxes and text above.
- Marks of one name share an entry in the legend, which stands above the panels; marks without a
  name have none. Marks of equal scales share a color bar, which there is if the scale has a title.
- Text is plain; a line break is ``\\n``. ``hover`` is what the pointer that rests on a mark shows:
  a text for each point or cell, or one for all with ``{x}``, ``{y}``, ``{z}`` and ``{data}`` in
  Python's number formats.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hw1.analysis.figures.style import HEIGHT, INK, SMALL_SIZE, WIDTH

Numbers = Sequence[float] | np.ndarray
Ticks = tuple[tuple[float, str], ...]
"""Where they are, and what they say."""
Pair = tuple[float, float]
Dash = Literal["solid", "dash", "dot", "dashdot"]


@dataclass(frozen=True)
class ColorScale:
    """Colors that stand for numbers.

    Attributes:
        stops: colors at places from 0, ``low``, to 1, ``high``.
        low, high: beyond these numbers colors stay as they are.
        title: of its bar; without one there is no bar.
        ticks: of its bar; by default round numbers.
        reversed: whether the last color is that of ``low``.
    """

    stops: tuple[tuple[float, str], ...]
    low: float
    high: float
    title: str = ""
    ticks: Ticks | None = None
    reversed: bool = False


@dataclass(frozen=True, eq=False)
class Line:
    """A line, with a gap where a number is NaN.

    Attributes:
        steps: whether it goes along first and then up, from each point to the next.
        data: a number for each point that ``hover`` can show.
    """

    x: Numbers
    y: Numbers
    color: str
    name: str = ""
    width: float = 2.0
    dash: Dash = "solid"
    steps: bool = False
    opacity: float = 1.0
    hover: str = ""
    data: Numbers | None = None


@dataclass(frozen=True, eq=False)
class Band:
    """The area between two lines."""

    x: Numbers
    low: Numbers
    high: Numbers
    color: str
    name: str = ""
    opacity: float = 0.18


@dataclass(frozen=True, eq=False)
class Points:
    """Points.

    Attributes:
        color: of all, or numbers on the ``scale``.
        size: pixels across.
        symbol: of all or of each: circle, circle-open, diamond, triangle-up, triangle-down, x, or
            x-thin, of which the outline is all there is.
        outline, outline_width: a color and pixels; zero for none.
        clip: whether what lies beyond the panel is cut off.
    """

    x: Numbers
    y: Numbers
    color: str | Numbers
    name: str = ""
    scale: ColorScale | None = None
    size: float = 8.0
    symbol: str | Sequence[str] = "circle"
    outline: str = "#FFFFFF"
    outline_width: float = 1.0
    opacity: float = 1.0
    hover: str | Sequence[str] = ""
    clip: bool = True


@dataclass(frozen=True, eq=False)
class Bars:
    """Horizontal bars.

    Attributes:
        y: their middles.
        length: from the ``base`` of each; from zero without one.
        text: behind the end of each.
        thickness: of each, in units of the axis.
    """

    y: Numbers
    length: Numbers
    color: str
    name: str = ""
    base: Numbers | None = None
    text: Sequence[str] = ()
    thickness: float = 0.7
    hover: str | Sequence[str] = ""


@dataclass(frozen=True, eq=False)
class Histogram:
    """The outline of a histogram that stands on zero.

    Attributes:
        edges: of the bins, one more than there are bins.
        heights: of the bins.
        opacity: of what is within the outline.
    """

    edges: Numbers
    heights: Numbers
    color: str
    fill: str
    name: str = ""
    width: float = 1.5
    opacity: float = 0.2
    hover: str = ""


@dataclass(frozen=True, eq=False)
class HeatMap:
    """Colored cells; one that is NaN stays empty.

    Attributes:
        values: ``(rows, columns)``.
        x: where the first column begins and the last ends, or all edges between; by default
            columns are centered on 0, 1, ...
        y: the same for rows.
        gap: pixels between cells.
        text: in each cell.
        data: a number for each cell that ``hover`` can show.
    """

    values: np.ndarray
    scale: ColorScale
    x: Numbers | None = None
    y: Numbers | None = None
    gap: float = 0.0
    text: Sequence[Sequence[str]] = ()
    bold: bool = False
    hover: str | Sequence[Sequence[str]] = ""
    data: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Image:
    """Pixels as they are: ``(height, width)`` gray or ``(height, width, 3)`` in color, uint8.

    Attributes:
        x: where the first column begins and the last ends.
        y: the same for rows.
    """

    pixels: np.ndarray
    x: Pair
    y: Pair


@dataclass(frozen=True, eq=False)
class Contour:
    """Bands of color between levels of a surface, with thin white lines at the levels.

    Attributes:
        x, y: where the surface is known, ``(columns,)`` and ``(rows,)``.
        values: ``(rows, columns)``; NaN where it is not.
        scale: from whose one end to the other there are ``n_bands``.
    """

    x: Numbers
    y: Numbers
    values: np.ndarray
    scale: ColorScale
    n_bands: int = 8


@dataclass(frozen=True, eq=False)
class Parallel:
    """A line for each row of numbers, across parallel axes; alone in its panel.

    Attributes:
        values: ``(lines, axes)``, 0 at the lower end of an axis and 1 at the upper.
        labels: of the axes.
        ticks: of each axis.
        color: a number for each line on the ``scale``.
    """

    values: np.ndarray
    labels: Sequence[str]
    ticks: Sequence[Ticks]
    color: Numbers
    scale: ColorScale


@dataclass(frozen=True, eq=False)
class Text:
    """Text, of which a place is the ``anchor`` and ``baseline``; ``angle`` is counterclockwise."""

    text: str
    x: float
    y: float
    anchor: Literal["left", "center", "right"] = "center"
    baseline: Literal["top", "middle", "bottom"] = "middle"
    size: float = SMALL_SIZE
    color: str = INK
    angle: float = 0.0
    bold: bool = False


@dataclass(frozen=True, eq=False)
class Box:
    """The outline of a rectangle."""

    x: Pair
    y: Pair
    color: str
    width: float = 1.5
    dash: Dash = "solid"


Mark = Line | Band | Points | Bars | Histogram | HeatMap | Image | Contour | Parallel | Text | Box


@dataclass(frozen=True)
class Axis:
    """An axis.

    Attributes:
        label: what it shows.
        range: its ends, the left or lower one first; of a logarithmic axis, too, in its own units.
        log: whether it is logarithmic.
        ticks: where there are any, and what they say; by default at round numbers.
        n_ticks: how many there are by default, at most; None for as many as there is room for.
        whole: whether there are only whole numbers.
        percent: whether numbers are shares.
        grid: whether there are lines at its ticks.
        labeled: whether its ticks say anything.
        angle: of what they say, counterclockwise.
        visible: whether there is anything to be seen of it.
        shared: axes of the same name here move together.
    """

    label: str
    range: Pair
    log: bool = False
    ticks: Ticks | None = None
    n_ticks: int | None = None
    whole: bool = False
    percent: bool = False
    grid: bool = True
    labeled: bool = True
    angle: float = 0.0
    visible: bool = True
    shared: str = ""


@dataclass(frozen=True, eq=False)
class Panel:
    """Marks over a pair of axes.

    Attributes:
        marks: what is drawn.
        x, y: the axes.
        place: left, lower, right and upper end as shares of what is within the margins.
        title: stands above.
        square: whether a unit is as long on one axis as on the other.
    """

    marks: Sequence[Mark]
    x: Axis
    y: Axis
    place: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    title: str = ""
    square: bool = False

    @property
    def parallel(self) -> Parallel | None:
        """Its parallel axes, if that is what it shows."""
        return next((mark for mark in self.marks if isinstance(mark, Parallel)), None)


@dataclass(frozen=True, eq=False)
class Figure:
    """A figure and what to see in it.

    Attributes:
        name: the stem of its files.
        title: a few words that stand above it; they are not drawn.
        caption: a sentence or two on what it shows, with the numbers that matter.
        panels: what is drawn.
        width: pixels; None where it can be any.
        height: pixels.
        margins: left, right, upper and lower, in pixels; they grow where axes need more room.
    """

    name: str
    title: str
    caption: str
    panels: Sequence[Panel]
    width: int | None = None
    height: int = HEIGHT
    margins: tuple[int, int, int, int] = (64, 24, 32, 52)

    @property
    def size(self) -> tuple[int, int]:
        """The width and height, in pixels, unless it is drawn smaller."""
        return self.width or WIDTH, self.height
