"""Trials and studies as rows of a table, as JSON can hold them."""

from typing import Any

from optuna.trial import FrozenTrial, TrialState

from hw1.study import Study, is_refused, state_name

KEPT_WITH_TRIAL = [
    "std",
    "fold_scores",
    "best_epoch",
    "epochs",
    "stopped",
    "seconds",
    "n_parameters",
    "device",
    "refused",
    "failure",
]
TRIAL_FIELDS = ["trial", "state", "value", *KEPT_WITH_TRIAL]


def trial_as_dict(trial: FrozenTrial) -> dict[str, Any]:
    """A trial as JSON can hold it: the `TRIAL_FIELDS`, and its parameters under ``params``."""
    return {
        "trial": trial.number,
        "state": "refused" if is_refused(trial) else state_name(trial),
        "value": trial.value if trial.state == TrialState.COMPLETE else None,
        **{name: trial.user_attrs.get(name) for name in KEPT_WITH_TRIAL},
        "params": trial.params,
    }


def study_as_dict(study: Study) -> dict[str, Any]:
    """A stored study as JSON can hold it: what it is and how far."""
    settings, progress = study.settings, study.progress()
    return {
        "name": study.name,
        "definition": settings.definition,
        "part_of_nested": settings.outer_fold is not None,
        "sampler": settings.sampler,
        "metric": settings.metric,
        "state": progress.state,
        "n_trials": progress.n_trials,
        "done": progress.done,
        "running": progress.running,
        "completed": progress.completed,
        "pruned": progress.pruned,
        "failed": progress.failed,
        "interrupted": progress.interrupted,
        "refused": progress.refused,
        "best_value": progress.best.value if progress.best else None,
        "best_trial": progress.best.number if progress.best else None,
    }
