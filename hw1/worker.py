"""Working on a study: asking for trials, training them in batches, telling what became of them."""

import math
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from hw1.errors import ArchitectureError, InputError
from hw1.objective import Candidate, Objective
from hw1.optuna_store.storage import HEARTBEAT_SECONDS
from hw1.optuna_store.working_copy import Conflict, WorkingCopy
from hw1.processes import this_process
from hw1.samplers import ADAPTIVE_SAMPLERS, make_pruner, make_sampler
from hw1.study import OUT_OF_MEMORY, Study, counts, state_name
from hw1.training.networks import Footprint
from hw1.watching import UNWATCHED, Watcher

REFUSED_IN_A_ROW = 100
SAVE_SECONDS = 1.0
"""How often what has been reported is written to storage."""
MOST_TRIALS = {"cpu": 32, "cuda": 1024}
"""Trials per batch, at most, unless a number is given."""
MOST_ELEMENTS = {"cpu": 2**17, "cuda": 2**27}
"""Elements of the largest matrix in a step up to which trials are stacked: beyond what fits a
processor's cache, a batch is slower than its trials one after another."""
MOST_OPERATIONS = 2e10
"""Operations for each thread of a processor, about a second's, up to which trials are asked for:
together they share what an epoch costs whatever its size, which of longer trials is little."""
MOST_PARAMETERS = 2**26
"""Parameters of the networks of a batch that are trained each by itself, for memory's sake."""


