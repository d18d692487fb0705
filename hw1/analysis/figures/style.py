"""The look of all figures: colors, sizes, and plotly's template.

The colors take their hues from Okabe and Ito's palette (https://jfly.uni-koeln.de/color/), which
people with any common color blindness tell apart. Their lightness is changed so that it differs,
too, by about ten of a hundred steps: they stay apart in gray print.
"""

from typing import Any

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
GRAY = "#A9B2BA"
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
"""From negative, blue, to positive, vermillion; center it on zero."""

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


_TITLE = {"font": {"size": FONT_SIZE, "color": INK}}
_TICKS = {"size": SMALL_SIZE, "color": MUTED}
_AXIS = {
    "automargin": True,
    "exponentformat": "power",
    "gridcolor": GRID,
    "separatethousands": True,
    "tickfont": _TICKS,
    "ticks": "",
    "title": {"standoff": 8, **_TITLE},
    "zeroline": False,
}
TEMPLATE: dict[str, Any] = {
    "layout": {
        "annotationdefaults": {"showarrow": False},
        "coloraxis": {
            "colorbar": {
                "outlinewidth": 0,
                "thickness": 14,
                "tickfont": _TICKS,
                "title": {"side": "right", **_TITLE},
            }
        },
        "font": {"family": ", ".join((*FONT_FAMILIES, "sans-serif")), **_TITLE["font"]},
        "hoverlabel": {"font": {"size": SMALL_SIZE}},
        "hovermode": "closest",
        # Above the data, where it covers none.
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "yanchor": "bottom",
            "bgcolor": "rgba(0, 0, 0, 0)",
            "traceorder": "normal",
        },
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "xaxis": _AXIS,
        "yaxis": _AXIS,
    },
    "data": {
        "parcoords": [
            {
                "labelfont": _TITLE["font"],
                "tickfont": {"size": SMALL_SIZE, "color": INK},
                "rangefont": {"size": 1, "color": "rgba(0, 0, 0, 0)"},
            }
        ],
    },
}
"""White, with a light grid and the legend above the plot."""
