from typing import Any

import numpy as np
import pytest
import torch
from analysis.figures.looked_at import drawn, marks, network_of, table, titles
from torch import nn

from hw1.analysis.figures.inside.subject import Subject
from hw1.analysis.figures.inside.weights import weight_histograms
from hw1.analysis.figures.marks import Figure, Histogram
from hw1.models import MLP

DATA = table(2, 1, task="regression")


def with_weights(weights: Any) -> nn.Sequential:
    """Linear layers with these weights."""
    layers: list[nn.Module] = []
    for weight in weights:
        layer = nn.Linear(len(weight[0]), len(weight))
        layer.weight.data = torch.tensor(weight, dtype=torch.float32)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def of(before: Any, after: Any) -> Figure:
    trained, initial = (network_of(with_weights(w), DATA) for w in (after, before))
    figure = weight_histograms(Subject.of(trained, initial, DATA))
    assert figure is not None
    return figure


def test_the_shares_of_weights_are_shown_before_and_after() -> None:
    random = np.random.default_rng(0)
    before, after = random.normal(size=(100, 2)), random.normal(size=(100, 2)) * 2
    head = np.ones((1, 100))
    figure = of((before, head), (after, head))
    assert titles(figure) == ["linear 1: 200 weights", "linear 2: 100 weights"]
    panel = figure.panels[0]
    histograms = marks(figure, Histogram)[:2]
    assert [mark.name for mark in histograms] == ["before training", "after training"]
    for mark, weights in zip(histograms, (before, after), strict=True):
        counts, _ = np.histogram(weights.astype(np.float32), mark.edges)
        np.testing.assert_allclose(mark.heights, counts / 200, atol=0.011)
        assert sum(mark.heights) == pytest.approx(1, abs=1e-6)
        assert panel.x.range == pytest.approx((mark.edges[0], mark.edges[-1]))
        assert max(mark.heights) < panel.y.range[1]


def test_the_caption_says_what_changed_and_how_much() -> None:
    before, after = ([[1.0, -1.0]], [[2.0]]), ([[1.5, -1.5]], [[2.2]])
    caption = of(before, after).caption
    assert "Of the layers, linear 1 changed most: its weights moved by 50%" in caption
    assert "went from 1 to 1.5; linear 2 changed least, by 10%." in caption
    assert "The weights moved by 50%" in of(before[:1], after[:1]).caption
    assert "None has changed." in of(before, before).caption


def test_outliers_are_said() -> None:
    weights = np.linspace(-1, 1, 2000).reshape(1000, 2)
    outlying = weights.copy()
    outlying[0, 0] = 50
    head = np.ones((1, 1000))
    figure = of((weights, head), (outlying, head))
    assert "Trained weights beyond the axes: 1 of linear 1." in figure.caption
    assert figure.panels[0].x.range[1] < 5


def test_of_many_layers_some_are_shown() -> None:
    figure = drawn(weight_histograms, MLP((2,), 1, widths=(2,) * 19), DATA)
    assert len(figure.panels) == 12 and len(marks(figure, Histogram)) == 24
    assert titles(figure)[::11] == ["linear 1: 4 weights", "linear 20: 2 weights"]
    assert figure.caption.endswith(" 12 of 20 layers are shown.")
    # Labels stand at the outer panels alone.
    assert [bool(panel.y.label) for panel in figure.panels] == [True, False, False, False] * 3
    assert [bool(panel.x.label) for panel in figure.panels] == [False] * 8 + [True] * 4


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (np.linspace(-1, 1, 200), ["−0.5", "0", "0.5"]),
        (np.linspace(-0.03, 0.03, 200), ["−0.02", "0", "0.02"]),
        (np.linspace(0.55, 0.9, 200), ["0.725"]),
        (np.full(2, 0.7), ["0.7"]),
    ],
)
def test_ticks_are_round_and_within(weights: np.ndarray, expected: list[str]) -> None:
    layers = (weights.reshape(-1, 2),)
    ticks = of(layers, layers).panels[0].x.ticks
    assert ticks is not None and [text for _, text in ticks] == expected
