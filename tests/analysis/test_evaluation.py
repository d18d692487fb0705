from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from analysis.conftest import Open
from conftest import TINY_CLASSIFICATION, TINY_REGRESSION
from sklearn.metrics import accuracy_score, mean_squared_error

from hw1.analysis import evaluation
from hw1.analysis.evaluation import (
    CROSS_VALIDATIONS,
    TESTS,
    repeated_cross_validation,
    stored_evaluation,
)
from hw1.analysis.network import predict
from hw1.analysis.scores import for_json, score_rows
from hw1.analysis.standings import ENSEMBLE, NETWORK, scores_table
from hw1.analysis.statistics import over_rows_and_seeds
from hw1.analysis.text import evaluation_lines
from hw1.analysis.training import retrain, score_folds
from hw1.cross_validation import Splits
from hw1.datasets import Dataset
from hw1.errors import InputError
from hw1.watching import Watcher

evaluate = partial(evaluation.evaluate, baselines=False)  # which test_beside.py is about


@pytest.mark.parametrize("name", ["regression-random", "classification-random"])
def test_test_scores_are_those_of_scikit_learn_and_their_intervals_those_of_the_rows(
    open_results: Open, name: str
) -> None:
    results = open_results(name)
    whole = evaluate(results, n_repeats=1, n_seeds=3)
    assert whole.trial == results.study.best_trial().number
    found, test = whole.test, results.test_rows()
    outputs = torch.stack(
        [predict(network, test.inputs) for network in retrain(results, results.trial(), 3).networks]
    )
    y = test.targets.numpy()
    # The ensemble: they, and those of the first repeat, which have each not seen a fold.
    repeat = 0, Splits.draw_fresh(results.dataset, results.settings.n_splits, 0, 0)
    _, folds = score_folds(results, results.trial(), [repeat], 0)
    for network, rows, told in zip(
        folds,
        repeat[1].validation_rows(),
        whole.cross_validation.scores[0],
        strict=True,
    ):
        seen = results.dataset.take(rows)
        outside = score_rows(results.metric, predict(network, seen.inputs)[None], seen)
        assert outside == pytest.approx([told], rel=1e-4)
    members = torch.cat([outputs, torch.stack([predict(one, test.inputs) for one in folds])])
    assert found.members == f"3 seeds and {len(folds)} folds"
    if test.task == "regression":
        score, mean, said = mean_squared_error, members.mean(0).numpy(), outputs.numpy()
        losses, together = (said - y)[:, :, 0] ** 2, (mean - y)[:, 0] ** 2
    else:
        score, mean = accuracy_score, members.softmax(2).mean(0).argmax(1).numpy()
        said = outputs.argmax(2).numpy()
        losses, together = (said == y).astype(float), (mean == y).astype(float)
    assert found.scores == pytest.approx([score(y, o) for o in said], rel=1e-5)
    assert found.ensemble == pytest.approx(score(y, mean), rel=1e-5)
    assert found.n_rows == len(test)
    assert found.fingerprint == test.fingerprint
    assert found.epochs == results.trial().user_attrs["best_epoch"]
    metric = results.metric.name
    for estimate, of in (
        (found.estimate, over_rows_and_seeds(losses, metric)),
        (found.ensemble_estimate, over_rows_and_seeds(together[None], metric)),
    ):
        assert (estimate.low, estimate.high) == pytest.approx(of, rel=1e-4)
        assert estimate.low < estimate.mean < estimate.high
    # That of the seeds alone says nothing about other rows.
    alone = np.ptp(found.scores)
    assert found.estimate.high - found.estimate.low > alone


def test_an_evaluation_of_an_older_version_is_shown_without_intervals(open_results: Open) -> None:
    evaluate(open_results(), n_repeats=1, n_seeds=3)
    results = open_results()
    new = {"n_folds", "interval", "ensemble_interval", "n_largest", "share_largest", "metric"}
    for key in (TESTS, CROSS_VALIDATIONS):
        records = results.stored(key)
        old = [{k: v for k, v in record.items() if k not in new} for record in records]
        results.study.optuna_study.set_user_attr(key, old)
    words: list[str] = []
    found = evaluate(open_results(), n_repeats=1, n_seeds=3, watcher=Watcher(words.append))
    assert words == []
    lines = "\n".join(evaluation_lines(found))
    assert lines.count("95% confidence interval") == 1  # of the cross-validation
    assert found.cross_validation.estimate.low > 0
    assert "the interval covers" not in lines
    assert for_json(found)["test"]["estimate"]["low"] is None


