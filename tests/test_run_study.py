"""The command line: its answers, its errors, and what it does when it is stopped."""

import csv
import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import (
    ROOT,
    TINY_CLASSIFICATION,
    TINY_REGRESSION,
    call,
    command,
    replacing,
    sql,
    with_family,
)
from optuna.trial import TrialState
from typer.main import get_command
from typer.testing import CliRunner

from hw1 import __version__ as hw1_version
from hw1.cli.main import app
from hw1.cli.run import parse_seconds
from hw1.errors import InputError

Cli = Callable[..., subprocess.CompletedProcess[str]]
COMMANDS = list(get_command(app).commands)  # type: ignore[attr-defined]


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    """The path of a study file."""
    path = tmp_path / "tiny.py"
    path.write_text(TINY_REGRESSION)
    return str(path)


def as_json(url: str, *arguments: str) -> Any:
    return json.loads(call(url, *arguments, "--json").stdout)


def states(url: str, name: str) -> list[TrialState]:
    return [t.state for t in optuna.load_study(study_name=name, storage=url).trials]


def test_a_study_from_the_first_command_to_the_best_trial(cli: Cli, tiny: str, url: str) -> None:
    first = cli("run", tiny, "--trials", "3", "--seed", "1")
    assert first.returncode == 0, first.stderr
    assert first.stderr == ""
    assert "tiny-tpe: new, 3 trials to do" in first.stdout
    assert "3/3  best" in first.stdout
    assert len(states(url, "tiny-tpe")) == 3
    more = cli("run", tiny, "--trials", "5", "--seed", "1")
    assert "tiny-tpe: continuing, 2 trials to do" in more.stdout
    assert len(states(url, "tiny-tpe")) == 5
    again = cli("run", tiny, "--trials", "5", "--seed", "1")
    assert "tiny-tpe is complete: 5 of 5 trials are done" in again.stdout
    assert len(states(url, "tiny-tpe")) == 5

    plain = optuna.load_study(study_name="tiny-tpe", storage=url)
    best = as_json(url, "best", "tiny-tpe")
    assert best["value"] == plain.best_value
    assert best["params"] == plain.best_params
    assert best["trial"] == plain.best_trial.number
    assert sum(best["fold_scores"]) / 3 == pytest.approx(best["value"])
    table = call(url, "best", "tiny-tpe").stdout
    assert f"{plain.best_value:.4g} ±" in table
    assert all(name in table for name in plain.best_params)

    rows = as_json(url, "trials", "tiny-tpe")
    assert [row["value"] for row in rows if row["state"] == "completed"] == [
        t.value for t in plain.trials if t.state == TrialState.COMPLETE
    ]
    listed = as_json(url, "list")
    assert listed["studies"][0]["best_value"] == plain.best_value
    assert listed["studies"][0]["state"] == "complete"
    assert set(listed["definitions"]) >= {"regression_mlp", "fashion_cnn"}


