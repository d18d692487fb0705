import numpy as np
import pytest
import torch
from analysis.figures.looked_at import PIXELS, drawn, images, marks, table, titles
from torch import nn

from hw1.analysis.figures.inside.profiles import unit_profiles
from hw1.analysis.figures.marks import HeatMap
from hw1.datasets import Dataset
from hw1.models import CNN, MLP


def relu_of(weight: torch.Tensor) -> nn.Sequential:
    """One hidden layer with these weights."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data = weight
    return nn.Sequential(layer, nn.ReLU(), nn.Linear(weight.shape[0], 1))


def one_hot(n_classes: int, n: int = 60) -> Dataset:
    targets = torch.arange(n) % n_classes
    inputs = nn.functional.one_hot(targets, n_classes).float()
    names = tuple("abcdefghijklmnopqrst"[:n_classes])
    return Dataset("toy", "classification", inputs, targets, class_names=names)


def test_units_are_sorted_by_the_class_they_are_most_active_for() -> None:
    # Unit 0 is active for class 2.
    figure = drawn(unit_profiles, relu_of(torch.eye(4)[[2, 0, 3, 1]]), one_hot(4))
    (cells,) = marks(figure, HeatMap)
    # A unit that is 1 for a quarter of the examples has the mean 1/4, the deviation sqrt(3)/4.
    expected = np.where(np.eye(4, dtype=bool), 3, -1) / np.sqrt(3)
    np.testing.assert_allclose(cells.values, expected, atol=1e-3)
    assert cells.hover[0][0] == "unit 1, a: 1.732 SD"
    panel = figure.panels[0]
    assert panel.x.ticks == ((0, "a"), (1, "b"), (2, "c"), (3, "d"))
    assert panel.y.range == (3.5, -0.5)
    assert panel.title == "linear 1: 4 units" and figure.title == "Mean activation by class"
    assert "The class explains 100% of a unit's variance in linear 1" in figure.caption
    assert "1.732 for a." in figure.caption


def test_dead_units_have_no_profile_and_come_last() -> None:
    weight = torch.eye(3)
    weight[0] = -1
    (cells,) = marks(drawn(unit_profiles, relu_of(weight), one_hot(3)), HeatMap)
    assert (cells.values[2] == 0).all() and (cells.values[:2] != 0).all()


def test_only_the_most_varying_of_many_units_and_some_of_many_classes_are_shown() -> None:
    weight = torch.rand(90, 20, generator=torch.Generator().manual_seed(0))
    weight[5] = 0.5 + 1e-3 * torch.arange(20)
    figure = drawn(unit_profiles, relu_of(weight), one_hot(20, 400))
    (cells,) = marks(figure, HeatMap)
    assert cells.values.shape == (64, 10)
    assert not any(row[0].startswith("unit 5,") for row in cells.hover)
    assert titles(figure) == ["linear 1: 64 of 90 units"]
    assert figure.caption.endswith(" 10 of 20 classes are shown.")


def test_channels_are_shown_by_their_mean_over_positions() -> None:
    dataset, model = images((1, 8, 8), 3), CNN((1, 8, 8), 3, channels=(4, 5))
    first, second = marks(drawn(unit_profiles, model, dataset, *PIXELS), HeatMap)
    assert (first.values.shape, second.values.shape) == ((4, 3), (5, 3))
    with torch.no_grad():
        maps = model.features[:3]((dataset.inputs - PIXELS[0]) / PIXELS[1])  # type: ignore[index]
    found = maps.mean((2, 3)).double()
    means = torch.stack([found[dataset.targets == c].mean(0) for c in range(3)])
    effects = ((means - found.mean(0)) / found.std(0, correction=0)).T
    numbers = [int(row[0].split(",")[0].split()[1]) for row in first.hover]
    np.testing.assert_allclose(first.values, effects[numbers], atol=2e-3)


def test_a_regression_has_bins_of_as_many_examples() -> None:
    x = torch.arange(100.0)[:, None]
    dataset = Dataset("toy", "regression", x.repeat(1, 2), 10 * x + 5, target_name="price")
    figure = drawn(unit_profiles, relu_of(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])), dataset)
    (cells,) = marks(figure, HeatMap)
    expected = (np.arange(10) * 10 + 4.5 - 49.5) / np.arange(100).std()
    np.testing.assert_allclose(cells.values[0], expected, atol=1e-3)
    assert (cells.values[1] == 0).all()  # -x is never above zero
    assert cells.hover[0][0] == "unit 0, 50: −1.559 SD"
    x_axis = figure.panels[0].x
    assert x_axis.label == "price" and x_axis.ticks is not None
    assert x_axis.ticks[0] == (1, "150")
    assert "for each group of similar price" in figure.caption
    assert figure.title == "Mean activation by price"


@pytest.mark.parametrize(("n_layers", "n_shown"), [(3, 3), (7, 7), (20, 8)])
def test_each_layer_has_a_panel(n_layers: int, n_shown: int) -> None:
    figure = drawn(unit_profiles, MLP((2,), 2, widths=(3,) * n_layers), table(2, 2))
    assert len(figure.panels) == n_shown
    assert titles(figure)[:: n_shown - 1] == ["linear 1: 3 units", f"linear {n_layers}: 3 units"]
    assert (f"8 of {n_layers} layers are shown." in figure.caption) == (n_layers > n_shown)
