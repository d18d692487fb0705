import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hw1.analysis.activations import unit_means, unit_statistics, weight_histogram
from hw1.analysis.layers import activations
from hw1.errors import InputError
from hw1.models import CNN, MLP


def layer(weights: list[float] | torch.Tensor) -> nn.Module:
    values = torch.as_tensor(weights, dtype=torch.float32)[:, None]
    linear = nn.Linear(1, len(values))
    linear.weight = nn.Parameter(values)
    return nn.Sequential(linear)


weights = st.lists(st.floats(width=32), min_size=1, max_size=300)


@given(weights, weights, st.integers(1, 60))
def test_every_weight_is_counted_in_a_bin_or_outside(
    initial: list[float], trained: list[float], n_bins: int
) -> None:
    found = weight_histogram(layer(initial), layer(trained), "0", n_bins)
    assert found.edges.shape == (n_bins + 1,)
    assert found.outside == len(trained) - found.trained.sum()
    for given_, counts in ((initial, found.initial), (trained, found.trained)):
        inside = [w for w in given_ if found.edges[0] <= w <= found.edges[-1]]
        assert counts.sum() == len(inside)
        # At 200 weights or fewer none is an outlier.
        if len(given_) <= 200:
            assert len(inside) == sum(map(math.isfinite, given_))


def test_bins_are_those_of_both_networks_and_of_no_outlier() -> None:
    generator = torch.Generator().manual_seed(0)
    before = torch.randn(1000, generator=generator)
    after = torch.cat([2 * torch.randn(998, generator=generator), torch.tensor([90.0, -500.0])])
    found = weight_histogram(layer(before), layer(after), "0", 40)
    assert (found.initial.sum(), found.outside) == (1000, 2)
    assert found.edges[0] == after[after > -100].min()
    assert found.edges[-1] == after[after < 50].max()
    expected, _ = np.histogram(before.numpy(), found.edges)
    assert found.initial.tolist() == expected.tolist()


def test_a_layer_without_weights_has_no_histogram() -> None:
    model = MLP((3,), 2)
    with pytest.raises(InputError, match=r"'layers\.2' has no weight"):
        weight_histogram(model, model, "layers.2", 5)


@given(st.integers(1, 300), st.integers(0, 99))
def test_a_channel_puts_out_the_mean_of_its_positions(n_rows: int, seed: int) -> None:
    torch.manual_seed(seed)
    model, rows = CNN((1, 4, 4), 2, channels=(3,), hidden=5).eval(), torch.randn(n_rows, 1, 4, 4)
    found = activations(model, rows, ["features.2", "head.2"], unit_means)
    maps = model.features[:3](rows)
    units = model.head[:3](model.features(rows))
    for name, values in (("features.2", maps.mean((2, 3))), ("head.2", units)):
        np.testing.assert_allclose(found[name], values.detach(), atol=1e-6)
        assert found[name].dtype == torch.float64


def test_planted_dead_units_are_found() -> None:
    torch.manual_seed(0)
    rows = torch.randn(400, 6)
    for activation, bias in (("relu", -100.0), ("sigmoid", 100.0), ("tanh", -100.0)):
        model = MLP((6,), 2, widths=(8,), activation=activation)
        with torch.no_grad():
            model.layers[1].bias[[1, 5]] = bias
            model.layers[1].weight[3] = 0  # constant, though not saturated
        found = unit_statistics(model, rows, ["layers.2"])["layers.2"]
        assert found.dead.tolist() == [i in (1, 3, 5) for i in range(8)]


def test_a_unit_that_answers_to_a_single_row_is_alive() -> None:
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU())
    with torch.no_grad():
        model[0].weight[:] = torch.tensor([[1.0], [1.0]])
        model[0].bias[:] = torch.tensor([-9.5, -10.5])
    rows = torch.zeros(600, 1)
    rows[577] = 10.0
    assert unit_statistics(model, rows, ["1"])["1"].dead.tolist() == [False, True]


def test_padding_does_not_bring_a_dead_map_to_life() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 1, 3, padding=1), nn.Sigmoid(), nn.Conv2d(1, 2, 3, padding=1)
    )
    with torch.no_grad():
        model[0].weight[:] = 0
    found = unit_statistics(model, torch.randn(9, 1, 6, 6), ["2"])["2"]
    assert found.dead.tolist() == [True, True]


@given(st.integers(2, 300), st.integers(0, 99))
def test_sparsity_is_the_share_of_zeros(n_rows: int, seed: int) -> None:
    torch.manual_seed(seed)
    model, rows = CNN((1, 4, 4), 2, channels=(3,)).eval(), torch.randn(n_rows, 1, 4, 4)
    found = unit_statistics(model, rows, ["features.2"])["features.2"]
    maps = model.features[:3](rows).detach().numpy()
    np.testing.assert_allclose(found.zeros, (maps == 0).mean((0, 2, 3)))
    with pytest.raises(InputError, match="at least two examples"):
        unit_statistics(model, rows[:1], ["features.2"])
