import json

import pytest
from analysis.conftest import Open
from conftest import sql
from optuna.trial import TrialState

from hw1.analysis.replay import replay
from hw1.analysis.results import StudyResults
from hw1.errors import InputError


@pytest.mark.parametrize("name", ["regression-random", "classification-tpe"])
def test_a_trial_comes_out_bit_for_bit(open_results: Open, name: str) -> None:
    results = open_results(name)
    for trial in results.study.trials():
        found = replay(results, trial.number)
        assert found.exact
        assert found.difference == 0
        assert found.scores == found.stored_scores == trial.user_attrs["fold_scores"]
        assert found.differences == []
        assert trial.number in found.batch


def test_a_trial_of_a_batch_comes_out_alone(run_study: Open) -> None:
    found = replay(run_study(at_once=4, pruner="none"), 2)
    assert found.batch == [0, 1, 2, 3]
    assert found.alone
    assert found.exact


def test_where_trials_share_operations_the_whole_batch_is_trained_again(
    run_study: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU: here the CPU is made to stack its models, too."""
    monkeypatch.setattr("hw1.training.networks._best_backend", lambda network, device: "stacked")
    results = run_study(at_once=4, n_trials=12, epochs=20, sampler="random")
    trials = results.study.trials()
    assert {len(trial.user_attrs["batch"]) for trial in trials} != {1}
    assert {trial.state for trial in trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    for trial in trials:
        found = replay(results, trial.number)
        assert not found.alone
        assert found.batch == trial.user_attrs["batch"]
        assert found.exact


def test_pruned_trials_come_out_too(run_study: Open) -> None:
    results = run_study(at_once=1, n_trials=12, epochs=20, sampler="random")
    pruned = [t.number for t in results.study.trials() if t.state == TrialState.PRUNED]
    assert pruned
    for number in pruned:
        found = replay(results, number)
        assert found.state == "pruned"
        assert found.exact


def test_what_differs_is_measured_and_named(open_results: Open) -> None:
    results = open_results()
    trial = results.trial()
    stored = trial.user_attrs
    # As if it had been trained elsewhere, from another seed.
    changed = stored["provenance"] | {"torch": "1.0", "processor": "abacus"}
    scores = [score + 0.25 for score in stored["fold_scores"]]
    _overwrite(results, trial.number, provenance=changed, fold_scores=scores)
    found = replay(open_results(), trial.number)
    assert not found.exact
    assert found.difference == pytest.approx(0.25)
    assert any(what.startswith("torch ") and "was 1.0" in what for what in found.differences)
    assert any("was abacus" in what for what in found.differences)


def test_a_trial_of_unknown_provenance_says_so(open_results: Open) -> None:
    results = open_results()
    _overwrite(results, 1, provenance=None)
    found = replay(open_results(), 1)
    assert found.exact
    assert found.differences == ["what it was trained with is not stored"]


def test_trials_that_were_not_trained_cannot_be_replayed(open_results: Open) -> None:
    results = open_results()
    study = results.study.optuna_study
    study.tell(study.ask(), state=TrialState.FAIL)
    with pytest.raises(InputError, match="trial 4 of 'regression-random' is interrupted"):
        replay(results, 4)
    with pytest.raises(InputError, match="has no trial 9"):
        replay(results, 9)


def _overwrite(results: StudyResults, number: int, **attributes: object) -> None:
    """Change what is stored of a finished trial, which Optuna's own methods refuse."""
    trial_id = results.study.trials()[number]._trial_id
    change = "UPDATE trial_user_attributes SET value_json = ? WHERE trial_id = ? AND key = ?"
    for key, value in attributes.items():
        sql(results.job.storage_url, change, json.dumps(value), trial_id, key)
