"""K-fold cross-validation of one configuration, all folds in lockstep."""

import base64
import hashlib
import math
import time
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from hw1.datasets import Dataset
from hw1.errors import InputError
from hw1.tasks import TASKS, Metric
from hw1.training import Configuration
from hw1.training.configuration import Checkpoint
from hw1.training.curves import Measures, Recorder
from hw1.training.keys import seed as derive_seed
from hw1.training.lockstep import Lockstep, State
from hw1.training.networks import Backend, ModelClass
from hw1.training.precision import Precision
from hw1.unfinished import Unfinished

Report = Callable[[int, Mapping[int, float]], Collection[int]]
"""Is told the epoch (from 1) and the mean validation score of each trial by its number; answers
with the numbers of those to prune."""
Stopped = Literal["epochs", "patience", "pruned", "diverged"]
# The last of the numbers that a seed is derived from, so that no two uses draw alike.
FRESH, OUTER = 1, 2  # 3 and 4 are those of `hw1.analysis.training`
ROUND, ROUND_NETWORKS, ROUND_ROWS, SEARCH_ROWS = 5, 6, 7, 8


@dataclass(frozen=True, eq=False)
class Splits:
    """Which fold each example belongs to: drawn once for a study and used by all its trials.

    Attributes:
        folds: ``(n_rows,)`` uint8, the fold in which an example is validated.
    """

    folds: np.ndarray

    @classmethod
    def draw(cls, dataset: Dataset, n_splits: int, seed: int) -> "Splits":
        """Shuffled K folds of equal size, stratified for classes.

        Raises:
            InputError: fewer than two folds, or more folds than examples of the rarest class.
        """
        if not 2 <= n_splits <= 255:
            raise InputError(f"cross-validation needs 2 to 255 folds, not {n_splits}")
        # It takes more than a second to import, and a study that goes on has its folds already.
        from sklearn.model_selection import KFold, StratifiedKFold

        strata = TASKS[dataset.task].strata(dataset.targets)
        if strata is not None:
            counts = np.bincount(strata, minlength=dataset.n_outputs)
            rarest = int(counts.argmin())
            if n_splits > counts[rarest]:
                name = dataset.class_names[rarest]
                raise InputError(
                    f"class {name!r} has {counts[rarest]} training examples, too few for "
                    f"{n_splits} folds: use fewer --folds or more examples"
                )
            splitter = StratifiedKFold(n_splits, shuffle=True, random_state=seed)
        else:
            if n_splits > len(dataset):
                raise InputError(
                    f"{len(dataset)} training examples are too few for {n_splits} folds: use fewer "
                    "--folds"
                )
            splitter = KFold(n_splits, shuffle=True, random_state=seed)
        folds = np.empty(len(dataset), dtype=np.uint8)
        for fold, (_, validation) in enumerate(splitter.split(np.zeros(len(dataset)), strata)):
            folds[validation] = fold
        return cls(folds)

    @classmethod
    def draw_fresh(cls, dataset: Dataset, n_splits: int, seed: int, repeat: int) -> "Splits":
        """Folds other than those of any study, for a repeat (from 0) of an evaluation."""
        return cls.draw(dataset, n_splits, derive_seed(seed, repeat, 0, FRESH) % 2**32)

    @classmethod
    def draw_outer(cls, dataset: Dataset, n_splits: int, seed: int) -> "Splits":
        """The outer folds of a nested cross-validation."""
        return cls.draw(dataset, n_splits, derive_seed(seed, 0, 0, OUTER) % 2**32)

    @classmethod
    def draw_round(
        cls, dataset: Dataset, n_splits: int, seed: int, number: int, repeat: int
    ) -> "Splits":
        """The folds of a repeat (from 0) of a round (from 0) after a search."""
        return cls.draw(dataset, n_splits, derive_seed(seed, repeat, number, ROUND) % 2**32)

    @property
    def n_splits(self) -> int:
        """The number of folds."""
        return int(self.folds.max()) + 1

    def training_rows(self) -> list[Tensor]:
        """For each fold, the examples outside it."""
        return [torch.from_numpy(np.flatnonzero(self.folds != k)) for k in range(self.n_splits)]

    def validation_rows(self) -> list[Tensor]:
        """For each fold, the examples in it."""
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
        measures: its training loss, training score and validation loss likewise.
        best_epoch: the epoch (from 1) whose networks count, by the configuration's ``checkpoint``
            that with the best mean validation score or the last one with a finite one: the one that
            a retraining on all training data trains to; 0 when no epoch had a finite one.
        stopped: why training ended: all epochs done, no better mean validation score for
            ``patience`` epochs, pruned, or a score that was not finite.
        seconds: its share of the wall time of the training and its evaluations.
        n_parameters: trained parameters of one network.
        n_trials: how many trials were trained together at first.
        backend: how they were; see `hw1.training.lockstep.Lockstep`.
        precision: of its convolutions and matrix products.
        outputs: ``(n_rows, n_outputs)``, of the best epoch for each example by the network that has
            not seen it: predictions in the target's own units, or logits; None if there is no best
            epoch.
        state: the weights of the best epoch for `Lockstep.restore`; None if they were not kept.
    """

    curves: np.ndarray
    measures: Measures
    best_epoch: int
    stopped: Stopped
    seconds: float
    n_parameters: int
    n_trials: int
    backend: Backend
    precision: Precision
    outputs: Tensor | None
    state: State | None

    @property
    def fold_scores(self) -> np.ndarray:
        """``(n_splits,)``, the scores at the best epoch."""
        scores: np.ndarray = self.curves[self.best_epoch - 1]
        return scores

    @property
    def mean(self) -> float:
        """The mean validation score at the best epoch: a trial's value."""
        return float(self.fold_scores.mean())

    @property
    def std(self) -> float:
        """The sample standard deviation of the fold scores."""
        return float(self.fold_scores.std(ddof=1))


