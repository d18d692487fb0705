"""Running the rounds after a search: the best few trials, cross-validated again on new folds."""

import base64
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hw1.cross_validation import (
    ROUND_NETWORKS,
    ROUND_ROWS,
    SEARCH_ROWS,
    CrossValidation,
    Report,
    Splits,
    cross_validate,
    scored_epoch,
)
from hw1.datasets import Dataset
from hw1.definition import StudyDefinition
from hw1.errors import ArchitectureError
from hw1.optuna_store.storage import HEARTBEAT_SECONDS, networks_folder
from hw1.processes import this_process
from hw1.provenance import provenance
from hw1.standings import Entry, Round, Standings
from hw1.study import OUT_OF_MEMORY, ROUNDS_KEY, ROUNDS_WORKER, Settings, Study
from hw1.tasks import METRICS
from hw1.training import Configuration
from hw1.training.keys import seed as derive_seed
from hw1.training.networks import footprint
from hw1.training.precision import Precision
from hw1.unfinished import Unfinished, file_of
from hw1.watching import UNWATCHED, Watcher
from hw1.words import listed
from hw1.worker import MOST_OPERATIONS, out_of_memory, together

DIVERGED = "diverged"


class Rounds:
    """Runs what is missing of a study's rounds: trials in lockstep, a repeat at a time.

    What a trial scores depends on the study's seed, the round, the trial, the repeat and the fold
    alone, not on the trials beside it. Each finished cross-validation is stored at once.

    Args:
        study: whose trials are all done.
        definition: of that study.
        dataset: all its training examples, on the device on which to train.
        precision: see `hw1.training.precision`.
        watcher: is told of each step.
    """

    def __init__(
        self,
        study: Study,
        definition: StudyDefinition,
        dataset: Dataset,
        *,
        precision: Precision = "float32",
        watcher: Watcher = UNWATCHED,
    ) -> None:
        self.study = study
        self.definition = definition
        self.dataset = dataset
        self.precision: Precision = precision
        self._watcher = watcher.after(self._tick)
        self._claimed = 0.0
        self._data: tuple[int, Dataset] | None = None

    def run(self, deadline: float = float("inf")) -> None:
        """Go on until the last round is finished or ``deadline`` (a ``time.time()``) has passed.

        Where another process works on the rounds of this study, they are left to it. A network
        that diverges or runs out of memory, alone, takes its trial out of the round; any other
        exception, an interruption included, is raised, and what is finished is stored.
        """
        if not self._claim():
            return
        try:
            while time.time() < deadline:
                standings = self.study.standings()
                if standings.complete:
                    return
                self._train(len(standings.entrants) - 1, *self._next(standings))
        finally:
            self._release()

    def _next(self, standings: Standings) -> tuple[int, dict[int, Configuration]]:
        """The repeat that is next in the current round, and trials to be trained together."""
        number = len(standings.entrants) - 1
        left = {n: standings.left(number, n) for n in standings.entrants[number]}
        most_left = max(left.values())
        waiting = [n for n, missing in left.items() if missing == most_left]
        configurations = [self._configuration(n, standings.rounds[number]) for n in waiting]
        dataset = self._round_data(number)
        footprints = [footprint(self.definition.model, c, dataset) for c in configurations]
        n_splits, device = self.study.settings.n_splits, dataset.inputs.device.type
        chosen: dict[int, Configuration] = {}
        work = 0.0
        for i in together(footprints, n_splits, device):
            # Large networks have nothing of each other, and less of them can be lost.
            if chosen and device == "cpu" and work >= MOST_OPERATIONS * torch.get_num_threads():
                break
            chosen[waiting[i]] = configurations[i]
            work += n_splits * configurations[i].epochs * footprints[i].operations
        return standings.rounds[number].repeats - most_left, chosen

    def _configuration(self, trial: int, one: Round) -> Configuration:
        with self.study.storage.readable(f"trial {trial} of {self.study.name!r}"):
            kept = self.study.trials()[trial].user_attrs["configuration"]
            return round_configuration(Configuration(**kept), one, self.study.settings.epochs)

    def _round_data(self, number: int) -> Dataset:
        if self._data is None or self._data[0] != number:
            one, seed = self.study.settings.rounds[number], self.study.settings.seed
            self._data = number, round_data(self.dataset, one, seed, number)
        return self._data[1]

    def _train(self, number: int, repeat: int, trials: dict[int, Configuration]) -> None:
        """Cross-validate the configurations of trials together, and store what they score."""
        rounds = self.study.settings.rounds
        what = (
            f"{round_name(rounds, number)}, repeat {repeat + 1} of {rounds[number].repeats}, "
            f"{'trial' if len(trials) == 1 else 'trials'} {listed([str(n) for n in trials])}"
        )
        most = max(configuration.epochs for configuration in trials.values())

        def report(epoch: int, means: Mapping[int, float]) -> Sequence[int]:
            self._watcher.say(f"{what}, epoch {epoch} of {most}")
            return ()

        remaining = dict(trials)
        try:
            for trial, found in cross_validate_round(
                self.study.settings,
                self.definition,
                self._round_data(number),
                (number, repeat),
                trials,
                report=report,
                precision=self.precision,
                on_step=self._watcher.on_step,
                unfinished=Unfinished(self._file(number, repeat, trials)),
            ):
                self._store(number, repeat, trial, found)
                del remaining[trial]
            return
        except Exception as error:
            lacks_memory = out_of_memory(error)
            if not (lacks_memory or isinstance(error, ArchitectureError)):
                raise
            if len(remaining) == 1:
                failure = OUT_OF_MEMORY if lacks_memory else str(error)
                self._store(number, repeat, next(iter(remaining)), failure)
                return
        # One by one, as a worker does it: what was too much for all of them is not for each.
        for trial, configuration in remaining.items():
            self._train(number, repeat, {trial: configuration})

    def _file(self, number: int, repeat: int, trials: dict[int, Configuration]) -> Path | None:
        """Where such a cross-validation is saved while it is not finished."""
        return file_of(
            networks_folder(self.study.storage.url, self.study.name),
            self.definition.model,
            self.dataset.inputs.device,
            settings=asdict(self.study.settings),
            round=[number, repeat],
            configurations={n: one.to_json() for n, one in trials.items()},
            precision=self.precision,
        )

    def _store(self, number: int, repeat: int, trial: int, found: CrossValidation | str) -> None:
        """Keep what a trial scores in a repeat, or why it has no score, with the study."""
        study = self.study
        with study.storage.lock:
            before = study.standings().entry(number, trial)
            if (len(before.scores) if before else 0) != repeat:
                return  # another machine was faster; it has found the same
            entry = self._entry(number, trial, before, found)
            stored = study.optuna_study.user_attrs.get(ROUNDS_KEY, [])
            others = [one for one in stored if (one["round"], one["trial"]) != (number, trial)]
            study.optuna_study.set_user_attr(ROUNDS_KEY, [*others, asdict(entry)])

    def _entry(
        self, number: int, trial: int, before: Entry | None, found: CrossValidation | str
    ) -> Entry:
        seconds = before.seconds if before else 0.0
        trained: dict[str, Any] = {"provenance": provenance(self.dataset.inputs.device)}
        if isinstance(found, str):
            return Entry(number, trial, 0, [], None, found, seconds, trained)
        trained |= {"backend": found.backend, "precision": found.precision}
        seconds = round(seconds + found.seconds, 3)
        curves = found.curves[None]
        if before is not None and before.curves is not None:
            n_epochs = self.study.settings.rounds[number].epochs or self.study.settings.epochs
            with self.study.storage.readable(f"the rounds of {self.study.name!r}"):
                earlier = decode(before, found.curves.shape[1], n_epochs)
            common = min(earlier.shape[1], len(found.curves))  # one may have diverged
            curves = np.concatenate([earlier[:, :common], curves[:, :common]])
        checkpoint = self._configuration(trial, self.study.settings.rounds[number]).checkpoint
        best, _ = scored_epoch(curves.mean((0, 2)), self.study.metric, checkpoint)
        if not best:
            return Entry(number, trial, 0, [], None, DIVERGED, seconds, trained)
        done = len(curves) == self.study.settings.rounds[number].repeats
        scores = curves[:, best - 1].tolist()
        text = None if done else encode(curves)
        return Entry(number, trial, best, scores, text, None, seconds, trained)

    def _claim(self) -> bool:
        """Whether this process may work on the rounds: no other one does."""
        with self.study.storage.lock:
            worker = self.study.rounds_worker()
            own = this_process()
            if worker is not None and any(worker.get(k) != own[k] for k in own):
                return False
            self._set_worker(own | {"seen": time.time()})
        self._claimed = time.monotonic()
        return True

    def _release(self) -> None:
        self._set_worker(None)

    def _set_worker(self, worker: dict[str, Any] | None) -> None:
        storage = self.study.storage
        study_id = storage.get_study_id_from_name(self.study.name)
        storage.set_study_system_attr(study_id, ROUNDS_WORKER, worker)

    def _tick(self) -> None:
        """Say that this process lives, so that others leave the rounds to it."""
        if time.monotonic() - self._claimed >= HEARTBEAT_SECONDS:
            self._set_worker(this_process() | {"seen": time.time()})
            self._claimed = time.monotonic()


