import numpy as np
import torch
from analysis.figures.looked_at import PIXELS, drawn, images, marks, table
from torch import nn

from hw1.analysis.figures.inside.unused import unused_units
from hw1.analysis.figures.marks import Bars
from hw1.models import CNN

DATA = table(2, 2)


def biased(biases: list[float], activation: nn.Module) -> nn.Sequential:
    layer = nn.Linear(2, len(biases))
    layer.bias.data = torch.tensor(biases)
    return nn.Sequential(layer, activation, nn.Linear(len(biases), 2))


def test_dead_units_and_zeros_are_counted() -> None:
    model = biased([-100.0, 0.0, -100.0, 100.0, -100.0], nn.ReLU())
    figure = drawn(unused_units, model, DATA)
    silent, stuck, zeros = marks(figure, Bars)
    assert (silent.name, stuck.name, zeros.name) == ("always zero", "", "")
    assert (list(silent.length), list(stuck.length)) == ([0.6], [0.0])
    assert (stuck.base, list(stuck.text)) == ([0.6], ["3 of 5"])
    with torch.no_grad():
        share = float((model[:2](DATA.inputs) == 0).double().mean())
    assert list(zeros.length) == [share] and list(zeros.text) == [f"{share:.0%}"]
    assert "all 60 examples" in figure.caption
    assert "3 of 5 units of linear 1 are dead." in figure.caption
    assert f"Zeros are most frequent in linear 1: {share:.0%}." in figure.caption


def test_saturated_units_are_dead_without_being_zero() -> None:
    figure = drawn(unused_units, biased([100.0, 0.0, 0.0, 100.0], nn.Sigmoid()), DATA)
    silent, stuck, _ = marks(figure, Bars)
    assert (list(silent.length), list(stuck.length)) == ([0.0], [0.5])
    assert (silent.name, stuck.name) == ("", "always the same, but not zero")
    assert "No activation is exactly zero." in figure.caption


def test_layers_come_from_the_top_in_their_order() -> None:
    model = CNN((1, 8, 8), 2, channels=(3, 4), hidden=5)
    figure = drawn(unused_units, model, images((1, 8, 8), 2), *PIXELS)
    y = figure.panels[0].y
    assert y.ticks == ((0, "conv 1"), (1, "conv 2"), (2, "linear 3"))
    assert y.range[0] > y.range[1]
    for bars in marks(figure, Bars):
        np.testing.assert_array_equal(bars.y, [0, 1, 2])
    assert [text.split()[-1] for text in marks(figure, Bars)[1].text] == ["3", "4", "5"]


def test_none_is_dead() -> None:
    figure = drawn(unused_units, biased([0.0, 0.0], nn.ReLU()), DATA)
    assert "None of the 2 units is dead." in figure.caption
