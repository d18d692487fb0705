"""K-fold cross-validation of one configuration, all folds in lockstep."""

import base64
import hashlib
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from sklearn.model_selection import KFold, StratifiedKFold
from torch import Tensor

from hw1.datasets import Dataset
from hw1.errors import InputError
from hw1.training import METRICS, Configuration, Lockstep
from hw1.training.keys import seed as derive_seed
from hw1.training.lockstep import Family

Report = Callable[[int, float], bool]
"""Is told the epoch (from 1) and the fold mean, and answers whether to prune."""


@dataclass(frozen=True, eq=False)
class Splits:
    """Which fold each row belongs to: drawn once for a study and used by all its trials.

    Attributes:
        folds: ``(n_rows,)`` uint8, the fold in which a row is validated.
    """

    folds: np.ndarray

    @classmethod
    def draw(cls, dataset: Dataset, n_splits: int, seed: int) -> "Splits":
        """Shuffled K folds of equal size, stratified for classes.

        Raises:
            InputError: fewer than two folds, or more folds than rows of the rarest class.
        """
        if not 2 <= n_splits <= 255:
            raise InputError(f"cross-validation needs 2 to 255 folds, not {n_splits}")
        y = dataset.targets.cpu().numpy()
        if dataset.task == "classification":
            counts = np.bincount(y, minlength=dataset.n_outputs)
            rarest = int(counts.argmin())
            if n_splits > counts[rarest]:
                raise InputError(
                    f"class {dataset.class_names[rarest]!r} has {counts[rarest]} training rows, "
                    f"too few for {n_splits} folds: use fewer --folds or more rows"
                )
            splitter = StratifiedKFold(n_splits, shuffle=True, random_state=seed)
        else:
            if n_splits > len(dataset):
                raise InputError(
                    f"{len(dataset)} training rows are too few for {n_splits} folds: use fewer "
                    "--folds"
                )
            splitter = KFold(n_splits, shuffle=True, random_state=seed)
        folds = np.empty(len(dataset), dtype=np.uint8)
        for fold, (_, validation) in enumerate(splitter.split(np.zeros(len(y)), y)):
            folds[validation] = fold
        return cls(folds)

    @property
    def n_splits(self) -> int:
        """The number of folds."""
        return int(self.folds.max()) + 1

    def training_rows(self) -> list[Tensor]:
        """For each fold, the rows outside it."""
        return [torch.from_numpy(np.flatnonzero(self.folds != k)) for k in range(self.n_splits)]

    def validation_rows(self) -> list[Tensor]:
        """For each fold, the rows in it."""
        return [torch.from_numpy(np.flatnonzero(self.folds == k)) for k in range(self.n_splits)]

    @cached_property
    def hash(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of the folds."""
        return hashlib.sha256(self.folds.tobytes()).hexdigest()[:16]

    def encode(self) -> str:
        """The folds as text that a database can hold."""
        return base64.b85encode(zlib.compress(self.folds.tobytes(), 9)).decode()

    @classmethod
    def decode(cls, text: str) -> "Splits":
        """The folds that `encode` wrote."""
        return cls(np.frombuffer(zlib.decompress(base64.b85decode(text)), dtype=np.uint8))


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """What the cross-validation of one configuration found.

    Attributes:
        curves: ``(n_epochs, n_splits)``, each fold's validation score after each epoch.
        best_epoch: the epoch (from 1) with the best fold mean: the one that a retraining on all
            rows trains to; 0 when no epoch had a finite one.
        stopped: why training ended: all epochs done, no better fold mean for ``patience``
            epochs, pruned, or a score that was not finite.
        seconds: wall time of the training and its evaluations.
        n_parameters: trained parameters of one network.
        models: the networks, with the weights of the best epoch.
    """

    curves: np.ndarray
    best_epoch: int
    stopped: Literal["epochs", "patience", "pruned", "diverged"]
    seconds: float
    n_parameters: int
    models: Lockstep

    @property
    def fold_scores(self) -> np.ndarray:
        """``(n_splits,)``, the scores at the best epoch."""
        scores: np.ndarray = self.curves[self.best_epoch - 1]
        return scores

    @property
    def mean(self) -> float:
        """The best point of the fold-mean curve: a trial's value."""
        return float(self.fold_scores.mean())

    @property
    def std(self) -> float:
        """The sample standard deviation of the fold scores."""
        return float(self.fold_scores.std(ddof=1))


def cross_validate(
    family: Family,
    configuration: Configuration,
    dataset: Dataset,
    splits: Splits,
    *,
    seed: int,
    trial: int = 0,
    report: Report | None = None,
    on_step: Callable[[], None] = lambda: None,
) -> CrossValidation:
    """Train one network a fold, all in lockstep, and score each on its fold after every epoch.

    The value of a configuration is the best point of the *mean* curve over the folds; early
    stopping and pruning act on that curve, so no fold picks an epoch of its own.

    Args:
        family: builds one network.
        configuration: the network and its training.
        dataset: the training rows, on the device on which to train.
        splits: the folds of these rows.
        seed: with ``trial`` and the fold, decides all that is random.
        trial: the number of the trial.
        report: called after every epoch; training ends when it answers True.
        on_step: called before every training step; what it raises ends the training.

    Raises:
        ArchitectureError: the network cannot exist for these inputs.
    """
    start = time.perf_counter()
    metric = METRICS[dataset.task]
    seeds = [derive_seed(seed, trial, fold) for fold in range(splits.n_splits)]
    models = Lockstep(
        family, [configuration] * splits.n_splits, dataset, splits.training_rows(), seeds, on_step
    )
    validation_rows = splits.validation_rows()
    curves: list[np.ndarray] = []
    best, best_epoch, best_state = metric.worst, 0, models.state()
    stopped: Literal["epochs", "patience", "pruned", "diverged"] = "epochs"
    for epoch in range(1, configuration.epochs + 1):
        models.train_epoch()
        scores = models.score(validation_rows).numpy()
        curves.append(scores)
        mean = float(scores.mean())
        if not np.isfinite(mean):
            stopped = "diverged"
            break
        if metric.better(mean, best):
            best, best_epoch, best_state = mean, epoch, models.state()
        if report is not None and report(epoch, mean):
            stopped = "pruned"
            break
        if configuration.patience is not None and epoch - best_epoch >= configuration.patience:
            stopped = "patience"
            break
    models.restore(best_state)
    return CrossValidation(
        curves=np.array(curves),
        best_epoch=best_epoch,
        stopped=stopped,
        seconds=time.perf_counter() - start,
        n_parameters=models.n_parameters,
        models=models,
    )
