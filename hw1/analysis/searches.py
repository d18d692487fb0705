"""Whether one search finds better networks than another, over several seeds of each."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

from hw1.analysis.comparison import Pair, on_the_same_folds, pair, require_same_rows
from hw1.analysis.evaluation import REPEATS
from hw1.analysis.results import StudyResults
from hw1.analysis.statistics import Estimate, over_seeds, t_test_over_seeds
from hw1.errors import InputError
from hw1.standings import rounds_in_words
from hw1.watching import UNWATCHED, Watcher
from hw1.words import counted, in_words, listed

FEWEST_SEEDS = 3

_OF_A_SEED = {"seed", "splits", "version"}
"""Settings that may differ between the studies of a search, on the same data."""
_NAMED = (
    "definition",
    "sampler",
    "pruner",
    "epochs",
    "n_splits",
    "n_trials",
    "search_rows",
    "rounds",
)
"""What a search is called by, as far as it differs between the searches."""


@dataclass(frozen=True)
class Search:
    """Studies that differ in their seed alone, and what their best configurations are worth.

    Attributes:
        label: what tells it from the other searches.
        studies: the names of its studies, one a seed.
        seeds: of the studies, in rising order.
        trials: the best trial of each.
        scores: of each one's configuration: the mean of its repeated cross-validation.
    """

    label: str
    studies: list[str]
    seeds: list[int]
    trials: list[int]
    scores: list[float]

    @property
    def estimate(self) -> Estimate:
        """The mean and standard deviation over the seeds."""
        return over_seeds(self.scores)


@dataclass(frozen=True)
class SearchComparison:
    """Several searches by what their winners score on the same new splits.

    Attributes:
        metric: what is measured.
        maximize: whether higher is better.
        n_repeats, n_splits: of the cross-validation.
        searches: the best first.
        pairs: each two of them.
    """

    metric: str
    maximize: bool
    n_repeats: int
    n_splits: int
    searches: list[Search]
    pairs: list[Pair]
    compared: str = "searches"


def compare_searches(
    studies: Sequence[StudyResults],
    *,
    n_repeats: int = REPEATS,
    n_splits: int | None = None,
    seed: int = 0,
    watcher: Watcher = UNWATCHED,
) -> SearchComparison:
    """Compare searches by several studies of each, which differ in their seed alone.

    Each study's best configuration is scored by repeated cross-validation on the same new
    splits, and the means are compared over the seeds. What `evaluate` has stored is not done again.

    Args:
        studies: of two or more searches, each with three seeds or more, in any order.

    The other arguments are those of `hw1.analysis.comparison.compare`.

    Raises:
        InputError: one search alone, too few seeds of one, a seed twice, a search that is not
            complete, or studies of different data; a study has no completed trial; a network
            diverged.
    """
    require_same_rows(studies)
    groups = _groups(studies)
    parts = on_the_same_folds(studies, n_repeats, n_splits, seed, watcher)
    labels = _labels([those[0] for those in groups])
    searches = [
        Search(
            label=label,
            studies=[results.name for results in those],
            seeds=[results.settings.seed for results in those],
            trials=[parts[results.name].trial for results in those],
            scores=[parts[results.name].estimate.mean for results in those],
        )
        for label, those in zip(labels, groups, strict=True)
    ]
    metric = studies[0].metric
    searches = metric.best_first(searches, lambda search: search.estimate.mean)
    pairs = list(combinations(searches, 2))
    return SearchComparison(
        metric=metric.name,
        maximize=metric.maximize,
        n_repeats=n_repeats,
        n_splits=next(iter(parts.values())).n_splits,
        searches=searches,
        pairs=[_compared(a, b, len(pairs), metric.words) for a, b in pairs],
    )


def _groups(studies: Sequence[StudyResults]) -> list[list[StudyResults]]:
    """The studies of each search, by their seeds."""
    groups: dict[str, list[StudyResults]] = {}
    for results in studies:
        key = json.dumps(_of_search(results), sort_keys=True)
        groups.setdefault(key, []).append(results)
    if len(groups) < 2:
        raise InputError(
            "these studies differ in their seed alone, so they are one search: name studies of "
            "another one, too"
        )
    for those in groups.values():
        those.sort(key=lambda results: results.settings.seed)
        names = listed([results.name for results in those])
        for a, b in pairwise(those):
            if a.settings.seed == b.settings.seed:
                raise InputError(
                    f"{a.name!r} and {b.name!r} are the same search with the same seed: name one"
                )
        if len(those) < FEWEST_SEEDS:
            raise InputError(
                f"the search of {names} has {counted(len(those), 'seed')} here, and a "
                f"comparison needs {FEWEST_SEEDS} or more of each: run it with another "
                "--seed and a --name of its own"
            )
        for results in those:
            progress = results.study.progress()
            if not progress.complete:
                raise InputError(
                    f"{results.name!r} has {progress.done} of {progress.n_trials} trials: run it "
                    "to its end before its search is compared"
                )
    return list(groups.values())


def _of_search(results: StudyResults) -> dict[str, Any]:
    """What the studies of a search have in common."""
    found = {k: v for k, v in vars(results.settings).items() if k not in _OF_A_SEED}
    if found["grid"] is not None:  # the cells are visited in an order that the seed decides
        found["grid"] = sorted(found["grid"], key=lambda cell: json.dumps(cell, sort_keys=True))
    return found | {"n_trials": results.study.n_trials, "rounds": rounds_in_words(found["rounds"])}


def _labels(firsts: Sequence[StudyResults]) -> list[str]:
    """What tells searches apart, each given by one study: "sampler tpe"; else that study's name."""
    found = [_of_search(results) for results in firsts]
    differing = [name for name in _NAMED if len({str(of[name]) for of in found}) > 1]
    labels = [
        ", ".join(f"{in_words(name.removeprefix('n_'))} {of[name]}" for name in differing)
        for of in found
    ]
    if len(set(labels)) < len(labels):
        return [f"search of {results.name}" for results in firsts]
    return labels


def _compared(a: Search, b: Search, n_pairs: int, metric: str) -> Pair:
    """Two searches by the t-test of their seeds' differences, or by Welch's if these differ.

    The interval tells where the difference lies over all seeds, with these examples and folds.
    """
    paired = a.seeds == b.seeds
    return pair(
        (a.label, b.label),
        t_test_over_seeds(a.scores, b.scores, paired=paired, n_pairs=n_pairs),
        n_pairs,
        subject=f"The {metric} of what {a.label} finds",
        by=" on average over the seeds",
        chance="the luck of the seeds",
        otherwise="run more seeds to tell",
        paired=paired,
    )
