"""What training did to the weights, and what the units of each layer answer to."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hw1.analysis.layers import activations_in_chunks, weights_of
from hw1.errors import InputError

ROUNDING = 1e-6
"""What rounding may make of equal outputs, as a share of the largest."""


@dataclass(frozen=True, eq=False)
class WeightHistogram:
    """How often weights of each size occur in a layer, before training and after it.

    Attributes:
        edges: ``(n_bins + 1,)``, of the bins of both.
        initial, trained: ``(n_bins,)`` counts.
        outside: how many trained weights are outliers beyond the edges, or no finite numbers.
    """

    edges: np.ndarray
    initial: np.ndarray
    trained: np.ndarray
    outside: int


def weight_histogram(
    initial: nn.Module, trained: nn.Module, layer: str, n_bins: int
) -> WeightHistogram:
    """Histograms of the weights of a layer, without its biases.

    The bins cover all weights but for outliers: those that are further from the central 99% of
    a network's weights than half the width of these.

    Args:
        initial, trained: two networks of the same architecture.
        layer: a module with a ``weight``; see `hw1.analysis.layers.weight_layers`.
    """
    both = [weights_of(model, layer).flatten().numpy() for model in (initial, trained)]
    finite = [weights[np.isfinite(weights)] for weights in both]
    ranges = [_range(weights) for weights in finite if len(weights)]
    low = min((low for low, _ in ranges), default=0.0)
    high = max((high for _, high in ranges), default=0.0)
    # Weights that are all the same have bins, too.
    least = 1e-6 * n_bins * max(abs(low), abs(high)) or 1.0
    margin = max(least - (high - low), 0) / 2
    edges = np.linspace(low - margin, high + margin, n_bins + 1)
    before, after = (np.histogram(weights, edges)[0] for weights in finite)
    return WeightHistogram(edges, before, after, len(both[1]) - int(after.sum()))


def _range(weights: np.ndarray) -> tuple[float, float]:
    # With these methods 200 weights or fewer are covered as a whole.
    low = np.quantile(weights, 0.005, method="lower")
    high = np.quantile(weights, 0.995, method="higher")
    margin = (high - low) / 2
    inside = weights[(weights >= low - margin) & (weights <= high + margin)]
    return float(inside.min()), float(inside.max())


def unit_means(output: Tensor) -> Tensor:
    """What each unit puts out, ``(n_rows, n_units)``: channels of maps, averaged over positions."""
    return _by_position(output).mean(2)


def _by_position(output: Tensor) -> Tensor:
    """``(n_rows, n_units, ...)`` as ``(n_rows, n_units, n_positions)`` float64 on the CPU."""
    return output.cpu().double().reshape(*output.shape[:2], -1)


@dataclass(frozen=True, eq=False)
class UnitStatistics:
    """How the units of a layer are used.

    Attributes:
        dead: ``(n_units,)`` bool: whether a unit's output is the same for all examples.
        zeros: ``(n_units,)`` float64: the share of a unit's activations that are exactly zero.
    """

    dead: Tensor
    zeros: Tensor


def unit_statistics(
    model: nn.Module, inputs: Tensor, layers: Collection[str]
) -> dict[str, UnitStatistics]:
    """Which units are dead, and how sparse the activations are.

    A unit (of maps: a channel) is dead if at none of its positions the output varies over the
    rows by more than `ROUNDING` times the largest absolute activation of its layer. So a ReLU that
    is zero for all examples is dead, but also a sigmoid that is saturated for all of them: neither
    tells anything about the input. That positions differ from each other does not count: at the
    border of a dead map zero padding makes a difference, which is the same for all examples.

    Args:
        model: any network; it is run in evaluation mode.
        inputs: ``(n_rows, *input_shape)``, at least two examples.
        layers: names; see `hw1.analysis.layers.hidden_layers`.

    Raises:
        InputError: fewer than two rows, or no such layer.
    """
    if len(inputs) < 2:
        raise InputError("give at least two examples: a unit is dead if its output does not vary")
    lowest: dict[str, Tensor] = {}
    highest: dict[str, Tensor] = {}
    zeros: dict[str, Tensor] = {}
    for outputs in activations_in_chunks(model, inputs, layers):
        for name, output in outputs.items():
            values = _by_position(output)
            low, high, zero = values.amin(0), values.amax(0), (values == 0).double().mean(2).sum(0)
            lowest[name] = torch.minimum(low, lowest.get(name, low))
            highest[name] = torch.maximum(high, highest.get(name, high))
            zeros[name] = zero + zeros.get(name, 0)
    statistics = {}
    for name in layers:
        scale = torch.maximum(-lowest[name], highest[name]).max()
        varies = highest[name] - lowest[name] > ROUNDING * scale
        statistics[name] = UnitStatistics(~varies.any(1), zeros[name] / len(inputs))
    return statistics
