"""Which figures a report shows, where, and how large."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hw1.analysis.figures.gallery import read
from hw1.analysis.figures.marks import Figure
from hw1.analysis.figures.style import HEIGHT

RANKS = {
    "search_history": 1,
    "learning_curves": 5,
    "search_distribution": 6,
    "search_importances": 8,
    "fitted_function": 0,
    "confusion_matrix": 0,
    "predictions": 0,
    "inside_weights": 2,
    "inside_units": 3,
    "inside_profiles": 3,
    "inside_receptive_fields": 4,
    "inside_first_layer": 4,
    "inside_maximized_outputs": 7,
    "ablation_differences": 0.7,
}
"""What may stand in the main part, in the order of the report: how telling it is, 0 for the most.
Of those of one rank the first that is there does."""


@dataclass(frozen=True)
class Shown:
    """A figure of a report.

    Attributes:
        key: what the report calls it.
        figure: what it shows.
        names: of the studies that it shows.
    """

    key: str
    figure: Figure
    names: list[str]

    @property
    def rank(self) -> float | None:
        """How telling it is; None if it may stand in the appendix alone."""
        return RANKS.get(self.figure.name)


def main_figures(found: Sequence[Shown], joint: Shown | None) -> list[Shown]:
    """Those that may stand in the main part.

    Args:
        found: of the best study of a problem.
        joint: how the values of several studies are distributed.
    """
    by_name = {one.figure.name: one for one in found if one.figure.name != "search_distribution"}
    by_name |= {"search_distribution": joint} if joint is not None else {}
    chosen: dict[float | None, Shown] = {}
    for name in RANKS:
        if name in by_name:
            chosen.setdefault(RANKS[name], by_name[name])
    return list(chosen.values())


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
        if figure.name.startswith(prefix) and not figure.name.startswith(("search_", "ablation_"))
    ], list(gallery.trials)


def is_narrow(figure: Figure) -> bool:
    """Whether a figure can be drawn half as wide: it has one panel of at most usual height."""
    return (
        len(figure.panels) == 1
        and figure.width is None
        and figure.height <= HEIGHT
        and not figure.panels[0].parallel
    )
