"""Studies from Python."""

import dataclasses
import io
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
import torch
from conftest import TINY_REGRESSION
from optuna.trial import TrialState
from rich.console import Console

import hw1
from hw1.datasets.given import given
from hw1.definition import StudyDefinition
from hw1.errors import InputError
from hw1.models import MLP
from hw1.study_files import load_definition

RNG = np.random.default_rng(0)
X = RNG.normal(size=(45, 2))
Y = X[:, 0] - 2 * X[:, 1]
TABLE = pd.DataFrame({"kind": np.where(Y > 0, "up", "down"), "a": X[:, 0], "b": X[:, 1]})


@pytest.fixture
def run(url: str, tmp_path: Path) -> Callable[..., Any]:
    def run_quietly(definition: StudyDefinition | str | Path, **options: Any) -> Any:
        console = Console(file=io.StringIO())
        options = {"storage": url, "device": "cpu", "console": console, **options}
        return hw1.run(definition, data_dir=tmp_path, **options)

    return run_quietly


@pytest.fixture
def study(tmp_path: Path) -> StudyDefinition:
    (tmp_path / "tiny.py").write_text(TINY_REGRESSION)
    return load_definition(tmp_path / "tiny.py")


def test_importing_hw1_imports_nothing() -> None:
    code = "import hw1, sys; print(sorted(m for m in ('torch', 'optuna') if m in sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout == "[]\n"
    assert "run" in dir(hw1)
    with pytest.raises(AttributeError, match="no attribute 'rnu'"):
        _ = hw1.rnu


def test_a_study_object_is_run_continued_and_opened(
    run: Callable[..., Any], study: StudyDefinition, url: str, tmp_path: Path
) -> None:
    assert len(run(study, name="mine", trials=2).trials) == 2
    assert len(run(study, name="mine", trials=3).trials) == 3
    stored = optuna.load_study(study_name="mine", storage=url)
    opened = hw1.open_study("mine", storage=url)
    assert opened.best_params == stored.best_params
    with pytest.raises(InputError, match=r"from a StudyDefinition in Python: open it there with"):
        _ = opened.definition
    assert hw1.open_study("mine", storage=url, definition=study).definition is study
    # A file that defines the same serves as well, and the other way round.
    assert len(run(tmp_path / "tiny.py", name="mine", trials=4).trials) == 4
    assert len(run(tmp_path / "tiny.py", trials=1).trials) == 1
    assert len(run(study, name="tiny-tpe", trials=2).trials) == 2
    with pytest.raises(InputError, match="has no name: give the study one"):
        run(study)
    with pytest.raises(InputError, match="need a study file"):
        run(study, name="mine", trials=5, jobs=2)


def test_an_interrupted_study_keeps_what_is_finished_and_goes_on(
    run: Callable[..., Any], study: StudyDefinition, url: str
) -> None:
    pressed = []

    class Pressed(MLP):
        """Ctrl-C, or the stop button, while the second trial is being trained."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            trials = optuna.load_study(study_name="mine", storage=url).trials
            if not pressed and any(trial.state == TrialState.COMPLETE for trial in trials):
                pressed.append(signal.raise_signal(signal.SIGINT))

    options = {"name": "mine", "trials": 3, "trials_per_batch": 1, "pruner": "none"}
    interrupted = dataclasses.replace(study, model=Pressed)
    with pytest.raises(KeyboardInterrupt, match="finished trials are kept") as stopped:
        run(interrupted, **options)
    assert len(stopped.traceback) <= 4, "a notebook shows a few lines"
    assert hw1.open_study("mine", storage=url).study.progress().done in (1, 2)
    assert run(interrupted, **options).study.progress().complete


def test_arrays_take_the_place_of_the_data(
    run: Callable[..., Any], study: StudyDefinition, url: str
) -> None:
    results = run(study, data=(X, Y), name="arrays", trials=2)
    assert results.settings.n_rows == len(X)
    assert results.dataset.inputs.equal(torch.tensor(X, dtype=torch.float32))
    assert results.test_rows() is None
    opened = hw1.open_study("arrays", storage=url, definition=study, data=(X, Y), test_data=(X, Y))
    test = opened.test_rows()
    assert test is not None
    assert len(test) == len(X)
    with pytest.raises(InputError, match="made of arrays in Python: open it there with the same"):
        _ = hw1.open_study("arrays", storage=url, definition=study).dataset
    with pytest.raises(InputError, match="training examples of 'arrays' have changed"):
        run(study, data=(X + 1, Y), name="arrays")
    with pytest.raises(InputError, match="made with --seed 0"):
        run(study, data=(X, Y), name="arrays", seed=1)


def test_a_table_has_a_target_and_classes() -> None:
    found = given(TABLE, TABLE[["b", "kind", "a"]][::-1], task="classification", target="kind")
    train, test = found.train, found.test
    assert test is not None
    assert (train.class_names, train.feature_names) == (("down", "up"), ("a", "b"))
    assert train.targets.tolist() == (Y > 0).astype(int).tolist()
    assert test.inputs.equal(train.inputs.flip(0))
    assert test.targets.equal(train.targets.flip(0))
    numbers = given((X, np.where(Y > 0, 10.0, 9.0)), task="classification").train
    assert numbers.class_names == ("9", "10")
    images = given((np.zeros((4, 1, 2, 2), np.uint8), [0, 1, 0, 1]), task="classification").train
    assert images.inputs.dtype == torch.uint8
    assert given(train, task="classification").train is train


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        ([1, 2, 3], {}, "a pair of arrays"),
        ((X, Y[:-1]), {}, "45 inputs and 44 targets"),
        ((X, np.where(Y > 0, "a", "b")), {}, "targets are not all numbers"),
        ((np.where(X > 9, X, np.nan), Y), {}, "holds NaN"),
        (TABLE, {"target": "c"}, "no column 'c' .* kind, a, b"),
        (TABLE, {"target": "a"}, "inputs are not all numbers"),
        ((X, Y * 0), {"task": "classification"}, "one class only"),
        (
            (X, Y > 0),
            {"task": "classification", "test_data": (X, X[:, 0] * 7)},
            "contains the class",
        ),
        ((X, Y), {"test_data": (X[:, :1], Y)}, "give both the same"),
        (TABLE, {"task": "classification", "target": "kind", "test_data": TABLE[["a"]]}, "'b'"),
        (given((X, Y), task="regression").train, {"task": "classification"}, "for regression"),
    ],
)
def test_data_of_another_form_are_one_sentence(
    data: Any, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words) as caught:
        given(data, **{"task": "regression", **options})
    assert "\n" not in str(caught.value)


def test_options_that_contradict_each_other_are_named(
    run: Callable[..., Any], study: StudyDefinition
) -> None:
    with pytest.raises(InputError, match="one of data and train_csv"):
        run(study, name="x", data=(X, Y), train_csv="a.csv")
    with pytest.raises(InputError, match="needs data"):
        run(study, name="x", test_data=(X, Y))
    with pytest.raises(InputError, match="invalid timeout 0"):
        run(study, name="x", timeout=0)
