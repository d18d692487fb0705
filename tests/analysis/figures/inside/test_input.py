import numpy as np
import pytest
import torch
from analysis.figures.looked_at import drawn, marks, titles
from torch import nn

from hw1.analysis.figures.inside.input import units_along_input
from hw1.analysis.figures.marks import HeatMap, Line, Points
from hw1.datasets import Dataset
from hw1.models import MLP

LINE = Dataset(
    "toy",
    "regression",
    torch.linspace(0, 10, 41)[:, None],
    torch.linspace(0, 10, 41)[:, None].square(),
    feature_names=("size",),
    target_name="price",
)


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
    assert cells.x is not None
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
