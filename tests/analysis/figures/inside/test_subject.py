import numpy as np
import pytest
import torch
from analysis.figures.looked_at import images, looked_at, table
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from hw1.analysis.figures.inside.subject import evenly, take_sample
from hw1.analysis.figures.layout import as_bytes
from hw1.datasets import Dataset
from hw1.models import CNN


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
    dataset = table(2, 1, n=100, task="regression")
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


def test_classes_without_examples_are_not_shown_and_ten_are_enough() -> None:
    nothing = nn.Identity()
    assert looked_at(nothing, of_classes([2, 0, 2])).classes == [0, 2]
    assert looked_at(nothing, images((1, 2, 2), 25)).classes == evenly(range(25), 10)


def test_hidden_layers_have_titles_and_shapes() -> None:
    dataset = images((1, 8, 8), 3)
    model = CNN((1, 8, 8), 3, channels=(4,), hidden=5)
    subject = looked_at(model, dataset)
    first, second = subject.layers
    assert (first.shape, first.has_maps, second.shape, second.has_maps) == (
        (4, 8, 8),
        True,
        (5,),
        False,
    )
    assert first.heading(4) == "conv 1: 4 channels"
    assert second.heading(2) == "linear 2: 2 of 5 units"
    found = subject.activations([first, second], dataset.inputs)
    maps = model.features[:3](dataset.inputs.float())
    np.testing.assert_allclose(found[first.name], maps.mean((2, 3)).detach(), atol=1e-4)
    assert found[second.name].shape == (30, 5)


def test_predictions_are_those_of_evaluation_mode() -> None:
    dataset = table(3, 2)
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.9))
    subject = looked_at(model, dataset)
    subject.trained.train()
    torch.testing.assert_close(subject.outputs(dataset.inputs), model[0](dataset.inputs))
    assert subject.trained.training


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        # The first and the last pixel are the darkest and the brightest.
        ([[[[-1.0, 0.0, 1.0]]]], [[[0, 128, 255]]]),
        ([[[[0.0, 0.2]], [[1.0, 0.0]], [[0.2, 1.0]]]], [[[[0, 255, 51], [51, 0, 255]]]]),
        ([[[[0.0]], [[1.0]]]], [[[128]]]),
        ([[[[torch.nan, 0.0, 1.0]]]], [[[0, 0, 255]]]),
    ],
)
def test_images_become_pictures(pixels: list[object], expected: list[object]) -> None:
    inputs = torch.tensor(pixels)
    dataset = Dataset("toy", "regression", inputs.nan_to_num(), torch.zeros(1, 1))
    assert looked_at(nn.Identity(), dataset).pictures(inputs).tolist() == expected


def test_bytes_are_shown_as_they_are_and_what_lies_beyond_is_cut_off() -> None:
    subject = looked_at(nn.Identity(), images((1, 2, 2), 2))
    assert subject.pixel_range == (0, 255)
    assert (subject.pictures(subject.sample.inputs) == subject.sample.inputs[:, 0].numpy()).all()
    assert as_bytes(Tensor([-9, 1, 2, 9]), 1, 3).tolist() == [0, 0, 128, 255]
    assert as_bytes(Tensor([5, 5]), 5, 5).tolist() == [0, 0]
