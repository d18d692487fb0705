"""Configurations under control: trained on the same folds, from the same seeds, and stored."""

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hw1.analysis.results import StudyResults
from hw1.analysis.scores import finite, fits
from hw1.analysis.statistics import Estimate, cross_validated
from hw1.analysis.training import EVALUATION, precision_of
from hw1.analysis.variants import RATE_STEP, Variant
from hw1.cross_validation import CrossValidation, Splits, cross_validate, scored_epoch
from hw1.datasets import Dataset
from hw1.errors import ArchitectureError, InputError
from hw1.provenance import provenance
from hw1.training import Configuration
from hw1.training.keys import seed as derive_seed
from hw1.training.lockstep import State
from hw1.training.networks import footprint
from hw1.watching import Watcher

MOST_EPOCHS = 100
"""Of a learning curve that is stored."""
AT_ONCE = 8
"""Configurations that are trained together, of networks that are small enough to gain by it."""
RATE_REPEAT = 2**20
"""The repeat whose folds choose learning rates: no evaluation comes to it."""
MOST_RATES = 6
"""Learning rates that are tried for an optimizer."""
TINY = 1e-3
"""A weight is as good as zero if it is smaller than this part of the network's largest."""
CURVES = ("validation_scores", "training_scores", "validation_losses", "training_losses")


@dataclass(frozen=True)
class Setup:
    """What all variants have in common.

    Attributes:
        trial: whose configuration is the base; None for the definition's defaults.
        n_splits, n_repeats, seed: of the folds, those of `hw1.analysis.evaluation`.
        epochs: of a training.
        n_rows: training examples.
    """

    trial: int | None
    n_splits: int
    n_repeats: int
    seed: int
    epochs: int
    n_rows: int


@dataclass(frozen=True)
class Measured(Setup):
    """A variant under repeated cross-validation.

    Attributes:
        group, variant, place: see `hw1.analysis.variants.Variant`.
        configuration: of the networks, with the learning rate that was chosen.
        is_base: whether that is the base itself.
        scores: ``(n_repeats, n_splits)`` at ``epoch``; None for a network that diverged.
        epoch: the one that is scored: by the checkpoint, that with the best mean over all folds of
            all repeats before training stops, or the last one; 0 if no epoch had a finite mean.
        trained: epochs after which training ended: early by patience, or since a network diverged.
        curves: the means over these folds: epochs, and for each of them ``validation_scores``,
            ``training_scores``, ``validation_losses`` and ``training_losses``; see
            `hw1.training.curves.Measures`.
        seconds: its share of the time of all trainings.
        zeros, tiny: the share of weights that are exactly zero, and that are smaller than `TINY`
            times the largest, mean over the networks of the first repeat at their best epoch.
        rates, rate_scores: learning rates that were tried on other folds, and their mean scores.
        provenance: see `hw1.provenance`.
        metric: what the scores measure.
    """

    group: str
    variant: str
    place: int
    configuration: dict[str, Any]
    is_base: bool
    scores: list[list[float | None]]
    epoch: int
    trained: int
    curves: dict[str, Any]
    seconds: float
    zeros: float
    tiny: float
    rates: list[float] | None
    rate_scores: list[float | None] | None
    provenance: dict[str, Any]
    metric: str | None = None

    def __post_init__(self) -> None:
        shape = {self.n_splits, *map(len, self.scores)}
        if self.n_splits < 2 or len(self.scores) != self.n_repeats or len(shape) > 1:
            raise ValueError(f"scores of {self.n_splits} folds: {self.scores}")
        if not 0 <= self.epoch <= self.trained <= self.epochs or not 0 <= self.tiny <= 1:
            raise ValueError(f"epoch {self.epoch} of {self.trained}")
        epochs = self.curves["epochs"]
        if not fits(epochs, list[int]) or not 1 <= epochs[0] <= epochs[-1] <= self.epochs:
            raise ValueError(f"curves after epochs {epochs}")
        for name in CURVES:
            values = self.curves[name]
            if not fits(values, list[float | None]) or len(values) != len(epochs):
                raise ValueError(f"curves {name}")
        try:
            Configuration(**self.configuration)
        except InputError as error:
            raise ValueError(str(error)) from error
        if len(self.rates or ()) != len(self.rate_scores or ()):
            raise ValueError(f"rates {self.rates}")

    @property
    def estimate(self) -> Estimate:
        """The mean with its 95% confidence interval."""
        return cross_validated(self.scores, metric=self.metric)

    @property
    def diverged(self) -> bool:
        """Whether it has no score."""
        return any(score is None for row in self.scores for score in row)

    @property
    def lr(self) -> float:
        """The learning rate."""
        return float(self.configuration["lr"])

    @property
    def rate_at_edge(self) -> bool:
        """Whether the best learning rate is the least or the largest that was tried."""
        return self.rates is not None and self.lr in (min(self.rates), max(self.rates))

    def curve(self, name: str) -> np.ndarray:
        """One of the curves, NaN where it is not finite."""
        return np.array(self.curves[name], dtype=float)


