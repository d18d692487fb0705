"""What each part of a configuration is worth: one thing at a time is changed, all else is held."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import pandas as pd
from optuna.trial import FixedTrial

from hw1.analysis.controlled import Measured, Setup, Trainer
from hw1.analysis.evaluation import REPEATS
from hw1.analysis.results import StudyResults
from hw1.analysis.statistics import LEVEL, Estimate, PairedTest, corrected_t_test
from hw1.analysis.variants import GROUPS, PENALTIES, Base, Variant, group_words, variants
from hw1.definition import MISSING, StudyDefinition
from hw1.errors import InputError
from hw1.tasks import Metric
from hw1.training import Configuration
from hw1.watching import UNWATCHED, Watcher
from hw1.words import between, counted, fixed, listed, number

ABLATION = "ablation"
"""The attribute of a study that holds what was measured."""


@dataclass(frozen=True)
class Effect:
    """What a change does.

    Attributes:
        measured: the changed configuration.
        test: its score minus that of the base, by the corrected resampled t-test; intervals and
            p values hold jointly for all changes. None for the base, and without scores.
        verdict: what follows: "better", "worse", "no clear difference", "diverged", "base".
    """

    measured: Measured
    test: PairedTest | None
    verdict: str

    @property
    def name(self) -> str:
        """What was changed, and to what."""
        return f"{group_words(self.measured.group)} {self.measured.variant}"

    @property
    def notes(self) -> str:
        """The learning rate that was chosen, or how many weights a penalty has made zero."""
        one = self.measured
        if one.rates is not None:
            tried = ", ".join(map(number, one.rates))
            edge = ", at the edge" if one.rate_at_edge else ""
            return f"rate {number(one.lr)} of {tried}{edge}"
        if one.group in PENALTIES:
            return f"{one.zeros:.0%} of weights zero, {one.tiny:.0%} tiny"
        return ""


@dataclass(frozen=True)
class Ablation:
    """What single changes of a configuration do under cross-validation.

    Attributes:
        study: its name.
        metric: what is measured.
        maximize: whether higher is better.
        base: the configuration that is changed.
        n_tests: changes that were tested; their intervals hold jointly.
        groups: what each change does, by what was changed.
    """

    study: str
    metric: str
    maximize: bool
    base: Measured
    n_tests: int
    groups: dict[str, list[Effect]]

    @property
    def effects(self) -> list[Effect]:
        """All changes."""
        return [effect for several in self.groups.values() for effect in several]


def ablate(
    results: StudyResults,
    trial: int | None = None,
    *,
    only: Sequence[str] = (),
    defaults: bool = False,
    n_repeats: int = REPEATS,
    n_splits: int | None = None,
    epochs: int | None = None,
    train_size: int | None = None,
    seed: int = 0,
    again: bool = False,
    watcher: Watcher = UNWATCHED,
) -> Ablation:
    """Change one thing at a time in the best configuration, or that of a trial.

    All variants are trained on the same folds, those of `evaluate`, from the same seeds. The mean
    curve over all folds of all repeats decides at which epoch a variant is scored, as the curve of
    a trial does. An optimizer that is not the base's has a learning rate of its own, chosen on
    folds that score nothing. What is stored is not done again.

    Args:
        trial: its number; None for the best.
        only: what is changed, names in `hw1.analysis.variants.GROUPS`; everything without any.
        defaults: whether the base is the definition's defaults, not a trial.
        n_repeats, n_splits, seed: of the cross-validation; by default the study's folds.
        epochs: of each training; None for those of the study.
        train_size: the size of a stratified random subset of the training examples.
        again: whether the work is done again although it is stored.

    Raises:
        InputError: no trial has completed, or a number is out of its range.
    """
    if n_repeats < 1:
        raise InputError("an ablation needs at least one repeat")
    settings = results.settings
    if defaults:
        number, own = None, _defaults(results.definition)
    else:
        chosen = results.trial(trial)
        number, own = chosen.number, results.tuned(chosen)[0]
    dataset = results.dataset
    if train_size is not None:
        dataset = dataset.sample(train_size, seed)
    own = replace(own, epochs=epochs or own.epochs if not defaults else epochs or settings.epochs)
    setup = Setup(number, n_splits or settings.n_splits, n_repeats, seed, own.epochs, len(dataset))
    wanted = variants(Base.of(own, dataset, results.definition.model), only)
    trainer = Trainer(results, dataset, setup, watcher)
    stored = [] if again else results.records(Measured, ABLATION, **vars(setup))
    found = {one: record for one in wanted if (record := _stored(one, stored)) is not None}
    missing = [one for one in trainer.possible(wanted) if one not in found]
    for one, record in trainer.measure(missing, own):
        same = vars(setup) | {"group": one.group, "variant": one.name}
        results.store(ABLATION, vars(record), **same)
        found[one] = record
    return ablation_of(results, [found[one] for one in wanted if one in found])


def stored_ablation(results: StudyResults) -> Ablation | None:
    """The most complete ablation of the best trial, else of the defaults; None without any."""
    best, found = results.trial().number, dict[Setup, list[Measured]]()
    for record in results.records(Measured, ABLATION):
        if record.trial in (best, None):
            setup = Setup(**{field.name: getattr(record, field.name) for field in fields(Setup)})
            found.setdefault(setup, []).append(record)
    whole = {setup: those for setup, those in found.items() if not all(one.group for one in those)}
    if not whole:
        return None
    setup = max(whole, key=lambda one: (one.trial is not None, len(whole[one]), one.n_repeats))
    return ablation_of(results, whole[setup])


def ablation_of(results: StudyResults, records: Sequence[Measured]) -> Ablation:
    """The ablation of what was measured, the base among it."""
    metric = results.metric
    base = next(one for one in records if not one.group)
    order = list(GROUPS)
    changed = [one for one in records if one.group in order]
    changed.sort(key=lambda one: (order.index(one.group), one.place))
    n_tests = sum(not (one.is_base or one.diverged or base.diverged) for one in changed)
    groups: dict[str, list[Effect]] = {}
    for one in changed:
        groups.setdefault(one.group, []).append(_effect(one, base, n_tests, metric))
    return Ablation(results.name, metric.name, metric.maximize, base, n_tests, groups)


def _effect(one: Measured, base: Measured, n_tests: int, metric: Metric) -> Effect:
    if one.is_base:
        return Effect(one, None, "base")
    if one.diverged or base.diverged:
        return Effect(one, None, "diverged" if one.diverged else "no clear difference")
    test = corrected_t_test(one.scores, base.scores, n_tests)
    if test.p >= 1 - LEVEL:
        return Effect(one, test, "no clear difference")
    return Effect(one, test, "better" if metric.better(test.difference.mean, 0.0) else "worse")


def _stored(one: Variant, records: Sequence[Measured]) -> Measured | None:
    """What was measured of a variant, unless it has another configuration by now."""
    for record in records:
        same = (record.group, record.variant) == (one.group, one.name)
        found, own = Configuration(**record.configuration), one.configurations
        if same and (found in own or (len(own) > 1 and replace(found, lr=own[0].lr) == own[0])):
            return record
    return None


def _defaults(definition: StudyDefinition) -> Configuration:
    """The configuration of a definition's defaults."""
    missing = [n for n, one in definition.parameters.items() if one.default is MISSING]
    if missing:
        raise InputError(
            f"{missing[0]} has no default in the search space: give it one, or leave --defaults out"
        )
    return definition.configure(FixedTrial(definition.default_params))


