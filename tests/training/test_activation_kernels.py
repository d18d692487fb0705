import numpy as np
import pytest
import torch
from torch import nn

from hw1.models.activations import ACTIVATIONS
from hw1.training.activation_kernels import (
    KINDS,
    activate,
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
