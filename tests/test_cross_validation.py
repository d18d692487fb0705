from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hw1.cross_validation import CrossValidation, Splits, cross_validate
from hw1.datasets import Dataset, digits, function
from hw1.errors import ArchitectureError, InputError
from hw1.models import CNN, MLP
from hw1.training import Configuration, Lockstep

FUNCTION = function.load("train", Path())
DIGITS = digits.load("train", Path()).sample(200, seed=0)
SMALL = Configuration(model={"widths": (16,)}, lr=0.02, epochs=12, batch_size=20)


def run(
    c: Configuration = SMALL, dataset: Dataset = FUNCTION, trial: int = 0, **kwargs: object
) -> CrossValidation:
    splits = Splits.draw(dataset, 4, seed=0)
    results = cross_validate(MLP, {trial: c}, dataset, splits, seed=1, **kwargs)  # type: ignore[arg-type]
    ((number, result),) = results
    assert number == trial
    return result


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


def test_too_many_folds_are_refused_with_the_rarest_class() -> None:
    with pytest.raises(InputError, match="'b' has 3 training rows"):
        Splits.draw(classes([9, 3]), 4, 0)
    with pytest.raises(InputError, match="100 training rows are too few for 101 folds"):
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


def test_the_weights_of_the_best_epoch_are_kept() -> None:
    # A learning rate so high that the last epoch is not the best one.
    c = Configuration(model={"widths": (16,)}, lr=0.3, epochs=15, batch_size=20)
    result = run(c, keep_models=True)
    assert result.best_epoch < 15
    splits = Splits.draw(FUNCTION, 4, seed=0)
    models = Lockstep(MLP, [c] * 4, FUNCTION, splits.training_rows(), range(4))
    assert result.state is not None
    models.restore(result.state)
    again = models.score(splits.validation_rows())
    assert again.tolist() == result.fold_scores.tolist()
    assert run(c).state is None


def test_patience_counts_epochs_without_a_better_fold_mean() -> None:
    full = run(Configuration(model={"widths": (16,)}, lr=0.3, epochs=60, batch_size=20))
    means = full.curves.mean(1)
    patience = 4
    best = np.minimum.accumulate(means)
    waits = np.arange(60) - np.array([int(np.flatnonzero(means == b)[0]) for b in best])
    expected = int(np.flatnonzero(waits == patience)[0]) + 1
    stopped = run(
        Configuration(model={"widths": (16,)}, lr=0.3, epochs=60, batch_size=20, patience=patience)
    )
    assert (len(stopped.curves), stopped.stopped) == (expected, "patience")
    assert (stopped.curves == full.curves[:expected]).all()
    assert stopped.best_epoch == expected - patience


def test_pruning_ends_training_at_once() -> None:
    result = run(report=lambda epoch, means: [0] if epoch == 3 else [])
    assert (len(result.curves), result.stopped) == (3, "pruned")


def test_a_diverged_training_keeps_its_best_epoch_or_has_none() -> None:
    hopeless = run(Configuration(model={"widths": (16,)}, optimizer="sgd", lr=1e30, epochs=9))
    assert (hopeless.stopped, hopeless.best_epoch) == ("diverged", 0)
    assert len(hopeless.curves) < 9


def test_seeds_come_from_study_trial_and_fold() -> None:
    assert (run(trial=3).curves == run(trial=3).curves).all()
    assert (run(trial=3).curves != run(trial=4).curves).any()
    firsts = run().curves[0]
    assert len(set(firsts)) == len(firsts)


def test_an_impossible_network_is_refused_before_training() -> None:
    c = Configuration(model={"channels": [4] * 4})
    with pytest.raises(ArchitectureError, match="no pixel is left"):
        list(cross_validate(CNN, {0: c}, DIGITS, Splits.draw(DIGITS, 3, 0), seed=0))
