"""What the figures of a network's inside are made from: some rows, classes, layers and units."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from hw1.analysis.activations import activation_profiles
from hw1.analysis.layers import evaluating, hidden_layers, layer_outputs
from hw1.analysis.network import Network, predict
from hw1.datasets import Dataset

N_ROWS = 2000
"""Rows that figures are made from at most."""
MOST_CLASSES = 10
"""Classes that a figure shows."""
PIXELS = 255.0

T = TypeVar("T")


class Layer(NamedTuple):
    """A hidden layer.

    Attributes:
        name: see `hw1.analysis.layers`.
        title: what a figure calls it.
        shape: of its output for one row.
    """

    name: str
    title: str
    shape: tuple[int, ...]

    @property
    def n_units(self) -> int:
        """Its units, or channels of maps."""
        return self.shape[0]

    @property
    def has_maps(self) -> bool:
        """Whether it puts out ``(channels, height, width)``."""
        return len(self.shape) == 3

    @property
    def unit(self) -> str:
        """What one of its units is called."""
        return "channel" if self.has_maps else "unit"


def take_sample(dataset: Dataset, seed: int, n_rows: int = N_ROWS) -> Dataset:
    """Rows in the CPU's memory, drawn without replacement, in their old order.

    Of each class there is the same share, and one row at least as long as ``n_rows`` suffices.
    """
    n = len(dataset)
    order = np.random.default_rng(seed).permutation(n)
    if dataset.task == "classification":
        classes = dataset.targets.cpu().numpy()[order]
        # Where a row stands in its class, as a share of it.
        place = np.empty(n)
        for number in np.unique(classes):
            those = np.flatnonzero(classes == number)
            place[those] = np.arange(len(those)) / len(those)
        order = order[np.argsort(place, kind="stable")]
    rows = torch.from_numpy(np.sort(order[:n_rows]))
    taken = dataset if n <= n_rows else dataset.take(rows.to(dataset.inputs.device))
    return replace(taken, inputs=taken.inputs.cpu(), targets=taken.targets.cpu())


def evenly(items: Sequence[T], n: int) -> list[T]:
    """``n`` of the items, evenly spread from the first to the last; all if they are no more."""
    if len(items) <= n:
        return list(items)
    places = np.linspace(0, len(items) - 1, n).round().astype(int)
    return [items[i] for i in places]


def shown_classes(sample: Dataset) -> list[int]:
    """Classes to show: those that have rows, or some of them if they are too many."""
    return evenly(torch.unique(sample.targets).tolist(), MOST_CLASSES)


def is_image(dataset: Dataset) -> bool:
    """Whether its rows are images."""
    return len(dataset.input_shape) == 3


def find_layers(network: Network, sample: Dataset) -> list[Layer]:
    """The hidden layers of a network, in the order of their use."""
    inputs = network.normalise(sample.inputs[:2])
    titles = hidden_layers(network.network, inputs)
    with torch.no_grad():
        outputs = layer_outputs(network.network, inputs, titles)
    return [Layer(name, titles[name], tuple(o.shape[1:])) for name, o in outputs.items()]


def outputs_of(network: Network, inputs: Tensor) -> Tensor:
    """What the network says of raw inputs, ``(n_rows, n_outputs)``, in evaluation mode."""
    with evaluating(network):
        return predict(network, inputs)


def unit_activations(
    network: Network, inputs: Tensor, layers: Sequence[Layer]
) -> dict[str, np.ndarray]:
    """The activation of each unit for each row, ``(n_rows, n_units)`` float64 by the layer's name.

    Args:
        network: any.
        inputs: ``(n_rows, *input_shape)``, raw.
        layers: whose units; of maps they are the channels, each averaged over its positions.
    """
    each = torch.arange(len(inputs))
    normalised = network.normalise(inputs)
    found = activation_profiles(network.network, normalised, each, [la.name for la in layers])
    return {name: values.numpy() for name, values in found.items()}


def most_varying(activations: np.ndarray, n: int) -> np.ndarray:
    """The numbers of the ``n`` units, in order, whose activations vary most over the rows."""
    return np.sort(np.argsort(-activations.std(0), kind="stable")[:n])


def weight_of(network: Network, layer: str) -> Tensor:
    """The weight of a linear or convolutional layer, float64 on the CPU."""
    weight = network.network.get_submodule(layer).weight
    assert isinstance(weight, Tensor)
    return weight.detach().cpu().double()


def pixel_range(sample: Dataset) -> tuple[float, float]:
    """The lowest and the highest value that a pixel can have, or has in the sample."""
    if sample.inputs.dtype == torch.uint8:
        return 0.0, PIXELS
    low, high = float(sample.inputs.min()), float(sample.inputs.max())
    return low, high if high > low else low + 1


def as_pictures(images: Tensor, low: float, high: float) -> np.ndarray:
    """Images of any channels for the eye: ``(n, height, width)`` uint8; of colours ``(…, 3)``.

    Args:
        images: ``(n, channels, height, width)``; one of three channels has colours, any other
            the mean of its channels.
        low, high: what is to be black and white.
    """
    scaled = ((images.double() - low) / (high - low) * PIXELS).nan_to_num().clamp(0, PIXELS)
    if images.shape[1] != 3:
        return scaled.mean(1).round().to(torch.uint8).numpy()
    return scaled.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def shown_of(n: int, n_all: int, nouns: str) -> str:
    """A sentence that says how many are shown, after a space; nothing if all are."""
    return f" Shown are {n} of {n_all:,} {nouns}." if n < n_all else ""
