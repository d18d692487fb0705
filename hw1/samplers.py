"""Samplers and pruners by name."""

from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, GPSampler, QMCSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hw1.errors import choose
from hw1.optuna_store.sampling import ReplayedCmaEs, carry_search_space

SAMPLERS = ("tpe", "random", "grid", "gp", "cmaes", "qmc")
PRUNERS = ("median", "percentile", "hyperband", "halving", "none")
ADAPTIVE_SAMPLERS = ("tpe", "gp", "cmaes")
"""Those that learn from the trials before."""
STARTUP_TRIALS = 3
"""Completed trials before the median and percentile pruners start. Fewer than Optuna's five,
for a mean over folds is less noisy than one run."""


def make_sampler(
    name: str, study_seed: int, number: int, previous: BaseSampler | None = None
) -> BaseSampler:
    """The sampler for one trial, seeded by the study's seed and the trial's number.

    A continued study thus goes on as if it had never stopped, where a sampler with the study's
    seed alone would suggest its first trials again. All samplers keep their state in storage;
    what the ``previous`` one has found out about the search space is carried over.
    """
    from hw1.training.keys import seed as derive_seed  # with torch, which names do not need

    seed = derive_seed(study_seed, number) % 2**32
    # A grid's cells are enqueued; what they leave open is drawn at random, too.
    sampler: BaseSampler = RandomSampler(seed=seed)
    rest: dict[str, Any] = {"independent_sampler": sampler, "warn_independent_sampling": False}
    match choose("sampler", name, SAMPLERS):
        case "tpe":
            sampler = TPESampler(seed=seed)
        case "gp":
            sampler = GPSampler(seed=seed)
        case "cmaes":
            sampler = ReplayedCmaEs(seed=seed, **rest)
        case "qmc":
            # The points of one sequence: its seed must be the same for all trials.
            sampler = QMCSampler(seed=derive_seed(study_seed) % 2**32, scramble=True, **rest)
    carry_search_space(previous, sampler)
    return sampler


def make_pruner(name: str, epochs: int) -> BasePruner:
    """The pruner of that name for learning curves of up to ``epochs`` reports."""
    # Hopeless and slow starters look alike for a while.
    warm_up = epochs // 4
    match choose("pruner", name, PRUNERS):
        case "median" | "percentile":
            percentile = 50.0 if name == "median" else 25.0
            return CurvePruner(percentile, n_startup_trials=STARTUP_TRIALS, n_warmup_steps=warm_up)
        case "hyperband":
            return HyperbandPruner(min_resource=max(1, warm_up), max_resource=epochs)
        case "halving":
            return SuccessiveHalvingPruner(min_resource=max(1, warm_up))
        case _:
            return NopPruner()


class CurvePruner(BasePruner):
    """Optuna's ``PercentilePruner`` (50: its ``MedianPruner``), among all completed trials.

    In Optuna's a trial that stopped early is missing from the later percentiles, which are then
    those of the survivors; here its best report stands for it. Optuna's goes through all completed
    trials in every epoch of every trial; this one keeps their curves, of one study, and looks only
    at trials that were not complete before.

    Args:
        percentile: of the completed trials' reports, best first, that a trial's best is to reach.
        n_startup_trials: completed trials before it starts.
        n_warmup_steps: steps of a trial before it starts.
    """

    def __init__(self, percentile: float, *, n_startup_trials: int, n_warmup_steps: int) -> None:
        self.percentile = percentile
        self.n_startup_trials = n_startup_trials
        self.n_warmup_steps = n_warmup_steps
        # Of all completed trials: the reports by step, and when each ended with which best one.
        self._reports: dict[int, list[float]] = {}
        self._ended: list[tuple[int, float]] = []
        self._limits: dict[int, float] = {}  # by step, the percentile of these
        self._n_seen = 0
        self._unfinished: list[int] = []

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether the trial's best report so far is worse than the percentile at its step."""
        step = trial.last_step
        if step is None or step < self.n_warmup_steps:
            return False
        maximize = study.direction == StudyDirection.MAXIMIZE
        self._read(study, np.fmax.reduce if maximize else np.fmin.reduce)
        if len(self._ended) < max(self.n_startup_trials, 1):
            return False
        reports = np.array(list(trial.intermediate_values.values()), dtype=float)
        if np.isnan(reports).all():
            return True
        if step not in self._limits:
            ended = [best for last, best in self._ended if last < step]
            others = np.array([*self._reports.get(step, []), *ended], dtype=float)
            percentile = 100 - self.percentile if maximize else self.percentile
            nothing = np.isnan(others).all()
            self._limits[step] = np.nan if nothing else float(np.nanpercentile(others, percentile))
        # Nothing is beyond what is no number.
        if maximize:
            return bool(np.nanmax(reports) < self._limits[step])
        return bool(np.nanmin(reports) > self._limits[step])

    def _read(self, study: optuna.Study, best: Callable[[list[float]], Any]) -> None:
        """Take in the curves of the trials that have completed since."""
        trials = study.get_trials(deepcopy=False)
        candidates = [*self._unfinished, *range(self._n_seen, len(trials))]
        self._n_seen, self._unfinished = len(trials), []
        for number in candidates:
            other = trials[number]
            if not other.state.is_finished():
                self._unfinished.append(number)
            elif other.state == TrialState.COMPLETE:
                self._limits.clear()
                curve = other.intermediate_values
                if curve:
                    self._ended.append((max(curve), float(best(list(curve.values())))))
                else:
                    self._ended.append((0, np.nan))
                for step, value in curve.items():
                    self._reports.setdefault(step, []).append(value)
