"""What is in a report, and what is missing in it."""

import copy
import io
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from analysis.report.reading import Page, squeezed, texts_of
from conftest import TINY_REGRESSION
from optuna.trial import TrialState
from rich.console import Console

import hw1
from hw1.analysis.beside import SCORES
from hw1.analysis.evaluation import evaluate
from hw1.analysis.report.document import blocks_of, plain
from hw1.analysis.report.facts import MOST_TRIALS, Facts
from hw1.analysis.report.write import write_report, written
from hw1.errors import InputError
from hw1.study_files import load_definition, naming
from hw1.words import number, plus_minus

Made = Written = Any  # see conftest


def test_every_number_in_storage_is_in_both_files(written: Written) -> None:
    expected = ["Ada", "All of it", "1 March 2026", "4,321"]
    for results in written.studies:
        made_of = results.settings
        expected += [results.name, made_of.fingerprint, made_of.splits, f"{made_of.n_rows:,}"]
        for trial in results.study.trials():
            expected += [
                number(v) if isinstance(v, float) else str(v) for v in trial.params.values()
            ]
            expected.append(f"{trial.user_attrs['n_parameters']:,}")
            if trial.value is not None:
                expected += [number(trial.value), number(trial.user_attrs["std"], 3)]
        best = results.trial()
        expected.append(plus_minus(best.value, best.user_attrs["std"]))
        for key in ("evaluation:cross_validation", "evaluation:test", "evaluation:nested", SCORES):
            for record in results.stored(key):
                scores = record["scores"]
                rows = scores if isinstance(scores[0], list) else [scores]
                expected += [number(score) for row in rows for score in row]
    for text in texts_of(written.report):
        missing = [words for words in expected if squeezed(words) not in text]
        assert not missing


def test_a_report_changes_with_storage_and_tells_what_intervals_cover(made: Made) -> None:
    results = made.study("one")
    made.evaluated(results, tests=2)
    before = texts_of(made.report(made.open("one")))
    record = results.stored("evaluation:test")[-1]
    new = {
        "n_rows": 99_887,
        "scores": [0.15, 0.16, 0.17],
        "ensemble": 0.14,
        "interval": [0.1234, 0.2345],
        "ensemble_interval": [0.1111, 0.2222],
        "n_largest": 43,
        "share_largest": 0.345,
    }
    results.store("evaluation:test", record | new)
    for old, text in zip(before, texts_of(made.report(made.open("one"))), strict=True):
        for words in (
            "0.160 ± 0.010 (95 % confidence interval 0.123 to 0.234)",
            "the ensemble of 3 seeds scores 0.14 (95 % confidence interval 0.111 to 0.222)",
            "43 errors of 99,887 test",
            "make up 34% of the mean squared error",
            "scored 3 times for one",
        ):
            assert squeezed(words) in text and squeezed(words) not in old, words
        assert squeezed("covers other test examples and other seeds") in text


def test_baselines_stand_beside_the_network_in_both_files(made: Made) -> None:
    results = made.study("one")
    made.evaluated(results)
    for text in texts_of(made.report(made.open("one"))):
        for words in (
            "network of one",
            "ensemble of 3 seeds",
            "nearest neighbors (on 1,000 examples)",
            "0.25 0.125 to 0.500",
            "the best baseline, ",
            "Not fitted to made up, since they would take too long: mean, ridge regression, "
            "Gaussian process and scikit-learn's MLP",
            "Scikit-learn: machine learning in Python",
        ):
            assert squeezed(words) in text, words


def test_the_same_input_gives_the_same_bytes_and_either_file_can_be_named(made: Made) -> None:
    results = made.study()
    made.analysed(results)
    reports = made.report(results), made.report(made.open("made"), to="new/x.HTML")
    assert (reports[1].pdf.name, reports[1].page.name) == ("x.pdf", "x.html")
    first, second = ([path.read_bytes() for path in (r.pdf, r.page)] for r in reports)
    assert first == second