def test_what_the_intervals_cover_is_said_and_heavy_tails_too(open_results: Open) -> None:
    found = evaluate(open_results(), n_repeats=1, n_seeds=3)
    lines = "\n".join(evaluation_lines(found))
    assert lines.count("95% confidence interval") == 3
    assert "covers other test examples, other seeds" in lines
    assert "heavy tails" not in lines
    heavy = replace(found, test=replace(found.test, n_largest=1, share_largest=0.434))
    assert (
        "The largest error of 100 test examples makes up 43% of the mean squared error"
        in evaluation_lines(heavy)[-1]
    )
    few = replace(found, test=replace(found.test, n_rows=9, interval=[None, None]))
    assert "interval covers" not in "\n".join(evaluation_lines(few))
    one = "\n".join(evaluation_lines(evaluate(open_results(), n_repeats=1, n_seeds=1)))
    assert "covers other test examples, not other seeds" in one


def test_a_second_call_shows_what_is_stored(open_results: Open) -> None:
    first = evaluate(open_results(), n_repeats=2, n_seeds=2)
    words: list[str] = []
    second = evaluate(open_results(), n_repeats=2, n_seeds=2, watcher=Watcher(words.append))
    assert words == []
    assert second == first
    assert stored_evaluation(open_results()) == first
    assert first.n_tests == 1
    again = evaluate(
        open_results(), n_repeats=2, n_seeds=2, again=True, watcher=Watcher(words.append)
    )
    assert words
    assert again.n_tests == 2
    assert again.cross_validation.scores == first.cross_validation.scores


def test_more_repeats_are_added_to_those_that_are_stored(open_results: Open) -> None:
    two = evaluate(open_results(), n_repeats=2, test=False)
    words: list[str] = []
    three = evaluate(open_results(), n_repeats=3, test=False, watcher=Watcher(words.append))
    assert three.cross_validation.scores[:2] == two.cross_validation.scores
    assert all(word.startswith("cross-validation, repeat 3,") for word in words)
    assert evaluate(open_results(), n_repeats=2, test=False) == two
    assert three.test is None
    assert three.n_tests == 0


def test_an_interrupted_evaluation_goes_on_from_the_last_repeat(
    run_study: Open,
) -> None:
    """Of networks that are trained one after another, a repeat at a time."""
    source = TINY_CLASSIFICATION.replace("MLP", "CNN").replace("widths", "channels")
    results = run_study(source, n_trials=1, n_splits=2, epochs=1)

    def stop_in_the_second(what: str) -> None:
        if "repeat 2" in what:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(results, n_repeats=3, test=False, watcher=Watcher(stop_in_the_second))
    words: list[str] = []
    found = evaluate(results, n_repeats=3, test=False, watcher=Watcher(words.append))
    assert np.shape(found.cross_validation.scores) == (3, 2)
    assert not any("repeat 1" in word for word in words)


def test_folds_are_fresh_and_those_of_every_study_of_the_same_rows(open_results: Open) -> None:
    one, other = open_results("regression-random"), open_results("regression-tpe")
    folds = [Splits.draw_fresh(one.dataset, 3, 0, repeat) for repeat in range(3)]
    assert len({splits.hash for splits in (*folds, one.study.splits())}) == 4
    assert Splits.draw_fresh(other.dataset, 3, 0, 1).hash == folds[1].hash
    assert Splits.draw_fresh(one.dataset, 3, 1, 1).hash != folds[1].hash


def test_another_trial_and_other_folds_are_evaluations_of_their_own(open_results: Open) -> None:
    results = open_results()
    best = evaluate(results, n_repeats=1, n_seeds=1)
    worst = evaluate(results, results.top(4)[-1].number, n_repeats=1, n_seeds=1)
    more = evaluate(results, n_repeats=1, n_splits=5, n_seeds=1)
    assert worst.trial != best.trial
    assert np.shape(more.cross_validation.scores) == (1, 5)
    assert more.test == best.test
    assert evaluate(results, n_repeats=1, n_seeds=1).cross_validation == best.cross_validation
    assert more.n_tests == 2


