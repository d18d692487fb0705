"""A figure of the sizes of a network's weights, before training and after it."""

from hw1.analysis.activations import WeightHistogram, weight_histogram
from hw1.analysis.figures.inside.subject import Subject, arranged, evenly, shown_of
from hw1.analysis.figures.layout import grid
from hw1.analysis.figures.marks import Axis, Figure, Histogram, Panel, Ticks
from hw1.analysis.figures.style import BLUE, GRAY, MUTED, WIDTH
from hw1.analysis.figures.ticks import linear_ticks
from hw1.analysis.layers import weights_of
from hw1.words import counted, listed, number, tick_label

MOST_PANELS = 12
"""Layers whose weights are shown."""
MOST_BINS = 50


def weight_histograms(subject: Subject) -> Figure | None:
    """How the weights of each layer are distributed, before training and after it.

    None for a network without linear, convolutional or recurrent layers.
    """
    titles = subject.weight_layers
    shown = evenly(list(titles), MOST_PANELS)
    if not shown:
        return None
    initial, trained = subject.initial.network, subject.trained.network
    rows, columns = arranged(len(shown))
    height = 150 * rows + 50 * (rows - 1)
    panels, outside = [], []
    for i, (name, place) in enumerate(
        zip(shown, grid(rows, columns, (0.07, 50 / height)), strict=False)
    ):
        n_weights = weights_of(trained, name).numel()
        n_bins = min(max(round(2 * n_weights ** (1 / 3)), MOST_BINS // 5), MOST_BINS)
        histogram = weight_histogram(initial, trained, name, n_bins)
        marks, x, y = _drawn(
            histogram,
            "weight" if i + columns >= len(shown) else "",
            "" if i % columns else "share of weights",
        )
        title = f"{titles[name]}: {counted(n_weights, 'weight')}"
        panels.append(Panel(marks, x, y, place, title))
        if histogram.outside:
            outside.append(f"{histogram.outside:,} of {titles[name]}")
    caption = _caption(subject, {titles[name]: name for name in shown})
    if outside:
        caption += f" Trained weights beyond the axes: {listed(outside)}."
    return Figure(
        "inside_weights",
        "Weights before and after training",
        caption + shown_of(len(shown), len(titles), "layers"),
        panels,
        width=WIDTH,
        height=height + 120,
        margins=(64, 16, 62, 58),
    )


def _drawn(
    histogram: WeightHistogram, x_label: str, y_label: str
) -> tuple[list[Histogram], Axis, Axis]:
    """Both histograms, the trained one before the other, and their axes."""
    edges = histogram.edges
    marks, highest = [], 0.0
    for name, counts, color, fill, width, opacity in (
        ("before training", histogram.initial, MUTED, GRAY, 1.0, 0.55),
        ("after training", histogram.trained, BLUE, BLUE, 1.5, 0.12),
    ):
        shares = counts / max(counts.sum(), 1)
        highest = max(highest, float(shares.max()))
        hover = f"{name}, {{x:.3g}}: {{y:.2%}}"
        marks.append(Histogram(edges, shares, color, fill, name, width, opacity, hover))
    low, high = float(edges[0]), float(edges[-1])
    x = Axis(x_label, (low, high), ticks=_ticks(low, high), grid=False)
    # None are within the edges where all are no numbers.
    return marks, x, Axis(y_label, (0, 1.05 * highest or 1), n_ticks=4, percent=True)


def _ticks(low: float, high: float) -> Ticks:
    """Zero and a round number on either side."""
    step = linear_ticks(0, 0.8 * max(-low, high), 2)[1]
    ticks = [(t, tick_label(t, step)) for t in (-step, 0.0, step) if low <= t <= high]
    middle = (low + high) / 2
    return tuple(ticks) or ((middle, number(middle)),)


def _caption(subject: Subject, names: dict[str, str]) -> str:
    """What changed most and least, and how much; ``names`` of layers by their titles."""
    moved, spread = {}, {}
    for title, name in names.items():
        before, after = (weights_of(n.network, name) for n in (subject.initial, subject.trained))
        moved[title] = float((after - before).norm() / max(float(before.norm()), 1e-30))
        spread[title] = [number(float(w.std(correction=0))) for w in (before, after)]
    most, least = max(moved, key=moved.__getitem__), min(moved, key=moved.__getitem__)
    text = "The weights of each layer before training (gray) and after it (blue), without biases. "
    if moved[most] == 0:
        return text + "None has changed."
    change = (
        f"weights moved by {moved[most]:.0%} of their initial norm, and their standard deviation "
        f"went from {' to '.join(spread[most])}"
    )
    if len(names) == 1:
        return text + f"The {change}."
    return text + (
        f"Of the layers, {most} changed most: its {change}; {least} changed least, by "
        f"{moved[least]:.0%}."
    )
