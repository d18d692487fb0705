"""The inputs, batch norm and dropout of dense networks in compiled code."""

from typing import Any

import numpy as np

from hw1.training.activation_kernels import KINDS
from hw1.training.kernels import compiled, dropout, dropout_word, is_kept

LINEAR, BATCH_NORM, DROPOUT = range(len(KINDS), len(KINDS) + 3)
"""The kinds of layers beside the activations."""


@compiled
def load_inputs(
    inputs: np.ndarray,
    rows: np.ndarray,
    n_pixels: int,
    mean: np.ndarray,
    std: np.ndarray,
    out: np.ndarray,
) -> None:
    """Write the normalized inputs of ``rows``, as `hw1.training.plan.Plan.load` does."""
    for b in range(len(rows)):
        row, to = inputs[rows[b]], out[b]
        for first in range(0, len(row), len(mean) * n_pixels):  # one for each step of a sequence
            for channel in range(len(mean)):
                center, scale = mean[channel], out.dtype.type(1) / std[channel]
                start = first + channel * n_pixels
                for i in range(start, start + n_pixels):
                    to[i] = (out.dtype.type(row[i]) - center) * scale


@compiled
def draw_dropout(key: Any, p: float, factors: np.ndarray) -> None:
    """As `hw1.training.keys.dropout_factors`; ``factors`` is ``(n_rows, width)``."""
    zero = factors.dtype.type(0)
    scale, bound = dropout(p, factors.dtype.type)
    width = factors.shape[1]
    for row in range(len(factors)):
        out = factors[row]
        for i in range(width // 2):
            word = dropout_word(key, row, i)
            out[2 * i] = scale if is_kept(word, False, bound) else zero
            out[2 * i + 1] = scale if is_kept(word, True, bound) else zero
        if width % 2:
            word = dropout_word(key, row, width // 2)
            out[width - 1] = scale if is_kept(word, False, bound) else zero


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
