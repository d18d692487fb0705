"""What analyses take from the final round of a study."""

import json
from dataclasses import replace

import pytest
import torch
from analysis.conftest import Open
from conftest import WITH_FINAL_ROUND, call, replacing

from hw1.analysis.analyze import training_figures
from hw1.analysis.evaluation import evaluate, stored_evaluation
from hw1.analysis.export import load_best
from hw1.analysis.nested import nested_cross_validation
from hw1.analysis.replay import replay, replay_final_round
from hw1.analysis.results import StudyResults
from hw1.analysis.text import evaluation_lines
from hw1.analysis.training import retrain
from hw1.cross_validation import Splits, cross_validate
from hw1.errors import InputError
from hw1.names import searches_within
from hw1.study import ROUNDS_KEY

ROUNDS = replacing(
    replacing(WITH_FINAL_ROUND, "import StudyDefinition", "import Round, StudyDefinition"),
    "epochs=2,",
    "epochs=5, search_rows=60, rounds=[Round(2, 2, epochs=9)],",
)
PLAIN = {"sampler": "random", "pruner": "none"}


@pytest.fixture
def results(run_study: Open) -> StudyResults:
    """A study of 4 trials with 60 rows and 5 epochs; the final round has 100 rows and 9 epochs."""
    return run_study(ROUNDS, **PLAIN)


def test_networks_are_trained_as_in_the_final_round_or_as_in_the_search(
    results: StudyResults,
) -> None:
    finalists = {entry.trial: entry for entry in results.study.standings().final}
    assert results.trial().number == next(iter(finalists))
    values = {trial.number: trial.value for trial in results.study.trials()}
    others = sorted(values.keys() - finalists.keys(), key=lambda n: values[n])
    assert [trial.number for trial in results.top(100)] == [*finalists, *others]
    for trial in results.study.trials():
        configuration, epochs = results.tuned(trial)
        found = retrain(results, trial)
        assert (found.configuration, found.epochs) == (configuration, epochs)
        entry = finalists.get(trial.number)
        assert configuration.epochs == (9 if entry else 5)
        assert epochs == (entry.best_epoch if entry else trial.user_attrs["best_epoch"])
    best = load_best(results)
    assert best.configuration.epochs == 9
    assert best.provenance["epochs"] == results.study.standings().final[0].best_epoch


def test_an_evaluation_scores_what_the_final_round_has_chosen(results: StudyResults) -> None:
    found = evaluate(results, n_repeats=1, n_seeds=1)
    trial = results.trial()
    configuration, epochs = results.tuned(trial)
    splits = Splits.draw_fresh(results.dataset, 3, 0, 0)
    from hw1.analysis.training import EVALUATION  # the seeds of its networks
    from hw1.training.keys import seed
    from hw1.training.lockstep import Lockstep

    models = Lockstep(
        results.definition.model,
        [configuration] * 3,
        results.dataset,
        splits.training_rows(),
        [seed(0, trial.number, 0, fold, EVALUATION) for fold in range(3)],
        validation_rows=splits.validation_rows(),
    )
    for _ in range(epochs):
        models.train_epoch()
    assert found.cross_validation.scores == [models.validate().tolist()]
    assert found.cross_validation.epochs == epochs
    assert found.test is not None
    assert (found.test.epochs, found.test.final) == (epochs, True)
    assert found.final is not None
    assert found.final.mean == results.study.standings().final[0].score
    assert f"2 × 3 splits, which chose the trial among 2 and epoch {epochs}" in (
        "\n".join(evaluation_lines(found))
    )
    last = replace(found.final, n_trials=1, checkpoint="last")  # then nothing was chosen
    assert last.splits == "2 × 3 splits"
    assert stored_evaluation(results) == found
    outside = next(t.number for t in results.study.trials() if results.final(t) is None)
    other = evaluate(results, outside, n_repeats=1, test=False)
    assert (other.final, other.cross_validation.epochs) == (None, None)


def test_what_was_evaluated_before_the_final_round_is_not_its(results: StudyResults) -> None:
    study = results.study.optuna_study
    rounds = study.user_attrs[ROUNDS_KEY]
    study.set_user_attr(ROUNDS_KEY, [])
    by_value = evaluate(results, n_repeats=1, n_seeds=1)
    study.set_user_attr(ROUNDS_KEY, rounds)
    assert stored_evaluation(results) is None
    after = evaluate(results, by_value.trial, n_repeats=1, n_seeds=1)
    assert after.cross_validation != by_value.cross_validation
    assert after.n_tests == 2
    study.set_user_attr(ROUNDS_KEY, [])
    again = evaluate(results, n_repeats=1, n_seeds=1)
    assert replace(again, n_tests=1) == by_value


def test_a_search_on_a_part_of_the_rows_is_analyzed_on_that_part(results: StudyResults) -> None:
    assert len(results.search_data) == 60
    assert len(results.dataset) == 100
    everything = {tuple(row) for row in torch.cat([results.dataset.inputs,
        results.dataset.targets], 1).tolist()}  # fmt: skip
    part = results.search_data
    assert {tuple(row) for row in torch.cat([part.inputs, part.targets], 1).tolist()} < everything
    trial = results.trial()
    assert replay(results, trial.number).exact
    kept = cross_validate(
        results.definition.model,
        {trial.number: replace(results.tuned(trial)[0], epochs=5)},
        part,
        results.study.splits(),
        seed=0,
    )
    assert next(kept)[1].mean == trial.value
    assert {"fold_scores", "learning_curves"} <= {f.name for f in training_figures(results, trial)}


def test_the_scores_of_the_final_round_come_out_bit_for_bit(results: StudyResults) -> None:
    for entry in results.study.standings().final:
        found = replay_final_round(results, entry.trial)
        assert found.exact
        assert found.scores == found.stored_scores == entry.every_score
        assert found.differences == []
    study = results.study.optuna_study
    rounds = study.user_attrs[ROUNDS_KEY]
    study.set_user_attr(ROUNDS_KEY, [one | {"best_epoch": 1} for one in rounds])
    changed = replay_final_round(results, entry.trial)
    assert not changed.exact
    assert changed.differences[-1].endswith("was 1")


def test_the_command_line_replays_a_final_round(results: StudyResults) -> None:
    url, file = results.study.storage.url, results.settings.definition
    best = results.trial().number
    line = ("replay", "tiny", str(best), "--final-round", "--definition", file)
    assert "bit for bit, every fold and the best epoch" in call(url, *line).stdout
    assert json.loads(call(url, *line, "--json").stdout)["exact"]
    outside = next(t.number for t in results.study.trials() if results.final(t) is None)
    wrong = call(url, "replay", "tiny", str(outside), *line[3:])
    assert (wrong.exit_code, "no score in a final round" in wrong.stderr) == (2, True)
    with pytest.raises(InputError, match="no score"):
        replay_final_round(results, outside)


def test_the_searches_within_a_nested_cross_validation_have_rounds_too(
    results: StudyResults,
) -> None:
    found = nested_cross_validation(results, 2, 2)
    storage = results.study.storage
    for fold, name in enumerate(searches_within(storage, "tiny")):
        from hw1.study import Study

        part = Study(storage, name)
        assert part.settings.rounds == results.settings.rounds
        assert part.settings.search_rows is None  # 50 are left, and 60 were asked for
        assert part.progress().complete
        assert found.trials[fold] == part.standings().final[0].trial
