import numpy as np
import pytest
import torch
from analysis.figures.looked_at import heatmaps, images, network_of, table, texts
from torch import nn

from hw1.analysis.figures.inside import unit_profiles
from hw1.datasets import Dataset
from hw1.models import CNN, MLP


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The weights are the same in each run."""
    torch.manual_seed(0)


def relu_of(weight: torch.Tensor) -> nn.Sequential:
    """One hidden layer with these weights."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data = weight
    return nn.Sequential(layer, nn.ReLU(), nn.Linear(weight.shape[0], 1))


def one_hot(n_classes: int, n_rows: int = 60) -> Dataset:
    targets = torch.arange(n_rows) % n_classes
    inputs = nn.functional.one_hot(targets, n_classes).float()
    names = tuple("abcdefghijklmnopqrst"[:n_classes])
    return Dataset("toy", "classification", inputs, targets, class_names=names)


def test_units_are_sorted_by_the_class_they_answer_to() -> None:
    dataset = one_hot(4)
    order = [2, 0, 3, 1]  # unit 0 answers to class 2
    network = network_of(relu_of(torch.eye(4)[order]), dataset)
    figure = unit_profiles(network, dataset)
    assert figure is not None
    (heatmap,) = heatmaps(figure)
    # A unit that is 1 for a quarter of the rows has the mean 1/4, the deviation sqrt(3)/4.
    expected = np.where(np.eye(4, dtype=bool), 3, -1) / np.sqrt(3)
    np.testing.assert_allclose(heatmap.z, expected, atol=1e-3)
    assert heatmap.hovertext[0][0] == "unit 1, a: 1.73 SD"
    assert list(figure.plot.layout.xaxis.ticktext) == ["a", "b", "c", "d"]
    assert texts(figure) == ["linear 1: 4 units"]
    assert "The class explains 100% of a unit's variance in linear 1" in figure.caption
    assert "1.73 for a." in figure.caption


def test_dead_units_answer_to_nothing_and_come_last() -> None:
    dataset = one_hot(3)
    weight = torch.eye(3)
    weight[0] = -1
    figure = unit_profiles(network_of(relu_of(weight), dataset), dataset)
    assert figure is not None
    (heatmap,) = heatmaps(figure)
    assert (heatmap.z[2] == 0).all() and (heatmap.z[:2] != 0).all()


def test_only_the_most_varying_of_many_units_and_some_of_many_classes_are_shown() -> None:
    dataset = one_hot(20, 400)
    weight = torch.rand(90, 20, generator=torch.Generator().manual_seed(0))
    weight[5] = 0.5 + 1e-3 * torch.arange(20)
    figure = unit_profiles(network_of(relu_of(weight), dataset), dataset)
    assert figure is not None
    (heatmap,) = heatmaps(figure)
    assert heatmap.z.shape == (64, 10)
    assert not any(row[0].startswith("unit 5,") for row in heatmap.hovertext)
    assert texts(figure) == ["linear 1: 64 of 90"]
    assert figure.caption.endswith("Shown are 10 of 20 classes.")


def test_channels_are_shown_by_their_mean_over_positions() -> None:
    dataset = images((1, 8, 8), 3)
    network = network_of(CNN((1, 8, 8), 3, channels=(4, 5)), dataset, 128.0, 70.0)
    figure = unit_profiles(network, dataset)
    assert figure is not None
    first, second = heatmaps(figure)
    assert (first.z.shape, second.z.shape) == ((4, 3), (5, 3))
    inner = network.network.features[:3]  # type: ignore[index]
    with torch.no_grad():
        found = inner(network.normalise(dataset.inputs)).mean((2, 3)).double()
    means = torch.stack([found[dataset.targets == c].mean(0) for c in range(3)])
    effects = ((means - found.mean(0)) / found.std(0, correction=0)).T
    numbers = [int(row[0].split(",")[0].split()[1]) for row in first.hovertext]
    np.testing.assert_allclose(first.z, effects[numbers], atol=2e-3)


def test_a_regression_has_bins_of_as_many_rows() -> None:
    x = torch.arange(100.0)[:, None]
    dataset = Dataset("toy", "regression", x, 10 * x + 5, target_name="price")
    figure = unit_profiles(network_of(relu_of(torch.tensor([[1.0], [-1.0]])), dataset), dataset)
    assert figure is not None
    (heatmap,) = heatmaps(figure)
    expected = (np.arange(10) * 10 + 4.5 - 49.5) / np.arange(100).std()
    np.testing.assert_allclose(heatmap.z[0], expected, atol=1e-3)
    assert (heatmap.z[1] == 0).all()  # -x is never above zero
    assert heatmap.hovertext[0][0] == "unit 0, 50: −1.56 SD"
    assert figure.plot.layout.xaxis.title.text == "price"
    assert figure.plot.layout.xaxis.ticktext[0] == "150"
    assert "group of rows of similar price" in figure.caption


@pytest.mark.parametrize(("n_layers", "n_shown"), [(3, 3), (7, 7), (20, 8)])
def test_each_layer_has_a_panel(n_layers: int, n_shown: int) -> None:
    dataset = table(2, 2)
    figure = unit_profiles(network_of(MLP((2,), 2, widths=(3,) * n_layers), dataset), dataset)
    assert figure is not None
    titles = texts(figure)
    assert len(titles) == len(heatmaps(figure)) == n_shown
    assert (titles[0], titles[-1]) == ("linear 1: 3 units", f"linear {n_layers}: 3 units")
    assert (f"Shown are 8 of {n_layers} layers." in figure.caption) == (n_layers > n_shown)


def test_without_hidden_layers_or_with_one_class_there_is_none() -> None:
    assert unit_profiles(network_of(MLP((2,), 2, widths=()), table(2, 2)), table(2, 2)) is None
    assert unit_profiles(network_of(MLP((2,), 1), table(2, 1)), table(2, 1)) is None
