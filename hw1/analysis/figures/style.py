"""The look of all figures: colours, sizes, the plotly template; and what a figure is.

The colours take their hues from Okabe and Ito's palette (https://jfly.uni-koeln.de/color/), which
people with any common colour blindness tell apart. Their lightness is changed so that it differs,
too, by about ten of a hundred steps: they stay apart in grey print.
"""

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

BLUE = "#005AA0"
VERMILLION = "#DD6408"
GREEN = "#00805E"
SKY = "#5BB5E8"
PURPLE = "#651F55"
YELLOW = "#F2BB38"
PALETTE = (BLUE, VERMILLION, GREEN, SKY, PURPLE, YELLOW)
"""For categories, in the order in which to use them."""

INK = "#1F2933"
"""Text."""
MUTED = "#5F6B76"
"""Text of less weight, and axis lines."""
GREY = "#A9B2BA"
"""What stands behind what matters: pruned trials, reference lines."""
GRID = "#E8EBEE"

SEQUENTIAL = (
    (0.0, "#F6F8DC"),
    (0.2, "#A9D8B4"),
    (0.4, "#57AFB6"),
    (0.6, "#2B7CAD"),
    (0.8, "#1F4E93"),
    (1.0, "#0B2559"),
)
"""From little, light, to much, dark; evenly in lightness."""
DIVERGING = (
    (0.0, "#0B3C78"),
    (0.25, "#5B9BD0"),
    (0.5, "#F7F7F5"),
    (0.75, "#E58F4E"),
    (1.0, "#8A3800"),
)
"""From negative, blue, to positive, vermillion; centre it on zero."""
GREYS = ((0.0, "#000000"), (1.0, "#FFFFFF"))
"""For images of one channel."""

FONT_FAMILIES = ("DejaVu Sans", "Verdana", "Arial")
"""Verdana has nearly the widths of DejaVu Sans, with which the text in an SVG is laid out."""
FONT_SIZE = 13
SMALL_SIZE = 12
WIDTH, HEIGHT = 780, 440
"""Of a figure that doesn't say; in pixels."""
LEGEND_SPACE, TITLE_SPACE = 8, 20
"""Pixels below a legend, and for the titles of panels."""
BAR_LENGTH = 240
"""Pixels of a color bar, at most."""


# While the figures move to `hw1.analysis.figures.marks`, whose figures stand beside these.
if TYPE_CHECKING:
    Figure = Any
else:

    @dataclass(frozen=True, eq=False)
    class Figure:
        """A figure and what to see in it.

        Attributes:
            name: the stem of its files.
            title: a few words that stand above it; the plot itself has no title.
            caption: a sentence or two on what it shows, with the numbers that matter.
            plot: made with the `TEMPLATE`.
        """

        name: str
        title: str
        caption: str
        plot: go.Figure

        def _ipython_display_(self) -> None:
            """Show the title, the interactive plot and the caption in a notebook."""
            from IPython.display import HTML, display

            title, caption = html.escape(self.title), html.escape(self.caption)
            # Plotly's own renderer knows Jupyter, VS Code, Colab and others apart.
            display(HTML(f"<h4>{title}</h4>"), self.plot, HTML(f"<p>{caption}</p>"))  # type: ignore[no-untyped-call]


def translucent(colour: str, opacity: float) -> str:
    """A colour ``#RRGGBB`` as plotly takes it with an opacity in [0, 1]."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity:g})"


def _axis() -> dict[str, object]:
    return {
        "automargin": True,
        "color": MUTED,
        "exponentformat": "power",
        "gridcolor": GRID,
        "gridwidth": 1,
        "linecolor": GREY,
        "linewidth": 1,
        "separatethousands": True,
        "showgrid": True,
        "showline": False,
        "tickfont": {"size": SMALL_SIZE, "color": MUTED},
        "ticks": "",
        "title": {"standoff": 8, "font": {"size": FONT_SIZE, "color": INK}},
        "zeroline": False,
    }


_COLOUR_BAR = {
    "len": 1.0,
    "outlinewidth": 0,
    "thickness": 14,
    "tickfont": {"size": SMALL_SIZE, "color": MUTED},
    "ticks": "",
    "title": {"side": "right", "font": {"size": FONT_SIZE, "color": INK}},
}
_OUTLINE = {"color": "white", "width": 1}

TEMPLATE = go.layout.Template(
    layout={
        "annotationdefaults": {"font": {"size": FONT_SIZE, "color": INK}, "showarrow": False},
        "coloraxis": {"colorbar": _COLOUR_BAR},
        "colorscale": {
            "sequential": SEQUENTIAL,
            "sequentialminus": SEQUENTIAL,
            "diverging": DIVERGING,
        },
        "colorway": PALETTE,
        "font": {
            "family": ", ".join((*FONT_FAMILIES, "sans-serif")),
            "size": FONT_SIZE,
            "color": INK,
        },
        "height": HEIGHT,
        "hoverlabel": {"font": {"size": SMALL_SIZE}},
        "hovermode": "closest",
        # Above the data, where it covers none.
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.02,
            "yanchor": "bottom",
            "font": {"size": FONT_SIZE, "color": INK},
            "bgcolor": "rgba(0, 0, 0, 0)",
            "traceorder": "normal",
        },
        "margin": {"l": 64, "r": 24, "t": 32, "b": 52},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "shapedefaults": {"line": {"color": GREY, "width": 1}},
        "xaxis": _axis(),
        "yaxis": _axis(),
    },
    data={
        "bar": [{"marker": {"line": {"width": 0}}}],
        "contour": [{"colorbar": _COLOUR_BAR, "colorscale": SEQUENTIAL}],
        "heatmap": [{"colorbar": _COLOUR_BAR, "colorscale": SEQUENTIAL}],
        "parcoords": [
            {
                "labelfont": {"size": FONT_SIZE, "color": INK},
                "tickfont": {"size": SMALL_SIZE, "color": MUTED},
                "rangefont": {"size": 1, "color": "rgba(0, 0, 0, 0)"},
                "line": {"colorbar": _COLOUR_BAR, "colorscale": SEQUENTIAL},
            }
        ],
        "scatter": [
            {
                "line": {"width": 2},
                "marker": {"size": 8, "line": _OUTLINE, "colorbar": _COLOUR_BAR},
            }
        ],
    },
)
"""White, with a light grid and the legend above the plot."""
