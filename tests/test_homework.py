"""The homework's script: what it runs, keeps and shows, on little data."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

SCRIPT = ROOT / "docs" / "homework" / "homework.py"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with files like the course's."""
    random = np.random.default_rng(0)
    (tmp_path / "homework1").mkdir()
    for part in ("train", "test"):
        with (tmp_path / "homework1" / f"{part}_data.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["input", "label"])
            rows.writerows(random.normal(size=(40, 2)).tolist())
    return tmp_path


def call(data: Path, *options: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, str(SCRIPT), "--output", str(data / "out"), *options]
    env = os.environ | {"HW1_DATA": str(data)}
    return subprocess.run(line, env=env, capture_output=True, text=True, check=False)


def test_finished_steps_are_kept_and_not_run_again(data: Path) -> None:
    done = call(data, "--small", "--only", "regression_mlp-random")
    assert done.returncode == 0, done.stderr
    steps = json.loads((data / "out" / "results.json").read_text())["steps"]
    names = [f"{what} regression_mlp-random" for what in ("run", "best", "evaluate")]
    assert list(steps) == names
    assert str(data) not in json.dumps(steps), "it holds no folders of this machine"
    for step in steps.values():
        assert step["command"].startswith("python run_study.py ") and step["minutes"] > 0
        assert "processors" in step["hardware"]
    evaluation = steps[names[2]]["found"]
    table = call(data, "--table").stdout.splitlines()
    ensemble = evaluation["test"]["ensemble"]
    assert len(table) == 3 and f"| {ensemble:.3f} |" in table[2]

    again = call(data, "--small", "--only", "regression_mlp-random")
    assert again.returncode == 0 and "==" not in again.stdout
    assert json.loads((data / "out" / "results.json").read_text())["steps"] == steps


def test_a_step_that_fails_ends_it_and_is_not_kept(data: Path) -> None:
    (data / "homework1" / "test_data.csv").unlink()
    done = call(data, "--small", "--only", "regression_mlp-random")
    assert done.returncode == 2
    assert "test_data.csv" in done.stderr and "Traceback" not in done.stderr


def test_missing_data_are_named(tmp_path: Path) -> None:
    done = call(tmp_path)
    assert done.returncode == 2
    assert "train_data.csv" in done.stderr and "HW1_DATA" in done.stderr
