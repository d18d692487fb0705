"""The commands that a report quotes are those of the command line."""

import shlex
from dataclasses import replace
from typing import Any

import pytest
import typer

from hw1.analysis.report.commands import Commander
from hw1.analysis.results import StudyResults
from hw1.cli.main import app

Made = Any


def parsed(command: str) -> dict[str, Any]:
    """The arguments of a command line, as the command takes them."""
    python, program, name, *arguments = shlex.split(command)
    assert (python, program) == ("python", "run_study.py")
    commands: Any = typer.main.get_command(app)
    return commands.commands[name].make_context(name, arguments).params


@pytest.fixture
def results(made: Made) -> StudyResults:
    found = made.study(
        "it's a $name",
        sampler="tpe",
        pruner="none",
        seed=3,
        train_size=50,
        train_csv="/a folder/train.csv",
        test_csv="/a folder/test.csv",
        target="y",
    )
    made.evaluated(found, tests=1, nested=True)
    return made.open(found.name)


def test_a_study_is_run_with_its_settings(made: Made, results: StudyResults) -> None:
    facts = made.facts(results)
    (study,) = facts.studies
    given = parsed(Commander(replace(facts, options=["--storage", "sqlite:///a b.db"])).run(study))
    settings = results.settings
    for option, expected in {
        "study": settings.definition,
        "name": results.name,
        "sampler": "tpe",
        "pruner": "none",
        "trials": 4,
        "folds": 3,
        "epochs": 30,
        "seed": 3,
        "train_size": 50,
        "target": "y",
        "precision": "float32",
        "storage": "sqlite:///a b.db",
    }.items():
        assert given[option] == expected
    assert str(given["train_csv"]) == settings.train_csv
    assert str(given["test_csv"]) == settings.test_csv


def test_an_evaluation_is_repeated_as_it_was(made: Made, results: StudyResults) -> None:
    facts = made.facts(results)
    (study,) = facts.studies
    given = parsed(Commander(facts).evaluate(study))
    assert (given["name"], given["repeats"], given["folds"]) == (results.name, 2, 3)
    assert (given["seeds"], given["seed"], given["test"], given["nested"]) == (3, 0, True, None)
    nested = parsed(Commander(facts).evaluate(study, nested=True))
    assert (nested["nested"], nested["test"]) == ("4x2", False)
    assert parsed(Commander(facts).analyze(study))["name"] == results.name


def test_a_part_of_a_nested_cross_validation_is_made_by_it(made: Made) -> None:
    part = made.study("whole-outer2of5x3", outer_fold=(5, 1))
    facts = made.facts(part)
    (study,) = facts.studies
    given = parsed(Commander(facts).run(study))
    assert (given["name"], given["nested"], given["test"]) == ("whole", "5x3", False)


def test_studies_are_compared_on_the_folds_that_are_stored(made: Made) -> None:
    for name in "ab":
        made.evaluated(made.study(name))
    facts = made.facts(*[made.open(n) for n in "ab"])
    given = parsed(Commander(facts).compare(facts.problems[0]))
    assert (given["names"], given["repeats"], given["folds"]) == (["a", "b"], 2, None)
    report = Commander(replace(facts, author="Ada & I", title="A title")).report()
    named = f"--definition {made.path / 'regress.py'}"
    assert report == (
        f"python run_study.py report a b --author 'Ada & I' --title 'A title' {named}"
    )
    assert given["definition"] == [made.path / "regress.py"]
