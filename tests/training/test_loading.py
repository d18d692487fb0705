import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hw1.training import Configuration
from hw1.training.augmentation import augment, draw
from hw1.training.keys import keys
from hw1.training.loading import load

NOTHING = np.empty((0, 7), np.int32)
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (20, 2, 9, 7), dtype=np.uint8)
MEAN, STD = np.array([100.0, 30.0], np.float32), np.array([50.0, 3.0], np.float32)


def loaded(inputs: np.ndarray, rows: np.ndarray, moves: np.ndarray) -> np.ndarray:
    image = (inputs.shape[2], inputs.shape[3]) if inputs.ndim == 4 else (1, 1)
    flat = inputs.reshape(len(inputs), -1)
    out = np.empty((len(rows), flat.shape[1]), np.float32)
    load(flat, rows, image, MEAN, STD, moves, out)
    return out.reshape(len(rows), *inputs.shape[1:])


@settings(deadline=None)
@given(st.integers(0, 2**62), st.booleans(), st.integers(0, 12), st.sampled_from([0.0, 0.6, 1.0]))
def test_images_are_those_that_are_augmented_and_normalized(
    seed: int, flip: bool, shift: int, erase: float
) -> None:
    configuration = Configuration(flip=flip, shift=shift, erase=erase)
    rows = np.array([3, 0, 19, 3, 7])
    moves = draw([configuration], keys([seed]), len(rows), IMAGES.shape[2:])[0]
    result = loaded(IMAGES, rows, moves.numpy())
    expected = augment(torch.from_numpy(IMAGES[rows]), moves).numpy()
    expected = (expected - MEAN[:, None, None]) / STD[:, None, None]
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_rows_that_are_not_changed_are_normalized(dtype: type) -> None:
    table = RANDOM.integers(0, 200, (11, 2)).astype(dtype)
    rows = np.array([10, 10, 0])
    expected = (table[rows].astype(np.float32) - MEAN) / STD
    np.testing.assert_allclose(loaded(table, rows, NOTHING), expected, rtol=1e-6)
    images = loaded(IMAGES, rows, NOTHING)
    expected = (IMAGES[rows] - MEAN[:, None, None]) / STD[:, None, None]
    np.testing.assert_allclose(images, expected, rtol=1e-5)
