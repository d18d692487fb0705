import copy
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch
from analysis.conftest import Open
from conftest import TINY_REGRESSION, sql
from optuna.trial import TrialState

from hw1.analysis.analyze import search_figures
from hw1.analysis.evaluation import CROSS_VALIDATIONS, TESTS, evaluate
from hw1.analysis.nested import NESTED
from hw1.analysis.report.gather import gather
from hw1.analysis.results import StudyResults, configuration, list_studies, open_study
from hw1.analysis.training import cross_validate_again, retrain
from hw1.errors import InputError
from hw1.study import Study


def test_trials_are_a_table_of_all_that_is_stored(open_results: Open, analysed_url: str) -> None:
    results = open_results("regression-tpe")
    table = results.trials
    stored = optuna.load_study(study_name="regression-tpe", storage=analysed_url).trials
    assert table.index.tolist() == [t.number for t in stored]
    for trial in stored:
        row = table.loc[trial.number]
        complete = trial.state == TrialState.COMPLETE
        assert row["state"] == ("completed" if complete else "pruned")
        assert row["value"] == trial.value if complete else np.isnan(row["value"])
        assert row["fold_scores"] == trial.user_attrs["fold_scores"]
        assert row["params_lr"] == trial.params["lr"]
        assert row["params_batch_size"] == trial.params["batch_size"]


@pytest.mark.parametrize("name", ["regression-random", "classification-random"])
def test_the_best_trial_is_optunas(open_results: Open, analysed_url: str, name: str) -> None:
    results = open_results(name)
    stored = optuna.load_study(study_name=name, storage=analysed_url)
    assert results.best_params == stored.best_params
    assert results.trial().number == stored.best_trial.number
    values = [trial.value for trial in results.top(3)]
    assert values == sorted((t.value for t in stored.trials), reverse=results.metric.maximize)[:3]
    assert len(results.top(100)) == 4


def test_the_configuration_is_what_the_trial_was_trained_with(open_results: Open) -> None:
    trial = open_results().trial(2)
    found = configuration(trial)
    assert found.lr == trial.params["lr"]
    assert found.batch_size == trial.params["batch_size"]
    assert found.model == {"widths": [8]}


