import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hw1.training import Configuration
from hw1.training.augmentation import VIEWS, Views, augment, flip_turns, seen
from hw1.training.keys import keys

HEIGHT, WIDTH = 9, 7
# Every pixel of every image is a different number and none is black.
IMAGES = torch.arange(1, 1 + 2 * 3 * 2 * HEIGHT * WIDTH).reshape(2, 3, 2, HEIGHT, WIDTH)


def moved(image: Tensor, down: int, right: int) -> Tensor:
    """The image moved by slicing, black where nothing moves in."""
    out = torch.zeros_like(image)
    rows, columns = range(HEIGHT), range(WIDTH)
    for row in rows:
        for column in columns:
            if row - down in rows and column - right in columns:
                out[..., row, column] = image[..., row - down, column - right]
    return out


@settings(deadline=None)
@given(st.integers(0, 2**62), st.booleans(), st.integers(0, 3))
def test_every_image_is_one_of_the_flips_and_shifts(seed: int, flip: bool, shift: int) -> None:
    c = Configuration(flip=flip, shift=shift)
    result = augment(IMAGES, [c, c], keys([seed, seed + 1]))
    for image, new in zip(IMAGES.flatten(0, 1), result.flatten(0, 1), strict=True):
        sources = [image, image.flip(-1)] if flip else [image]
        steps = range(-shift, shift + 1)
        assert any(
            torch.equal(new, moved(source, down, right))
            for source in sources
            for down in steps
            for right in steps
        )


@pytest.mark.parametrize("views", VIEWS)
def test_views_are_the_image_its_shifts_by_a_pixel_and_their_mirror_images(views: Views) -> None:
    expected = [IMAGES]
    if views in ("shifted", "all"):
        expected += [moved(IMAGES, *by) for by in [(1, 0), (-1, 0), (0, 1), (0, -1)]]
    if views in ("mirrored", "all"):
        expected += [view.flip(-1) for view in expected]
    found = list(seen(IMAGES, views))
    assert len(found) == {"one": 1, "mirrored": 2, "shifted": 5, "all": 10}[views]
    assert all(torch.equal(*two) for two in zip(found, expected, strict=True))


def test_flips_and_shifts_are_drawn_evenly() -> None:
    image = torch.zeros(1, 1, 1, 5, 5)
    image[..., 2, 1] = 1
    n = 9000
    result = augment(
        image.expand(1, n, 1, 5, 5), [Configuration(flip=True, shift=1)], keys([3])
    ).flatten(0, 2)
    spots = result.flatten(1).argmax(1)
    rows, columns = np.bincount(spots // 5, minlength=5), np.bincount(spots % 5, minlength=5)
    # Rows 1 to 3 by the shift; column 1 becomes 3 by the flip, then moves by one at most.
    expected_rows = n * np.array([0, 1, 1, 1, 0]) / 3
    expected_columns = n * np.array([1, 1, 2, 1, 1]) / 6
    assert np.abs(rows - expected_rows).max() < 4.5 * n**0.5 / 2
    assert np.abs(columns - expected_columns).max() < 4.5 * n**0.5 / 2


@settings(deadline=None)
@given(st.integers(0, 2**62), st.integers(0, 1000))
def test_alternating_flips_mirror_an_image_in_every_other_epoch(seed: int, epoch: int) -> None:
    alternating, random, off = (Configuration(flip=f) for f in ("alternating", True, False))
    key, images = keys([seed, seed + 1, seed + 2]), IMAGES[:1].expand(3, *IMAGES.shape[1:])
    rows = torch.tensor([[5, 0, 70_000], [5, 0, 70_000], [0, 5, 70_000]])
    mirrored = []
    for e in range(epoch, epoch + 4):
        turns = flip_turns(key, rows, torch.full((3,), e))
        result = augment(images, [alternating, random, off], keys([e, seed, seed]), turns)
        assert torch.equal(result[2], images[2])
        expected = augment(images, [random] * 3, keys([e, seed, seed]))
        assert torch.equal(result[1], expected[1])
        for image, new in zip(images[0], result[0], strict=True):
            assert any(torch.equal(new, i) for i in (image, image.flip(-1)))
        mirrored.append([not torch.equal(*two) for two in zip(images[0], result[0], strict=True)])
    first, second, *others = mirrored
    assert others == [first, second] and second == [not m for m in first]


def test_alternating_flips_begin_at_random_with_a_model_and_an_image() -> None:
    n = 4000
    rows = torch.arange(n).expand(2, n)
    turns = flip_turns(keys([1, 2]), rows, torch.zeros(2, dtype=torch.int64)).double()
    assert (turns.mean(1) - 0.5).abs().max() < 4.5 * 0.5 / n**0.5
    assert abs(float(torch.corrcoef(turns)[0, 1])) < 4.5 / n**0.5
    # An image's turn is its own, wherever it stands.
    order = torch.randperm(n)
    shuffled = flip_turns(keys([1, 2]), rows[:, order], torch.zeros(2, dtype=torch.int64)).double()
    assert torch.equal(shuffled, turns[:, order])


@settings(deadline=None)
@given(st.integers(0, 2**62))
def test_erasing_blackens_one_rectangle_of_a_fitting_size(seed: int) -> None:
    images = torch.full((1, 20, 2, 28, 28), 200, dtype=torch.uint8)
    result = augment(images, [Configuration(erase=1.0)], keys([seed]))
    assert result.dtype == torch.uint8
    for image in result[0]:
        assert torch.equal(image[0], image[1])
        hole = (image[0] == 0).numpy()
        rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
        assert len(rows)
        assert hole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert hole.sum() == len(rows) * len(columns)
        assert 0.01 < hole.mean() < 0.36


def test_erasing_spares_its_share() -> None:
    n = 4000
    images = torch.ones(1, n, 1, 12, 12)
    result = augment(images, [Configuration(erase=0.3)], keys([8]))
    share = float((result == 0).flatten(2).any(2).double().mean())
    assert share == pytest.approx(0.3, abs=4.5 * (0.3 * 0.7 / n) ** 0.5)
