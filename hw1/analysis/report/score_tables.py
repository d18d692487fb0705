"""Tables of scores: of the best configurations, on test rows, and of differences."""

from collections.abc import Callable, Sequence

from hw1.analysis.report.content import Problem, StudyContent
from hw1.analysis.report.document import Column, Table
from hw1.analysis.report.wording import Text
from hw1.analysis.statistics import Estimate
from hw1.words import DASH, between, fixed, integer, number, p_value, places, plus_minus

NOT_STORED = "not stored"
DIVERGED = "diverged"


def scores(problems: Sequence[Problem]) -> Table:
    """In the search, on fresh folds, nested."""
    return Table(
        "scores",
        (
            "Scores of the best configurations: mean ± standard deviation, and the interval "
            "of the mean. “In the search” is optimistically biased: the best of many trials; "
            "nested is a score of the whole procedure, search included.",
        ),
        [
            Column("study", share=1),
            Column("trial", right=True),
            Column("in the search", right=True),
            Column("folds", right=True),
            Column("fresh folds", right=True),
            Column("95 % interval", right=True),
            Column("nested", right=True),
            Column("95 % interval", right=True),
        ],
        _by_problem(problems, _score_row),
    )


def tests(problems: Sequence[Problem]) -> Table:
    """On the test rows."""
    return Table(
        "tests",
        (
            "Scores on the test rows: networks trained on all training rows from several seeds, "
            "their mean ± standard deviation, and their ensemble. The interval of the mean covers "
            "other test rows and other seeds (of a single network other test rows alone), that of "
            "the ensemble other test rows. Last, how often the test rows have been scored for the "
            "study.",
        ),
        [
            Column("study", share=1),
            Column("each seed", share=1.2),
            Column("mean", right=True),
            Column("95 % interval", right=True),
            Column("ensemble", right=True),
            Column("95 % interval", right=True),
            Column("rows", right=True),
            Column("times scored", right=True),
        ],
        _by_problem(problems, _test_row),
    )


def pairs(problems: Sequence[Problem]) -> Table:
    """Differences between studies of the same rows."""
    rows: list[list[Text]] = []
    for problem in problems:
        if problem.pairs:
            rows += [_heading(problem), *_pair_rows(problem)]
    return Table(
        "pairs",
        (
            "The best configurations of studies of the same rows, on the same folds: the first’s "
            "score minus the second’s, with its interval, and the corrected t-test. Intervals and "
            "p values hold jointly for all pairs of a data set; they are not those of the "
            "searches.",
        ),
        [
            Column("first", share=1),
            Column("second", share=1),
            Column("folds", right=True),
            Column("difference", right=True),
            Column("95 % interval", right=True),
            Column("t", right=True),
            Column("p", right=True),
        ],
        rows,
    )


def score(value: float | None, decimals: int | None) -> str:
    """The score of one network."""
    return DIVERGED if value is None else fixed(value, decimals)


def _by_problem(
    problems: Sequence[Problem], row: Callable[[StudyContent], list[Text]]
) -> list[list[Text]]:
    rows: list[list[Text]] = []
    for problem in problems:
        rows += [_heading(problem), *map(row, problem.studies)]
    return rows


def _heading(problem: Problem) -> list[Text]:
    study = problem.studies[0]
    return [(f"{study.settings.dataset}: {study.metric.words}, {study.metric.preference}",)]


def _score_row(study: StudyContent) -> list[Text]:
    best, found = study.best, study.evaluation
    cells = [study.name, str(best.number), plus_minus(best.value, best.kept.get("std"))]
    if found is None:
        cells += [DASH, NOT_STORED, DASH]
    else:
        part = found.cross_validation
        cells += [f"{len(part.scores)} × {part.n_splits}", *_estimate(part.estimate)]
    return [(cell,) for cell in (*cells, *_nested(study))]


def _nested(study: StudyContent) -> list[str]:
    """The last nested cross-validation, which may have been interrupted."""
    if not study.nested:
        return [NOT_STORED, DASH]
    found = study.nested[-1]
    if len(found.scores) < found.n_outer:
        return [f"{len(found.scores)} of {found.n_outer} folds", DASH]
    return _estimate(found.estimate)


def _estimate(found: Estimate) -> list[str]:
    if found.mean != found.mean:
        return [DIVERGED, DASH]
    decimals = places(found.mean, found.std)
    return [plus_minus(found.mean, found.std), between(found.low, found.high, decimals)]


def _test_row(study: StudyContent) -> list[Text]:
    found = study.evaluation.test if study.evaluation is not None else None
    if found is None:
        absent = NOT_STORED if study.has_test_rows else "no test rows"
        cells = [absent, DASH, DASH, DASH, DASH, DASH, str(len(study.tests))]
    else:
        decimals = places(found.estimate.mean, found.estimate.std)
        cells = [
            ", ".join(score(value, decimals) for value in found.scores),
            *_estimate(found.estimate),
            score(found.ensemble, decimals),
            between(found.ensemble_estimate.low, found.ensemble_estimate.high, decimals),
            integer(found.n_rows),
            str(len(study.tests)),
        ]
    return [(study.name,), *((cell,) for cell in cells)]


def _pair_rows(problem: Problem) -> list[list[Text]]:
    rows: list[list[Text]] = []
    for pair in problem.pairs:
        found = pair.test.difference
        decimals = places(found.mean, found.std)
        cells = [
            pair.first,
            pair.second,
            f"{problem.n_repeats} × {problem.n_splits}",
            fixed(found.mean, decimals),
            between(found.low, found.high, decimals),
            number(pair.test.t, 3),
            p_value(pair.test.p),
        ]
        rows.append([(cell,) for cell in cells])
    return rows
