"""Data that are given in Python, as arrays or as a table, in place of a loader's."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from hw1.datasets.dataset import Dataset, Part
from hw1.datasets.tabular import default_target
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
        test_data: the test examples in the same form, if there are any.
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
        there = _columns(test_data)
        missing = [column for column in columns if column not in there]
        if missing:
            raise InputError(f"test_data has no column {missing[0]!r}, but data does")
        test_data = test_data.iloc[:, [there.index(column) for column in columns]]
        target = train.target_name
    test = _dataset(test_data, task, target, train.class_names)
    if (test.input_shape, test.n_outputs) != (train.input_shape, train.n_outputs):
        raise InputError(
            f"test_data have examples of shape {test.input_shape} and {test.n_outputs} outputs, "
            f"data {train.input_shape} and {train.n_outputs}: give both the same"
        )
    for names in ("class_names", "feature_names"):
        ours, theirs = getattr(train, names), getattr(test, names)
        if ours and theirs and ours != theirs:
            raise InputError(f"test_data and data must have the same {names} in the same order")
    return Given(train, test)


def _dataset(data: Any, task: TaskName, target: str | None, classes: Sequence[str]) -> Dataset:
    """The examples of one part, with the classes of the training examples where there are any."""
    if isinstance(data, Dataset):
        if data.task != task:
            raise InputError(f"{data.name} is data for {data.task}, but the study is for {task}")
        return data
    names: dict[str, Any] = {}
    if hasattr(data, "columns"):
        columns = _columns(data)
        target = default_target(columns or [""]) if target is None else target
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
        try:
            x, y = (
                value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
                for value in data
            )
        except ValueError as error:
            raise InputError(f"data are not rectangular arrays ({error})") from error
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


def _columns(table: Any) -> list[str]:
    columns = [str(column) for column in table.columns]
    repeated = [column for column in columns if columns.count(column) > 1]
    if repeated:
        raise InputError(f"the DataFrame has two columns named {repeated[0]!r}: rename one")
    return columns


def _floats(values: np.ndarray, what: str) -> Tensor:
    try:
        return torch.from_numpy(np.array(values, dtype=np.float32))
    except (TypeError, ValueError) as error:
        raise InputError(f"the {what} are not all numbers ({error}): encode them first") from error


def _classes(labels: np.ndarray, known: Sequence[str]) -> tuple[Tensor, tuple[str, ...]]:
    """The class number of each example, and the names: those known, or all there are in order."""
    is_missing = labels.dtype.kind == "f" and not np.isfinite(labels).all()
    if labels.dtype.kind == "O":
        is_missing = bool(pd.isna(labels).any())
    if labels.ndim != 1 or is_missing:
        raise InputError("classes must be one number or text per example, with none missing")
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
        raise InputError(f"test_data contains the class {unknown[0]!r}, but data does not")
    places = np.array([known.index(name) for name in names])
    return torch.from_numpy(places[numbers].astype(np.int64)), tuple(known)
