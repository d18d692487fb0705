"""How good a study's network really is: repeated and nested cross-validation, the test set once."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

import torch
from optuna.trial import FrozenTrial

from hw1.analysis.beside import BaselineResult, fit_baselines, stored_baselines
from hw1.analysis.nested import NESTED, Nested, nested_cross_validation
from hw1.analysis.network import Network, predict
from hw1.analysis.results import StudyResults, configuration
from hw1.analysis.scores import finite, row_losses, score_rows
from hw1.analysis.statistics import (
    Estimate,
    cross_validated,
    largest_errors,
    over_rows_and_seeds,
    over_seeds,
)
from hw1.analysis.training import retrain, score_folds
from hw1.cross_validation import Splits
from hw1.errors import InputError
from hw1.provenance import provenance
from hw1.tasks import TASKS
from hw1.training.configuration import Checkpoint
from hw1.watching import UNWATCHED, Watcher
from hw1.words import counted

CROSS_VALIDATIONS = "evaluation:cross_validation"
TESTS = "evaluation:test"
REPEATS = 5
SEEDS = 5
MOST_NETWORKS = 200
"""Trained at a time; the scores of what is finished are stored."""


@dataclass(frozen=True)
class CrossValidated:
    """A configuration under repeated K-fold cross-validation with new splits and seeds.

    Every network is trained to the trial's best epoch, so no fold has a say in its own score.
    The hyperparameters were chosen on the same data, which flatters them; `Nested` does not.

    Attributes:
        trial: whose configuration it is.
        n_splits: folds of a repeat.
        seed: of folds and networks.
        scores: ``(n_repeats, n_splits)``; None for a network that diverged.
        provenance: see `hw1.provenance`.
        metric: what the scores measure.
        epochs: to which they were trained, if that is the best epoch of the final round; None for
            the trial's own.
    """

    trial: int
    n_splits: int
    seed: int
    scores: list[list[float | None]]
    provenance: dict[str, Any]
    metric: str | None = None
    epochs: int | None = None

    def __post_init__(self) -> None:
        if self.n_splits < 2 or any(len(row) != self.n_splits for row in self.scores):
            raise ValueError(f"scores of {self.n_splits} folds: {self.scores}")

    @property
    def estimate(self) -> Estimate:
        """The mean with its 95% confidence interval."""
        return cross_validated(self.scores, metric=self.metric)


@dataclass(frozen=True)
class Tested:
    """Networks trained on all training examples, scored on the test examples.

    Attributes:
        trial: whose configuration it is.
        epochs: to which they were trained.
        seeds: one a network.
        scores: one a network; None for one that diverged.
        ensemble: the score of the mean of predictions: of the outputs in a regression, of the
            probabilities of classes. Where there are several seeds, the networks of the
            cross-validation's first repeat predict with them: since each lacks other examples, they
            differ more than seeds do (bagging; Breiman, 1996).
        n_folds: these networks; 0 in what older versions have stored.
        n_rows: test examples.
        fingerprint: of these examples.
        date: when they were scored, in UTC.
        provenance: see `hw1.provenance`.
        interval: where the mean of `scores` lies in 95% of cases, for other test examples and other
            seeds; of a single seed for other test examples. See
            `hw1.analysis.statistics.over_rows_and_seeds`. None in what older versions have stored.
        ensemble_interval: the same of the ensemble, for other test examples.
        n_largest, share_largest: how many squared errors are the largest, and their share of the
            mean squared error, if they decide it; see `hw1.analysis.statistics.largest_errors`.
        final: whether they were trained as in the final round.
    """

    trial: int
    epochs: int
    seeds: list[int]
    scores: list[float | None]
    ensemble: float | None
    n_rows: int
    fingerprint: str
    date: str
    provenance: dict[str, Any]
    interval: list[float | None] | None = None
    ensemble_interval: list[float | None] | None = None
    n_largest: int | None = None
    share_largest: float | None = None
    final: bool = False
    n_folds: int = 0

    def __post_init__(self) -> None:
        if len(self.seeds) != len(self.scores) or self.n_rows < 1:
            raise ValueError(f"scores of seeds {self.seeds}: {self.scores}")
        intervals = [self.interval, self.ensemble_interval]
        if any(ends is not None and len(ends) != 2 for ends in intervals):
            raise ValueError(f"intervals {intervals}")
        if (self.n_largest is None) != (self.share_largest is None):
            raise ValueError(f"{self.n_largest} largest errors make up {self.share_largest}")

    @property
    def members(self) -> str:
        """The networks of the ensemble in words."""
        folds = f" and {counted(self.n_folds, 'fold')}" if self.n_folds else ""
        return f"{counted(len(self.seeds), 'seed')}{folds}"

    @property
    def estimate(self) -> Estimate:
        """The mean over the seeds; its confidence interval covers other test examples and seeds."""
        return over_seeds(self.scores, self.interval)

    @property
    def ensemble_estimate(self) -> Estimate:
        """The ensemble's score; its 95% confidence interval covers other test examples."""
        return over_seeds([self.ensemble], self.ensemble_interval)


