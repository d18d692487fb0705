"""A search, replayed from the learning curves of a pool of configurations.

Errors are least for the best. A trial is the number of a configuration in the pool.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution

from hw1.samplers import make_sampler

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


class Pool:
    """Configurations of a search space, from which a sampler's suggestions are answered.

    Args:
        parameters: of each configuration.
        distributions: of the parameters.
    """

    def __init__(
        self, parameters: Sequence[dict[str, Any]], distributions: dict[str, BaseDistribution]
    ) -> None:
        self.parameters, self.distributions = parameters, distributions
        self._matrix = np.array([self._codes(p) for p in parameters])
        self._is_choice = np.array(
            [isinstance(d, CategoricalDistribution) for d in distributions.values()]
        )

    def _codes(self, parameters: dict[str, Any]) -> list[float]:
        return [_code(d, parameters[name]) for name, d in self.distributions.items()]

    def distances(self, parameters: dict[str, Any]) -> np.ndarray:
        """Of all configurations: the root mean square over parameters, whose ranges have a length
        of 1; another choice is 1 away."""
        apart = self._matrix - np.array(self._codes(parameters))
        apart = np.where(self._is_choice, apart != 0, apart)
        found: np.ndarray = np.sqrt((apart**2).mean(1))
        return found


def _code(distribution: Any, value: Any) -> float:
    if isinstance(distribution, CategoricalDistribution):
        return float(distribution.choices.index(value))
    low, high, value = map(
        np.log if distribution.log else float, (distribution.low, distribution.high, value)
    )
    return float((value - low) / (high - low))


def sample(
    pool: Pool, value: np.ndarray, sampler: str, seed: int, n_trials: int, batch: int = 1
) -> tuple[np.ndarray, float]:
    """Trials that a sampler suggests, each replaced by the nearest of the pool that was not tried.

    The sampler is told what was trained in place of its suggestion, so that its history is
    correct; but it does not get quite what it suggests.

    Args:
        pool: the configurations; the first one is the study's default, the first trial.
        value: of each configuration.
        sampler: a name in `hw1.samplers.SAMPLERS`.
        seed: of the study.
        n_trials: how many are suggested.
        batch: how many are suggested before their values are known.

    Returns:
        ``(n_trials,)``, and the mean distance between suggestions and answers.
    """
    study = optuna.create_study()
    worst = value[np.isfinite(value)].max()
    trials, distances = list[int](), list[float]()
    running: list[tuple[optuna.Trial, int]] = []

    def tell() -> None:
        for trial, nearest in running:
            # The suggestion leaves the study, and what was trained enters it.
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            study.add_trial(
                optuna.trial.create_trial(
                    params=pool.parameters[nearest],
                    distributions=pool.distributions,
                    value=float(min(value[nearest], worst)),
                )
            )
        running.clear()

    while len(trials) < n_trials:
        if trials:
            previous = study.sampler if trials[1:] else None
            study.sampler = make_sampler(sampler, seed, len(trials), previous)
            suggested = study.ask(pool.distributions)
            apart = pool.distances(suggested.params)
            apart[trials] = np.inf
            nearest = int(apart.argmin())
            distances.append(apart[nearest])
        else:
            study.enqueue_trial(pool.parameters[0])
            suggested, nearest = study.ask(pool.distributions), 0
        trials.append(nearest)
        running.append((suggested, nearest))
        if len(running) >= batch:
            tell()
    return np.array(trials), float(np.mean(distances)) if distances else np.nan
