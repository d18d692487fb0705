import math
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hw1.cross_validation import CrossValidation, Splits, cross_validate, scored_epoch
from hw1.datasets import Dataset, Loader, digits, function
from hw1.errors import ArchitectureError, InputError
from hw1.models import CNN, MLP
from hw1.tasks import METRICS
from hw1.training import Configuration
from hw1.training.configuration import Checkpoint
from hw1.training.lockstep import Lockstep

FUNCTION = function.load("train", Path())
DIGITS = digits.load("train", Path()).sample(200, seed=0)
SMALL = Configuration(model={"widths": (16,)}, lr=0.02, epochs=12, batch_size=20)


def run(
    c: Configuration = SMALL, dataset: Dataset = FUNCTION, trial: int = 0, **kwargs: object
) -> CrossValidation:
    return together({trial: c}, dataset, **kwargs)[trial]


def classes(counts: list[int]) -> Dataset:
    targets = torch.cat([torch.full((n,), i) for i, n in enumerate(counts)])
    names = tuple("abcdefgh"[: len(counts)])
    return Dataset("d", "classification", torch.zeros(len(targets), 2), targets, names)


@given(st.lists(st.integers(5, 40), min_size=2, max_size=5), st.integers(2, 5), st.integers(0, 99))
def test_classes_are_spread_evenly_over_the_folds(counts: list[int], k: int, seed: int) -> None:
    dataset = classes(counts)
    splits = Splits.draw(dataset, k, seed)
    for number, count in enumerate(counts):
        in_folds = np.bincount(splits.folds[dataset.targets.numpy() == number], minlength=k)
        assert in_folds.sum() == count
        assert in_folds.max() - in_folds.min() <= 1


@given(st.integers(2, 60), st.integers(0, 99))
def test_each_row_is_validated_once_and_trained_on_otherwise(k: int, seed: int) -> None:
    splits = Splits.draw(FUNCTION, k, seed)
    assert splits.n_splits == k
    validated = torch.cat(splits.validation_rows())
    assert sorted(validated.tolist()) == list(range(100))
    for training, validation in zip(splits.training_rows(), splits.validation_rows(), strict=True):
        assert sorted([*training.tolist(), *validation.tolist()]) == list(range(100))


@given(st.integers(2, 20), st.integers(0, 99))
def test_splits_survive_storage(k: int, seed: int) -> None:
    splits = Splits.draw(FUNCTION, k, seed)
    again = Splits.decode(splits.encode())
    assert (again.folds == splits.folds).all()
    assert again.hash == splits.hash
    assert Splits.draw(FUNCTION, k, seed).hash == splits.hash
    assert Splits.draw(FUNCTION, k, seed + 1).hash != splits.hash


def test_fresh_and_outer_folds_are_others_of_the_same_rows() -> None:
    data = digits.load("train", Path())
    drawn = [
        Splits.draw(data, 3, 7),
        Splits.draw_outer(data, 3, 7),
        *(Splits.draw_fresh(data, 3, seed, repeat) for seed in (7, 8) for repeat in range(3)),
    ]
    assert len({splits.hash for splits in drawn}) == len(drawn)
    assert Splits.draw_fresh(data, 3, 7, 1).hash == drawn[3].hash
    for splits in drawn:  # stratified, too
        for rows in splits.validation_rows():
            counts = np.bincount(data.targets[rows])
            share = np.bincount(data.targets) / 3
            assert (abs(counts - share) <= 1).all()


def test_too_many_folds_are_refused_with_the_rarest_class() -> None:
    with pytest.raises(InputError, match="'b' has 3 training examples"):
        Splits.draw(classes([9, 3]), 4, 0)
    with pytest.raises(InputError, match="100 training examples are too few for 101 folds"):
        Splits.draw(FUNCTION, 101, 0)
    with pytest.raises(InputError, match="2 to 255 folds, not 1"):
        Splits.draw(FUNCTION, 1, 0)


@pytest.mark.parametrize("dataset", [FUNCTION, DIGITS], ids=["regression", "classification"])
def test_the_value_is_the_best_point_of_the_mean_curve(dataset: Dataset) -> None:
    seen: list[tuple[int, float]] = []
    result = run(dataset=dataset, report=lambda epoch, means: seen.append((epoch, means[0])) or ())
    means = result.curves.mean(1)
    assert seen == [(i + 1, m) for i, m in enumerate(means)]
    best = means.min() if dataset.task == "regression" else means.max()
    assert result.mean == best
    assert means[result.best_epoch - 1] == best
    assert result.fold_scores.tolist() == result.curves[result.best_epoch - 1].tolist()
    assert result.std == pytest.approx(np.std(result.fold_scores, ddof=1))
    assert (result.curves.shape, result.stopped) == ((12, 4), "epochs")
    inputs = dataset.inputs[0].numel()
    assert result.n_parameters == (inputs + 1) * 16 + 17 * dataset.n_outputs


