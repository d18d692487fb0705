"""Data that are given in Python, as arrays or as a table, in place of a loader's."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hw1.datasets.dataset import Dataset, Part
from hw1.datasets.tabular import DEFAULT_TARGET
from hw1.errors import InputError
from hw1.tasks import TaskName

ARRAYS, TABLE = "arrays", "a DataFrame"
GIVEN = (ARRAYS, TABLE)
"""The names of data sets that have no other."""


@dataclass(frozen=True)
class Given:
    """A `Loader` of data that are in memory.

    Attributes:
        train: the training examples.
        test: the test examples; None if there are none.
    """

    train: Dataset
    test: Dataset | None = None

    def __call__(self, part: Part, data_dir: Path) -> Dataset:
        """The examples of one part.

        Raises:
            InputError: there are no test examples.
        """
        if part == "train":
            return self.train
        if self.test is None:
            raise InputError("no test_data were given beside data")
        return self.test


def given(data: Any, test_data: Any = None, *, task: TaskName, target: str | None = None) -> Given:
    """Data sets from what a user has in memory.

    Args:
        data: the training examples: a pair of arrays or tensors, inputs and targets; a DataFrame of
            pandas, all columns numbers but for the classes; or a `Dataset`. Inputs are
            ``(n_rows, n_features)`` numbers, sequences ``(n_rows, steps, n_features)``, or images
            ``(n_rows, channels, height, width)`` of which uint8 are pixels. Targets are
            ``(n_rows,)``, or ``(n_rows, n_outputs)`` numbers. Classes may be numbers or text.
        test_data: the test rows in the same form, if there are any.
        task: ``"regression"`` or ``"classification"``.
        target: the target's column in a DataFrame; None for ``label`` if there is such a column,
            else the last.

    Raises:
        InputError: the data are of another form, not finite, or the test examples are not like the
            training examples.
    """
    train = _dataset(data, task, target, ())
    if test_data is None:
        return Given(train)
    if train.feature_names and hasattr(test_data, "columns"):  # in the same order
        columns = [*train.feature_names, train.target_name]
        missing = [column for column in columns if column not in test_data.columns]
        if missing:
            raise InputError(f"test_data have no column {missing[0]!r}, which data have")
        test_data, target = test_data[columns], train.target_name
    test = _dataset(test_data, task, target, train.class_names)
    if (test.input_shape, test.n_outputs) != (train.input_shape, train.n_outputs):
        raise InputError(
            f"test_data have examples of shape {test.input_shape} and {test.n_outputs} outputs, "
            f"data {train.input_shape} and {train.n_outputs}: give both the same"
        )
    return Given(train, test)


def _dataset(data: Any, task: TaskName, target: str | None, classes: Sequence[str]) -> Dataset:
    """The examples of one part, with the classes of the training examples where there are any."""
    if isinstance(data, Dataset):
        if data.task != task:
            raise InputError(f"{data.name} is data for {data.task}, the study one of {task}")
        return data
    names: dict[str, Any] = {}
    if hasattr(data, "columns"):
        columns = [str(column) for column in data.columns]
        if target is None:
            target = DEFAULT_TARGET if DEFAULT_TARGET in columns else columns[-1]
        if target not in columns or len(columns) < 2:
            raise InputError(
                f"the DataFrame has no column {target!r} beside others: choose the target= from "
                f"{', '.join(columns)}"
            )
        y = data.iloc[:, columns.index(target)].to_numpy()
        features = [column for column in columns if column != target]
        x = data.iloc[:, [columns.index(column) for column in features]].to_numpy()
        names = {"feature_names": tuple(features), "target_name": target}
    elif isinstance(data, tuple | list) and len(data) == 2:
        x, y = (
            value.cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
            for value in data
        )
    else:
        raise InputError("data are a pair of arrays (X, y), a DataFrame or a hw1 Dataset")
    if task == "classification":
        targets, names["class_names"] = _classes(y, classes)
    else:
        targets = _floats(y, "targets")
        targets = targets[:, None] if targets.dim() == 1 else targets
    inputs = (
        torch.from_numpy(np.array(x))
        if x.dtype == np.uint8 and x.ndim == 4
        else _floats(x, "inputs")
    )
    name = TABLE if hasattr(data, "columns") else ARRAYS
    return Dataset(name=name, task=task, inputs=inputs, targets=targets, **names)


def _floats(values: np.ndarray, what: str) -> Tensor:
    try:
        return torch.from_numpy(np.array(values, dtype=np.float32))
    except (TypeError, ValueError) as error:
        raise InputError(f"the {what} are not all numbers ({error}): encode them first") from error


def _classes(labels: np.ndarray, known: Sequence[str]) -> tuple[Tensor, tuple[str, ...]]:
    """The class number of each example, and the names: those known, or all there are in order."""
    if labels.ndim != 1 or (labels.dtype.kind == "f" and not np.isfinite(labels).all()):
        raise InputError("the classes are one number or text a row, and none is missing")
    values, numbers = np.unique(
        labels.astype(str) if labels.dtype.kind == "O" else labels, return_inverse=True
    )
    if values.dtype.kind == "f" and (values == values.round()).all():
        values = values.astype(np.int64)  # 1.0 and 1 are one class
    names = tuple(map(str, values.tolist()))
    if not known:
        if len(names) < 2:
            raise InputError("there is one class only: a classification needs two")
        return torch.from_numpy(numbers.astype(np.int64)), names
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(f"test_data have the class {unknown[0]!r}, which data have not")
    places = np.array([known.index(name) for name in names])
    return torch.from_numpy(places[numbers].astype(np.int64)), tuple(known)
