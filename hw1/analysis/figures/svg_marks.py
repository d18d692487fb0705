"""Annotations and shapes of a plotly figure, drawn with matplotlib."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib.figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse, Rectangle
from matplotlib.transforms import Transform, blended_transform_factory

from hw1.analysis.figures.svg_axes import Axis
from hw1.analysis.figures.svg_panel import Panel, dash_pattern
from hw1.analysis.figures.svg_values import Properties, colour, font, merged, plain

_ALIGNMENTS = {"left": "left", "center": "center", "right": "right"}
_VERTICAL = {"top": "top", "middle": "center", "bottom": "bottom"}


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
    box = None
    if "bgcolor" in settings or "bordercolor" in settings:
        box = {
            "boxstyle": f"square,pad={settings.get('borderpad', 1) / settings['font']['size']}",
            "facecolor": colour(settings.get("bgcolor", "transparent")),
            "edgecolor": colour(settings.get("bordercolor", "transparent")),
            "linewidth": settings.get("borderwidth", 1),
        }
    style = font(settings["font"], settings["text"])
    page.figure.add_artist(
        matplotlib.text.Annotation(
            plain(settings["text"]),
            point,
            xycoords=page.transform(xref, yref),
            xytext=shift,
            textcoords="offset pixels",
            ha=_horizontal(settings, xref),
            va=_vertical(settings, yref),
            multialignment=settings["align"],
            rotation=-settings["textangle"],
            rotation_mode="anchor" if not settings["textangle"] else "default",
            bbox=box,
            arrowprops={
                "arrowstyle": "-|>" if settings.get("arrowhead", 1) else "-",
                "color": colour(settings.get("arrowcolor", settings["font"]["color"])),
                "linewidth": settings.get("arrowwidth", 1),
                "shrinkA": 2,
                "shrinkB": settings.get("standoff", 0),
            }
            if arrow
            else None,
            zorder=6,
            **style,
        )
    )


def _horizontal(settings: Properties, xref: str) -> str:
    """Plotly's automatic anchor on the paper: left in the left third, and so on."""
    anchor = settings["xanchor"]
    if anchor == "auto":
        if settings["showarrow"] or not _on_paper(xref):
            return "center"
        anchor = (
            "left" if settings["x"] < 1 / 3 else "center" if settings["x"] <= 2 / 3 else "right"
        )
    return str(anchor)


def _vertical(settings: Properties, yref: str) -> str:
    anchor = settings["yanchor"]
    if anchor == "auto":
        if settings["showarrow"] or not _on_paper(yref):
            return "center"
        anchor = (
            "bottom" if settings["y"] < 1 / 3 else "middle" if settings["y"] <= 2 / 3 else "top"
        )
    return {"top": "top", "middle": "center", "bottom": "bottom"}[anchor]


def _on_paper(reference: str) -> bool:
    return reference == "paper" or " " in reference


def draw_shape(page: Page, shape: Properties, layout: Properties) -> None:
    """A line, a rectangle or a circle.

    Raises:
        NotImplementedError: a shape of another kind.
    """
    settings = merged(
        {"xref": "x", "yref": "y", "layer": "above", "fillcolor": "transparent", "opacity": 1.0},
        {"line": {"color": "#444", "width": 2, "dash": "solid"}},
        layout.get("shapedefaults", {}),
        shape,
    )
    if not settings.get("visible", True):
        return
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
        case "circle":
            artist = Ellipse(((x0 + x1) / 2, (y0 + y1) / 2), abs(x1 - x0), abs(y1 - y0), **area)
        case other:
            raise NotImplementedError(f"shapes of type {other!r} are not supported in SVG")
    on_axes = [name for name in (xref, yref) if name != "paper"]
    if not on_axes:
        page.figure.add_artist(artist)
        return
    # Within its panel, so that it is cut off there and lies below the traces where it is to.
    axes = page.panel_with(on_axes[0].partition(" ")[0]).axes
    axes.add_artist(artist)
    if len(on_axes) == 1:
        artist.set_clip_on(False)
