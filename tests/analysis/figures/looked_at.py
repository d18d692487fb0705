"""Small networks and data for the figures of a network's inside."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hw1.analysis.figures.style import Figure
from hw1.analysis.network import Network
from hw1.datasets import Dataset


def network_of(model: nn.Module, dataset: Dataset, mean: float = 0.0, std: float = 1.0) -> Network:
    """The module behind a normalisation that is the same for all inputs."""
    shape = (dataset.input_shape[0], 1, 1) if len(dataset.input_shape) == 3 else dataset.input_shape
    n = dataset.n_outputs
    moments = torch.full(shape, mean), torch.full(shape, std)
    return Network(model, *moments, torch.zeros(n), torch.ones(n)).eval()


def images(shape: Sequence[int], n_outputs: int, n_rows: int = 30, task: str = "") -> Dataset:
    """Random pixels; classes in turn, or random targets for a ``task`` of regression."""
    random = np.random.default_rng(0)
    pixels = torch.from_numpy(random.integers(0, 256, (n_rows, *shape), dtype=np.uint8))
    return _with_targets(pixels, n_outputs, task)


def table(n_features: int, n_outputs: int, n_rows: int = 60, task: str = "") -> Dataset:
    """Random numbers; targets as in `images`."""
    x = np.random.default_rng(1).normal(size=(n_rows, n_features)).astype(np.float32)
    return _with_targets(torch.from_numpy(x), n_outputs, task)


def _with_targets(inputs: Tensor, n_outputs: int, task: str) -> Dataset:
    n = len(inputs)
    if task == "regression":
        targets = torch.from_numpy(np.random.default_rng(2).normal(size=(n, n_outputs)))
        return Dataset("toy", "regression", inputs, targets.float(), target_name="price")
    names = tuple(f"class {i}" for i in range(n_outputs))
    return Dataset("toy", "classification", inputs, torch.arange(n) % n_outputs, class_names=names)


def heatmaps(figure: Figure) -> list[Any]:
    """Its heatmaps in the order in which they were drawn."""
    return [trace for trace in figure.plot.data if trace.type == "heatmap"]


def cells(trace: Any, height: int, width: int) -> np.ndarray:
    """The pixels of an image of a canvas, which are repeated where they are few."""
    rows, columns = trace.z.shape
    return np.asarray(trace.z)[:: rows // height, :: columns // width]


def texts(figure: Figure) -> list[str]:
    """All annotations."""
    return [annotation.text for annotation in figure.plot.layout.annotations]


def as_json(figure: Figure) -> dict[str, Any]:
    """All that is in a figure."""
    return {"caption": figure.caption, **json.loads(figure.plot.to_json())}
