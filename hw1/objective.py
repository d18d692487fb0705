"""Study definitions, and the objective that turns a trial into a cross-validated score."""

import hashlib
import inspect
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import optuna
import torch
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.exceptions import OptunaError, UpdateFinishedTrialError
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from hw1.cross_validation import CrossValidation, Splits, cross_validate
from hw1.datasets import Dataset, Loader, Part, Task
from hw1.errors import ArchitectureError, InputError, choose, place, users_code
from hw1.provenance import provenance
from hw1.training import Configuration
from hw1.training.lockstep import Family, Footprint, footprint
from hw1.training.precision import Precision

PROBES = 200
"""Random configurations from which a search space is read off."""
CONFIGURATIONS = "(configurations)"
DETAILED = 3
"""How many trials of a study are the best, of which more is kept."""
MOST_CLASSES = 30
"""In a confusion matrix that is kept."""


@dataclass(frozen=True, kw_only=True)
class StudyDefinition:
    """What a file in ``studies/`` defines, as its variable ``study``.

    Attributes:
        dataset: loads the data; see `hw1.datasets`.
        task: ``"regression"`` or ``"classification"``.
        model: the model family; see `hw1.models`.
        search_space: suggests the parameters of a trial and returns its configuration.
        grid: for each parameter that a grid study varies, its values.
        defaults: a sensible value of every parameter that is always suggested, and of those that
            these values bring in; a grid study holds at them what its grid does not vary.
        n_trials: the number of trials of a study, unless it is a grid.
        n_splits: the number of folds.
        epochs: the epochs of a trial at most.
        sampler: a name in `hw1.samplers.SAMPLERS`.
        pruner: a name in `hw1.samplers.PRUNERS`.

    Raises:
        InputError: a field is of another type.
    """

    dataset: Loader
    task: Task
    model: Family
    search_space: Callable[[Trial], Configuration]
    grid: Mapping[str, Sequence[Any]]
    defaults: Mapping[str, Any]
    n_trials: int = 50
    n_splits: int = 5
    epochs: int = 100
    sampler: str = "tpe"
    pruner: str = "median"

    def __post_init__(self) -> None:
        choose("task", self.task, get_args(Task))
        right = {
            "dataset": (callable(self.dataset), "a function load(part, data_dir)"),
            "model": (callable(self.model), "a class of networks"),
            "search_space": (callable(self.search_space), "a function of a trial"),
            "grid": (_is_grid(self.grid), "a dictionary with a list of values for each name"),
            "defaults": (isinstance(self.defaults, Mapping), "a dictionary with a value a name"),
        } | {
            name: (_is_count(getattr(self, name), least), f"a whole number from {least}")
            for name, least in (("n_trials", 1), ("n_splits", 2), ("epochs", 1))
        }
        for name, (ok, kind) in right.items():
            if not ok:
                raise InputError(f"{name} = {getattr(self, name)!r:.60} is not {kind}")

    def load(self, part: Part, data_dir: Path) -> Dataset:
        """The rows of one part, by the study's loader.

        Raises:
            InputError: the loader refuses, fails or returns something else; with its line.
        """
        with users_code(self.dataset):
            dataset = self.dataset(part, data_dir)
        if not isinstance(dataset, Dataset):
            raise InputError(
                f"{place(self.dataset)}: the loader returns {_kind(dataset)}: return a "
                "hw1.datasets.Dataset"
            )
        return dataset

    def configure(self, trial: Trial) -> Configuration:
        """What the search space makes of a trial.

        Raises:
            ArchitectureError: it refuses its own suggestion.
            InputError: it fails, or returns no configuration that JSON can hold; with its line.
        """
        with users_code(self.search_space, (ArchitectureError, MemoryError, OptunaError)):
            configuration = self.search_space(trial)
        where = place(self.search_space)
        if not isinstance(configuration, Configuration):
            raise InputError(
                f"{where}: search_space returns {_kind(configuration)}: return a Configuration"
            )
        try:
            json.dumps(configuration.to_json())
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{where}: a Configuration holds what JSON cannot ({error}): give names, numbers, "
                "lists and dictionaries"
            ) from error
        return configuration

    @cached_property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Every parameter that the search space suggests, by name; see `fingerprint`."""
        found: dict[str, BaseDistribution] = {}
        for trial, _ in self.probes():
            found |= trial.distributions
        return dict(sorted(found.items()))

    def fingerprint(self) -> dict[str, str]:
        """The search space as text, to be compared with a stored one.

        Random parameters, always the same ones whatever the order in which they are suggested,
        show which parameters there are and what configurations become of them.

        Returns:
            For each parameter the distributions it was seen with, as JSON; and under
            `CONFIGURATIONS` a hash of what the search space made of the parameters.
        """
        seen: dict[str, set[str]] = {}
        digest = hashlib.sha256()
        for trial, configuration in self.probes():
            for name, distribution in trial.distributions.items():
                seen.setdefault(name, set()).add(distribution_to_json(distribution))
            digest.update(json.dumps(configuration.to_json(), sort_keys=True).encode())
        fingerprint = {name: " ".join(sorted(texts)) for name, texts in sorted(seen.items())}
        return fingerprint | {CONFIGURATIONS: digest.hexdigest()[:16]}

    def probes(self, n: int = PROBES) -> Sequence[tuple[Trial, Configuration]]:
        """Trials with random parameters, always the same ones, and their configurations."""
        study, found = self._probed
        while len(found) < n:
            trial = study.ask()
            found.append((trial, self.configure(trial)))
        return found[:n]

    @cached_property
    def _probed(self) -> tuple[optuna.Study, list[tuple[Trial, Configuration]]]:
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would announce the study
        study = optuna.create_study(sampler=_SamplerByName(), storage=None)
        optuna.logging.set_verbosity(verbosity)
        return study, []

    def check(self, source: Literal["grid", "defaults"]) -> None:
        """Check the values of the grid or the defaults.

        Raises:
            InputError: they name no parameter of the search space, or give a value outside its
                range.
        """
        if source == "grid":
            values = self.grid
        else:
            values = {name: [value] for name, value in self.defaults.items()}
        for name, choices in values.items():
            if name not in self.distributions:
                raise InputError(
                    f"the {source} of the study give {name!r}, which its search space lacks"
                )
            for value in choices:
                if not _contains(self.distributions[name], value):
                    raise InputError(
                        f"{name} = {value!r} in the {source} of the study is outside its "
                        "search space"
                    )

    def cells(self) -> list[dict[str, Any]]:
        """The grid's combinations, each with the defaults of the parameters it doesn't vary.

        Raises:
            InputError: see `check`.
        """
        self.check("grid")
        self.check("defaults")
        cells: list[dict[str, Any]] = [{}]
        for name, choices in self.grid.items():
            cells = [cell | {name: value} for cell in cells for value in choices]
        return [dict(self.defaults) | cell for cell in cells]


class _SamplerByName(BaseSampler):
    """Random values that depend on the number of the trial and the name of the parameter alone."""

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        seed = zlib.crc32(f"{trial.number} {param_name}".encode())
        sampler = optuna.samplers.RandomSampler(seed=seed)
        return sampler.sample_independent(study, trial, param_name, param_distribution)


def _is_grid(grid: object) -> bool:
    return isinstance(grid, Mapping) and all(
        isinstance(values, Sequence) and not isinstance(values, str) for values in grid.values()
    )


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _contains(distribution: BaseDistribution, value: Any) -> bool:
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except ValueError:
        return False


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


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes:
        trial: Optuna's.
        state: complete or pruned.
        value: the best point of the fold-mean curve, of a complete trial.
    """

    trial: Trial
    state: TrialState
    value: float | None


