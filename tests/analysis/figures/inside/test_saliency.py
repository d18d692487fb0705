from dataclasses import replace

import numpy as np
import pytest
import torch
from analysis.figures.looked_at import PIXELS, drawn, images, marks, numbers, pictures, texts
from torch import Tensor, nn

from hw1.analysis.figures.inside.saliency import saliency
from hw1.analysis.figures.marks import HeatMap, Image
from hw1.models import MLP

DATA = images((1, 5, 6), 2)


class Corner(nn.Module):
    """Class 0 is brightness in the upper left corner; of two pixels, the second counts double."""

    def forward(self, inputs: Tensor) -> Tensor:
        bright = inputs[:, 0, 0, 0] + 2 * inputs[:, 0, 0, 1]
        return torch.stack([bright, -bright], 1)


def test_the_maps_are_those_of_the_pixels_that_count() -> None:
    bright = DATA.inputs.clone()
    bright[:, 0, 0, :2] = torch.where(DATA.targets == 0, 250, 3)[:, None].to(torch.uint8)
    dataset = replace(DATA, inputs=bright)
    figure = drawn(saliency, Corner(), dataset, *PIXELS)
    maps = marks(figure, HeatMap)
    assert len(maps) == 4
    for number, picture in enumerate(pictures(figure)):
        shown = torch.from_numpy(picture)
        example = int((bright[:, 0] == shown).flatten(1).all(1).nonzero()[0, 0])
        assert int(dataset.targets[example]) == number
        sensitivity, attributed = (one.values for one in maps[2 * number : 2 * number + 2])
        assert sensitivity[0, 1] == 255 and sensitivity[0, 0] in (127, 128)
        assert sensitivity.sum() < 384
        # Both raise the class that is predicted, the second pixel twice as much.
        added = attributed.astype(int) - 128
        assert added[0, 1] == 127 and abs(added[0, 0] - 63) <= 1
        assert np.abs(added).sum() - added[0, 0] - added[0, 1] <= 28
        assert f"class {number}" in texts(figure)
    assert texts(figure)[:2] == ["SmoothGrad", "integrated gradients"]
    assert "Half of that lies in 3% of the pixels" in figure.caption
    assert "100%" in texts(figure)


def bright_corners(values: list[float], targets: list[int]) -> list[str]:
    """What is written above images with such corners, and the caption."""
    pixels = torch.zeros(len(values), 1, 5, 6)
    pixels[:, 0, 0, 0] = torch.tensor(values)
    dataset = replace(DATA, inputs=pixels, targets=torch.tensor(targets))
    figure = drawn(saliency, Corner(), dataset)
    return [*texts(figure)[2:], figure.caption]


def test_an_image_of_median_probability_is_chosen() -> None:
    # Of class 0 three are right, and one, the most extreme, is wrong.
    name, probability, *_, caption = bright_corners([0.5, -9.0, 2.0, 1.0, -1.0], [0, 0, 0, 0, 1])
    expected = f"{torch.tensor([1.0, -1.0]).softmax(0)[0]:.0%}"
    assert (name, probability) == ("class 0", expected) and f"{expected} for class" in caption


def test_a_class_that_is_never_recognized_is_said() -> None:
    *_, name, probability, caption = bright_corners([1.0, 2.0, 3.0, 0.4], [0, 0, 1, 1])
    # The image of class 1 with its highest probability: exp(-0.4) against exp(0.4).
    assert (name, probability) == ("class 0", "69%, is class 1")
    assert "No image of class 1 is recognized." in caption


def test_of_a_regression_good_predictions_are_spread_over_the_target() -> None:
    class Knows(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return inputs[:, 0, 0, :1]

    dataset = images((1, 5, 6), 1, n=24, task="regression")
    pixels = torch.zeros(24, 1, 5, 6)
    good = dataset.targets[:, 0].argsort()[[1, 5, 11, 12, 18, 23]]
    error = torch.ones(24)
    error[good] = 0.125
    pixels[:, 0, 0, 0] = dataset.targets[:, 0] + error
    figure = drawn(saliency, Knows(), replace(dataset, inputs=pixels))
    true = [numbers(text[5:])[0] for text in texts(figure) if text.startswith("true")]
    np.testing.assert_allclose(true, dataset.targets[good, 0], rtol=0.01)
    assert "The predictions are off by 0.125 at most." in figure.caption


@pytest.mark.parametrize(("name", "n_shown"), [("class", 10), ("a class of a very long name", 6)])
def test_many_classes_and_long_names_leave_room_for_some(name: str, n_shown: int) -> None:
    dataset = images((1, 4, 4), 12, n=24)
    dataset = replace(dataset, class_names=tuple(f"{name} {i}" for i in range(12)))
    figure = drawn(saliency, MLP((1, 4, 4), 12, widths=()), dataset, *PIXELS)
    assert len(marks(figure, Image)) == n_shown and len(marks(figure, HeatMap)) == 2 * n_shown
    assert figure.caption.endswith(f" {n_shown} of 12 classes are shown.")
