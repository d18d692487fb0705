"""A stored study, opened to be analyzed."""

import contextlib
import errno
import os
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import pandas as pd
import torch
from optuna.trial import FrozenTrial, TrialState

from hw1.analysis.curves import LearningCurves, check_curves
from hw1.analysis.scores import fits
from hw1.datasets import Dataset
from hw1.datasets.given import GIVEN, given
from hw1.definition import StudyDefinition
from hw1.errors import InputError
from hw1.job import Job
from hw1.objective import backend_of
from hw1.optuna_store.storage import Storage, file_stem
from hw1.places import data_folder, storage_url
from hw1.rounds import round_configuration, search_data
from hw1.rows import study_as_dict, trial_as_dict
from hw1.standings import Entry
from hw1.study import Settings, Study
from hw1.study_files import Named, find_device, find_precision, stored_definition
from hw1.tasks import Metric
from hw1.training import Configuration
from hw1.training.networks import Footprint, footprint

MOST_THREADS = 1024
_PROVENANCE = {"torch": str, "system": str, "processor": str, "threads": int}
"""What is read of a trial's provenance; the rest is shown as it is."""
Record = TypeVar("Record")


class StudyResults:
    """A stored study with its definition and data; `open_study` makes one.

    What is stored can be read without the study file, which is run when it is first needed, as are
    the data. The test examples are loaded by `test_rows` alone.

    Attributes:
        study: the study in storage.
    """

    def __init__(self, study: Study, find_job: Callable[[], Job]) -> None:
        self.study = study
        self._find_job = find_job

    @cached_property
    def job(self) -> Job:
        """The study's definition, the data folder, and the device and precision to train in.

        Raises:
            InputError: the study file is neither one of the project's own nor named.
        """
        return self._find_job()

    @property
    def name(self) -> str:
        """What the study is called in storage."""
        return self.study.name

    @property
    def file_stem(self) -> str:
        """The name, as far as a file can have it."""
        return file_stem(self.name)

    @property
    def settings(self) -> Settings:
        """What the study is made of."""
        return self.study.settings

    @property
    def metric(self) -> Metric:
        """What a trial's value measures."""
        return self.study.metric

    @property
    def definition(self) -> StudyDefinition:
        """The study's definition, from its file."""
        return self.job.definition

    @cached_property
    def dataset(self) -> Dataset:
        """The training examples, on the device.

        Raises:
            InputError: they have changed since the study was made.
        """
        return self.job.load_unchanged(self.study).to(self.job.device)

    @property
    def search_data(self) -> Dataset:
        """The training examples on which trials were cross-validated: all or a subset of them."""
        dataset, settings = self.dataset.to(torch.device("cpu")), self.settings
        return search_data(dataset, settings.search_rows, settings.seed).to(self.job.device)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """`hw1.datasets.Dataset.facts` of its data; they are loaded if the study lacks them."""
        return self.study.facts or self.dataset.facts

    @property
    def has_test_set(self) -> bool:
        """Whether there are test examples; not if the data were given in Python and are not now."""
        if self.job.data is not None:
            return self.job.data.test is not None
        if self.settings.train_csv is not None:
            return self.settings.test_csv is not None
        return self.settings.dataset not in GIVEN

    def test_rows(self) -> Dataset | None:
        """The test examples; None if the study's data have none."""
        if not self.has_test_set:
            return None
        return self.job.loader(self.settings)("test", self.job.data_dir)

    @property
    def trials(self) -> pd.DataFrame:
        """One row a trial, by its number: state, value, what is kept with it, ``params_*``."""
        rows, trials = [], self.study.trials()
        standings = self.study.standings(trials)
        for trial in trials:
            row = trial_as_dict(trial, standings)
            params = row.pop("params")
            rows.append(row | {f"params_{name}": value for name, value in sorted(params.items())})
        return pd.DataFrame(rows).set_index("trial") if rows else pd.DataFrame()

    @property
    def best_params(self) -> dict[str, Any]:
        """The hyperparameters of the best trial; see `trial`."""
        return self.study.best_trial().params

    def checked_trials(self) -> list[FrozenTrial]:
        """All trials, whatever their states.

        Raises:
            InputError: what is kept with one of them makes no sense.
        """
        trials = self.study.trials()
        kinds: dict[str, type] = {}
        for trial in trials:
            with self.study.storage.readable(f"trial {trial.number} of {self.name!r}"):
                _check_details(trial, self.settings.n_splits)
                if "configuration" in trial.user_attrs:
                    configuration(trial)
                for name, distribution in trial.distributions.items():
                    if kinds.setdefault(name, type(distribution)) is not type(distribution):
                        raise TypeError(f"its parameter {name}")
            trained = trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
            if trained and "configuration" in trial.user_attrs:
                self._require_configuration(trial)
        return trials

    def trial(self, number: int | None = None, *, pruned: bool = False) -> FrozenTrial:
        """See `hw1.study.Study.trial`: without a number, the one that wins the final round.

        Raises:
            InputError: there is none, or it was not made by hw1.
        """
        trial = self.study.trial(number, pruned=pruned)
        self._require_configuration(trial)
        return trial

    def top(self, n: int) -> list[FrozenTrial]:
        """The best ``n`` completed trials, the best first; fewer if there are no more.

        Those of the final round stand before the others.

        Raises:
            InputError: no trial has completed yet.
        """
        self.study.best_trial()
        ranked = self.study.ranked()
        final = [entry.trial for entry in self.study.standings().final]
        first = [trial for n in final for trial in ranked if trial.number == n]
        best = [*first, *(trial for trial in ranked if trial.number not in final)][:n]
        for trial in best:
            self._require_configuration(trial)
        return best

    def final(self, trial: FrozenTrial) -> Entry | None:
        """What a trial scores in the final round; None if it did not take part."""
        entry = self.study.standings().final_of(trial.number)
        if entry is not None:
            with self.study.storage.readable(f"the rounds of {self.name!r}"):
                _check_provenance(entry.trained["provenance"])
        return entry

    def tuned(self, trial: FrozenTrial) -> tuple[Configuration, int]:
        """With what, and to which epoch, a network of a completed trial is trained.

        Of a trial in the final round: with the epochs of that round, to its best one there. Of any
        other: as in the search, to its own best epoch.
        """
        final, found = self.final(trial), configuration(trial)
        if final is None:
            return found, int(trial.user_attrs["best_epoch"])
        last = self.settings.rounds[-1]
        return round_configuration(found, last, self.settings.epochs), final.best_epoch

    def curves(self, number: int | None = None) -> pd.DataFrame:
        """The `LearningCurves` of a trial, or of the best one, as a table; see `trial`."""
        trial = self.trial(number, pruned=True)
        with self.study.storage.readable(f"trial {trial.number} of {self.name!r}"):
            return LearningCurves.stored(trial).frame()

    def footprint(self, trial: FrozenTrial) -> Footprint:
        """What it takes to train the network of a trial's configuration.

        Raises:
            InputError: what is stored gives no network.
        """
        with self.study.storage.readable(f"the network of trial {trial.number} of {self.name!r}"):
            return footprint(self.definition.model, configuration(trial), self.dataset)

    def stored(self, key: str, **same: Any) -> list[dict[str, Any]]:
        """What analyses have stored with the study under a key, and with these values."""
        with self.study.storage.readable(f"{key} of {self.name!r}"):
            records = self.study.optuna_study.user_attrs.get(key, [])
            if records and not fits(records, list[dict[str, Any]]):
                raise TypeError("not a list of records")
            return [record for record in records if _has(record, same)]

    def records(self, kind: type[Record], key: str, **same: Any) -> list[Record]:
        """The same as instances of a dataclass, whose type hints say what each field may hold.

        Older versions have not stored what ``metric`` the scores are of.

        Raises:
            InputError: a record has other fields than the class, or what they cannot hold.
        """
        kinds = get_type_hints(kind)
        with self.study.storage.readable(f"{key} of {self.name!r}"):
            records = self.stored(key)
            for record in records:
                for name, value in record.items():
                    if not fits(value, kinds[name]):
                        raise TypeError(f"its {name}")
            metric = {"metric": self.metric.name} if "metric" in kinds else {}
            found = [kind(**record | metric) for record in records]
        return [record for record in found if _has(vars(record), same)]

    def store(self, key: str, record: dict[str, Any], **same: Any) -> None:
        """Keep a record with the study, in place of one with these values if any are given."""
        with self.study.storage.lock:
            records = [r for r in self.stored(key) if not (same and _has(r, same))]
            self.study.optuna_study.set_user_attr(key, [*records, record])

    def _require_configuration(self, trial: FrozenTrial) -> None:
        """Raise an `InputError` unless hw1 has trained the trial and what is kept makes sense."""
        kept = trial.user_attrs
        if "configuration" not in kept:
            raise InputError(
                f"trial {trial.number} of {self.name!r} was not made by hw1: choose another one"
            )
        scores = kept.get("fold_scores", [])
        completed = trial.state == TrialState.COMPLETE
        with self.study.storage.readable(f"trial {trial.number} of {self.name!r}"):
            configuration(trial)
            for name in ("best_epoch", "epochs", "precision"):
                kept[name]  # a KeyError says what is missing
            if backend_of(kept) is None:
                raise KeyError("backend")
            if not completed <= kept["best_epoch"] <= kept["epochs"] <= self.settings.epochs:
                raise ValueError("its epochs")
            if len(scores) != self.settings.n_splits * bool(scores or completed) or not all(
                isinstance(score, float) for score in scores
            ):
                raise ValueError("its fold scores")
            _check_details(trial, self.settings.n_splits)