def round_name(rounds: Sequence[Round], number: int) -> str:
    """What a round (from 0) is called: ``"final round"``, or ``"round 1 of 2"``."""
    return "final round" if number + 1 == len(rounds) else f"round {number + 1} of {len(rounds)}"


def search_data(dataset: Dataset, n_rows: int | None, seed: int) -> Dataset:
    """The training examples of a search: a stratified random subset of so many of them."""
    if n_rows is None or n_rows >= len(dataset):
        return dataset
    return dataset.sample(
        n_rows, derive_seed(seed, 0, 0, SEARCH_ROWS) % 2**32, "a number of search rows"
    )


def round_data(dataset: Dataset, one: Round, seed: int, number: int) -> Dataset:
    """The training examples of a round (from 0), of all those of a study with this seed."""
    if one.rows is None or one.rows >= len(dataset):
        return dataset
    drawn = derive_seed(seed, number, 0, ROUND_ROWS) % 2**32
    return dataset.sample(one.rows, drawn, "the rows of a Round")


def round_configuration(configuration: Configuration, one: Round, epochs: int) -> Configuration:
    """A trial's configuration as it is trained in a round: with its epochs, without patience.

    The mean curve over all repeats chooses the epoch, so each has to have all epochs.
    """
    return replace(configuration, epochs=one.epochs or epochs, patience=None)


