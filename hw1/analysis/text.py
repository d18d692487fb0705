"""Results of an analysis as lines of text."""

import math
from collections.abc import Sequence
from itertools import zip_longest

from hw1.analysis.ablation import Ablation, difference_texts, findings
from hw1.analysis.comparison import Comparison
from hw1.analysis.evaluation import Evaluation, Tested
from hw1.analysis.replay import Replay
from hw1.analysis.searches import SearchComparison
from hw1.analysis.standings import left_out, standings, verdict
from hw1.analysis.statistics import Estimate
from hw1.analysis.variants import group_words
from hw1.words import DASH, between, counted, duration, in_words, listed, number, plus_minus

WIDTH = 18


def interval(found: Estimate) -> str:
    """Where the mean lies, to the decimal places of the mean; a dash without an interval."""
    return between(found.low, found.high, found.places)


def estimate(found: Estimate) -> str:
    """A mean, and its standard deviation and its interval if it has them."""
    if math.isnan(found.mean):
        return "no mean: a network diverged"
    text = plus_minus(found.mean, found.std)
    if math.isfinite(found.low) and math.isfinite(found.high):
        text += f", 95% confidence interval {interval(found)}"
    return text


def _metric(found: Evaluation | Comparison | SearchComparison | Ablation) -> str:
    """The metric in words, and which way it is good."""
    return f"{in_words(found.metric)} ({'higher' if found.maximize else 'lower'} is better)"


def evaluation_lines(found: Evaluation) -> list[str]:
    """An evaluation, a line a fact."""
    part, test, nested = found.cross_validation, found.test, found.nested
    lines = [
        f"{found.study}: trial {found.trial}, {_metric(found)}",
        _row(
            "in the search",
            f"{number(found.value)}, optimistically biased: the best of many trials",
        ),
        *final_lines(found),
    ]
    if part is not None:
        lines += [
            _row("cross-validation", estimate(part.estimate)),
            _row("", f"{len(part.scores)} × {part.n_splits} new splits, epochs fixed beforehand"),
        ]
    if test is None:
        lines.append(_row("test set", "none scored"))
    else:
        n = len(test.seeds)
        lines += [
            _row("test set", estimate(test.estimate)),
            _row("", f"{counted(n, 'seed')}, {counted(test.n_rows, 'test example')}"),
        ]
        if math.isfinite(test.estimate.low):
            seeds = "not other seeds" if n == 1 else "other seeds;"
            lines.append(_row("", f"the interval covers other test examples, {seeds}"))
            if n > 1:
                lines.append(_row("", "that of the ensemble covers other test examples"))
        lines += [
            _row("  each seed", _scores(test.scores)),
            _row("  ensemble", f"{estimate(test.ensemble_estimate)}, of {test.members}"),
        ]
    if nested is not None:
        lines += [
            _row("nested", estimate(nested.estimate)),
            _row(
                "", f"{len(nested.scores)} of {nested.n_outer} outer folds, each scored by what a"
            ),
            _row(
                "", f"search of {nested.n_trials} trials, {nested.n_inner} folds found without it"
            ),
            _row("  each fold", _scores(nested.scores)),
        ]
    lines += _baseline_lines(found)
    if test is not None and test.share_largest is not None:
        lines.append(heavy_tails(test))
    if found.n_tests > 1:
        lines.append(
            f"The test set has been scored {found.n_tests} times for this study: what is chosen "
            "by such scores is no longer measured by them."
        )
    return lines


def _baseline_lines(found: Evaluation) -> list[str]:
    """The network among the baselines, a line each; none without any."""
    if not found.baselines:
        return []
    table, notes = [["beside scikit-learn", "cross-validation", "95% interval", "test"]], []
    for row in standings(found):
        part, test = row.cross_validation, row.test
        scores = [DASH, ""] if part is None else [plus_minus(part.mean, part.std), interval(part)]
        scores.append(DASH if test is None else plus_minus(test.mean, test.std))
        table.append([f"  {row.name}", *scores])
        notes += [f"    {row.name}: {row.notes}"] if row.notes else []
    lines = [*_columns(table), *notes]
    if missing := left_out(found):
        lines.append(f"    not fitted, for it would take too long: {listed(missing)}")
    return [*lines, *filter(None, [verdict(found)])]


def final_lines(found: Evaluation) -> list[str]:
    """What the trial scores in the final round, if it took part."""
    final = found.final
    if final is None:
        return []
    return [
        _row("final round", plus_minus(final.mean, final.std)),
        _row("", final.splits),
    ]


def heavy_tails(test: Tested) -> str:
    """What a test score says of which a few squared errors make up a large part."""
    assert test.share_largest is not None
    one = test.n_largest == 1
    which, make = ("error", "makes") if one else (f"{test.n_largest} errors", "make")
    return (
        f"The largest {which} of {counted(test.n_rows, 'test example')} {make} up "
        f"{test.share_largest:.0%} of the mean squared error: such errors have heavy "
        "tails, and the intervals of the test scores may be too narrow."
    )