@pytest.mark.parametrize("load", [function.load, digits.load])
def test_outputs_are_those_of_the_fold_that_has_not_seen_the_row(load: Loader) -> None:
    """At the best epoch: of each fold's own examples they give its score."""
    data = load("train", Path())
    splits = Splits.draw(data, 3, 0)
    configuration = Configuration(model={"widths": [8]}, lr=0.03, epochs=6)
    ((_, found),) = cross_validate(MLP, {0: configuration}, data, splits, seed=1)
    assert found.outputs is not None
    assert found.outputs.shape == (len(data), data.n_outputs)
    for rows, score in zip(splits.validation_rows(), found.fold_scores, strict=True):
        outputs = found.outputs[rows]
        if data.task == "regression":
            own = (outputs - data.targets[rows]).double().square().mean()
        else:
            own = (outputs.argmax(1) == data.targets[rows]).double().mean()
        assert own.item() == pytest.approx(score, rel=1e-6)


def test_patience_counts_epochs_without_a_better_fold_mean() -> None:
    long = replace(SMALL, lr=0.3, epochs=60)
    full = run(long)
    means = full.curves.mean(1)
    patience = 4
    best = np.minimum.accumulate(means)
    waits = np.arange(60) - np.array([int(np.flatnonzero(means == b)[0]) for b in best])
    expected = int(np.flatnonzero(waits == patience)[0]) + 1
    stopped = run(replace(long, patience=patience))
    assert (len(stopped.curves), stopped.stopped) == (expected, "patience")
    assert (stopped.curves == full.curves[:expected]).all()
    assert stopped.best_epoch == expected - patience


def test_a_diverged_training_keeps_its_best_epoch_or_has_none() -> None:
    hopeless = run(Configuration(model={"widths": (16,)}, optimizer="sgd", lr=1e30, epochs=9))
    assert (hopeless.stopped, hopeless.best_epoch) == ("diverged", 0)
    assert len(hopeless.curves) < 9


@pytest.mark.parametrize("dataset", [FUNCTION, DIGITS])
def test_networks_that_are_scored_at_the_end_alone_are_the_same(dataset: Dataset) -> None:
    splits = Splits.draw(dataset, 3, 0)
    trials = {n: replace(SMALL, checkpoint="last", lr=0.01 * n) for n in (1, 2)}
    every, last = (
        dict(cross_validate(MLP, trials, dataset, splits, seed=0, last_only=last))
        for last in (False, True)
    )
    for number, found in last.items():
        assert np.isnan(found.curves[:-1]).all()
        assert found.fold_scores.tolist() == every[number].fold_scores.tolist()
        assert (found.best_epoch, found.stopped) == (SMALL.epochs, "epochs")
        outputs, same = found.outputs, every[number].outputs
        assert outputs is not None and same is not None and torch.equal(outputs, same)


def test_seeds_come_from_study_trial_and_fold() -> None:
    assert (run(trial=3).curves == run(trial=3).curves).all()
    assert (run(trial=3).curves != run(trial=4).curves).any()
    firsts = run().curves[0]
    assert len(set(firsts)) == len(firsts)


def test_an_impossible_network_is_refused_before_training() -> None:
    c = Configuration(model={"channels": [4] * 4})
    with pytest.raises(ArchitectureError, match="no pixel is left"):
        list(cross_validate(CNN, {0: c}, DIGITS, Splits.draw(DIGITS, 3, 0), seed=0))


# Double precision, in which nothing but a mistake makes a curve depend on its companions.
EXACT = replace(FUNCTION, inputs=FUNCTION.inputs.double(), targets=FUNCTION.targets.double())


@pytest.fixture
def double_precision() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def companion(widths: tuple[int, int], dropout: float, **changes: Any) -> Configuration:
    model = {"widths": widths, "activation": "tanh", "dropout": dropout}
    return Configuration(**({"model": model, "epochs": 12, "batch_size": 20} | changes))


# By the numbers of their trials.
COMPANIONS = {
    3: companion((16, 8), 0.1, lr=0.02),
    4: companion((4, 12), 0.5, lr=0.001, optimizer="adamw", weight_decay=0.1, epochs=5),
    7: companion((9, 9), 0.2, lr=0.05, optimizer="sgd", momentum=0.9, nesterov=True),
    8: companion((1, 1), 0.05, lr=0.003, optimizer="rmsprop", patience=2),
    9: companion((20, 3), 0.3, lr=0.3, optimizer="rmsprop", patience=1, epochs=20),
    12: companion((8, 16), 0.1, lr=0.01, schedule="one_cycle", epochs=9, max_grad_norm=0.5),
    15: companion((2, 7), 0.4, lr=0.1, optimizer="sgd", schedule="cosine", l1=0.001),
    20: companion((6, 6), 0.01, lr=0.05, patience=3, epochs=30),
    21: companion((5, 2), 0.6, lr=0.02, epochs=1),
}


