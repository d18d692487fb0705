"""A folder of figures: each as an interactive page and as SVG, and a page that shows them all."""

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import plotly.offline

from hw1.analysis.figures.marks import Figure, Parallel
from hw1.analysis.figures.matplotlib import svg
from hw1.analysis.figures.plotly import draw
from hw1.analysis.figures.stored import from_json, to_json
from hw1.analysis.figures.style import BLUE, FONT_FAMILIES, GRID, INK, MUTED
from hw1.errors import InputError

PANEL_WIDTH, IMAGE_WIDTH, AXIS_WIDTH = 230, 110, 90
"""The pixels that each of several plots, images, or parallel axes side by side needs at least; a
narrow screen scrolls."""

MANIFEST = "figures.json"

_STYLE = f"""
body {{ margin: 0; color: {INK}; background: white; line-height: 1.5;
  font-family: {", ".join(repr(name) for name in FONT_FAMILIES)}, sans-serif; font-size: 15px; }}
main {{ max-width: 1000px; margin: 0 auto; padding: 24px 20px 64px; }}
h1 {{ font-size: 26px; margin: 16px 0 8px; line-height: 1.25; }}
h2 {{ font-size: 20px; margin: 48px 0 0; padding-bottom: 6px; border-bottom: 1px solid {GRID}; }}
h3 {{ font-size: 16px; margin: 0 0 4px; }}
p {{ margin: 4px 0; max-width: 75ch; }}
a {{ color: {BLUE}; text-decoration: none; }}
a:hover, a:focus {{ text-decoration: underline; }}
nav {{ margin: 20px 0 0; color: {MUTED}; font-size: 14px; }}
nav a {{ margin-right: 18px; white-space: nowrap; }}
figure {{ margin: 32px 0 0; }}
figcaption {{ font-size: 14px; }}
.files {{ color: {MUTED}; font-size: 13px; }}
.files a {{ margin-right: 12px; }}
.scroll {{ overflow-x: auto; overflow-y: hidden; }}
.still {{ display: none; max-width: 100%; height: auto; }}
@media (max-width: 600px) {{
  main {{ padding: 12px 12px 48px; }}
  h1 {{ font-size: 22px; }}
}}
@media print {{
  main {{ max-width: none; padding: 0; }}
  nav, .files, .scroll {{ display: none; }}
  .still {{ display: block; }}
  figure {{ break-inside: avoid; }}
  h2 {{ break-after: avoid; }}
}}
"""

SCRIPT = """
for (const block of document.querySelectorAll("script[type='application/json']")) {
  const figure = JSON.parse(block.textContent);
  const config = {
    responsive: true,
    displaylogo: false,
    displayModeBar: window.innerWidth > 600 ? "hover" : false,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d"],
  };
  Plotly.newPlot(block.dataset.plot, figure.data, figure.layout, config);
}
"""


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
        for figure in figures:
            _write(folder / f"{figure.name}.svg", svg(figure))
            back = f'<nav><a href="index.html">{html.escape(title)}</a></nav>'
            page = _page(figure.title, back + _embedded(figure, alone=True))
            _write(folder / f"{figure.name}.html", page)
        index = folder / "index.html"
        _write(index, _page(title, _overview(sections, title, introduction)))
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


def _overview(
    sections: Mapping[str, Sequence[Figure]], title: str, introduction: Sequence[str]
) -> str:
    """The body of the page with all figures."""
    parts = [f"<h1>{html.escape(title)}</h1>"]
    parts += [f"<p>{html.escape(line)}</p>" for line in introduction]
    if len(sections) > 1:
        links = (
            f'<a href="#section-{i}">{html.escape(heading)}</a>'
            for i, heading in enumerate(sections)
        )
        parts.append(f"<nav>{' '.join(links)}</nav>")
    for i, (heading, figures) in enumerate(sections.items()):
        parts.append(f'<h2 id="section-{i}">{html.escape(heading)}</h2>')
        parts += [_embedded(figure) for figure in figures]
    return "\n".join(parts)


def _embedded(figure: Figure, *, alone: bool = False) -> str:
    """The figure with its title, its caption and links to its files."""
    name, title = html.escape(figure.name), html.escape(figure.title)
    links = f'<a href="{name}.svg">SVG</a>'
    if not alone:
        links = f'<a href="{name}.html">on its own</a> {links}'
    heading = "h1" if alone else "h3"
    return f"""<figure id="{name}">
<{heading}>{title}</{heading}>
{interactive(figure, f"plot-{name}")}
<img class="still" src="{name}.svg" alt="{title}">
<figcaption>{html.escape(figure.caption)}</figcaption>
<p class="files">{links}</p>
</figure>"""


def interactive(figure: Figure, element: str) -> str:
    """The figure as HTML in an element of that id; ``SCRIPT`` at the end of a page draws it."""
    width = f"width: {figure.width}px" if figure.width else f"min-width: {least_width(figure)}px"
    data = str(draw(figure).to_json()).replace("<", "\\u003c")  # no tag of a page may begin in it
    return f"""<div class="scroll plot" tabindex="0"><div id="{element}" role="img"
aria-label="{html.escape(figure.title)}" style="height: {figure.height}px; {width}"></div></div>
<script type="application/json" data-plot="{element}">{data}</script>"""


def least_width(figure: Figure) -> int:
    """The pixels that a figure needs from left to right to be legible."""
    # Panels one above the other begin at one place.
    panels: dict[float, int] = {}
    for panel in figure.panels:
        needed = PANEL_WIDTH if panel.x.visible else IMAGE_WIDTH
        if isinstance(panel.marks[0], Parallel):
            needed = AXIS_WIDTH * len(panel.marks[0].labels)
        panels[panel.place[0]] = max(panels.get(panel.place[0], 0), needed)
    return max(sum(panels.values()), 300)


def _page(title: str, body: str) -> str:
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{_STYLE}</style>
<script src="plotly.min.js"></script>
</head>
<body>
<main>
{body}
</main>
<script>{SCRIPT}</script>
</body>
</html>
"""
