import pytest
import torch
from analysis.figures.looked_at import images, network_of, table, texts
from torch import nn

from hw1.analysis.figures.inside import unused_units
from hw1.models import CNN, MLP


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The weights are the same in each run."""
    torch.manual_seed(0)


DATA = table(2, 2)


def biased(biases: list[float], activation: nn.Module) -> nn.Sequential:
    layer = nn.Linear(2, len(biases))
    layer.bias.data = torch.tensor(biases)
    return nn.Sequential(layer, activation, nn.Linear(len(biases), 2))


def test_dead_units_and_zeros_are_counted() -> None:
    network = network_of(biased([-100.0, 0.0, -100.0, 100.0, -100.0], nn.ReLU()), DATA)
    figure = unused_units(network, DATA)
    assert figure is not None
    silent, stuck, zeros = figure.plot.data
    assert (silent.name, list(silent.x), silent.showlegend) == ("always zero", [0.6], True)
    assert (list(stuck.x), stuck.showlegend) == ([0.0], False)
    with torch.no_grad():
        share = float((network.network[:2](DATA.inputs) == 0).double().mean())  # type: ignore[index]
    assert list(zeros.x) == [share] and list(zeros.text) == [f"{share:.0%}"]
    assert texts(figure) == ["3 of 5"]
    assert list(figure.plot.layout.yaxis.ticktext) == ["linear 1"]
    assert "all 60 rows" in figure.caption
    assert "3 of 5 units of linear 1 are dead." in figure.caption
    assert f"Most zeros has linear 1: {share:.0%} of its activations." in figure.caption


def test_saturated_units_are_dead_without_being_zero() -> None:
    network = network_of(biased([100.0, 0.0, 0.0, 100.0], nn.Sigmoid()), DATA)
    figure = unused_units(network, DATA)
    assert figure is not None
    silent, stuck, _ = figure.plot.data
    assert (list(silent.x), list(stuck.x)) == ([0.0], [0.5])
    assert "No activation is exactly zero." in figure.caption


def test_layers_come_from_the_top_in_their_order() -> None:
    dataset = images((1, 8, 8), 2)
    network = network_of(CNN((1, 8, 8), 2, channels=(3, 4), hidden=5), dataset, 128.0, 70.0)
    figure = unused_units(network, dataset)
    assert figure is not None
    axis = figure.plot.layout.yaxis
    assert list(axis.ticktext) == ["conv 1", "conv 2", "linear 3"]
    assert axis.range[0] > axis.range[1]
    assert [text.split()[-1] for text in texts(figure)] == ["3", "4", "5"]


def test_where_nothing_is_unused_there_is_none() -> None:
    assert unused_units(network_of(MLP((2,), 2, activation="tanh"), DATA), DATA) is None
    assert unused_units(network_of(MLP((2,), 2, widths=()), DATA), DATA) is None
    one = DATA.take(torch.tensor([0]))
    assert unused_units(network_of(MLP((2,), 2), one), one) is None


def test_none_is_dead() -> None:
    network = network_of(biased([0.0, 0.0], nn.ReLU()), DATA)
    assert "None of the 2 units is." in getattr(unused_units(network, DATA), "caption", "")