def cross_validate_round(
    settings: Settings,
    definition: StudyDefinition,
    dataset: Dataset,
    which: tuple[int, int],
    configurations: Mapping[int, Configuration],
    *,
    report: Report,
    precision: Precision,
    on_step: Callable[[], None],
    unfinished: Unfinished | None = None,
) -> Iterator[tuple[int, CrossValidation]]:
    """A repeat of a round for some of its trials; see `hw1.cross_validation.cross_validate`.

    Args:
        settings, definition: of the study.
        dataset: see `round_data`.
        which: the round and the repeat, both from 0.
        configurations: see `round_configuration`.
        report, precision, on_step, unfinished: as there.
    """
    number, repeat = which
    splits = Splits.draw_round(dataset, settings.n_splits, settings.seed, number, repeat)
    return cross_validate(
        definition.model,
        configurations,
        dataset,
        splits,
        seed=derive_seed(settings.seed, repeat, number, ROUND_NETWORKS),
        report=report,
        precision=precision,
        metric=METRICS[settings.metric],
        on_step=on_step,
        unfinished=unfinished,
        # Scoring can take as long as training, where it averages over views of images.
        last_only=all(one.checkpoint == "last" for one in configurations.values()),
    )


def encode(curves: np.ndarray) -> str:
    """Scores of repeats, epochs and folds as text, without loss."""
    return base64.b85encode(zlib.compress(curves.tobytes())).decode()


def decode(entry: Entry, n_splits: int, n_epochs: int) -> np.ndarray:
    """The ``(n_repeats, n_epochs, n_splits)`` that `encode` wrote; of fewer epochs if it diverged.

    Raises:
        ValueError, zlib.error: they are no such curves, or larger.
    """
    n_repeats = len(entry.scores)
    most = 8 * n_repeats * n_epochs * n_splits
    data = zlib.decompressobj().decompress(base64.b85decode(entry.curves or ""), most)
    return np.frombuffer(data).reshape(n_repeats, -1, n_splits)