def findings(found: Ablation) -> list[str]:
    """What has mattered, in sentences; none if nothing could be tested."""
    if not found.n_tests:
        return []
    by_verdict = {
        verdict: [effect for effect in found.effects if effect.verdict == verdict]
        for verdict in ("worse", "better", "diverged")
    }
    worse, better, diverged = by_verdict.values()
    lines = [
        f"Of {counted(found.n_tests, 'change')}, {len(worse) or 'none'} "
        f"{'are' if len(worse) > 1 else 'is'} worse and {len(better) or 'none'} better than the "
        f"base by more than chance explains, at {LEVEL:.0%} for all of them together."
    ]
    for start, several in (("Worse", worse), ("Better", better)):
        if several:
            several.sort(key=lambda effect: -abs(_difference(effect).mean))
            lines.append(f"{start}: {listed([_by(effect) for effect in several], 6)}.")
    if diverged:
        lines.append(f"Diverged: {listed([effect.name for effect in diverged], 6)}.")
    return lines


def _difference(effect: Effect) -> Estimate:
    assert effect.test is not None
    return effect.test.difference


def _by(effect: Effect) -> str:
    difference = _difference(effect)
    sign = "+" if difference.mean > 0 else ""
    return f"{effect.name} ({sign}{fixed(difference.mean, difference.places)})"


def difference_texts(effect: Effect) -> tuple[str, str]:
    """The difference from the base, and its interval; empty where nothing was tested."""
    if effect.test is None:
        return "", ""
    found = effect.test.difference
    sign = "+" if found.mean > 0 else ""
    return (
        f"{sign}{fixed(found.mean, found.places)}",
        between(found.low, found.high, found.places),
    )


def ablation_table(found: Ablation) -> pd.DataFrame:
    """An ablation as a table: a row a change, by what was changed and to what.

    The columns ``difference``, ``low``, ``high`` and ``p`` are those of the test against the base;
    they hold jointly for all changes.
    """
    rows = {}
    for effect in found.effects:
        one, test = effect.measured, effect.test
        difference = (
            {"difference": test.difference.mean, "low": test.difference.low}
            | {"high": test.difference.high, "p": test.p}
            if test
            else {}
        )
        rows[group_words(one.group), one.variant] = {
            "mean": one.estimate.mean,
            "std": one.estimate.std,
            **difference,
            "verdict": effect.verdict,
            "epoch": one.epoch,
            "lr": one.lr,
            "zeros": one.zeros,
            "tiny": one.tiny,
            "seconds": one.seconds,
        }
    columns = ["mean", "std", "difference", "low", "high", "p", "verdict"]
    table = pd.DataFrame.from_dict(rows, orient="index")
    table = table.reindex(columns=[*columns, "epoch", "lr", "zeros", "tiny", "seconds"])
    table.index = pd.MultiIndex.from_tuples(rows, names=["changed", "to"])
    return table
