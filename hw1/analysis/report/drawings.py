"""Figures of a report as SVG, in the sizes that a page needs."""

import plotly.graph_objects as go

from hw1.analysis.figures.style import HEIGHT, WIDTH, Figure
from hw1.analysis.figures.svg import to_svg
from hw1.analysis.report.wording import clean

PIXELS_A_LETTER = 7.5
"""Of an axis title."""
MARGINS = 84
"""Pixels above and below the plot."""


class Drawings:
    """Draws each figure once in each size."""

    def __init__(self) -> None:
        self._drawn: dict[tuple[Figure, int, int], str] = {}

    def svg(self, figure: Figure, width: int, height: int) -> str:
        """The figure with this width and height, in pixels."""
        key = (figure, width, height)
        if key not in self._drawn:
            self._drawn[key] = to_svg(_resized(figure.plot, width, height), clean(figure.title))
        return self._drawn[key]


def size(plot: go.Figure) -> tuple[int, int]:
    """The width and height of a figure, in pixels, unless it is drawn smaller."""
    return plot.layout.width or WIDTH, plot.layout.height or HEIGHT


def is_narrow(plot: go.Figure) -> bool:
    """Whether a figure can be drawn half as wide: it has one panel of at most usual height."""
    axes = [key for key in plot.layout if key.startswith("xaxis")]
    return (
        len(axes) == 1
        and plot.layout.width is None
        and size(plot)[1] <= HEIGHT
        and not any(trace.type == "parcoords" for trace in plot.data)
    )


def _resized(plot: go.Figure, width: int, height: int) -> go.Figure:
    """The plot in another size; a title of the vertical axis that is too long loses its remark."""
    resized = go.Figure(plot).update_layout(width=width, height=height)
    title = resized.layout.yaxis.title.text or ""
    if len(title) * PIXELS_A_LETTER > height - MARGINS:
        resized.update_yaxes(title_text=title.partition(" (")[0])
    return resized