class Worker:
    """Runs trials of a study until it has all.

    It asks for several trials at a time, trains those together that can be, in the order in
    which they were asked for, and asks for more as soon as they have ended. What it does goes
    to a working copy, which is saved every second.

    Args:
        study: to work on.
        objective: of that study.
        trials_per_batch: the trials per batch; None to choose: as many as share
            a batch with profit, but not more than a tenth of the study's trials, in all processes
            together, where the sampler or the pruner learns from their results.
        watcher: is told of each step, once the worker has saved and said that it lives.
    """

    def __init__(
        self,
        study: Study,
        objective: Objective,
        *,
        trials_per_batch: int | None = None,
        watcher: Watcher = UNWATCHED,
    ) -> None:
        self.study = study
        self.objective = objective
        self.trials_per_batch = trials_per_batch
        self._copy = self._new_copy()
        self._device = objective.dataset.inputs.device.type
        self._asked: list[Candidate] = []
        self._running: set[int] = set()
        self._refused_unbuilt = self._refused_untrained = 0
        self._last_heartbeat = self._last_save = -math.inf
        self._watcher = watcher.after(self._tick)

    def _new_copy(self) -> WorkingCopy:
        copy = WorkingCopy(self.study.storage, self.study.optuna_study)
        copy.study.pruner = make_pruner(self.study.settings.pruner, self.study.settings.epochs)
        return copy

    def run(self, deadline: float = math.inf) -> None:
        """Run trials until the study is complete or ``deadline`` (a ``time.time()``) has passed.

        A trial that runs out of memory, alone, fails and counts. Every other exception, an
        interruption included, fails the trials that were asked for without counting them, queues
        their parameters for the next run, and is raised.

        Raises:
            InputError: 100 consecutive configurations were invalid.
        """
        try:
            while True:
                if time.time() < deadline:
                    self._asked += self.ask()
                else:
                    self._give_back()
                if not self._asked:
                    return
                batch = self._next_batch()
                self._asked = [c for c in self._asked if c not in batch]
                self._train(batch)
                self._copy.save()
        except BaseException:
            try:
                self._copy.save()
            finally:
                self.study.fail_orphans(own=True)
            raise

    def ask(self) -> list[Candidate]:
        """Ask for as many trials as are to be trained in one batch and not trained yet.

        Counts and asks under the storage's lock, so that several processes together make exactly
        the trials that are missing and no cell of a grid twice.
        """
        found: list[Candidate] = []
        with self.study.storage.lock:
            try:
                self._copy.refresh()
                target = self.study.n_trials
                most = self._most_trials(target)
                while not self._is_enough([*self._asked, *found], most):
                    trial = self._ask_for_one(target)
                    if trial is None:
                        break
                    candidate = self._suggest(trial)
                    if candidate is not None:
                        found.append(candidate)
                lost = self._copy.save()  # where another machine took them from the queue
                found = [one for one in found if one.trial.number not in lost]
            except Conflict:
                # What was asked for before goes on; then a new copy asks again.
                if self._asked:
                    return []
                self._copy, self._running = self._new_copy(), set()
                return self.ask()
            except BaseException:
                self._copy.save()
                raise
        self._running |= {candidate.trial.number for candidate in found}
        self._last_heartbeat = -math.inf
        self._tick()
        return found

    def _most_trials(self, target: int) -> int:
        """How many trials this process may have asked for at a time."""
        if self.trials_per_batch is not None:
            return self.trials_per_batch
        settings = self.study.settings
        most = MOST_TRIALS[self._device]
        if settings.sampler in ADAPTIVE_SAMPLERS or settings.pruner != "none":
            # What is asked for early neither learns from results nor is measured against them.
            elsewhere = sum(
                trial.state == TrialState.RUNNING and trial.number not in self._running
                for trial in self._copy.study.get_trials(deepcopy=False)
            )
            most = min(most, target // 10 - elsewhere)
        return max(most, 1)

    def _is_enough(self, asked: Sequence[Candidate], most: int) -> bool:
        """Whether no more trials are to be asked for now."""
        if len(asked) >= most or self.trials_per_batch is not None or self._device != "cpu":
            return len(asked) >= most
        # Nothing of a trial is kept before it has ended, so the few that a crash may cost are
        # trained to their end before the next ones are begun. A thread trains one network at a
        # time, and all threads are to have work.
        networks, threads = self.objective.splits.n_splits, torch.get_num_threads()
        work = sum(networks * c.configuration.epochs * c.footprint.operations for c in asked)
        return work >= MOST_OPERATIONS * threads and networks * len(asked) >= 2 * threads

    def _ask_for_one(self, target: int) -> Trial | None:
        study, settings = self._copy.study, self.study.settings
        trials = study.get_trials(deepcopy=False)
        if sum(map(counts, trials)) >= target:
            return None
        if not trials and settings.grid is None:
            study.enqueue_trial(self.objective.definition.default_params)
        study.sampler = make_sampler(
            settings.sampler, settings.seed, len(trials), previous=study.sampler
        )
        queued = any(trial.state == TrialState.WAITING for trial in trials)
        if settings.grid is not None and not queued:
            cell = next_cell(settings.grid, trials)
            if cell is None:
                return None
            study.enqueue_trial(settings.grid[cell], user_attrs={"grid_cell": cell})
        trial = study.ask()
        trial.set_user_attr("worker", this_process())
        return trial

    def _suggest(self, trial: Trial) -> Candidate | None:
        """The trial, if it can be trained; else what is wrong with it is told."""
        try:
            candidate = self.objective.suggest(trial)
        except ArchitectureError as error:
            self._refused_unbuilt += 1
            self._refuse(trial, error, self._refused_unbuilt)
            return None
        except Exception as error:
            if not self._fail(trial, error):
                raise
            return None
        self._refused_unbuilt = 0
        return candidate

    def _refuse(self, trial: Trial, error: Exception, in_a_row: int) -> None:
        self._tell(trial, TrialState.PRUNED, refused=str(error))
        if in_a_row >= REFUSED_IN_A_ROW:
            raise InputError(
                f"{in_a_row} consecutive configurations were invalid: narrow the search space, or "
                f"choose another model class (the last one: {error})"
            ) from error

    def _fail(self, trial: Trial, error: Exception) -> bool:
        """Fail a trial; answer whether the study can go on."""
        lacks_memory = out_of_memory(error)
        reason = OUT_OF_MEMORY if lacks_memory else f"{type(error).__name__}: {error}"
        self._tell(trial, TrialState.FAIL, failure=reason)
        return lacks_memory

    def _tell(
        self, trial: Trial, state: TrialState, value: float | None = None, **attributes: str
    ) -> None:
        # A trial that another process took for lost stays so.
        with suppress(UpdateFinishedTrialError):
            for name, text in attributes.items():
                trial.set_user_attr(name, text)
        self._copy.study.tell(trial.number, value, state, skip_if_finished=True)
        self._running.discard(trial.number)

    def _give_back(self) -> None:
        """Leave to the next run what was asked for but is not trained."""
        if self._asked:
            self._asked = []
            self.study.fail_orphans(own=True)

    def _next_batch(self) -> list[Candidate]:
        """The trial that waits longest, and others that are trained with it at a profit."""
        footprints = [candidate.footprint for candidate in self._asked]
        batch = together(footprints, self.objective.splits.n_splits, self._device)
        return [self._asked[i] for i in batch]

    def _train(self, batch: Sequence[Candidate]) -> None:
        remaining = {candidate.trial.number: candidate for candidate in batch}
        try:
            for trial, value in self.objective.train(batch, self._watcher):
                del remaining[trial.number]
                self._refused_untrained = 0
                state = TrialState.PRUNED if value is None else TrialState.COMPLETE
                self._tell(trial, state, value)
            self._running -= remaining.keys()  # what another process took for lost
            return
        except Exception as error:
            is_refused = isinstance(error, ArchitectureError)
            if is_refused and len(remaining) == 1:
                (candidate,) = remaining.values()
                self._refused_untrained += 1
                self._refuse(candidate.trial, error, self._refused_untrained)
                return
            if len(remaining) == 1 or not (is_refused or out_of_memory(error)):
                goes_on = [self._fail(c.trial, error) for c in remaining.values()]
                if not all(goes_on):
                    raise
                return
        # One by one, now that the exception no longer holds what the batch has filled: what was
        # too much for all of them, or is wrong with one, is not for each.
        with warnings.catch_warnings():
            # Optuna's, that the first epochs are reported already.
            warnings.simplefilter("ignore", UserWarning)
            for candidate in remaining.values():
                self._train([candidate])

    def _tick(self) -> None:
        """Save, and say that this process lives so that others leave its trials alone."""
        now = time.monotonic()
        if now - self._last_save >= SAVE_SECONDS:
            self._copy.save()
            self._last_save = time.monotonic()
        if now - self._last_heartbeat >= HEARTBEAT_SECONDS:
            self.study.storage.record_heartbeats(
                [self._copy.stored_id(number) for number in self._running]
            )
            self._last_heartbeat = now


def together(footprints: Sequence[Footprint], n_networks: int, device: str) -> list[int]:
    """Which configurations to train in one batch: the first, and those that join it at a profit.

    Args:
        footprints: of those that wait, the one that waits longest first.
        n_networks: of each of them.
        device: the type of the device.
    """
    first = footprints[0]
    stacked = first.backend == "stacked"
    most = MOST_ELEMENTS[device] if stacked else MOST_PARAMETERS
    most //= n_networks
    others = [i for i, other in enumerate(footprints) if i and other.key == first.key]
    if stacked:
        # Narrower networks are padded to the widest, so those of its size come first.
        others.sort(key=lambda i: abs(footprints[i].n_elements - first.n_elements))
    batch = [0]
    for other in others:
        sizes = [footprints[i].n_elements for i in (*batch, other)]
        if (max(sizes) * len(sizes) if stacked else sum(sizes)) <= most:
            batch.append(other)
    return batch


def out_of_memory(error: BaseException) -> bool:
    """Whether this is said of memory that there is not."""
    return isinstance(
        error, MemoryError | torch.OutOfMemoryError
    ) or "can't allocate memory" in str(error)


def next_cell(grid: Sequence[dict[str, Any]], trials: Sequence[FrozenTrial]) -> int | None:
    """The first cell of the grid that no trial has visited, but for interrupted ones."""
    visited = {
        trial.user_attrs.get("grid_cell")
        for trial in trials
        if counts(trial) or state_name(trial) == "invalid"
    }
    return next((i for i in range(len(grid)) if i not in visited), None)
