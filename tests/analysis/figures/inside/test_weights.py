from typing import Any

import numpy as np
import pytest
import torch
from analysis.figures.looked_at import network_of, table, texts
from torch import nn

from hw1.analysis.figures.inside import weight_histograms
from hw1.analysis.network import Network
from hw1.models import MLP


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The weights are the same in each run."""
    torch.manual_seed(0)


DATA = table(2, 1, task="regression")


def with_weights(*weights: Any) -> Network:
    """Linear layers with these weights."""
    layers = []
    for weight in weights:
        layer = nn.Linear(len(weight[0]), len(weight))
        layer.weight.data = torch.tensor(weight, dtype=torch.float32)
        layers += [layer, nn.ReLU()]
    return network_of(nn.Sequential(*layers[:-1]), DATA)


def test_the_shares_of_weights_are_shown_before_and_after() -> None:
    random = np.random.default_rng(0)
    before, after = random.normal(size=(100, 2)), random.normal(size=(100, 2)) * 2
    head = np.ones((1, 100))
    figure = weight_histograms(with_weights(after, head), with_weights(before, head), DATA)
    assert figure is not None
    assert texts(figure) == ["linear 1: 200 weights", "linear 2: 100 weights"]
    drawn = [trace for trace in figure.plot.data if trace.xaxis == "x"]
    assert [trace.name for trace in drawn] == ["before training", "after training"]
    for trace, weights in zip(drawn, (before, after), strict=True):
        edges, shares = trace.x[::2], trace.y[1:-1:2]
        assert (trace.y[0], trace.y[-1]) == (0, 0)
        counts, _ = np.histogram(weights.astype(np.float32), edges.astype(np.float64))
        np.testing.assert_allclose(shares, counts / 200, atol=0.011)
        assert shares.sum() == pytest.approx(1, abs=1e-6)
        assert list(figure.plot.layout.xaxis.range) == pytest.approx([edges[0], edges[-1]])


def test_the_caption_says_what_changed_and_how_much() -> None:
    before = [[1.0, -1.0]], [[2.0]]
    after = [[1.5, -1.5]], [[2.2]]
    figure = weight_histograms(with_weights(*after), with_weights(*before), DATA)
    assert figure is not None
    assert "Most has changed linear 1: its weights moved by 50%" in figure.caption
    assert "went from 1 to 1.5; least linear 2, by 10%" in figure.caption
    same = with_weights(*before)
    assert "None has changed" in getattr(weight_histograms(same, same, DATA), "caption", "")


def test_outliers_are_said() -> None:
    weights = np.linspace(-1, 1, 2000).reshape(1000, 2)
    outlying = weights.copy()
    outlying[0, 0] = 50
    head = np.ones((1, 1000))
    figure = weight_histograms(with_weights(outlying, head), with_weights(weights, head), DATA)
    assert figure is not None
    assert "Trained weights beyond the axes: 1 of linear 1." in figure.caption
    assert figure.plot.data[0].x.max() < 5


def test_of_many_layers_some_are_shown() -> None:
    network = network_of(MLP((2,), 1, widths=(2,) * 19), DATA)
    figure = weight_histograms(network, network, DATA)
    assert figure is not None
    titles = texts(figure)
    assert len(titles) == 12 and len(figure.plot.data) == 24
    assert (titles[0], titles[-1]) == ("linear 1: 4 weights", "linear 20: 2 weights")
    assert "Shown are 12 of 20 layers." in figure.caption


def test_ticks_are_round_and_within() -> None:
    for scale, expected in ((1.0, ["−0.5", "0", "0.5"]), (0.03, ["−0.02", "0", "0.02"])):
        network = with_weights(np.linspace(-scale, scale, 200).reshape(100, 2))
        figure = weight_histograms(network, network, DATA)
        assert figure is not None
        assert list(figure.plot.layout.xaxis.ticktext) == expected
    network = with_weights([[0.7, 0.7]])
    figure = weight_histograms(network, network, DATA)
    assert figure is not None and list(figure.plot.layout.xaxis.ticktext) == ["0.7"]
