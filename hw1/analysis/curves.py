"""The learning curves of a trial: as it stored them, or as training it again has found them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from optuna.trial import FrozenTrial

from hw1.analysis.scores import fits
from hw1.cross_validation import CrossValidation

MEANS = ("training_scores", "training_losses", "validation_losses")
"""The attributes of a trial that hold a mean over the folds for each epoch."""


@dataclass(frozen=True, eq=False)
class LearningCurves:
    """Means over the folds after each epoch, ``(n_epochs,)``, NaN where one is not finite.

    What is of training examples is the running mean over the epoch, and of earlier versions None;
    see `hw1.training.curves.Measures`.

    Attributes:
        best_epoch: from 1.
        validation_scores: of the study's metric.
        training_scores: likewise.
        training_losses, validation_losses: the objective without penalties.
        folds: ``(n_epochs, n_splits)``, each fold's validation score; None where only the means are
            stored.
    """

    best_epoch: int
    validation_scores: np.ndarray
    training_scores: np.ndarray | None = None
    training_losses: np.ndarray | None = None
    validation_losses: np.ndarray | None = None
    folds: np.ndarray | None = None

    @staticmethod
    def are_stored(trial: FrozenTrial) -> bool:
        """Whether more than the mean validation scores is: in all trials of this version."""
        return bool({"curves", "training_scores"} & trial.user_attrs.keys())

    @classmethod
    def stored(cls, trial: FrozenTrial) -> "LearningCurves":
        """Those that were stored with a trial of at least one epoch.

        Raises:
            ValueError: they do not belong together.
        """
        kept = trial.user_attrs
        folds = np.array(kept["curves"], dtype=float) if "curves" in kept else None
        n_epochs, reports = int(kept["epochs"]), trial.intermediate_values
        # All epochs are reported, but for one that ends the trial since it is not finite.
        if n_epochs > max(len(reports) + 1, 0 if folds is None else len(folds)):
            raise ValueError("its learning curves")
        means = [reports.get(epoch) for epoch in range(1, n_epochs + 1)]
        others = {name: _finite(kept[name]) for name in MEANS if name in kept}
        curves = cls(int(kept["best_epoch"]), _finite(means), folds=folds, **others)
        lengths = {len(v) for v in vars(curves).values() if isinstance(v, np.ndarray)}
        is_table = folds is None or (folds.ndim == 2 and folds.size)
        if lengths != {n_epochs} or not 0 <= curves.best_epoch <= n_epochs or not is_table:
            raise ValueError("its learning curves")
        return curves

    @classmethod
    def found(cls, result: CrossValidation) -> "LearningCurves":
        """Those of a cross-validation."""
        measures = result.measures
        return cls(
            result.best_epoch,
            _finite(result.curves.mean(1)),
            _finite(measures.training_scores.mean(1)),
            _finite(measures.training_losses.mean(1)),
            _finite(measures.validation_losses.mean(1)),
            result.curves,
        )

    def frame(self) -> pd.DataFrame:
        """A row an epoch: training and validation loss, training and validation score.

        What an earlier version has not stored is NaN.

        Example:
            >>> results.curves()[["training_loss", "validation_loss"]].plot()  # doctest: +SKIP
        """
        columns = {
            "training_loss": self.training_losses,
            "validation_loss": self.validation_losses,
            "training_score": self.training_scores,
            "validation_score": self.validation_scores,
        }
        epochs = pd.RangeIndex(1, len(self.validation_scores) + 1, name="epoch")
        return pd.DataFrame(columns, index=epochs, dtype=float)


def check_curves(kept: dict[str, Any], n_splits: int) -> None:
    """Raise an error unless the curves that are kept with a trial are some, if they are there."""
    curves = kept.get("curves")
    if curves is not None and (
        not fits(curves, list[list[float]])
        or len(curves) != kept.get("epochs", len(curves))
        or {len(row) for row in curves} != {n_splits}
    ):
        raise ValueError("its learning curves")
    for name in MEANS:
        values = kept.get(name)
        if values is not None and not (
            fits(values, list[float | None]) and len(values) == kept.get("epochs", len(values))
        ):
            raise ValueError(f"its {name}")


def _finite(values: Sequence[float | None] | np.ndarray) -> np.ndarray:
    """As an array, with NaN for what is not finite."""
    array = np.array(values, dtype=float)
    if array.ndim != 1:
        raise ValueError("its learning curves")
    return np.where(np.isfinite(array), array, np.nan)