def cross_validate(
    model_class: ModelClass,
    configurations: Mapping[int, Configuration],
    dataset: Dataset,
    splits: Splits,
    *,
    seed: int,
    report: Report = lambda epoch, means: (),
    precision: Precision = "float32",
    metric: Metric | None = None,
    keep_models: bool = False,
    fold_seed: Callable[[int, int], int] | None = None,
    on_step: Callable[[], None] = lambda: None,
    unfinished: Unfinished | None = None,
    last_only: bool = False,
) -> Iterator[tuple[int, CrossValidation]]:
    """Train one network a trial and fold, all in lockstep, and score each on its fold.

    After every epoch each trial has a score for every fold. The value of a trial is the best or the
    last point (see ``checkpoint``) of the *mean* curve over the folds; early stopping and pruning
    act on that curve, so no fold picks an epoch of its own. What becomes of a trial depends on the
    others in nothing but what ``report`` makes of them.

    Args:
        model_class: builds one network.
        configurations: by the numbers of their trials; their footprints share a key.
        dataset: the training examples, on the device on which to train.
        splits: the folds of these examples.
        seed: with the trial's number and the fold, decides all that is random.
        report: called after every epoch; may prune.
        precision: in which the networks are trained.
        metric: what they are scored by; None for the first one of the task.
        keep_models: whether the weights of each trial's best epoch are kept.
        fold_seed: that of a network, by its trial's number and its fold, in place of ``seed``.
        on_step: called before every training step; what it raises ends the training.
        unfinished: where the training is saved until the first trial ends, and goes on from. What
            has been reported is not reported again, and if the best epoch was before the
            interruption, there are no outputs and no weights of it.
        last_only: whether networks are scored after the last epoch alone, and the curves are NaN
            before; all configurations have the same epochs.

    Yields:
        Each trial's number and result as soon as it has ended; the rest goes on without it.

    Raises:
        ArchitectureError: the networks are invalid for these inputs.
    """
    n_splits, metric = splits.n_splits, metric or TASKS[dataset.task].metric()
    # Those with one optimizer side by side: they are then updated together.
    numbers = sorted(configurations, key=lambda n: (configurations[n].optimizer, n))
    fold_seed = fold_seed or (lambda n, fold: derive_seed(seed, n, fold))
    started = time.perf_counter()
    models = Lockstep(
        model_class,
        [configurations[n] for n in numbers for _ in range(n_splits)],
        dataset,
        splits.training_rows() * len(numbers),
        [fold_seed(n, fold) for n in numbers for fold in range(n_splits)],
        validation_rows=splits.validation_rows() * len(numbers),
        metric=metric,
        precision=precision,
        on_step=on_step,
        ahead=not keep_models,
    )
    trials = {
        n: _Trial(models.n_parameters(i * n_splits), models.precision(i * n_splits), metric.worst)
        for i, n in enumerate(numbers)
    }
    unfinished = unfinished or Unfinished(None)
    past = unfinished.restore(models, 5, models.n_models).numpy()
    recorder = Recorder(models, past[:, 1:4].swapaxes(0, 1))
    for scores, *_, seconds in past:
        for i, number in enumerate(numbers):
            own = slice(i * n_splits, (i + 1) * n_splits)
            trials[number].add(scores[own], configurations[number], metric)
            trials[number].seconds += seconds[own].sum()

    def history() -> Tensor:
        """What is known of the epochs so far, as rows of `past`."""
        curves = np.concatenate([np.array(trials[n].curves) for n in numbers], 1)
        seconds = np.array([trials[n].seconds for n in numbers]) / (n_splits * len(curves))
        own = np.broadcast_to(seconds.repeat(n_splits), curves.shape)
        measures = vars(recorder.of(slice(None))).values()
        return torch.from_numpy(np.stack([curves, *measures, own], 1))

    while numbers:
        models.train_epoch()
        skips = last_only and models.epoch < models.plan.epochs
        if skips:
            recorder.skip()
            scores = np.full((len(numbers), n_splits), np.nan)
        else:
            every_score, outputs = models.validate_and_predict()
            recorder.add()
            scores = every_score.numpy().reshape(len(numbers), n_splits)
        means = dict(zip(numbers, scores.mean(1).tolist(), strict=True))
        for i, number in enumerate(numbers):
            trial = trials[number]
            if trial.add(scores[i], configurations[number], metric):
                # A copy, for the others' outputs would stay in memory with a view.
                trial.outputs = outputs[i * n_splits : (i + 1) * n_splits].clone()
                if keep_models:
                    trial.state = models.state(slice(i * n_splits, (i + 1) * n_splits))
        finite = {n: mean for n, mean in means.items() if math.isfinite(mean)}
        now = time.perf_counter()
        pruned = report(models.epoch, finite)
        ended: dict[int, Stopped] = {}
        for number in numbers:
            trial, configuration = trials[number], configurations[number]
            trial.seconds += (now - started) / len(numbers)
            patience = configuration.patience
            if number not in finite and not skips:
                ended[number] = "diverged"
            elif number in pruned:
                ended[number] = "pruned"
            elif patience is not None and models.epoch - trial.improved >= patience:
                ended[number] = "patience"
            elif models.epoch == configuration.epochs:
                ended[number] = "epochs"
        started = time.perf_counter()
        for number, stopped in ended.items():
            trial, first = trials[number], numbers.index(number) * n_splits
            yield (
                number,
                CrossValidation(
                    curves=np.array(trial.curves),
                    measures=recorder.of(slice(first, first + n_splits)),
                    best_epoch=trial.best_epoch,
                    stopped=stopped,
                    seconds=trial.seconds,
                    n_parameters=trial.n_parameters,
                    n_trials=len(configurations),
                    backend=models.backend,
                    precision=trial.precision,
                    outputs=_by_row(trial.outputs, splits),
                    state=trial.state,
                ),
            )
        if not ended:
            unfinished.save(models, history)
        else:
            unfinished.end()
            kept = [i for i, number in enumerate(numbers) if number not in ended]
            numbers = [numbers[i] for i in kept]
            if numbers:
                left = [i * n_splits + fold for i in kept for fold in range(n_splits)]
                recorder.keep(left)
                models.keep(left)


