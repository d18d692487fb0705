"""The palette is measured: perceptual distances in CIELAB, under simulated color blindness too."""

import itertools

import numpy as np
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from hw1.analysis.figures.style import DIVERGING, GRAY, INK, MUTED, PALETTE, SEQUENTIAL

# Machado, Oliveira, Fernandes 2009, of full severity, in linear sRGB: rows of a matrix each.
MACHADO = """
protanopia    0.152286  1.052583 -0.204868  0.114503 0.786281  0.099216 -0.003882 -0.048116 1.051998
deuteranopia  0.367322  0.860646 -0.227968  0.280085 0.672501  0.047413 -0.011820  0.042940 0.968881
tritanopia    1.255528 -0.076749 -0.178779 -0.078411 0.930809  0.147602  0.004733  0.691367 0.303900
"""
VISIONS = {"normal": np.eye(3)} | {
    name: np.array(numbers, dtype=float).reshape(3, 3)
    for name, *numbers in map(str.split, MACHADO.strip().splitlines())
}
TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


def linear(color: str) -> np.ndarray:
    channels = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    xyz = TO_XYZ @ np.clip(rgb, 0, 1) / [0.95047, 1, 1.08883]
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def lightness(color: str) -> float:
    return float(lab(linear(color))[0])


def contrast(color: str) -> float:
    """To white, as WCAG has it."""
    return float(1.05 / ((TO_XYZ @ linear(color))[1] + 0.05))


@pytest.mark.parametrize("vision", VISIONS)
def test_the_palette_is_told_apart(vision: str) -> None:
    seen = [lab(VISIONS[vision] @ linear(color)) for color in PALETTE]
    nearest = min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2))
    assert nearest > 15


def test_the_palette_is_told_apart_in_grey_print() -> None:
    steps = np.diff(sorted(map(lightness, PALETTE)))
    assert steps.min() > 8


def test_text_and_the_first_colors_stand_out_from_the_paper() -> None:
    assert contrast(INK) > 7
    assert contrast(MUTED) > 4.5
    assert all(contrast(color) > 3 for color in PALETTE[:3])
    assert contrast(GRAY) > 2


@pytest.mark.parametrize("vision", VISIONS)
def test_the_sequential_scale_darkens_evenly(vision: str) -> None:
    seen = [lab(VISIONS[vision] @ linear(color))[0] for _, color in SEQUENTIAL]
    steps = -np.diff(seen)
    assert steps.min() > 10
    assert steps.max() < 22
    assert [position for position, _ in SEQUENTIAL] == pytest.approx(np.linspace(0, 1, 6))


def test_the_diverging_scale_is_lightest_in_the_middle_and_even_to_both_sides() -> None:
    seen = [lightness(color) for _, color in DIVERGING]
    assert int(np.argmax(seen)) == 2
    assert seen[0] == pytest.approx(seen[-1], abs=12)
    assert seen[1] == pytest.approx(seen[3], abs=12)
    ends = [
        np.linalg.norm(np.subtract(*(lab(m @ linear(DIVERGING[i][1])) for i in (1, 3))))
        for m in VISIONS.values()
    ]
    assert min(ends) > 30


def test_in_a_notebook_a_figure_shows_its_title_its_plot_and_its_caption() -> None:
    cell = new_code_cell(
        "from hw1.analysis.figures.marks import Axis, Bars, Figure, Panel\n"
        "axis = Axis('', (0.0, 1.0))\n"
        "bars = Bars([0.5], [1.0], '#005AA0')\n"
        "Figure('name', 'A < B', 'See & tell.', (Panel((bars,), axis, axis),))"
    )
    NotebookClient(new_notebook(cells=[cell]), timeout=60, kernel_name="python3").execute()
    title, plot, caption = (o.data for o in cell.outputs if o.output_type == "display_data")
    assert title["text/html"] == "<h4>A &lt; B</h4>"
    assert plot["application/vnd.plotly.v1+json"]["data"][0]["y"] == [0.5]
    assert caption["text/html"] == "<p>See &amp; tell.</p>"
