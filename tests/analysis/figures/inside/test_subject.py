import numpy as np
import pytest
import torch
from analysis.figures.looked_at import images, network_of, table
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hw1.analysis.figures.inside.sample import (
    as_pictures,
    evenly,
    find_layers,
    most_varying,
    outputs_of,
    pixel_range,
    shown_classes,
    take_sample,
    unit_activations,
)
from hw1.datasets import Dataset
from hw1.models import CNN


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The weights are the same in each run."""
    torch.manual_seed(0)


def of_classes(classes: list[int]) -> Dataset:
    rows = torch.arange(len(classes), dtype=torch.float32)[:, None]
    return Dataset("toy", "classification", rows, torch.tensor(classes), class_names=tuple("abcd"))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(1, 60), st.integers(0, 9))
def test_a_sample_has_the_same_share_of_each_class(classes: list[int], n: int, seed: int) -> None:
    dataset = of_classes(classes)
    sample = take_sample(dataset, seed, n)
    rows = sample.inputs[:, 0].long()
    assert len(sample) == min(n, len(classes)) and (rows.diff() > 0).all()
    assert torch.equal(sample.targets, dataset.targets[rows])
    counts = np.bincount(classes, minlength=4)
    taken = np.bincount(sample.targets, minlength=4)
    share = len(sample) / len(classes)
    assert (np.abs(taken - share * counts) <= 4).all()
    if n >= (counts > 0).sum():
        assert ((taken > 0) == (counts > 0)).all()


def test_a_sample_depends_on_the_seed_alone() -> None:
    dataset = table(2, 1, n_rows=100, task="regression")
    first, again, other = (take_sample(dataset, seed, 40) for seed in (0, 0, 1))
    assert torch.equal(first.inputs, again.inputs)
    assert not torch.equal(first.inputs, other.inputs)


@given(st.integers(1, 200), st.integers(1, 20))
def test_items_are_spread_from_the_first_to_the_last(n_items: int, n: int) -> None:
    chosen = evenly(range(n_items), n)
    assert len(chosen) == min(n, n_items)
    if n > 1:
        assert (chosen[0], chosen[-1]) == (0, n_items - 1)
        steps = np.diff(chosen) if len(chosen) > 1 else np.ones(1)
        assert steps.min() > 0 and steps.max() - steps.min() <= 1


def test_classes_without_rows_are_not_shown_and_ten_are_enough() -> None:
    assert shown_classes(of_classes([2, 0, 2])) == [0, 2]
    assert shown_classes(images((1, 2, 2), 25)) == evenly(range(25), 10)


def test_hidden_layers_have_titles_and_shapes() -> None:
    dataset = images((1, 8, 8), 3)
    network = network_of(CNN((1, 8, 8), 3, channels=(4,), hidden=5), dataset)
    first, second = find_layers(network, dataset)
    assert (first.title, first.shape, first.unit, first.has_maps) == (
        "conv 1",
        (4, 8, 8),
        "channel",
        True,
    )
    assert (second.title, second.n_units, second.unit, second.has_maps) == (
        "linear 2",
        5,
        "unit",
        False,
    )
    found = unit_activations(network, dataset.inputs, [first, second])
    maps = network.network.features[:3](network.normalise(dataset.inputs))  # type: ignore[index]
    expected = maps.mean((2, 3)).detach().numpy()
    np.testing.assert_allclose(found[first.name], expected, atol=1e-5)
    assert found[second.name].shape == (30, 5)


def test_the_most_varying_units_are_chosen_in_order() -> None:
    rows = np.random.default_rng(0).normal(size=(500, 5)) * [3, 1, 0, 5, 2]
    assert most_varying(rows, 3).tolist() == [0, 3, 4]


def test_predictions_are_those_of_evaluation_mode() -> None:
    dataset = table(3, 2)
    network = network_of(nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.9)), dataset).train()
    expected = network.network[0](dataset.inputs)  # type: ignore[index]
    torch.testing.assert_close(outputs_of(network, dataset.inputs), expected)
    assert network.training


def test_images_become_pictures() -> None:
    grey = as_pictures(torch.tensor([[[[-1.0, 0.0, 1.0, 9.0]]]]), -1, 1)
    assert grey.tolist() == [[[0, 128, 255, 255]]]
    coloured = as_pictures(torch.tensor([0.0, 1.0, 0.2]).view(1, 3, 1, 1), 0, 1)
    assert coloured.tolist() == [[[[0, 255, 51]]]]
    assert as_pictures(torch.tensor([0.0, 1.0]).view(1, 2, 1, 1), 0, 1).tolist() == [[[128]]]
    assert as_pictures(torch.full((1, 1, 1, 1), torch.nan), 0, 1).tolist() == [[[0]]]


def test_pixels_reach_as_far_as_they_can() -> None:
    assert pixel_range(images((1, 2, 2), 2)) == (0, 255)
    floats = Dataset("toy", "regression", torch.tensor([[[[-2.0, 3.0]]]]), torch.zeros(1, 1))
    assert pixel_range(floats) == (-2, 3)
