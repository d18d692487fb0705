"""Loss and score of networks on what they were trained on, epoch by epoch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hw1.training.lockstep import Given, Lockstep
from hw1.training.threads import torch_threads

AT_ONCE = 2**17
"""Outputs that are measured at once, of several epochs of small data: they share the launches."""


@dataclass(frozen=True, eq=False)
class Measures:
    """What each epoch of some models is worth, each ``(n_epochs, n_models)`` float64.

    The loss is the data term of the objective, without penalties: the cross-entropy with label
    smoothing, or the squared error of targets normalized by the model's training examples.

    Attributes:
        training_losses: the mean over the examples on which a model was trained in the epoch, each
            as the network gave it then: before the step that was taken with it, with dropout,
            augmentation and the batch's own statistics. So it is that of a network which is half
            an epoch younger on average, and the mean of the losses that were descended.
        training_scores: the metric for the same outputs, in the target's own units.
        validation_losses: of the validation examples, by the network after the epoch.
    """

    training_losses: np.ndarray
    training_scores: np.ndarray
    validation_losses: np.ndarray


class Recorder:
    """Measures the models of a `Lockstep` after each epoch; it hears of each, and of `keep`.

    Args:
        models: that are trained.
        found: ``(3, n_epochs, n_models)``, what was measured in epochs before.
    """

    def __init__(self, models: Lockstep, found: np.ndarray | None = None) -> None:
        self._models = models
        self._waiting: list[tuple[Given, Given]] = []
        self._found = np.empty((3, 0, models.n_models)) if found is None else found

    def add(self) -> None:
        """Take in the epoch that has been trained and validated last."""
        both = self._models.trained, self._models.validated
        self._waiting.append(both)
        if len(self._waiting) * sum(given.outputs.numel() for given in both) >= AT_ONCE:
            self._measure()

    def skip(self) -> None:
        """Leave out an epoch, which has not been validated: of it nothing is known."""
        self._measure()
        unknown = np.full((3, 1, self._found.shape[2]), np.nan)
        self._found = np.concatenate([self._found, unknown], 1)

    def of(self, models: slice) -> Measures:
        """What was found of these models from the first epoch on."""
        self._measure()
        return Measures(*self._found[:, :, models].copy())

    def keep(self, models: Sequence[int]) -> None:
        """Go on with these models alone; to be called before they themselves forget the others."""
        self._measure()
        self._found = self._found[:, :, models]

    def _measure(self) -> None:
        """Measure the epochs that wait for it."""
        if not self._waiting:
            return
        trained, validated = zip(*self._waiting, strict=True)
        self._waiting = []
        with torch_threads(1):
            outputs = torch.stack([given.outputs for given in trained])
            targets = self._targets(torch.stack([given.rows for given in trained]))
            found = [
                self._losses(outputs, targets, trained[0].counted),
                self._scores(outputs, targets, trained[0].counted),
            ]
            outputs = torch.stack([given.outputs for given in validated])
            targets = self._targets(validated[0].rows[None])  # the same in every epoch
            targets = targets.expand(len(outputs), *targets.shape[1:])
            found.append(self._losses(outputs, targets, validated[0].counted))
        self._found = np.concatenate([self._found, torch.stack(found).cpu().numpy()], 1)

    def _targets(self, rows: Tensor) -> Tensor:
        """Those of some rows, in their own units."""
        targets = self._models.dataset.targets
        # Each column by itself: an index of whole rows takes twice as long.
        columns = targets.reshape(len(targets), -1).unbind(1)
        found = torch.stack([column.take(rows) for column in columns], -1)
        return found.view(*rows.shape, *targets.shape[1:])

    def _losses(self, outputs: Tensor, targets: Tensor, counted: Tensor) -> Tensor:
        """The mean loss of each epoch and model."""
        plan = self._models.plan
        of_each = plan.task.losses(outputs, plan.normalized(targets), plan.label_smoothing)
        # What does not count may hold anything.
        total = torch.where(counted, of_each, 0.0).sum(-1, dtype=torch.float64)
        return total / counted.sum(-1)

    def _scores(self, outputs: Tensor, targets: Tensor, counted: Tensor) -> Tensor:
        """The metric of each epoch and model."""
        own = self._models.plan.in_own_units(outputs)
        return self._models.metric.scores(own, targets, counted)
