"""Baselines on a network's folds and test examples: by scikit-learn's own hand, and stored once."""

import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from analysis.conftest import Open
from conftest import TINY_REGRESSION
from sklearn.linear_model import RidgeCV
from sklearn.metrics import mean_squared_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hw1.analysis import evaluate, scores_table
from hw1.analysis.beside import SCORES, TESTS, _in_background
from hw1.analysis.evaluation import Evaluation, stored_evaluation
from hw1.analysis.figures.beside import beside_figures
from hw1.analysis.figures.marks import Points
from hw1.analysis.results import StudyResults, open_study
from hw1.analysis.scores import for_json
from hw1.analysis.standings import ENSEMBLE, NETWORK, standings, verdict
from hw1.analysis.statistics import corrected_t_test
from hw1.analysis.text import evaluation_lines
from hw1.cross_validation import Splits
from hw1.watching import Watcher
from hw1.words import number


@dataclass(frozen=True)
class Evaluated:
    """A study and its evaluation, which takes seconds and is made once."""

    results: StudyResults
    found: Evaluation


@pytest.fixture(scope="module")
def evaluated(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    folder = tmp_path_factory.mktemp("evaluated")
    for path in finished.glob("studies.db*"):
        shutil.copy(path, folder)
    files = sorted(finished.glob("*.py"))
    results = open_study(
        "regression-random", storage=f"sqlite:///{folder}/studies.db", definition=files
    )
    return Evaluated(results, evaluate(results, n_repeats=2, n_seeds=2))


def test_they_stand_on_the_folds_and_the_test_examples_of_the_network(evaluated: Evaluated) -> None:
    results, found = evaluated.results, evaluated.found
    (ridge,) = [one for one in found.baselines if one.name == "ridge regression"]
    data, test = results.dataset, results.test_rows()
    x, y = data.inputs.double().numpy(), data.targets.numpy()

    def fitted(rows: np.ndarray) -> RidgeCV:
        alphas = np.logspace(-3, 3, 13)
        return make_pipeline(StandardScaler(), RidgeCV(alphas)).fit(x[rows], y[rows])

    for repeat, scores in enumerate(ridge.cross_validation.scores):
        folds = Splits.draw_fresh(data, 3, 0, repeat).folds
        for fold, score in enumerate(scores):
            said = fitted(folds != fold).predict(x[folds == fold])
            assert score == pytest.approx(mean_squared_error(y[folds == fold], said))
    said = fitted(np.arange(len(x))).predict(test.inputs.double().numpy())
    assert ridge.test is not None
    assert ridge.test.score == pytest.approx(mean_squared_error(test.targets.numpy(), said))
    assert ridge.test.estimate.low < ridge.test.score < ridge.test.estimate.high
    by_hand = corrected_t_test(
        found.cross_validation.scores, ridge.cross_validation.scores, len(found.baselines)
    )
    assert ridge.difference == by_hand
    means = [one.cross_validation.estimate.mean for one in found.baselines]
    assert len(means) == 6
    assert means == sorted(means)
    assert found.n_tests == 1


def test_the_figure_has_a_dot_and_an_interval_for_every_score(evaluated: Evaluated) -> None:
    found = evaluated.found
    (figure,) = beside_figures(found)
    assert verdict(found) in figure.caption
    rows = standings(found)
    assert [name for _, name in figure.panels[0].y.ticks] == [row.name for row in rows]
    assert [panel.y.labeled for panel in figure.panels] == [True, False]
    for panel, scores in zip(
        figure.panels,
        ([row.cross_validation for row in rows], [row.test for row in rows]),
        strict=True,
    ):
        dots = {mark.y[0]: mark.x[0] for mark in panel.marks if isinstance(mark, Points)}
        inside = {i: one.mean for i, one in enumerate(scores) if one is not None}
        low, high = panel.x.range
        assert dots.keys() == inside.keys() and all(low <= at <= high for at in dots.values())
        assert all(at == inside[i] for i, at in dots.items() if low < inside[i] < high)
    assert beside_figures(replace(found, baselines=[])) == []


def test_they_are_fitted_once_for_all_studies_of_the_same_data(open_results: Open) -> None:
    words: list[str] = []
    watcher = Watcher(words.append)
    first = evaluate(open_results(), n_repeats=1, n_seeds=1, watcher=watcher)
    assert any("baselines: Gaussian process, fit 2 of 3" in word for word in words)
    words.clear()
    assert evaluate(open_results(), n_repeats=1, n_seeds=1, watcher=watcher) == first
    assert words == []
    assert stored_evaluation(open_results()) == first
    other = evaluate(open_results("regression-tpe"), n_repeats=1, n_seeds=1, watcher=watcher)
    assert words
    assert not any("baselines" in word for word in words)
    assert [one.cross_validation for one in other.baselines] == [
        one.cross_validation for one in first.baselines
    ]
    words.clear()
    more = evaluate(open_results(), n_repeats=2, test=False, watcher=watcher)
    assert any("baselines: mean, fit 1 of 3" in word for word in words)
    for one in more.baselines:
        (before,) = [b for b in first.baselines if b.name == one.name]
        assert one.cross_validation.scores[:1] == before.cross_validation.scores
        assert np.shape(one.cross_validation.scores) == (2, 3)
        assert one.test is None
    assert not evaluate(open_results(), n_repeats=1, n_seeds=1, baselines=False).baselines


def test_their_metric_is_the_studys(run_study: Open) -> None:
    source = TINY_REGRESSION.replace("n_trials=4", 'n_trials=1, metric="mean_absolute_error"')
    results = run_study(source)
    found = evaluate(results, n_repeats=1, n_seeds=1)
    (mean,) = [one for one in found.baselines if one.name == "mean"]
    y = results.test_rows().targets.numpy()
    error = np.abs(y - results.dataset.targets.numpy().mean()).mean()
    assert mean.test.score == pytest.approx(error, rel=1e-5)


def test_the_network_stands_among_them_in_the_terminal_in_a_table_and_in_json(
    open_results: Open,
) -> None:
    found = evaluate(open_results(), n_repeats=1, n_seeds=2)
    names = [row.name for row in standings(found)]
    assert names.index(ENSEMBLE) == names.index(NETWORK) + 1
    best, lines = found.baselines[0], evaluation_lines(found)
    assert lines[-1] == verdict(found)
    assert f"its ensemble scores {number(found.test.ensemble)}, {best.name} " in lines[-1]
    for name in names:
        assert sum(line.startswith(f"    {name}  ") for line in lines) == 1
    scores = np.array(best.cross_validation.scores)
    for more, said in ((-9, "outperforms"), (0, "Chance alone may"), (9, "does not reach")):
        difference = corrected_t_test(scores * 0.999 + more, scores, 6)
        told = replace(found, baselines=[replace(best, difference=difference)])
        assert said in verdict(told)
    assert verdict(replace(found, baselines=[])) == ""

    table = scores_table(found)
    assert table.loc[NETWORK, "cv_mean"] == found.cross_validation.estimate.mean
    assert table.loc[ENSEMBLE, "test_mean"] == found.test.ensemble
    assert table["cv_mean"].dropna().is_monotonic_increasing
    assert table.loc["mean", "difference_mean"] == pytest.approx(
        table.loc[NETWORK, "cv_mean"] - table.loc["mean", "cv_mean"]
    )
    for one in for_json(found)["baselines"]:
        estimate = one["cross_validation"]["estimate"]
        assert estimate["mean"] == table.loc[one["name"], "cv_mean"]
        assert one["test"]["score"] == table.loc[one["name"], "test_mean"]


def test_damaged_ones_are_named(evaluated: Evaluated) -> None:
    results = evaluated.results
    for key, name in ((SCORES, "scores"), (TESTS, "interval")):
        records = results.stored(key)
        bad = [records[0] | {name: "no"}, *records[1:]]
        results.study.optuna_study.set_user_attr(key, bad)
        with pytest.raises(ValueError, match=f"{key} of 'regression-random'"):
            stored_evaluation(results)
        results.study.optuna_study.set_user_attr(key, records)


def test_ctrl_c_does_not_wait_for_a_fit() -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        _in_background([lambda: time.sleep(5)] * 2, 2, lambda n: None, stop)
    assert time.monotonic() - started < 2
    assert _in_background([lambda i=i: i for i in range(9)], 3, lambda n: None, stop) == [*range(9)]
    with pytest.raises(ZeroDivisionError):
        _in_background([lambda: 1 // 0], 1, lambda n: None, lambda: None)


def test_a_fit_has_one_thread() -> None:
    import sklearn.ensemble  # noqa: F401 -- brings its OpenMP
    from threadpoolctl import threadpool_info

    (found,) = _in_background([threadpool_info], 1, lambda n: None, lambda: None)
    assert {one["num_threads"] for one in found} == {1}
    assert torch.get_num_threads() == 1
