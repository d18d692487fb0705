from dataclasses import replace

import numpy as np
import pytest
import torch
from analysis.figures.looked_at import (
    PIXELS,
    drawn,
    images,
    looked_at,
    marks,
    network_of,
    numbers,
    pictures,
    texts,
)
from torch import nn

from hw1.analysis.figures.inside.maximization import maximized_outputs, maximized_units
from hw1.analysis.figures.inside.subject import Subject
from hw1.analysis.figures.marks import Figure, Image
from hw1.analysis.network import Network
from hw1.models import CNN, MLP

DATA = images((1, 6, 6), 3)


def halves(n_outputs: int) -> nn.Sequential:
    """Outputs that say how bright the upper half is, and how dark the lower one."""
    layer = nn.Linear(36, n_outputs)
    layer.weight.data[:] = torch.tensor([0.5, -0.5]).repeat_interleave(18)
    layer.bias.data.zero_()
    return nn.Sequential(nn.Flatten(), layer)


def test_each_class_has_an_image_with_its_logits() -> None:
    network = network_of(halves(3), DATA, 128.0, 64.0)
    figure = drawn(maximized_outputs, halves(3), DATA, 128.0, 64.0)
    heading, *labels = texts(figure)
    assert heading == "logit → after shifts by 1 pixel → by 2 pixels"
    assert labels[::2] == ["class 0", "class 1", "class 2"]
    for picture, label in zip(pictures(figure), labels[1::2], strict=True):
        assert picture[:2].min() > 180 and picture[4:].max() < 75
        # The logit of the image shown, but for the rounding of its pixels.
        logit, by_one, by_two = numbers(label)
        with torch.no_grad():
            shown = float(network(torch.from_numpy(picture)[None, None])[0, 0])
        assert logit == pytest.approx(shown, rel=0.02)
        assert logit > by_one > by_two
    assert "falls most when its image is shifted by a pixel: from" in figure.caption
    with torch.no_grad():
        typical = float(network(DATA.inputs).gather(1, DATA.targets[:, None]).mean())
    said = figure.caption.split("mean logit of ")[1].split(" ")[0]
    assert numbers(said)[0] == pytest.approx(typical, rel=0.01)


def test_predictions_are_in_the_targets_units() -> None:
    dataset = images((1, 6, 6), 2, task="regression")
    plain = network_of(halves(2), dataset, 128.0, 64.0)
    scale, shift = torch.tensor([10.0, 1.0]), torch.tensor([500.0, 0.0])
    scaled = Network(plain.network, plain.input_mean, plain.input_std, shift, scale)
    figures = [maximized_outputs(Subject(n, n, dataset)) for n in (plain, scaled)]
    assert all(isinstance(figure, Figure) for figure in figures)
    before, after = (texts(figure) for figure in figures if figure)
    assert after[1::2] == ["price, output 1", "price, output 2"] and after[4] == before[4]
    expected = [10 * value + 500 for value in numbers(before[2])]
    assert numbers(after[2]) == pytest.approx(expected, rel=0.01)
    highest = f"{float(dataset.targets[:, 0].max()):.4g}"
    said = f"The highest price of the training examples is {highest}."
    assert figures[1] and said in figures[1].caption


def test_ten_classes_are_enough_and_pixels_may_be_any_numbers() -> None:
    dataset = replace(images((3, 4, 4), 25, n=50), inputs=torch.rand(50, 3, 4, 4) * 3 + 2)
    figure = drawn(maximized_outputs, MLP((3, 4, 4), 25, widths=()), dataset, 3.5, 0.9)
    assert [picture.shape for picture in pictures(figure)] == [(4, 4, 3)] * 10
    assert figure.caption.endswith(" 10 of 25 classes are shown.")
    assert texts(figure)[1] == "class 0" and texts(figure)[-2] == "class 24"


def test_hidden_units_have_images_and_their_activations() -> None:
    model = nn.Sequential(*halves(4), nn.ReLU(), nn.Linear(4, 3))
    network = network_of(model, DATA, 128.0, 64.0)
    figure = drawn(maximized_units, model, DATA, 128.0, 64.0)
    title, *labels = texts(figure)
    assert title == "linear 1: 4 units"
    for unit, (label, picture) in enumerate(zip(labels, pictures(figure), strict=True)):
        number, activation = label.split(": ")
        with torch.no_grad():
            inputs = network.normalize(torch.from_numpy(picture)[None, None])
            shown = float(model[:3](inputs)[0, unit])
        assert int(number) == unit and float(activation) == pytest.approx(shown, rel=0.02)
        assert picture[:2].min() > 180
    with torch.no_grad():
        highest = float(model[:3](network.normalize(DATA.inputs)).max())
    times = float(labels[0].split(": ")[1]) / highest
    said = float(figure.caption.split("activations are ")[1].split(" times")[0])
    assert said == pytest.approx(times, rel=0.02)


def test_units_without_a_gradient_are_left_out_and_counted() -> None:
    model = nn.Sequential(*halves(4), nn.ReLU(), nn.Linear(4, 3))
    model[1].bias.data[:3] = -1000.0
    figure = drawn(maximized_units, model, DATA, 128.0, 64.0)
    assert texts(figure)[0] == "linear 1: 1 of 4 units" and len(pictures(figure)) == 1
    assert "For 3 other units no image above the mean activation was found" in figure.caption
    model[1].bias.data[:] = -1000.0
    assert maximized_units(looked_at(model, DATA, 128.0, 64.0)) is None


def test_the_layer_in_the_middle_and_the_last_are_shown() -> None:
    model = CNN((1, 8, 8), 2, channels=(3, 9, 2), activation="tanh")
    figure = drawn(maximized_units, model, images((1, 8, 8), 2), *PIXELS)
    headings = [text for text in texts(figure) if text.startswith("conv")]
    assert headings == ["conv 2: 8 of 9 channels", "conv 3: 2 channels"]
    assert np.ptp([image.x[1] - image.x[0] for image in marks(figure, Image)]) < 1e-9
    assert "(of a channel the mean over its positions)" in figure.caption
