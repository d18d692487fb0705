"""Databases and model files made to do harm: nothing that they say is run, removed or obeyed."""

import json
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from attacks.program import Program
from conftest import TINY_REGRESSION, command, sql


def change_settings(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change the settings that are stored with the study in a folder."""
    url, where = f"sqlite:///{folder}/studies.db", "WHERE key = 'settings'"
    ((text,), *_) = sql(url, f"SELECT value_json FROM study_user_attributes {where}")
    settings = json.loads(text)
    edit(settings)
    sql(url, f"UPDATE study_user_attributes SET value_json = ? {where}", json.dumps(settings))


@pytest.fixture
def marker(copied: Path) -> Path:
    """A file that ``evil.py``, beside the database and further down, makes when it is run."""
    path = copied / "has-run"
    source = TINY_REGRESSION.replace("model=MLP", "model=Evil").replace(
        "study =", f"class Evil(MLP):\n    pass\n\nopen({str(path)!r}, 'w').close()\n\nstudy ="
    )
    (copied / "evil.py").write_text(source)
    (copied / "studies").mkdir()
    (copied / "studies" / "evil.py").write_text(source)
    return path


PLACES = ("{folder}/evil.py", "evil.py", "./evil.py", "studies/evil.py", "../copy/evil.py", "evil")


@pytest.mark.parametrize("place", PLACES)
def test_a_database_runs_no_file(place: str, program: Program, copied: Path, marker: Path) -> None:
    change_settings(copied, lambda s: s.update(definition=place.format(folder=copied)))
    for needs_it, *arguments in (
        (False, "list"),
        (False, "list", "--json"),
        (False, "best", "small"),
        (False, "trials", "small"),
        # Other numbers than those of the evaluation that is stored.
        (True, "evaluate", "small", "--repeats", "4", "--seeds", "4"),
        (True, "evaluate", "small", "--nested", "2x3", "--no-test"),
        (True, "compare", "small", "other", "--repeats", "4"),
        (True, "replay", "small", "0"),
        (True, "analyze", "small", "--output", "figures"),
        (True, "export", "small", "--output", "network.onnx"),
        (True, "report", "small", "--output", "report.pdf"),
        (True, "run", "regression_mlp", "--name", "small", "--trials", "5"),
        (False, "delete", "small", "--yes"),
    ):
        outcome = program.call(*arguments, folder=copied)
        assert not marker.exists(), arguments
        outcome.check(2 if needs_it else 0)
        reason = "is one of" if arguments[0] == "run" else "study file"
        assert not needs_it or reason in outcome.stderr, outcome.stderr


def test_the_dashboard_runs_no_file(copied: Path, marker: Path) -> None:
    change_settings(copied, lambda settings: settings.update(definition=str(copied / "evil.py")))
    process = subprocess.Popen(
        command("dashboard", "--port", "0"),
        cwd=copied,
        env=os.environ | {"OPTUNA_STORAGE": f"sqlite:///{copied}/studies.db"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        shown = next(match for line in process.stdout if (match := re.search(r"http\S+", line)))
        with urllib.request.urlopen(f"{shown[0]}api/studies") as answer:
            assert answer.status == 200
            studies = json.load(answer)["study_summaries"]
        (study,) = (study for study in studies if study["study_name"] == "small")
        with urllib.request.urlopen(f"{shown[0]}api/studies/{study['study_id']}?after=0") as answer:
            assert answer.status == 200
            assert len(json.load(answer)["trials"]) == 4
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert not marker.exists()


def describe(path: Path, **changes: str) -> None:
    """Change what a ``.safetensors`` file says of its network."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    description = json.loads(header["__metadata__"]["hw1"])
    header["__metadata__"]["hw1"] = json.dumps(description | changes)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])


@pytest.mark.parametrize("family", ["hw1_study_evil.Evil", "evil.Evil", "hw1.models.mlp.MLP"])
@pytest.mark.parametrize("place", PLACES)
def test_a_model_file_runs_no_file(
    place: str, family: str, program: Program, copied: Path, marker: Path
) -> None:
    definition = place.format(folder=copied)
    describe(copied / "small.safetensors", definition=definition, family=family)
    outcome = program.call("predict", "small.safetensors", "test.csv", folder=copied)
    assert not marker.exists()
    outcome.check(0 if family.startswith("hw1.models") else 2)


def test_a_terminal_obeys_no_name(program: Program, copied: Path) -> None:
    url, escape = f"sqlite:///{copied}/studies.db", "\x1b]0;owned\x07\x1b[31m\r\x9b"
    optuna.create_study(storage=url, study_name=f"foreign{escape}")
    name = f"small{escape}"
    sql(url, "UPDATE studies SET study_name = ? WHERE study_name = 'small'", name)
    sql(url, "UPDATE trial_params SET param_name = ? WHERE param_name = 'lr'", f"lr{escape}")
    change_settings(
        copied, lambda s: s.update({key: s[key] + escape for key in ("dataset", "sampler")})
    )
    for arguments in (
        ("list",),
        ("list", "--json"),
        ("best", name),
        ("best", name, "--json"),
        ("best", "smal"),
        ("trials", name),
        ("trials", name, "--json"),
        ("trials", f"foreign{escape}"),
        ("evaluate", name, "--repeats", "1", "--seeds", "1"),
        ("compare", name, name),
        ("replay", name, "0"),
        ("export", name, "--output", "network.safetensors"),
        ("report", name, "--output", "report.pdf"),
        ("run", "regression_mlp", "--name", name),
        ("delete", name, "--yes"),
    ):
        outcome = program.call(*arguments, folder=copied)
        assert outcome.problem() is None, outcome.problem()
