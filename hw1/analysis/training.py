"""Training the configuration of a trial again: on all training data, and on other folds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from optuna.trial import FrozenTrial
from torch import Tensor

from hw1.analysis.kept import KeptNetworks
from hw1.analysis.network import Network
from hw1.analysis.results import StudyResults
from hw1.analysis.results import configuration as searched
from hw1.cross_validation import CrossValidation, Splits, cross_validate
from hw1.datasets import Dataset
from hw1.rounds import cross_validate_round, round_data
from hw1.training import Configuration
from hw1.training.keys import seed as derive_seed
from hw1.training.lockstep import Lockstep
from hw1.training.precision import Precision, choose_precision
from hw1.watching import UNWATCHED, Watcher

# The last of the numbers that a seed is derived from; see `hw1.cross_validation`.
RETRAINING, EVALUATION = 3, 4


@dataclass(frozen=True, eq=False)
class Retrained:
    """Networks of one configuration that were trained on all training data, each from its own seed.

    Attributes:
        epochs: to which they were trained: the trial's best one.
        configuration: with which they were.
        seeds: one a network.
        networks: the trained networks.
        initial: the same before training.
    """

    epochs: int
    configuration: Configuration
    seeds: list[int]
    networks: list[Network]
    initial: list[Network]


def retrain(
    results: StudyResults,
    trial: FrozenTrial,
    n_seeds: int = 1,
    *,
    again: bool = False,
    watcher: Watcher = UNWATCHED,
) -> Retrained:
    """Train a trial's configuration on all training examples, to its best epoch, in lockstep.

    That of the final round if it took part; see `hw1.analysis.results.StudyResults.tuned`. What is
    kept of an earlier call is not trained again; see `hw1.analysis.kept`.

    Args:
        trial: with a value.
        n_seeds: the number of networks.
        again: whether all are trained, those that are kept, too.
    """
    results.footprint(trial)  # says so if it is damaged
    configuration, epochs = results.tuned(trial)
    kept = KeptNetworks(results, configuration, epochs)
    seeds = [
        derive_seed(results.settings.seed, trial.number, i, RETRAINING) for i in range(n_seeds)
    ]
    rows = [torch.arange(len(results.dataset))] * n_seeds
    models = _lockstep(results, configuration, results.dataset, rows, seeds, watcher)
    initial = [Network.of(models, i) for i in range(n_seeds)]
    missing = [i for i in range(n_seeds) if again or not kept.restore(models, i, seeds[i])]
    networks = {i: Network.of(models, i) for i in range(n_seeds) if i not in missing}
    if missing:
        models.keep(missing)
        what = "network" if len(missing) == 1 else f"{len(missing)} networks"
        of = [seeds[i] for i in missing]
        _train(models, kept, f"retraining {what} on all training data", watcher, of)
        networks |= {i: Network.of(models, place) for place, i in enumerate(missing)}
        kept.keep(models, of)
    return Retrained(epochs, configuration, seeds, [networks[i] for i in range(n_seeds)], initial)


def score_folds(
    results: StudyResults,
    trial: FrozenTrial,
    repeats: Sequence[tuple[int, Splits]],
    seed: int,
    *,
    watcher: Watcher = UNWATCHED,
) -> tuple[list[list[float]], list[Network]]:
    """Scores on folds after training to the trial's best epoch: no fold has a say in it.

    Args:
        trial: with a value.
        repeats: the number and the folds of each repeat; all have as many folds.
        seed: of the networks, together with the trial and the repeat.

    Returns:
        ``(n_repeats, n_splits)``, NaN for a network that diverged; and the networks of the first of
        these repeats, one a fold.
    """
    n_splits = repeats[0][1].n_splits
    configuration, epochs = results.tuned(trial)
    seeds = [
        derive_seed(seed, trial.number, repeat, fold, EVALUATION)
        for repeat, _ in repeats
        for fold in range(n_splits)
    ]
    rows = [r for _, splits in repeats for r in splits.training_rows()]
    validation = [r for _, splits in repeats for r in splits.validation_rows()]
    models = _lockstep(results, configuration, results.dataset, rows, seeds, watcher, validation)
    first, last = repeats[0][0] + 1, repeats[-1][0] + 1
    which = f"repeat {first}" if first == last else f"repeats {first} to {last}"
    kept = KeptNetworks(results, configuration, epochs)
    _train(models, kept, f"cross-validation, {which}, {n_splits} folds", watcher, seeds)
    scores: list[list[float]] = models.validate().view(len(repeats), -1).tolist()
    return scores, [Network.of(models, fold) for fold in range(n_splits)]


def cross_validate_again(
    results: StudyResults,
    trials: Sequence[FrozenTrial],
    *,
    watcher: Watcher = UNWATCHED,
    keep_models: bool = False,
    precision: Precision | None = None,
) -> dict[int, CrossValidation]:
    """Train trials again as the study did, in one batch, each to the epoch at which it ended."""
    for trial in trials:
        results.footprint(trial)  # says so if it is damaged
    ends = {trial.number: int(trial.user_attrs["epochs"]) for trial in trials}

    def report(epoch: int, means: object) -> list[int]:
        watcher.say(f"training {_named(ends)} again, epoch {epoch} of {max(ends.values())}")
        return [n for n, end in ends.items() if epoch == end]

    return dict(
        cross_validate(
            results.definition.model,
            {trial.number: searched(trial) for trial in trials},
            results.search_data,
            results.study.splits(),
            seed=results.settings.seed,
            report=report,
            precision=precision or precision_of(results),
            metric=results.metric,
            keep_models=keep_models,
            on_step=watcher.on_step,
        )
    )


def cross_validate_final(
    results: StudyResults,
    trial: FrozenTrial,
    *,
    watcher: Watcher = UNWATCHED,
    precision: Precision | None = None,
) -> tuple[np.ndarray, str, Precision]:
    """Train a trial again as the final round did, alone.

    Returns:
        The scores ``(n_repeats, n_epochs, n_splits)``, and the backend and precision of training.
    """
    settings = results.settings
    number, last = len(settings.rounds) - 1, settings.rounds[-1]
    dataset = round_data(results.dataset, last, settings.seed, number)
    curves = []
    for repeat in range(last.repeats):
        watcher.say(f"training trial {trial.number} again, repeat {repeat + 1} of {last.repeats}")
        ((_, found),) = cross_validate_round(
            settings,
            results.definition,
            dataset,
            (number, repeat),
            {trial.number: results.tuned(trial)[0]},
            report=lambda epoch, means: (),
            precision=precision or precision_of(results),
            on_step=watcher.on_step,
        )
        curves.append(found.curves)
    common = min(map(len, curves))
    return np.stack([curve[:common] for curve in curves]), found.backend, found.precision


def fold_networks(
    results: StudyResults, trial: FrozenTrial, state: list[dict[str, Tensor]]
) -> list[Network]:
    """The network of each of the study's folds, from the state that a cross-validation kept."""
    rows = results.study.splits().training_rows()
    seeds = list(range(len(rows)))
    models = _lockstep(results, searched(trial), results.search_data, rows, seeds, UNWATCHED)
    models.restore(state)
    return [Network.of(models, i) for i in range(len(rows))]


def _lockstep(
    results: StudyResults,
    configuration: Configuration,
    dataset: Dataset,
    rows: Sequence[Tensor],
    seeds: Sequence[int],
    watcher: Watcher,
    validation_rows: Sequence[Tensor] | None = None,
) -> Lockstep:
    return Lockstep(
        results.definition.model,
        [configuration] * len(rows),
        dataset,
        rows,
        seeds,
        validation_rows=validation_rows,
        metric=results.metric,
        precision=precision_of(results),
        on_step=watcher.on_step,
    )


def _train(
    models: Lockstep, kept: KeptNetworks, what: str, watcher: Watcher, seeds: Sequence[int]
) -> None:
    kept.train(models, lambda n: watcher.say(f"{what}: epoch {n} of {kept.epochs}"), what, *seeds)


def precision_of(results: StudyResults) -> Precision:
    return results.job.precision or choose_precision(results.job.device)


def _named(numbers: dict[int, int]) -> str:
    return f"trial {next(iter(numbers))}" if len(numbers) == 1 else f"{len(numbers)} trials"