@dataclass(frozen=True)
class Trainer:
    """Trains variants on the same folds from the same seeds."""

    results: StudyResults
    dataset: Dataset
    setup: Setup
    watcher: Watcher

    def possible(self, wanted: Sequence[Variant]) -> list[Variant]:
        """Those whose networks are valid.

        Raises:
            ArchitectureError: the base is not.
        """
        found = []
        for one in wanted:
            try:
                footprint(self.results.definition.model, one.configurations[0], self.dataset)
            except ArchitectureError:
                if not one.group:
                    raise
                continue
            found.append(one)
        return found

    def measure(
        self, wanted: Sequence[Variant], base: Configuration
    ) -> Iterator[tuple[Variant, Measured]]:
        """Each variant as soon as it has been measured; those of one training together."""
        rates = self._choose_rates([one for one in wanted if len(one.configurations) > 1])
        of_training: dict[str, list[tuple[Variant, Configuration]]] = {}
        for one in wanted:
            chosen = rates[one][0] if one in rates else one.configurations[0]
            of_training.setdefault(str(_whole(chosen)), []).append((one, chosen))
        trainings = [_whole(those[0][1]) for those in of_training.values()]
        repeats = range(self.setup.n_repeats)
        for trained, found in self._train(trainings, repeats, "ablation"):
            for one, chosen in of_training[str(trained)]:
                tried = rates[one][1:] if one in rates else (None, None)
                yield one, self._measured(one, chosen, found, tried, chosen == base)

    def _choose_rates(
        self, wanted: Sequence[Variant]
    ) -> dict[Variant, tuple[Configuration, list[float], list[float | None]]]:
        """The best learning rate of each, by a cross-validation on folds of its own.

        While the best one is the least or the largest, one beyond it is tried.
        """
        tried = {one: list(one.configurations) for one in wanted}
        scores: dict[str, float] = {}
        new = [one for several in tried.values() for one in several]
        while new:
            trainings = {str(_whole(one)): _whole(one) for one in new}
            missing = [one for key, one in trainings.items() if key not in scores]
            for trained, (found,) in self._train(missing, [RATE_REPEAT], "choosing learning rates"):
                scores[str(trained)] = found.mean if found.best_epoch else math.nan
            new = []
            for several in tried.values():
                several.sort(key=lambda one: one.lr)
                best = self._best(several, scores)
                if best in (several[0], several[-1]) and len(several) < MOST_RATES:
                    factor = RATE_STEP if best is several[-1] else 1 / RATE_STEP
                    several.append(replace(best, lr=float(f"{best.lr * factor:.2g}")))
                    new.append(several[-1])
        found_of = {}
        for variant, several in tried.items():
            several.sort(key=lambda one: one.lr)
            values = [scores[str(_whole(one))] for one in several]
            rates = [one.lr for one in several]
            found_of[variant] = self._best(several, scores), rates, finite(values)
        return found_of

    def _best(self, several: Sequence[Configuration], scores: dict[str, float]) -> Configuration:
        """The one with the best score."""
        best_first = self.results.metric.best_first
        return best_first(several, lambda one: scores[str(_whole(one))])[0]

    def _train(
        self, configurations: Sequence[Configuration], repeats: Sequence[int], what: str
    ) -> Iterator[tuple[Configuration, list[CrossValidation]]]:
        """The cross-validations of each configuration, batch by batch."""
        done = 0
        for batch in self._batches(configurations):
            every: list[dict[int, CrossValidation]] = []
            for repeat in repeats:
                which = f"{done + 1} to {done + len(batch)} of {len(configurations)}"
                if len(repeats) > 1:
                    which += f", repeat {len(every) + 1} of {len(repeats)}"
                every.append(self._cross_validate(batch, repeat, f"{what}: {which}"))
            done += len(batch)
            for i, configuration in enumerate(batch):
                yield configuration, [found[i] for found in every]

    def _batches(self, configurations: Sequence[Configuration]) -> Iterator[list[Configuration]]:
        """Configurations that can be trained together."""
        model = self.results.definition.model
        batches: dict[Hashable, list[list[Configuration]]] = {}
        for one in configurations:
            found = footprint(model, one, self.dataset)
            at_once = 1 if found.backend == "fused" else AT_ONCE
            batches.setdefault(found.key, [[]])
            if len(batches[found.key][-1]) == at_once:
                batches[found.key].append([])
            batches[found.key][-1].append(one)
        for several in batches.values():
            yield from filter(None, several)

    def _cross_validate(
        self, batch: Sequence[Configuration], repeat: int, what: str
    ) -> dict[int, CrossValidation]:
        setup, watcher = self.setup, self.watcher
        splits = Splits.draw_fresh(self.dataset, setup.n_splits, setup.seed, repeat)

        def report(epoch: int, means: object) -> list[int]:
            watcher.say(f"{what}, epoch {epoch} of {setup.epochs}")
            return []

        watcher.say(f"{what}, epoch 0 of {setup.epochs}")
        return dict(
            cross_validate(
                self.results.definition.model,
                dict(enumerate(batch)),
                self.dataset,
                splits,
                seed=setup.seed,
                report=report,
                precision=precision_of(self.results),
                metric=self.results.metric,
                keep_models=repeat == 0,
                fold_seed=lambda _, fold: derive_seed(
                    setup.seed, setup.trial or 0, repeat, fold, EVALUATION
                ),
                on_step=watcher.on_step,
            )
        )

    def _measured(
        self,
        one: Variant,
        chosen: Configuration,
        found: Sequence[CrossValidation],
        tried: tuple[list[float], list[float | None]] | tuple[None, None],
        is_base: bool,
    ) -> Measured:
        """What is stored of a variant's cross-validations."""
        common = min(len(one.curves) for one in found)
        scores = np.stack([one.curves[:common] for one in found])
        means = scores.mean((0, 2))
        epoch, ends = scored_epoch(means, self.results.metric, chosen.checkpoint, chosen.patience)
        at = scores[:, epoch - 1] if epoch else np.full_like(scores[:, 0], math.nan)
        zeros, tiny = sparsity(found[0].state) if found[0].state else (0.0, 0.0)
        return Measured(
            **vars(self.setup),
            group=one.group,
            variant=one.name,
            place=one.place,
            configuration=chosen.to_json(),
            is_base=is_base,
            scores=[finite(row) for row in at.tolist()],
            epoch=epoch,
            trained=ends,
            curves=_curves(found, common, epoch),
            seconds=round(sum(one.seconds for one in found), 3),
            zeros=zeros,
            tiny=tiny,
            rates=tried[0],
            rate_scores=tried[1],
            provenance=provenance(self.dataset.inputs.device),
            metric=self.results.metric.name,
        )


