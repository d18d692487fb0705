"""What the figures of a network's inside look at: the network, examples, its layers and units."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from hw1.analysis.activations import unit_means
from hw1.analysis.figures.layout import PIXELS, as_bytes
from hw1.analysis.layers import (
    activations,
    evaluating,
    hidden_layers,
    layer_outputs,
    weight_layers,
)
from hw1.analysis.network import Network, predict
from hw1.datasets import Dataset
from hw1.words import counted

N_EXAMPLES = 2000
"""Figures are made from as many examples at most."""
MOST_CLASSES = 10
"""A figure shows as many classes."""

T = TypeVar("T")


class Layer(NamedTuple):
    """A hidden layer.

    Attributes:
        name: see `hw1.analysis.layers`.
        title: what a figure calls it.
        shape: of its output for one example.
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

    def heading(self, n_shown: int) -> str:
        """Its title, and how many of its units are shown."""
        some = f"{n_shown} of " if n_shown < self.n_units else ""
        return f"{self.title}: {some}{counted(self.n_units, self.unit)}"


@dataclass(frozen=True, eq=False)
class Subject:
    """A network that is looked at, with examples of its data.

    Attributes:
        trained, initial: the network after training, and before it.
        sample: examples in the CPU's memory, not more than `N_EXAMPLES`; see `take_sample`.
        seed: of all that is drawn.
    """

    trained: Network
    initial: Network
    sample: Dataset
    seed: int = 0

    def fewer(self, n: int) -> "Subject":
        """The same with ``n`` examples at most."""
        return replace(self, sample=take_sample(self.sample, self.seed, n))

    @property
    def has_images(self) -> bool:
        """Whether examples are images."""
        return len(self.sample.input_shape) == 3

    @property
    def has_classes(self) -> bool:
        """Whether classes are predicted, not numbers."""
        return self.sample.task == "classification"

    @property
    def classes(self) -> list[int]:
        """Classes to show: those that have examples, or some of them if they are too many."""
        return evenly(torch.unique(self.sample.targets).tolist(), MOST_CLASSES)

    @cached_property
    def normalized(self) -> Tensor:
        """The examples' inputs as the plain network takes them."""
        return self.trained.normalize(self.sample.inputs)

    @cached_property
    def weight_layers(self) -> dict[str, str]:
        """See `hw1.analysis.layers.weight_layers`."""
        return weight_layers(self.trained.network, self.normalized)

    @cached_property
    def layers(self) -> list[Layer]:
        """The hidden layers, in the order of their use."""
        inputs = self.normalized[:2]
        titles = hidden_layers(self.trained.network, inputs)
        with torch.no_grad():
            outputs = layer_outputs(self.trained.network, inputs, titles)
        return [Layer(name, titles[name], tuple(o.shape[1:])) for name, o in outputs.items()]

    def outputs(self, inputs: Tensor) -> Tensor:
        """What the network says of raw inputs, ``(n, n_outputs)``, in evaluation mode."""
        with evaluating(self.trained):
            return predict(self.trained, inputs)

    def activations(self, layers: Sequence[Layer], inputs: Tensor) -> dict[str, np.ndarray]:
        """The activation of each unit for raw inputs, ``(n, n_units)`` float64 by layer's name.

        The units of maps are their channels, each averaged over its positions.
        """
        names = [layer.name for layer in layers]
        normalized = self.trained.normalize(inputs)
        found = activations(self.trained.network, normalized, names, unit_means)
        return {name: values.numpy() for name, values in found.items()}

    @cached_property
    def pixel_range(self) -> tuple[float, float]:
        """The lowest and the highest value that a pixel can have, or has in the sample."""
        if self.sample.inputs.dtype == torch.uint8:
            return 0.0, PIXELS
        return float(self.sample.inputs.min()), float(self.sample.inputs.max())

    def pictures(self, images: Tensor) -> np.ndarray:
        """Raw images for the eye: ``(n, height, width)`` uint8; in color ``(..., 3)``.

        Three channels are colors; of any other number there is the mean.
        """
        images = images.permute(0, 2, 3, 1) if images.shape[1] == 3 else images.double().mean(1)
        return as_bytes(images, *self.pixel_range)


def take_sample(dataset: Dataset, seed: int, n_examples: int = N_EXAMPLES) -> Dataset:
    """Examples in the CPU's memory, drawn without replacement, in their old order.

    Of each class there is the same share, and one at least as long as ``n_examples`` suffices.
    """
    n = len(dataset)
    order = np.random.default_rng(seed).permutation(n)
    if dataset.task == "classification":
        classes = dataset.targets.cpu().numpy()[order]
        # Where an example stands in its class, as a share of it.
        place = np.empty(n)
        for number in np.unique(classes):
            those = np.flatnonzero(classes == number)
            place[those] = np.arange(len(those)) / len(those)
        order = order[np.argsort(place, kind="stable")]
    chosen = torch.from_numpy(np.sort(order[:n_examples]))
    taken = dataset if n <= n_examples else dataset.take(chosen.to(dataset.inputs.device))
    return replace(taken, inputs=taken.inputs.cpu(), targets=taken.targets.cpu())


def evenly(items: Sequence[T], n: int) -> list[T]:
    """``n`` of the items, evenly spread from the first to the last; all if they are no more."""
    if len(items) <= n:
        return list(items)
    places = np.linspace(0, len(items) - 1, n).round().astype(int)
    return [items[i] for i in places]


def arranged(n: int) -> tuple[int, int]:
    """The rows and columns of ``n`` panels, four side by side at most."""
    rows = -(-n // 4)
    return rows, -(-n // rows)


def most_varying(activations: np.ndarray, n: int) -> np.ndarray:
    """The ``n`` units, in order, whose activations ``(examples, units)`` vary most."""
    return np.sort(np.argsort(-activations.std(0), kind="stable")[:n])


def shown_of(n: int, n_all: int, nouns: str) -> str:
    """A sentence that says how many are shown, after a space; nothing if all are."""
    return f" {n} of {n_all:,} {nouns} are shown." if n < n_all else ""
