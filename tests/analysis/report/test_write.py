"""What is in a report, and what is missing in it."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from analysis.report.reading import Page, squeezed, text_of

from hw1.analysis.report.appendix import MOST_TRIALS
from hw1.analysis.report.compose import draft
from hw1.analysis.report.content import collect
from hw1.analysis.report.document import Commands, Paragraph, Table
from hw1.analysis.report.write import write_report
from hw1.analysis.results import StudyResults
from hw1.errors import InputError
from hw1.study_files import naming
from hw1.words import number, plus_minus

Made = Written = Any  # see conftest


def write(made: Made, studies: list[StudyResults], **kwargs: Any) -> tuple[Path, Path]:
    return write_report(studies, made.path / "report.pdf", folder=made.figures, **kwargs)


def test_every_number_in_storage_is_in_both_files(written: Written) -> None:
    texts = text_of(written.pdf), Page(written.page.read_text()).text
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
        for key in ("evaluation:cross_validation", "evaluation:test", "evaluation:nested"):
            for record in results.stored(key):
                scores = record["scores"]
                rows = scores if isinstance(scores[0], list) else [scores]
                expected += [number(score) for row in rows for score in row]
    for text in texts:
        missing = [words for words in expected if squeezed(words) not in text]
        assert not missing


def test_a_report_changes_with_storage(made: Made) -> None:
    results = made.study("one")
    made.evaluated(results, tests=2)
    pdf, page = write(made, [made.open("one")])
    before = text_of(pdf), Page(page.read_text()).text
    record = results.stored("evaluation:test")[-1]
    results.store("evaluation:test", record | {"ensemble": 0.7654, "n_rows": 99_887})
    write(made, [made.open("one")])
    after = text_of(pdf), Page(page.read_text()).text
    for old, new in zip(before, after, strict=True):
        assert "0.765" in new and "0.765" not in old
        assert "99,887" in new and "99,887" not in old
        assert "scored3timesforone" in new


def test_intervals_of_test_scores_are_told_with_what_they_cover(made: Made) -> None:
    results = made.study("one")
    made.evaluated(results)
    before = Page(write(made, [made.open("one")])[1].read_text()).text
    record = results.stored("evaluation:test")[-1]
    new = {
        "scores": [0.15, 0.16, 0.17],
        "ensemble": 0.14,
        "interval": [0.1234, 0.2345],
        "ensemble_interval": [0.1111, 0.2222],
        "n_largest": 43,
        "share_largest": 0.345,
    }
    results.store("evaluation:test", record | new)
    pdf, page = write(made, [made.open("one")])
    for text in (text_of(pdf), Page(page.read_text()).text):
        for words in (
            "0.160 ± 0.010 (95 % interval 0.123 to 0.234)",
            "the ensemble of 3 networks 0.14 (95 % interval 0.111 to 0.222)",
            "The largest 43 errors of 4,321 test examples make up 34% of the mean squared error",
            "covers other test rows and other seeds",
        ):
            assert squeezed(words) in text, words
    assert "0.111" not in before and "make up" not in before


def test_the_same_input_gives_the_same_bytes(made: Made) -> None:
    results = made.study()
    made.analysed(results)
    files = [path.read_bytes() for path in write(made, [results])]
    again = write_report([made.open("made")], made.path / "b" / "x.html", folder=made.figures)
    assert [path.read_bytes() for path in again] == files


def test_what_is_missing_is_named_with_its_command(made: Made) -> None:
    one = made.study("one study", target_trials=9)
    made.evaluated(made.study("other", seed=1), tests=0)
    given = ["--storage", "sqlite:///a b.db"]
    files = write(made, [one, made.open("other")], options=given)
    texts = text_of(files[0]), Page(files[1].read_text()).text
    named = shlex.join(naming(made.open("other").settings.definition))
    for words in (
        "one study has 4 of 9 trials (stopped)",
        "Provisional.",
        "5 trials of one study",
        "the evaluation of one study",
        f"python run_study.py evaluate 'one study' {named} --storage 'sqlite:///a b.db'",
        f"python run_study.py evaluate other --repeats 2 --folds 3 --seed 0 {named} --storage",
        "the test scores of other",
        "python run_study.py evaluate 'one study' --nested 5x3 --no-test",
        "python run_study.py analyze 'one study'",
        f"python run_study.py compare 'one study' other --repeats 2 {named} --storage",
        "--trials 9 --folds 3 --epochs 30 --seed 0",
        f"python run_study.py report 'one study' other {named} --storage 'sqlite:///a b.db'",
        "cannot be compared yet",
        "not stored",
    ):
        for text in texts:
            assert squeezed(words) in text, words


def test_of_a_complete_study_nothing_is_missing(made: Made) -> None:
    results = made.study()
    made.evaluated(results, nested=True)
    made.analysed(results)
    pdf, page = write(made, [made.open("made")])
    for text in (text_of(pdf), Page(page.read_text()).text):
        assert "notinstorage" not in text
        assert "Provisional" not in text


def test_of_thousands_of_trials_the_best_are_listed(made: Made) -> None:
    content = collect([made.study()], made.figures)
    (study,) = content.studies
    values = np.random.default_rng(0).permutation(3 * MOST_TRIALS).tolist()
    trials = [
        replace(study.trials[0], number=number, value=float(value) if value % 2 else None)
        for number, value in enumerate(values)
    ]
    many = replace(study, trials=trials)
    content = replace(content, problems=[replace(content.problems[0], studies=[many])])
    document = draft(content).document([])
    (table,) = [b for b in document.appendix if isinstance(b, Table) and b.key == "trials-0"]
    listed = [int(row[0][0]) for row in table.rows]
    # The best are the lowest errors; every second trial has one.
    assert listed == [n for n, value in enumerate(values) if value % 2 and value < 2 * MOST_TRIALS]
    assert "".join(map(str, table.caption)).startswith(f"The {MOST_TRIALS} best of 900 trials of")
    commands = [line for b in document.appendix if isinstance(b, Commands) for line in b.lines]
    assert "python run_study.py trials made --csv" in commands
    said = [str(b.text) for b in document.main if isinstance(b, Paragraph)]
    assert any("more of the best trials are in the appendix" in text for text in said)


def test_either_file_can_be_named(made: Made) -> None:
    results = made.study()
    for name in ("a.pdf", "a.HTML"):
        files = write_report([results], made.path / "new" / name, folder=made.figures)
        assert [file.name for file in files] == ["a.pdf", "a.html"]
        assert all(file.stat().st_size > 10_000 for file in files)


def test_bad_output_is_refused_before_the_work(made: Made) -> None:
    results = made.study()
    for name in ("report.docx", "report"):
        with pytest.raises(InputError, match=r"in \.pdf or \.html"):
            write_report([results], made.path / name, folder=made.figures)
    (made.path / "file").write_text("")
    with pytest.raises(InputError, match="choose another --output"):
        write_report([results], made.path / "file" / "report.pdf", folder=made.figures)


def test_a_nested_cross_validation_that_was_interrupted_is_no_estimate(made: Made) -> None:
    results = made.study("one")
    outer = {"n_outer": 5, "n_inner": 3, "n_trials": 4, "provenance": {"python": "3.11.7"}}
    results.store("evaluation:nested", outer | {"trials": [1], "scores": [0.8765]})
    page = Page(write(made, [made.open("one")])[1].read_text()).text
    assert "1of5folds" in page
    assert squeezed("4 outer folds of the nested cross-validation of one") in page
    assert squeezed("python run_study.py evaluate one --nested 5x3 --no-test") in page
    assert "0.8765" in page  # among all evaluations


def test_figures_of_another_trial_are_told_from_those_of_the_best(made: Made) -> None:
    results = made.study("one")
    best = results.trial().number
    made.analysed(results, results.top(2)[1].number)
    page = Page(write(made, [results])[1].read_text()).text
    assert squeezed(f"those of trial {results.top(2)[1].number}, not of the best one") in page
    assert squeezed(f"figures of the network of trial {best} of one") in page
