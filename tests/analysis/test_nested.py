import math

import numpy as np
import optuna
import pytest
from analysis.conftest import Open

from hw1.analysis.evaluation import evaluate
from hw1.analysis.nested import nested_cross_validation
from hw1.analysis.network import predict
from hw1.analysis.scores import for_json
from hw1.analysis.text import evaluation_lines
from hw1.analysis.training import retrain
from hw1.cross_validation import Splits
from hw1.errors import InputError
from hw1.names import searches_within
from hw1.watching import Watcher


def test_each_outer_fold_is_scored_by_what_a_search_found_without_it(
    open_results: Open, analysed_url: str
) -> None:
    results = open_results()
    found = nested_cross_validation(results, 3, 2)
    names = [f"regression-random-outer{k}of3x2" for k in (1, 2, 3)]
    assert searches_within(results.study.storage, "regression-random") == names
    outer = Splits.draw_outer(results.dataset, 3, results.settings.seed)
    for fold, name in enumerate(names):
        part = open_results(name)
        assert part.study.n_trials == results.study.n_trials == len(part.study.trials())
        assert part.settings.n_splits == 2
        assert part.settings.sampler == "random"
        # Its rows are those outside the fold, in their order.
        outside = outer.training_rows()[fold]
        assert part.dataset.targets.equal(results.dataset.targets[outside])
        best = part.study.best_trial()
        assert found.trials[fold] == best.number
        rows = outer.validation_rows()[fold]
        network = retrain(part, best).networks[0]
        outputs = predict(network, results.dataset.inputs[rows])
        mse = float((outputs - results.dataset.targets[rows]).double().square().mean())
        assert found.scores[fold] == pytest.approx(mse, rel=1e-5)
    scores = np.array(found.scores, dtype=float)
    assert found.estimate.mean == pytest.approx(scores.mean())
    spread = scores.std(ddof=1) * math.sqrt(1 / 3 + 1 / 2)
    factor = math.exp(4.302653 * spread / scores.mean())
    assert found.estimate.high == pytest.approx(scores.mean() * factor, rel=1e-5)
    assert found.estimate.low == pytest.approx(scores.mean() / factor, rel=1e-5)


def test_an_interrupted_one_goes_on_where_it_stopped(open_results: Open) -> None:
    def stop_in_the_second(what: str) -> None:
        if "fold 2 of 3" in what:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nested_cross_validation(open_results(), 3, 2, watcher=Watcher(stop_in_the_second))
    part = evaluate(open_results(), n_repeats=1, test=False, baselines=False)
    assert len(part.nested.scores) == 1
    assert "1 of 3 outer folds" in "\n".join(evaluation_lines(part))
    assert for_json(part)["nested"]["estimate"]["std"] is None
    words: list[str] = []
    found = nested_cross_validation(open_results(), 3, 2, watcher=Watcher(words.append))
    assert len(found.scores) == 3
    assert not any("fold 1 of 3" in word for word in words)
    words.clear()
    assert nested_cross_validation(open_results(), 3, 2, watcher=Watcher(words.append)) == found
    assert words == []


def test_a_search_within_one_is_not_nested_again(open_results: Open, analysed_url: str) -> None:
    nested_cross_validation(open_results(), 2, 2)
    part = open_results("regression-random-outer1of2x2")
    with pytest.raises(InputError, match="is itself part of a nested cross-validation"):
        nested_cross_validation(part, 2, 2)


def test_folds_that_cannot_be_drawn_are_named(open_results: Open, analysed_url: str) -> None:
    with pytest.raises(InputError, match="too few for 101 folds"):
        nested_cross_validation(open_results(), 101, 2)
    assert len(optuna.get_all_study_names(analysed_url)) == 4