def test_what_is_missing_is_told_with_its_command_and_not_handed_in(made: Made) -> None:
    one = made.study("one study", target_trials=9)
    made.evaluated(made.study("other", seed=1), tests=0)
    given = ["--storage", "sqlite:///a b.db"]
    studies = [one, made.open("other")]
    report = made.report(*studies, options=given)
    named = shlex.join([*naming(one.settings.definition), *given])
    missing = dict(report.missing)
    lead = made.facts(*studies).problems[0].lead.name
    assert list(missing) == [
        "5 trials of one study",
        "the evaluation of one study",
        "a nested cross-validation of one study",
        f"figures of the network of trial {one.trial().number} of one study",
        "the test scores of other",
        "a nested cross-validation of other",
        f"figures of the network of trial {studies[1].trial().number} of other",
        f"an ablation of {lead}",
        "the comparison with one study and other",
    ]
    run, evaluate, nested, analyze, scores, _, _, ablate, comparison = missing.values()
    program = "python run_study.py"
    assert "--trials 9 --folds 3 --epochs 30 --seed 0" in run
    assert evaluate == f"{program} evaluate 'one study' {named}"
    assert nested == f"{program} evaluate 'one study' --nested 5x3 --no-test {named}"
    assert analyze == f"{program} analyze 'one study' {named}"
    assert scores == f"{program} evaluate other --repeats 2 --folds 3 --seed 0 {named}"
    assert ablate == f"{program} ablate {shlex.quote(lead)} {named}"
    assert comparison == f"{program} compare 'one study' other --repeats 2 {named}"
    for text in texts_of(report):
        assert "4of9" in text  # trials
        assert squeezed(f"{program} report 'one study' other {named}") in text
        assert "--nested" not in text and squeezed("not stored") not in text


def test_an_ablation_is_told_in_a_table_a_figure_and_words(made: Made) -> None:
    results = made.study("one")
    made.ablated(results)
    for text in texts_of(made.report(made.open("one"))):
        for words in (
            f"was changed in the configuration of trial {results.trial().number}",
            "Of 1 change, 1 is worse and none better",
            "Worse: optimizer SGD (+0.2",
            "Diverged: optimizer RMSprop",
            "What each change does",
            "Learning curves by optimizer",
            "run_study.py ablate one --repeats 2",
        ):
            assert squeezed(words) in text, words


def test_of_a_complete_study_nothing_is_missing(made: Made) -> None:
    results = made.study()
    made.evaluated(results, nested=True)
    made.ablated(results)
    made.analysed(results)
    assert not made.report(made.open("made")).missing


def test_of_thousands_of_trials_the_best_are_listed(made: Made) -> None:
    (problem,) = made.facts(made.study()).problems
    (study,) = problem.studies
    values = np.random.default_rng(0).permutation(3 * MOST_TRIALS).tolist()
    trials = []
    for i, value in enumerate(values):
        trial = copy.copy(study.trials[0])
        trial.number, trial.values = i, [float(value)]
        trial.state = TrialState.COMPLETE if value % 2 else TrialState.PRUNED
        trials.append(trial)
    facts = Facts([replace(problem, studies=[replace(study, trials=trials)])])
    # The best are the lowest errors; every second trial has one.
    expected = [n for n, value in enumerate(values) if value % 2 and value < 2 * MOST_TRIALS]
    assert [trial.number for trial in facts.studies[0].listed_trials] == expected
    blocks = blocks_of(written(facts)[0])
    (table,) = [block for block in blocks if block.key == "trials-0"]
    assert len(table.rows) == 1 + MOST_TRIALS
    said = "".join(plain(block.node) for block in blocks)
    assert f"The {MOST_TRIALS} best of 900 trials of" in said
    assert "python run_study.py trials made --csv" in said
    assert "the best trials are in the appendix" in said


def test_bad_output_is_refused_before_the_work(made: Made) -> None:
    results = made.study()
    for name in ("report.docx", "report"):
        with pytest.raises(InputError, match=r"in \.pdf or \.html"):
            made.report(results, to=name)
    (made.path / "file").write_text("")
    with pytest.raises(InputError, match="choose another --output"):
        made.report(results, to="file/report.pdf")


