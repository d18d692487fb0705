"""What a report says, as plain data from storage: nothing is trained, no data are loaded."""

import inspect
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import FrozenTrial

from hw1.analysis.analyze import default_folder
from hw1.analysis.evaluation import (
    TESTS,
    CrossValidated,
    Evaluation,
    Tested,
    stored_cross_validations,
    stored_evaluation,
)
from hw1.analysis.figures import search
from hw1.analysis.figures.gallery import read
from hw1.analysis.figures.marks import Figure
from hw1.analysis.figures.training import learning_curves
from hw1.analysis.nested import Nested, stored_nested
from hw1.analysis.report.conditions import conditions
from hw1.analysis.results import StudyResults
from hw1.analysis.statistics import PairedTest, corrected_t_test
from hw1.definition import CONFIGURATIONS
from hw1.errors import InputError
from hw1.objective import backend_of
from hw1.study import Progress, Settings, state_name
from hw1.tasks import Metric, TaskName

Folder = Callable[[StudyResults], Path]
"""Where `hw1.analysis.analyze` has written the figures of a study."""


@dataclass(frozen=True)
class Trial:
    """A trial as storage has it.

    Attributes:
        number: from 0.
        state: as `hw1.study.state_name` calls it.
        value: of a completed trial: the mean over the folds at its best epoch.
        params: what the sampler suggested.
        kept: its user attributes; see `hw1.objective.Objective`.
        ended: when, by the clock of its machine; None if it has not.
    """

    number: int
    state: str
    value: float | None
    params: dict[str, Any]
    kept: dict[str, Any]
    ended: datetime | None

    @property
    def trained(self) -> bool:
        """Whether it was trained to its end, or pruned."""
        return self.state in ("completed", "pruned")


@dataclass(frozen=True)
class StudyContent:
    """One study as storage has it.

    Attributes:
        name: what it is called in storage.
        settings: what it is made of.
        metric: what a trial's value measures.
        task: regression or classification.
        family: the name of its model family.
        family_words: the first sentence of the family's docstring; empty without one.
        data_words: that of the loader's; empty without one, or if CSV files replace the data.
        progress: how far it is.
        conditions: of the parameters that only some configurations have; see
            `hw1.analysis.report.conditions`. None if the definition has changed since.
        trials: all of them.
        best: the completed trial with the best value.
        evaluation: the stored evaluation of the best trial.
        cross_validations, tests, nested: every stored record.
        search_figures: drawn from storage.
        network_figures: of how the best trial trains, and what its network has learnt as far as
            `hw1.analysis.analyze` has stored that.
        analysed: the trials that were analysed; none if no figures are stored.
    """

    name: str
    settings: Settings
    metric: Metric
    task: TaskName
    family: str
    family_words: str
    data_words: str
    progress: Progress
    conditions: dict[str, str] | None
    trials: list[Trial]
    best: Trial
    evaluation: Evaluation | None
    cross_validations: list[CrossValidated]
    tests: list[Tested]
    nested: list[Nested]
    search_figures: list[Figure]
    network_figures: list[Figure]
    analysed: list[int]

    @property
    def has_test_rows(self) -> bool:
        """Whether there are test rows beside its training rows."""
        return self.settings.train_csv is None or self.settings.test_csv is not None

    @property
    def distributions(self) -> dict[str, list[BaseDistribution]]:
        """The distributions with which each parameter was seen."""
        return {
            name: _distributions(text)
            for name, text in self.settings.search_space.items()
            if name != CONFIGURATIONS
        }

    @property
    def provenances(self) -> list[dict[str, Any]]:
        """Of all trials that were trained, and of all evaluations."""
        kept = [trial.kept for trial in self.trials if "provenance" in trial.kept]
        return [
            *(
                {"device": of.get("device"), "backend": backend_of(of)}
                | {"precision": of.get("precision")}
                | (of["provenance"] or {})
                for of in kept
            ),
            *(record.provenance for record in self.cross_validations),
            *(record.provenance for record in self.tests),
            *(record.provenance for record in self.nested),
        ]


