from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from hw1.analysis.comparison import compare
from hw1.analysis.evaluation import CROSS_VALIDATIONS, evaluate
from hw1.analysis.figures.marks import Line
from hw1.analysis.report.gather import gather
from hw1.analysis.results import StudyResults
from hw1.errors import InputError
from hw1.study import FACTS_KEY

Made = Any


def test_pairs_are_those_that_compare_finds(open_results: Callable[..., StudyResults]) -> None:
    studies = [open_results(f"regression-{sampler}") for sampler in ("random", "tpe")]
    for results in studies:
        evaluate(results, n_repeats=2, test=False, baselines=False)
    found = compare([open_results(r.name) for r in studies], n_repeats=2)
    (problem,) = gather([open_results(r.name) for r in studies], lambda r: Path("none")).problems
    assert problem.repeats == (2, 3, 0)
    assert problem.comparison.pairs == found.pairs
    assert list(problem.comparison.studies) == list(found.studies)
    assert problem.lead.name == found.pairs[0].first


def keep(results: StudyResults, scores: Any, trial: int | None = None, **folds: int) -> None:
    """Store a cross-validation, of the best trial unless another one is given."""
    number = results.trial(trial).number
    record = {"trial": number, "n_splits": 3, "seed": 0, "scores": scores, "provenance": {}}
    results.store(CROSS_VALIDATIONS, record | folds)


def test_the_repeats_that_all_have_are_compared(made: Made) -> None:
    """By the corrected t-test, written out."""
    scores = {"a": np.arange(9.0).reshape(3, 3) ** 2, "b": np.ones((2, 3))}
    for name, of in scores.items():
        results = made.study(name)
        keep(results, of.tolist(), seed=4)
        if name == "a":
            keep(results, [[0.0] * 5], n_splits=5)
    (problem,) = made.facts(*[made.open(n) for n in "ab"]).problems
    assert problem.repeats == (2, 3, 4)
    (pair,) = problem.comparison.pairs
    assert pair.first == "b"
    differences = 1 - np.arange(6.0) ** 2
    error = differences.std(ddof=1) * np.sqrt(1 / 6 + 1 / 2)
    assert pair.t == pytest.approx(differences.mean() / error)
    assert pair.p == pytest.approx(2 * stats.t.sf(abs(differences.mean() / error), 5))


def test_other_trials_and_diverged_networks_are_not_compared(made: Made) -> None:
    for name in "abc":
        results = made.study(name)
        other = results.top(2)[1].number if name == "c" else None
        keep(results, [[1.0, 2.0, None if name == "b" else 3.0]], other)
    (problem,) = made.facts(*[made.open(n) for n in "abc"]).problems
    assert problem.comparison is None
    assert [study.name for study in problem.left_out] == ["a", "b", "c"]


def test_studies_of_other_rows_are_other_problems(made: Made) -> None:
    studies = [made.study(n, fingerprint=f) for n, f in (("a", "1"), ("b", "2"), ("c", "1"))]
    found = made.facts(*studies)
    assert [[s.name for s in p.studies] for p in found.problems] == [["a", "c"], ["b"]]
    assert [p.distribution is None for p in found.problems] == [False, True]
    assert len(found.spaces) == 1


def test_the_distributions_are_those_that_the_trials_were_made_with(made: Made) -> None:
    results = made.study()
    found = made.only(results).distributions
    for trial in results.study.trials():
        for name, distribution in trial.distributions.items():
            assert found[name] == [distribution]


def test_figures_of_the_best_of_several_trials_are_taken(made: Made) -> None:
    results = made.study()
    assert made.only(results).analyzed == []
    made.analysed(results, 1)
    found = made.only(results)
    assert found.analyzed == [1]
    assert "inside_weights" in [figure.name for figure in found.figures]
    drawn = next(figure for figure in found.figures if figure.name == "fitted_function")
    (line,) = drawn.panels[0].marks
    assert isinstance(line, Line) and np.array_equal(line.y, np.arange(5.0) ** 2)
    made.analysed(made.study("other"), 1)
    (made.path / "figures" / "made").rename(made.path / "figures" / "old")
    (made.path / "figures" / "other").rename(made.path / "figures" / "made")
    assert made.only(results).analyzed == []  # those of another study


def test_learning_curves_come_from_storage_without_an_analysis(made: Made) -> None:
    curves = [[1 / (epoch + fold + 1) for fold in range(3)] for epoch in range(30)]
    found = made.only(made.study(kept={"curves": curves, "epochs": 30}))
    (figure,) = [one for one in found.figures if not one.name.startswith("search_")]
    assert figure.name == "learning_curves"
    line = figure.panels[0].marks[0]
    assert isinstance(line, Line) and list(line.y) == [curve[0] for curve in curves]
    assert found.analyzed == []


def test_they_show_training_where_it_is_stored(made: Made) -> None:
    kept = {name: [0.5] * 29 + [None] for name in ("training_losses", "validation_losses")}
    kept |= {"training_scores": [2.0] * 30, "curves": [[1.0] * 3] * 30, "epochs": 30}
    found = made.only(made.study(kept=kept))
    (figure,) = [one for one in found.figures if one.name == "learning_curves"]
    assert figure.panels[0].y.label == "loss"


def test_bad_input_is_named(made: Made) -> None:
    one = made.study("one")
    empty = made.study("empty", n_trials=0)
    with pytest.raises(InputError, match="no trial of 'empty' has completed yet"):
        made.facts(one, empty)
    for studies in ([], [one, made.open("one")]):
        with pytest.raises(InputError, match="one or more different studies"):
            made.facts(*studies)


@pytest.mark.parametrize(
    ("facts", "inputs", "outputs"),
    [
        (None, "–", "–"),  # of an older version
        ({"input_shape": [1], "feature_names": ["x"]}, "1 feature, x", "y"),
        ({"input_shape": [1, 28, 28], "class_names": ["a", "b"]}, "28 × 28 pixels", "2 classes"),
        ({"input_shape": [3, 8, 8]}, "3 × 8 × 8 pixels", "y"),
        ({"input_shape": [20, 1]}, "20 steps of 1 feature", "y"),
    ],
)
def test_what_an_example_is_comes_with_the_study(
    made: Made, facts: dict[str, Any] | None, inputs: str, outputs: str
) -> None:
    storage = made.study().study.storage
    if facts is not None:
        usual = {"class_names": [], "feature_names": [], "target_name": "y"}
        n_outputs = len(facts.get("class_names", "y"))
        kept = usual | facts | {"n_outputs": n_outputs}
        storage.set_study_system_attr(storage.get_study_id_from_name("made"), FACTS_KEY, kept)
    found = made.only(made.open("made"))
    assert (found.inputs, found.outputs) == (inputs, outputs)


def test_a_report_knows_how_close_the_best_trials_are(made: Made) -> None:
    found = made.only(made.study(n_trials=12))
    best = found.best
    near = best.user_attrs["std"] / np.sqrt(3)
    values = [t.values[0] for t in found.trials if t.state.name == "COMPLETE"]
    assert found.close_trials == np.sum(np.abs(np.array(values) - best.values[0]) <= near) - 1
