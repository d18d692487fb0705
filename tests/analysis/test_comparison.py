from collections.abc import Callable

import numpy as np
import pytest

from hw1.analysis.comparison import compare
from hw1.analysis.evaluation import evaluate
from hw1.analysis.results import StudyResults
from hw1.analysis.statistics import corrected_t_test
from hw1.errors import InputError
from hw1.watching import Watcher

Open = Callable[..., StudyResults]


def test_studies_are_scored_on_the_same_folds_and_tested_in_pairs(open_results: Open) -> None:
    studies = [open_results("regression-random"), open_results("regression-tpe")]
    found = compare(studies, n_repeats=3)
    assert np.shape([part.scores for part in found.studies.values()]) == (2, 3, 3)
    means = [part.estimate.mean for part in found.studies.values()]
    assert means == sorted(means)  # the lowest error is the best
    (pair,) = found.pairs
    assert [pair.first, pair.second] == list(found.studies)
    a, b = (part.scores for part in found.studies.values())
    test = corrected_t_test(a, b)  # type: ignore[arg-type]
    assert (pair.difference, pair.t, pair.p) == (test.difference, test.t, test.p)
    assert pair.difference.mean == pytest.approx(means[0] - means[1])


def test_what_was_evaluated_is_not_trained_again_and_the_other_way_round(
    open_results: Open,
) -> None:
    names = ["regression-random", "regression-tpe"]
    evaluated = evaluate(open_results(names[0]), n_repeats=2, test=False)
    words: list[str] = []
    found = compare([open_results(n) for n in names], n_repeats=2, watcher=Watcher(words.append))
    assert found.studies[names[0]] == evaluated.cross_validation
    assert words and all(word.startswith("regression-tpe: ") for word in words)
    words.clear()
    part = evaluate(open_results(names[1]), n_repeats=2, test=False, watcher=Watcher(words.append))
    assert part.cross_validation == found.studies[names[1]]
    assert words == []


BAD = """
from hw1.datasets import function
from hw1.models import MLP
from hw1.definition import StudyDefinition
from hw1.training import Configuration

study = StudyDefinition(
    dataset=function.load, task="regression", model=MLP,
    search_space=lambda trial: Configuration(
        model={"widths": [32, 32], "activation": "tanh"},
        lr=trial.suggest_float("lr", LOW, HIGH, default=LOW), batch_size=16,
    ),
    n_trials=1, n_splits=3, epochs=30, pruner="none",
)
"""


def test_a_real_difference_is_found_and_chance_is_called_chance(run_study: Open) -> None:
    rates = (("good", 0.01, 0.011), ("same", 0.0105, 0.0111), ("bad", 1e-6, 1.1e-6))
    studies = [
        run_study(BAD.replace("LOW", str(low)).replace("HIGH", str(high)), name)
        for name, low, high in rates
    ]
    found = compare(studies)
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


def test_what_cannot_be_compared_is_named(open_results: Open) -> None:
    one = open_results("regression-random")
    for studies in ([one], [one, open_results("regression-random")]):
        with pytest.raises(InputError, match="two or more different studies"):
            compare(studies)
    with pytest.raises(InputError, match="only studies of one metric"):
        compare([one, open_results("classification-tpe")])