def together(
    configurations: Mapping[int, Configuration], dataset: Dataset = EXACT, **kwargs: Any
) -> dict[int, CrossValidation]:
    splits = Splits.draw(dataset, 4, seed=0)
    family = CNN if "channels" in next(iter(configurations.values())).model else MLP
    return dict(cross_validate(family, configurations, dataset, splits, seed=1, **kwargs))


def assert_same(batched: CrossValidation, alone: CrossValidation) -> None:
    np.testing.assert_allclose(batched.curves, alone.curves, rtol=1e-9)
    assert (batched.best_epoch, batched.stopped) == (alone.best_epoch, alone.stopped)
    assert batched.n_parameters == alone.n_parameters
    assert batched.backend == alone.backend


@pytest.fixture(scope="module")
def alone() -> dict[int, CrossValidation]:
    """Each of the companions, cross-validated alone."""
    torch.set_default_dtype(torch.float64)
    results = {n: together({n: c})[n] for n, c in COMPANIONS.items()}
    torch.set_default_dtype(torch.float32)
    assert {r.stopped for r in results.values()} == {"epochs", "patience"}
    assert {r.n_trials for r in results.values()} == {1}
    return results


@pytest.mark.usefixtures("double_precision")
def test_the_checkpoint_says_which_epoch_counts(alone: dict[int, CrossValidation]) -> None:
    last = {n: replace(COMPANIONS[n], checkpoint="last") for n in (3, 9, 12, 20)}
    differs = 0
    for number, result in (alone | together(last)).items():
        own, means = (COMPANIONS | last)[number], result.curves.mean(1)
        best = int(means.argmin()) + 1
        epoch = len(means) if own.checkpoint == "last" else best
        assert result.best_epoch == epoch and result.mean == means[epoch - 1]
        found = scored_epoch(means, METRICS["mean_squared_error"], own.checkpoint, own.patience)
        assert found == (epoch, len(means))
        np.testing.assert_allclose(result.curves, alone[number].curves, rtol=1e-9)
        differs += epoch != best
    assert differs


@given(st.lists(st.floats(0, 1) | st.just(math.nan), min_size=1, max_size=30), st.integers(1, 9))
def test_patience_counts_epochs_without_a_better_mean(means: list[float], patience: int) -> None:
    def scored(checkpoint: Checkpoint, patience: int | None) -> tuple[int, int]:
        return scored_epoch(np.array(means), METRICS["accuracy"], checkpoint, patience)

    best, ends = scored("best", patience)
    for epoch in range(1, len(means) + 1):  # as training goes on
        so_far = [m if m == m else -math.inf for m in means[:epoch]]
        top = int(np.argmax(so_far)) + 1 if max(so_far) > -math.inf else 0
        if epoch - top >= patience or epoch == len(means):
            assert (best, ends) == (top, epoch)
            break
    assert scored("best", None)[1] == len(means)
    finite = [epoch for epoch, mean in enumerate(means[:ends], start=1) if mean == mean]
    assert scored("last", patience) == (max(finite, default=0), ends)


@pytest.mark.usefixtures("double_precision")
def test_a_trial_does_not_depend_on_its_batch(alone: dict[int, CrossValidation]) -> None:
    results = together(COMPANIONS)
    assert results.keys() == COMPANIONS.keys()
    for number, result in results.items():
        assert_same(result, alone[number])
        assert result.n_trials == len(COMPANIONS)
    half = {number: COMPANIONS[number] for number in (20, 9, 3, 4)}
    for number, result in together(half).items():
        assert_same(result, alone[number])
        assert result.n_trials == 4


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize(
    "pruned",
    [{1: [3]}, {2: [7, 8], 4: [20]}, {1: [4, 7, 8, 9, 12, 15, 20]}, {3: [21, 9], 8: [12]}],
    ids=str,
)
def test_a_trial_does_not_depend_on_who_is_pruned(
    pruned: dict[int, list[int]], alone: dict[int, CrossValidation]
) -> None:
    reported: dict[int, list[float]] = {number: [] for number in COMPANIONS}

    def report(epoch: int, means: Mapping[int, float]) -> Collection[int]:
        for number, mean in means.items():
            reported[number].append(mean)
            assert len(reported[number]) == epoch
        return pruned.get(epoch, [])

    for number, result in together(COMPANIONS, report=report).items():
        n_epochs = len(result.curves)
        assert n_epochs > 0
        np.testing.assert_allclose(result.curves, alone[number].curves[:n_epochs], rtol=1e-9)
        assert reported[number] == result.curves.mean(1).tolist()
        at = next((epoch for epoch, those in pruned.items() if number in those), None)
        if at is not None and at <= len(alone[number].curves):
            assert (n_epochs, result.stopped) == (at, "pruned")
        else:
            assert_same(result, alone[number])


