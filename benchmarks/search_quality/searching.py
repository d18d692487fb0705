"""A search, replayed from the learning curves of a pool of configurations.

Errors are least for the best. A trial is the number of a configuration in the pool.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

STARTUP_TRIALS = 3
"""Completed trials before the median and percentile pruners start, as in hw1."""


def smooth(curves: np.ndarray, window: int) -> np.ndarray:
    """The mean of each point and its neighbours, ``window`` of them, fewer at both ends.

    Args:
        curves: ``(..., epochs)``; what is infinite makes its neighbours so.
        window: odd; 1 changes nothing.
    """
    if window == 1:
        return curves
    n, half = curves.shape[-1], window // 2
    usual = np.where(np.isfinite(curves), curves, 0)
    sums = np.concatenate([np.zeros((*curves.shape[:-1], 1)), usual.cumsum(-1)], -1)
    bad = np.concatenate([np.zeros((*curves.shape[:-1], 1)), (~np.isfinite(curves)).cumsum(-1)], -1)
    low = np.maximum(np.arange(n) - half, 0)
    high = np.minimum(np.arange(n) + half + 1, n)
    means = (sums[..., high] - sums[..., low]) / (high - low)
    found: np.ndarray = np.where(bad[..., high] > bad[..., low], np.inf, means)
    return found


def values(curves: np.ndarray, rule: str, window: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The value of each curve and the epoch (from 1) to which its network is trained.

    Args:
        curves: ``(..., epochs)``.
        rule: "least", of the curve smoothed by ``window``; or "last", the mean of the last
            ``window`` epochs.
    """
    if rule == "last":
        epochs = np.full(curves.shape[:-1], curves.shape[-1])
        return curves[..., -window:].mean(-1), epochs
    smoothed = smooth(curves, window)
    return smoothed.min(-1), smoothed.argmin(-1) + 1


