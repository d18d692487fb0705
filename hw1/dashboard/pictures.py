"""Learning curves as a PNG, drawn in milliseconds: a plotting library takes longer than a trial."""

import io
import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 640, 360
SCALE = 2
"""Drawn so many times larger, and then reduced: Pillow's lines have no smooth edges."""
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 36, 40
INK, MUTED, GREY, GRID = "#1F2933", "#5F6B76", "#A9B2BA", "#E8EBEE"
BLUE, VERMILLION = "#005AA0", "#DD6408"


def curves_png(curves: np.ndarray, best_epoch: int, metric: str, title: str) -> bytes:
    """Every fold's score by epoch, grey, their mean, blue, and its best epoch.

    Args:
        curves: ``(n_epochs, n_splits)``, finite.
        best_epoch: from 1.
        metric: what the vertical axis shows.
        title: stands above.
    """
    log = bool(curves.min() > 0 and curves.max() > 10 * curves.min())
    values = np.log10(curves) if log else curves
    mean = np.log10(curves.mean(1)) if log else curves.mean(1)
    low, high = float(values.min()), float(values.max())
    space = 0.04 * (high - low) or 0.5
    low, high = low - space, high + space
    n_epochs = len(curves)
    image = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), "white")
    draw = ImageDraw.Draw(image)

    def place(epoch: float, value: float) -> tuple[float, float]:
        across = (epoch - 1) / max(n_epochs - 1, 1)
        up = (value - low) / (high - low)
        x = LEFT + across * (WIDTH - LEFT - RIGHT)
        y = HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)
        return x * SCALE, y * SCALE

    def write(x: float, y: float, text: str, anchor: str, colour: str, size: int) -> None:
        draw.text((x * SCALE, y * SCALE), text, fill=colour, anchor=anchor, font=_font(size))

    for tick in _ticks(low, high, log):
        value = math.log10(tick) if log else tick
        (left, y), (right, _) = place(1, value), place(max(n_epochs, 2), value)
        draw.line([(left, y), (right, y)], fill=GRID, width=SCALE)
        write(LEFT - 8, y / SCALE, f"{tick:.4g}", "rm", MUTED, 12)
    for epoch in sorted({1, best_epoch, n_epochs}):
        x, _ = place(epoch, low)
        write(x / SCALE, HEIGHT - BOTTOM + 6, str(epoch), "ma", MUTED, 12)
    write(WIDTH / 2, HEIGHT - 4, "epoch", "md", MUTED, 12)
    write(LEFT, 8, f"{title}: {metric}, each fold and the mean", "la", INK, 14)
    for fold in values.T:
        _line(draw, [place(i + 1, v) for i, v in enumerate(fold)], GREY, 1)
    _line(draw, [place(i + 1, v) for i, v in enumerate(mean)], BLUE, 3)
    x, y = place(best_epoch, mean[best_epoch - 1])
    r = 5 * SCALE
    draw.ellipse([x - r, y - r, x + r, y + r], fill=VERMILLION)
    out = io.BytesIO()
    image.reduce(SCALE).save(out, "png", compress_level=1)
    return out.getvalue()


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size * SCALE)


def _line(
    draw: ImageDraw.ImageDraw, points: Sequence[tuple[float, float]], colour: str, width: int
) -> None:
    if len(points) == 1:
        (x, y), r = points[0], width * SCALE
        draw.ellipse([x - r, y - r, x + r, y + r], fill=colour)
    draw.line(points, fill=colour, width=width * SCALE, joint="curve")


def _ticks(low: float, high: float, log: bool) -> list[float]:
    if log:
        powers = range(math.floor(low), math.ceil(high) + 1)
        ticks = [f * 10.0**power for power in powers for f in (1, 2, 5)]
        return [t for t in ticks if low <= math.log10(t) <= high]
    power = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = next(f * power for f in (1, 2, 5, 10) if (high - low) / (f * power) <= 6)
    return [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]
