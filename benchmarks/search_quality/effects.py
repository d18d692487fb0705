"""What each choice of the wide space is worth: its effect on the test error."""

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from benchmarks.search_quality.space import OPTIMIZERS, draw
from benchmarks.search_quality.table import FUNCTIONS, OTHERS, Problem

RIDGE = 1.0
"""Of the effects: as if each value had been seen one more time without any."""
BANDS = ("low", "middle", "high")


def band(parameters: dict[str, Any], name: str) -> Any:
    """A parameter's value, of one with many values the third of its range."""
    value = parameters[name]
    adamw = parameters["optimizer"] == "adamw"
    ranges = {
        "width": (8.0, 256.0),
        "lr": OPTIMIZERS[parameters["optimizer"]][3],
        "weight_decay": (1e-4, 1.0) if adamw else (1e-6, 1e-2),
        "l1": (1e-5, 1e-2),
    }
    if name not in ranges:
        return value
    if not value:
        return "none"
    low, high = ranges[name]
    return BANDS[min(int(3 * np.log(value / low) / np.log(high / low)), 2)]


@lru_cache(maxsize=1)
def _drawn() -> list[dict[str, Any]]:
    """Enough configurations for every value to be among them."""
    return [draw(i) for i in range(200)]


def _values(name: str) -> list[Any]:
    found = {repr(band(p, name)): band(p, name) for p in _drawn()}
    order = {repr(v): i for i, v in enumerate(("none", *BANDS))}
    return [found[key] for key in sorted(found, key=lambda key: (order.get(key, 9), key))]


def effects(problems: dict[str, Problem]) -> list[dict[str, Any]]:
    """How many times the mean test error is that of each value, other parameters being equal.

    Of all configurations' errors (networks on all training rows, at the best epoch of the first
    repeat) the logarithm is a sum of effects, one a parameter, by ridge regression for each
    problem; the effects of a parameter have a mean of zero over the configurations.
    """
    by_problem: dict[str, dict[tuple[str, str], float]] = {}
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for name, problem in problems.items():
        if not problem.has_test:
            continue
        best = problem.points(problem.curves[:, 0].argmin(1) + 1)
        error = problem.test["test_seeds"][np.arange(len(best)), best].mean(1)
        good = np.isfinite(error)
        parameters = [p for p, is_good in zip(problem.parameters, good, strict=True) if is_good]
        by_problem[name] = _fit(parameters, np.log(np.maximum(error[good], 1e-12)))
        for p in parameters:
            for key in p:
                counts[key, repr(band(p, key))] += 1
    rows = []
    for key in draw(0):
        for value in _values(key):
            at = key, repr(value)
            row = {"parameter": key, "value": str(value), "n": counts[at] // len(by_problem)}
            for kind, names in (("functions", FUNCTIONS), ("others", OTHERS)):
                own = [by_problem[n][at] for n in names if n in by_problem and at in by_problem[n]]
                row[kind] = (
                    tuple(float(np.exp(v)) for v in (np.mean(own), min(own), max(own)))
                    if own
                    else (np.nan,) * 3
                )
            rows.append(row)
    return rows


def _fit(parameters: Sequence[dict[str, Any]], logs: np.ndarray) -> dict[tuple[str, str], float]:
    keys = sorted({(n, repr(band(p, n))) for p in parameters for n in p})
    place = {key: i for i, key in enumerate(keys)}
    design = np.zeros((len(parameters), len(keys)))
    for i, p in enumerate(parameters):
        for n in p:
            design[i, place[n, repr(band(p, n))]] = 1
    centered = design - design.mean(0)
    system = centered.T @ centered + RIDGE * np.eye(len(keys))
    found = np.linalg.solve(system, centered.T @ (logs - logs.mean()))
    effect = dict(zip(keys, found, strict=True))
    share = dict(zip(keys, design.mean(0), strict=True))
    for n in {n for n, _ in keys}:
        mean = sum(effect[k] * share[k] for k in keys if k[0] == n)
        effect |= {k: effect[k] - mean for k in keys if k[0] == n}
    return {k: float(v) for k, v in effect.items()}
