import numpy as np
import pytest
import torch
from analysis.figures.looked_at import PIXELS, drawn, images, marks, table, titles
from torch import nn

from hw1.analysis.figures.inside.units import unit_profiles, units_along_input, unused_units
from hw1.analysis.figures.marks import Bars, HeatMap, Line, Points
from hw1.datasets import Dataset
from hw1.models import CNN, MLP

TABLE = table(2, 2)
LINE = Dataset(
    "toy",
    "regression",
    torch.linspace(0, 10, 41)[:, None],
    torch.linspace(0, 10, 41)[:, None].square(),
    feature_names=("size",),
    target_name="price",
)


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
        maps = model.features[:3]((dataset.inputs - PIXELS[0]) / PIXELS[1])
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


def hinges(places: list[float], slopes: list[float]) -> nn.Sequential:
    """Hidden units relu(slope * (x - place)), which are added."""
    first, last = nn.Linear(1, len(places)), nn.Linear(len(places), 1)
    first.weight.data = torch.tensor(slopes)[:, None]
    first.bias.data = -torch.tensor(slopes) * torch.tensor(places)
    last.weight.data.fill_(1.0)
    last.bias.data.zero_()
    return nn.Sequential(first, nn.ReLU(), last)


def test_each_unit_is_a_line_sorted_by_where_it_is_active() -> None:
    figure = drawn(units_along_input, hinges([8.0, 2.0, 5.0], [1.0, -3.0, 2.0]), LINE)
    (cells,) = marks(figure, HeatMap)
    assert cells.data is not None and cells.data[:, 0].tolist() == [1, 2, 0]
    edges = np.linspace(*cells.x, cells.values.shape[1] + 1)
    centers = (edges[1:] + edges[:-1]) / 2
    assert (centers[0], centers[-1]) == pytest.approx((0, 10), abs=1e-4)
    for row, (place, slope) in zip(cells.values, [(2, -3), (5, 2), (8, 1)], strict=True):
        unit = np.maximum(slope * (centers - place), 0)
        np.testing.assert_allclose(row, unit / unit.max(), atol=2e-3)
    assert (cells.scale.low, cells.scale.high) == (0, 1)
    assert titles(figure) == ["", "linear 1: 3 units"]
    # Each only rises, or only falls.
    assert "turns between rising and falling 0.0 times" in figure.caption


def test_above_them_is_the_function_with_the_data() -> None:
    figure = drawn(units_along_input, hinges([5.0], [2.0]), LINE)
    (points,), (line,) = marks(figure, Points), marks(figure, Line)
    np.testing.assert_array_equal(points.x, LINE.inputs[:, 0])
    np.testing.assert_array_equal(points.y, LINE.targets[:, 0])
    expected = np.maximum(2 * (np.asarray(line.x) - 5), 0)
    np.testing.assert_allclose(line.y, expected, atol=1e-4)
    above, below = figure.panels
    assert (above.y.label, below.x.label) == ("price", "size")
    assert above.x.range == below.x.range == (0, 10) and above.x.shared == below.x.shared
    assert above.y.range[0] < 0 and above.y.range[1] > 100
    assert "the network's price and 41 training examples" in figure.caption


def test_turns_are_counted_and_signs_have_a_scale_of_their_own() -> None:
    class Waves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.last = nn.Linear(1, 1), nn.Linear(1, 1), nn.Linear(1, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.tanh(self.one(x) * 0 + (x - 5))
            return self.last(torch.tanh(self.two(x) * 0 + torch.sin(4 * np.pi * x)))

    figure = drawn(units_along_input, Waves(), LINE)
    # sin(4 pi u) for u from -1 to 1 has eight extrema.
    assert "linear 1 turns between rising and falling 0.0 times" in figure.caption
    assert "one of linear 2 8.0 times" in figure.caption
    assert {cells.scale.low for cells in marks(figure, HeatMap)} == {-1}


def test_of_many_units_and_layers_some_are_shown() -> None:
    figure = drawn(units_along_input, MLP((1,), 1, widths=(80, *(3,) * 11)), LINE)
    cells = marks(figure, HeatMap)
    assert len(cells) == 8 and cells[0].values.shape[0] == 64
    assert titles(figure)[1] == "linear 1: 64 of 80 units"
    assert figure.caption.endswith(" 8 of 12 layers are shown.")


def biased(biases: list[float], activation: nn.Module) -> nn.Sequential:
    layer = nn.Linear(2, len(biases))
    layer.bias.data = torch.tensor(biases)
    return nn.Sequential(layer, activation, nn.Linear(len(biases), 2))


def test_dead_units_and_zeros_are_counted() -> None:
    model = biased([-100.0, 0.0, -100.0, 100.0, -100.0], nn.ReLU())
    figure = drawn(unused_units, model, TABLE)
    silent, stuck, zeros = marks(figure, Bars)
    assert (silent.name, stuck.name, zeros.name) == ("always zero", "", "")
    assert (list(silent.length), list(stuck.length)) == ([0.6], [0.0])
    assert (stuck.base, list(stuck.text)) == ([0.6], ["3 of 5"])
    with torch.no_grad():
        share = float((model[:2](TABLE.inputs) == 0).double().mean())
    assert list(zeros.length) == [share] and list(zeros.text) == [f"{share:.0%}"]
    assert "all 60 examples" in figure.caption
    assert "3 of 5 units of linear 1 are dead." in figure.caption
    assert f"Zeros are most frequent in linear 1: {share:.0%}." in figure.caption


def test_saturated_units_are_dead_without_being_zero() -> None:
    figure = drawn(unused_units, biased([100.0, 0.0, 0.0, 100.0], nn.Sigmoid()), TABLE)
    silent, stuck, _ = marks(figure, Bars)
    assert (list(silent.length), list(stuck.length)) == ([0.0], [0.5])
    assert (silent.name, stuck.name) == ("", "always the same, but not zero")
    assert "No activation is exactly zero." in figure.caption


def test_layers_come_from_the_top_in_their_order() -> None:
    model = CNN((1, 8, 8), 2, channels=(3, 4), hidden=5)
    figure = drawn(unused_units, model, images((1, 8, 8), 2), *PIXELS)
    y = figure.panels[0].y
    assert y.ticks == ((0, "conv 1"), (1, "conv 2"), (2, "linear 3"))
    assert y.range[0] > y.range[1]
    for bars in marks(figure, Bars):
        np.testing.assert_array_equal(bars.y, [0, 1, 2])
    assert [text.split()[-1] for text in marks(figure, Bars)[1].text] == ["3", "4", "5"]


def test_none_is_dead() -> None:
    figure = drawn(unused_units, biased([0.0, 0.0], nn.ReLU()), TABLE)
    assert "None of the 2 units is dead." in figure.caption
