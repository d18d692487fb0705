"""Fixtures: small study files, a database of its own for each test, the command line."""

import multiprocessing
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

# Everything here is small: more threads would only get in each other's way. Before torch starts.
os.environ["OMP_NUM_THREADS"] = "1"

import optuna
import pytest
import torch
from typer.testing import CliRunner

from hw1.cli.main import app
from hw1.execution import execute
from hw1.job import Job, Options, prepare
from hw1.study import Study

ROOT = Path(__file__).resolve().parent.parent
optuna.logging.set_verbosity(optuna.logging.WARNING)

TINY_REGRESSION = '''
"""A study that takes no time."""
from hw1.datasets import function
from hw1.models import MLP
from hw1.definition import StudyDefinition
from hw1.training import Configuration

def search_space(trial):
    return Configuration(
        model={"widths": [8]},
        lr=trial.suggest_float("lr", 1e-4, 1e-1, log=True, default=1e-2, grid=[1e-3, 1e-2, 1e-1]),
        batch_size=trial.suggest_categorical("batch_size", [16, 32], default=32, grid=[16, 32]),
        optimizer="adam",
    )

study = StudyDefinition(
    dataset=function.load,
    task="regression",
    model=MLP,
    search_space=search_space,
    n_trials=4,
    n_splits=3,
    epochs=2,
    rounds=(),
)
'''
WITH_FINAL_ROUND = TINY_REGRESSION.replace("    rounds=(),\n", "")
TINY_CLASSIFICATION = TINY_REGRESSION.replace("function", "digits").replace(
    '"regression"', '"classification"'
)
TINY_CNN = TINY_CLASSIFICATION.replace("MLP", "CNN").replace(
    '"widths": [8]', '"channels": [4], "hidden": 8'
)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The URL of a new database."""
    return f"sqlite:///{tmp_path}/studies.db"


@pytest.fixture
def make_job(tmp_path: Path, url: str) -> Callable[..., Job]:
    """Writes a study file and describes a run of it."""

    def make(source: str = TINY_REGRESSION, name: str = "tiny") -> Job:
        path = tmp_path / "tiny.py"
        path.write_text(source)
        return Job(str(path), path, url, name, tmp_path / "data", torch.device("cpu"))

    return make


@pytest.fixture
def make_study(make_job: Callable[..., Job]) -> Callable[..., Study]:
    """Prepares a study from a study file's source and options."""

    def make(source: str = TINY_REGRESSION, name: str = "tiny", **options: object) -> Study:
        job = make_job(source, name)
        return prepare(job, Options(**options))[0]  # type: ignore[arg-type]

    return make


def sql(url: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """What an SQLite database answers to a statement, which may change it."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database, database:
        return database.execute(statement, values).fetchall()


def call(url: str, *arguments: str, **kwargs: Any) -> Any:
    """What the command line answers in this process, on a storage."""
    result = CliRunner().invoke(app, arguments, env={"OPTUNA_STORAGE": url}, **kwargs)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def run(job: Job, **options: Any) -> Study:
    """A study that is made, or goes on, and is run to its end."""
    study, dataset = prepare(job, Options(**options))
    execute(job, study, dataset)
    return study


def states(study: Study) -> list[str]:
    """What Optuna says of each trial, such as ``"COMPLETE"``."""
    return [trial.state.name for trial in study.trials()]


def replacing(source: str, old: str, new: str) -> str:
    """A source with something else in it, which must be there."""
    assert old in source
    return source.replace(old, new)


def with_family(source: str, code: str) -> str:
    """``source`` with a family ``Own`` of its own, an MLP whose class body ``code`` is."""
    body = "\n".join("    " + line for line in code.strip().splitlines())
    source = replacing(source, "study =", f"class Own(MLP):\n{body}\n\nstudy =")
    return replacing(source, "model=MLP", "model=Own")


def at_once(target: Callable[..., None], *arguments: object, n: int = 4) -> None:
    """Call a function in several new processes, with a barrier behind its arguments."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(n)
    processes = [context.Process(target=target, args=(*arguments, barrier)) for _ in range(n)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * n


def command(*arguments: str) -> list[str]:
    """The command line as a user types it."""
    return [sys.executable, str(ROOT / "run_study.py"), *arguments]


@pytest.fixture
def cli(tmp_path: Path, url: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command line as a process, on the test's own database."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments),
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=os.environ | {"OPTUNA_STORAGE": url, "COLUMNS": "100"},
            timeout=120,
        )

    return run
