"""The network that a search returns, over many seeds: test error, honest score, cost."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.search_quality.searching import Found, Pool, sample, search, values
from benchmarks.search_quality.space import STUDY
from benchmarks.search_quality.table import REPEATS, Problem


@dataclass(frozen=True)
class Option:
    """How to search, and which network or ensemble the search returns.

    Attributes:
        label: as tables show it.
        n_trials: of the search.
        sampler: a name in `hw1.samplers.SAMPLERS`, but the grid.
        batch: how many trials are suggested at a time.
        default: whether the first trial is the study's default configuration.
        settings: keyword arguments of `searching.search`.
        intervals: whether trials are also scored on folds that are intervals, where there are any:
            the value is the mean over both kinds.
        networks: "network", one that was trained on all training rows from one seed (the mean over
            seeds); "seeds", their ensemble; "folds", the ensemble of the search's own networks.
        members: how many of the best trials have a part in the ensemble.
    """

    label: str
    n_trials: int = 30
    sampler: str = "random"
    batch: int = 1
    default: bool = True
    settings: dict[str, Any] = field(default_factory=lambda: {"rule": "last"})
    intervals: bool = False
    networks: str = "network"
    members: int = 1


@dataclass(frozen=True)
class Played:
    """Of each seed ``(n_seeds,)``; NaN where there is no such thing.

    Attributes:
        test: the error on test rows.
        honest: the cross-validated error in repeats that had no say in the choice, with the epoch
            that was chosen.
        gaps: the same on folds that are intervals.
        cost: in complete trials.
        distance: with another sampler than random, between suggestions and the configurations of
            the table that replace them.
    """

    test: np.ndarray
    honest: np.ndarray
    gaps: np.ndarray
    cost: np.ndarray
    distance: np.ndarray


def play(problem: Problem, option: Option, n_seeds: int) -> Played:
    """Replay a search from many seeds.

    A seed decides the order of the configurations and which repeat of the folds the search sees,
    in the same way for all options.
    """
    usual = REPEATS if option.members == 1 else 1  # outputs are kept of the first repeat alone
    pool = None
    if option.sampler != "random":
        distributions = {name: one.distribution for name, one in STUDY.parameters.items()}
        pool = Pool(problem.parameters, distributions)
    rows = [_play(problem, option, pool, seed, usual) for seed in range(n_seeds)]
    return Played(*np.array(rows, float).T)


def _play(
    problem: Problem, option: Option, pool: Pool | None, seed: int, n_first: int
) -> tuple[float, float, float, float, float]:
    generator = np.random.default_rng(seed)
    # The first configuration is the default.
    order = 1 + generator.permutation(len(problem.numbers) - 1)
    first = int(generator.integers(n_first))
    roles = [first, *(r for r in generator.permutation(REPEATS) if r != first)]
    curves = problem.curves[:, roles]
    if option.intervals and problem.curves.shape[1] > REPEATS:
        curves = np.concatenate(
            [(curves[:, :1] + problem.curves[:, REPEATS:]) / 2, curves[:, 1:]], 1
        )
    distance = np.nan
    if pool is None:
        trials = np.array([0, *order] if option.default else order)[: option.n_trials]
    else:
        settings = {k: v for k, v in option.settings.items() if k in ("rule", "window")}
        value, _ = values(curves[:, 0], **{"rule": "least", **settings})
        trials, distance = sample(pool, value, option.sampler, seed, option.n_trials, option.batch)
    found = search(trials, curves, **option.settings)
    unused = roles[1 + option.settings.get("rounds", 0) :]
    at = found.epoch - 1
    honest = problem.curves[found.trial, unused, at].mean() if unused else np.nan
    has_intervals = problem.curves.shape[1] > REPEATS
    gaps = problem.curves[found.trial, REPEATS, at] if has_intervals else np.nan
    return _test_error(problem, option, found, first), honest, gaps, found.epochs_trained, distance


def _test_error(problem: Problem, option: Option, found: Found, first: int) -> float:
    """Of the network or ensemble that is returned; the worst of the table if it has diverged."""
    if not problem.has_test:
        return np.nan
    point = int(problem.points(np.array(found.epoch)))
    test = problem.test
    if option.members > 1:
        kind = ["folds", "seeds"].index(option.networks)
        at = 1 if option.settings.get("rule") == "last" else 0
        outputs = test["test_outputs"][found.best[: option.members], kind, at]
        error = _error(problem, outputs.astype(float).mean(0))
    elif option.networks == "network":
        error = test["test_seeds"][found.trial, point].mean()
    elif option.networks == "seeds":
        error = test["test_seed_ensembles"][found.trial, point]
    else:
        error = test["test_fold_ensembles"][found.trial, point, first]
    worst: float = np.nanmax(test["test_seeds"][:, -1])
    return float(error) if np.isfinite(error) else worst


def _error(problem: Problem, outputs: np.ndarray) -> float:
    assert problem.targets is not None
    if problem.targets.ndim == 1:
        return float((outputs.argmax(1) != problem.targets).mean())
    return float(((outputs - problem.targets) ** 2).mean())


def ratio(played: Sequence[np.ndarray], base: Sequence[np.ndarray]) -> tuple[float, float, float]:
    """Errors relative to others: the geometric mean over seeds and problems, and the range of the
    problems' own. Each argument has ``(n_seeds,)`` of each problem."""
    logs = [
        np.log(np.maximum(a, 1e-12)).mean() - np.log(np.maximum(b, 1e-12)).mean()
        for a, b in zip(played, base, strict=True)
        if np.isfinite(a).all() and np.isfinite(b).all()
    ]
    if not logs:
        return np.nan, np.nan, np.nan
    return float(np.exp(np.mean(logs))), float(np.exp(min(logs))), float(np.exp(max(logs)))