def test_training_and_test_rows_are_those_of_the_study(open_results: Open) -> None:
    results = open_results("classification-random")
    assert results.dataset.fingerprint == results.settings.fingerprint
    test = results.test_rows()
    assert len(test) == 360
    assert test.fingerprint != results.settings.fingerprint


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A CSV file of 30 examples."""
    path = tmp_path / "train.csv"
    path.write_text("x,y\n" + "".join(f"{i},{i * i}\n" for i in range(30)))
    return path


def test_rows_that_have_changed_are_not_analyzed(run_study: Open, data: Path) -> None:
    results = run_study(train_csv=str(data))
    assert results.test_rows() is None
    assert len(results.dataset) == 30
    data.write_text("x,y\n" + "".join(f"{i},{i}\n" for i in range(30)))
    with pytest.raises(InputError, match=r"training examples of 'tiny' have changed"):
        _ = open_study(results.study, definition=results.job.source).dataset


def test_a_study_file_whose_csv_has_no_test_rows_says_what_to_do(
    run_study: Open, data: Path
) -> None:
    source = TINY_REGRESSION.replace("import function", "import tabular")
    results = run_study(source.replace("function.load", f"tabular.loader({str(data)!r})"))
    assert len(results.dataset) == 30
    with pytest.raises(InputError, match=r"no test file .*: evaluate with --no-test, or name one"):
        results.test_rows()


def test_trials_that_cannot_be_analysed_are_named(open_results: Open) -> None:
    results = open_results()
    study = results.study.optuna_study
    failed = study.ask()
    study.tell(failed, state=TrialState.FAIL)
    foreign = study.ask()
    study.tell(foreign, 1e-9)
    for number, words in (
        (17, "has no trial 17: its trials are 0 to 5"),
        (failed.number, "is interrupted: choose a completed one"),
        (foreign.number, "was not made by hw1"),
        (None, f"trial {foreign.number} of 'regression-random' was not made by hw1"),
    ):
        with pytest.raises(InputError, match=re.escape(words)):
            results.trial(number)
    with pytest.raises(InputError, match="choose a completed or pruned one"):
        results.trial(failed.number, pruned=True)


def test_a_study_without_completed_trials_says_so(make_study: Callable[..., Study]) -> None:
    results = open_study(make_study())
    assert results.trials.empty
    with pytest.raises(InputError, match="has no trial 0: its trials are none yet"):
        results.trial(0)


def test_a_record_replaces_those_of_the_same_values(open_results: Open) -> None:
    results = open_results()
    results.store("notes", {"trial": 1, "text": "a"}, trial=1)
    results.store("notes", {"trial": 2, "text": "b"}, trial=2)
    results.store("notes", {"trial": 1, "text": "c"}, trial=1)
    results.store("notes", {"trial": 1, "text": "d"})
    again = open_results()
    assert [r["text"] for r in again.stored("notes")] == ["b", "c", "d"]
    assert [r["text"] for r in again.stored("notes", trial=1)] == ["c", "d"]


@pytest.mark.parametrize("key", [CROSS_VALIDATIONS, TESTS, NESTED])
def test_damaged_records_are_named(open_results: Open, key: str) -> None:
    results = open_results()
    evaluate(results, n_repeats=1, n_seeds=1, nested=(2, 2), baselines=False)
    (good,) = results.stored(key)
    damaged: list[object] = [5, [5], {"a": 1}, [{"trial": 0}], [{"trial": 0, "seeds": 1}]]
    damaged += [[{k: v for k, v in good.items() if k != "scores"}]]
    odd = (None, True, "1", [], [[]], [1, [2]], {}, [None, "a"], [float("nan")], -1.5)
    damaged += [[good | {"scores": value}] for value in odd]
    damaged += [[good | {name: [[{}]]}] for name in good]
    for value in damaged:
        results.study.optuna_study.set_user_attr(key, value)
        with pytest.raises(InputError, match=rf"{key} of 'regression-random' .* is damaged"):
            evaluate(open_results(), n_repeats=1, n_seeds=1, nested=(2, 2), baselines=False)
    with pytest.raises(InputError, match=rf"{key} of 'regression-random' .* is damaged"):
        gather([open_results()], lambda results: Path("none"))


DAMAGED_DETAILS = [
    ("curves", [5]),
    ("curves", [[1.0, 2.0, 3.0]]),
    ("curves", [[1.0, 2.0]] * 4),
    ("curves", [[1.0, 2.0, "3"]] * 4),
    ("training_losses", [1.0, 2.0]),
    ("training_scores", [1.0, 2.0, 3.0, "4"]),
    ("validation_losses", [1.0, None, 3.0, {}]),
    ("confusion", 5),
    ("batch", [{}]),
    ("batch", [99]),
    ("provenance", {"a": 1}),
    ("provenance", {"torch": "2", "system": "a", "processor": "b", "threads": "4"}),
    ("provenance", {"torch": "2", "system": "a", "processor": "b", "threads": 10**30}),
]


@pytest.fixture
def twice(run_study: Open) -> Callable[..., StudyResults]:
    """Makes a study of a trial and its copy, some of whose attributes are other ones."""

    def make(**attributes: object) -> StudyResults:
        results = run_study(epochs=4, n_trials=1)
        bad = copy.deepcopy(results.study.trials()[0])
        bad.user_attrs.update({"batch": [1]} | attributes)
        results.study.optuna_study.add_trial(bad)
        return open_study(results.study, definition=results.job.source)

    return make


@pytest.mark.parametrize(("name", "value"), DAMAGED_DETAILS)
def test_damaged_details_of_trials_are_named(twice: Open, name: str, value: object) -> None:
    """Of the best trial, and in a report of any."""
    results = twice(**{name: value})
    for work in (
        lambda: results.trial(1),
        lambda: results.trial(1, pruned=True),
        lambda: gather([results], lambda results: Path("none")),
    ):
        with pytest.raises(InputError, match=r"trial 1 of 'tiny' in .* is damaged"):
            work()


def test_a_parameter_of_two_kinds_is_named(twice: Open, url: str) -> None:
    results = twice()
    # The names of two parameters of one trial are exchanged.
    change = "UPDATE trial_params SET param_name = ? WHERE param_name = ? AND trial_id = 2"
    for old, new in (("lr", "x"), ("batch_size", "lr"), ("x", "batch_size")):
        sql(url, change, new, old)
    for work in (lambda: search_figures(results), lambda: gather([results], lambda r: Path("x"))):
        with pytest.raises(InputError, match=r"trial 1 of 'tiny' in .* is damaged"):
            work()


@pytest.mark.parametrize("model", [{"widths": [8, {}]}, {"widths": 8}, {"\u0663": 1}])
def test_a_damaged_network_is_named(twice: Open, model: dict[str, object]) -> None:
    results = twice(configuration={"model": model})
    trial = results.trial(1)
    for work in (
        lambda: evaluate(results, 1, n_repeats=1, baselines=False),
        lambda: retrain(results, trial),
        lambda: cross_validate_again(results, [trial]),
    ):
        with pytest.raises(InputError, match=r"network of trial 1 of 'tiny' in .* is damaged"):
            work()


def test_data_are_loaded_to_the_device(open_results: Open) -> None:
    assert open_results(device="cpu").dataset.inputs.device == torch.device("cpu")


def test_studies_are_listed_with_their_best_values(
    analysed_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    optuna.create_study(storage=analysed_url, study_name="foreign")
    table = list_studies(analysed_url)
    assert sorted(table.index) == [
        "classification-random",
        "classification-tpe",
        "regression-random",
        "regression-tpe",
    ]
    for name, row in table.iterrows():
        stored = optuna.load_study(study_name=str(name), storage=analysed_url)
        assert row["best_value"] == stored.best_value
    monkeypatch.setenv("OPTUNA_STORAGE", analysed_url)
    assert list_studies().equals(table)
    assert open_study("regression-tpe").name == "regression-tpe"
