"""Batch norm and dropout of dense layers in compiled code, forward and backward."""

from typing import Any

import numpy as np

from hw1.training.activation_kernels import KINDS
from hw1.training.kernels import GOLDEN, compiled, inlined, mix

LINEAR, BATCH_NORM, DROPOUT = range(len(KINDS), len(KINDS) + 3)
"""The kinds of layers beside the activations."""


@inlined
def fold_in_key(key: Any, number: int) -> Any:
    """As `hw1.training.keys.fold_in`; ``key`` holds two uint32."""
    first = mix(np.uint32(key[0] + mix(np.uint32(number + 1))))
    return first, mix(np.uint32(key[1] ^ first))


@compiled
def draw_dropout(key: Any, p: float, factors: np.ndarray) -> None:
    """As `hw1.training.keys.dropout_factors`; ``factors`` is ``(n_rows, width)``."""
    zero = factors.dtype.type(0)
    if p >= 1:
        factors[:] = zero
        return
    scale = factors.dtype.type(1 / (1 - p))
    threshold = min(int(np.round(factors.dtype.type(p) * 2**16)) - 2**15, 2**15 - 1)
    least = np.int16(threshold)
    offset, stride = key[0], np.uint32(key[1] | np.uint32(1))
    width = factors.shape[1]
    for row in range(len(factors)):
        out = factors[row]
        start = np.uint32(np.uint32(row) * GOLDEN)
        for i in range(width // 2):
            word = mix(np.uint32(np.uint32(np.uint32(i) + start) * stride + offset))
            low, high = np.uint16(word & np.uint32(0xFFFF)), np.uint16(word >> np.uint32(16))
            out[2 * i] = scale if np.int16(low) >= least else zero
            out[2 * i + 1] = scale if np.int16(high) >= least else zero
        if width % 2:
            word = mix(np.uint32(np.uint32(np.uint32(width // 2) + start) * stride + offset))
            low = np.uint16(word & np.uint32(0xFFFF))
            out[width - 1] = scale if np.int16(low) >= least else zero


@compiled
def normalize(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    running_mean: np.ndarray,
    running_var: np.ndarray,
    constants: np.ndarray,
    standard: np.ndarray,
    rstd: np.ndarray,
    y: np.ndarray,
) -> None:
    """Batch norm by the batch's statistics; ``standard`` is kept for the backward pass."""
    n_rows, width = x.shape
    one = x.dtype.type(1)
    eps, momentum = constants[0], constants[1]
    share = one / x.dtype.type(n_rows)
    mean = np.zeros(width, x.dtype)
    for b in range(n_rows):
        row = x[b]
        for j in range(width):
            mean[j] += row[j]
    for j in range(width):
        mean[j] *= share
        rstd[j] = x.dtype.type(0)
    for b in range(n_rows):
        row = x[b]
        for j in range(width):
            d = row[j] - mean[j]
            rstd[j] += d * d
    unbiased = momentum * x.dtype.type(n_rows / max(n_rows - 1, 1))
    for j in range(width):
        var = rstd[j] * share
        running_mean[j] += momentum * (mean[j] - running_mean[j])
        running_var[j] = (one - momentum) * running_var[j] + unbiased * var
        rstd[j] = one / np.sqrt(var + eps)
    for b in range(n_rows):
        row, out, kept = x[b], y[b], standard[b]
        for j in range(width):
            s = (row[j] - mean[j]) * rstd[j]
            kept[j] = s
            out[j] = s * weight[j] + bias[j]


@compiled
def normalize_backward(
    standard: np.ndarray,
    rstd: np.ndarray,
    weight: np.ndarray,
    of_weight: np.ndarray,
    of_bias: np.ndarray,
    grad: np.ndarray,
) -> None:
    n_rows, width = grad.shape
    of_weight[:] = grad.dtype.type(0)
    of_bias[:] = grad.dtype.type(0)
    for b in range(n_rows):
        g, s = grad[b], standard[b]
        for j in range(width):
            of_bias[j] += g[j]
            of_weight[j] += g[j] * s[j]
    share = grad.dtype.type(1 / n_rows)
    for b in range(n_rows):
        g, s = grad[b], standard[b]
        for j in range(width):
            centered = g[j] - share * (of_bias[j] + s[j] * of_weight[j])
            g[j] = centered * rstd[j] * weight[j]


@compiled
def evaluate_norm(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    running_mean: np.ndarray,
    running_var: np.ndarray,
    eps: float,
    y: np.ndarray,
) -> None:
    width = x.shape[1]
    scale = weight / np.sqrt(running_var + eps)
    for b in range(len(x)):
        row, out = x[b], y[b]
        for j in range(width):
            out[j] = (row[j] - running_mean[j]) * scale[j] + bias[j]
