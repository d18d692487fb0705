"""Nested cross-validation: the whole search, scored on held-out data."""

import math
import time
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from hw1.analysis.network import predict
from hw1.analysis.results import StudyResults
from hw1.analysis.scores import finite, score_rows
from hw1.analysis.statistics import Estimate, cross_validated
from hw1.analysis.training import retrain
from hw1.cross_validation import Splits
from hw1.errors import InputError
from hw1.execution import execute
from hw1.job import Options, prepare
from hw1.names import outer_name
from hw1.provenance import provenance
from hw1.watching import UNWATCHED, Watcher

NESTED = "evaluation:nested"
SECONDS_BETWEEN_READINGS = 1.0


@dataclass(frozen=True)
class Nested:
    """The whole procedure, search included, scored on held-out data.

    Attributes:
        n_outer: outer folds, each searched by a study of its own on the examples outside it.
        n_inner: folds of these studies.
        n_trials: of each of them.
        trials: the best trial of each.
        scores: of each one's network, trained on all training data outside the fold; None if it
            diverged.
        provenance: see `hw1.provenance`.
        metric: what the scores measure.
    """

    n_outer: int
    n_inner: int
    n_trials: int
    trials: list[int]
    scores: list[float | None]
    provenance: dict[str, Any]
    metric: str | None = None

    def __post_init__(self) -> None:
        if len(self.trials) != len(self.scores) or len(self.scores) > self.n_outer:
            raise ValueError(f"scores of {self.n_outer} outer folds: {self.scores}")

    @property
    def estimate(self) -> Estimate:
        """The mean over the outer folds with its 95% confidence interval."""
        return cross_validated([self.scores], metric=self.metric)


def nested_cross_validation(
    results: StudyResults,
    n_outer: int,
    n_inner: int,
    *,
    again: bool = False,
    watcher: Watcher = UNWATCHED,
) -> Nested:
    """Repeat the whole search outside each of ``n_outer`` folds, and score what it finds in it.

    Each search is a study of its own in the same storage, ``NAME-outer1of5x3`` and so on, with
    the settings of the study. An interrupted call goes on where it stopped.

    Args:
        n_outer: outer folds.
        n_inner: folds of each search.
        again: whether finished outer folds are scored again; the searches are kept.

    Raises:
        InputError: the data cannot be split like that, or a search found nothing.
    """
    settings = results.settings
    if settings.outer_fold is not None:
        raise InputError(f"{results.name!r} is itself part of a nested cross-validation")
    same = {"n_outer": n_outer, "n_inner": n_inner, "n_trials": results.study.n_trials}
    found = [] if again else results.records(Nested, NESTED, **same)
    made = provenance(results.job.device)
    new = Nested(**same, trials=[], scores=[], provenance=made, metric=results.metric.name)
    nested = found[0] if found else new
    outer = Splits.draw_outer(results.dataset, n_outer, settings.seed)
    for fold in range(len(nested.scores), n_outer):
        part = _search_outside(results, fold, n_outer, n_inner, watcher)
        trial = part.study.best_trial()
        retrained = retrain(part, trial, again=again, watcher=watcher)
        rows = results.dataset.take(outer.validation_rows()[fold].to(results.job.device))
        outputs = predict(retrained.networks[0], rows.inputs.cpu())
        score = score_rows(results.metric, outputs[None], rows.to(torch.device("cpu")))
        nested = replace(
            nested,
            trials=[*nested.trials, trial.number],
            scores=[*nested.scores, *finite(score)],
        )
        results.store(NESTED, vars(nested), **same)
    return nested


def _search_outside(
    results: StudyResults, fold: int, n_outer: int, n_inner: int, watcher: Watcher
) -> StudyResults:
    """The study of the examples outside an outer fold, run to its end."""
    job = replace(results.job, name=outer_name(results.name, fold, n_outer, n_inner))
    own = {f.name: getattr(results.settings, f.name, None) for f in fields(Options)}
    folds = {"n_splits": n_inner, "outer_fold": (n_outer, fold)}
    own |= {"finalists": None, "final_repeats": None}  # the rounds say it
    own["search_rows"] = results.settings.search_rows or results.settings.n_rows
    options = Options(**own | folds | {"n_trials": results.study.n_trials})
    study, dataset = prepare(job, options)
    part = StudyResults(study, lambda: job)

    said = -math.inf
    named = watcher.of(f"search outside fold {fold + 1} of {n_outer}")

    def read() -> None:
        nonlocal said
        if time.monotonic() - said >= SECONDS_BETWEEN_READINGS:
            progress = study.progress()
            if not progress.searched:  # then the rounds say where they are
                named.say(f"{progress.done} of {progress.n_trials} trials")
            said = time.monotonic()

    execute(job, study, dataset, watcher=named.after(read))
    return part
