"""A folder of figures: each as an interactive page and as SVG, and a page that shows them all."""

import base64
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import plotly.offline

from hw1.analysis.figures.style import (
    BLUE,
    FONT_FAMILIES,
    GRID,
    HEIGHT,
    INK,
    MUTED,
    Figure,
)
from hw1.analysis.figures.svg import to_svg
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

_SCRIPT = """
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


def write(
    sections: Mapping[str, Sequence[Figure]],
    folder: Path,
    title: str,
    introduction: Sequence[str] = (),
) -> Path:
    """Write each figure as ``NAME.html`` and ``NAME.svg``, and ``index.html`` with all of them.

    ``figures.json`` holds them once more, for `read`.

    The pages need no network: plotly lies beside them. The same figures give the same files.

    Args:
        sections: headings with their figures, in order; those without figures are left out.
        folder: where to write; it is made if need be, and files of these names are replaced.
        title: the heading of the page.
        introduction: its first paragraphs, as plain text.

    Returns:
        The path of ``index.html``.

    Raises:
        InputError: the folder can't be written to.
        ValueError: two figures have the same name.
    """
    sections = {heading: figures for heading, figures in sections.items() if figures}
    figures = [figure for several in sections.values() for figure in several]
    names = [figure.name for figure in figures]
    if len(set(names)) < len(names):
        raise ValueError(f"figures need different names, not {sorted(names)}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / "plotly.min.js", plotly.offline.get_plotlyjs())
        for figure in figures:
            _write(folder / f"{figure.name}.svg", to_svg(figure.plot, figure.title))
            back = f'<nav><a href="index.html">{html.escape(title)}</a></nav>'
            page = _page(figure.title, back + _embedded(figure, alone=True))
            _write(folder / f"{figure.name}.html", page)
        index = folder / "index.html"
        _write(index, _page(title, _overview(sections, title, introduction)))
        _write(folder / MANIFEST, _manifest(sections))
    except OSError as error:
        raise InputError(
            f"the figures can't be written to {folder} ({error.strerror}): choose another folder"
        ) from error
    return index


def read(folder: Path) -> dict[str, list[Figure]]:
    """The figures that `write` wrote to a folder, by the headings of their sections.

    Empty if it wrote none there.

    Raises:
        InputError: the list of figures in the folder is damaged.
    """
    path = folder / MANIFEST
    try:
        sections = json.loads(path.read_text(encoding="utf-8"))
        return {
            heading: [
                Figure(f["name"], f["title"], f["caption"], go.Figure(_unpacked(f["plot"])))
                for f in figures
            ]
            for heading, figures in sections.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged: analyze the study again") from error


def _unpacked(thing: Any) -> Any:
    """Arrays in place of the base64 text into which plotly packs them."""
    if isinstance(thing, dict) and "bdata" in thing:
        array = np.frombuffer(base64.b64decode(thing["bdata"]), dtype=thing["dtype"])
        return array.reshape([int(n) for n in str(thing.get("shape", array.size)).split(",")])
    if isinstance(thing, dict):
        return {key: _unpacked(value) for key, value in thing.items()}
    return [_unpacked(value) for value in thing] if isinstance(thing, list) else thing


def _manifest(sections: Mapping[str, Sequence[Figure]]) -> str:
    """All figures, for `read`."""
    return json.dumps(
        {
            heading: [
                {
                    "name": figure.name,
                    "title": figure.title,
                    "caption": figure.caption,
                    "plot": json.loads(figure.plot.to_json()),
                }
                for figure in figures
            ]
            for heading, figures in sections.items()
        }
    )


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
    data = figure.plot.to_json().replace("<", "\\u003c")  # no tag of the page's may begin in it
    height = figure.plot.layout.height or figure.plot.layout.template.layout.height or HEIGHT
    width = figure.plot.layout.width
    size = f"width: {width}px" if width else f"min-width: {least_width(figure.plot)}px"
    links = f'<a href="{name}.svg">SVG</a>'
    if not alone:
        links = f'<a href="{name}.html">on its own</a> {links}'
    heading = "h1" if alone else "h3"
    return f"""<figure id="{name}">
<{heading}>{title}</{heading}>
<div class="scroll"><div id="plot-{name}" style="height: {height}px; {size}"></div></div>
<img class="still" src="{name}.svg" alt="{title}">
<figcaption>{html.escape(figure.caption)}</figcaption>
<p class="files">{links}</p>
<script type="application/json" data-plot="plot-{name}">{data}</script>
</figure>"""


def least_width(plot: go.Figure) -> int:
    """The pixels that a figure needs from left to right to be legible."""
    # Axes one above the other have one domain; plotly names them in no fixed order.
    panels: dict[tuple[float, float], bool] = {}
    for axis in (plot.layout[key] for key in plot.layout if key.startswith("xaxis")):
        domain = tuple(axis.domain or (0, 1))
        panels[domain] = panels.get(domain, False) or axis.visible is not False
    width = sum(PANEL_WIDTH if has_axis else IMAGE_WIDTH for has_axis in panels.values())
    dimensions = sum(len(trace.dimensions) for trace in plot.data if trace.type == "parcoords")
    return max(width, AXIS_WIDTH * dimensions, 300)


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
<script>{_SCRIPT}</script>
</body>
</html>
"""
