"""Databases and model files made to do harm: nothing that they say is run, removed or obeyed."""

import json
import os
import pickle
import re
import signal
import sqlite3
import subprocess
import urllib.request
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from attacks.program import Program
from attacks.runs import FINISHED
from conftest import TINY_REGRESSION, command

SECRET = "geheim"
URLS = (
    f"postgresql://u:{SECRET}@127.0.0.1:1/db",
    f"postgresql://u:{SECRET}@127.0.0.1:port/db",
    f"postgresql//u:{SECRET}@127.0.0.1/db",
    f"u:{SECRET}@127.0.0.1/db",
    f"nothing://u:{SECRET}@127.0.0.1/db",
    f"mysql+nothing://u:{SECRET}@127.0.0.1/db",
    f"postgresql://u:x@{SECRET}@127.0.0.1/db",
    *(
        f"{base}?{key}={value}"
        for base in ("postgresql://u@127.0.0.1:1/db", "sqlite:///studies.db")
        for key, value in (
            ("password", SECRET),
            ("sslpassword", SECRET),
            ("passwd", f"'{SECRET}'"),
            ("PWD", f'"{SECRET}'),
            ("api_token", SECRET),
            ("client_secret", f"x'{SECRET}&x=1"),
            ("key", f"%27{SECRET}"),
            ("a=b&passphrase", SECRET),
        )
    ),
)


def change(database: Path, statement: str, *values: Any) -> None:
    """Change a database behind everybody's back."""
    with closing(sqlite3.connect(database)) as connection, connection:
        assert connection.execute(statement, values).rowcount > 0, statement


def change_settings(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change the settings that are stored with the study in a folder."""
    with closing(sqlite3.connect(folder / "studies.db")) as connection, connection:
        where = "FROM study_user_attributes WHERE key = 'settings'"
        settings = json.loads(connection.execute(f"SELECT value_json {where}").fetchone()[0])
        edit(settings)
        connection.execute(
            "UPDATE study_user_attributes SET value_json = ? WHERE key = 'settings'",
            [json.dumps(settings)],
        )


@pytest.fixture
def marker(copied: Path) -> Path:
    """A file that ``evil.py``, beside the database and further down, makes when it is run."""
    path = copied / "has-run"
    source = TINY_REGRESSION.replace("model=MLP", "model=Evil").replace(
        "study =",
        f"class Evil(MLP):\n    pass\n\nopen({str(path)!r}, 'w').close()\n\nstudy =",
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
        assert outcome.problem() is None, outcome.problem()
        assert outcome.status == (2 if needs_it else 0), (arguments, outcome)
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
    assert outcome.problem() is None, outcome.problem()
    assert outcome.status == (0 if family.startswith("hw1.models") else 2)


@pytest.mark.parametrize("table", ["study_system_attributes", "trial_system_attributes"])
def test_delete_removes_no_file_outside_the_artifacts(
    table: str, program: Program, copied: Path
) -> None:
    thesis = copied / "thesis.tex"
    thesis.write_text("years of work")
    kind = table.split("_")[0]
    for artifact in (str(thesis), "../thesis.tex", "./../thesis.tex"):
        meta = {"artifact_id": artifact, "filename": "x", "mimetype": "x", "encoding": None}
        change(
            copied / "studies.db",
            f"INSERT INTO {table} ({kind}_id, key, value_json) "
            f"SELECT min({kind}_id), ?, ? FROM {'studies' if kind == 'study' else 'trials'}",
            f"artifacts:{artifact}",
            json.dumps(json.dumps(meta)),
        )
    pictures = {name: str(uuid.uuid4()) for name in ("small", "other")}
    (copied / "artifacts").mkdir()
    for study, artifact in pictures.items():
        (copied / "artifacts" / artifact).write_text("a picture")
        meta = {"artifact_id": artifact, "filename": "x", "mimetype": "x", "encoding": None}
        change(
            copied / "studies.db",
            "INSERT INTO study_system_attributes (study_id, key, value_json) "
            "SELECT study_id, ?, ? FROM studies WHERE study_name = ?",
            f"artifacts:{artifact}",
            json.dumps(json.dumps(meta)),
            study,
        )
    outcome = program.call("delete", "small", "--yes", folder=copied)
    assert thesis.read_text() == "years of work"
    assert outcome.problem() is None, outcome.problem()
    assert outcome.status == 0
    assert [file.name for file in (copied / "artifacts").iterdir()] == [pictures["other"]]


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._path,)


def test_a_pickle_in_a_database_is_not_loaded(program: Program, copied: Path) -> None:
    work = ("--epochs", "1", "--folds", "2", "--trials-per-batch", "1")
    run = ("run", "regression_mlp", "--name", "evolved", "--sampler", "cmaes", *work)
    assert program.call(*run, "--trials", "4", folder=copied).status == 0
    marker = copied / "has-run"
    name = optuna.samplers.CmaEsSampler()._attr_key_optimizer
    change(
        copied / "studies.db",
        "INSERT OR REPLACE INTO trial_system_attributes (trial_id, key, value_json) "
        "SELECT trial_id, ?, ? FROM trials",
        f"{name}:0",
        json.dumps(pickle.dumps(Evil(marker)).hex()),
    )
    outcome = program.call(*run, "--trials", "8", folder=copied)
    assert not marker.exists()
    assert outcome.problem() is None, outcome.problem()
    assert outcome.status == 0
    study = optuna.load_study(study_name="evolved", storage=f"sqlite:///{copied}/studies.db")
    assert sum(trial.state in FINISHED for trial in study.trials) == 8


@pytest.mark.parametrize("url", URLS)
def test_a_secret_of_a_url_is_not_repeated(url: str, program: Program, copied: Path) -> None:
    for arguments in (
        ("list",),
        ("list", "--json"),
        ("best", "small"),
        ("run", "regression_mlp", "--name", "new", "--trials", "1", "--epochs", "1"),
        ("report", "small", "--output", "report.pdf"),
        ("delete", "small", "--yes"),
    ):
        outcome = program.call(*arguments, "--storage", url, folder=copied)
        assert SECRET not in outcome.stdout, arguments
        assert SECRET not in outcome.stderr, arguments
        assert SECRET not in outcome.raw, arguments
        assert outcome.problem() is None, outcome.problem()
    for path in copied.rglob("*"):
        assert SECRET not in path.name
        assert path.is_dir() or SECRET.encode() not in path.read_bytes(), path


def test_a_terminal_obeys_no_name(program: Program, copied: Path) -> None:
    database, escape = copied / "studies.db", "\x1b]0;owned\x07\x1b[31m\r\x9b"
    optuna.create_study(storage=f"sqlite:///{database}", study_name=f"foreign{escape}")
    name = f"small{escape}"
    change(database, "UPDATE studies SET study_name = ? WHERE study_name = 'small'", name)
    change(
        database, "UPDATE trial_params SET param_name = ? WHERE param_name = 'lr'", f"lr{escape}"
    )
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