def test_trials_as_csv_are_what_is_stored(tiny: str, url: str) -> None:
    call(url, "run", tiny, "--trials", "3")
    result = call(url, "trials", "tiny-tpe", "--csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    stored = optuna.load_study(study_name="tiny-tpe", storage=url).trials
    assert [float(row["lr"]) for row in rows] == [t.params["lr"] for t in stored]
    assert [len(row["fold_scores"].split()) for row in rows] == [3, 3, 3]
    assert "completed" in call(url, "trials", "tiny-tpe").stdout
    study = optuna.load_study(study_name="tiny-tpe", storage=url)
    trial = study.ask()
    trial.set_user_attr("refused", "no pixel is left")
    study.tell(trial, state=TrialState.PRUNED)
    assert "invalid" in call(url, "trials", "tiny-tpe").stdout
    assert as_json(url, "trials", "tiny-tpe")[3]["state"] == "refused"


def test_a_csv_pair_replaces_the_data(tiny: str, url: str, tmp_path: Path) -> None:
    rows = "".join(f"{i},{i % 5},{i * 2}\n" for i in range(40))
    (tmp_path / "train.csv").write_text("a,b,price\n" + rows)
    (tmp_path / "test.csv").write_text("price,b,a\n1,2,3\n")
    pair = ["--train-csv", str(tmp_path / "train.csv"), "--test-csv", str(tmp_path / "test.csv")]
    result = call(url, "run", tiny, *pair, "--target", "price", "--trials", "2")
    assert result.exit_code == 0, result.output
    assert "train: 40 examples" in result.stdout
    assert "complete" in call(url, "run", tiny, *pair, "--target", "price").stdout


def test_a_csv_can_be_classified_when_the_study_says_so(url: str, tmp_path: Path) -> None:
    (tmp_path / "kinds.py").write_text(TINY_CLASSIFICATION)
    rows = "".join(f"{i},{'red' if i % 3 else 'blue'}\n" for i in range(40))
    (tmp_path / "train.csv").write_text("a,label\n" + rows)
    kinds = str(tmp_path / "kinds.py")
    result = call(url, "run", kinds, "--train-csv", str(tmp_path / "train.csv"), "--trials", "1")
    assert result.exit_code == 0, result.output
    best = as_json(url, "best", "kinds-tpe")
    assert best["metric"] == "accuracy"


def test_without_a_storage_the_definitions_are_listed(url: str) -> None:
    result = call(url, "list")
    assert result.exit_code == 0
    assert "fashion_cnn" in result.stdout
    assert f"No study is stored in {url} yet" in result.stdout
    assert not Path(url.removeprefix("sqlite:///")).exists()


def test_a_foreign_study_does_not_hide_the_others(tiny: str, url: str) -> None:
    call(url, "run", tiny, "--trials", "1")
    optuna.create_study(storage=url, study_name="foreign")
    result = call(url, "list")
    assert "tiny-tpe" in result.stdout
    assert "Not made by hw1, and left alone: foreign" in result.stdout


def test_a_damaged_study_does_not_hide_the_others(tiny: str, url: str) -> None:
    for name in ("good", "bad"):
        call(url, "run", tiny, "--trials", "1", "--name", name)
    sql(url, "UPDATE study_user_attributes SET value_json = '{' WHERE study_id = 2")
    result = call(url, "list")
    assert result.exit_code == 0
    assert "good" in result.stdout
    assert "Unreadable: the study 'bad' in " in result.stdout
    found = as_json(url, "list")
    assert [study["name"] for study in found["studies"]] == ["good"]
    assert "is damaged" in found["unreadable_studies"]["bad"]
    assert call(url, "best", "bad").exit_code == 2
    sql(url, "DELETE FROM trial_user_attributes WHERE key = 'seconds'")
    result = call(url, "best", "good")
    assert (result.exit_code, "it lacks seconds" in result.stderr) == (2, True)
    assert call(url, "delete", "bad", "--yes").exit_code == 0
    assert optuna.get_all_study_names(url) == ["good"]
    assert call(url, "delete", "good", "--yes").exit_code == 0
    tables = sql(url, "SELECT name FROM sqlite_master WHERE type = 'table'")
    left = {table for (table,) in tables if sql(url, f"SELECT 1 FROM {table}")}
    assert left <= {"version_info", "alembic_version", "sqlite_sequence"}


def test_a_run_that_ends_early_says_so_by_its_status(tiny: str, url: str) -> None:
    assert call(url, "run", tiny, "--trials", "3").exit_code == 0
    result = call(url, "run", tiny, "--trials", "9", "--timeout", "0.001s")
    assert result.exit_code == 3
    assert "Stopped with 3 of 9 trials" in result.stdout
    # What there is already counts, whatever is asked for.
    result = call(url, "run", tiny, "--trials", "2")
    assert result.exit_code == 0
    assert "3 of 3 trials are done" in result.stdout


def test_printed_commands_can_be_pasted(tiny: str, url: str, tmp_path: Path) -> None:
    other = f"sqlite:///{tmp_path}/other.db"
    options = ["--name", "my [red] study", "--storage", other, "--trials", "1"]
    result = call(url, "run", tiny, *options)
    printed = [line for line in result.stdout.splitlines() if "run_study.py best" in line]
    assert len(printed) == 1
    words = shlex.split(printed[0])
    assert words[:2] == ["python", "run_study.py"]
    assert call(url, *words[2:]).exit_code == 0
    assert "my [red] study" in call(url, "list", "--storage", other).stdout


def test_delete_asks_first(tiny: str, url: str) -> None:
    call(url, "run", tiny, "--trials", "1")
    kept = call(url, "delete", "tiny-tpe", input="n\n")
    assert kept.exit_code == 1
    assert "Delete tiny-tpe with its 1 trial?" in kept.output
    assert optuna.get_all_study_names(url) == ["tiny-tpe"]
    assert call(url, "delete", "tiny-tpe", input="y\n").exit_code == 0
    assert optuna.get_all_study_names(url) == []


WRONG: list[tuple[list[str], str]] = [
    (["run", "regresion_mlp"], "did you mean 'regression_mlp'?"),
    (["run", "TINY", "--sampler", "tpee"], "did you mean 'tpe'?"),
    (["run", "TINY", "--pruner", "meridian"], "did you mean 'median'?"),
    (["run", "TINY", "--trials", "0"], "--trials"),
    (["run", "TINY", "--trials", "many"], "--trials"),
    (["run", "TINY", "--folds", "101"], "100 training examples are too few for 101 folds"),
    (["run", "TINY", "--folds", "1"], "--folds"),
    (["run", "TINY", "--epochs", "0"], "--epochs"),
    (["run", "TINY", "--train-size", "101"], "from 1 to 100"),
    (["run", "TINY", "--timeout", "soon"], "invalid --timeout 'soon'"),
    (["run", "TINY", "--jobs", "0"], "--jobs"),
    (["run", "TINY", "--device", "gpu"], "unknown device 'gpu'"),
    (["run", "TINY", "--train-csv", "FOLDER/text.csv"], "column 'x' holds 'two' in line 3"),
    (["run", "TINY", "--train-csv", "FOLDER/ok.csv", "--target", "z"], "no column 'z'"),
    (
        ["run", "TINY", "--train-csv", "FOLDER/ok.csv", "--test-csv", "FOLDER/other.csv"],
        "are not those of",
    ),
    (["run", "TINY", "--test-csv", "FOLDER/ok.csv"], "--test-csv needs --train-csv"),
    (["run", "TINY", "--target", "x"], "--target needs --train-csv"),
    (["run", "TINY", "--seed", str(2**32)], "--seed"),
    (["run", "TINY", "--name", "-x"], "does not begin with a dash"),
    (["run", "TINY", "--name", ""], "1 to 100 printable characters"),
    (["run", "TINY", "--name", "a\nb"], "1 to 100 printable characters"),
    (["run", "ok.csv"], "ok.csv is data"),
    (["run", "TINY", "--storage", "studies.db"], "is not a valid URL"),
    (["run", "fashion_mlp", "--data-dir", "FOLDER/ok.csv"], "t10k-labels-idx1-ubyte"),
    (["run", "fashion_cnn", "--train-csv", "FOLDER/ok.csv"], "choose another model class"),
    (["best", "tiny-tpe"], "there is no storage"),
    (["best", "tiny-tpe", "--storage", "sqlite:///FOLDER/empty.db"], "holds none yet"),
    (["trials", "x", "--json", "--csv"], "not both"),
    (["delete", "tiny-tpe"], "there is no storage"),
    (["list", "--storage", "sqlite:///FOLDER/ok.csv"], "cannot open storage"),
    (["bset"], "bset"),
]


@pytest.mark.parametrize(("arguments", "reason"), WRONG, ids=lambda value: str(value)[:50])
def test_bad_input_ends_in_one_sentence(
    arguments: list[str], reason: str, tiny: str, url: str, tmp_path: Path
) -> None:
    (tmp_path / "ok.csv").write_text("x,label\n" + "".join(f"{i},{i % 2}\n" for i in range(20)))
    (tmp_path / "other.csv").write_text("y,label\n1,2\n")
    (tmp_path / "text.csv").write_text("x,label\n1,2\ntwo,3\n")
    optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/empty.db")
    before = (tmp_path / "ok.csv").read_text()
    places = [a.replace("TINY", tiny).replace("FOLDER", str(tmp_path)) for a in arguments]
    result = call(url, *places)
    assert result.exit_code == 2, result.output
    assert reason in result.stderr
    assert "Traceback" not in result.output
    message = [line for line in result.stderr.splitlines() if line.startswith(("error:", "Error:"))]
    assert len(message) == 1
    assert (tmp_path / "ok.csv").read_text() == before


def test_a_search_space_that_fails_in_a_trial_is_one_line(cli: Cli, tmp_path: Path) -> None:
    # It is looked at before the data are loaded, and called again for the trials.
    helper, loaded = tmp_path / "helper.py", tmp_path / "loaded"
    helper.write_text(
        "from pathlib import Path\nfrom hw1.datasets import function\n"
        f"LOADED = Path({str(loaded)!r})\n"
        "def load(part, data_dir):\n"
        "    LOADED.touch()\n"
        "    return function.load(part, data_dir)\n"
        "def width():\n"
        "    return 1 / (not LOADED.exists()) * 8\n"
    )
    study = tmp_path / "tiny.py"
    study.write_text(
        TINY_REGRESSION.replace("def search_space", "import helper\ndef search_space")
        .replace("[8]", "[int(helper.width())]")
        .replace("function.load", "helper.load")
    )
    result = cli("run", str(study), "--jobs", "2")
    assert result.returncode == 2, result.stdout
    lines = [line for line in result.stderr.splitlines() if "helper.py:8: ZeroDivision" in line]
    assert lines
    assert all(f"(called from {study}:" in line for line in lines)
    assert set(result.stderr.splitlines()) - set(lines) <= {
        "error: a worker process could not go on; see the error above"
    }


def test_worker_processes_import_what_lies_beside_the_study_file(
    cli: Cli, tmp_path: Path, url: str
) -> None:
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "helper.py").write_text("WIDTHS = [8]\n")
    study = tmp_path / "beside" / "tiny.py"
    study.write_text(f"from helper import WIDTHS\n{TINY_REGRESSION}".replace("[8]", "WIDTHS"))
    result = cli("run", str(study), "--jobs", "2", "--trials", "4", "--sampler", "random")
    assert (result.returncode, result.stderr) == (0, "")
    assert len(states(url, "tiny-random")) == 4