class Objective:
    """Cross-validates the configurations of trials; call it, or hand it to ``study.optimize``.

    Reports the fold mean after every epoch, prunes by the study's pruner, and keeps with the
    trial the user attributes ``configuration``, ``fold_scores``, ``std``, ``best_epoch``,
    ``epochs``, ``stopped``, ``seconds``, ``n_parameters``, ``device``, ``way``, ``precision``,
    ``trials_per_batch``, ``batch`` (the numbers of the trials that it was trained with, its own
    too) and ``provenance``; those that are among the best when they complete also ``curves`` (of
    each epoch the folds' scores), and ``predicted`` (of `shown_rows`) or the ``confusion`` of
    classes, by the fold that has not seen the row. A configuration whose network cannot exist
    gets ``refused`` with the reason.

    Args:
        definition: the study.
        dataset: the training rows; the test rows never come here.
        splits: the folds of these rows.
        seed: the study's seed.
        epochs: the epochs of a trial at most.
        device: where to train.
        precision: see `hw1.training.precision.choose_precision`.
        on_step: called before every training step; what it raises ends the training.
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
        on_step: Callable[[], None] = lambda: None,
    ) -> None:
        self.definition = definition
        self.dataset = dataset.to(device)
        self.splits = splits
        self.seed = seed
        self.epochs = epochs
        self.precision: Precision = precision
        self.on_step = on_step

    def _is_among_best(self, trial: Trial, value: float) -> bool:
        """Whether fewer than `DETAILED` completed trials of its study are better."""
        sign = -1 if trial.study.direction == StudyDirection.MAXIMIZE else 1
        done = trial.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        better = [other for other in done if sign * other.values[0] < sign * value]
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
        """The best point of the fold-mean curve.

        Raises:
            optuna.TrialPruned: the pruner ended the trial, its network cannot exist, or it never
                had a finite score.
        """
        try:
            (outcome,) = self.train([self.suggest(trial)])
        except ArchitectureError as error:
            trial.set_user_attr("refused", str(error))
            raise optuna.TrialPruned(str(error)) from error
        if outcome.value is None:
            raise optuna.TrialPruned
        return outcome.value

    def suggest(self, trial: Trial) -> Candidate:
        """Ask for the trial's parameters and see what network becomes of them.

        Raises:
            ArchitectureError: it cannot exist.
            InputError: the search space fails, or the model family does not take what it returns;
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

    def train(self, candidates: Sequence[Candidate]) -> Iterator[Outcome]:
        """Train these trials, whose footprints have one key, together.

        Yields:
            The outcome of each, as soon as it has ended; of those that somebody else ended, none.

        Raises:
            ArchitectureError: their networks cannot exist.
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
            precision=self.precision,
            on_step=self.on_step,
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
                "way": result.way,
                "precision": result.precision,
                "trials_per_batch": result.n_trials,
                "batch": sorted(configurations),
                "provenance": provenance(self.dataset.inputs.device),
            }
            if result.best_epoch:
                attributes |= {"fold_scores": result.fold_scores.tolist(), "std": result.std}
            if result.stopped != "pruned" and self._is_among_best(trials[number], result.mean):
                attributes |= self._details(result)
            try:
                for name, value in attributes.items():
                    trials[number].set_user_attr(name, value)
            except UpdateFinishedTrialError:  # lost
                continue
            if result.stopped == "pruned" or not result.best_epoch:
                yield Outcome(trials[number], TrialState.PRUNED, None)
            else:
                yield Outcome(trials[number], TrialState.COMPLETE, result.mean)


def shown_rows(n_rows: int) -> np.ndarray:
    """The rows whose predictions are kept with a trial: all, or 500 of them."""
    return np.unique(np.linspace(0, n_rows - 1, min(n_rows, 500)).round().astype(int))


def _short(values: np.ndarray) -> Any:
    """Numbers in five digits, as lists."""
    if values.ndim > 1:
        return [_short(row) for row in values]
    return [float(f"{value:.5g}") for value in values]


def is_refused(trial: FrozenTrial) -> bool:
    """Whether the trial's network cannot exist, so that it was never trained."""
    return trial.state == TrialState.PRUNED and "refused" in trial.user_attrs
