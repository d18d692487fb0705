import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from hw1.training.keys import (
    KeyedDropout,
    fold_in,
    keys,
    permutations,
    random_bits,
    seed,
    uniform,
    with_keyed_dropout,
)

SEEDS = st.integers(min_value=0, max_value=2**63 - 1)


def mix(x: int) -> int:
    """lowbias32 on Python's integers, as published."""
    x ^= x >> 16
    x = x * 0x7FEB352D & 0xFFFFFFFF
    x ^= x >> 15
    x = x * 0x846CA68B & 0xFFFFFFFF
    return x ^ x >> 16


@given(SEEDS, st.integers(1, 300))
def test_bits_are_the_published_hash_of_a_counter(s: int, n: int) -> None:
    offset, stride = s & 0xFFFFFFFF, s >> 32 | 1
    expected = [mix((i * stride + offset) & 0xFFFFFFFF) for i in range(n)]
    assert (random_bits(keys([s]), (n,))[0].numpy().view(np.uint32) == expected).all()


@given(st.lists(SEEDS, min_size=2, max_size=6), st.integers(0, 10**6))
def test_draws_depend_on_the_own_seed_alone(seeds: list[int], number: int) -> None:
    together = uniform(fold_in(keys(seeds), number), (3, 5))
    assert together.shape == (len(seeds), 3, 5)
    for i, s in enumerate(seeds):
        assert torch.equal(together[i], uniform(fold_in(keys([s])[0], number), (3, 5)))


def test_uniform_numbers_are_uniform_and_independent() -> None:
    n, m = 20_000, 40
    drawn = uniform(fold_in(keys([seed(0, i) for i in range(m)]), 3), (n,)).double().numpy()
    assert drawn.min() >= 0
    assert drawn.max() < 1
    p = [stats.kstest(row, "uniform").pvalue for row in drawn]
    assert stats.kstest(p, "uniform").pvalue > 1e-3
    # Between keys, and between neighbors within a key; 4.5 standard errors over all pairs.
    between = np.corrcoef(drawn)[np.triu_indices(m, 1)]
    assert np.abs(between).max() < 4.5 / n**0.5
    within = [np.corrcoef(row[:-lag], row[lag:])[0, 1] for row in drawn for lag in (1, 2, 64)]
    assert np.abs(within).max() < 4.5 / n**0.5


def test_folding_in_gives_each_purpose_numbers_of_its_own() -> None:
    key = keys([seed(1, 2, 3)])
    n = 20_000
    streams = [uniform(key, (n,))] + [uniform(fold_in(key, i), (n,)) for i in range(30)]
    correlations = np.corrcoef(torch.cat(streams).double().numpy())
    assert np.abs(correlations[np.triu_indices(31, 1)]).max() < 4.5 / n**0.5


def test_seeds_differ_by_study_trial_and_fold() -> None:
    seeds = {
        seed(study, trial, fold) for study in range(9) for trial in range(9) for fold in (0, 1)
    }
    assert len(seeds) == 9 * 9 * 2
    assert all(0 <= s < 2**63 for s in seeds)


@given(st.lists(st.tuples(SEEDS, st.integers(1, 60)), min_size=1, max_size=5))
def test_permutations_are_permutations_whatever_the_other_lengths(
    models: list[tuple[int, int]],
) -> None:
    key = keys([s for s, _ in models])
    order = permutations(key, torch.tensor([n for _, n in models]))
    for row, (s, n) in zip(order, models, strict=True):
        assert sorted(row[:n].tolist()) == list(range(n))
        assert torch.equal(row[:n], permutations(keys([s]), torch.tensor([n]))[0])


def test_every_order_of_few_things_is_as_likely() -> None:
    orders = permutations(keys(range(0, 6000 << 8, 1 << 8)), torch.full((6000,), 3))
    _, counts = orders.unique(dim=0, return_counts=True)
    assert len(counts) == 6
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    dropout = KeyedDropout(0.3)
    dropout.key = keys([5])[0]
    outputs = dropout(torch.ones(500, 200))
    share = float((outputs == 0).double().mean())
    assert share == pytest.approx(0.3, abs=4.5 * (0.3 * 0.7 / 100_000) ** 0.5)
    assert torch.allclose(outputs[outputs != 0], torch.tensor(1 / 0.7))
    assert torch.equal(dropout.eval()(torch.ones(4)), torch.ones(4))
    assert torch.equal(KeyedDropout(1.0)(torch.ones(9)), torch.zeros(9))


def test_stacked_dropout_is_that_of_each_model_alone() -> None:
    layers = [KeyedDropout(p) for p in (0.1, 0.5, 0.9)]
    for layer, key in zip(layers, keys([1, 2, 3]), strict=True):
        layer.key = key
    _, buffers = stack_module_state(layers)
    x = torch.randn(3, 7, 5)
    together = vmap(lambda b, x: functional_call(layers[0], b, (x,)))(buffers, x)
    for i, layer in enumerate(layers):
        layer.calls = 0
        assert torch.equal(together[i], layer(x[i]))


def test_dropout_is_replaced_wherever_it_is() -> None:
    model = nn.Sequential(nn.Dropout(0.2), nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.4)))
    state = model.state_dict()
    with_keyed_dropout(model)
    replaced = [m for m in model.modules() if isinstance(m, KeyedDropout)]
    assert [float(m.p) for m in replaced] == pytest.approx([0.2, 0.4])
    assert not any(type(m) is nn.Dropout for m in model.modules())
    assert model.state_dict().keys() == state.keys()


def test_a_layer_that_is_called_again_drops_other_elements() -> None:
    layer = KeyedDropout(0.5)
    first, second = layer(torch.ones(99)), layer(torch.ones(99))
    assert not torch.equal(first, second)
    layer.calls = 0
    assert torch.equal(layer(torch.ones(99)), first)


def test_a_layer_in_two_places_is_replaced_in_both() -> None:
    shared = nn.Dropout(0.5)
    model = with_keyed_dropout(nn.Sequential(shared, nn.Linear(2, 2), shared))
    assert isinstance(model[0], KeyedDropout)
    assert model[0] is model[2]