@dataclass(frozen=True)
class Pair:
    """The best configurations of two studies, on the same folds.

    Attributes:
        first, second: names of the studies; the first has the better mean.
        test: of the first's scores minus the second's.
    """

    first: str
    second: str
    test: PairedTest


@dataclass(frozen=True)
class Problem:
    """Studies of the same training rows.

    Attributes:
        studies: at least one.
        n_repeats, n_splits, seed: of the cross-validation that is stored for most of them.
        compared: the names of these, the best first; fewer than two cannot be compared.
        diverged: the names of those of which a network diverged there.
        pairs: each two of the compared ones.
        distribution: the values of the trials of all studies, if there are several.
    """

    studies: list[StudyContent]
    n_repeats: int
    n_splits: int
    seed: int
    compared: list[str]
    diverged: list[str]
    pairs: list[Pair]
    distribution: Figure | None

    @property
    def lead(self) -> StudyContent:
        """The best study: by the stored cross-validation if all have it, else by its value.

        Where some studies alone have been analysed, the best of these.
        """
        drawn = [study for study in self.studies if study.analysed] or self.studies
        if {study.name for study in drawn} <= set(self.compared):
            return min(drawn, key=lambda study: self.compared.index(study.name))
        return best_first(drawn)[0]


@dataclass(frozen=True)
class Content:
    """All that a report says.

    Attributes:
        problems: the studies by their training rows, in the order in which they were named.
        date: when the last of all trials ended.
    """

    problems: list[Problem]
    date: datetime

    @property
    def studies(self) -> list[StudyContent]:
        """All studies."""
        return [study for problem in self.problems for study in problem.studies]

    def spaces(self) -> list[list[StudyContent]]:
        """The studies by their search space."""
        found: dict[str, list[StudyContent]] = {}
        for study in self.studies:
            key = json.dumps([study.settings.definition, study.settings.search_space])
            found.setdefault(key, []).append(study)
        return list(found.values())


def best_first(studies: Sequence[StudyContent]) -> list[StudyContent]:
    """Studies of one metric, ordered by the value of their best trial."""
    return studies[0].metric.best_first(studies, lambda study: study.best.value)


def collect(studies: Sequence[StudyResults], folder: Folder = default_folder) -> Content:
    """Read everything about these studies from storage, and their figures from their folders.

    Raises:
        InputError: no study, one twice, or one without a completed trial.
    """
    names = [results.name for results in studies]
    if not names or len(set(names)) < len(names):
        raise InputError("name one or more different studies for a report")
    by_rows: dict[str, list[tuple[StudyResults, StudyContent]]] = {}
    for results in studies:
        found = _study(results, folder(results))
        by_rows.setdefault(results.settings.fingerprint, []).append((results, found))
    problems = [_problem(those) for those in by_rows.values()]
    ended = [t.ended for p in problems for s in p.studies for t in s.trials if t.ended is not None]
    return Content(problems, max(ended))


def _study(results: StudyResults, folder: Path) -> StudyContent:
    best = results.trial()
    definition = results.definition
    figures, analysed = _stored_figures(results.name, folder, best.number)
    curves = best.user_attrs.get("curves")
    if curves and "learning_curves" not in [figure.name for figure in figures]:
        epoch = best.user_attrs["best_epoch"]
        figures.insert(0, learning_curves(np.array(curves), epoch, results.metric))
    return StudyContent(
        name=results.name,
        settings=results.settings,
        metric=results.metric,
        task=definition.task,
        family=_name(definition.model),
        family_words=_first_sentence(definition.model),
        data_words="" if results.settings.train_csv else _first_sentence(definition.dataset),
        progress=results.study.progress(),
        conditions=(
            conditions(definition)
            if definition.fingerprint() == results.settings.search_space
            else None
        ),
        trials=[_trial(trial) for trial in results.checked_trials()],
        best=_trial(best),
        evaluation=stored_evaluation(results),
        cross_validations=stored_cross_validations(results),
        tests=results.records(Tested, TESTS),
        nested=stored_nested(results),
        search_figures=search.search_figures(results.study),
        network_figures=figures,
        analysed=analysed,
    )


