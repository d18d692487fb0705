"""Gathers what a report says from storage and from the folders of figures."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from hw1.analysis.ablation import stored_ablation
from hw1.analysis.comparison import comparison_of
from hw1.analysis.curves import LearningCurves
from hw1.analysis.description import import_path
from hw1.analysis.evaluation import (
    CROSS_VALIDATIONS,
    TESTS,
    CrossValidated,
    Tested,
    cross_validations,
    stored_evaluation,
)
from hw1.analysis.figures import search
from hw1.analysis.figures.ablation import ablation_figures
from hw1.analysis.figures.training import learning_curves
from hw1.analysis.nested import NESTED, Nested
from hw1.analysis.report.conditions import conditions
from hw1.analysis.report.facts import Facts, Problem, StudyFacts
from hw1.analysis.report.figures import stored_figures
from hw1.analysis.results import StudyResults
from hw1.analysis.scores import fits
from hw1.datasets.given import GIVEN
from hw1.errors import InputError
from hw1.words import DASH, counted

Folder = Callable[[StudyResults], Path]
"""Where `hw1.analysis.analyze` has written the figures of a study."""


def gather(studies: Sequence[StudyResults], folder: Folder) -> Facts:
    """Read everything about these studies from storage, and their figures from their folders.

    Raises:
        InputError: no study, one twice, or one without a completed trial.
    """
    names = [results.name for results in studies]
    if not names or len(set(names)) < len(names):
        raise InputError("name one or more different studies for a report")
    by_examples: dict[str, list[StudyResults]] = {}
    for results in studies:
        by_examples.setdefault(results.settings.fingerprint, []).append(results)
    return Facts([_problem(those, folder) for those in by_examples.values()])


def _study(results: StudyResults, folder: Path) -> StudyFacts:
    best, definition = results.trial(), results.definition
    trials = results.checked_trials()
    current = cross_validations(results, best)
    figures, analyzed = stored_figures(results.name, folder, best.number)
    drawn = [figure.name for figure in figures]
    if "learning_curves" not in drawn and LearningCurves.are_stored(best):
        with results.study.storage.readable(f"trial {best.number} of {results.name!r}"):
            figures.insert(0, learning_curves(LearningCurves.stored(best), results.metric))
    unchanged = definition.fingerprint() == results.settings.search_space
    is_given = results.job.data is not None or results.settings.dataset in GIVEN
    is_own = not is_given and results.settings.train_csv is None
    inputs, outputs = _in_words(results)
    ablation = stored_ablation(results)
    of_ablation = ablation_figures(ablation) if ablation else []
    return StudyFacts(
        name=results.name,
        settings=results.settings,
        metric=results.metric,
        task=definition.task,
        progress=results.study.progress(trials),
        family=import_path(definition.model),
        family_words=_first_paragraph(definition.model),
        data_words=_first_paragraph(definition.dataset) if is_own else "",
        inputs=inputs,
        outputs=outputs,
        is_given=is_given,
        has_test_set=results.has_test_set,
        conditions=conditions(definition) if unchanged else None,
        trials=trials,
        best=best,
        evaluation=stored_evaluation(results),
        cross_validations=[
            part
            for part in results.records(CrossValidated, CROSS_VALIDATIONS)
            if part.trial != best.number or part in current
        ],
        tests=results.records(Tested, TESTS),
        nested=results.records(Nested, NESTED),
        ablation=ablation,
        figures=[*search.search_figures(results.study), *figures, *of_ablation],
        analyzed=analyzed,
    )


def _in_words(results: StudyResults) -> tuple[str, str]:
    """What networks take and give, such as ``"28 × 28 pixels"`` and ``"10 classes"``."""
    facts = results.study.facts
    if facts is None:
        return DASH, DASH
    with results.study.storage.readable(f"the data of {results.name!r}"):
        shape, features = facts["input_shape"], facts["feature_names"]
        if not fits(shape, list[int]):
            raise TypeError("the shape of an example")
    outputs = counted(facts["n_outputs"], "class") if facts["class_names"] else facts["target_name"]
    match shape:
        case [n]:
            inputs = counted(n, "feature") + (f", {features[0]}" if len(features) == 1 else "")
        case [steps, n]:
            inputs = f"{counted(steps, 'step')} of {counted(n, 'feature')}"
        case _:
            inputs = " × ".join(map(str, shape[shape[0] == 1 :])) + " pixels"
    return inputs, outputs


def _first_paragraph(thing: object) -> str:
    """Of a docstring, in one line."""
    return " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split())


def _problem(those: Sequence[StudyResults], folder: Folder) -> Problem:
    studies = [_study(results, folder(results)) for results in those]
    (n_splits, seed), parts = _common_parts(studies)
    n_repeats = min((len(part.scores) for part in parts.values()), default=0)
    parts = {
        name: replace(part, scores=part.scores[:n_repeats])
        for name, part in parts.items()
        if not any(score is None for row in part.scores[:n_repeats] for score in row)
    }
    several = len(those) > 1
    return Problem(
        studies=studies,
        repeats=(n_repeats, n_splits, seed),
        comparison=comparison_of(parts, studies[0].metric) if len(parts) > 1 else None,
        distribution=search.empirical_distribution([r.study for r in those]) if several else None,
    )


def _common_parts(
    studies: Sequence[StudyFacts],
) -> tuple[tuple[int, int], dict[str, CrossValidated]]:
    """The cross-validation, by its folds and seed, that is stored for most of the best trials.

    The folds depend on the examples, their number and the seed alone.
    """
    usual = (studies[0].settings.n_splits, 0)
    found: dict[tuple[int, int], dict[str, CrossValidated]] = {}
    for study in studies:
        for part in study.cross_validations:
            if part.trial == study.best.number:
                found.setdefault((part.n_splits, part.seed), {})[study.name] = part

    def rank(key: tuple[int, int]) -> tuple[int, int, bool, int, int]:
        n_repeats = min(len(part.scores) for part in found[key].values())
        return len(found[key]), n_repeats, key == usual, -key[0], -key[1]

    key = max(found, key=rank, default=usual)
    return key, found.get(key, {})
