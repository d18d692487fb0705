from typing import Any

import numpy as np
import pytest
import torch
from analysis.figures.looked_at import cells, heatmaps, images, network_of, table, texts
from torch import Tensor, nn

from hw1.analysis.figures.canvas import MARGIN
from hw1.analysis.figures.inside import effective_receptive_fields, feature_maps
from hw1.analysis.figures.style import Figure
from hw1.datasets import Dataset
from hw1.models import CNN, MLP


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The weights are the same in each run."""
    torch.manual_seed(0)


DATA = images((1, 9, 9), 3)


def scaled(factors: list[float]) -> nn.Sequential:
    """Channels that are multiples of the image, by a kernel of one pixel in a 3 x 3 window."""
    conv = nn.Conv2d(1, len(factors), 3, padding=1, bias=False)
    conv.weight.data.zero_()
    conv.weight.data[:, 0, 1, 1] = torch.tensor(factors)
    return nn.Sequential(conv, nn.ReLU(), nn.Flatten(), nn.Linear(81 * len(factors), 3))


def test_images_stand_beside_their_most_active_channels() -> None:
    figure = feature_maps(network_of(scaled([0.5, 2.0, -1.0, 1.0]), DATA), DATA)
    assert figure is not None
    drawn = heatmaps(figure)
    assert len(drawn) == 3 * (1 + 4)
    # The classes are 0, 1, 2, 0, ...: the first row of each.
    for i in range(3):
        image, *maps = drawn[5 * i : 5 * i + 5]
        pixels = DATA.inputs[i, 0].numpy()
        assert (cells(image, 9, 9) == pixels).all()
        assert [m.hovertemplate.split("<")[0] for m in maps] == [
            f"channel {c}" for c in (1, 3, 0, 2)
        ]
        for one in maps[:3]:
            np.testing.assert_allclose(cells(one, 9, 9), pixels / pixels.max() * 255, atol=0.51)
        assert (maps[3].z == 0).all()  # -x is never above zero
    assert texts(figure) == ["conv 1: 9 × 9", "class 0", "class 1", "class 2"]
    assert "the 12 maps of conv 1 are of 4 different channels." in figure.caption.lower()


def test_maps_of_several_layers_stand_side_by_side_and_overlap_nowhere() -> None:
    dataset = images((3, 12, 8), 7)
    network = network_of(CNN((3, 12, 8), 7, channels=(20, 9, 3)), dataset, 128.0, 70.0)
    figure = feature_maps(network, dataset)
    assert figure is not None
    boxes = [_box(trace) for trace in heatmaps(figure)]
    # Of three layers up to eight maps, for five of the classes.
    assert len(boxes) == 5 * (1 + 8 + 8 + 3)
    for i, (left, top, right, bottom) in enumerate(boxes):
        assert left >= -1e-9 and right <= figure.plot.layout.xaxis.range[1] + 1e-9
        assert bottom <= figure.plot.layout.yaxis.range[0] + 1e-9
        for other in boxes[:i]:
            apart = left >= other[2] or right <= other[0] or top >= other[3] or bottom <= other[1]
            assert apart
    pixel = heatmaps(figure)[0]
    assert pixel.dx == pytest.approx(pixel.dy)
    assert "conv 2: 6 × 4" in texts(figure)


def _box(trace: Any) -> tuple[float, float, float, float]:
    rows, columns = trace.z.shape
    left, top = trace.x0 - trace.dx / 2, trace.y0 - trace.dy / 2
    return left, top, left + columns * trace.dx, top + rows * trace.dy


def test_images_of_a_regression_are_spread_over_the_target() -> None:
    dataset = images((1, 8, 8), 1, task="regression")
    network = network_of(CNN((1, 8, 8), 1, channels=(2,)), dataset, 128.0, 70.0)
    figure = feature_maps(network, dataset)
    assert figure is not None
    lowest, highest = dataset.targets.argmin(), dataset.targets.argmax()
    drawn = heatmaps(figure)
    assert (cells(drawn[0], 8, 8) == dataset.inputs[lowest, 0].numpy()).all()
    assert (cells(drawn[-3], 8, 8) == dataset.inputs[highest, 0].numpy()).all()
    assert texts(figure)[1].startswith("price −")


def receptive_fields(model: nn.Module, dataset: Dataset = DATA) -> Figure:
    figure = effective_receptive_fields(network_of(model, dataset, 128.0, 70.0), dataset)
    assert figure is not None
    return figure


def test_a_field_is_where_the_gradient_is_with_squares_of_both_sizes() -> None:
    conv = nn.Conv2d(1, 1, 5, padding=2)
    conv.weight.data.zero_()
    conv.weight.data[0, 0, 1:4, 1:4] = 1.0
    conv.bias.data.fill_(100.0)  # type: ignore[union-attr]
    figure = receptive_fields(nn.Sequential(conv, nn.ReLU(), nn.Flatten(), nn.Linear(81, 3)))
    (field,) = heatmaps(figure)
    expected = np.zeros((9, 9))
    expected[3:6, 3:6] = 1
    np.testing.assert_allclose(cells(field, 9, 9), expected, atol=1e-6)
    assert "5 × 5; 95% in 3 × 3" in texts(figure) and "conv 1, channel 0" in texts(figure)
    left, top, right, _ = _box(field)
    pixel = (right - left) / 9
    _, theory, effective = (s for s in figure.plot.layout.shapes if s.type == "rect")
    for box, first, last in ((theory, 2, 7), (effective, 3, 6)):
        assert (box.x0, box.x1) == pytest.approx((left + first * pixel, left + last * pixel))
        assert (box.y0, box.y1) == pytest.approx((top + first * pixel, top + last * pixel))
    assert theory.line.color != effective.line.color and theory.line.dash != effective.line.dash
    assert "A unit of conv 1 can see 5 × 5 pixels (the image has 9 × 9)" in figure.caption
    assert "95% of its gradient lies in 3 × 3" in figure.caption


def test_deeper_units_see_more() -> None:
    figure = receptive_fields(CNN((1, 9, 9), 3, channels=(3, 3), convolutions=2))
    titles = [text.split(";")[0] for text in texts(figure) if "95% in" in text]
    assert titles == ["3 × 3", "5 × 5", "9 × 9", "9 × 9"]
    assert "for conv 1 these are 3 × 3 and" in figure.caption


def test_where_windows_are_not_known_the_gradient_says_what_is_seen() -> None:
    class Enlarges(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(1, 2, 3, padding=1), nn.Linear(2, 3)

        def forward(self, inputs: Tensor) -> Tensor:
            enlarged = nn.functional.interpolate(inputs, scale_factor=3)
            return self.head(torch.tanh(self.conv(enlarged)).mean((2, 3)))

    # The middle unit, (13, 13) of 27, sees (12..14), all copies of the pixel (4, 4).
    figure = receptive_fields(Enlarges())
    assert any(text.startswith("1 × 1; 95% in 1 × 1") for text in texts(figure))


def test_without_maps_there_are_none() -> None:
    rows = table(3, 2)
    for network, dataset in (
        (network_of(MLP((1, 9, 9), 3), DATA), DATA),
        (network_of(MLP((3,), 2), rows), rows),
    ):
        assert feature_maps(network, dataset) is None
        assert effective_receptive_fields(network, dataset) is None


def test_figures_are_as_wide_as_the_others() -> None:
    network = network_of(scaled([1.0]), DATA)
    for figure in (feature_maps(network, DATA), effective_receptive_fields(network, DATA)):
        assert figure is not None
        assert figure.plot.layout.width == figure.plot.layout.xaxis.range[1] + 2 * MARGIN == 780
