"""Rounds after the search: which trials take part, what they score, and which one wins.

The value of the best of many trials is the least of a noisy curve on one set of folds. In a round
the configurations of the best few are cross-validated again on other folds, and the last round
decides.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from math import isfinite
from statistics import fmean, stdev
from typing import Any, get_type_hints

from optuna.trial import FrozenTrial

from hw1.errors import InputError, is_count
from hw1.tasks import Metric
from hw1.words import counted

FINALISTS, FINAL_REPEATS = 4, 3
"""The trials and the repeats of the final round that a study has unless it says otherwise."""


@dataclass(frozen=True)
class Round:
    """The best few trials are cross-validated again on new folds.

    Attributes:
        trials: how many take part: the best of the round before, or of the search.
        repeats: of the cross-validation, each on folds of its own.
        epochs: the length of the learning-rate schedule, and the epochs that are trained; None for
            those of the search.
        rows: the size of a stratified random subset of the training examples; None for all.

    Raises:
        InputError: one of them is no such number.
    """

    trials: int = FINALISTS
    repeats: int = FINAL_REPEATS
    epochs: int | None = None
    rows: int | None = None

    def __post_init__(self) -> None:
        for name in ("trials", "repeats", "epochs", "rows"):
            value = getattr(self, name)
            if not is_count(value, 1) and (value is not None or name in ("trials", "repeats")):
                raise InputError(f"{name} = {value!r:.60} of a Round is not a whole number from 1")

    def __str__(self) -> str:
        more = [(self.epochs, "epoch"), (self.rows, "example")]
        parts = [counted(number, what) for number, what in more if number is not None]
        how_often = f"{counted(self.trials, 'trial')} x {counted(self.repeats, 'repeat')}"
        return ", ".join([how_often, *parts])


@dataclass(frozen=True)
class Entry:
    """A trial in a round, as it is stored with the study.

    Attributes:
        round: from 0.
        trial: its number.
        best_epoch: that with the best mean score over the folds of all repeats; 0 if none was
            finite.
        scores: ``(n_repeats, n_splits)`` after that epoch; of the repeats that are finished.
        curves: the scores after each epoch as text, while repeats are missing.
        failure: why the trial has no score in this round; None if it has one.
        seconds: of training.
        trained: the ``backend`` and ``precision`` and, as ``provenance``, on what.
    """

    round: int
    trial: int
    best_epoch: int
    scores: list[list[float]]
    curves: str | None
    failure: str | None
    seconds: float
    trained: dict[str, Any]

    def __post_init__(self) -> None:
        for name, hint in _HINTS.items():
            if not isinstance(getattr(self, name), hint):
                raise TypeError(f"the {name} of a round")
        rows = all(isinstance(row, list) and len(row) > 1 for row in self.scores)
        if not rows or not all(isinstance(x, float) and isfinite(x) for x in self.every_score):
            raise ValueError("the scores of a round")
        if bool(self.failure) == bool(self.best_epoch and self.scores):
            raise ValueError("the best epoch of a round")

    def check(self, one: Round, n_splits: int, epochs: int) -> None:
        """Raise a ValueError unless it can be that of a round, with so many folds and epochs."""
        n_repeats = len(self.scores)
        if (
            any(len(row) != n_splits for row in self.scores)
            or self.best_epoch > (one.epochs or epochs)
            or n_repeats > one.repeats
            or (self.curves is None) == (0 < n_repeats < one.repeats)
        ):
            raise ValueError(f"the scores of trial {self.trial} in a round")

    @property
    def every_score(self) -> list[float]:
        """Those of all folds of all repeats."""
        return [score for row in self.scores for score in row]

    @cached_property
    def score(self) -> float:
        """The mean over all folds and repeats."""
        return fmean(self.every_score)

    @property
    def std(self) -> float:
        """The sample standard deviation of the scores of all folds and repeats."""
        return stdev(self.every_score)


_HINTS: dict[str, Any] = get_type_hints(Entry) | {
    "scores": list,
    "seconds": int | float,
    "trained": dict,
}
ENTRY_FIELDS = {field.name for field in fields(Entry)}


class Standings:
    """Who takes part in the rounds of a study, and what they have scored.

    They follow from the trials that have completed and from what is stored of the rounds: with
    further trials others may take part, and the scores of those that stay are kept.

    Args:
        rounds: of the study.
        ranked: the numbers of its completed trials, the best first.
        entries: what is stored of the rounds.
        metric: what is scored.

    Attributes:
        entrants: the trials of each round as far as they are known, the best of the round before
            first: of a round after one that is not finished nothing is known.
        complete: whether every round is finished.
    """

    def __init__(
        self,
        rounds: Sequence[Round],
        ranked: Sequence[int],
        entries: Iterable[Entry],
        metric: Metric,
    ) -> None:
        self.rounds = tuple(rounds)
        self.entrants: list[list[int]] = []
        self._entries = {(entry.round, entry.trial): entry for entry in entries}
        self.complete = True
        ranked = list(ranked)
        self._n_ranked = len(ranked)
        for number, one in enumerate(self.rounds):
            self.entrants.append(ranked[: one.trials])
            self.complete = all(self.left(number, trial) == 0 for trial in self.entrants[number])
            if not self.complete:
                break
            ranked = [entry.trial for entry in metric.best_first(self.scored(number), _score)]
        self._ranked = ranked

    def entry(self, number: int, trial: int) -> Entry | None:
        """What is stored of a trial in a round."""
        return self._entries.get((number, trial))

    def scored(self, number: int) -> list[Entry]:
        """The entries of a round that have a score so far, in the order of the round before."""
        found = [self.entry(number, trial) for trial in self.entrants[number]]
        return [entry for entry in found if entry is not None and not entry.failure]

    def left(self, number: int, trial: int) -> int:
        """The repeats that a trial is missing in a round."""
        entry = self.entry(number, trial)
        if entry is not None and entry.failure:
            return 0
        return self.rounds[number].repeats - (len(entry.scores) if entry else 0)

    @property
    def final(self) -> list[Entry]:
        """The scores of the last round, the best first; none as long as it is not finished."""
        if not self.rounds or not self.complete:
            return []
        found = [self.entry(len(self.rounds) - 1, trial) for trial in self._ranked]
        return [entry for entry in found if entry is not None]

    def final_of(self, trial: int) -> Entry | None:
        """The score of a trial in the last round, if it took part and the round is finished."""
        return next((entry for entry in self.final if entry.trial == trial), None)

    @property
    def done(self) -> int:
        """The finished cross-validations of all rounds."""
        return sum(map(self.done_in, range(len(self.rounds))))

    @property
    def total(self) -> int:
        """The cross-validations of all rounds, as far as it is known who takes part."""
        return sum(map(self.expected_in, range(len(self.rounds))))

    def done_in(self, number: int) -> int:
        """The finished cross-validations of a round."""
        entrants = self.entrants[number] if number < len(self.entrants) else []
        return sum(self.rounds[number].repeats - self.left(number, trial) for trial in entrants)

    def expected_in(self, number: int) -> int:
        """The cross-validations of a round, as far as it is known who takes part."""
        if number < len(self.entrants):
            return len(self.entrants[number]) * self.rounds[number].repeats
        most = min(self._n_ranked, *(one.trials for one in self.rounds[: number + 1]))
        return most * self.rounds[number].repeats


@dataclass(frozen=True)
class Progress:
    """How far a study is.

    Attributes:
        n_trials: the study's target.
        done: trials that count towards it and have ended.
        running: trials that are being trained.
        completed: trials with a value.
        pruned: trials ended by the pruner or because they diverged.
        failed: trials that ended in an error.
        interrupted: trials that were interrupted or lost; they are made up for.
        refused: configurations whose network is invalid; they spend no trial.
        best: the completed trial that wins: see `Study.best_trial`.
        standings: of the rounds after the search.
        in_rounds: whether a process works on them.
    """

    n_trials: int
    done: int
    running: int
    completed: int
    pruned: int
    failed: int
    interrupted: int
    refused: int
    best: FrozenTrial | None
    standings: Standings
    in_rounds: bool

    @property
    def searched(self) -> bool:
        """Whether no trial is left to do."""
        return self.done >= self.n_trials

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do, in the rounds neither."""
        return self.searched and self.standings.complete

    @property
    def state(self) -> str:
        """``"complete"``, ``"running"`` or ``"stopped"``."""
        running = self.running or self.in_rounds
        return "complete" if self.complete else "running" if running else "stopped"


def _score(entry: Entry) -> float:
    return entry.score


def rounds_in_words(rounds: Sequence[Round]) -> str:
    """Rounds as a few words: ``"4 trials x 3 repeats"``."""
    return "; then ".join(map(str, rounds)) or "none"


def with_last(
    rounds: Sequence[Round], finalists: int | None, repeats: int | None
) -> tuple[Round, ...]:
    """Rounds with other numbers in the last one; no round for no finalists.

    Raises:
        InputError: repeats without a final round.
    """
    if finalists == 0 or (not rounds and finalists is None):
        if repeats is not None:
            raise InputError("--final-repeats needs a final round: give --finalists, too")
        return ()
    last = rounds[-1] if rounds else Round()
    trials, repeats = finalists or last.trials, repeats or last.repeats
    return (*rounds[:-1], Round(trials, repeats, last.epochs, last.rows))
