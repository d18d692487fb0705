"""A network, its ensemble and the baselines in one table, and what it says in words."""

from dataclasses import dataclass

import pandas as pd

from hw1.analysis.baselines import BASELINES
from hw1.analysis.beside import BaselineResult
from hw1.analysis.comparison import measured
from hw1.analysis.evaluation import Evaluation
from hw1.analysis.statistics import LEVEL, Estimate, PairedTest
from hw1.tasks import METRICS, TASKS
from hw1.words import counted, fixed, number

NETWORK = "this network"
ENSEMBLE = "its ensemble"


@dataclass(frozen=True)
class Standing:
    """A row of the table.

    Attributes:
        name: a baseline, `NETWORK` or `ENSEMBLE`.
        cross_validation: its scores on the folds; None for the ensemble.
        test: its score on the test examples; None if they were not scored.
        difference: see `BaselineResult`; None for the network and its ensemble.
        notes: what was not done as with the network.
    """

    name: str
    cross_validation: Estimate | None
    test: Estimate | None
    difference: PairedTest | None = None
    notes: str = ""

    @property
    def is_baseline(self) -> bool:
        """Whether it is none of the network's rows."""
        return self.name not in (NETWORK, ENSEMBLE)


def standings(found: Evaluation) -> list[Standing]:
    """The network among the baselines, the best under cross-validation first, then its ensemble."""
    part, test = found.cross_validation, found.test
    rows = [Standing(NETWORK, part.estimate if part else None, test.estimate if test else None)]
    for one in found.baselines:
        scored = one.test.estimate if one.test else None
        notes = _notes(one, len(part.scores) if part else 0)
        rows.append(
            Standing(one.name, one.cross_validation.estimate, scored, one.difference, notes)
        )
    ordered = METRICS[found.metric].best_first(rows, _mean)
    if test is not None and len(test.seeds) > 1:
        ordered.insert(ordered.index(rows[0]) + 1, Standing(ENSEMBLE, None, test.ensemble_estimate))
    return ordered


def _mean(row: Standing) -> float | None:
    return row.cross_validation.mean if row.cross_validation else None


def _notes(one: BaselineResult, n_repeats: int) -> str:
    part = one.cross_validation
    rows = f"on {counted(part.n_rows, 'example')}" if part.n_rows is not None else ""
    fewer = len(part.scores) < n_repeats
    return ", ".join(filter(None, [rows, counted(len(part.scores), "repeat") if fewer else ""]))


def left_out(found: Evaluation) -> list[str]:
    """The baselines that take too long for these data."""
    done = [one.name for one in found.baselines]
    task = next(t.name for t in TASKS.values() if METRICS[found.metric] in t.metrics)
    return [b.name(task) for b in BASELINES if done and b.name(task) not in done]


def verdict(found: Evaluation) -> str:
    """Whether the network outperforms the best baseline, in words; empty without any.

    That is asked under cross-validation, and the best one is found there. The test scores of both
    are told, too.
    """
    metric = METRICS[found.metric]
    known = [one for one in found.baselines if one.difference is not None]
    if not known:
        return ""
    best, test = known[0], known[0].difference
    assert test is not None
    difference = test.difference
    which = "lower" if difference.mean < 0 else "higher"
    by = f"{which} by {fixed(abs(difference.mean), difference.places)} {measured(test, len(known))}"
    if test.p >= 1 - LEVEL:
        start = "Chance alone may explain how the network and the best baseline"
        return f"{start}, {best.name}, differ: its {metric.words} is {by}.{_tested(best, found)}"
    is_better = metric.better(difference.mean, 0.0)
    start = "outperforms" if is_better else "does not reach"
    return (
        f"The network {start} the best baseline, {best.name}: its {metric.words} is {by}."
        + _tested(best, found)
    )


def _tested(best: BaselineResult, found: Evaluation) -> str:
    if found.test is None or best.test is None or best.test.score is None:
        return ""
    which = "its ensemble" if len(found.test.seeds) > 1 else "it"
    scores = f"{number(found.test.ensemble)}, {best.name} {number(best.test.score)}"
    return f" On the test examples, {which} scores {scores}."


def scores_table(found: Evaluation) -> pd.DataFrame:
    """An evaluation as a table: the network, its ensemble and the baselines, the best first.

    The columns ``low`` and ``high`` are the ends of 95% confidence intervals; ``difference`` is the
    network's score minus the baseline's on the same folds, with an interval and a p value that
    hold jointly for all baselines.
    """
    rows = {}
    for row in standings(found):
        parts = {"cv": row.cross_validation, "test": row.test}
        if row.difference is not None:
            parts["difference"] = row.difference.difference
        rows[row.name] = {
            f"{name}_{value}": getattr(estimate, value)
            for name, estimate in parts.items()
            if estimate is not None
            for value in ("mean", "std", "low", "high")
        } | ({"p": row.difference.p} if row.difference else {})
    columns = [f"{n}_{v}" for n in ("cv", "test") for v in ("mean", "std", "low", "high")]
    columns += [f"difference_{v}" for v in ("mean", "low", "high")] + ["p"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns, dtype=float)
