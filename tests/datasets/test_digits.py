from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from hw1.datasets import Dataset, Part
from hw1.datasets import digits as module

NOWHERE = Path("no-such-folder")


@pytest.fixture(scope="module")
def parts() -> dict[Part, Dataset]:
    return {"train": module.load("train", NOWHERE), "test": module.load("test", NOWHERE)}


def rows(data: Dataset) -> list[tuple[int, ...]]:
    """Each example as its 64 gray levels and its digit."""
    flat = torch.cat([data.inputs.flatten(1).long(), data.targets[:, None]], dim=1)
    return [tuple(row) for row in flat.tolist()]


def test_parts_are_grey_images_of_8_by_8_pixels_in_10_classes(parts: dict[Part, Dataset]) -> None:
    for data, n_rows in ((parts["train"], 1437), (parts["test"], 360)):
        assert data.task == "classification"
        assert data.inputs.shape == (n_rows, 1, 8, 8)
        assert data.inputs.dtype == torch.uint8
        assert data.targets.shape == (n_rows,)
        assert data.targets.dtype == torch.int64
        assert data.class_names == tuple("0123456789")
        assert (data.input_shape, data.n_outputs) == ((1, 8, 8), 10)


def test_the_parts_share_no_row_and_are_all_digits_of_scikit_learn(
    parts: dict[Part, Dataset],
) -> None:
    truth = load_digits()
    whole = [
        (*(int(level) for level in image), int(digit))
        for image, digit in zip(truth.data, truth.target, strict=True)
    ]
    assert len(set(whole)) == 1797  # so that equal rows would be the same row
    assert sorted(rows(parts["train"]) + rows(parts["test"])) == sorted(whole)


def test_every_digit_has_its_fair_share_of_the_test_part(parts: dict[Part, Dataset]) -> None:
    total = np.bincount(load_digits().target)
    test = np.bincount(parts["test"].targets.numpy())
    assert (np.abs(test - total * 360 / 1797) < 1).all()
    np.testing.assert_array_equal(np.bincount(parts["train"].targets.numpy()), total - test)


def test_loading_again_gives_the_same_rows(parts: dict[Part, Dataset]) -> None:
    np.random.seed(5)
    for part, data in parts.items():
        again = module.load(part, Path())
        assert torch.equal(again.inputs, data.inputs)
        assert torch.equal(again.targets, data.targets)
