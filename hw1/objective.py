"""The objective that turns a trial into a cross-validated score."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import optuna
import torch
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial, TrialState

from hw1.cross_validation import CrossValidation, Splits, cross_validate
from hw1.datasets import Dataset
from hw1.definition import StudyDefinition
from hw1.errors import ArchitectureError, InputError, place
from hw1.provenance import provenance
from hw1.tasks import METRICS
from hw1.training import Configuration
from hw1.training.networks import Footprint, footprint
from hw1.training.precision import Precision
from hw1.watching import UNWATCHED, Watcher

DETAILED = 3
"""How many trials of a study are the best, of which more is kept."""
MOST_CLASSES = 30
"""In a confusion matrix that is kept."""


@dataclass(frozen=True)
class Candidate:
    """A trial that can be trained.

    Attributes:
        trial: Optuna's.
        configuration: what its parameters have become.
        footprint: what it takes to train it.
    """

    trial: Trial
    configuration: Configuration
    footprint: Footprint


class Objective:
    """Cross-validates the configurations of trials; call it, or hand it to ``study.optimize``.

    Reports the mean validation score after every epoch, prunes by the study's pruner, and keeps
    with the trial the user attributes ``configuration``, ``fold_scores``, ``std``, ``best_epoch``,
    ``epochs``, ``stopped``, ``seconds``, ``n_parameters``, ``device``, ``backend``, ``precision``,
    ``trials_per_batch``, ``batch`` (the numbers of the trials that it was trained with, its own
    too), ``provenance``, and ``training_losses``, ``training_scores`` and ``validation_losses``
    (of each epoch the mean over the folds of `hw1.training.curves.Measures`, in five digits). Those
    that are among the best when they complete have also ``curves`` (of each epoch the folds'
    scores), and ``predicted`` (of `shown_rows`) or the ``confusion`` of classes, by the fold that
    has not seen the row. A configuration whose network is invalid gets ``refused`` with the reason.

    Args:
        definition: the study.
        dataset: the training examples; the test examples never come here.
        splits: the folds of these examples.
        seed: the study's seed.
        epochs: the epochs of a trial at most.
        device: where to train.
        precision: see `hw1.training.precision.choose_precision`.
    """

    def __init__(
        self,
        definition: StudyDefinition,
        dataset: Dataset,
        splits: Splits,
        *,
        seed: int,
        epochs: int,
        device: torch.device,
        precision: Precision = "float32",
    ) -> None:
        self.definition = definition
        self.dataset = dataset.to(device)
        self.splits = splits
        self.seed = seed
        self.epochs = epochs
        self.precision: Precision = precision

    def _is_among_best(self, trial: Trial, value: float) -> bool:
        """Whether fewer than `DETAILED` completed trials of its study are better."""
        metric = METRICS[self.definition.metric]
        done = trial.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        better = [other for other in done if metric.better(other.values[0], than=value)]
        return len(better) < DETAILED

    def _details(self, result: CrossValidation) -> dict[str, Any]:
        """What is kept with the best trials alone, for pictures of them."""
        if result.outputs is None or not np.isfinite(result.curves).all():
            return {}
        details: dict[str, Any] = {"curves": _short(result.curves)}
        n_outputs = self.dataset.n_outputs
        if self.dataset.task == "regression":
            rows = shown_rows(len(self.dataset))
            return details | {"predicted": _short(result.outputs[rows, 0].numpy())}
        if n_outputs <= MOST_CLASSES:
            pairs = self.dataset.targets.cpu() * n_outputs + result.outputs.argmax(1)
            counts = torch.bincount(pairs, minlength=n_outputs**2)
            details["confusion"] = counts.view(n_outputs, n_outputs).tolist()
        return details

    def __call__(self, trial: Trial) -> float:
        """The mean validation score at the best epoch; see `CrossValidation`.

        Raises:
            optuna.TrialPruned: the pruner ended the trial, its network is invalid, or it never
                had a finite score.
        """
        try:
            ((_, value),) = self.train([self.suggest(trial)])
        except ArchitectureError as error:
            trial.set_user_attr("refused", str(error))
            raise optuna.TrialPruned(str(error)) from error
        if value is None:
            raise optuna.TrialPruned
        return value

    def suggest(self, trial: Trial) -> Candidate:
        """Ask for the trial's parameters and see what network becomes of them.

        Raises:
            ArchitectureError: it is invalid.
            InputError: the search space fails, or the model class does not take what it returns;
                with its line.
        """
        definition, dataset = self.definition, self.dataset
        configuration = replace(definition.configure(trial), epochs=self.epochs)
        try:
            arguments = dataset.input_shape, dataset.n_outputs
            inspect.signature(definition.model).bind(*arguments, **configuration.model)
        except TypeError as error:
            raise InputError(
                f"{place(definition.search_space)}: model = {configuration.model!r:.200} does not "
                f"fit {getattr(definition.model, '__name__', 'the model')}: {error}"
            ) from error
        return Candidate(trial, configuration, footprint(definition.model, configuration, dataset))

    def train(
        self, candidates: Sequence[Candidate], watcher: Watcher = UNWATCHED
    ) -> Iterator[tuple[Trial, float | None]]:
        """Train these trials, whose footprints have one key, together.

        Yields:
            Each, as soon as it has ended, with its mean validation score at its best epoch, or None
            if it is pruned; but none that somebody else ended.

        Raises:
            ArchitectureError: their networks are invalid.
        """
        trials = {c.trial.number: c.trial for c in candidates}
        configurations = {c.trial.number: c.configuration for c in candidates}
        lost: set[int] = set()

        def report(epoch: int, means: Mapping[int, float]) -> list[int]:
            for number, mean in means.items():
                try:
                    trials[number].report(mean, epoch)
                except UpdateFinishedTrialError:
                    lost.add(number)
            return [
                number
                for number in means
                if number in lost
                # To prune after the last epoch would save nothing and lose the value.
                or (epoch < configurations[number].epochs and trials[number].should_prune())
            ]

        results = cross_validate(
            self.definition.model,
            configurations,
            self.dataset,
            self.splits,
            seed=self.seed,
            report=report,
            metric=METRICS[self.definition.metric],
            precision=self.precision,
            on_step=watcher.on_step,
        )
        for number, result in results:
            attributes: dict[str, Any] = {
                "configuration": configurations[number].to_json(),
                "stopped": result.stopped,
                "epochs": len(result.curves),
                "best_epoch": result.best_epoch,
                "seconds": round(result.seconds, 3),
                "n_parameters": result.n_parameters,
                "device": str(self.dataset.inputs.device),
                "backend": result.backend,
                "precision": result.precision,
                "trials_per_batch": result.n_trials,
                "batch": sorted(configurations),
                "provenance": provenance(self.dataset.inputs.device),
            }
            attributes |= {n: _short(v.mean(1)) for n, v in vars(result.measures).items()}
            if result.best_epoch:
                attributes |= {"fold_scores": result.fold_scores.tolist(), "std": result.std}
            value = None
            if result.stopped != "pruned" and result.best_epoch:
                value = result.mean
                if self._is_among_best(trials[number], value):
                    attributes |= self._details(result)
            try:
                for name, attribute in attributes.items():
                    trials[number].set_user_attr(name, attribute)
            except UpdateFinishedTrialError:  # lost
                continue
            yield trials[number], value


def shown_rows(n_rows: int) -> np.ndarray:
    """The examples whose predictions are kept with a trial: all, or 500 of them."""
    return np.unique(np.linspace(0, n_rows - 1, min(n_rows, 500)).round().astype(int))


def shown_data(dataset: Dataset) -> dict[str, Any]:
    """What a picture of predictions shows of the data: classes, or the truth of `shown_rows`."""
    if dataset.task == "classification":
        return {"classes": list(dataset.class_names)}
    rows = shown_rows(len(dataset))
    truth = _short(dataset.targets[rows, 0].cpu().numpy())
    shown = {"target": dataset.target_name, "targets": truth}
    if dataset.input_shape == (1,):
        shown["feature"] = dataset.feature_names[0] if dataset.feature_names else "input"
        shown["inputs"] = _short(dataset.inputs[rows, 0].cpu().numpy())
    return shown


def _short(values: np.ndarray) -> Any:
    """Numbers in five digits, as lists; None for what is not finite, which JSON does not have."""
    values = values.astype(float)
    with np.errstate(divide="ignore"):
        places = 4 - np.floor(np.log10(np.abs(values)))
    # A power of ten is exact only where its exponent is positive.
    up, down = (10.0 ** np.clip(n, 0, 300) for n in (places, -places))
    short = (np.round(values * up / down) / up * down).astype(object)
    short[~np.isfinite(values)] = None
    return short.tolist()


def backend_of(kept: Mapping[str, Any]) -> str | None:
    """The backend of a stored trial; earlier versions kept it as ``way``, fused as "in turn"."""
    name = kept.get("backend", kept.get("way"))
    return "fused" if name == "in turn" else name
