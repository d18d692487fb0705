"""A folder of figures: each as an interactive page and as SVG, and a page that shows them all."""

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import plotly.offline
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hw1.analysis.figures.marks import Figure
from hw1.analysis.figures.matplotlib import svg
from hw1.analysis.figures.plotly import draw
from hw1.analysis.figures.stored import from_json, to_json
from hw1.analysis.figures.style import BLUE, FONT_FAMILIES, GRID, INK, MUTED
from hw1.errors import InputError

PANEL_WIDTH, IMAGE_WIDTH, AXIS_WIDTH = 230, 110, 90
"""The pixels that each of several plots, images, or parallel axes side by side needs at least; a
narrow screen scrolls."""

MANIFEST, PAGE = "figures.json", "figures/gallery.html.jinja"


@dataclass(frozen=True)
class Gallery:
    """What `write` has written.

    Attributes:
        study: whose figures these are.
        trials: the numbers of those that were analyzed.
        sections: figures by their headings, in order.
    """

    study: str = ""
    trials: tuple[int, ...] = ()
    sections: Mapping[str, Sequence[Figure]] = field(default_factory=dict)


def write(
    gallery: Gallery, folder: Path, title: str = "", introduction: Sequence[str] = ()
) -> Path:
    """Write each figure as ``NAME.html`` and ``NAME.svg``, and ``index.html`` with all of them.

    ``figures.json`` holds them once more, for `read`.

    The pages need no network: plotly lies beside them. The same figures give the same files.

    Args:
        gallery: the figures; headings without any are left out.
        folder: where to write; it is made if need be, and files of these names are replaced.
        title: the heading of the page; by default the study's name.
        introduction: its first paragraphs, as plain text.

    Returns:
        The path of ``index.html``.

    Raises:
        InputError: the folder can't be written to.
        ValueError: two figures have the same name.
    """
    sections = {heading: figures for heading, figures in gallery.sections.items() if figures}
    figures = [figure for several in sections.values() for figure in several]
    names = [figure.name for figure in figures]
    if len(set(names)) < len(names):
        raise ValueError(f"figures need different names, not {sorted(names)}")
    title = title or gallery.study
    manifest = {
        "study": gallery.study,
        "trials": gallery.trials,
        "sections": {heading: to_json(those) for heading, those in sections.items()},
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / "plotly.min.js", plotly.offline.get_plotlyjs())
        values = {"title": title, "interactive": interactive}
        for figure in figures:
            _write(folder / f"{figure.name}.svg", svg(figure))
            _write(folder / f"{figure.name}.html", page(PAGE, alone=figure, **values))
        index = folder / "index.html"
        values |= {"introduction": introduction, "sections": sections}
        _write(index, page(PAGE, alone=None, **values))
        _write(folder / MANIFEST, json.dumps(manifest))
    except OSError as error:
        raise InputError(
            f"the figures can't be written to {folder} ({error.strerror}): choose another folder"
        ) from error
    return index


def read(folder: Path) -> Gallery:
    """What `write` wrote to a folder; empty if it wrote nothing there, or an earlier version did.

    Raises:
        InputError: the list of figures in the folder is damaged.
    """
    path = folder / MANIFEST
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if "sections" not in stored:  # of an earlier version, which kept no marks
            return Gallery()
        study, trials = stored["study"], tuple(stored["trials"])
        if not isinstance(study, str) or not all(type(number) is int for number in trials):
            raise ValueError("a study has a name, and trials have numbers")
        sections = {
            heading: [from_json(figure) for figure in figures]
            for heading, figures in stored["sections"].items()
        }
        return Gallery(study, trials, sections)
    except FileNotFoundError:
        return Gallery()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} is damaged: analyze the study again") from error


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def interactive(figure: Figure, element: str) -> Markup:
    """The figure as HTML in an element of that id; the script of `page` draws it."""
    width = f"width: {figure.width}px" if figure.width else f"min-width: {least_width(figure)}px"
    data = str(draw(figure).to_json()).replace("<", "\\u003c")  # no tag of a page may begin in it
    return Markup(f"""<div class="scroll plot" tabindex="0"><div id="{element}" role="img"
aria-label="{html.escape(figure.title)}" style="height: {figure.height}px; {width}"></div></div>
<script type="application/json" data-plot="{element}">{data}</script>""")


def least_width(figure: Figure) -> int:
    """The pixels that a figure needs from left to right to be legible."""
    # Panels one above the other begin at one place.
    panels: dict[float, int] = {}
    for panel in figure.panels:
        needed = PANEL_WIDTH if panel.x.visible else IMAGE_WIDTH
        if panel.parallel:
            needed = AXIS_WIDTH * len(panel.parallel.labels)
        panels[panel.place[0]] = max(panels.get(panel.place[0], 0), needed)
    return max(sum(panels.values()), 300)


def page(template: str, **values: Any) -> str:
    """A page from a template in `hw1.analysis`; every value is escaped unless it is `Markup`."""
    environment = Environment(
        loader=PackageLoader("hw1.analysis", "."),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
    )
    look = {"blue": BLUE, "grid": GRID, "ink": INK, "muted": MUTED}
    fonts = Markup(", ".join(map(repr, FONT_FAMILIES)))
    return environment.get_template(template).render(fonts=fonts, **look, **values)
