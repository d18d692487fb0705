"""What a study file defines: the data, the model class, and the search space."""

import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import InitVar, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, distribution_to_json
from optuna.exceptions import OptunaError
from optuna.samplers import RandomSampler
from optuna.trial import BaseTrial, FrozenTrial

from hw1.datasets import Dataset, Loader, Part
from hw1.errors import ArchitectureError, InputError, choose, is_count, place, users_code
from hw1.optuna_store import quiet_optuna
from hw1.standings import Round
from hw1.tasks import TASKS, TaskName
from hw1.training import Configuration
from hw1.training.networks import ModelClass

PROBES = 200
"""Random configurations from which a search space is read off."""
CONFIGURATIONS = "(configurations)"
MISSING: Any = object()


@dataclass(frozen=True)
class Parameter:
    """A hyperparameter of a search space.

    Attributes:
        distribution: its range or choices.
        default: its value in a study's first trial, or `MISSING`.
        grid: its values in a grid study; none if a grid does not vary it.
    """

    distribution: BaseDistribution
    default: Any
    grid: list[Any]


class Trial:
    """Optuna's trial, whose suggestions also take a default and the values of a grid.

    ``default`` is the value in the first trial of a study; a grid study varies the parameters that
    have a ``grid``, and holds the others at their defaults. One that is outside the range, or none
    of the choices, is an `InputError`. All other attributes are those of Optuna's trial.

    Args:
        trial: Optuna's.

    Attributes:
        parameters: those that have been suggested, by name.
    """

    def __init__(self, trial: BaseTrial) -> None:
        self._trial = trial
        self.parameters: dict[str, Parameter] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trial, name)

    def suggest_float(
        self,
        name: str,
        low: float,
        high: float,
        *,
        step: float | None = None,
        log: bool = False,
        default: float = MISSING,
        grid: Iterable[float] = (),
    ) -> float:
        """A number from ``low`` to ``high``, as ``optuna.Trial.suggest_float``."""
        value = self._trial.suggest_float(name, low, high, step=step, log=log)
        self._declare(name, default, grid)
        return value

    def suggest_int(
        self,
        name: str,
        low: int,
        high: int,
        *,
        step: int = 1,
        log: bool = False,
        default: int = MISSING,
        grid: Iterable[int] = (),
    ) -> int:
        """A whole number from ``low`` to ``high``, as ``optuna.Trial.suggest_int``."""
        value = self._trial.suggest_int(name, low, high, step=step, log=log)
        self._declare(name, default, grid)
        return value

    def suggest_categorical(
        self, name: str, choices: Sequence[Any], *, default: Any = MISSING, grid: Iterable[Any] = ()
    ) -> Any:
        """One of several choices, as ``optuna.Trial.suggest_categorical``."""
        value = self._trial.suggest_categorical(name, choices)
        self._declare(name, default, grid)
        return value

    def _declare(self, name: str, default: Any, grid: Iterable[Any]) -> None:
        parameter = Parameter(self._trial.distributions[name], default, list(grid))
        given = [] if default is MISSING else [("default", default)]
        for kind, value in [*given, *(("grid", value) for value in parameter.grid)]:
            if not _contains(parameter.distribution, value):
                raise InputError(f"{name} = {value!r} in its {kind} is outside its range")
        self.parameters[name] = parameter


