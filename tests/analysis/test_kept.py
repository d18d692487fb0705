"""Trained networks that are kept, and found again only where they are the same."""

from copy import deepcopy
from pathlib import Path

import pytest
import safetensors.torch
import torch
from analysis.conftest import Open
from conftest import TINY_CNN, TINY_REGRESSION, call, replacing

from hw1.analysis.network import Network
from hw1.analysis.results import StudyResults
from hw1.analysis.training import retrain, score_folds
from hw1.cross_validation import Splits
from hw1.optuna_store.storage import networks_folder, remove_networks
from hw1.watching import Watcher

LAYERS = replacing(
    replacing(TINY_CNN, 'optimizer="adam"', 'optimizer="adam", ema=0.9, epochs=2'),
    '"hidden": 8',
    '"batch_norm": True, "dropout": 0.2',
)


@pytest.mark.parametrize("source", [TINY_REGRESSION, LAYERS])
def test_what_was_trained_once_is_not_trained_again(run_study: Open, source: str) -> None:
    results = run_study(source, n_trials=2)
    first = retrain(results, results.trial())
    steps: list[None] = []
    counting = Watcher(on_step=lambda: steps.append(None))
    found = retrain(results, results.trial(), watcher=counting)
    assert not steps
    assert_same(found.networks, first.networks)
    assert_same(found.initial, first.initial)
    three = retrain(results, results.trial(), 3, watcher=counting)
    assert steps  # those of the other two seeds
    assert_same(three.networks[:1], first.networks)
    assert_same(three.networks, retrain(results, results.trial(), 3, again=True).networks)


@pytest.mark.parametrize("source", [TINY_REGRESSION, LAYERS])
def test_an_interrupted_training_goes_on_to_the_last_bit(
    run_study: Open, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hw1.unfinished.SECONDS_BETWEEN_SAVES", 0)
    longer = replacing(replacing(source, "epochs=2", "epochs=6"), "lr=", 'checkpoint="last", lr=')
    results = run_study(longer, n_trials=2)
    trial = results.trial()
    rounds = [(0, Splits.draw_fresh(results.dataset, 3, 0, 0))]
    for train in (
        lambda watcher: retrain(results, trial, 2, watcher=watcher).networks,
        lambda watcher: score_folds(results, trial, rounds, 0, watcher=watcher)[1],
    ):
        epochs: list[str] = []

        def interrupt(what: str, epochs: list[str] = epochs) -> None:
            epochs.append(what)
            if what.endswith("epoch 5 of 6"):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(Watcher(say=interrupt))
        assert len(epochs) == 5
        said: list[str] = []
        found = train(Watcher(say=said.append))
        assert [what[-6:] for what in said] == ["5 of 6", "6 of 6"]
        remove_networks(results.study.storage.url, results.name)
        assert_same(found, train(Watcher()))


@pytest.mark.parametrize("epoch", [None, 0, 99, [2, 2]])
def test_a_damaged_file_of_an_interrupted_training_is_as_none(
    epoch: object, run_study: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hw1.unfinished.SECONDS_BETWEEN_SAVES", 0)
    results = run_study(TINY_REGRESSION, n_trials=1)
    whole = retrain(results, results.trial())
    folder = networks_folder(results.study.storage.url, results.name)
    remove_networks(results.study.storage.url, results.name)

    def interrupt(what: str) -> None:
        if "epoch 2 of" in what:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retrain(results, results.trial(), watcher=Watcher(say=interrupt))
    (path,) = folder.glob("*.safetensors")
    if epoch is None:
        path.write_bytes(path.read_bytes()[:-1])
    else:
        safetensors.torch.save_file(
            safetensors.torch.load_file(path) | {"epoch": torch.tensor(epoch)}, path
        )
    said: list[str] = []
    found = retrain(results, results.trial(), watcher=Watcher(say=said.append))
    assert "epoch 1 of" in said[0]
    assert_same(found.networks, whole.networks)


def test_other_networks_are_trained(open_results: Open) -> None:
    results = open_results()
    best, other = results.top(2)
    retrain(results, best)
    found = retrain(results, other)
    assert_same(found.networks, retrain(results, other, again=True).networks)


def test_others_are_trained_after_other_epochs(open_results: Open) -> None:
    results = open_results()
    trial = results.trial()
    first = retrain(results, trial)
    shorter = deepcopy(trial)
    shorter.set_user_attr("best_epoch", trial.user_attrs["best_epoch"] - 1)
    networks = retrain(results, shorter).networks
    assert_same(networks, retrain(results, shorter, again=True).networks)
    with pytest.raises(AssertionError):
        assert_same(networks, first.networks)


def test_networks_of_other_classes_are_not_kept(run_study: Open) -> None:
    source = replacing(TINY_REGRESSION, "model=MLP", "model=partial(MLP, batch_norm=True)")
    results = run_study(f"from functools import partial\n{source}")
    first = retrain(results, results.trial())
    assert not networks_folder(results.study.storage.url, results.name).exists()
    assert_same(retrain(results, results.trial()).networks, first.networks)


@pytest.mark.parametrize("damage", ["cut", "other shapes", "gone"])
def test_a_damaged_file_is_not_used(open_results: Open, damage: str) -> None:
    results = open_results()
    first = retrain(results, results.trial())
    path = kept(results)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-7])
    elif damage == "gone":
        path.unlink()
    else:
        other = open_results("classification-random")
        retrain(other, other.trial())
        path.write_bytes(kept(other).read_bytes())
    assert_same(retrain(results, results.trial()).networks, first.networks)


def test_a_folder_that_cannot_be_made_keeps_nothing(open_results: Open) -> None:
    results = open_results()
    folder = networks_folder(results.study.storage.url, results.name)
    folder.parent.write_text("a file")
    first = retrain(results, results.trial())
    assert_same(retrain(results, results.trial()).networks, first.networks)


def test_they_are_deleted_with_the_study(open_results: Open, analysed_url: str) -> None:
    results = open_results()
    retrain(results, results.trial())
    own = kept(results).with_name("own.safetensors")
    own.write_bytes(b"the user's")
    assert call(analysed_url, "delete", "regression-random", "--yes").exit_code == 0
    assert list(own.parent.iterdir()) == [own]


def kept(results: StudyResults) -> Path:
    [path] = networks_folder(results.study.storage.url, results.name).iterdir()
    return path


def assert_same(found: list[Network], expected: list[Network]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        states = one.state_dict(), other.state_dict()
        assert states[0].keys() == states[1].keys()
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
