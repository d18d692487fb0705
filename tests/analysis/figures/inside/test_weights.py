from typing import Any

import numpy as np
import pytest
import torch
from analysis.figures.looked_at import drawn, images, marks, network_of, table, texts, titles
from torch import nn

from hw1.analysis.figures.inside.subject import Subject
from hw1.analysis.figures.inside.weights import first_layer_weights, weight_histograms
from hw1.analysis.figures.marks import Figure, HeatMap, Histogram
from hw1.models import CNN, MLP

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
    return weight_histograms(Subject(trained, initial, DATA))


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


def test_the_caption_says_how_many_weights_are_exactly_zero() -> None:
    before, head = [[1.0, -1.0], [0.0, 2.0]], [[2.0, 1.0]]
    caption = of((before, head), ([[1.0, 0.0], [0.0, 1e-12]], head)).caption
    assert "Weights that are exactly zero: 50.0% of linear 1." in caption
    assert "exactly zero" not in of((before, head), ([[1.0] * 2] * 2, head)).caption


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


def kernels_of(model: nn.Module) -> torch.Tensor:
    weight: torch.Tensor = model.features[0].weight.data
    return weight


def test_each_kernel_is_shown_on_a_common_scale_around_zero() -> None:
    model = CNN((1, 8, 8), 2, channels=(5,))
    kernels = kernels_of(model)
    kernels[2] *= 0.001
    figure = drawn(first_layer_weights, model, images((1, 8, 8), 2))
    tiles = marks(figure, HeatMap)
    assert len(tiles) == 5
    for unit, tile in enumerate(tiles):
        np.testing.assert_allclose(tile.values, kernels[unit, 0], rtol=1e-6)
        assert str(tile.hover).startswith(f"kernel {unit}: ")
    (scale,) = {tile.scale for tile in tiles}
    assert scale.low == -scale.high < 0 and scale.title == "weight"
    assert 0 < scale.high <= float(kernels.abs().max())
    assert "The 5 kernels of conv 1 on a common scale" in figure.caption
    assert "1 are below a tenth of the largest" in figure.caption


@pytest.mark.parametrize(("channels", "parts"), [(3, 3), (2, 1), (5, 1)])
def test_colors_are_shown_side_by_side_and_other_channels_as_their_mean(
    channels: int, parts: int
) -> None:
    model = CNN((channels, 8, 8), 2, channels=(4,))
    figure = drawn(first_layer_weights, model, images((channels, 8, 8), 2))
    tiles = marks(figure, HeatMap)
    assert len(tiles) == 4 * parts
    kernel = kernels_of(model)[0]
    first = kernel if channels == 3 else kernel.mean(0, keepdim=True)
    for part, tile in zip(first, tiles, strict=False):
        np.testing.assert_allclose(tile.values, part, rtol=1e-5)
    assert ("red, green and blue" in figure.caption) == (channels == 3)
    assert (f"mean over {channels} channels" in figure.caption) == (parts == 1)
    assert tiles[0].y == tiles[1].y


def test_of_many_kernels_those_of_the_largest_norm_are_shown() -> None:
    model = CNN((1, 8, 8), 2, channels=(70,))
    kernels_of(model)[[0, 3, 10, 20, 30, 69]] *= 1e-3
    figure = drawn(first_layer_weights, model, images((1, 8, 8), 2))
    shown = [int(str(tile.hover).split(":")[0].split()[1]) for tile in marks(figure, HeatMap)]
    assert shown == [i for i in range(70) if i not in (0, 3, 10, 20, 30, 69)]
    assert "Of the 70 kernels of conv 1 the 64 of the largest norm" in figure.caption


def test_a_linear_layer_on_images_has_weight_images_and_a_linear_model_classes() -> None:
    dataset = images((1, 5, 6), 3)
    layer = nn.Linear(30, 3)
    layer.weight.data.zero_()
    layer.weight.data[:, :2] = 1.0
    figure = drawn(first_layer_weights, nn.Sequential(nn.Flatten(), layer), dataset)
    assert texts(figure) == ["class 0", "class 1", "class 2"]
    expected = np.zeros((5, 6))
    expected[0, :2] = 1
    for tile in marks(figure, HeatMap):
        assert (tile.values == expected).all()
    assert "Half of the squared weights belong to 1 of 30 pixels" in figure.caption
    hidden = drawn(first_layer_weights, MLP((1, 5, 6), 3, widths=(4,)), dataset)
    assert texts(hidden) == [] and len(marks(hidden, HeatMap)) == 4


def test_a_table_has_weights_by_feature_the_strongest_first() -> None:
    model = MLP((3,), 2, widths=(4,))
    weight = torch.tensor([[0.1, 3, 0], [0, -2, 0.2], [0.1, 4, 0.3], [0, 1, -1.5]])
    model.layers[1].weight.data = weight
    figure = drawn(first_layer_weights, model, table(3, 2))
    (cells,) = marks(figure, HeatMap)
    ticks = figure.panels[0].y.ticks
    assert ticks == ((0, "feature 2"), (1, "feature 3"), (2, "feature 1"))
    # Those that rest on feature 2, the largest weight first; then the one on feature 3.
    order = [2, 0, 1, 3]
    assert [text.split(",")[0] for text in cells.hover[0]] == [f"unit {i}" for i in order]
    np.testing.assert_allclose(cells.values, weight[order][:, [1, 2, 0]].T)
    assert (cells.scale.low, cells.scale.high) == (-4, 4)
    assert "the weights of feature 2 (2.739) are largest" in figure.caption