def prune(curves: np.ndarray, pruner: str) -> np.ndarray:
    """How many epochs each trial of a search is trained, one trial after another.

    Args:
        curves: ``(n_trials, epochs)`` in the order of the trials.
        pruner: "none", "median", "percentile" (25) or "halving", as `hw1.samplers` makes them.

    Returns:
        ``(n_trials,)``; a trial with all epochs is complete.
    """
    n_trials, epochs = curves.shape
    warm_up = epochs // 4
    lengths = np.full(n_trials, epochs)
    if pruner == "none":
        return lengths
    if pruner == "halving":
        at = max(1, warm_up) - 1
        for i in range(n_trials):
            promoted = max((i + 1) // 4 - 1, 0)
            if curves[i, at] > np.sort(curves[: i + 1, at])[promoted]:
                lengths[i] = at + 1
        return lengths
    percentile = {"median": 50.0, "percentile": 25.0}[pruner]
    best = np.minimum.accumulate(curves, axis=1)
    complete: list[int] = []
    limits = np.full(epochs, np.inf)
    # The last epoch prunes nothing, and epochs are counted from 1.
    looked_at = slice(max(warm_up, 1) - 1, epochs - 1)
    for i in range(n_trials):
        hopeless = best[i, looked_at] > limits[looked_at]
        if len(complete) >= STARTUP_TRIALS and hopeless.any():
            lengths[i] = looked_at.start + int(hopeless.argmax()) + 1
        else:
            complete.append(i)
            with np.errstate(invalid="ignore"):
                limits = np.percentile(curves[complete], percentile, axis=0)
            limits[np.isnan(limits)] = np.inf
    return lengths


@dataclass(frozen=True)
class Found:
    """What a search has found.

    Attributes:
        trial: the winner.
        epoch: to which its network is trained, from 1.
        epochs_trained: of all trials and repeats, in complete trials.
        best: the complete trials, best first.
    """

    trial: int
    epoch: int
    epochs_trained: float
    best: np.ndarray


def search(
    trials: np.ndarray,
    curves: np.ndarray,
    *,
    pruner: str = "none",
    rule: str = "least",
    window: int = 1,
    best_of: int = 1,
    rounds: int = 0,
) -> Found:
    """A search over some trials, in their order.

    Args:
        trials: numbers of configurations.
        curves: ``(n_configurations, n_repeats, epochs)``; trials see the first repeat.
        pruner: see `prune`.
        rule, window: see `values`.
        best_of: how many of the best trials are cross-validated again.
        rounds: by how many other repeats; the winner has the best value of the mean curve over
            all of them.
    """
    lengths = prune(curves[trials, 0], pruner)
    epochs = curves.shape[2]
    complete = trials[lengths == epochs]
    value, epoch = values(curves[complete, 0], rule, window)
    order = np.argsort(value, kind="stable")
    trained = lengths.sum() / epochs
    best = complete[order]
    if not rounds:
        return Found(int(best[0]), int(epoch[order[0]]), float(trained), best)
    again = best[:best_of]
    value, epoch = values(curves[again, : rounds + 1].mean(1), rule, window)
    winner = int(value.argmin())
    trained += rounds * len(again)
    return Found(int(again[winner]), int(epoch[winner]), float(trained), best)


class Space:
    """The pool's parameters as numbers from 0 to 1 and as choices, for distances and samplers.

    Args:
        parameters: of each configuration.
        numbers: of which parameters numbers are to be made, and how.
    """

    def __init__(
        self,
        parameters: Sequence[dict[str, Any]],
        numbers: dict[str, Callable[[dict[str, Any]], float]],
    ) -> None:
        names = list(parameters[0])
        self.points: list[dict[str, Any]] = [
            {n: numbers[n](p) if n in numbers else repr(p.get(n)) for n in names}
            for p in parameters
        ]
        self.distributions: dict[str, BaseDistribution] = {}
        for name in names:
            own = [point[name] for point in self.points]
            self.distributions[name] = (
                FloatDistribution(0.0, 1.0)
                if name in numbers
                else CategoricalDistribution(sorted(set(own)))
            )
        self.names = names
        self._matrix = np.array([[self._code(n, p[n]) for n in names] for p in self.points])
        self._is_number = np.array([n in numbers for n in names])

    def _code(self, name: str, value: Any) -> float:
        distribution = self.distributions[name]
        if isinstance(distribution, CategoricalDistribution):
            return float(distribution.choices.index(value))
        return float(value)

    def distances(self, point: dict[str, Any]) -> np.ndarray:
        """Of all configurations: the root mean square over parameters; 1 for another choice."""
        apart = self._matrix - np.array([self._code(n, point[n]) for n in self.names])
        apart = np.where(self._is_number, apart, apart != 0)
        found: np.ndarray = np.sqrt((apart**2).mean(1))
        return found


def tpe(space: Space, value: np.ndarray, n_trials: int, seed: int) -> tuple[np.ndarray, float]:
    """Trials that Optuna's TPE asks for, each the nearest one of the pool that was not tried.

    TPE is told what was trained in place of its suggestion, so it learns from nothing but the
    truth; but what it asks for is not what it gets.

    Returns:
        ``(n_trials,)``, and the mean distance between suggestions and answers after the random
        ones at the start.
    """
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    finite = value[np.isfinite(value)]
    worst = finite.max()
    trials: list[int] = []
    distances = []
    for i in range(n_trials):
        asked = study.ask(space.distributions)
        apart = space.distances(asked.params)
        apart[trials] = np.inf
        nearest = int(apart.argmin())
        if i >= 10:
            distances.append(apart[nearest])
        trials.append(nearest)
        # What was asked for is left out of the study, what was trained is in it.
        study.tell(asked, state=optuna.trial.TrialState.FAIL)
        study.add_trial(
            optuna.trial.create_trial(
                params=space.points[nearest],
                distributions=space.distributions,
                value=float(min(value[nearest], worst)),
            )
        )
    return np.array(trials), float(np.mean(distances)) if distances else np.nan