@dataclass(frozen=True)
class Final:
    """A trial in the final round of its study.

    Attributes:
        mean, std: over the folds of all repeats.
        n_repeats: of the cross-validation.
        n_splits: its folds.
        n_trials: that have a score.
        best_epoch: to which a network is trained.
        checkpoint: whether they chose that epoch, or it is the last.
    """

    mean: float
    std: float
    n_repeats: int
    n_splits: int
    n_trials: int
    best_epoch: int
    checkpoint: Checkpoint

    @property
    def splits(self) -> str:
        """On what it was scored, and what was chosen by that, in words."""
        chosen = [f"the trial among {self.n_trials}"] if self.n_trials > 1 else []
        chosen += [f"epoch {self.best_epoch}"] if self.checkpoint == "best" else []
        which = f", which chose {' and '.join(chosen)}" if chosen else ""
        return f"{self.n_repeats} × {self.n_splits} splits{which}"


@dataclass(frozen=True)
class Evaluation:
    """What is known of a trial's configuration.

    Attributes:
        study: its name.
        metric: what is measured.
        maximize: whether higher is better.
        trial: whose configuration it is.
        value: its value in the study, which the search has picked for being good.
        final: its score in the final round, which may have picked it; None if it did not take part.
        cross_validation: on new splits; None if that was not asked for.
        test: on the test examples; None if there are none.
        nested: of the procedure; None if it was never asked for.
        n_tests: how often the test examples of this study were scored, with any trial.
        baselines: models of scikit-learn on the same folds and test examples, the best first; none
            if they were left out.
    """

    study: str
    metric: str
    maximize: bool
    trial: int
    value: float
    final: Final | None
    cross_validation: CrossValidated | None
    test: Tested | None
    nested: Nested | None
    n_tests: int
    baselines: list[BaselineResult] = field(default_factory=list)


def evaluate(
    results: StudyResults,
    trial: int | None = None,
    *,
    n_repeats: int = REPEATS,
    n_splits: int | None = None,
    n_seeds: int = SEEDS,
    seed: int = 0,
    nested: tuple[int, int] | None = None,
    test: bool = True,
    baselines: bool = True,
    again: bool = False,
    watcher: Watcher = UNWATCHED,
) -> Evaluation:
    """Evaluate the best configuration, or that of a trial; what is stored is not done again.

    Args:
        trial: its number; None for the best.
        n_repeats: of the cross-validation; more than are stored are added to them. With 0 the test
            examples are all that is scored, by networks of the seeds alone.
        n_splits: its folds; None for as many as the study has.
        n_seeds: networks that are trained on all training data and scored on the test examples.
        seed: of the splits and their networks.
        nested: outer and inner folds of a nested cross-validation, which repeats the search.
        test: whether the test examples are scored.
        baselines: whether models of scikit-learn are scored beside it; see
            `hw1.analysis.baselines`.
        again: whether the work is done again although it is stored.

    Raises:
        InputError: no trial has completed, or a number is out of its range.
    """
    if n_repeats < 0 or n_seeds < 1 or not (n_repeats or test):
        raise InputError("an evaluation needs a repeat or the test examples, and one seed or more")
    chosen = results.trial(trial)
    part, networks = None, list[Network]()
    if n_repeats:
        part = repeated_cross_validation(
            results, chosen, n_repeats, n_splits, seed, networks, again=again, watcher=watcher
        )
    tested = _test(results, chosen, n_seeds, part, networks, again, watcher) if test else None
    if baselines and part:
        fingerprint = tested.fingerprint if tested else None
        fit_baselines(
            results, n_repeats, part.n_splits, seed, fingerprint, again=again, watcher=watcher
        )
    if nested is not None:
        nested_cross_validation(results, *nested, again=again, watcher=watcher)
    found = _evaluation(results, chosen, part, tested)
    return found if baselines else replace(found, baselines=[])


def stored_evaluation(results: StudyResults) -> Evaluation | None:
    """The last evaluation of the best trial; None if its cross-validation is not stored."""
    chosen = results.trial()
    parts = cross_validations(results, chosen)
    if not parts:
        return None
    tests = _tests(results, chosen)
    return _evaluation(results, chosen, parts[-1], tests[-1] if tests else None)


def cross_validations(results: StudyResults, trial: FrozenTrial) -> list[CrossValidated]:
    """What is stored of a trial, trained as it would be now: by the final round, or without it."""
    final = results.final(trial)
    same = {"trial": trial.number, "epochs": final.best_epoch if final else None}
    return results.records(CrossValidated, CROSS_VALIDATIONS, **same)


def _tests(results: StudyResults, trial: FrozenTrial) -> list[Tested]:
    """The same of scores on the test examples."""
    final = results.final(trial)
    found = results.records(Tested, TESTS, trial=trial.number, final=final is not None)
    return [tested for tested in found if final is None or tested.epochs == final.best_epoch]


