"""Finished tiny studies, run once; each test has databases of its own to write to."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import TINY_CLASSIFICATION, TINY_REGRESSION, run

from hw1.analysis.results import StudyResults, open_study
from hw1.job import Job

Open = Callable[..., StudyResults]
SOURCES = {"regression": TINY_REGRESSION, "classification": TINY_CLASSIFICATION}


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with study files and a database with a study of each: 4 trials, 3 folds."""
    folder = tmp_path_factory.mktemp("finished")
    for name, source in SOURCES.items():
        path = folder / f"{name}.py"
        path.write_text(source)
        for seed, sampler in enumerate(("random", "tpe")):
            url = f"sqlite:///{folder}/studies.db"
            job = Job(str(path), path, url, f"{name}-{sampler}", folder, torch.device("cpu"))
            run(job, sampler=sampler, epochs=4, seed=seed)
    return folder


@pytest.fixture
def analysed_url(finished: Path, tmp_path: Path) -> str:
    """A database of the test's own that holds the finished studies."""
    # Every connection is closed, so the write-ahead log is in the file.
    for path in finished.glob("studies.db*"):
        shutil.copy(path, tmp_path)
    return f"sqlite:///{tmp_path}/studies.db"


@pytest.fixture
def open_results(finished: Path, analysed_url: str) -> Open:
    """Opens a finished study, or another one of the same database."""

    def open_named(name: str = "regression-random", **kwargs: object) -> StudyResults:
        files = sorted(finished.glob("*.py"))
        return open_study(name, storage=analysed_url, definition=files, **kwargs)

    return open_named


@pytest.fixture
def run_study(make_job: Callable[..., Job]) -> Open:
    """Runs a study of a study file's source, and opens it."""

    def run_and_open(
        source: str = TINY_REGRESSION,
        name: str = "tiny",
        at_once: int | None = None,
        **options: object,
    ) -> StudyResults:
        job = replace(make_job(source, name), trials_per_batch=at_once)
        run(job, **options)
        return open_study(name, storage=job.storage_url, definition=job.source)

    return run_and_open
