"""Figures of a report as SVG, in the sizes that a page needs."""

from dataclasses import replace

from hw1.analysis.figures.marks import Figure, Parallel
from hw1.analysis.figures.matplotlib import svg
from hw1.analysis.figures.style import HEIGHT, WIDTH
from hw1.analysis.report.wording import clean


class Drawings:
    """Draws each figure once in each size."""

    def __init__(self) -> None:
        self._drawn: dict[tuple[Figure, int, int], str] = {}

    def svg(self, figure: Figure, width: int, height: int) -> str:
        """The figure with this width and height, in pixels."""
        key = (figure, width, height)
        if key not in self._drawn:
            self._drawn[key] = svg(replace(figure, title=clean(figure.title)), width, height)
        return self._drawn[key]


def size(figure: Figure) -> tuple[int, int]:
    """The width and height of a figure, in pixels, unless it is drawn smaller."""
    return figure.width or WIDTH, figure.height


def is_narrow(figure: Figure) -> bool:
    """Whether a figure can be drawn half as wide: it has one panel of at most usual height."""
    return (
        len(figure.panels) == 1
        and figure.width is None
        and figure.height <= HEIGHT
        and not isinstance(figure.panels[0].marks[0], Parallel)
    )
