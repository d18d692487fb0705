import numpy as np
import pytest
import torch
from analysis.figures.looked_at import cells, heatmaps, images, network_of, table, texts
from torch import nn

from hw1.analysis.figures.inside import first_layer_weights
from hw1.analysis.figures.style import Figure
from hw1.analysis.network import Network
from hw1.datasets import Dataset
from hw1.models import CNN, MLP


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The weights are the same in each run."""
    torch.manual_seed(0)


def drawn(network: Network, dataset: Dataset) -> Figure:
    figure = first_layer_weights(network, dataset)
    assert figure is not None
    return figure


def test_each_kernel_is_shown_on_a_common_scale_around_zero() -> None:
    dataset = images((1, 8, 8), 2)
    network = network_of(CNN((1, 8, 8), 2, channels=(5,)), dataset)
    kernels = network.network.features[0].weight  # type: ignore[index, union-attr]
    kernels.data[2] *= 0.001
    figure = drawn(network, dataset)
    tiles = heatmaps(figure)
    assert len(tiles) == 5
    for unit, tile in enumerate(tiles):
        np.testing.assert_allclose(cells(tile, 3, 3), kernels[unit, 0].detach(), rtol=1e-6)
        assert tile.hovertemplate.startswith(f"kernel {unit}: ")
    axis = figure.plot.layout.coloraxis
    assert axis.cmin == -axis.cmax < 0 and axis.colorbar.title.text == "weight"
    assert 0 < axis.cmax <= float(kernels.detach().abs().max())
    assert "The 5 kernels of conv 1 on a common scale" in figure.caption
    assert "1 are below a tenth of the largest" in figure.caption


def test_colours_are_shown_side_by_side_and_other_channels_as_their_mean() -> None:
    for channels, expected in ((3, 3), (2, 1), (5, 1)):
        dataset = images((channels, 8, 8), 2)
        network = network_of(CNN(dataset.input_shape, 2, channels=(4,)), dataset)
        kernels = network.network.features[0].weight.detach()  # type: ignore[index, union-attr]
        figure = drawn(network, dataset)
        tiles = heatmaps(figure)
        assert len(tiles) == 4 * expected
        first = kernels[0] if channels == 3 else kernels[0].mean(0, keepdim=True)
        for part, tile in zip(first, tiles, strict=False):
            np.testing.assert_allclose(cells(tile, 3, 3), part, rtol=1e-5)
        assert ("red, green and blue" in figure.caption) == (channels == 3)
        assert (f"mean over {channels} channels" in figure.caption) == (expected == 1)
    assert heatmaps(figure)[0].y0 == heatmaps(figure)[1].y0


def test_of_many_kernels_those_of_the_largest_norm_are_shown() -> None:
    dataset = images((1, 8, 8), 2)
    network = network_of(CNN((1, 8, 8), 2, channels=(70,)), dataset)
    kernels = network.network.features[0].weight  # type: ignore[index, union-attr]
    kernels.data[[0, 3, 10, 20, 30, 69]] *= 1e-3
    figure = drawn(network, dataset)
    shown = [int(tile.hovertemplate.split(":")[0].split()[1]) for tile in heatmaps(figure)]
    assert shown == [i for i in range(70) if i not in (0, 3, 10, 20, 30, 69)]
    assert "Of the 70 kernels of conv 1 the 64 of the largest norm" in figure.caption


def test_a_linear_layer_on_images_has_weight_images_and_a_linear_model_classes() -> None:
    dataset = images((1, 5, 6), 3)
    layer = nn.Linear(30, 3)
    layer.weight.data.zero_()
    layer.weight.data[:, :2] = 1.0
    figure = drawn(network_of(nn.Sequential(nn.Flatten(), layer), dataset), dataset)
    assert texts(figure) == ["class 0", "class 1", "class 2"]
    expected = np.zeros((5, 6))
    expected[0, :2] = 1
    for tile in heatmaps(figure):
        assert (cells(tile, 5, 6) == expected).all()
    assert "Half of the squared weights belong to 1 of 30 pixels" in figure.caption
    hidden = drawn(network_of(MLP((1, 5, 6), 3, widths=(4,)), dataset), dataset)
    assert texts(hidden) == [] and len(heatmaps(hidden)) == 4


def test_a_table_has_weights_by_feature_the_strongest_first() -> None:
    dataset = table(3, 2)
    network = network_of(MLP((3,), 2, widths=(4,)), dataset)
    weight = torch.tensor([[0.1, 3, 0], [0, -2, 0.2], [0.1, 4, 0.3], [0, 1, -1.5]])
    network.network.layers[1].weight.data = weight  # type: ignore[index, union-attr]
    figure = drawn(network, dataset)
    (heatmap,) = heatmaps(figure)
    assert list(heatmap.y) == ["feature 2", "feature 3", "feature 1"]
    # Those that rest on feature 2, the largest weight first; then the one on feature 3.
    assert list(heatmap.x) == ["unit 2", "unit 0", "unit 1", "unit 3"]
    np.testing.assert_allclose(heatmap.z, weight[[2, 0, 1, 3]][:, [1, 2, 0]].T)
    assert (heatmap.zmin, heatmap.zmax) == (-4, 4)
    assert "first: feature 2 (root mean square 2.74)" in figure.caption


def test_there_is_nothing_to_see_in_a_single_feature_or_pixel() -> None:
    one = table(1, 1, task="regression")
    assert first_layer_weights(network_of(MLP((1,), 1), one), one) is None
    dataset = images((3, 4, 4), 2)
    pointwise = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(32, 2))
    assert first_layer_weights(network_of(pointwise, dataset), dataset) is None
