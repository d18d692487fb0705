"""Scores of networks on the examples of a data set, and results as JSON can hold them."""

import math
import sys
from collections.abc import Sequence
from dataclasses import is_dataclass
from typing import Any, Literal, get_args, get_origin

import numpy as np
import torch
from torch import Tensor

from hw1.datasets import Dataset
from hw1.tasks import Metric


def score_rows(metric: Metric, outputs: Tensor, rows: Dataset) -> list[float]:
    """The metric of outputs ``(n_models, n_rows, n_outputs)`` for all examples of a data set."""
    targets = rows.targets.to(outputs.device).expand(len(outputs), *rows.targets.shape)
    counted = torch.ones(outputs.shape[:2], dtype=torch.bool, device=outputs.device)
    found: list[float] = metric.scores(outputs, targets, counted).tolist()
    return found


def row_losses(metric: Metric, outputs: Tensor, rows: Dataset) -> np.ndarray:
    """What a metric is the mean of, ``(n_models, n_rows)``: squared errors, or 1 for right.

    NaN for rows of a network that has diverged, and of a metric that is no mean over rows.

    Args:
        metric: decides it.
        outputs: ``(n_models, n_rows, n_outputs)``.
        rows: the rows of a data set.
    """
    if metric.of_examples is None:
        return np.full(outputs.shape[:2], np.nan)
    return np.asarray(metric.of_examples(outputs, rows.targets.to(outputs.device)).cpu())


def finite(scores: Sequence[float]) -> list[float | None]:
    """Scores for JSON, which has no NaN: None where a network has diverged."""
    return [score if math.isfinite(score) else None for score in scores]


def for_json(result: Any) -> Any:
    """What an analysis has found as JSON can hold it.

    A dataclass becomes a dictionary of its fields and of the properties that are called
    ``estimate`` or ``..._estimate``; a number that is not finite becomes None.
    """
    if isinstance(result, float):
        return result if math.isfinite(result) else None
    if isinstance(result, list):
        return [for_json(part) for part in result]
    if is_dataclass(result):
        estimates = [name for name in dir(result) if name.endswith("estimate")]
        result = vars(result) | {name: getattr(result, name) for name in estimates}
    if isinstance(result, dict):
        return {name: for_json(part) for name, part in result.items()}
    return result


def fits(value: object, kind: Any) -> bool:
    """Whether a value out of JSON is of a type; numbers are finite and lists hold something."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (list, tuple):
        one = inner[0]
        return (
            isinstance(value, origin)
            and (origin is tuple or value != [])
            and all(fits(part, one) for part in value)
        )
    if origin is dict:
        return isinstance(value, dict)
    if origin is Literal:
        return value in inner
    if inner:
        return any(fits(value, one) for one in inner)
    if kind is float:
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and abs(value) <= sys.float_info.max
        )
    return type(value) is kind  # a bool is no int
