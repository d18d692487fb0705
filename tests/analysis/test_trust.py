"""What a database or a model file says is never run."""

import json
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from analysis.described import HOUSES
from conftest import TINY_REGRESSION, call, command, with_family

from hw1.analysis.description import ModelDescription
from hw1.analysis.model_files import save
from hw1.analysis.network import Network
from hw1.analysis.results import StudyResults, open_study
from hw1.errors import InputError
from hw1.models import MLP

NAME = "regression-random"
COMMANDS = {
    "evaluate": ["evaluate", NAME],
    "nested": ["evaluate", NAME, "--nested", "2x2", "--again"],
    "compare": ["compare", "regression-tpe", NAME],
    "ablate": ["ablate", NAME, "--only", "dropout", "--repeats", "1"],
    "replay": ["replay", NAME, "1"],
    "analyze": ["analyze", NAME],
    "export": ["export", NAME, "--output", "a.safetensors"],
    "report": ["report", NAME, "--output", "a.pdf"],
}
STORED = {
    "absolute": "{folder}/harmful.py",
    "relative": "./harmful.py",
    "in the current folder": "harmful.py",
    "its name": "harmful",
    "in a folder of studies": "studies/harmful.py",
    "above": "../{folder.name}/harmful",
    "a link": "link",
    "an escape": "{folder}/\x1b[2Jharmful.py",
}


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that appears when a harmful study file is run; it lies in the current folder."""
    folder = tmp_path / "theirs"
    studies = folder / "studies"
    studies.mkdir(parents=True)
    for name in ("harmful", "\x1b[2Jharmful", "studies/harmful"):
        harm = f"from pathlib import Path\nPath({str(tmp_path / 'marker')!r}).touch()\n"
        (folder / f"{name}.py").write_text(harm + TINY_REGRESSION)
    (studies / "link.py").symlink_to(folder / "harmful.py")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    return tmp_path / "marker"


def harm(url: str, names: tuple[str, ...], definition: str) -> None:
    """Make stored studies name another study file."""
    for name in names:
        study = optuna.load_study(study_name=name, storage=url)
        settings = study.user_attrs["settings"] | {"definition": definition}
        study.set_user_attr("settings", settings)


@pytest.mark.parametrize(
    ("command", "stored"),
    [(command, "absolute") for command in COMMANDS] + [("evaluate", stored) for stored in STORED],
)
def test_a_database_never_decides_which_study_file_is_run(
    analysed_url: str, marker: Path, command: str, stored: str
) -> None:
    definition = STORED[stored].format(folder=Path.cwd())
    harm(analysed_url, (NAME, "regression-tpe"), definition)
    result = call(analysed_url, *COMMANDS[command])
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert line.isprintable()
    assert repr(definition) in line
    assert "is run only if you name it: if you trust it, add --definition FILE" in line
    assert not marker.exists()


def test_what_needs_no_study_file_runs_none(analysed_url: str, marker: Path) -> None:
    harm(analysed_url, (NAME,), str(Path("harmful.py").resolve()))
    for arguments in (["list"], ["best", NAME], ["trials", NAME], ["delete", NAME, "--yes"]):
        assert call(analysed_url, *arguments).exit_code == 0
    assert not marker.exists()


def test_the_file_that_the_user_names_is_run(analysed_url: str, marker: Path) -> None:
    path = Path("harmful.py").resolve()
    harm(analysed_url, (NAME, "regression-tpe"), str(path))
    other = path.with_name("other.py")
    other.write_text(TINY_REGRESSION)
    refused = call(analysed_url, *COMMANDS["replay"], "--definition", str(other))
    assert refused.exit_code == 2
    assert not marker.exists()
    result = call(analysed_url, *COMMANDS["replay"], "--definition", "harmful.py")
    assert result.exit_code == 0, result.output
    assert marker.exists()


def test_a_file_that_was_moved_is_named(analysed_url: str, marker: Path) -> None:
    harm(analysed_url, (NAME,), "/gone/regression.py")
    moved = Path("moved.py")
    moved.write_text(TINY_REGRESSION)
    result = call(analysed_url, *COMMANDS["replay"], "--definition", "moved.py")
    assert result.exit_code == 0, result.output
    results = open_study(NAME, storage=analysed_url, definition=moved)
    assert len(results.dataset) == results.settings.n_rows


def test_in_python_the_trials_can_be_read_without_the_study_file(
    analysed_url: str, marker: Path
) -> None:
    harm(analysed_url, (NAME,), str(Path("harmful.py").resolve()))
    results = open_study(NAME, storage=analysed_url)
    assert len(results.trials) == 4
    assert results.trial().params == results.best_params
    for read in (lambda: results.dataset, lambda: results.definition, results.test_rows):
        with pytest.raises(InputError, match="definition=FILE"):
            read()
    assert not marker.exists()


def test_a_search_within_another_is_run_from_the_file_that_is_named(
    open_results: Callable[..., StudyResults], analysed_url: str, finished: Path
) -> None:
    named = ["--definition", str(finished / "regression.py")]
    nested = ["evaluate", NAME, "--nested", "2x2", "--no-test", "--repeats", "1"]
    nested += ["--no-baselines"]
    assert call(analysed_url, *nested, *named).exit_code == 0
    part = f"{NAME}-outer1of2x2"
    assert call(analysed_url, "replay", part, "0").exit_code == 2
    assert call(analysed_url, "replay", part, "0", *named).exit_code == 0


def test_the_dashboard_runs_no_file(analysed_url: str, marker: Path) -> None:
    harm(analysed_url, (NAME,), str(Path("harmful.py").resolve()))
    process = subprocess.Popen(
        command("dashboard", "--port", "0"),
        env=os.environ | {"OPTUNA_STORAGE": analysed_url},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        shown = next(match for line in process.stdout if (match := re.search(r"http\S+", line)))
        with urllib.request.urlopen(f"{shown[0]}api/studies") as answer:
            studies = json.load(answer)["study_summaries"]
        (study,) = (study for study in studies if study["study_name"] == NAME)
        with urllib.request.urlopen(f"{shown[0]}api/studies/{study['study_id']}?after=0") as answer:
            assert len(json.load(answer)["trials"]) == 4
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert not marker.exists()


@pytest.mark.parametrize("family", ["hw1_study_harmful.MLP", "harmful.MLP"])
@pytest.mark.parametrize("stored", STORED)
def test_a_model_file_never_decides_which_study_file_is_run(
    analysed_url: str, marker: Path, stored: str, family: str, tmp_path: Path
) -> None:
    definition = STORED[stored].format(folder=Path.cwd())
    path = tmp_path / "theirs.safetensors"
    save(*network(definition, family), path, torch.rand(3, 1))
    Path("rows.csv").write_text("x\n1\n")
    result = call(analysed_url, "predict", str(path), "rows.csv")
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert line.isprintable()
    assert repr(definition) in line
    assert "--definition FILE" in line
    # The families of hw1 need no study file.
    save(*network(definition, "hw1.models.mlp.MLP"), path, torch.rand(3, 1))
    assert call(analysed_url, "predict", str(path), "rows.csv").exit_code == 0
    assert not marker.exists()


def network(definition: str, family: str) -> tuple[Network, ModelDescription]:
    """A network, and a description that sends to a study file for its family."""
    ones = torch.ones(1)
    model = Network(MLP((1,), 1, widths=[4]), ones, ones.clone(), ones.clone(), ones.clone())
    description = replace(
        HOUSES,
        family=family,
        definition=definition,
        input_shape=(1,),
        feature_names=("x",),
        configuration={"model": {"widths": [4]}},
    )
    return model.eval(), description


def test_a_network_of_a_study_file_predicts_with_the_file_that_is_named(
    make_job: Callable[..., Any], tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    job = make_job(with_family(TINY_REGRESSION, "pass"))
    assert call(url, "run", str(job.source), "--trials", "1").exit_code == 0
    named = ["--definition", str(job.source)]
    made = call(url, "export", "tiny-tpe", "--output", "own.safetensors", *named)
    assert made.exit_code == 0, made.output
    assert f"INPUT --definition {job.source}" in made.stdout
    Path("rows.csv").write_text("x\n1\n")
    assert call(url, "predict", "own.safetensors", "rows.csv").exit_code == 2
    found = call(url, "predict", "own.safetensors", "rows.csv", *named)
    assert found.exit_code == 0, found.output
