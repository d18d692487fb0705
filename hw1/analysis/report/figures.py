"""Which figures a report shows, and where; and their drawings in the sizes that a page needs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hw1.analysis.figures.gallery import read
from hw1.analysis.figures.marks import Figure, Parallel
from hw1.analysis.figures.matplotlib import svg
from hw1.analysis.figures.style import HEIGHT, WIDTH
from hw1.analysis.report.render import clean

MAIN = (
    ("fitted_function", "confusion_matrix", "predictions"),
    ("search_history",),
    ("inside_weights",),
    ("inside_units", "inside_profiles"),
    ("inside_receptive_fields", "inside_first_layer"),
    ("learning_curves",),
    ("search_distribution",),
    ("inside_maximized_outputs",),
    ("search_importances",),
)
"""What may stand in the main part: the most telling first, and of each line the first that is
there."""

_IN_ORDER = (
    "search_history",
    "learning_curves",
    "search_distribution",
    "search_importances",
    "fitted_function",
    "confusion_matrix",
    "predictions",
    "inside_weights",
    "inside_units",
    "inside_profiles",
    "inside_receptive_fields",
    "inside_first_layer",
    "inside_maximized_outputs",
)


@dataclass(frozen=True)
class Shown:
    """A figure of a report.

    Attributes:
        key: what the report calls it.
        figure: what it shows.
        names: of the studies that it shows.
        rank: how telling it is: 0 for the most; None if it may stand in the appendix alone.
    """

    key: str
    figure: Figure
    names: list[str]
    rank: int | None


def shown(i: int, name: str, figures: list[Figure]) -> list[Shown]:
    """The figures of the study with this number and name."""
    ranks = {name: rank for rank, names in enumerate(MAIN) for name in names}
    cleaned = [replace(figure, title=clean(figure.title)) for figure in figures]
    return [Shown(f"figure-{i}-{j}", f, [name], ranks.get(f.name)) for j, f in enumerate(cleaned)]


def main_figures(found: list[Shown], joint: Shown | None) -> list[Shown]:
    """Those that may stand in the main part.

    Args:
        found: of the best study of a problem.
        joint: how the values of several studies are distributed.
    """
    by_name = {one.figure.name: one for one in found}
    by_name.pop("search_distribution", None)
    if joint is not None:
        by_name["search_distribution"] = joint
    chosen = {next((n for n in names if n in by_name), "") for names in MAIN}
    return [by_name[name] for name in _IN_ORDER if name in chosen]


def stored_figures(name: str, folder: Path, best: int) -> tuple[list[Figure], list[int]]:
    """What `hw1.analysis.analyze` has stored of a study's networks, and the trials it analyzed.

    Args:
        name: of the study.
        folder: where the figures are.
        best: the trial whose figures are taken if there are those of several.
    """
    gallery = read(folder)
    if gallery.study != name or not gallery.trials:
        return [], []  # of another study of which a file has the same name
    figures = [figure for section in gallery.sections.values() for figure in section]
    prefix = ""
    if len(gallery.trials) > 1:
        prefix = f"trial{best if best in gallery.trials else gallery.trials[0]}_"
    return [
        replace(figure, name=figure.name.removeprefix(prefix))
        for figure in figures
        if figure.name.startswith(prefix) and not figure.name.startswith("search_")
    ], list(gallery.trials)


class Drawings:
    """Draws each figure once in each size."""

    def __init__(self, figures: Mapping[str, Figure]) -> None:
        self.figures = figures
        self._drawn: dict[tuple[str, int, int], str] = {}

    def svg(self, key: str, width: int, height: int) -> str:
        """The figure of that key with this width and height, in pixels."""
        wanted = key, width, height
        if wanted not in self._drawn:
            self._drawn[wanted] = svg(self.figures[key], width, height)
        return self._drawn[wanted]


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