def _check_details(trial: FrozenTrial, n_splits: int) -> None:
    """Raise an error unless what else hw1 keeps with a trial makes sense, as far as it is there."""
    kept = trial.user_attrs
    check_curves(kept, n_splits)
    if not fits(kept.get("confusion"), list[list[int]] | None):
        raise ValueError("its confusion matrix")
    batch = kept.get("batch", [trial.number])
    if not fits(batch, list[int]) or trial.number not in batch:
        raise ValueError("its batch")
    if kept.get("provenance") is not None:
        _check_provenance(kept["provenance"])


def _check_provenance(provenance: dict[str, Any]) -> None:
    if not (
        all(fits(provenance[name], kind) for name, kind in _PROVENANCE.items())
        and 0 < provenance["threads"] <= MOST_THREADS
    ):
        raise ValueError("its provenance")


def _has(record: dict[str, Any], same: dict[str, Any]) -> bool:
    return all(record.get(name) == value for name, value in same.items())


def configuration(trial: FrozenTrial) -> Configuration:
    """What a trial's parameters had become."""
    return Configuration(**trial.user_attrs["configuration"])


def require_writable(folder: Path) -> None:
    """Make a folder, before long work whose result is to lie in it.

    Raises:
        InputError: it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise InputError(
            f"cannot write to {folder} ({error.strerror}): choose another --output"
        ) from error


def list_studies(storage: str | None = None) -> pd.DataFrame:
    """The studies of a storage: one row a study, by its name.

    Args:
        storage: as in `open_study`.

    Raises:
        InputError: there is no such storage.
    """
    opened = Storage(storage_url(storage), create=False)
    rows = []
    for name in opened.study_names():
        with contextlib.suppress(InputError):  # not made by this hw1, or unreadable
            rows.append(study_as_dict(Study(opened, name)))
    return pd.DataFrame(rows).set_index("name") if rows else pd.DataFrame()


def open_study(
    name: str | Study,
    *,
    storage: str | None = None,
    data_dir: str | Path | None = None,
    definition: Named | StudyDefinition = (),
    data: Any = None,
    test_data: Any = None,
    target: str | None = None,
    device: str = "auto",
    precision: str = "auto",
) -> StudyResults:
    """Open a stored study.

    When its study file is needed, it is run if it comes with hw1. Any other has to be named here:
    whoever can write to the storage could name any file there.

    Example:
        >>> results = open_study("regression_mlp-tpe")  # doctest: +SKIP
        >>> results.trials.sort_values("value").head()  # doctest: +SKIP

    Args:
        name: as ``hw1 list`` shows it; or the study itself, which says its ``storage``.
        storage: any SQLAlchemy URL; None for ``OPTUNA_STORAGE``, else ``storage/studies.db`` in the
            working folder, or within a checkout of hw1 in that.
        data_dir: where data sets are; None for ``HW1_DATA``, else ``data`` in the same folder.
        definition: the study file of a study that is not called by name, as ``run`` takes it; or
            several, among which the stored path chooses; or a `StudyDefinition`.
        data, test_data, target: what `hw1.run` was given.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        precision: in which networks are trained: ``"auto"``, ``"float32"`` or ``"bfloat16"``.

    Raises:
        InputError: there is no such study or storage, or an argument is wrong.
    """
    if isinstance(name, str):
        study = Study(Storage(storage_url(storage), create=False), name)
    else:
        study = name
    found = find_device(device), find_precision(precision)

    def find_job() -> Job:
        source: Path | StudyDefinition
        label = study.settings.definition
        if isinstance(definition, StudyDefinition):
            source = definition
        else:
            label, source = stored_definition(label, definition, origin=f"the study {study.name!r}")
        job = Job(label, source, study.storage.url, study.name, data_folder(data_dir), *found)
        if data is None:
            return job
        task, column = job.definition.task, target or study.settings.target
        return replace(job, data=given(data, test_data, task=task, target=column))

    return StudyResults(study, find_job)
