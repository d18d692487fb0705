"""Trials and studies as rows of a table, as JSON can hold them."""

from typing import Any

from optuna.trial import FrozenTrial, TrialState

from hw1.standings import Standings, rounds_in_words
from hw1.study import Study, state_name

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
FINAL_FIELDS = ["final_score", "final_std", "final_epoch"]
TRIAL_FIELDS = ["trial", "state", "value", *KEPT_WITH_TRIAL, *FINAL_FIELDS]


def trial_as_dict(trial: FrozenTrial, standings: Standings) -> dict[str, Any]:
    """A trial as JSON can hold it: the `TRIAL_FIELDS`, and its parameters under ``params``."""
    state, final = state_name(trial), standings.final_of(trial.number)
    scored = (final.score, final.std, final.best_epoch) if final else (None, None, None)
    return {
        "trial": trial.number,
        "state": "refused" if state == "invalid" else state,  # as in storage
        "value": trial.value if trial.state == TrialState.COMPLETE else None,
        **{name: trial.user_attrs.get(name) for name in KEPT_WITH_TRIAL},
        **dict(zip(FINAL_FIELDS, scored, strict=True)),
        "params": trial.params,
    }


def study_as_dict(study: Study) -> dict[str, Any]:
    """A stored study as JSON can hold it: what it is and how far."""
    settings, progress = study.settings, study.progress()
    counts = vars(progress).copy()
    best, standings = counts.pop("best"), counts.pop("standings")
    del counts["in_rounds"]
    final = standings.final[0] if standings.final else None
    return {
        "name": study.name,
        "definition": settings.definition,
        "part_of_nested": settings.outer_fold is not None,
        "sampler": settings.sampler,
        "metric": settings.metric,
        "state": progress.state,
        **counts,
        "best_value": best.value if best else None,
        "best_trial": best.number if best else None,
        "final_score": final.score if final else None,
        "rounds": rounds_in_words(settings.rounds),
    }
