"""Whether one study's best configuration is better than another's, on the same folds.

That compares two configurations, not the searches that found them: `hw1.analysis.searches`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from hw1.analysis.evaluation import REPEATS, CrossValidated, repeated_cross_validation
from hw1.analysis.results import StudyResults
from hw1.analysis.statistics import LEVEL, Estimate, PairedTest, corrected_t_test
from hw1.errors import InputError
from hw1.tasks import Metric
from hw1.watching import UNWATCHED, Watcher


@dataclass(frozen=True)
class Pair:
    """Two studies' best configurations on the same folds.

    Attributes:
        first, second: names of the studies.
        difference: the first's score minus the second's, with its interval; the intervals of all
            pairs hold together in 95 % of cases.
        t: of the corrected resampled t-test; see `hw1.analysis.statistics.corrected_t_test`.
        p: two-sided, adjusted for the number of pairs.
        sentence: what that means.
    """

    first: str
    second: str
    difference: Estimate
    t: float
    p: float
    sentence: str


@dataclass(frozen=True)
class Comparison:
    """Several studies' best configurations on the same folds.

    Attributes:
        metric: what is measured.
        maximize: whether higher is better.
        n_repeats, n_splits: of the cross-validation.
        studies: the cross-validation of each, by name, the best first.
        pairs: each two of them.
    """

    metric: str
    maximize: bool
    n_repeats: int
    n_splits: int
    studies: dict[str, CrossValidated]
    pairs: list[Pair]

    def to_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        return (
            {"compared": "configurations"}
            | vars(self)
            | {
                "studies": {
                    name: vars(part) | {"estimate": part.estimate.to_json()}
                    for name, part in self.studies.items()
                },
                "pairs": [vars(p) | {"difference": p.difference.to_json()} for p in self.pairs],
            }
        )


def compare(
    studies: Sequence[StudyResults],
    *,
    n_repeats: int = REPEATS,
    n_splits: int | None = None,
    seed: int = 0,
    watcher: Watcher = UNWATCHED,
) -> Comparison:
    """Compare the best configurations of studies of the same rows on the same fresh folds.

    Two searches that differ in their seed alone find different configurations, and one of these
    may well be better: `hw1.analysis.searches.compare_searches` compares searches. What `evaluate`
    has stored of the configurations is not done again.

    Args:
        studies: two or more.
        n_repeats: of the cross-validation.
        n_splits: its folds; None for as many as the first study has.
        seed: of the folds.
        watcher: hears of the progress.

    Raises:
        InputError: fewer than two studies, one twice, or studies of different rows; a study has
            no completed trial; a network diverged.
    """
    parts = on_the_same_folds(studies, n_repeats, n_splits, seed, watcher)
    return comparison_of(parts, studies[0].metric)


def comparison_of(parts: Mapping[str, CrossValidated], metric: Metric) -> Comparison:
    """The comparison of two or more studies whose scores are there.

    Args:
        parts: their cross-validations by their names, on the same folds and without a network
            that diverged.
        metric: what the scores measure.
    """
    names = metric.best_first(parts, lambda name: parts[name].estimate.mean)
    pairs = list(combinations(names, 2))
    tests = [corrected_t_test(_scores(parts[a]), _scores(parts[b]), len(pairs)) for a, b in pairs]
    return Comparison(
        metric=metric.name,
        maximize=metric.maximize,
        n_repeats=len(parts[names[0]].scores),
        n_splits=parts[names[0]].n_splits,
        studies={name: parts[name] for name in names},
        pairs=[
            Pair(
                a,
                b,
                test.difference,
                test.t,
                test.p,
                _sentence(a, b, test, len(pairs), metric.words),
            )
            for (a, b), test in zip(pairs, tests, strict=True)
        ],
    )


def require_same_rows(studies: Sequence[StudyResults]) -> None:
    """Raise an `InputError` unless these are different studies of the same training rows."""
    names = [results.name for results in studies]
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise InputError("name two or more different studies to compare")
    first = studies[0]
    for other in studies[1:]:
        if other.settings.fingerprint != first.settings.fingerprint:
            drawn = " (with --train-size each --seed draws other rows)"
            raise InputError(
                f"{first.name!r} and {other.name!r} are studies of different training rows: "
                "only studies of the same rows and --train-size can be compared"
                + (drawn if first.settings.train_size is not None else "")
            )


def on_the_same_folds(
    studies: Sequence[StudyResults],
    n_repeats: int,
    n_splits: int | None,
    seed: int,
    watcher: Watcher,
) -> dict[str, CrossValidated]:
    """The cross-validation of each study's best configuration, by its name; see `compare`."""
    require_same_rows(studies)
    n_splits = n_splits or studies[0].settings.n_splits
    chosen = [results.trial() for results in studies]
    parts = {}
    for results, trial in zip(studies, chosen, strict=True):
        named = watcher.of(results.name)
        part = repeated_cross_validation(results, trial, n_repeats, n_splits, seed, watcher=named)
        if any(score is None for row in part.scores for score in row):
            raise InputError(
                f"a network of {results.name!r} diverged on these folds, so it cannot be compared: "
                f"evaluate another --trial of it"
            )
        parts[results.name] = part
    return parts


def _scores(part: CrossValidated) -> list[list[float]]:
    return [[s for s in row if s is not None] for row in part.scores]


def _sentence(a: str, b: str, test: PairedTest, n_pairs: int, metric: str) -> str:
    """What a comparison says; ``a`` has the better mean."""
    found = test.difference
    if found.std == 0 and found.mean == 0:
        return f"The configurations of {a} and {b} score alike on every fold."
    measured = in_brackets(test, n_pairs)
    which = "lower" if found.mean < 0 else "higher"
    start = (
        f"The {metric} of the best configuration of {a} is {which} than that of {b} by "
        f"{abs(found.mean):.3g}"
    )
    if test.p < 1 - LEVEL:
        return f"{start} {measured}: more than chance explains."
    return (
        f"{start}, which may be chance {measured}: these rows don't tell which of the two is "
        "better."
    )


def in_brackets(test: PairedTest, n_pairs: int) -> str:
    """The interval of a difference and its p value."""
    p = "p < 0.001" if test.p < 0.001 else f"p = {test.p:.2g}"
    jointly = f" jointly for {n_pairs} pairs" if n_pairs > 1 else ""
    found = test.difference
    return f"(95 % interval {found.low:.3g} to {found.high:.3g}{jointly}, {p})"