def test_a_nested_cross_validation_that_was_interrupted_is_no_estimate(made: Made) -> None:
    results = made.study("one")
    outer = {"n_outer": 5, "n_inner": 3, "n_trials": 4, "provenance": {"python": "3.11.7"}}
    results.store("evaluation:nested", outer | {"trials": [1], "scores": [0.8765]})
    report = made.report(made.open("one"))
    missing = dict(report.missing)
    command = missing["4 outer folds of the nested cross-validation of one"]
    assert command.startswith("python run_study.py evaluate one --nested 5x3 --no-test")
    page = Page(report.page.read_text()).text
    assert squeezed("1 of 5 outer folds, 3 inner folds, 4 trials") in page
    assert page.count("0.8765") == 1  # among all evaluations


def test_figures_of_another_trial_are_told_from_those_of_the_best(made: Made) -> None:
    results = made.study("one")
    best = results.trial().number
    made.analysed(results, results.top(2)[1].number)
    report = made.report(results)
    other = results.top(2)[1].number
    page = Page(report.page.read_text()).text
    assert squeezed(f"those of trial {other}, which is not the best one") in page
    assert f"figures of the network of trial {best} of one" in dict(report.missing)


def test_the_best_hyperparameters_are_those_of_the_best_trial(made: Made) -> None:
    studies = [made.study(name, seed=i) for i, name in enumerate("abcdef")]
    blocks = {b.key: b for b in blocks_of(written(made.facts(*studies))[0])}
    for key, some in (("best-0", studies[:5]), ("best-1", studies[5:])):
        cells = [plain(cell) for row in blocks[key].rows for cell in row.children]
        at = cells.index("trial") + 1
        assert cells[at : at + len(some)] == [str(s.trial().number) for s in some]
        at = cells.index("objective value") + 1
        best = [s.trial() for s in some]
        assert cells[at : at + len(some)] == [
            plus_minus(t.value, t.user_attrs["std"]) for t in best
        ]


X = np.random.default_rng(0).normal(size=(45, 2))


@pytest.mark.parametrize(
    ("given", "called", "tested"),
    [
        ({}, "hw1.run(definition, name='mine', sampler=", True),
        ({"data": (X, X[:, 0])}, "hw1.run(definition, data=data, name='mine', sampler=", False),
        ({"data": (X, X[:, 0]), "test_data": (X, X[:, 0])}, "data=data, name='mine'", True),
    ],
    ids=["definition", "data", "test data"],
)
def test_what_was_made_in_python_is_repeated_there(
    tmp_path: Path, given: dict[str, Any], called: str, tested: bool
) -> None:
    (tmp_path / "tiny.py").write_text(TINY_REGRESSION)
    results = hw1.run(
        load_definition(tmp_path / "tiny.py"),
        **given,
        name="mine",
        trials=2,
        epochs=3,
        storage=f"sqlite:///{tmp_path}/studies.db",
        device="cpu",
        console=Console(file=io.StringIO()),
    )
    evaluate(results, n_repeats=1, n_seeds=1, test=False, baselines=False)
    report = write_report([results], tmp_path / "r.pdf", folder=lambda results: tmp_path / "none")
    again = "hw1.analysis.evaluate(results, n_repeats=1, n_splits=3, seed=0"
    missing = dict(report.missing)
    assert missing.get("the test scores of mine") == (f"{again})" if tested else None)
    assert missing["a nested cross-validation of mine"] == f"{again}, nested=(5, 3), test=False)"
    drawn = missing[f"figures of the network of trial {results.trial().number} of mine"]
    assert drawn == "hw1.analysis.analyze(results, [results.trial()])"
    for text in texts_of(report):
        for words in (called, f"{again})", "hw1.analysis.report.write_report(studies)"):
            assert squeezed(words) in text
        assert "run_study.py" not in text and squeezed("test set") not in text
        assert ("notscored" in text) == tested
        assert (squeezed("On data given in Python, the best") in text) == bool(given)
