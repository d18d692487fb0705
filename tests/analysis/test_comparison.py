import re

import numpy as np
import pytest
from analysis.conftest import Open
from conftest import TINY_REGRESSION

from hw1.analysis.comparison import compare
from hw1.analysis.evaluation import evaluate
from hw1.analysis.results import StudyResults
from hw1.analysis.statistics import corrected_t_test
from hw1.watching import Watcher


def test_studies_are_scored_on_the_same_folds_and_tested_in_pairs(open_results: Open) -> None:
    studies = [open_results("regression-random"), open_results("regression-tpe")]
    found = compare(studies, n_repeats=3)
    assert np.shape([part.scores for part in found.studies.values()]) == (2, 3, 3)
    means = [part.estimate.mean for part in found.studies.values()]
    assert means == sorted(means)  # the lowest error is the best
    (pair,) = found.pairs
    assert [pair.first, pair.second] == list(found.studies)
    a, b = (part.scores for part in found.studies.values())
    test = corrected_t_test(a, b)
    assert (pair.difference, pair.t, pair.p) == (test.difference, test.t, test.p)
    assert pair.difference.mean == pytest.approx(means[0] - means[1])


def test_what_was_evaluated_is_not_trained_again_and_the_other_way_round(
    open_results: Open,
) -> None:
    names = ["regression-random", "regression-tpe"]
    evaluated = evaluate(open_results(names[0]), n_repeats=2, test=False, baselines=False)
    words: list[str] = []
    found = compare([open_results(n) for n in names], n_repeats=2, watcher=Watcher(words.append))
    assert found.studies[names[0]] == evaluated.cross_validation
    assert words and all(word.startswith("regression-tpe: ") for word in words)
    words.clear()
    part = evaluate(
        open_results(names[1]),
        n_repeats=2,
        test=False,
        watcher=Watcher(words.append),
        baselines=False,
    )
    assert part.cross_validation == found.studies[names[1]]
    assert words == []


def test_a_real_difference_is_found_and_chance_is_called_chance(run_study: Open) -> None:
    def study(name: str, lr: float) -> StudyResults:
        source = TINY_REGRESSION.replace("[8]}", '[32, 32], "activation": "tanh"}')
        source = re.sub(r"trial.suggest_float\(.*\)", str(lr), source).replace("=32", "=16")
        return run_study(source, name, n_trials=1, epochs=30, pruner="none")

    found = compare([study("good", 0.01), study("same", 0.0105), study("bad", 1e-6)])
    assert list(found.studies)[2] == "bad"
    assert len(found.pairs) == 3
    for pair in found.pairs:
        assert "95% confidence interval" in pair.sentence and "jointly for 3 pairs" in pair.sentence
        if pair.second == "bad":
            assert f"the best configuration of {pair.first} is lower than that of bad by" in (
                pair.sentence
            )
            assert "more than chance explains" in pair.sentence
            assert pair.difference.high < 0
        else:
            assert "the data don't show which of the two is better" in pair.sentence
            assert pair.difference.low < 0 < pair.difference.high
        assert "better." not in pair.sentence.replace("which of the two is better.", "")
