"""Images, text and boxes placed by the pixel, as a plotly figure."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from PIL import Image

from hw1.analysis.figures.style import (
    FONT_FAMILIES,
    GREYS,
    INK,
    SMALL_SIZE,
    TEMPLATE,
    WIDTH,
)

MARGIN = 16
"""Pixels around a canvas."""
CANVAS_WIDTH = WIDTH - 2 * MARGIN
BAR_ROOM = 84
"""Pixels beside a canvas for a colour bar."""
BARRED_WIDTH = WIDTH - MARGIN - BAR_ROOM
BAR_LENGTH, LEAST_BAR = 240, 130
MOST_COLOURS = 128
"""Of all colour images of a figure together; a heatmap has no true colour."""
LEAST_CELLS = 400
"""Of an image: fewer would be as many rectangles in an SVG."""


class Canvas:
    """A drawing; places are pixels from its upper left corner.

    All images lie on one pair of hidden axes: a subplot for each would make pages slow.
    """

    def __init__(self) -> None:
        self._traces: list[go.Heatmap] = []
        self._annotations: list[dict[str, Any]] = []
        self._shapes: list[dict[str, Any]] = []
        self._scales: dict[str, dict[str, Any]] = {}

    def scale(
        self,
        colours: Sequence[tuple[float, str]],
        low: float,
        high: float,
        title: str = "",
    ) -> str:
        """A colour scale for `image`, with a colour bar if it has a title."""
        name = f"coloraxis{len(self._scales) + 1}" if self._scales else "coloraxis"
        self._scales[name] = {
            "colorscale": [list(step) for step in colours],
            "cmin": low,
            "cmax": high if high > low else low + 1,
            "showscale": bool(title),
            "colorbar": {"title": {"text": title}},
        }
        return name

    def pictures(self, images: np.ndarray) -> tuple[np.ndarray, str]:
        """Grey or colour images as numbers for `image`, and their scale.

        Args:
            images: ``(n, height, width)`` or ``(n, height, width, 3)`` uint8. Of all colours in
                them as many are kept as a palette has.
        """
        if images.ndim == 3:
            return images, self.scale(GREYS, 0, 255)
        n, height, width, _ = images.shape
        stacked = Image.fromarray(images.reshape(n * height, width, 3))
        reduced = stacked.quantize(MOST_COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        numbers = np.asarray(reduced).reshape(n, height, width)
        used = int(numbers.max()) + 1
        palette = np.array(reduced.getpalette() or [])[: 3 * used].reshape(used, 3)
        colours = ["#{:02X}{:02X}{:02X}".format(*colour) for colour in palette]
        # Steps: between two numbers there is no colour.
        steps = [(edge / used, colour) for i, colour in enumerate(colours) for edge in (i, i + 1)]
        return numbers, self.scale(steps, -0.5, used - 0.5)

    def image(
        self,
        values: np.ndarray,
        left: float,
        top: float,
        size: tuple[float, float],
        scale: str,
        hover: str = "",
    ) -> None:
        """Draw ``(height, width)`` values at a place, in a size (across, down).

        Args:
            values: of the pixels.
            left, top: of the image.
            size: of the image on the canvas.
            scale: what `scale` or `pictures` returned.
            hover: what is shown at a pixel, with ``%{z}`` for its value; nothing by default.
        """
        times = max(1, math.ceil(math.sqrt(LEAST_CELLS / values.size)))
        cells = values.repeat(times, 0).repeat(times, 1)
        steps = size[0] / cells.shape[1], size[1] / cells.shape[0]
        said = {"hovertemplate": f"{hover}<extra></extra>"} if hover else {"hoverinfo": "skip"}
        self._traces.append(
            go.Heatmap(
                z=cells if cells.dtype == np.uint8 else cells.astype(np.float32),
                x0=left + steps[0] / 2,
                dx=steps[0],
                y0=top + steps[1] / 2,
                dy=steps[1],
                coloraxis=scale,
                **said,
            )
        )

    def text(
        self,
        text: str,
        x: float,
        y: float,
        *,
        anchor: str = "center",
        baseline: str = "middle",
        size: int = SMALL_SIZE,
        colour: str = INK,
        angle: int = 0,
    ) -> None:
        """Write ``text``, of which a place is the ``anchor`` and ``baseline``."""
        self._annotations.append(
            {
                "text": text,
                "x": x,
                "y": y,
                "xref": "x",
                "yref": "y",
                "xanchor": anchor,
                "yanchor": baseline,
                "font": {"size": size, "color": colour},
                "showarrow": False,
                "textangle": angle,
                "align": {"left": "left", "right": "right"}.get(anchor, "center"),
            }
        )

    def box(
        self,
        left: float,
        top: float,
        right: float,
        bottom: float,
        *,
        colour: str,
        dash: str = "solid",
        width: float = 1.5,
    ) -> None:
        """Draw the outline of a rectangle, or a line if it has no height or width."""
        self._shapes.append(
            {
                "type": "line" if left == right or top == bottom else "rect",
                "x0": left,
                "y0": top,
                "x1": right,
                "y1": bottom,
                "xref": "x",
                "yref": "y",
                "line": {"color": colour, "width": width, "dash": dash},
            }
        )

    def figure(self, height: float, width: float = CANVAS_WIDTH) -> go.Figure:
        """The drawing as far as that height and width; a colour bar stands beside it."""
        has_bar = any(scale["showscale"] for scale in self._scales.values())
        for scale in self._scales.values():
            if scale["showscale"]:
                scale["colorbar"] = colour_bar(scale["colorbar"]["title"]["text"], height)
        height = max(height, LEAST_BAR) if has_bar else height
        right = BAR_ROOM if has_bar else MARGIN
        plot = go.Figure(
            self._traces,
            {
                "template": TEMPLATE,
                "width": round(width + MARGIN + right),
                "height": round(height + 2 * MARGIN),
                "margin": {"l": MARGIN, "r": right, "t": MARGIN, "b": MARGIN},
                "xaxis": {"visible": False, "range": [0, width], "constrain": "domain"},
                "yaxis": {
                    "visible": False,
                    "range": [height, 0],
                    "scaleanchor": "x",
                    "constrain": "domain",
                },
                "annotations": self._annotations,
                "shapes": self._shapes,
                **self._scales,
            },
        )
        return plot


def colour_bar(title: str, height: float) -> dict[str, Any]:
    """The properties of a colour bar beside panels of that height: at the top, not too long."""
    return {
        "title": {"text": title},
        "len": min(1.0, BAR_LENGTH / height),
        "y": 1,
        "yanchor": "top",
    }


@lru_cache(maxsize=4096)
def text_width(text: str, size: int = SMALL_SIZE) -> float:
    """How wide a line of text is, in pixels, in the font in which an SVG is laid out."""
    font = FontProperties(family=FONT_FAMILIES[0], size=size)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, False)
    return float(width)


def shortened(text: str, width: float, size: int = SMALL_SIZE) -> str:
    """The text, or its beginning and an ellipsis where it is wider than ``width`` pixels."""
    if text_width(text, size) <= width:
        return text
    kept = text
    while kept and text_width(f"{kept}…", size) > width:
        kept = kept[:-1]
    return f"{kept.rstrip()}…"


def fitted(shape: Sequence[int], side: float) -> tuple[float, float]:
    """Across and down, of an image ``(height, width)`` with square pixels within a square."""
    pixel = side / max(shape[0], shape[1])
    return pixel * shape[1], pixel * shape[0]
