"""Scores of networks for rows of a data set, as storage can hold them."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hw1.datasets import Dataset, Task
from hw1.training.metrics import scores as metric_scores


def score_rows(task: Task, outputs: Tensor, rows: Dataset) -> list[float]:
    """The metric of outputs ``(n_models, n_rows, n_outputs)`` for all rows of a data set."""
    targets = rows.targets.to(outputs.device).expand(len(outputs), *rows.targets.shape)
    counted = torch.ones(outputs.shape[:2], dtype=torch.bool, device=outputs.device)
    found: list[float] = metric_scores(task, outputs, targets, counted).tolist()
    return found


def row_losses(task: Task, outputs: Tensor, rows: Dataset) -> np.ndarray:
    """What a metric is the mean of, ``(n_models, n_rows)``: squared errors, or 1 for right.

    NaN for rows of a network that has diverged.

    Args:
        task: decides the metric.
        outputs: ``(n_models, n_rows, n_outputs)``.
        rows: the rows of a data set.
    """
    targets = rows.targets.to(outputs.device)
    if task == "regression":
        losses = (outputs.double() - targets).square().mean(2)
    else:
        right = (outputs.argmax(2) == targets).double()
        losses = torch.where(outputs.isfinite().all(2), right, torch.nan)
    return np.asarray(losses.cpu())


def finite(scores: Sequence[float]) -> list[float | None]:
    """Scores for JSON, which has no NaN: None where a network has diverged."""
    return [score if math.isfinite(score) else None for score in scores]


def numbers(scores: Sequence[Sequence[float | None]]) -> list[list[float]]:
    """Scores for arithmetic: NaN where a network has diverged."""
    return [[math.nan if s is None else s for s in row] for row in scores]
