import numpy as np
import pytest
import torch
from analysis.conftest import Open

from hw1.analysis.network import predict
from hw1.analysis.training import cross_validate_again, fold_networks, retrain, score_folds
from hw1.cross_validation import Splits
from hw1.watching import Watcher


def test_retraining_uses_all_rows_and_ends_at_the_best_epoch(open_results: Open) -> None:
    results = open_results("classification-random")
    trial = results.trial()
    found = retrain(results, trial, 3)
    assert found.epochs == trial.user_attrs["best_epoch"]
    assert len(set(found.seeds)) == 3
    inputs = results.dataset.inputs.double()
    for network in found.networks:
        assert network.input_mean.item() == pytest.approx(inputs.mean().item(), rel=1e-5)
        assert network.input_std.item() == pytest.approx(inputs.std(correction=0).item(), rel=1e-5)
        outputs = predict(network, results.dataset.inputs)
        accuracy = (outputs.argmax(1) == results.dataset.targets).double().mean()
        assert accuracy > 0.3  # guessing gives 0.1
    first, second = (network.network.state_dict() for network in found.networks[:2])
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_a_seed_gives_the_same_network_whatever_the_others(open_results: Open) -> None:
    results = open_results()
    alone, together = retrain(results, results.trial(), 1), retrain(results, results.trial(), 4)
    assert alone.seeds[0] == together.seeds[0]
    for name, value in alone.networks[0].state_dict().items():
        torch.testing.assert_close(value, together.networks[0].state_dict()[name])
    for name, value in alone.initial[0].state_dict().items():
        assert torch.equal(value, together.initial[0].state_dict()[name])


def test_a_trial_trained_again_has_its_stored_curve(open_results: Open) -> None:
    results = open_results()
    trials = results.study.trials()
    found = cross_validate_again(results, trials)
    for trial in trials:
        curve = found[trial.number].curves.mean(1)
        assert curve.tolist() == list(trial.intermediate_values.values())


@pytest.mark.parametrize("name", ["regression-random", "classification-random"])
def test_fold_networks_score_what_the_study_has_stored(open_results: Open, name: str) -> None:
    results = open_results(name)
    trial = results.trial()
    state = cross_validate_again(results, [trial], keep_models=True)[trial.number].state
    networks = fold_networks(results, trial, state)
    data = results.dataset
    for network, rows, score in zip(
        networks,
        results.study.splits().validation_rows(),
        trial.user_attrs["fold_scores"],
        strict=True,
    ):
        outputs = predict(network, data.inputs[rows])
        if data.task == "regression":
            found = (outputs - data.targets[rows]).double().square().mean()
        else:
            found = (outputs.argmax(1) == data.targets[rows]).double().mean()
        assert found.item() == pytest.approx(score, rel=1e-4)


def test_fresh_folds_are_scored_at_the_best_epoch_without_their_say(open_results: Open) -> None:
    results = open_results()
    trial = results.trial()
    repeats = [(r, Splits.draw_fresh(results.dataset, 3, 0, r)) for r in range(2)]
    scores, _ = score_folds(results, trial, repeats, seed=0)
    assert np.shape(scores) == (2, 3)
    # A repeat does not depend on those beside it.
    second, _ = score_folds(results, trial, repeats[1:], seed=0)
    np.testing.assert_allclose(second, scores[1:])
    assert not np.allclose(scores[0], scores[1])


def test_the_watcher_hears_of_epochs_and_can_end_the_work(open_results: Open) -> None:
    results = open_results()
    said: list[str] = []

    def stop() -> None:
        raise KeyboardInterrupt

    retrain(results, results.trial(0), 2, watcher=Watcher(said.append))
    epochs = results.trial(0).user_attrs["best_epoch"]
    assert said[-1] == f"retraining 2 networks on all training data: epoch {epochs} of {epochs}"
    with pytest.raises(KeyboardInterrupt):
        retrain(results, results.trial(0), again=True, watcher=Watcher(on_step=stop))
