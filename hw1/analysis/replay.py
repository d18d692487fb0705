"""Training a stored trial again, to see whether the same comes out."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hw1.analysis.results import StudyResults
from hw1.analysis.training import cross_validate_again, cross_validate_final
from hw1.cross_validation import scored_epoch
from hw1.errors import InputError
from hw1.objective import backend_of
from hw1.provenance import differences, provenance
from hw1.study import state_name
from hw1.training.threads import torch_threads
from hw1.watching import UNWATCHED, Watcher


@dataclass(frozen=True)
class Replay:
    """A stored trial beside the same one trained again.

    Attributes:
        trial: its number.
        state: completed or pruned, or final round.
        stored_scores, scores: of the folds at the best epoch.
        exact: whether all scores and the whole mean validation curve are the same, bit for bit.
        difference: the largest absolute difference in the mean validation curve and the scores.
        relative: the same as a part of the stored number.
        batch: the trials that were trained together, now as then.
        alone: whether the trial was trained by itself now, because with that backend
            companions make no difference.
        differences: what is not as it was; empty if nothing is known to have changed.
        provenance: what it was trained with, as stored; None for trials of older versions.
    """

    trial: int
    state: str
    stored_scores: list[float]
    scores: list[float]
    exact: bool
    difference: float
    relative: float
    batch: list[int]
    alone: bool
    differences: list[str]
    provenance: dict[str, Any] | None


def replay(results: StudyResults, number: int, *, watcher: Watcher = UNWATCHED) -> Replay:
    """Train a stored trial again on the study's folds, from its own seeds.

    Models that are trained each by itself do not depend on their batch, and the trial is then
    trained alone; where they share operations, the whole batch is trained again.

    See `replay_final_round` for what a trial scores in the final round.

    Raises:
        InputError: there is no such trial, or it was neither completed nor pruned.
    """
    trial = results.trial(number, pruned=True)
    attributes = trial.user_attrs
    stored = attributes.get("provenance")
    batch = attributes.get("batch", [number])
    alone = backend_of(attributes) != "stacked"
    trials = [results.trial(n, pruned=True) for n in ([number] if alone else batch)]
    threads = stored["threads"] if stored else torch.get_num_threads()
    with torch_threads(threads):
        found = cross_validate_again(
            results, trials, watcher=watcher, precision=attributes["precision"]
        )[number]
        now = provenance(results.job.device)
    curve = found.curves.mean(1)
    before = np.array([trial.intermediate_values.get(i + 1, math.nan) for i in range(len(curve))])
    old = np.concatenate([before, attributes.get("fold_scores", [])])
    scores = found.fold_scores.tolist() if "fold_scores" in attributes else []
    new = np.concatenate([curve, scores])
    gap = np.where(old == new, 0.0, np.abs(old - new))
    gap[np.isnan(old) & np.isnan(new)] = 0.0
    changed = differences(stored, now) if stored else ["what it was trained with is not stored"]
    was = attributes | {"backend": backend_of(attributes)}
    trained = {
        "device": str(results.dataset.inputs.device),
        "backend": found.backend,
        "precision": found.precision,
        "epochs": len(found.curves),
    }
    changed += [
        f"{name} {value}, was {was[name]}" for name, value in trained.items() if was[name] != value
    ]
    return Replay(
        trial=number,
        state=state_name(trial),
        stored_scores=attributes.get("fold_scores", []),
        scores=scores,
        exact=bool((gap == 0).all()),
        difference=float(gap.max()),
        relative=float((gap / np.where(old == 0, 1, np.abs(old))).max()),
        batch=batch,
        alone=alone,
        differences=changed,
        provenance=stored,
    )


def replay_final_round(
    results: StudyResults, number: int, *, watcher: Watcher = UNWATCHED
) -> Replay:
    """Cross-validate a trial again on the folds of the final round, from its own seeds.

    It is trained alone, which makes a difference in the last bits at most, and on a CPU none.

    Raises:
        InputError: there is no such trial, or it has no score in the final round.
    """
    trial = results.trial(number)
    entry = results.final(trial)
    if entry is None:
        raise InputError(
            f"trial {number} of {results.name!r} has no score in a final round: choose one that "
            "has, as `trials` shows them, or leave --final-round out"
        )
    stored = entry.trained["provenance"]
    with torch_threads(stored["threads"]):
        curves, backend, precision = cross_validate_final(
            results, trial, watcher=watcher, precision=entry.trained["precision"]
        )
        now = provenance(results.job.device)
    scores = curves[:, entry.best_epoch - 1].ravel()
    old, gap = np.array(entry.every_score), np.abs(scores - np.array(entry.every_score))
    checkpoint = results.tuned(trial)[0].checkpoint
    epoch, _ = scored_epoch(curves.mean((0, 2)), results.metric, checkpoint)
    changed = differences(stored, now)
    for name, value, was in (
        ("backend", backend, entry.trained["backend"]),
        ("precision", precision, entry.trained["precision"]),
        ("best epoch", epoch, entry.best_epoch),
    ):
        changed += [f"{name} {value}, was {was}"] if value != was else []
    return Replay(
        trial=number,
        state="final round",
        stored_scores=entry.every_score,
        scores=scores.tolist(),
        exact=bool((gap == 0).all()) and epoch == entry.best_epoch,
        difference=float(gap.max()),
        relative=float((gap / np.where(old == 0, 1, np.abs(old))).max()),
        batch=[number],
        alone=True,
        differences=changed,
        provenance=stored,
    )
