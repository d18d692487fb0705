"""Whether one study's best configuration is better than another's, on the same folds.

That compares two configurations, not the searches that found them: `hw1.analysis.searches`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from hw1.analysis.evaluation import REPEATS, CrossValidated, repeated_cross_validation
from hw1.analysis.results import StudyResults
from hw1.analysis.statistics import LEVEL, Estimate, PairedTest, corrected_t_test
from hw1.errors import InputError
from hw1.names import require_different
from hw1.tasks import Metric
from hw1.watching import UNWATCHED, Watcher
from hw1.words import between, fixed, p_value


@dataclass(frozen=True)
class Pair:
    """Two configurations, or two searches over their seeds, by their scores.

    Attributes:
        first, second: what they are called; the first has the better mean.
        difference: the first's score minus the second's, with its interval; the intervals of all
            pairs hold together in 95% of cases.
        t: the statistic of the test.
        p: two-sided, adjusted for the number of pairs.
        sentence: what that means.
        paired: whether the scores are those of the same folds or seeds, one by one.
    """

    first: str
    second: str
    difference: Estimate
    t: float
    p: float
    sentence: str
    paired: bool = True


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
    compared: str = "configurations"


def compare(
    studies: Sequence[StudyResults],
    *,
    n_repeats: int = REPEATS,
    n_splits: int | None = None,
    seed: int = 0,
    watcher: Watcher = UNWATCHED,
) -> Comparison:
    """Compare the best configurations of studies of the same data on the same new splits.

    Two searches that differ in their seed alone find different configurations, and one of these
    may well be better: `hw1.analysis.searches.compare_searches` compares searches. What `evaluate`
    has stored of the configurations is not done again.

    Args:
        studies: two or more.
        n_repeats: of the cross-validation.
        n_splits: its folds; None for as many as the first study has.
        seed: of the folds.

    Raises:
        InputError: fewer than two studies, one twice, or studies of different data; a study has
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
    return Comparison(
        metric=metric.name,
        maximize=metric.maximize,
        n_repeats=len(parts[names[0]].scores),
        n_splits=parts[names[0]].n_splits,
        studies={name: parts[name] for name in names},
        pairs=[
            pair(
                (a, b),
                corrected_t_test(parts[a].scores, parts[b].scores, len(pairs)),
                len(pairs),
                subject=f"The {metric.words} of the best configuration of {a}",
                by="",
                chance="chance",
                otherwise="the data don't show which of the two is better",
            )
            for a, b in pairs
        ],
    )


def require_same_rows(studies: Sequence[StudyResults]) -> None:
    """Raise an `InputError` unless these are different studies of the same training examples."""
    require_different([results.name for results in studies])
    first = studies[0]
    for other in studies[1:]:
        if other.settings.metric != first.settings.metric:
            raise InputError(
                f"{first.name!r} is scored by {first.metric.words} and {other.name!r} by "
                f"{other.metric.words}: only studies of one metric can be compared"
            )
        if other.settings.fingerprint != first.settings.fingerprint:
            drawn = " (with --train-size each --seed draws other examples)"
            raise InputError(
                f"{first.name!r} and {other.name!r} are studies of different training examples: "
                "only studies of the same data and --train-size can be compared"
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


def pair(
    names: tuple[str, str],
    test: PairedTest,
    n_pairs: int,
    *,
    subject: str,
    by: str,
    chance: str,
    otherwise: str,
    paired: bool = True,
) -> Pair:
    """Two that were compared, the better one first, and what the test says of them.

    Args:
        names: what they are called.
        test: of the first against the second.
        n_pairs: for how many pairs the test is adjusted.
        subject: whose score is higher or lower.
        by: how the difference is measured, after its number.
        chance: what may have made the difference.
        otherwise: what follows if it may.
        paired: see `Pair`.
    """
    found = test.difference
    decimals = found.places
    which = "lower" if found.mean < 0 else "higher"
    start = (
        f"{subject} is {which} than that of {names[1]} by {fixed(abs(found.mean), decimals)}{by}"
    )
    if found.std == 0 and found.mean == 0:
        sentence = f"{names[0]} and {names[1]} score alike on every fold, or with every seed."
    elif test.p < 1 - LEVEL:
        sentence = f"{start} {measured(test, n_pairs)}: more than {chance} explains."
    else:
        sentence = f"{start}, which may be {chance} {measured(test, n_pairs)}: {otherwise}."
    return Pair(*names, found, test.t, test.p, sentence, paired)


def measured(test: PairedTest, n_pairs: int) -> str:
    """The interval of a difference and its p value, in parentheses."""
    found = test.difference
    jointly = f" jointly for {n_pairs} pairs" if n_pairs > 1 else ""
    interval = between(found.low, found.high, found.places)
    return (
        f"({LEVEL:.0%} confidence interval {interval}{jointly}, "
        f"p {'' if test.p < 0.001 else '= '}{p_value(test.p)})"
    )
