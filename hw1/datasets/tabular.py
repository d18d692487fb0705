"""Any CSV file with a header row: numeric feature columns and one target column."""

import csv
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from hw1.datasets.dataset import Dataset, Loader, Part
from hw1.errors import InputError, choose, require_file
from hw1.tasks import TASKS, TaskName

LARGEST = float(np.finfo(np.float32).max)
SHOWN = 10
"""How many columns a message names."""


class Table(NamedTuple):
    """A CSV file as text: its header, and its rows with their line numbers."""

    path: Path
    columns: list[str]
    rows: list[tuple[int, list[str]]]


def loader(
    train_csv: str | Path,
    test_csv: str | Path | None = None,
    *,
    target: str | None = None,
    task: TaskName = "regression",
) -> Loader:
    """A loader over a pair of CSV files.

    Args:
        train_csv: the training examples, with a header row.
        test_csv: the test examples, with the same columns in any order; optional.
        target: the target's column; default ``label`` if there is such a column, else the last.
        task: with ``"classification"`` the target may be text, and each distinct value in the
            training examples is a class.
    """
    return partial(
        load,
        train_csv=Path(train_csv),
        test_csv=None if test_csv is None else Path(test_csv),
        target=target,
        task=task,
    )


def load(
    part: Part,
    data_dir: Path,
    *,
    train_csv: Path,
    test_csv: Path | None = None,
    target: str | None = None,
    task: TaskName = "regression",
) -> Dataset:
    """Load one part of a pair of CSV files; ``loader`` binds the keyword arguments.

    The header of the test file is checked when the training part is loaded, so that a mistake
    shows before a study, not after it. ``data_dir`` is not used.

    Raises:
        InputError: a file is missing, empty or no CSV; a column is repeated or missing; a cell is
            empty, NaN, infinite, or text where a number belongs (its line and column are named).
    """
    choose("task", task, TASKS)
    train = _read(train_csv)
    target = _target_column(train, target)
    features = [column for column in train.columns if column != target]
    if not features:
        raise InputError(
            f"{train_csv} has no feature column beside the target {target!r}: give it one, and "
            "separate the columns by commas"
        )
    test = None if test_csv is None else _read(test_csv)
    if test is not None and set(test.columns) != set(train.columns):
        raise InputError(
            f"the columns of {test_csv} ({_listed(test.columns)}) are not those of {train_csv} "
            f"({_listed(train.columns)}): give two files with the same columns"
        )
    if part == "test" and test is None:
        raise InputError(
            f"there is no test file beside {train_csv}: evaluate with --no-test, or name one in "
            "the study file"
        )
    table = train if part == "train" or test is None else test

    class_names: tuple[str, ...] = ()
    if task == "classification":
        # The classes are those of the training examples, so that both parts number them alike.
        distinct = sorted(set(_labels(train, target)))
        are_numbers = all(map(_is_number, distinct))
        class_names = tuple(sorted(distinct, key=float) if are_numbers else distinct)
        if len(class_names) < 2:
            raise InputError(
                f"column {target!r} of {train_csv} holds one class only: a classification needs two"
            )
        labels = _labels(table, target)
        unknown = set(labels) - set(class_names)
        if unknown:
            raise InputError(
                f"column {target!r} of {table.path} holds {sorted(unknown)[0]!r}, a class without "
                f"training examples in {train_csv}"
            )
        numbers = {name: number for number, name in enumerate(class_names)}
        targets = torch.tensor([numbers[label] for label in labels])
    else:
        targets = torch.from_numpy(_numbers(table, [target]))
    return Dataset(
        name=train_csv.stem,
        task=task,
        inputs=torch.from_numpy(_numbers(table, features)),
        targets=targets,
        class_names=class_names,
        feature_names=tuple(features),
        target_name=target,
    )


def read_features(path: Path, features: Sequence[str]) -> tuple[list[int], np.ndarray]:
    """Read columns of a CSV file by their names; the other columns may be anything.

    Args:
        path: the file, with a header row whose columns may be in any order.
        features: the columns to read.

    Returns:
        The line of each example in the file, from 1, and the cells, ``(n_rows, len(features))``
        float32.

    Raises:
        InputError: as `load`; a column that is missing is named together with those that are
            there.
    """
    table = _read(path, features)
    return [line for line, _ in table.rows], _numbers(table, features)


