import numpy as np
import pytest
import torch
from analysis.figures.looked_at import PIXELS, drawn, images, marks, pictures, texts
from torch import nn

from hw1.analysis.figures.inside.maps import effective_receptive_fields, feature_maps
from hw1.analysis.figures.marks import Box, HeatMap, Image, Pair
from hw1.models import CNN

DATA = images((1, 9, 9), 3)


def scaled(factors: list[float]) -> nn.Sequential:
    """Channels that are multiples of the image, by a kernel of one pixel in a 3 x 3 window."""
    conv = nn.Conv2d(1, len(factors), 3, padding=1, bias=False)
    conv.weight.data.zero_()
    conv.weight.data[:, 0, 1, 1] = torch.tensor(factors)
    return nn.Sequential(conv, nn.ReLU(), nn.Flatten(), nn.Linear(81 * len(factors), 3))


def test_images_stand_beside_their_most_active_channels() -> None:
    figure = drawn(feature_maps, scaled([0.5, 2.0, -1.0, 1.0]), DATA)
    maps = marks(figure, HeatMap)
    assert len(maps) == 3 * 4
    # The classes are 0, 1, 2, 0, ...: the first image of each.
    for i, picture in enumerate(pictures(figure)):
        pixels = DATA.inputs[i, 0].numpy()
        assert (picture == pixels).all()
        of_image = maps[4 * i : 4 * i + 4]
        assert [m.hover for m in of_image] == [f"channel {c}" for c in (1, 3, 0, 2)]
        for one in of_image[:3]:
            np.testing.assert_allclose(one.values, pixels / pixels.max() * 255, atol=0.51)
        assert (of_image[3].values == 0).all()  # -x is never above zero
    assert texts(figure) == ["class 0", "class 1", "class 2", "conv 1: 9 × 9"]
    assert "The 12 maps of conv 1 are of 4 different channels." in figure.caption


def test_maps_of_several_layers_stand_side_by_side_and_overlap_nowhere() -> None:
    model = CNN((3, 12, 8), 7, channels=(20, 9, 3))
    figure = drawn(feature_maps, model, images((3, 12, 8), 7), *PIXELS)
    tiles = [*marks(figure, Image), *marks(figure, HeatMap)]
    # Of three layers up to eight maps, for five of the classes.
    assert len(tiles) == 5 * (1 + 8 + 8 + 3)
    x, y = figure.panels[0].x.range, figure.panels[0].y.range
    places: list[tuple[Pair, Pair]] = []
    for tile in tiles:
        (left, right), (top, bottom) = tile.x, tile.y
        assert left >= x[0] - 1e-9 and right <= x[1] + 1e-9 and bottom <= y[0] + 1e-9
        for (left_, right_), (top_, bottom_) in places:
            assert left >= right_ or right <= left_ or top >= bottom_ or bottom <= top_
        places.append(((left, right), (top, bottom)))
    (left, right), (top, bottom) = places[0]
    assert (right - left) / 8 == pytest.approx((bottom - top) / 12)
    assert "conv 2: 6 × 4" in texts(figure)
    assert "The 40 maps of conv 1 are of" in figure.caption
    assert "and the 15 maps of conv 3 are of 3 different channels." in figure.caption


def test_images_of_a_regression_are_spread_over_the_target() -> None:
    dataset = images((1, 8, 8), 1, task="regression")
    figure = drawn(feature_maps, CNN((1, 8, 8), 1, channels=(2,)), dataset, *PIXELS)
    lowest, highest = dataset.targets.argmin(), dataset.targets.argmax()
    assert (pictures(figure)[0] == dataset.inputs[lowest, 0].numpy()).all()
    assert (pictures(figure)[-1] == dataset.inputs[highest, 0].numpy()).all()
    assert texts(figure)[0].startswith("price −")


def test_a_field_is_where_the_gradient_is_with_rectangles_of_both_sizes() -> None:
    conv = nn.Conv2d(1, 1, 5, padding=2)
    conv.weight.data.zero_()
    conv.weight.data[0, 0, 1:4, 1:4] = 1.0
    conv.bias.data.fill_(100.0)
    model = nn.Sequential(conv, nn.ReLU(), nn.Flatten(), nn.Linear(81, 3))
    figure = drawn(effective_receptive_fields, model, DATA, *PIXELS)
    (field,) = marks(figure, HeatMap)
    expected = np.zeros((9, 9))
    expected[3:6, 3:6] = 1
    np.testing.assert_allclose(field.values, expected, atol=1e-6)
    assert "5 × 5; 95% in 3 × 3" in texts(figure) and "conv 1, channel 0" in texts(figure)
    left, top, pixel = field.x[0], field.y[0], (field.x[1] - field.x[0]) / 9
    _, theory, effective = marks(figure, Box)
    for box, first, last in ((theory, 2, 7), (effective, 3, 6)):
        assert box.x == pytest.approx((left + first * pixel, left + last * pixel))
        assert box.y == pytest.approx((top + first * pixel, top + last * pixel))
    assert theory.color != effective.color and theory.dash != effective.dash
    assert "A unit of conv 1 can see 5 × 5 pixels (the image has 9 × 9)" in figure.caption
    assert "95% of its gradient lies in 3 × 3" in figure.caption


def test_deeper_units_see_more() -> None:
    deep = CNN((1, 9, 9), 3, channels=(3, 3), convolutions=2)
    figure = drawn(effective_receptive_fields, deep, DATA, *PIXELS)
    sizes = [text.split(";")[0] for text in texts(figure) if "95% in" in text]
    assert sizes == ["3 × 3", "5 × 5", "9 × 9", "9 × 9"]
    assert "for conv 1 these are 3 × 3 and" in figure.caption