def test_trials_trained_in_turn_do_not_depend_on_each_other() -> None:
    model = {"channels": (3,), "dropout": 0.2}
    base = Configuration(model=model, epochs=4, batch_size=50, lr=0.01)
    configurations = {
        2: base,
        5: replace(base, optimizer="sgd", lr=0.1, epochs=2),
        6: replace(base, lr=0.002, flip=True, shift=1),
    }
    results = together(configurations, DIGITS, report=lambda epoch, means: [2] * (epoch == 3))
    assert [(n, len(r.curves)) for n, r in results.items()] == [(5, 2), (2, 3), (6, 4)]
    for number, result in results.items():
        single = together({number: configurations[number]}, DIGITS)[number]
        assert (single.backend, result.backend) == ("fused", "fused")
        assert result.curves.tolist() == single.curves[: len(result.curves)].tolist()


def test_a_trial_is_handed_out_as_soon_as_it_has_ended() -> None:
    splits = Splits.draw(FUNCTION, 4, seed=0)
    epochs = 0

    def report(epoch: int, means: Mapping[int, float]) -> Collection[int]:
        nonlocal epochs
        epochs = epoch
        return [15] * (epoch == 6)

    handed_out = []
    for number, result in cross_validate(MLP, COMPANIONS, FUNCTION, splits, seed=1, report=report):
        assert len(result.curves) == epochs
        handed_out.append(number)
    assert sorted(handed_out) == sorted(COMPANIONS)
    assert handed_out[0] == 21
    assert handed_out.index(4) < handed_out.index(15) < handed_out.index(12) < handed_out.index(3)


def test_the_rest_is_not_trained_before_it_is_asked_for() -> None:
    steps = 0

    def on_step() -> None:
        nonlocal steps
        steps += 1

    splits = Splits.draw(FUNCTION, 4, seed=0)
    results = cross_validate(MLP, COMPANIONS, FUNCTION, splits, seed=1, on_step=on_step)
    assert steps == 0
    assert next(results)[0] == 21
    one_epoch = steps
    assert one_epoch > 0
    while next(results)[0] != 4:
        assert steps % one_epoch == 0
    assert steps == 5 * one_epoch


def test_the_trials_share_the_time_that_passes() -> None:
    started = time.perf_counter()
    results = together(COMPANIONS, FUNCTION)
    passed = time.perf_counter() - started
    seconds = {number: result.seconds for number, result in results.items()}
    assert all(s > 0 for s in seconds.values())
    assert 0.5 * passed < sum(seconds.values()) <= passed
    # One that goes on for longer has a part in every epoch that a shorter one had its part in.
    in_order = list(seconds.values())
    assert in_order == sorted(in_order)


@pytest.mark.usefixtures("double_precision")
def test_a_companion_that_diverges_does_no_harm(alone: dict[int, CrossValidation]) -> None:
    explosive = replace(COMPANIONS[15], lr=1e30)
    results = together({1: explosive, 2: explosive, 3: COMPANIONS[3]})
    for number in (1, 2):
        assert results[number].stopped == "diverged"
        assert len(results[number].curves) < 12
    assert_same(results[3], alone[3])


def test_diverged_trials_are_not_reported() -> None:
    explosive = replace(COMPANIONS[15], lr=1e30)
    seen: list[set[int]] = []
    results = together(
        {1: explosive, 3: COMPANIONS[3]},
        FUNCTION,
        report=lambda epoch, means: seen.append(set(means)) or (),
    )
    assert results[1].stopped == "diverged"
    assert seen[len(results[1].curves) - 1 :] == [{3}] * (13 - len(results[1].curves))


def test_each_trials_best_weights_are_kept_in_a_batch() -> None:
    results = together(COMPANIONS, FUNCTION, keep_models=True)
    assert any(0 < result.best_epoch < len(result.curves) for result in results.values())
    assert run().state is None
    splits = Splits.draw(FUNCTION, 4, seed=0)
    for number, result in results.items():
        models = Lockstep(MLP, [COMPANIONS[number]] * 4, FUNCTION, splits.training_rows(), range(4))
        assert result.state is not None
        models.restore(result.state)
        again = models.score(splits.validation_rows())
        np.testing.assert_allclose(again, result.fold_scores, rtol=1e-4)