def scored_epoch(
    means: np.ndarray, metric: Metric, checkpoint: Checkpoint, patience: int | None = None
) -> tuple[int, int]:
    """The epoch of a mean curve whose networks count, and the one after which training ends.

    Args:
        means: ``(n_epochs,)``, the mean score after each.
        metric: says which is best.
        checkpoint, patience: of a configuration.

    Returns:
        Both from 1; the first is 0 if no mean is finite.
    """
    best, improved, last = metric.worst, 0, 0
    for epoch, mean in enumerate(means.tolist(), start=1):
        if math.isfinite(mean):
            last = epoch
            if metric.better(mean, best):
                best, improved = mean, epoch
        if patience is not None and epoch - improved >= patience:
            break
    return (last if checkpoint == "last" else improved), epoch


@dataclass
class _Trial:
    """A trial that is being trained; `best` is its best mean score, after `improved` epochs."""

    n_parameters: int
    precision: Precision
    best: float
    improved: int = 0
    best_epoch: int = 0
    seconds: float = 0.0
    curves: list[np.ndarray] = field(default_factory=list)
    outputs: Tensor | None = None
    state: State | None = None

    def add(self, scores: np.ndarray, configuration: Configuration, metric: Metric) -> bool:
        """Take in the folds' scores after an epoch; whether its networks are those that count."""
        self.curves.append(scores)
        epoch, mean = len(self.curves), float(scores.mean())
        better = metric.better(mean, self.best)
        if better:
            self.best, self.improved = mean, epoch
        counts = better or (configuration.checkpoint == "last" and math.isfinite(mean))
        if counts:
            self.best_epoch = epoch
        return counts


def _by_row(outputs: Tensor | None, splits: Splits) -> Tensor | None:
    """The folds' outputs for their validation examples, in the order of the rows."""
    if outputs is None:
        return None
    of_rows = outputs.new_empty(len(splits.folds), outputs.shape[2]).cpu()
    for fold, rows in enumerate(splits.validation_rows()):
        of_rows[rows] = outputs[fold, : len(rows)].cpu()
    return of_rows