def test_bad_input_loses_nothing(tiny: str, url: str) -> None:
    call(url, "run", tiny, "--trials", "2")
    result = call(url, "run", tiny, "--folds", "4")
    assert (result.exit_code, "another --name" in result.stderr) == (2, True)
    assert states(url, "tiny-tpe") == [TrialState.COMPLETE] * 2
    result = call(url, "best", "tiny-tp")
    assert (result.exit_code, "did you mean 'tiny-tpe'" in result.stderr) == (2, True)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_explained_with_an_example(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0
    assert f"Example: python run_study.py {name}" in result.stdout


IMPORTED = """import runpy, sys
sys.argv = ["run_study.py", *sys.argv[1:]]
try:
    runpy.run_path("run_study.py", run_name="__main__")
finally:
    heavy = "torch sklearn scipy numba pandas matplotlib plotly PIL optuna numpy rich".split()
    heavy += ["alembic", "sqlalchemy.orm"]
    print(*[name for name in heavy if name in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        ("--help", ""),
        ("--version", ""),
        ("run --help", ""),
        ("list", "optuna numpy rich"),
        ("best tiny", "optuna numpy"),
        ("trials tiny", "optuna numpy rich"),
        ("best tinny", "optuna numpy"),
        ("evaluate tinny", "optuna numpy"),
        ("evaluate tiny --nested 5by3", "optuna numpy"),
        ("evaluate tiny --definition gone.py", "optuna numpy"),
        ("compare tiny tinny", "optuna numpy"),
        ("compare tiny", "optuna numpy"),
        ("evaluate tiny --trial 7", "optuna numpy"),
        ("replay tiny 7", "optuna numpy"),
        ("export tiny --device gpu", ""),
        ("export tiny --output network.bin", ""),
        ("report tiny --output report.doc", ""),
        ("report tiny", "optuna numpy"),
        ("predict network.bin rows.csv", ""),
        ("predict gone.pt2 rows.csv", ""),
        ("run regression_mpl", ""),
        ("run regression_mlp --sampler random_", "optuna numpy"),
        ("run regression_mlp --pruner medium", "optuna numpy"),
        ("run regression_mlp --precision half", ""),
        ("run regression_mlp --timeout 1day", ""),
        ("run regression_mlp --train-csv gone.csv", ""),
        ("run regression_mlp --name -x", "optuna numpy"),
        ("run regression_mlp --storage studies.db", "optuna numpy"),
    ],
)
def test_what_trains_nothing_imports_nothing_heavy(
    make_study: Callable[..., object], url: str, arguments: str, allowed: str
) -> None:
    """And what is wrong is said before it is imported."""
    if "tin" in arguments or arguments == "list":
        make_study()
    result = subprocess.run(
        [sys.executable, "-c", IMPORTED, *arguments.split()],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OPTUNA_STORAGE": url},
    )
    *said, imported = result.stderr.split("\n")[:-1]
    assert set(imported.split()) <= set(allowed.split())
    assert "Traceback" not in result.stderr
    assert bool(said) == (result.returncode == 2)


def test_without_its_packages_it_says_how_to_get_them() -> None:
    bare = [sys.executable, "-S", str(ROOT / "run_study.py"), "list"]
    result = subprocess.run(bare, capture_output=True, text=True, env={})
    assert result.returncode == 2
    assert "typer is not installed" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_wheel_gives_the_command_and_the_studies(tmp_path: Path) -> None:
    """In an environment of its own, whose other packages are those of this one."""
    pytest.importorskip("setuptools")
    source = tmp_path / "source"
    source.mkdir()
    for name in ("hw1", "studies"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    wheel = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(source)]
    subprocess.run(wheel, check=True)
    venv.create(tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    install = [*pip, "--python", str(python), "install", "--no-deps", *tmp_path.glob("*.whl")]
    subprocess.run(install, check=True)
    shutil.rmtree(source)
    where = {"vars": {"base": str(tmp_path / "venv"), "platbase": str(tmp_path / "venv")}}
    packages = Path(sysconfig.get_path("purelib", "venv", **where))
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    here = tmp_path / "anywhere"
    here.mkdir()
    environment = {k: v for k, v in os.environ.items() if k not in ("OPTUNA_STORAGE", "PYTHONPATH")}
    environment["_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"] = "1"  # bash is named below

    def hw1(*arguments: str) -> str:
        return subprocess.run(
            [str(python.with_name("hw1")), *arguments],
            capture_output=True,
            text=True,
            cwd=here,
            env=environment,
            check=True,
        ).stdout

    assert hw1("--version") == f"hw1 {hw1_version}\n"
    listed = hw1("list")
    assert all(path.stem in listed for path in (ROOT / "studies").glob("*.py"))
    assert "hw1 run regression_mlp" in listed
    (here / "studies").mkdir()
    (here / "studies" / "mine.py").write_text(TINY_REGRESSION)
    assert "hw1 best mine-tpe" in hw1("run", "mine", "--trials", "1")
    assert (here / "storage" / "studies.db").exists()
    assert "mine-tpe: trial 0 of 1" in hw1("best", "mine-tpe")
    assert "COMP_WORDS" in hw1("--show-completion", "bash")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400), ("0.5s", 0.5)]
)
def test_times_are_read_with_their_units(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "0", "-1", "1d", "nan", "inf", "1e400"])
def test_what_is_no_time_is_an_input_error(text: str) -> None:
    with pytest.raises(InputError, match="--timeout"):
        parse_seconds(text)


# Its trials say when they begin and take so long that a test can count on finding one running.
SLOW_REGRESSION = with_family(
    replacing(TINY_REGRESSION, "epochs=2", "epochs=100_000"),
    """
def __init__(self, *args, **kwargs):
    super().__init__(*args, **kwargs)
    print("a network is built", flush=True)
""",
)
SLOWLY = ("--pruner", "none", "--trials-per-batch", "1")


def start_slow(tmp_path: Path, url: str, *options: str) -> subprocess.Popen[str]:
    """A run in the midst of its first trials, in a session of its own."""
    (tmp_path / "slow.py").write_text(SLOW_REGRESSION)
    process = subprocess.Popen(
        command("run", str(tmp_path / "slow.py"), *SLOWLY, *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OPTUNA_STORAGE": url, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    # The first one is built to see whether it can be, before its trial is stored.
    for _ in range(2):
        assert any("a network is built" in line for line in process.stdout)
    return process


@pytest.mark.parametrize(
    ("number", "jobs"),
    [(signal.SIGINT, 1), (signal.SIGINT, 2), (signal.SIGTERM, 2), (signal.SIGHUP, 2)],
)
def test_an_interrupted_run_queues_its_trial_says_so_and_continues(
    number: signal.Signals, jobs: int, tmp_path: Path, url: str
) -> None:
    process = start_slow(tmp_path, url, "--trials", "2", "--jobs", str(jobs))
    if number != signal.SIGTERM:  # the terminal sends it to all processes of the group
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "Stopping: the running trials begin again when the study goes on" in stdout
    assert stderr.startswith("Interrupted; nothing finished is lost. To continue: ")
    assert "Traceback" not in stderr
    trials = optuna.load_study(study_name="slow-tpe", storage=url).trials
    lost = [trial for trial in trials if trial.state == TrialState.FAIL]
    queued = [trial for trial in trials if trial.state == TrialState.WAITING]
    assert len(lost) + len(queued) == len(trials)
    assert lost
    assert [t.user_attrs["retry_of"] for t in queued] == [t.number for t in lost]
    assert [t.system_attrs["fixed_params"] for t in queued] == [t.params for t in lost]
    result = call(url, "list", "--json")
    assert json.loads(result.stdout)["studies"][0]["state"] == "stopped"


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_after_a_kill_the_next_run_makes_up_for_the_lost_trial(
    jobs: str, tmp_path: Path, url: str
) -> None:
    process = start_slow(tmp_path, url, "--sampler", "grid", "--epochs", "5000", "--jobs", jobs)
    process.kill()
    process.communicate(timeout=60)  # its workers hold the pipes, so they are gone after this
    left = states(url, "slow-grid")
    assert left
    assert set(left) <= {TrialState.RUNNING, TrialState.FAIL}
    process = start_slow(tmp_path, url, "--sampler", "grid")
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    trials = optuna.load_study(study_name="slow-grid", storage=url).trials
    assert len(trials) == len(left) + 1
    assert all(t.state == TrialState.FAIL for t in trials)
    # The lost cell is the next one again.
    assert trials[-1].user_attrs["grid_cell"] == trials[0].user_attrs["grid_cell"] == 0
