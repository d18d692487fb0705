"""Small networks and data for the figures of a network's inside, and what is in a figure."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from hw1.analysis.figures.inside.subject import Subject
from hw1.analysis.figures.marks import Figure, Image, Text
from hw1.analysis.network import Network
from hw1.datasets import Dataset

PIXELS = 128.0, 70.0
"""About the mean and the standard deviation of `images`."""
Kind = TypeVar("Kind")


def network_of(model: nn.Module, dataset: Dataset, mean: float = 0.0, std: float = 1.0) -> Network:
    """The module behind a normalization that is the same for all inputs."""
    shape = (dataset.input_shape[0], 1, 1) if len(dataset.input_shape) == 3 else dataset.input_shape
    n = dataset.n_outputs
    moments = torch.full(shape, mean), torch.full(shape, std)
    return Network(model, *moments, torch.zeros(n), torch.ones(n)).eval()


def looked_at(model: nn.Module, dataset: Dataset, *moments: float) -> Subject:
    """The network with its data, as figures take it."""
    network = network_of(model, dataset, *moments)
    return Subject(network, network, dataset)


def drawn(figure: Callable[[Subject], Figure | None], *network: object) -> Figure:
    """The figure of what `looked_at` takes; there has to be one."""
    return figure(looked_at(*network))


def images(shape: Sequence[int], n_outputs: int, n: int = 30, task: str = "") -> Dataset:
    """Random pixels; classes in turn, or random targets for a ``task`` of regression."""
    random = np.random.default_rng(0)
    pixels = torch.from_numpy(random.integers(0, 256, (n, *shape), dtype=np.uint8))
    return _with_targets(pixels, n_outputs, task)


def table(n_features: int, n_outputs: int, n: int = 60, task: str = "") -> Dataset:
    """Random numbers; targets as in `images`."""
    x = np.random.default_rng(1).normal(size=(n, n_features)).astype(np.float32)
    return _with_targets(torch.from_numpy(x), n_outputs, task)


def _with_targets(inputs: Tensor, n_outputs: int, task: str) -> Dataset:
    n = len(inputs)
    if task == "regression":
        targets = torch.from_numpy(np.random.default_rng(2).normal(size=(n, n_outputs)))
        return Dataset("toy", "regression", inputs, targets.float(), target_name="price")
    names = tuple(f"class {i}" for i in range(n_outputs))
    return Dataset("toy", "classification", inputs, torch.arange(n) % n_outputs, class_names=names)


def marks(figure: Figure, kind: type[Kind]) -> list[Kind]:
    """Its marks of a kind, panel after panel, in the order in which they are drawn."""
    return [mark for panel in figure.panels for mark in panel.marks if isinstance(mark, kind)]


def pictures(figure: Figure) -> list[np.ndarray]:
    """The pixels of its images."""
    return [image.pixels for image in marks(figure, Image)]


def texts(figure: Figure) -> list[str]:
    """All its texts."""
    return [mark.text for mark in marks(figure, Text)]


def titles(figure: Figure) -> list[str]:
    """Those of its panels."""
    return [panel.title for panel in figure.panels]


def numbers(text: str) -> list[float]:
    """As a figure writes them, between arrows."""
    return [float(part.replace("−", "-").replace(",", "")) for part in text.split(" → ")]
