"""The layers of compiled networks by themselves; together they are in test_batches.py."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hw1.training import layer_kernels
from hw1.training.keys import dropout_factors, fold_in, keys
from hw1.training.layer_kernels import activate, activate_backward, draw_dropout

LAYERS: dict[str, tuple[nn.Module, float]] = {
    "RELU": (nn.ReLU(), 0.0),
    "LEAKY_RELU": (nn.LeakyReLU(0.2), 0.2),
    "ELU": (nn.ELU(0.7), 0.7),
    "GELU": (nn.GELU(), 0.0),
    "SILU": (nn.SiLU(), 0.0),
    "TANH": (nn.Tanh(), 0.0),
    "SIGMOID": (nn.Sigmoid(), 0.0),
}


@pytest.mark.parametrize("name", LAYERS)
def test_activations_in_single_precision_are_torchs(name: str) -> None:
    layer, constant = LAYERS[name]
    kind = getattr(layer_kernels, name)
    x = np.random.default_rng(0).normal(size=5000, scale=4).astype(np.float32)
    y, grad = np.empty_like(x), np.ones_like(x)
    activate(kind, np.float32(constant), x, y)
    activate_backward(kind, np.float32(constant), x, y, grad)
    exact = torch.from_numpy(x).double().requires_grad_()
    outputs = layer(exact)
    (gradient,) = torch.autograd.grad(outputs.sum(), exact)
    np.testing.assert_allclose(y, outputs.detach(), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(grad, gradient, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_what_is_no_number_stays_none(name: str) -> None:
    kind, constant = getattr(layer_kernels, name), np.float32(LAYERS[name][1])
    x = np.array([np.nan, 1.0, -1.0, 0.0] * 9, np.float32)
    y, grad = np.empty_like(x), np.full_like(x, np.nan)
    activate(kind, constant, x, y)
    assert np.array_equal(np.isnan(y), np.isnan(x))
    activate_backward(kind, constant, x, y, grad)
    assert np.isnan(grad[x > 0]).all()


@settings(deadline=None)
@given(
    st.integers(0, 2**62),
    st.floats(0, 1),
    st.integers(1, 9),
    st.integers(1, 40),
    st.integers(0, 2**31 - 2),
)
def test_dropout_draws_what_the_keys_draw(
    seed: int, p: float, n_rows: int, width: int, step: int
) -> None:
    key = fold_in(keys([seed])[0], step)
    expected = dropout_factors(key, torch.tensor(p, dtype=torch.float64), (n_rows, width))
    factors = np.empty((n_rows, width))
    first, second = key.numpy().view(np.uint32)
    draw_dropout((first, second), p, factors)
    np.testing.assert_allclose(factors, expected, rtol=1e-12)


def test_keys_are_folded_as_those_of_torch_are() -> None:
    key = keys([12345])[0]
    for number in (0, 1, 7, 2**20):
        first, second = key.numpy().view(np.uint32)
        folded = layer_kernels.fold_in_key((first, second), number)
        assert [int(half) for half in folded] == fold_in(key, number).numpy().view(
            np.uint32
        ).tolist()
