from dataclasses import replace

import numpy as np
import pytest
import torch
from analysis.figures.looked_at import cells, heatmaps, images, network_of, table, texts
from torch import nn

from hw1.analysis.figures.inside import maximized_outputs, maximized_units
from hw1.analysis.network import Network
from hw1.models import CNN, MLP


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The weights are the same in each run."""
    torch.manual_seed(0)


DATA = images((1, 6, 6), 3)


def halves(n_outputs: int, bias: float = 0.0) -> nn.Sequential:
    """Outputs that say how bright the upper half is, and how dark the lower one."""
    layer = nn.Linear(36, n_outputs)
    layer.weight.data[:] = torch.tensor([0.5, -0.5]).repeat_interleave(18)
    layer.bias.data.fill_(bias)
    return nn.Sequential(nn.Flatten(), layer)


def numbers(text: str) -> list[float]:
    return [float(part.replace("−", "-").replace(",", "")) for part in text.split(" → ")]


def test_each_class_has_an_image_with_its_logits() -> None:
    network = network_of(halves(3), DATA, 128.0, 64.0)
    figure = maximized_outputs(network, DATA)
    assert figure is not None
    pictures = [cells(tile, 6, 6) for tile in heatmaps(figure)]
    assert len(pictures) == 3
    heading, *labels = texts(figure)
    assert heading == "logit → after shifts by 1 pixel → by 2 pixels"
    assert labels[::2] == ["class 0", "class 1", "class 2"]
    for picture, label in zip(pictures, labels[1::2], strict=True):
        assert picture[:2].min() > 180 and picture[4:].max() < 75
        # The logit of the image shown, but for the rounding of its pixels.
        logit, by_one, by_two = numbers(label)
        shown = torch.from_numpy(picture)[None, None]
        with torch.no_grad():
            assert logit == pytest.approx(float(network(shown)[0, 0]), rel=0.02)
        assert logit > by_one > by_two
    assert "falls most when its image is shifted by a pixel: from" in figure.caption
    with torch.no_grad():
        typical = float(network(DATA.inputs).gather(1, DATA.targets[:, None]).mean())
    said = figure.caption.split("mean logit of ")[1].split(",")[0].replace("−", "-")
    assert float(said) == pytest.approx(typical, rel=0.01)


def test_predictions_are_in_the_targets_units() -> None:
    dataset = images((1, 6, 6), 2, task="regression")
    plain = network_of(halves(2), dataset, 128.0, 64.0)
    scale, shift = torch.tensor([10.0, 1.0]), torch.tensor([500.0, 0.0])
    scaled = Network(plain.network, plain.input_mean, plain.input_std, shift, scale)
    before, after = (maximized_outputs(network, dataset) for network in (plain, scaled))
    assert before is not None and after is not None
    assert texts(after)[1::2] == ["price, output 1", "price, output 2"]
    assert texts(after)[4] == texts(before)[4]
    expected = [10 * value + 500 for value in numbers(texts(before)[2])]
    assert numbers(texts(after)[2]) == pytest.approx(expected, rel=0.01)
    highest = f"{float(dataset.targets[:, 0].max()):.3g}"
    assert f"The highest price of the training rows is {highest}." in after.caption


def test_pixels_stay_within_the_data_and_ten_classes_are_enough() -> None:
    dataset = replace(images((3, 4, 4), 25, n_rows=50), inputs=torch.rand(50, 3, 4, 4) * 3 + 2)
    network = network_of(MLP((3, 4, 4), 25, widths=()), dataset, 3.5, 0.9)
    figure = maximized_outputs(network, dataset)
    assert figure is not None
    assert len(heatmaps(figure)) == 10
    assert figure.caption.endswith("Shown are 10 of 25 classes.")
    assert texts(figure)[1] == "class 0" and texts(figure)[-2] == "class 24"


def test_hidden_units_have_images_and_their_activations() -> None:
    network = network_of(nn.Sequential(*halves(4), nn.ReLU(), nn.Linear(4, 3)), DATA, 128.0, 64.0)
    figure = maximized_units(network, DATA)
    assert figure is not None
    title, *labels = texts(figure)
    assert title == "linear 1: 4 units"
    for unit, (label, tile) in enumerate(zip(labels, heatmaps(figure), strict=True)):
        number, activation = label.split(": ")
        picture = cells(tile, 6, 6)
        assert int(number) == unit and tile.hovertemplate.startswith(f"unit {unit}")
        with torch.no_grad():
            inputs = network.normalise(torch.from_numpy(picture)[None, None])
            shown = float(network.network[:3](inputs)[0, unit])  # type: ignore[index]
        assert float(activation) == pytest.approx(shown, rel=0.02)
        assert picture[:2].min() > 180
    with torch.no_grad():
        highest = network.network[:3](network.normalise(DATA.inputs)).max()  # type: ignore[index]
    times = float(labels[0].split(": ")[1]) / float(highest)
    said = float(figure.caption.split("activations are ")[1].split(" times")[0])
    assert said == pytest.approx(times, rel=0.02)


def test_units_without_a_gradient_are_left_out_and_counted() -> None:
    model = nn.Sequential(*halves(4), nn.ReLU(), nn.Linear(4, 3))
    model[1].bias.data[:3] = -1000.0  # type: ignore[union-attr, operator]
    figure = maximized_units(network_of(model, DATA, 128.0, 64.0), DATA)
    assert figure is not None
    assert texts(figure)[0] == "linear 1: 1 of 4 units" and len(heatmaps(figure)) == 1
    assert "For 3 other units no image above the mean activation was found" in figure.caption
    model[1].bias.data[:] = -1000.0  # type: ignore[union-attr, operator]
    assert maximized_units(network_of(model, DATA, 128.0, 64.0), DATA) is None


def test_the_layer_in_the_middle_and_the_last_are_shown() -> None:
    dataset = images((1, 8, 8), 2)
    model = CNN((1, 8, 8), 2, channels=(3, 9, 2), activation="tanh")
    figure = maximized_units(network_of(model, dataset, 128.0, 70.0), dataset)
    assert figure is not None
    headings = [text for text in texts(figure) if text.startswith("conv")]
    assert headings == ["conv 2: 8 of 9 channels", "conv 3: 2 channels"]
    assert np.ptp([tile.dx for tile in heatmaps(figure)]) == pytest.approx(0)
    assert "(of a channel the mean over its positions)" in figure.caption


def test_rows_that_are_no_images_have_none() -> None:
    rows = table(3, 2)
    network = network_of(MLP((3,), 2), rows)
    assert maximized_outputs(network, rows) is None
    assert maximized_units(network, rows) is None
    assert maximized_units(network_of(halves(3), DATA), DATA) is None
