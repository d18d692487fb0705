"""Activations in compiled code, forward and backward."""

import numpy as np
from torch import nn

from hw1.training.kernels import Index, compiled, erf, exp

IDENTITY, RELU, LEAKY_RELU, ELU, GELU, SILU, TANH, SIGMOID = range(8)
KINDS: dict[type[nn.Module], int] = {
    nn.Identity: IDENTITY,
    nn.ReLU: RELU,
    nn.LeakyReLU: LEAKY_RELU,
    nn.ELU: ELU,
    nn.GELU: GELU,
    nn.SiLU: SILU,
    nn.Tanh: TANH,
    nn.Sigmoid: SIGMOID,
}


def is_known(layer: nn.Module) -> bool:
    """Whether the layer is an activation that is to be had here."""
    return type(layer) in KINDS and getattr(layer, "approximate", "none") == "none"


def constant_of(layer: nn.Module) -> float:
    """The number that the activation has beside its kind; zero for none."""
    return float(getattr(layer, "negative_slope", getattr(layer, "alpha", 0.0)))


@compiled
def activate(kind: int, constant: float, z: np.ndarray, n: Index) -> None:
    """Apply an activation to ``n`` numbers in place.

    Args:
        kind: one of the kinds above.
        constant: the slope of `LEAKY_RELU` below zero, or the alpha of `ELU`.
        z: the numbers.
        n: how many, an ``np.uint64``.
    """
    # Comparisons are such that what is no number stays so.
    one, zero = z.dtype.type(1), z.dtype.type(0)
    slope = z.dtype.type(constant)
    if kind == RELU:
        for i in range(n):
            z[i] = zero if z[i] <= zero else z[i]
    elif kind == LEAKY_RELU:
        for i in range(n):
            z[i] = slope * z[i] if z[i] <= zero else z[i]
    elif kind == ELU:
        for i in range(n):
            below = slope * (exp(z[i]) - one)
            z[i] = below if z[i] <= zero else z[i]
    elif kind == GELU:
        half, root = z.dtype.type(0.5), z.dtype.type(0.5**0.5)
        for i in range(n):
            z[i] = z[i] * half * (one + erf(z[i] * root))
    elif kind == SILU:
        for i in range(n):
            z[i] = z[i] / (one + exp(-z[i]))
    elif kind == TANH:
        two = z.dtype.type(2)
        for i in range(n):
            z[i] = one - two / (exp(two * z[i]) + one)
    elif kind == SIGMOID:
        for i in range(n):
            z[i] = one / (one + exp(-z[i]))


@compiled
def activate_and_differentiate(
    kind: int, constant: float, z: np.ndarray, slopes: np.ndarray, n: Index
) -> None:
    """Apply an activation in place and write its derivative at each of the ``n`` numbers."""
    one, zero = z.dtype.type(1), z.dtype.type(0)
    slope = z.dtype.type(constant)
    if kind == IDENTITY:
        for i in range(n):
            slopes[i] = one
    elif kind == RELU:
        for i in range(n):
            slopes[i] = zero if z[i] <= zero else one
            z[i] = zero if z[i] <= zero else z[i]
    elif kind == LEAKY_RELU:
        for i in range(n):
            slopes[i] = slope if z[i] <= zero else one
            z[i] = slope * z[i] if z[i] <= zero else z[i]
    elif kind == ELU:
        for i in range(n):
            below = slope * exp(z[i])
            slopes[i] = below if z[i] <= zero else one
            z[i] = below - slope if z[i] <= zero else z[i]
    elif kind == GELU:
        # The normal distribution, and z times its density.
        half, root = z.dtype.type(0.5), z.dtype.type(0.5**0.5)
        density = z.dtype.type((2 * np.pi) ** -0.5)
        for i in range(n):
            scaled = z[i] * root
            below = half * (one + erf(scaled))
            slopes[i] = below + z[i] * density * exp(-scaled * scaled)
            z[i] = z[i] * below
    elif kind == SILU:
        for i in range(n):
            s = one / (one + exp(-z[i]))
            slopes[i] = s * (one + z[i] * (one - s))
            z[i] = z[i] * s
    elif kind == TANH:
        two = z.dtype.type(2)
        for i in range(n):
            y = one - two / (exp(two * z[i]) + one)
            slopes[i] = one - y * y
            z[i] = y
    elif kind == SIGMOID:
        for i in range(n):
            s = one / (one + exp(-z[i]))
            slopes[i] = s * (one - s)
            z[i] = s


@compiled
def differentiate(kind: int, constant: float, z: np.ndarray, grad: np.ndarray, n: Index) -> None:
    """Turn the gradient by the activation of ``z`` into that by ``z``."""
    one, zero = z.dtype.type(1), z.dtype.type(0)
    slope = z.dtype.type(constant)
    if kind == RELU:
        for i in range(n):
            # Read in any case: a loop with a choice what to read is not vectorized.
            g = grad[i]
            grad[i] = zero if z[i] <= zero else g
    elif kind == LEAKY_RELU:
        for i in range(n):
            grad[i] *= slope if z[i] <= zero else one
    elif kind == ELU:
        for i in range(n):
            below = slope * exp(z[i])
            grad[i] *= below if z[i] <= zero else one
    elif kind == GELU:
        # The normal distribution and z times its density.
        half, root = z.dtype.type(0.5), z.dtype.type(0.5**0.5)
        density = z.dtype.type((2 * np.pi) ** -0.5)
        for i in range(n):
            below = half * (one + erf(z[i] * root))
            grad[i] *= below + z[i] * density * exp(-half * z[i] * z[i])
    elif kind == SILU:
        for i in range(n):
            s = one / (one + exp(-z[i]))
            grad[i] *= s * (one + z[i] * (one - s))
    elif kind == TANH:
        two = z.dtype.type(2)
        for i in range(n):
            y = one - two / (exp(two * z[i]) + one)
            grad[i] *= one - y * y
    elif kind == SIGMOID:
        for i in range(n):
            s = one / (one + exp(-z[i]))
            grad[i] *= s * (one - s)
