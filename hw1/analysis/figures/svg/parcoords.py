"""How plotly's parallel coordinates are drawn with matplotlib."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.transforms import offset_copy

from hw1.analysis.figures.svg.axes import Axis
from hw1.analysis.figures.svg.panel import Drawn, colours_of
from hw1.analysis.figures.svg.values import (
    Properties,
    floats,
    font,
    items,
    merged,
    plain,
)


def draw_parcoords(figure: Figure, axes: Axes, trace: Properties, layout: Properties) -> Drawn:
    """Lines across parallel axes, one for each dimension."""
    dimensions = [d for d in trace["dimensions"] if d.get("visible", True)]
    columns = []
    label_style = font(merged(layout["font"], trace.get("labelfont", {})))
    tick_style = font(merged(layout["font"], trace.get("tickfont", {})))
    axes.set_axis_off()
    axes.set_xlim(0, max(len(dimensions) - 1, 1))
    axes.set_ylim(0, 1)
    upper = offset_copy(axes.transData, figure, 0, 12, units="dots")
    for i, dimension in enumerate(dimensions):
        values = floats(items(dimension["values"]))
        settings = {
            k: dimension[k] for k in ("tickvals", "ticktext", "tickformat") if k in dimension
        }
        scale = Axis("y", settings | {"range": dimension.get("range")}, "linear")
        scale.see(values)
        low, high = scale.limits()
        span = high - low if high != low else 1.0
        columns.append((values - low) / span)
        axes.plot([i, i], [0, 1], color=tick_style["color"], linewidth=1, zorder=4)
        ticks, texts = scale.ticks(axes.get_window_extent().height)
        for tick, text in zip(ticks, texts, strict=True):
            height = (tick - low) / span
            halo = {"boxstyle": "square,pad=0.1", "facecolor": (1, 1, 1, 0.75), "edgecolor": "none"}
            axes.annotate(
                text,
                (i, height),
                xytext=(-7, 0),
                textcoords="offset pixels",
                ha="right",
                va="center",
                zorder=5,
                bbox=halo,
                **tick_style,
            )
            axes.plot([i], [height], marker="_", markersize=6, color=tick_style["color"], zorder=4)
        axes.text(
            i, 1, plain(dimension.get("label", "")), transform=upper, ha="center", **label_style
        )
    line = merged({"color": trace["colour"]}, trace.get("line", {}))
    rows = np.stack(columns, axis=1) if columns else np.zeros((0, 0))
    colours, scale_ = colours_of(line, layout, len(rows), 1.0)
    paths = [np.stack([np.arange(len(row)), row], axis=1) for row in rows]
    axes.add_collection(LineCollection(paths, colors=colours, linewidths=1.0, zorder=3))
    return Drawn(None, scale_)