def _whole(configuration: Configuration) -> Configuration:
    """Without early stopping, which is applied to the mean curve afterwards."""
    return replace(configuration, patience=None)


def sparsity(state: State) -> tuple[float, float]:
    """The share of weights that are zero, and of those below `TINY` times the largest.

    Weights have two dimensions or more; the shares are means over the networks.
    """
    shares = []
    for network in state:
        every = [value.abs().flatten().double() for value in network.values() if value.ndim > 1]
        weights = np.concatenate([value.cpu().numpy() for value in every])
        shares.append(((weights == 0).mean(), (weights < TINY * weights.max()).mean()))
    zeros, tiny = np.mean(shares, axis=0).tolist()
    return zeros, tiny


def _curves(found: Sequence[CrossValidation], common: int, epoch: int) -> dict[str, Any]:
    """Mean curves at some epochs, the first, the last and the scored one among them."""
    wanted = np.linspace(1, common, min(common, MOST_EPOCHS)).round().astype(int)
    epochs = np.unique([*wanted, max(epoch, 1)])
    measured = [
        [one.curves for one in found],
        [one.measures.training_scores for one in found],
        [one.measures.validation_losses for one in found],
        [one.measures.training_losses for one in found],
    ]
    kept: dict[str, Any] = {"epochs": epochs.tolist()}
    for name, of_repeats in zip(CURVES, measured, strict=True):
        mean = np.mean([values[:common].mean(1) for values in of_repeats], axis=0)
        kept[name] = [
            float(f"{value:.5g}") if math.isfinite(value) else None
            for value in mean[epochs - 1].tolist()
        ]
    return kept
