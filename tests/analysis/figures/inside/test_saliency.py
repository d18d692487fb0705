from dataclasses import replace

import numpy as np
import pytest
import torch
from analysis.figures.looked_at import cells, heatmaps, images, network_of, table, texts
from torch import Tensor, nn

from hw1.analysis.figures.inside import saliency
from hw1.models import MLP


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The weights are the same in each run."""
    torch.manual_seed(0)


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
    figure = saliency(network_of(Corner(), dataset, 128.0, 70.0), dataset)
    assert figure is not None
    for number, label in enumerate(("class 0", "class 1")):
        image, sensitivity, attributed = heatmaps(figure)[3 * number : 3 * number + 3]
        shown = torch.from_numpy(cells(image, 5, 6))
        row = int((bright[:, 0] == shown).flatten(1).all(1).nonzero()[0, 0])
        assert int(dataset.targets[row]) == number
        found = cells(sensitivity, 5, 6)
        assert found[0, 1] == 255 and found[0, 0] in (127, 128) and found.sum() < 384
        # Both raise the class that is predicted, the second pixel twice as much.
        found = cells(attributed, 5, 6).astype(int) - 128
        assert found[0, 1] == 127 and abs(found[0, 0] - 63) <= 1
        assert np.abs(found).sum() - found[0, 0] - found[0, 1] <= 28
        assert label in texts(figure)
    assert texts(figure)[:2] == ["SmoothGrad", "integrated gradients"]
    assert "Half of that lies in 3% of the pixels" in figure.caption
    assert "100%" in texts(figure)


def test_a_right_row_of_median_probability_is_chosen() -> None:
    # Of class 0 three rows are right, and one, the most extreme, is wrong.
    pixels = torch.zeros(5, 1, 5, 6)
    pixels[:, 0, 0, 0] = torch.tensor([0.5, -9.0, 2.0, 1.0, -1.0])
    dataset = replace(DATA, inputs=pixels, targets=torch.tensor([0, 0, 0, 0, 1]))
    figure = saliency(network_of(Corner(), dataset), dataset)
    assert figure is not None
    expected = torch.tensor([1.0, -1.0]).softmax(0)[0]
    assert texts(figure)[2:4] == ["class 0", f"{expected:.0%}"]
    assert f"{expected:.0%} for class" in figure.caption


def test_a_class_that_is_never_recognised_is_said() -> None:
    pixels = torch.zeros(4, 1, 5, 6)
    pixels[:, 0, 0, 0] = torch.tensor([1.0, 2.0, 3.0, 0.4])
    dataset = replace(DATA, inputs=pixels, targets=torch.tensor([0, 0, 1, 1]))
    figure = saliency(network_of(Corner(), dataset), dataset)
    assert figure is not None
    # The row of class 1 with its highest probability: exp(-0.4) against exp(0.4).
    assert texts(figure)[4:] == ["class 0", "69%, is class 1"]
    assert "No row looked at is recognised of class 1." in figure.caption


def test_of_a_regression_good_predictions_are_spread_over_the_target() -> None:
    dataset = images((1, 5, 6), 1, n_rows=24, task="regression")

    class Knows(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return inputs[:, 0, 0, :1]

    pixels = torch.zeros(24, 1, 5, 6)
    order = dataset.targets[:, 0].argsort()
    error = torch.ones(24)
    error[order[[1, 5, 11, 12, 18, 23]]] = 0.125
    pixels[:, 0, 0, 0] = dataset.targets[:, 0] + error
    dataset = replace(dataset, inputs=pixels)
    figure = saliency(network_of(Knows(), dataset), dataset)
    assert figure is not None
    true = [float(text[5:].replace("−", "-")) for text in texts(figure) if text.startswith("true")]
    expected = dataset.targets[order[[1, 5, 11, 12, 18, 23]], 0]
    np.testing.assert_allclose(true, expected, rtol=0.01)
    assert "The predictions are off by 0.125 at most." in figure.caption


def test_many_classes_and_long_names_leave_room_for_some() -> None:
    for n, names, shown in ((12, "class", 10), (12, "a class of a very long name", 6)):
        dataset = images((1, 4, 4), n, n_rows=24)
        dataset = replace(dataset, class_names=tuple(f"{names} {i}" for i in range(n)))
        figure = saliency(network_of(MLP((1, 4, 4), n, widths=()), dataset, 128.0, 70.0), dataset)
        assert figure is not None
        assert len(heatmaps(figure)) == 3 * shown
        assert figure.caption.endswith(f"Shown are {shown} of 12 classes.")


def test_rows_that_are_no_images_have_none() -> None:
    rows = table(3, 2)
    assert saliency(network_of(MLP((3,), 2), rows), rows) is None
