"""Where panels lie: in rows and columns, or one whose places are pixels."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hw1.analysis.figures.marks import Axis, Box, Figure, HeatMap, Image, Mark, Pair, Panel
from hw1.analysis.figures.style import WIDTH

MARGIN = 16
"""Pixels around a drawing."""
DRAWING_WIDTH = WIDTH - 2 * MARGIN
BAR_ROOM = 84
"""Pixels beside a drawing for a color bar."""
BARRED_WIDTH = WIDTH - MARGIN - BAR_ROOM
LEAST_BAR = 130
"""The height of a drawing that has one."""

PIXELS = 255.0
"""The brightest pixel of an image."""
Place = tuple[float, float, float, float]


def grid(
    n_rows: int,
    n_columns: int,
    gaps: tuple[float, float] = (0.0, 0.0),
    heights: Sequence[float] = (),
) -> list[Place]:
    """The places of panels, row after row from the top, as `Panel` takes them.

    Args:
        n_rows, n_columns: of panels.
        gaps: between columns and between rows, as shares of what is within the margins.
        heights: of the rows, to each other; by default all are equal.
    """
    heights = heights or [1.0] * n_rows
    across = (1 - gaps[0] * (n_columns - 1)) / n_columns
    up = (1 - gaps[1] * (n_rows - 1)) / sum(heights)
    places = []
    for row, height in enumerate(heights):
        top = 1 - up * sum(heights[:row]) - gaps[1] * row
        for column in range(n_columns):
            left = column * (across + gaps[0])
            ends = left, max(top - up * height, 0.0), min(left + across, 1.0), top
            places.append(ends)
    return places


def tiles(n: int, columns: int, step: Pair, start: Pair = (0.0, 0.0)) -> list[Pair]:
    """The left and upper ends of ``n`` things in rows of a drawing.

    Args:
        n, columns: how many there are, and how many of them in a row.
        step: pixels from one to the next, across and down.
        start: where the first is.
    """
    return [(start[0] + i % columns * step[0], start[1] + i // columns * step[1]) for i in range(n)]


def drawing(
    name: str,
    title: str,
    caption: str,
    marks: Sequence[Mark],
    width: float = DRAWING_WIDTH,
) -> Figure:
    """A figure whose marks have places in pixels, from its upper left corner right and down.

    Args:
        name, title, caption: see `Figure`.
        marks: what is drawn, some of it in `area`; if one has a scale with a title, there is room
            for its bar.
        width: how far to the right marks reach.
    """
    has_bar = any(getattr(getattr(mark, "scale", None), "title", "") for mark in marks)
    areas = [mark.y for mark in marks if isinstance(mark, Image | HeatMap | Box)]
    height = max(*(y[1] for y in areas if y is not None), LEAST_BAR if has_bar else 0.0)
    right = BAR_ROOM if has_bar else MARGIN
    x = Axis("", (0.0, width), visible=False)
    y = Axis("", (height, 0.0), visible=False)
    return Figure(
        name,
        title,
        caption,
        (Panel(tuple(marks), x, y, square=True),),
        width=round(width + MARGIN + right),
        height=round(height + 2 * MARGIN),
        margins=(MARGIN, right, MARGIN, MARGIN),
    )


def fitted(shape: Sequence[int], side: float) -> tuple[float, float]:
    """Across and down, of an image ``(height, width)`` with square pixels within a square."""
    pixel = side / max(shape[0], shape[1])
    return pixel * shape[1], pixel * shape[0]


def area(left: float, top: float, size: Pair) -> tuple[Pair, Pair]:
    """The ``x`` and ``y`` of an image, a heat map or a box in a drawing."""
    return (left, left + size[0]), (top, top + size[1])


def as_bytes(values: Tensor, low: float, high: float) -> np.ndarray:
    """Numbers from ``low`` to ``high`` as uint8 from 0 to 255; what lies beyond is cut off."""
    scaled = (values.double() - low) / (high - low if high > low else 1.0)
    return (scaled.nan_to_num().clamp(0, 1) * PIXELS).round().to(torch.uint8).numpy()