def _trial(trial: FrozenTrial) -> Trial:
    state = state_name(trial)
    return Trial(
        number=trial.number,
        state=state,
        value=trial.value if state == "completed" else None,
        params=trial.params,
        kept=trial.user_attrs,
        ended=trial.datetime_complete,
    )


def _name(thing: object) -> str:
    return str(getattr(thing, "__name__", type(thing).__name__))


def _first_sentence(thing: object) -> str:
    """The first paragraph of a docstring, in one line."""
    return " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split())


def _distributions(text: str) -> list[BaseDistribution]:
    """What `StudyDefinition.fingerprint` has written of one parameter."""
    decoder, found = json.JSONDecoder(), []
    while text:
        part, end = decoder.raw_decode(text)
        found.append(json_to_distribution(json.dumps(part)))
        text = text[end:].lstrip()
    return found


def _stored_figures(name: str, folder: Path, best: int) -> tuple[list[Figure], list[int]]:
    """The figures of the best trial's training and network, and the trials that were analysed.

    Of several trials' those of the best, or of the first if it is not among them.
    """
    gallery = read(folder)
    if gallery.study != name or not gallery.trials:
        return [], []  # of another study of which a file has the same name
    figures = [figure for section in gallery.sections.values() for figure in section]
    figures = [figure for figure in figures if not figure.name.startswith("search_")]
    prefix = ""
    if len(gallery.trials) > 1:
        prefix = f"trial{best if best in gallery.trials else gallery.trials[0]}_"
    return [
        replace(f, name=f.name.removeprefix(prefix)) for f in figures if f.name.startswith(prefix)
    ], list(gallery.trials)


def _problem(those: Sequence[tuple[StudyResults, StudyContent]]) -> Problem:
    studies = [study for _, study in those]
    key, scores = _common_scores(studies)
    n_repeats = min(map(len, scores.values()), default=0)
    finite = {
        name: [[math.nan if s is None else s for s in row] for row in rows[:n_repeats]]
        for name, rows in scores.items()
    }
    diverged = [n for n, rows in finite.items() if any(math.isnan(s) for r in rows for s in r)]
    finite = {name: rows for name, rows in finite.items() if name not in diverged}
    compared = studies[0].metric.best_first(finite, lambda name: sum(map(sum, finite[name])))
    pairs = [(a, b) for i, a in enumerate(compared) for b in compared[i + 1 :]]
    return Problem(
        studies=studies,
        n_repeats=n_repeats,
        n_splits=key[0],
        seed=key[1],
        compared=compared,
        diverged=diverged,
        pairs=[Pair(a, b, corrected_t_test(finite[a], finite[b], len(pairs))) for a, b in pairs],
        distribution=(
            search.empirical_distribution([results.study for results, _ in those])
            if len(those) > 1
            else None
        ),
    )


def _common_scores(
    studies: Sequence[StudyContent],
) -> tuple[tuple[int, int], dict[str, list[list[float | None]]]]:
    """The cross-validation, by its folds and seed, that is stored for most of the best trials.

    The folds depend on the rows, their number and the seed alone.
    """
    found: dict[tuple[int, int], dict[str, list[list[float | None]]]] = {}
    for study in studies:
        for record in study.cross_validations:
            if record.trial == study.best.number:
                by_name = found.setdefault((record.n_splits, record.seed), {})
                by_name[study.name] = record.scores
    usual = (studies[0].settings.n_splits, 0)
    if not found:
        return usual, {}
    key = max(
        found,
        key=lambda k: (len(found[k]), min(map(len, found[k].values())), k == usual, -k[0], -k[1]),
    )
    return key, found[key]
