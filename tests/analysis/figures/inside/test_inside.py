import copy
from collections.abc import Callable

import pytest
import torch
from analysis.figures.looked_at import PIXELS, images, network_of, table
from analysis.undisturbed import Awkward, undisturbed
from torch import Tensor, nn

from hw1.analysis.figures import matplotlib, plotly
from hw1.analysis.figures.inside import FIGURES, inside_figures
from hw1.datasets import Dataset
from hw1.models import CNN, MLP, ResNet

WEIGHTS, FIRST, PROFILES, UNUSED = (
    "inside_weights",
    "inside_first_layer",
    "inside_profiles",
    "inside_unused",
)
OF_MAPS = ["inside_maps", "inside_receptive_fields"]
OF_IMAGES = ["inside_maximized_outputs", "inside_saliency"]
OF_UNITS = "inside_maximized_units"


class Own(nn.Module):
    """Calls functions, and one whose windows are not known."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 6, 3, stride=2, padding=1)
        self.deeper = nn.Conv2d(6, 8, 3, padding=1)
        self.head = nn.Linear(8, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        maps = nn.functional.interpolate(torch.relu(self.conv(inputs)), scale_factor=2)
        return self.head(torch.tanh(self.deeper(maps)).mean((2, 3)))


class NoLayers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factors = nn.Parameter(torch.ones(3, 2))

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs @ self.factors


ONE, MANY = table(1, 1, task="regression"), table(7, 3)
CASES: dict[str, tuple[Callable[[], nn.Module], Dataset, list[str]]] = {
    "one unit": (
        lambda: MLP((1,), 1, widths=(1,), activation="tanh"),
        ONE,
        [WEIGHTS, "inside_units"],
    ),
    "line": (lambda: MLP((1,), 1, widths=()), ONE, [WEIGHTS]),
    "one row": (lambda: MLP((1,), 1), ONE.take(torch.tensor([0])), [WEIGHTS]),
    "one feature": (lambda: MLP((1,), 2), table(1, 2), [WEIGHTS, PROFILES, UNUSED]),
    "table": (lambda: MLP((7,), 3, widths=(70,)), MANY, [WEIGHTS, FIRST, PROFILES, UNUSED]),
    "linear": (lambda: MLP((7,), 3, widths=()), MANY, [WEIGHTS, FIRST]),
    "one class": (lambda: MLP((7,), 1, widths=(4,)), table(7, 1), [WEIGHTS, FIRST, UNUSED]),
    "pixels": (
        lambda: MLP((1, 6, 6), 100, widths=(9,)),
        images((1, 6, 6), 100, n=120),
        [WEIGHTS, FIRST, PROFILES, UNUSED, *OF_IMAGES, OF_UNITS],
    ),
    "CNN": (
        lambda: CNN((3, 8, 6), 2, channels=(3, 4)),
        images((3, 8, 6), 2),
        [WEIGHTS, FIRST, PROFILES, UNUSED, *OF_MAPS, *OF_IMAGES, OF_UNITS],
    ),
    "ResNet, regression": (
        lambda: ResNet((1, 6, 6), 2, width=2, stages=1),
        images((1, 6, 6), 2, task="regression"),
        [WEIGHTS, FIRST, PROFILES, UNUSED, *OF_MAPS, *OF_IMAGES, OF_UNITS],
    ),
    "user's own": (
        Own,
        images((2, 8, 8), 4),
        [WEIGHTS, FIRST, PROFILES, UNUSED, *OF_MAPS, *OF_IMAGES, OF_UNITS],
    ),
    "no activation": (
        lambda: CNN((2, 4, 4), 2, channels=()),
        images((2, 4, 4), 2),
        [WEIGHTS, FIRST, *OF_IMAGES],
    ),
    "no layers": (NoLayers, table(3, 2), []),
}


@pytest.mark.parametrize("name", CASES)
def test_a_network_has_the_figures_that_make_sense_for_it(name: str) -> None:
    make, dataset, expected = CASES[name]
    network = network_of(make(), dataset, *(PIXELS if dataset.inputs.dim() == 4 else ()))
    heard: list[str] = []
    with undisturbed(network):
        figures = inside_figures(network, copy.deepcopy(network), dataset, say=heard.append)
    assert sorted(figure.name for figure in figures) == sorted(expected)
    assert len(set(heard)) == len(FIGURES) and heard[-1] == "looking inside the network: saliency"
    for figure in figures:
        assert figure.title and figure.caption.endswith(".") and "nan" not in figure.caption
        assert "<svg" in matplotlib.svg(figure)
        assert len(plotly.draw(figure).to_json()) < 500_000
        assert figure.width is not None and figure.width <= 780 and figure.height > 60


def test_the_seed_determines_all() -> None:
    dataset = images((1, 4, 4), 2, n=80)
    network = network_of(MLP((1, 4, 4), 2, widths=(3,)), dataset, *PIXELS)
    first, again, other = (
        [
            (figure.caption, plotly.draw(figure).to_json())
            for figure in inside_figures(network, network, dataset, seed=seed)
        ]
        for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_awkward_networks_are_left_as_they_are() -> None:
    dataset = images((1, 8, 8), 4)
    network = network_of(Awkward(), dataset, *PIXELS)
    network.network.train()
    with undisturbed(network):
        names = {figure.name for figure in inside_figures(network, network, dataset)}
    assert names >= {WEIGHTS, FIRST, PROFILES, UNUSED, *OF_MAPS, *OF_IMAGES}


def test_diverged_networks_have_figures_too() -> None:
    for model, dataset in (
        (CNN((1, 4, 4), 2, channels=(3,)), images((1, 4, 4), 2)),
        (MLP((1,), 1, widths=(3,)), ONE),
        (MLP((3,), 2, widths=(3,)), table(3, 2)),
    ):
        for parameter in model.parameters():
            parameter.data.fill_(torch.nan)
        network = network_of(model, dataset)
        for figure in inside_figures(network, network, dataset):
            assert "<svg" in matplotlib.svg(figure)


def test_rows_may_be_few() -> None:
    dataset = Dataset("toy", "regression", torch.randn(2, 4), torch.randn(2, 1))
    network = network_of(MLP((4,), 1, widths=(5,)), dataset)
    assert len(inside_figures(network, network, dataset)) >= 3