def _read(path: Path, features: Sequence[str] = ()) -> Table:
    """The whole file; of its header all columns are checked, or ``features`` if there are any."""
    require_file(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(_without_nul(file), strict=True)
            lines = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: save it as a CSV file in UTF-8") from error
    except (OSError, csv.Error) as error:
        raise InputError(f"cannot read {path} as a CSV file: {error}") from error
    if not lines:
        raise InputError(f"{path} is empty: a header row and at least one row of data are needed")
    columns = [cell.strip() for cell in lines[0][1]]
    rows = lines[1:]
    _check_header(path, columns, features)
    if not rows:
        raise InputError(f"{path} has a header but no rows of data")
    for line, row in rows:
        if len(row) != len(columns):
            raise InputError(
                f"line {line} of {path} has {len(row)} cells where the header has {len(columns)}"
            )
    return Table(path, columns, rows)


def _without_nul(lines: Iterable[str]) -> Iterator[str]:
    """The lines of a file, which is text only if none holds a NUL byte."""
    for number, line in enumerate(lines, 1):
        if "\0" in line:
            raise csv.Error(f"line {number} holds a NUL byte, which no text does")
        yield line


def _listed(columns: Sequence[str]) -> str:
    more = f" and {len(columns) - SHOWN} more" if len(columns) > SHOWN else ""
    return ", ".join(columns[:SHOWN]) + more


def _check_header(path: Path, columns: list[str], features: Sequence[str]) -> None:
    counts = Counter(columns)
    missing = [feature for feature in features if feature not in counts]
    if all(_is_number(column) for column in columns) and (missing or not features):
        raise InputError(
            f"the first row of {path} holds numbers only: give the columns' names in a header row"
        )
    if missing:
        raise InputError(
            f"{path} has no column {missing[0]!r}, which is needed: it has {_listed(columns)}"
        )
    if not features and "" in columns:
        raise InputError(f"column {columns.index('') + 1} of {path} has no name: give it one")
    repeated = [column for column in features or columns if counts[column] > 1]
    if repeated:
        raise InputError(f"{path} has two columns named {repeated[0]!r}: rename one")


def default_target(columns: Sequence[str]) -> str:
    """The target unless one is named: ``label`` if there is such a column, else the last."""
    return "label" if "label" in columns else columns[-1]


def _target_column(table: Table, target: str | None) -> str:
    if target is None:
        return default_target(table.columns)
    if target not in table.columns:
        raise InputError(
            f"{table.path} has no column {target!r}: choose the --target from "
            f"{_listed(table.columns)}"
        )
    return target


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    # Python also reads 1_000 and the digits of other scripts, which elsewhere are text.
    return cell.isascii() and "_" not in cell


def _numbers(table: Table, columns: Sequence[str]) -> np.ndarray:
    """The cells of ``columns`` as float32, ``(n_rows, n_columns)``."""
    place = {column: i for i, column in enumerate(table.columns)}
    positions = [place[column] for column in columns]
    values = np.empty((len(table.rows), len(columns)), dtype=np.float32)
    for i, (line, row) in enumerate(table.rows):
        for j, position in enumerate(positions):
            cell = row[position].strip()
            value = float(cell) if _is_number(cell) else math.nan
            if not abs(value) <= LARGEST:
                what = "is empty" if not cell else f"holds {cell!r}"
                raise InputError(
                    f"column {columns[j]!r} {what} in line {line} of {table.path}: "
                    "every cell must be a finite number of single precision"
                )
            values[i, j] = value
    return values


def _labels(table: Table, column: str) -> list[str]:
    """The class of each example; numbers in one form, so that 1 and 1.0 are the same class."""
    position = table.columns.index(column)
    labels = []
    for line, row in table.rows:
        label = row[position].strip()
        if _is_number(label):
            label = repr(float(label)).removesuffix(".0")
        if label in ("", "nan"):
            raise InputError(f"column {column!r} holds no class in line {line} of {table.path}")
        labels.append(label)
    return labels
