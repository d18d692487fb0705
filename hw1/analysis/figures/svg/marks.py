"""Annotations and shapes of a plotly figure, drawn with matplotlib."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib.figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse, Rectangle
from matplotlib.text import Annotation
from matplotlib.transforms import Transform, blended_transform_factory

from hw1.analysis.figures.svg.axes import Axis
from hw1.analysis.figures.svg.page import anchor
from hw1.analysis.figures.svg.panel import Panel, dash_pattern
from hw1.analysis.figures.svg.values import Properties, colour, font, merged, plain

LINE_HEIGHT = 1.3
"""From one line of text to the next, in sizes of the font."""


@dataclass(frozen=True, eq=False)
class Page:
    """What annotations and shapes may refer to.

    Attributes:
        figure: matplotlib's.
        panels: by the names of their axes.
        axes: by their names.
        paper: from (0, 0) and (1, 1) to the corners of the part within the margins.
    """

    figure: matplotlib.figure.Figure
    panels: Mapping[tuple[str, str], Panel]
    axes: Mapping[str, Axis]
    paper: Transform

    def panel_with(self, name: str) -> Panel:
        """The first panel with that axis."""
        found = next((p for names, p in self.panels.items() if name in names), None)
        if found is None:
            raise ValueError(
                f"an annotation or a shape stands on axis {name!r}, which has no trace"
            )
        return found

    def transform(self, xref: str, yref: str) -> Transform:
        """From coordinates on an axis ``"x2"``, along its panel ``"x2 domain"``, or ``"paper"``."""
        return blended_transform_factory(self._transform(xref), self._transform(yref))

    def _transform(self, reference: str) -> Transform:
        if reference == "paper":
            return self.paper
        name, _, domain = reference.partition(" ")
        panel = self.panel_with(name)
        return panel.axes.transAxes if domain else panel.axes.transData

    def position(self, reference: str, value: Any, *, logarithm: bool = False) -> float:
        """A coordinate as its transform takes it; ``logarithm``: that is what log axes give."""
        if reference == "paper" or " " in reference:
            return float(value)
        axis = self.axes[reference]
        return axis.position(value) if logarithm else float(axis.positions([value])[0])


def draw_annotation(page: Page, annotation: Properties, layout: Properties) -> None:
    """Text at a place of the paper or of an axis, with an arrow to it if it has one."""
    settings = merged(
        {"showarrow": True, "textangle": 0, "xanchor": "auto", "yanchor": "auto"},
        {"align": "center", "font": layout["font"]},
        {f"{d}ref": next((name for name in page.axes if name[0] == d), "paper") for d in "xy"},
        layout.get("annotationdefaults", {}),
        annotation,
    )
    if not settings.get("visible", True) or not settings.get("text"):
        return
    xref, yref = settings["xref"], settings["yref"]
    point = (
        page.position(xref, settings["x"], logarithm=True),
        page.position(yref, settings["y"], logarithm=True),
    )
    arrow = settings["showarrow"]
    shift = (
        settings.get("xshift", 0) + (settings.get("ax", -10) if arrow else 0),
        settings.get("yshift", 0) - (settings.get("ay", -30) if arrow else 0),
    )
    box = _box(settings)
    lines = re.split(r"<br\s*/?>", str(settings["text"]))
    vertical = _part(settings, "y", yref)
    horizontal = _part(settings, "x", xref)
    # About its middle, text turns about its anchor, whatever its font.
    turns = bool(settings["textangle"]) and (horizontal, vertical) != ("center", "middle")
    leading = LINE_HEIGHT * settings["font"]["size"]
    if arrow or box or settings["textangle"]:
        lines = ["<br>".join(lines)]
    # Line by line: each may be bold, and stays in its place where the font is another.
    first = {"top": 0.0, "middle": (len(lines) - 1) / 2, "bottom": len(lines) - 1}[vertical]
    for i, line in enumerate(lines):
        page.figure.add_artist(
            Annotation(
                plain(line),
                point,
                xycoords=page.transform(xref, yref),
                xytext=(shift[0], shift[1] + (first - i) * leading),
                textcoords="offset pixels",
                ha=horizontal,
                va="center" if vertical == "middle" else vertical,
                multialignment=settings["align"],
                rotation=-settings["textangle"],
                rotation_mode="default" if turns else "anchor",
                bbox=box,
                arrowprops=_arrow(settings) if arrow else None,
                zorder=6,
                **font(settings["font"], line),
            )
        )


def _box(settings: Properties) -> Properties | None:
    if "bgcolor" not in settings and "bordercolor" not in settings:
        return None
    return {
        "boxstyle": f"square,pad={settings.get('borderpad', 1) / settings['font']['size']}",
        "facecolor": colour(settings.get("bgcolor", "transparent")),
        "edgecolor": colour(settings.get("bordercolor", "transparent")),
        "linewidth": settings.get("borderwidth", 1),
    }


def _arrow(settings: Properties) -> Properties:
    return {
        "arrowstyle": "-|>" if settings.get("arrowhead", 1) else "-",
        "color": colour(settings.get("arrowcolor", settings["font"]["color"])),
        "linewidth": settings.get("arrowwidth", 1),
        "shrinkA": 2,
        "shrinkB": settings.get("standoff", 0),
    }


def _part(settings: Properties, direction: str, reference: str) -> str:
    """Which part of the text stands at its place."""
    on_paper = reference == "paper" or " " in reference
    automatic = settings[f"{direction}anchor"] == "auto"
    if automatic and (settings["showarrow"] or not on_paper):
        return "center" if direction == "x" else "middle"
    return anchor(settings, direction)


def draw_shape(page: Page, shape: Properties, layout: Properties) -> None:
    """A line, a rectangle or a circle.

    Raises:
        NotImplementedError: a shape of another kind.
    """
    settings = merged(
        {"type": "rect", "xref": "x", "yref": "y", "layer": "above", "opacity": 1.0},
        {"fillcolor": "transparent"},
        {"line": {"color": "#444", "width": 2, "dash": "solid"}},
        layout.get("shapedefaults", {}),
        shape,
    )
    if not settings.get("visible", True):
        return
    if settings["type"] not in ("line", "rect", "circle"):
        raise NotImplementedError(f"shapes of type {settings['type']!r} are not supported in SVG")
    xref, yref = settings["xref"], settings["yref"]
    x0, x1 = (page.position(xref, settings[key]) for key in ("x0", "x1"))
    y0, y1 = (page.position(yref, settings[key]) for key in ("y0", "y1"))
    opacity, line = settings["opacity"], settings["line"]
    outline: dict[str, Any] = {
        "linewidth": line["width"],
        "linestyle": dash_pattern(line["dash"], line["width"]),
        "zorder": {"below": 0.3, "between": 0.8}.get(settings["layer"], 5),
        "transform": page.transform(xref, yref),
    }
    area = {
        "facecolor": colour(settings["fillcolor"], opacity),
        "edgecolor": colour(line["color"], opacity if line["width"] else 0),
        **outline,
    }
    match settings["type"]:
        case "line":
            artist: Any = Line2D(
                [x0, x1], [y0, y1], color=colour(line["color"], opacity), **outline
            )
        case "rect":
            artist = Rectangle((x0, y0), x1 - x0, y1 - y0, **area)
        case _:
            artist = Ellipse(((x0 + x1) / 2, (y0 + y1) / 2), abs(x1 - x0), abs(y1 - y0), **area)
    on_axes = [name for name in (xref, yref) if name != "paper"]
    if not on_axes:
        page.figure.add_artist(artist)
        return
    # Within its panel, so that it is cut off there and lies below the traces where it is to.
    axes = page.panel_with(on_axes[0].partition(" ")[0]).axes
    axes.add_artist(artist)
    if len(on_axes) == 1:
        artist.set_clip_on(False)
