"""What a report says, as plain data."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from hw1.analysis.ablation import Ablation
from hw1.analysis.comparison import Comparison
from hw1.analysis.evaluation import CrossValidated, Evaluation, Tested
from hw1.analysis.figures.marks import Figure
from hw1.analysis.nested import Nested
from hw1.analysis.report.hyperparameters import (
    at_edge,
    constants,
    distribution_text,
    distributions,
)
from hw1.datasets.given import GIVEN
from hw1.definition import CONFIGURATIONS
from hw1.objective import backend_of
from hw1.standings import Entry, Progress, rounds_in_words
from hw1.study import Settings
from hw1.study_files import IN_PYTHON
from hw1.tasks import Metric, TaskName
from hw1.training.configuration import OPTIONS, words_of
from hw1.words import DASH

MOST_TRIALS = 300
"""Of a study, those that its table lists: thousands would fill hundreds of pages."""
GIVEN_WORDS = "data given in Python"


@dataclass(frozen=True)
class StudyFacts:
    """One study as storage has it.

    Attributes:
        name: what it is called in storage.
        settings, metric, task, progress: what it is made of, and how far it is.
        family: the import path of its model class.
        family_words: the first sentence of the class's docstring; empty without one.
        data_words: that of the loader's; empty without one, or if other data replace its own.
        inputs, outputs: what the networks take and give, in words; a dash for studies of older
            versions.
        is_given: whether the data were given in Python, not loaded.
        has_test_set: whether there are test examples beside the training examples.
        conditions: of the hyperparameters that only some configurations have; see
            `hw1.analysis.report.conditions`. None if the definition has changed since.
        trials: all of them.
        best: the completed trial that wins; see `hw1.study.Study.best_trial`.
        evaluation: the stored evaluation of the best trial.
        cross_validations, tests, nested: every stored record.
        ablation: the last one that is stored of the best trial, or of the defaults.
        figures: of the search, drawn from storage, of how the best trial trains, and of what its
            network has learned as far as `hw1.analysis.analyze` has stored that.
        analyzed: the trials that were analyzed; none if no figures are stored.
    """

    name: str
    settings: Settings
    metric: Metric
    task: TaskName
    progress: Progress
    family: str
    family_words: str
    data_words: str
    inputs: str
    outputs: str
    is_given: bool
    has_test_set: bool
    conditions: dict[str, str] | None
    trials: list[FrozenTrial]
    best: FrozenTrial
    evaluation: Evaluation | None
    cross_validations: list[CrossValidated]
    tests: list[Tested]
    nested: list[Nested]
    ablation: Ablation | None
    figures: list[Figure]
    analyzed: list[int]

    @property
    def in_python(self) -> bool:
        """Whether no command can name its definition or its data."""
        return self.is_given or self.settings.definition == IN_PYTHON

    @property
    def data(self) -> str:
        """What its data are called."""
        return GIVEN_WORDS if self.settings.dataset in GIVEN else self.settings.dataset

    @property
    def scored(self) -> str:
        """What is measured, and which way it is good."""
        return f"{self.metric.words}, {self.metric.preference}"

    @cached_property
    def distributions(self) -> dict[str, list[BaseDistribution]]:
        """The distributions with which each hyperparameter was seen."""
        return distributions(self.settings.search_space)

    @property
    def searched(self) -> dict[str, str]:
        """Each hyperparameter's choices or range, and when it is suggested."""
        found = {}
        for name, seen in self.distributions.items():
            ranges = "; or ".join(map(distribution_text, seen))
            found[name] = "; ".join(filter(None, [ranges, self._when(name)]))
        return found

    def _when(self, name: str) -> str:
        """When a hyperparameter is suggested that not every configuration has.

        Of a definition that has changed since, all that is known is how many trials have it.
        """
        if self.conditions is not None:
            return self.conditions.get(name, "")
        trials = [t for t in self.trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
        n = sum(name in trial.params for trial in trials)
        return "" if n == len(trials) else f"in {n} of {len(trials)} trials" if n else "in no trial"

    def kept(self, name: str) -> list[Any]:
        """What trials keep under a name."""
        found = (trial.user_attrs.get(name) for trial in self.trials)
        return [value for value in found if value is not None]

    @property
    def views(self) -> bool:
        """Whether networks of some trials average over several views of an image."""
        return any(c.get("views", "one") != "one" for c in self.kept("configuration"))

    @property
    def constants(self) -> str:
        """What of the training is the same in all its trials, but not searched."""
        same = constants(self.kept("configuration"), self.distributions)
        return ", ".join(f"{name} {value}" for name, value in same.items())

    @property
    def finished_nested(self) -> Nested | None:
        """The last nested cross-validation, if it was not interrupted."""
        last = self.nested[-1] if self.nested else None
        return last if last is not None and len(last.scores) == last.n_outer else None

    @property
    def close_trials(self) -> int:
        """How many other completed trials lie within a standard error of the best value."""
        done = [t for t in self.trials if t.state == TrialState.COMPLETE]
        best = self.metric.best_first(done, lambda trial: trial.values[0])[0]
        near: float = (best.user_attrs.get("std") or 0.0) / math.sqrt(self.settings.n_splits)
        return sum(bool(abs(t.values[0] - best.values[0]) <= near) for t in done) - 1

    @property
    def final(self) -> Entry | None:
        """What the best trial scores in the final round; None without one."""
        return self.progress.standings.final_of(self.best.number)

    @property
    def best_epoch(self) -> str:
        """The epoch to which networks of the best trial are trained, of those that were trained."""
        kept, final, settings = self.best.user_attrs, self.final, self.settings
        if final is not None:
            return f"{final.best_epoch} of {settings.rounds[-1].epochs or settings.epochs}"
        return f"{kept.get('best_epoch')} of {kept.get('epochs')}"

    @property
    def at_edges(self) -> list[str]:
        """Hyperparameters of the best trial that lie at an end of their range."""
        return [
            words_of(name)
            for name, value in self.best.params.items()
            if len(seen := self.distributions.get(name, [])) == 1 and at_edge(seen[0], value)
        ]

    @property
    def listed_trials(self) -> list[FrozenTrial]:
        """The trials that the appendix lists, in their order: all, or the best."""
        if len(self.trials) <= MOST_TRIALS:
            return self.trials
        done = [t for t in self.trials if t.state == TrialState.COMPLETE]
        best = self.metric.best_first(done, lambda trial: trial.values[0])[:MOST_TRIALS]
        return sorted(best, key=lambda trial: trial.number)

    @property
    def precision(self) -> str:
        """In which precision, and on what, its trials were trained."""
        devices = {"a GPU" if d.startswith("cuda") else "the CPU" for d in self.kept("device")}
        used = " and ".join(sorted(set(self.kept("precision"))))
        return f"{used or 'float32'} on {' and '.join(sorted(devices)) or 'the CPU'}"

    @property
    def provenance(self) -> dict[str, str]:
        """What its results depend on; several values where trials and evaluations differ."""
        settings = self.settings
        found: dict[str, list[Any]] = {
            "definition": [settings.definition],
            "data": [settings.dataset],
            "fingerprint of the training examples": [settings.fingerprint],
            "hash of the folds": [settings.splits],
            "hash of the search space": [settings.search_space.get(CONFIGURATIONS, DASH)],
            "seed": [settings.seed],
            "made with hw1": [settings.version],
            "trials per batch": sorted(set(self.kept("trials_per_batch"))),
            "device": self.kept("device"),
            "backend": [used for t in self.trials if (used := backend_of(t.user_attrs))],
            "precision": self.kept("precision"),
        }
        for stored in [
            *self.kept("provenance"),
            *(part.provenance for part in self.cross_validations),
            *(part.provenance for part in self.tests),
            *(part.provenance for part in self.nested),
        ]:
            for name, value in stored.items():
                found.setdefault(name, []).append("none" if value is None else value)
        return {n: ", ".join(dict.fromkeys(map(str, those))) for n, those in found.items() if those}


@dataclass(frozen=True)
class Problem:
    """Studies of the same training examples.

    Attributes:
        studies: at least one.
        repeats: ``(n_repeats, n_splits, seed)`` of the cross-validation that is stored for most.
        comparison: of those that have it and of which no network diverged; None for fewer than two.
        distribution: the values of the trials of all studies, if there are several.
    """

    studies: list[StudyFacts]
    repeats: tuple[int, int, int]
    comparison: Comparison | None
    distribution: Figure | None

    @property
    def left_out(self) -> list[StudyFacts]:
        """The studies that are not compared although there are several."""
        compared = self.comparison.studies if self.comparison else ()
        return [s for s in self.studies if s.name not in compared] if len(self.studies) > 1 else []

    @property
    def lead(self) -> StudyFacts:
        """The best study: by the stored cross-validation if all have it, else by its value.

        Where some studies alone have been analyzed, the best of these.
        """
        drawn = [study for study in self.studies if study.analyzed] or self.studies
        order = list(self.comparison.studies) if self.comparison else []
        if {study.name for study in drawn} <= set(order):
            return min(drawn, key=lambda study: order.index(study.name))
        return drawn[0].metric.best_first(drawn, lambda study: study.best.values[0])[0]


@dataclass(frozen=True)
class Facts:
    """All that a report says.

    Attributes:
        problems: its studies by their training examples, as they were named.
        author, title, options: see `hw1.analysis.report.write_report`; an empty title is `heading`.
    """

    problems: list[Problem]
    author: str = ""
    title: str = ""
    options: Sequence[str] = ()

    @property
    def heading(self) -> str:
        """The title, by default one that names the data."""
        data = list(dict.fromkeys(study.data for study in self.studies))
        about = " and ".join(data) if len(data) < 3 else f"{len(data)} data sets"
        return self.title or f"Hyperparameter studies of neural networks for {about}"

    @property
    def date(self) -> datetime:
        """When the last of all trials ended."""
        ended = [t.datetime_complete for study in self.studies for t in study.trials]
        return max(date for date in ended if date is not None)

    @property
    def studies(self) -> list[StudyFacts]:
        """All studies."""
        return [study for problem in self.problems for study in problem.studies]

    @property
    def rounds(self) -> list[str]:
        """The rounds of the studies that have some, in words."""
        every = [study.settings.rounds for study in self.studies]
        return sorted({rounds_in_words(rounds) for rounds in every if rounds})

    @property
    def spaces(self) -> list[list[StudyFacts]]:
        """The studies by their search space."""
        found: dict[str, list[StudyFacts]] = {}
        for study in self.studies:
            key = json.dumps([study.settings.definition, study.settings.search_space])
            found.setdefault(key, []).append(study)
        return list(found.values())

    @property
    def machines(self) -> list[str]:
        """Where trials were trained, and with which version of PyTorch."""
        kept = [provenance for study in self.studies for provenance in study.kept("provenance")]
        form = "{processor} ({threads} threads, {system}) with PyTorch {torch}"
        return sorted({form.format(**one) for one in kept}) or ["a machine that is not stored"]

    @property
    def lists_all(self) -> bool:
        """Whether the appendix lists all trials."""
        return all(len(study.trials) <= MOST_TRIALS for study in self.studies)

    def choices(self, option: str) -> list[Any]:
        """All that trials had of an option of a configuration, without what is off."""
        every = [c.get(option) for study in self.studies for c in study.kept("configuration")]
        return [value for value in dict.fromkeys(every) if value not in (None, 0, False)]

    @property
    def checkpoints(self) -> set[str]:
        """Which epochs counted in the trials: the best, the last, or in some the one, in some the
        other."""
        every = [c for study in self.studies for c in study.kept("configuration")]
        return {c.get("checkpoint", "best") for c in every}

    @property
    def regularizers(self) -> list[str]:
        """The options of regularization and augmentation that trials had, and dropout."""
        groups = ("regularization", "augmentation")
        found = [n for n, o in OPTIONS.items() if o.group in groups and self.choices(n)]
        models = [c["model"] for study in self.studies for c in study.kept("configuration")]
        return [*found, *(["dropout"] if any(m.get("dropout") for m in models) else [])]
