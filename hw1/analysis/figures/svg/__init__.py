"""SVG of plotly figures, drawn by matplotlib: plotly itself needs a browser for it."""

from hw1.analysis.figures.svg.drawing import to_svg

__all__ = ["to_svg"]
