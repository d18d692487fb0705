"""A study's trials in memory, written to storage many at a time."""

import copy
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from hw1.optuna_store import quiet_optuna
from hw1.optuna_store.storage import Change, Storage

CONTENTS = ("params", "distributions", "user_attrs", "system_attrs", "intermediate_values")


class Conflict(Exception):  # noqa: N818 -- no error: someone else was faster
    """Another process has added trials under the numbers that the unsaved ones of a copy have."""


class WorkingCopy:
    """A study's trials in memory, on which trials are asked for, reported and pruned.

    Optuna's storage takes a transaction for every value of every trial. Here these go to memory,
    and `save` writes what has come together; a crash loses what came after the last one. Trials
    have the numbers that they have in storage, so nobody else may add any from `refresh` to
    `save`: the processes of one machine hold the storage's lock. Where others do, `save` raises
    `Conflict`. The new trials are lost then and the copy is stale: it can go on with those that
    it has saved before, but new ones take a new copy.

    Args:
        storage: where the study is kept.
        study: the stored study; its sampler and pruner are the copy's too.

    Attributes:
        study: the study in memory, without its user attributes; its sampler and pruner may be set.
            What a trial's attribute holds is not to be changed in place. Trials that are in the
            queue when it is saved are anyone's to take.
    """

    def __init__(self, storage: Storage, study: optuna.Study) -> None:
        self._storage = storage
        self._study_id = storage.get_study_id_from_name(study.study_name)
        self._memory = InMemoryStorage()
        with quiet_optuna():
            self.study = optuna.create_study(
                storage=self._memory,
                study_name=study.study_name,
                directions=study.directions,
                sampler=study.sampler,
                pruner=study.pruner,
            )
        self._attributes: dict[str, Any] = {}
        self._ids: list[int] = []  # of the stored trials, by number
        self._unfinished: dict[int, FrozenTrial] = {}  # as they are in storage, by number
        self._own: set[int] = set()
        self._stale = False
        for stored in study.get_trials(deepcopy=False):  # it keeps those that it once read
            self._add(stored)
        self.refresh()

    def stored_id(self, number: int) -> int:
        """The id that a trial has in storage, once it is saved."""
        return self._ids[number]

    def refresh(self) -> None:
        """Take over what other processes have added or changed in storage.

        Raises:
            Conflict: the copy is stale, or another process has added trials while this copy has
                some that are not saved.
        """
        if self._stale:
            raise Conflict
        trials = self.study.get_trials(deepcopy=False)
        others = [
            stored._trial_id
            for number, stored in self._unfinished.items()
            if number not in self._own and trials[number].state == stored.state
        ]
        last_id = self._ids[-1] if self._ids else -1
        for stored in self._storage.trials_since(self._study_id, last_id, others):
            if stored.number < len(self._ids):
                self._take_over(stored)
            elif len(self._ids) < len(trials):
                raise Conflict
            else:
                self._add(stored)
        # Some samplers count in the study's own attributes.
        attributes = self._storage.get_study_system_attrs(self._study_id)
        for key, value in attributes.items():
            if self._attributes.get(key) != value:
                self._memory.set_study_system_attr(self.study._study_id, key, value)
        self._attributes = attributes

    def save(self) -> set[int]:
        """Write all that is new of this copy's trials.

        Returns:
            The numbers of those that were left alone because another process has finished them
            meanwhile, or took them from the queue; here they are now as they are in storage.

        Raises:
            Conflict: another process has added trials. Nothing is written; the next call writes
                what is new of trials that were saved before.
            ValueError: a parameter's distribution does not go with an earlier one of its name.
            TypeError: an attribute cannot be written as JSON.
        """
        trials = self.study.get_trials(deepcopy=False)
        changes = [
            Change(stored.state, _news(stored, trials[number]))
            for number, stored in self._unfinished.items()
            if number in self._own or trials[number].state != stored.state
        ]
        if not self._stale:
            self._save_new(trials[len(self._ids) :])
        refused = self._storage.update_trials(self._study_id, changes) if changes else []
        lost = {change.new.number for change in changes if change.new._trial_id in refused}
        for change in changes:
            if change.new.number not in lost:
                self._keep(trials[change.new.number], own=True)
        for number in lost:
            self._take_over(self._storage.get_trial(self._ids[number]))
        return lost

    def _save_new(self, trials: Sequence[FrozenTrial]) -> None:
        if trials:
            ids = self._storage.insert_trials(self._study_id, trials)
            if ids is None:
                self._stale = True
                raise Conflict
            self._ids += ids
            for trial in trials:
                self._keep(trial, own=trial.state == TrialState.RUNNING)
        attributes = self._memory.get_study_system_attrs(self.study._study_id)
        for key, value in attributes.items():
            if self._attributes.get(key) != value:
                self._storage.set_study_system_attr(self._study_id, key, value)
                self._attributes[key] = value

    def _add(self, stored: FrozenTrial) -> None:
        template = copy.copy(stored)
        template.__class__ = _Template
        trial_id = self._memory.create_new_trial(self.study._study_id, template)
        self._ids.append(stored._trial_id)
        self._keep(self._memory.get_trial(trial_id), own=False)

    def _take_over(self, stored: FrozenTrial) -> None:
        """Make a trial in memory what it is in storage."""
        trial = self.study.get_trials(deepcopy=False)[stored.number]
        if stored.state.is_finished() and not trial.state.is_finished():
            # So that the memory takes note of the best one; it makes another object of the trial.
            self._memory.set_trial_state_values(trial._trial_id, stored.state, stored.values)
            trial = self._memory.get_trial(trial._trial_id)
        for name in ("state", "values", "datetime_start", "datetime_complete", *CONTENTS):
            setattr(trial, name, getattr(stored, name))
        self._keep(trial, own=False)

    def _keep(self, trial: FrozenTrial, *, own: bool) -> None:
        """Remember what is stored of a trial, as long as it has not ended."""
        number = trial.number
        self._own.discard(number)
        self._unfinished.pop(number, None)
        if trial.state.is_finished():
            return
        stored = copy.copy(trial)
        stored._trial_id = self._ids[number]
        for name in CONTENTS:  # Optuna changes the dictionaries of trials that it has handed out
            setattr(stored, name, dict(getattr(trial, name)))
        self._unfinished[number] = stored
        if own:
            self._own.add(number)


class _Template(FrozenTrial):
    """A trial that is copied with its dictionaries, but not with every value in them.

    Optuna copies what it is given in depth, which for thousands of trials with their curves takes
    seconds.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenTrial:
        trial = copy.copy(self)
        trial.__class__ = FrozenTrial  # type: ignore[assignment]
        for name in CONTENTS:
            setattr(trial, name, dict(getattr(self, name)))
        return trial


def _news(stored: FrozenTrial, trial: FrozenTrial) -> FrozenTrial:
    """A trial with what is not stored of it."""
    news = copy.copy(trial)
    news._trial_id = stored._trial_id
    for name in CONTENTS:
        old = getattr(stored, name)
        # Whether values are the same, not equal: 1, 1.0 and True are, and nan never is.
        new = {key: x for key, x in getattr(trial, name).items() if old.get(key, old) is not x}
        setattr(news, name, new)
    return news
