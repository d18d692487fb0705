"""The gradients of the losses by the outputs of one model, in compiled code."""

import numpy as np

from hw1.training.kernels import compiled, exp


@compiled
def squared_error_gradient(
    outputs: np.ndarray,
    targets: np.ndarray,
    rows: np.ndarray,
    mean: np.ndarray,
    std: np.ndarray,
    grad: np.ndarray,
) -> None:
    """Of the mean squared error of normalized targets."""
    n_rows, n_outputs = outputs.shape
    scale = outputs.dtype.type(2 / (n_rows * n_outputs))
    for b in range(n_rows):
        for j in range(n_outputs):
            target = (targets[rows[b], j] - mean[j]) / std[j]
            grad[b, j] = (outputs[b, j] - target) * scale


@compiled
def cross_entropy_gradient(
    outputs: np.ndarray, classes: np.ndarray, rows: np.ndarray, smoothing: float, grad: np.ndarray
) -> None:
    """Softmax minus the target's distribution: what smoothing leaves on it, the rest on all."""
    n_rows, n_outputs = outputs.shape
    share = outputs.dtype.type(1 / n_rows)
    for b in range(n_rows):
        out, g = outputs[b], grad[b]
        highest = out[0]
        for j in range(1, n_outputs):
            highest = max(highest, out[j])
        total = outputs.dtype.type(0)
        for j in range(n_outputs):
            g[j] = exp(out[j] - highest)
            total += g[j]
        for j in range(n_outputs):
            g[j] = (g[j] / total - smoothing / n_outputs) * share
        g[classes[rows[b]]] -= (outputs.dtype.type(1) - smoothing) * share