def _evaluation(
    results: StudyResults, trial: FrozenTrial, part: CrossValidated | None, tested: Tested | None
) -> Evaluation:
    nested, standings = results.records(Nested, NESTED), results.study.standings()
    entry = standings.final_of(trial.number)
    final = None
    if entry is not None:
        final = Final(
            mean=entry.score,
            std=entry.std,
            n_repeats=len(entry.scores),
            n_splits=results.settings.n_splits,
            n_trials=len(standings.final),
            best_epoch=entry.best_epoch,
            checkpoint=configuration(trial).checkpoint,
        )
    return Evaluation(
        study=results.name,
        metric=results.metric.name,
        maximize=results.metric.maximize,
        trial=trial.number,
        value=float(trial.values[0]),
        final=final,
        cross_validation=part,
        test=tested,
        nested=nested[-1] if nested else None,
        n_tests=len(results.records(Tested, TESTS)),
        baselines=stored_baselines(
            results, part.n_splits, part.seed, part.scores, tested.fingerprint if tested else None
        )
        if part
        else [],
    )


def repeated_cross_validation(
    results: StudyResults,
    trial: FrozenTrial,
    n_repeats: int = REPEATS,
    n_splits: int | None = None,
    seed: int = 0,
    networks: list[Network] | None = None,
    *,
    again: bool = False,
    watcher: Watcher = UNWATCHED,
) -> CrossValidated:
    """A trial's configuration on new splits, from storage as far as it is there.

    The folds depend on the rows, their number and the seed alone, so that studies of the same
    data are scored on the same folds.

    Args:
        networks: those of the first repeat are added to it if they are trained now.

    Raises:
        InputError: the data cannot be split into so many folds.
    """
    n_splits = n_splits or results.settings.n_splits
    final = results.final(trial)
    same: dict[str, Any] = {"trial": trial.number, "n_splits": n_splits, "seed": seed}
    same["epochs"] = final.best_epoch if final else None
    found = [] if again else results.records(CrossValidated, CROSS_VALIDATIONS, **same)
    part = CrossValidated(
        scores=found[0].scores if found else [],
        provenance=provenance(results.job.device),
        metric=results.metric.name,
        **same,
    )
    # Networks that share no step are as quick a repeat at a time, and then less can be lost.
    backend = results.footprint(trial).backend
    at_once = 1 if backend == "fused" else max(MOST_NETWORKS // n_splits, 1)
    while len(part.scores) < n_repeats:
        done = len(part.scores)
        repeats = [
            (r, Splits.draw_fresh(results.dataset, n_splits, seed, r))
            for r in range(done, min(done + at_once, n_repeats))
        ]
        new, first = score_folds(results, trial, repeats, seed, watcher=watcher)
        if not done and networks is not None:
            networks += first
        part = replace(part, scores=[*part.scores, *map(finite, new)])
        results.store(CROSS_VALIDATIONS, vars(part), **same)
    return replace(part, scores=part.scores[:n_repeats])


def _test(
    results: StudyResults,
    trial: FrozenTrial,
    n_seeds: int,
    part: CrossValidated | None,
    of_folds: list[Network],
    again: bool,
    watcher: Watcher,
) -> Tested | None:
    """The score on the test examples; every one that was ever made stays in storage."""
    same = [tested for tested in _tests(results, trial) if len(tested.seeds) == n_seeds]
    if same and not again:
        return same[-1]
    rows = results.test_rows()
    if rows is None:
        return None
    retrained = retrain(results, trial, n_seeds, again=again, watcher=watcher)
    if n_seeds == 1 or part is None:
        of_folds = []
    elif not of_folds:  # their scores were stored before
        repeat = 0, Splits.draw_fresh(results.dataset, part.n_splits, part.seed, 0)
        _, of_folds = score_folds(results, trial, [repeat], part.seed, watcher=watcher)
    watcher.say(f"scoring {len(rows)} test examples")
    networks = [*retrained.networks, *of_folds]
    predictions = torch.stack([predict(network, rows.inputs) for network in networks])
    outputs, metric = predictions[:n_seeds], results.metric
    combined = TASKS[rows.task].ensemble(predictions)
    # A network that has diverged says nothing, and the ensemble with it neither.
    every = score_rows(metric, torch.cat([outputs, combined[None]]), rows)
    losses = row_losses(metric, outputs, rows)
    largest = None if metric.maximize else largest_errors(losses)
    tested = Tested(
        trial=trial.number,
        epochs=retrained.epochs,
        seeds=retrained.seeds,
        scores=finite(every[:-1]),
        ensemble=finite(every[-1:])[0],
        n_rows=len(rows),
        fingerprint=rows.fingerprint,
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        provenance=provenance(results.job.device),
        interval=finite(over_rows_and_seeds(losses, metric.name)),
        ensemble_interval=finite(
            over_rows_and_seeds(row_losses(metric, combined[None], rows), metric.name)
        ),
        n_largest=largest and largest[0],
        share_largest=largest and largest[1],
        final=results.final(trial) is not None,
        n_folds=len(of_folds),
    )
    results.store(TESTS, vars(tested))
    return tested
