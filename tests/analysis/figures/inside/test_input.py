import numpy as np
import pytest
import torch
from analysis.figures.looked_at import heatmaps, network_of, table, texts
from torch import nn

from hw1.analysis.figures.inside import units_along_input
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


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The weights are the same in each run."""
    torch.manual_seed(0)


def hinges(places: list[float], slopes: list[float]) -> nn.Sequential:
    """Hidden units relu(slope * (x - place)), which are added."""
    first, last = nn.Linear(1, len(places)), nn.Linear(len(places), 1)
    first.weight.data = torch.tensor(slopes)[:, None]
    first.bias.data = -torch.tensor(slopes) * torch.tensor(places)
    last.weight.data.fill_(1.0)
    last.bias.data.zero_()
    return nn.Sequential(first, nn.ReLU(), last)


def test_each_unit_is_a_line_sorted_by_where_it_is_active() -> None:
    figure = units_along_input(network_of(hinges([8.0, 2.0, 5.0], [1.0, -3.0, 2.0]), LINE), LINE)
    assert figure is not None
    (heatmap,) = heatmaps(figure)
    assert heatmap.customdata[:, 0].tolist() == [1, 2, 0]
    grid = heatmap.x0 + heatmap.dx * np.arange(heatmap.z.shape[1])
    assert (grid[0], grid[-1]) == pytest.approx((0, 10), abs=1e-4)
    for row, (place, slope) in zip(heatmap.z, [(2, -3), (5, 2), (8, 1)], strict=True):
        unit = np.maximum(slope * (grid - place), 0)
        np.testing.assert_allclose(row, unit / unit.max(), atol=2e-3)
    assert (figure.plot.layout.coloraxis.cmin, figure.plot.layout.coloraxis.cmax) == (0, 1)
    assert "linear 1: 3 units" in texts(figure)
    # Each only rises, or only falls.
    assert "turns between rising and falling 0.0 times" in figure.caption


def test_above_them_is_the_function_with_the_rows() -> None:
    figure = units_along_input(network_of(hinges([5.0], [2.0]), LINE), LINE)
    assert figure is not None
    rows, function = (trace for trace in figure.plot.data if trace.type == "scatter")
    np.testing.assert_array_equal(rows.x, LINE.inputs[:, 0])
    np.testing.assert_array_equal(rows.y, LINE.targets[:, 0])
    expected = np.maximum(2 * (function.x - 5), 0)
    np.testing.assert_allclose(function.y, expected, atol=1e-4)
    assert figure.plot.layout.yaxis.title.text == "price"
    assert figure.plot.layout.xaxis2.title.text == "size"
    assert "the network's price and 41 training rows" in figure.caption


def test_turns_are_counted_and_signs_have_a_scale_of_their_own() -> None:
    class Waves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.last = nn.Linear(1, 1), nn.Linear(1, 1), nn.Linear(1, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.tanh(self.one(x) * 0 + (x - 5))
            return self.last(torch.tanh(self.two(x) * 0 + torch.sin(4 * np.pi * x)))

    figure = units_along_input(network_of(Waves(), LINE), LINE)
    assert figure is not None
    # sin(4 pi u) for u from -1 to 1 has eight extrema.
    assert "linear 1 turns between rising and falling 0.0 times" in figure.caption
    assert "one of linear 2 8.0 times" in figure.caption
    assert figure.plot.layout.coloraxis.cmin == -1


def test_of_many_units_and_layers_some_are_shown() -> None:
    network = network_of(MLP((1,), 1, widths=(80, *(3,) * 11)), LINE)
    figure = units_along_input(network, LINE)
    assert figure is not None
    assert len(heatmaps(figure)) == 8
    assert heatmaps(figure)[0].z.shape[0] == 64
    assert "linear 1: 64 of 80 units" in texts(figure)
    assert figure.caption.endswith("Shown are 8 of 12 layers.")


def test_it_needs_a_single_feature_a_number_to_predict_and_a_hidden_layer() -> None:
    two, classes = table(2, 1, task="regression"), table(1, 2)
    assert units_along_input(network_of(MLP((2,), 1), two), two) is None
    assert units_along_input(network_of(MLP((1,), 2), classes), classes) is None
    assert units_along_input(network_of(MLP((1,), 1, widths=()), LINE), LINE) is None
