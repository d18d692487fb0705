import numpy as np
import pytest
import torch
from torch import nn

from hw1.models.activations import ACTIVATIONS
from hw1.training.activation_kernels import (
    KINDS,
    activate,
    activate_and_differentiate,
    constant_of,
    differentiate,
    is_known,
)

LAYERS = [nn.ReLU(), nn.LeakyReLU(0.2), nn.ELU(0.7), nn.GELU(), nn.SiLU(), nn.Tanh(), nn.Sigmoid()]
LAYERS.append(nn.Identity())


def applied(layer: nn.Module, x: np.ndarray, grad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the layer makes of ``x``, and of a gradient by that."""
    kind, constant, n = KINDS[type(layer)], constant_of(layer), np.uint64(len(x))
    y, grad = x.copy(), grad.copy()
    activate(kind, constant, y, n)
    differentiate(kind, constant, x, grad, n)
    return y, grad


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_activations_in_single_precision_are_torchs(layer: nn.Module) -> None:
    random = np.random.default_rng(0)
    x, grad = (random.normal(size=5000, scale=4).astype(np.float32) for _ in range(2))
    y, of_x = applied(layer, x, grad)
    exact = torch.from_numpy(x).double().requires_grad_()
    outputs = layer(exact)
    (expected,) = torch.autograd.grad(outputs, exact, torch.from_numpy(grad).double())
    np.testing.assert_allclose(y, outputs.detach(), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(of_x, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_slopes_come_with_the_activation(layer: nn.Module, dtype: type) -> None:
    z = np.random.default_rng(0).normal(size=5003, scale=4).astype(dtype)
    z[:3] = 0, np.nan, -np.inf
    exact = torch.from_numpy(z).double().requires_grad_()
    outputs = layer(exact)
    (expected,) = torch.autograd.grad(outputs.sum(), exact)
    slopes = np.empty_like(z)
    kind, constant = KINDS[type(layer)], constant_of(layer)
    activate_and_differentiate(kind, constant, z, slopes, np.uint64(len(z)))
    some = slice(3, None)
    precision = 1e-6 if dtype is np.float32 else 1e-14
    np.testing.assert_allclose(z[some], outputs.detach()[some], rtol=precision, atol=precision)
    np.testing.assert_allclose(slopes[some], expected[some], rtol=precision, atol=precision)
    assert slopes[0] == pytest.approx(float(expected[0]), abs=precision)
    assert np.isnan(z[1])


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_what_is_no_number_stays_none(layer: nn.Module) -> None:
    x = np.array([np.nan, 1.0, -1.0, 0.0] * 9, np.float32)
    y, of_x = applied(layer, x, np.full_like(x, np.nan))
    assert np.array_equal(np.isnan(y), np.isnan(x))
    assert np.isnan(of_x[x > 0]).all()


def test_all_activations_of_the_models_are_known() -> None:
    assert all(is_known(layer()) for layer in ACTIVATIONS.values())
    assert not is_known(nn.GELU(approximate="tanh"))
    assert not is_known(nn.Softmax())
