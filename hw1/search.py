"""Samplers and pruners by name."""

from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)

from hw1.errors import choose
from hw1.training.keys import seed as derive_seed

SAMPLERS = ("tpe", "random", "grid", "gp", "cmaes", "qmc")
PRUNERS = ("median", "percentile", "hyperband", "halving", "none")
ADAPTIVE_SAMPLERS = ("tpe", "gp", "cmaes")
"""Those that learn from the trials before."""
STARTUP_TRIALS = 3
"""Completed trials before the median and percentile pruners start. Fewer than Optuna's five,
for a mean over folds is less noisy than one run."""


def make_sampler(name: str, study_seed: int, number: int) -> BaseSampler:
    """The sampler for one trial, seeded by the study's seed and the trial's number.

    A continued study thus goes on as if it had never stopped, where a sampler with the study's
    seed alone would suggest its first trials again. All samplers keep their state in storage.
    """
    seed = derive_seed(study_seed, number) % 2**32
    random = RandomSampler(seed=seed)
    match choose("sampler", name, SAMPLERS):
        case "tpe":
            return TPESampler(seed=seed)
        case "gp":
            return GPSampler(seed=seed)
        case "cmaes":
            return CmaEsSampler(
                seed=seed, independent_sampler=random, warn_independent_sampling=False
            )
        case "qmc":
            # The points of one sequence: its seed must be the same for all trials.
            return QMCSampler(
                seed=derive_seed(study_seed) % 2**32,
                scramble=True,
                independent_sampler=random,
                warn_independent_sampling=False,
            )
        case _:  # a grid's cells are enqueued; what they leave open is drawn at random
            return random


def make_pruner(name: str, epochs: int) -> BasePruner:
    """The pruner of that name for learning curves of up to ``epochs`` reports."""
    # Hopeless and slow starters look alike for a while.
    warm_up = epochs // 4
    match choose("pruner", name, PRUNERS):
        case "median":
            return MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=warm_up)
        case "percentile":
            return PercentilePruner(25.0, n_startup_trials=STARTUP_TRIALS, n_warmup_steps=warm_up)
        case "hyperband":
            return HyperbandPruner(min_resource=max(1, warm_up), max_resource=epochs)
        case "halving":
            return SuccessiveHalvingPruner(min_resource=max(1, warm_up))
        case _:
            return NopPruner()