def test_without_a_repeat_the_test_examples_are_all_that_is_scored(open_results: Open) -> None:
    results = open_results("classification-random")
    alone = evaluate(results, n_repeats=0, n_seeds=2)
    assert alone.cross_validation is None and not alone.baselines
    assert alone.test is not None and alone.test.members == "2 seeds"
    lines = "\n".join(evaluation_lines(alone))
    assert "test set" in lines and "cross-validation" not in lines
    assert list(scores_table(alone).index) == [NETWORK, ENSEMBLE]
    assert stored_evaluation(results) is None
    whole = evaluate(results, n_repeats=1, n_seeds=2)
    assert whole.test == alone.test and whole.n_tests == 1


def test_bad_numbers_are_named(open_results: Open) -> None:
    with pytest.raises(InputError, match="a repeat or the test examples"):
        evaluate(open_results(), n_repeats=0, test=False)


TRAINED = (
    TINY_REGRESSION.replace("[8]}", '[8], "activation": "tanh"}')
    .replace("default=1e-2", "default=2e-2")
    .replace("default=32", "default=16")
)


def test_the_interval_covers_the_truth_as_often_as_it_says(run_study: Open) -> None:
    """Over many synthetic data sets of 60 rows, with networks that are trained to the end.

    Where they are not, the seeds add noise to the scores, which the interval takes for that of
    the rows: it is then too wide.
    """
    results = run_study(TRAINED, n_splits=2, n_trials=1, epochs=40)
    trial = results.trial()
    rng = np.random.default_rng(0)

    def draw(n_rows: int) -> Dataset:
        x = rng.uniform(-2, 2, (n_rows, 1)).astype(np.float32)
        y = np.sin(x) + rng.normal(0, 0.5, x.shape).astype(np.float32)
        return Dataset("toy", "regression", torch.from_numpy(x), torch.from_numpy(y))

    new = draw(4000)
    estimates, truths = [], []
    for _ in range(120):
        results.dataset = draw(60)
        part = repeated_cross_validation(results, trial, 3, 5, again=True)
        estimates.append(part.estimate)
        # The truth is the mean error on new data of networks trained on as many as a fold's are.
        results.dataset = results.dataset.take(torch.arange(48))
        network = retrain(results, trial).networks[0]
        outputs = predict(network, new.inputs)
        truths.append(mean_squared_error(new.targets.numpy(), outputs.numpy()))
    truth = np.mean(truths)
    covered = np.mean([e.low <= truth <= e.high for e in estimates])
    assert 0.88 <= covered <= 0.99


POISONED = TINY_REGRESSION.replace("function.load,", "load,").replace(
    "study =",
    """
def load(part, data_dir):
    if part == "test":
        raise AssertionError("a study has loaded the test examples")
    return function.load(part, data_dir)

study =""",
)


def test_a_study_and_its_cross_validation_never_load_the_test_rows(run_study: Open) -> None:
    results = run_study(POISONED)
    evaluate(results, n_repeats=1, nested=(2, 2), test=False)
    with pytest.raises(InputError, match="has loaded the test examples"):
        evaluate(results, n_repeats=1)


def test_a_poisoned_test_set_changes_nothing_in_a_study(run_study: Open, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def write(name: str, scale: float) -> str:
        lines = [f"{x},{scale * x}" for x in rng.uniform(-1, 1, 40)]
        (tmp_path / name).write_text("\n".join(["x,y", *lines]))
        return str(tmp_path / name)

    train, good, bad = write("train.csv", 2), write("good.csv", 2), write("bad.csv", -1e30)
    values = []
    for name, test in (("good", good), ("bad", bad), ("none", None)):
        results = run_study(name=name, train_csv=train, test_csv=test)
        part, study = evaluate(results, n_repeats=1), results.study
        values.append(
            ([t.values for t in study.trials()], study.splits().hash, part.cross_validation.scores)
        )
        assert (part.test is None) == (test is None)
    assert values[0] == values[1] == values[2]