def comparison_lines(found: Comparison) -> list[str]:
    """A comparison: the studies, the best first, and a sentence for each pair."""
    width = max(map(len, found.studies))
    lines = [
        f"best configurations, {_metric(found)}, "
        f"{found.n_repeats} × {found.n_splits} folds, the same for all"
    ]
    lines += [
        f"  {name:<{width}}  trial {part.trial:<4}  {estimate(part.estimate)}"
        for name, part in found.studies.items()
    ]
    return [
        *lines,
        *(pair.sentence for pair in found.pairs),
        "This compares these configurations, not the searches: with another seed a search finds "
        "another one. To compare searches, name several seeds of each with --searches.",
    ]


def search_comparison_lines(found: SearchComparison) -> list[str]:
    """A comparison of searches: the searches, the best first, and a sentence for each pair."""
    width = max(len(search.label) for search in found.searches)
    lines = [
        f"searches by the configurations they find, {_metric(found)}, "
        f"{found.n_repeats} × {found.n_splits} folds, the same for all"
    ]
    for search in found.searches:
        seeds = ", ".join(map(str, search.seeds))
        lines.append(f"  {search.label:<{width}}  {estimate(search.estimate)} over seeds {seeds}")
        lines.append(f"  {'':<{width}}  {_scores(search.scores)}")
    paired = {pair.paired for pair in found.pairs}
    how = "seed by seed" if paired == {True} else "by Welch's test, since their seeds differ"
    if len(paired) > 1:
        how = "seed by seed where they have the same seeds, else by Welch's test"
    return [
        *lines,
        *(pair.sentence for pair in found.pairs),
        f"The searches are compared {how}. The intervals cover other seeds of the searches, with "
        "these training examples and folds; they do not cover other data.",
    ]


def ablation_lines(found: Ablation) -> list[str]:
    """An ablation: the base, a line for each change, and what has mattered."""
    base = found.base
    of = "the defaults" if base.trial is None else f"trial {base.trial}"
    table = [["", "score", "difference", "95% interval", "", "epoch", "time", ""]]
    table.append(["base", plus_minus(base.estimate.mean, base.estimate.std), "", "", ""])
    table[-1] += [str(base.epoch), duration(base.seconds), ""]
    for group, effects in found.groups.items():
        table.append([group_words(group)])
        for effect in effects:
            one = effect.measured
            score = "diverged" if one.diverged else plus_minus(one.estimate.mean, one.estimate.std)
            times = [str(one.epoch), duration(one.seconds)]
            row = [f"  {one.variant}", score, *difference_texts(effect), effect.verdict, *times]
            table.append([*row, effect.notes])
    tested = f", jointly for {counted(found.n_tests, 'change')}" if found.n_tests > 1 else ""
    return [
        f"{found.study}: one change at a time in {of}, {_metric(found)},",
        f"{base.n_repeats} × {base.n_splits} folds of {counted(base.n_rows, 'example')}, "
        f"{counted(base.epochs, 'epoch')}",
        *_columns(table),
        f"Differences are from the base on the same folds, with 95% intervals{tested}. Each "
        "configuration is scored at the epoch with its best mean over all these folds.",
        *findings(found),
    ]


def replay_lines(study: str, metric: str, found: Replay) -> list[str]:
    """A replay beside what is stored."""
    batch = ", ".join(map(str, found.batch))
    if found.state == "final round":
        how = "alone"
    elif len(found.batch) == 1:
        how = "trained alone, then and now"
    elif found.alone:
        how = f"then in a batch (trials {batch}), now alone: here companions make no difference"
    else:
        how = f"in the batch of trials {batch}, then and now"
    lines = [
        f"{study}: trial {found.trial} ({found.state}) again, {in_words(metric)}",
        _row("trained", how),
        _row("stored folds", "  ".join(f"{s:.6g}" for s in found.stored_scores) or "none"),
        _row("folds now", "  ".join(f"{s:.6g}" for s in found.scores) or "none"),
    ]
    if found.exact:
        curve = "the best epoch" if found.state == "final round" else "the whole learning curve"
        lines.append(_row("same", f"bit for bit, every fold and {curve}"))
    else:
        lines.append(
            _row("differs by", f"{found.difference:.3g} at most, {found.relative:.3g} relative")
        )
    lines += [_row("changed", what) for what in found.differences]
    return lines


def _columns(table: Sequence[Sequence[str]]) -> list[str]:
    """The rows of a table as lines; a row may be shorter than others."""
    columns = zip_longest(*(row for row in table if len(row) > 1), fillvalue="")
    widths = [max(map(len, column)) for column in columns]
    return [
        "  " + "  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=False)).rstrip()
        for row in table
    ]


def _row(name: str, value: str) -> str:
    return f"  {name:<{WIDTH}}{value}"


def _scores(scores: Sequence[float | None]) -> str:
    return "  ".join("diverged" if s is None else number(s) for s in scores)