@dataclass(frozen=True, kw_only=True)
class StudyDefinition:
    """What a file in ``studies/`` defines, as its variable ``study``.

    Attributes:
        dataset: loads the data; see `hw1.datasets`.
        task: ``"regression"`` or ``"classification"``.
        model: the model class; see `hw1.models`.
        metric: the name of one of the task's metrics in `hw1.tasks`, by which trials are scored;
            its first one unless another is given.
        search_space: suggests the hyperparameters of a `Trial`, with their defaults and the values
            of a grid, and returns its configuration.
        n_trials: the number of trials of a study, unless it is a grid.
        n_splits: the number of folds.
        epochs: the epochs of a trial at most.
        search_rows: the size of a stratified random subset of the training examples, on which the
            trials are cross-validated; None for all. What is left is trained on in rounds, and
            in the end.
        rounds: what comes after the search; the last one decides which trial wins.
        sampler: a name in `hw1.samplers.SAMPLERS`.
        pruner: a name in `hw1.samplers.PRUNERS`.

    Raises:
        InputError: a field is of another type.
    """

    dataset: Loader
    task: TaskName
    model: ModelClass
    search_space: Callable[[Trial], Configuration]
    n_trials: int = 50
    n_splits: int = 5
    epochs: int = 100
    search_rows: int | None = None
    rounds: Sequence[Round] = (Round(),)
    metric: str = ""
    sampler: str = "tpe"
    pruner: str = "median"
    grid: InitVar[None] = None
    defaults: InitVar[None] = None

    def __post_init__(self, grid: None, defaults: None) -> None:
        if grid is not None or defaults is not None:
            raise InputError(
                "a StudyDefinition has no grid or defaults any more: give them where the search "
                'space suggests, as trial.suggest_float("lr", 1e-4, 1e-1, default=1e-3, '
                "grid=[1e-3, 1e-2])"
            )
        task = TASKS[choose("task", self.task, TASKS)]
        object.__setattr__(self, "metric", task.metric(self.metric).name)
        right = {
            "dataset": (callable(self.dataset), "a function load(part, data_dir)"),
            "model": (callable(self.model), "a class of networks"),
            "search_space": (callable(self.search_space), "a function of a trial"),
        } | {
            name: (is_count(getattr(self, name), least), f"a whole number from {least}")
            for name, least in (("n_trials", 1), ("n_splits", 2), ("epochs", 1), ("search_rows", 1))
            if name != "search_rows" or self.search_rows is not None
        }
        are_rounds = isinstance(self.rounds, Sequence) and all(
            isinstance(one, Round) for one in self.rounds
        )
        right["rounds"] = (are_rounds, "a list of hw1.Round")
        for name, (ok, kind) in right.items():
            if not ok:
                raise InputError(f"{name} = {getattr(self, name)!r:.60} is not {kind}")
        object.__setattr__(self, "rounds", tuple(self.rounds))

    def load(self, part: Part, data_dir: Path) -> Dataset:
        """The examples of one part, by the study's loader.

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

    def configure(self, trial: BaseTrial | Trial) -> Configuration:
        """What the search space makes of a trial, Optuna's or ours.

        Raises:
            ArchitectureError: it refuses its own suggestion.
            InputError: it fails, gives a default or a grid outside a range, or returns no
                configuration that JSON can hold; with its line.
        """
        ours = trial if isinstance(trial, Trial) else Trial(trial)
        with users_code(self.search_space, (ArchitectureError, MemoryError, OptunaError)):
            configuration = self.search_space(ours)
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
    def parameters(self) -> dict[str, Parameter]:
        """Every hyperparameter that the search space suggests, by name; see `fingerprint`.

        Raises:
            InputError: one has different defaults or grids in different configurations.
        """
        found: dict[str, Parameter] = {}
        for trial, _ in self.probes():
            for name, one in trial.parameters.items():
                other = found.setdefault(name, one)
                if (one.default, one.grid) != (other.default, other.grid):
                    raise InputError(
                        f"{place(self.search_space)}: {name} has several defaults or grids: give "
                        "the same ones wherever it is suggested, or the parameter another name"
                    )
        return found

    @cached_property
    def default_params(self) -> dict[str, Any]:
        """The defaults of the parameters that have one: a study's first trial."""
        return {
            name: one.default for name, one in self.parameters.items() if one.default is not MISSING
        }

    def cells(self) -> list[dict[str, Any]]:
        """The combinations of the parameters that have a grid, each with the others' defaults.

        Raises:
            InputError: no parameter has one.
        """
        cells = [self.default_params]
        for name, one in self.parameters.items():
            if one.grid:
                cells = [cell | {name: value} for cell in cells for value in one.grid]
        if not any(one.grid for one in self.parameters.values()):
            raise InputError(
                f"{place(self.search_space)}: no parameter has a grid: give some of them "
                "grid=[...], or choose another --sampler"
            )
        return cells

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
            trial = Trial(study.ask())
            found.append((trial, self.configure(trial)))
        return found[:n]

    @cached_property
    def _probed(self) -> tuple[optuna.Study, list[tuple[Trial, Configuration]]]:
        with quiet_optuna():
            return optuna.create_study(sampler=_SamplerByName()), []


class _SamplerByName(RandomSampler):
    """Random values that depend on the number of the trial and the name of the parameter alone."""

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        seed = zlib.crc32(f"{trial.number} {param_name}".encode())
        random = RandomSampler(seed)
        return random.sample_independent(study, trial, param_name, param_distribution)


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _contains(distribution: Any, value: Any) -> bool:
    try:
        internal = distribution.to_internal_repr(value)
    except ValueError:
        return False
    if isinstance(distribution, CategoricalDistribution):
        return True
    steps = 0 if distribution.step is None else (internal - distribution.low) / distribution.step
    within = distribution.low <= internal <= distribution.high
    return bool(within and abs(steps - round(steps)) < 1e-8)
