"""Examples in memory: what every loader returns and everything else works on."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from hw1.errors import InputError, choose
from hw1.tasks import TASKS, TaskName

Part = Literal["train", "test"]
FLOATS = (torch.float32, torch.float64)


@dataclass(frozen=True, eq=False)
class Dataset:
    """The examples of one part (training or test) of a supervised problem.

    Attributes:
        name: what the data is called in messages and reports.
        task: ``"regression"`` or ``"classification"``.
        inputs: ``(n_rows, *input_shape)``; float32 features ``(n_features,)`` or sequences
            ``(steps, n_features)``, or images ``(channels, height, width)`` of uint8 pixels, which
            become floats only when a batch is formed, or of float32 ones.
        targets: ``(n_rows, n_outputs)`` float32 for regression, in the target's own units;
            ``(n_rows,)`` int64 class numbers for classification.
        class_names: the classes in the order of their numbers; empty for regression.
        feature_names: the columns of tabular inputs; empty for sequences and images.
        target_name: what the target is called, for axes and messages.

    Raises:
        InputError: invalid examples: of another shape or type, not finite, or of a
            class that does not exist.
    """

    name: str
    task: TaskName
    inputs: Tensor
    targets: Tensor
    class_names: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    target_name: str = "target"

    def __post_init__(self) -> None:
        choose("task", self.task, TASKS)
        wrong = self._wrong()
        if wrong is not None:
            raise InputError(f"the data {self.name!r} cannot be trained on: {wrong}")

    def _wrong(self) -> str | None:
        """What is wrong with the tensors, and what they should be; None if nothing is."""
        inputs, targets = self.inputs, self.targets
        if not isinstance(inputs, Tensor) or not isinstance(targets, Tensor):
            return "inputs and targets must be tensors of torch"
        if not inputs.numel() and inputs.dim() == 1:
            return None  # rows that are still to come
        if inputs.dim() not in (2, 3, 4) or 0 in inputs.shape[1:]:
            return (
                f"its examples have the shape {tuple(inputs.shape[1:])}; give (n_features,) for "
                "features, (steps, n_features) for sequences or (channels, height, width) for "
                "images"
            )
        if inputs.dtype not in FLOATS and (inputs.dtype, inputs.dim()) != (torch.uint8, 4):
            return (
                f"its inputs are {_name(inputs)}; give float32, or uint8 for the pixels of images"
            )
        if len(targets) != len(inputs):
            return f"it has {len(inputs)} inputs and {len(targets)} targets; give one for each"
        if self.feature_names and inputs.shape[1:] != (len(self.feature_names),):
            return (
                f"it has {len(self.feature_names)} feature names for examples of shape "
                f"{tuple(inputs.shape[1:])}"
            )
        if self.task == "regression" and (
            targets.dtype not in FLOATS or targets.dim() != 2 or not targets.shape[1]
        ):
            return f"its targets are {_name(targets)}; give float32 (n_rows, n_outputs)"
        if self.task == "classification":
            if targets.dtype != torch.int64 or targets.dim() != 1:
                return f"its targets are {_name(targets)}; give the class numbers, int64 (n_rows,)"
            if not self.class_names:
                return "it has no class_names; name every class"
        if not len(inputs) or inputs.device.type == "meta":
            return None
        for name, values in (("inputs", inputs), ("targets", targets)):
            if values.dtype in FLOATS and not values.isfinite().all():
                row = int(values.flatten(1).isfinite().all(1).int().argmin())
                return f"row {row} of its {name} holds NaN or infinity; leave such rows out"
        if self.task == "classification":
            low, high = (int(value) for value in targets.aminmax())
            if low < 0 or high >= len(self.class_names):
                return (
                    f"its class numbers reach from {low} to {high}; of {len(self.class_names)} "
                    f"class_names the numbers are 0 to {len(self.class_names) - 1}"
                )
        return None

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of an example: ``(n_features,)``, ``(steps, n_features)`` for sequences, or
        ``(channels, height, width)``.
        """
        return tuple(self.inputs.shape[1:])

    @property
    def n_outputs(self) -> int:
        """The number of outputs a network needs: target columns, or classes."""
        return TASKS[self.task].n_outputs(self.targets, self.class_names)

    @property
    def facts(self) -> dict[str, Any]:
        """What a study keeps of its data, so that reports need not load them; as JSON has it."""
        return {
            "input_shape": list(self.input_shape),
            "n_outputs": self.n_outputs,
            "class_names": list(self.class_names),
            "feature_names": list(self.feature_names),
            "target_name": self.target_name,
        }

    @cached_property
    def fingerprint(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of all examples, types and shapes."""
        digest = hashlib.sha256()
        for tensor in (self.inputs, self.targets):
            digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(np.ascontiguousarray(tensor.cpu().numpy()).tobytes())
        digest.update("\0".join(self.class_names).encode())
        return digest.hexdigest()[:16]

    @cached_property
    def pixel_moments(self) -> tuple[Tensor, Tensor] | None:
        """For uint8 pixels the sum of each row and channel, and that of the squares, as integers.

        They are exact, and serve all folds of all trials: to look at every pixel once a fold takes
        as long as an epoch of a small network. Each is ``(n_rows, channels)`` int64.
        """
        if self.inputs.dtype != torch.uint8:
            return None
        sums, squares = [], []
        for chunk in self.inputs.flatten(2).split(256):  # few enough for the cache
            wide = chunk.to(torch.int32)
            sums.append(wide.sum(2))
            squares.append(wide.square_().sum(2))
        return torch.cat(sums), torch.cat(squares)

    def to(self, device: torch.device) -> "Dataset":
        """The same examples on another device."""
        return replace(self, inputs=self.inputs.to(device), targets=self.targets.to(device))

    def sample(self, n_rows: int, seed: int, what: str = "a --train-size") -> "Dataset":
        """Draw ``n_rows`` examples without replacement, in their old order, stratified for classes.

        Args:
            n_rows: how many.
            seed: of the draw.
            what: how the number is called by whom an error tells to change it.

        Raises:
            InputError: more examples are asked for than there are, or too few for every class.
        """
        if not 0 < n_rows <= len(self):
            raise InputError(
                f"cannot take {n_rows} of the {len(self)} training examples of {self.name}: "
                f"give {what} from 1 to {len(self)}"
            )
        if n_rows == len(self):
            return self
        stratify = TASKS[self.task].strata(self.targets)
        if stratify is not None and min(n_rows, len(self) - n_rows) < self.n_outputs:
            raise InputError(
                f"cannot draw a stratified sample of {n_rows} of {len(self)} examples from "
                f"{self.n_outputs} classes: give {what} from {self.n_outputs} to "
                f"{len(self) - self.n_outputs}, or none"
            )
        from sklearn.model_selection import train_test_split  # slow to import, and seldom needed

        try:
            rows, _ = train_test_split(
                np.arange(len(self)), train_size=n_rows, random_state=seed, stratify=stratify
            )
        except ValueError as error:  # a class with a single example
            raise InputError(f"cannot draw a stratified part of {self.name}: {error}") from error
        return self.take(torch.from_numpy(np.sort(rows)))

    def take(self, rows: Tensor) -> "Dataset":
        """The examples with these numbers, int64."""
        return replace(self, inputs=self.inputs[rows], targets=self.targets[rows])


def feature_axis(input_shape: Sequence[int]) -> int:
    """The axis of an example along which its features, or an image's channels, are told apart."""
    return 1 if len(input_shape) == 2 else 0


def per_feature(values: Tensor, input_shape: Sequence[int]) -> Tensor:
    """Numbers for each feature or channel, ``(..., n)``, in a shape that goes with examples.

    Returns:
        ``(..., n)`` for features, ``(..., 1, n)`` for sequences, ``(..., n, 1, 1)`` for images.
    """
    shape = [1] * len(input_shape)
    shape[feature_axis(input_shape)] = -1
    return values.view(*values.shape[:-1], *shape)


def _name(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


Loader = Callable[[Part, Path], Dataset]
"""Loads one part of a data set; the path is the data folder, for loaders that need files."""
