"""The analysis on the command line: its answers, its files, its errors."""

import contextlib
import csv
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import conftest
import numpy as np
import optuna
import pytest
import torch
from analysis.conftest import Open
from conftest import ROOT, TINY_REGRESSION, command, sql, with_family
from PIL import Image

from hw1.analysis.export import export, usage
from hw1.analysis.results import open_study
from hw1.analysis.training import retrain
from hw1.datasets import digits, function
from hw1.job import Job
from hw1.places import MODEL_FILE
from hw1.words import copyable

Call = Callable[..., Any]
NAMING = ("ablate", "analyze", "compare", "evaluate", "export", "predict", "replay", "report")
"""The commands that may need a study file."""


@pytest.fixture
def call(
    analysed_url: str, finished: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Call:
    """The command line in this process, on the finished studies."""
    monkeypatch.chdir(tmp_path)

    named = [word for file in finished.glob("*.py") for word in ("--definition", str(file))]

    def run(*arguments: str, code: int = 0, **kwargs: Any) -> Any:
        own = named if arguments[0] in NAMING else []
        result = conftest.call(analysed_url, *arguments, *own, **kwargs)
        assert result.exit_code == code, result.output
        return result

    return run


def as_json(call: Call, *arguments: str) -> Any:
    return json.loads(call(*arguments, "--json").stdout)


def test_evaluate_prints_and_stores(call: Call, analysed_url: str) -> None:
    arguments = ["evaluate", "regression-tpe", "--repeats", "2", "--seeds", "2"]
    first = call(*arguments)
    for words in (
        "in the search",
        "optimistically biased: the best of many trials",
        "2 × 3 new splits",
        "2 seeds, 100 test examples",
        "ensemble",
    ):
        assert words in first.stdout
    assert call(*arguments).stdout == first.stdout
    found = as_json(call, *arguments)
    assert found["n_tests"] == 1
    assert np.shape(found["cross_validation"]["scores"]) == (2, 3)
    quick = ("--no-test", "--repeats", "1", "--no-baselines")
    nested = call("evaluate", "regression-tpe", "--nested", "2x2", *quick)
    assert "2 of 2 outer folds" in nested.stdout
    assert "test set          none scored" in nested.stdout
    listed = call("list").stdout
    assert "outer1of2x2" not in listed
    assert "2 searches within nested cross-validations" in listed
    result = call("delete", "regression-tpe", input="y\n")
    assert "with its 4 trials and 2 searches of its nested cross-validation" in result.stdout
    names = optuna.get_all_study_names(analysed_url)
    assert sorted(names) == ["classification-random", "classification-tpe", "regression-random"]


def test_compare_says_a_plain_sentence(call: Call) -> None:
    arguments = ["compare", "regression-random", "regression-tpe", "--repeats", "2"]
    result = call(*arguments)
    assert "best configurations, " in result.stdout
    assert "2 × 3 folds, the same for all" in result.stdout
    assert "95% confidence interval" in result.stdout.splitlines()[-2]
    assert "not the searches" in result.stdout.splitlines()[-1]
    found = as_json(call, *arguments)
    assert found["compared"] == "configurations"
    assert found["pairs"][0]["sentence"] == result.stdout.splitlines()[-2]


def test_ablate_prints_a_table_and_stores_it(call: Call) -> None:
    arguments = ["ablate", "regression-tpe", "--only", "dropout,early_stopping", "--repeats", "2"]
    first = call(*arguments)
    lines = first.stdout.splitlines()
    assert lines[0].startswith("regression-tpe: one change at a time in trial")
    assert lines[1] == "2 × 3 folds of 100 examples, 4 epochs"
    for words in (
        "  dropout",
        "    0.5 ",
        "  early stopping",
        "    last epoch ",
        "no clear difference",
    ):
        assert words in first.stdout
    again = call(*arguments)
    assert again.stdout == first.stdout and again.stderr == ""
    found = as_json(call, *arguments)
    assert list(found["groups"]) == ["dropout", "early_stopping"]
    assert np.shape(found["base"]["scores"]) == (2, 3)


def test_searches_are_compared_by_several_seeds_of_each(call: Call) -> None:
    help_of_it = call("compare", "--help").stdout
    assert "random-0 random-1" in " ".join(help_of_it.split()) and "--searches" in help_of_it
    names = [f"{sampler}-{seed}" for sampler in ("random", "qmc") for seed in range(3)]
    Path("tiny.py").write_text(TINY_REGRESSION)
    for name in names:
        sampler, _, seed = name.partition("-")
        call("run", "tiny.py", "--name", name, "--sampler", sampler, "--seed", seed)
    own = ["--definition", "tiny.py"]
    arguments = ["compare", *names, *own, "--searches", "--repeats", "1"]
    result = call(*arguments)
    assert "sampler random" in result.stdout and "sampler qmc" in result.stdout
    assert "over seeds 0, 1, 2" in result.stdout
    assert "compared seed by seed. The intervals cover other seeds" in result.stdout
    found = as_json(call, *arguments)
    assert found["compared"] == "searches"
    assert found["pairs"][0]["sentence"] in result.stdout
    assert {tuple(search["seeds"]) for search in found["searches"]} == {(0, 1, 2)}
    few = call("compare", *names[:2], *names[3:], *own, "--searches", code=2)
    assert few.stderr.startswith("error: ") and "--seed" in few.stderr


def test_replay_tells_whether_it_is_the_same(call: Call) -> None:
    result = call("replay", "classification-random", "2")
    assert "bit for bit" in result.stdout
    found = as_json(call, "replay", "classification-random", "2")
    assert found["exact"] is True
    assert found["scores"] == found["stored_scores"]


def test_a_network_is_exported_and_predicts_a_csv(call: Call, open_results: Open) -> None:
    result = call("export", "regression-random", "--output", "out/network.safetensors")
    assert "Wrote out/network.safetensors, which predicts the same exactly" in result.stdout
    test = function.load("test", Path())
    x = test.inputs[:5, 0].tolist()
    Path("rows.csv").write_text("other,x\n" + "".join(f"9,{value!r}\n" for value in x))
    results = open_results("regression-random")
    network = retrain(results, results.trial()).networks[0]
    with torch.no_grad():
        expected = network(test.inputs[:5])[:, 0].tolist()
    found = as_json(call, "predict", "out/network.safetensors", "rows.csv")
    assert [row["prediction"] for row in found] == pytest.approx(expected, rel=1e-6)
    assert [row["line"] for row in found] == [2, 3, 4, 5, 6]
    printed = call("predict", "out/network.safetensors", "rows.csv", "--csv").stdout
    rows = list(csv.DictReader(io.StringIO(printed)))
    assert [float(row["prediction"]) for row in rows] == pytest.approx(expected, rel=1e-6)
    assert copyable(expected[0]) in call("predict", "out/network.safetensors", "rows.csv").stdout


def printed_lines(text: str) -> str:
    """The Python that ``export`` prints."""
    return "\n".join(line.strip() for line in text.partition("In Python:\n")[2].splitlines())


def run_lines(code: str, *, isolated: bool) -> list[float]:
    """The numbers that these lines print in a process of their own, without hw1 if isolated."""
    alone = "import sys; sys.modules['hw1'] = None\n" if isolated else ""
    ran = subprocess.run(
        [sys.executable, *(["-I"] if isolated else []), "-c", alone + code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert ran.returncode == 0, ran.stderr
    return [float(x) for x in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", ran.stdout)]


@pytest.mark.parametrize("suffix", MODEL_FILE[0])
def test_the_lines_that_are_printed_use_the_file(
    call: Call, suffix: str, open_results: Open
) -> None:
    printed = call("export", "classification-random", "--output", f"it's{suffix}").stdout
    results = open_results("classification-random")
    network = retrain(results, results.trial()).networks[0]
    with torch.no_grad():
        expected = network(torch.zeros(1, *results.dataset.input_shape))[0].tolist()
    found = run_lines(printed_lines(printed), isolated=suffix != ".safetensors")
    assert found[:10] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("folder", ["elsewhere", "studies"])
def test_the_lines_that_are_printed_find_a_family_of_ones_own(
    folder: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A study file that is named, or is in the folder of studies."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / folder / "own.py"
    path.parent.mkdir()
    path.write_text(with_family(TINY_REGRESSION, "pass"))
    named = str(path) if folder == "elsewhere" else "own"
    job = Job(named, path, url, "own", tmp_path / "data", torch.device("cpu"))
    conftest.run(job, sampler="random", n_trials=1, epochs=1)
    results = open_study("own", storage=url, definition=path)
    model, _ = export(results, output=tmp_path / "own.safetensors")
    code = "\n".join(usage(model, results))
    network = retrain(results, results.trial()).networks[0]
    with torch.no_grad():
        expected = network(torch.zeros(1, 1))[0].tolist()
    assert run_lines(code, isolated=False)[:1] == pytest.approx(expected, abs=1e-3)


def test_images_are_classified_from_a_folder(call: Call) -> None:
    call("export", "classification-tpe", "--output", "digits.pt2")
    test = digits.load("test", Path())
    Path("images").mkdir()
    for i in range(4):
        Image.fromarray(test.inputs[i, 0].numpy()).save(f"images/{i}.png")
    Path("images/notes.txt").write_text("no image")
    result = call("predict", "digits.pt2", "images", "--json")
    found = json.loads(result.stdout)
    assert [row["file"] for row in found] == ["0.png", "1.png", "2.png", "3.png"]
    assert all(sum(row["probabilities"].values()) == pytest.approx(1) for row in found)
    assert "Skipped, as they are not images: notes.txt" in result.stderr
    table = call("predict", "digits.pt2", "images/2.png").stdout
    assert found[2]["prediction"] in table


def test_figures_are_written_to_the_folder(call: Call) -> None:
    result = call("analyze", "regression-random", "--output", "figures")
    assert "open figures/index.html" in result.stdout
    index = Path("figures/index.html").read_text()
    for name in ("learning_curves", "fitted_function", "fold_scores", "search_history"):
        assert Path(f"figures/{name}.html").exists()
        assert Path(f"figures/{name}.svg").read_text().lstrip().startswith("<?xml")
        assert f"{name}.svg" in index


def test_several_trials_are_analysed_side_by_side(call: Call) -> None:
    found = as_json(call, "analyze", "regression-random", "--top", "2", "--output", "f")
    names = {Path(file).name for file in found["files"]}
    for chosen in found["trials"]:
        assert f"trial{chosen}_fitted_function.svg" in names
    assert len(found["trials"]) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["evaluate", "regresion-tpe"], "did you mean 'regression-tpe'"),
        (["evaluate", "regression-tpe", "--nested", "5"], "give outer and inner folds as 5x3"),
        (["evaluate", "regression-tpe", "--nested", "5x1"], "give outer and inner folds as 5x3"),
        (["evaluate", "regression-tpe", "--trial", "99"], "has no trial 99"),
        (["evaluate", "regression-tpe", "--folds", "101"], "too few for 101 folds"),
        (["compare", "regression-tpe"], "two or more different studies"),
        (["compare", "regression-tpe", "classification-tpe"], "only studies of one metric"),
        (["ablate", "regression-tpe", "--only", "l1,optimiser"], "did you mean 'optimizer'"),
        (["ablate", "regression-tpe", "--defaults", "--trial", "1"], "one of --trial and --def"),
        (["ablate", "regression-tpe", "--train-size", "9999"], "9999"),
        (["replay", "regression-tpe", "99"], "has no trial 99"),
        (["analyze", "regression-tpe", "--top", "2", "--trial", "1"], "one of --trial and --top"),
        (["export", "regression-tpe", "--output", "a.pickle"], "it must end in .safetensors"),
        (["export", "regression-tpe", "--output", "/proc/x/a.pt2"], "cannot write to /proc/x"),
        (["analyze", "regression-tpe", "--output", "/proc/x"], "cannot write to /proc/x"),
        (["predict", "none.safetensors", "rows.csv"], "there is no file none.safetensors"),
        (["predict", "a.txt", "rows.csv"], "it must end in .safetensors"),
    ],
)
def test_bad_input_is_one_sentence(call: Call, arguments: list[str], words: str) -> None:
    result = call(*arguments, code=2)
    assert result.stderr.startswith("error: ")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_study_without_a_completed_trial_is_told_by_every_command(
    call: Call, make_study: Callable[..., Any], url: str
) -> None:
    study = make_study(TINY_REGRESSION, name="empty")
    study.optuna_study.tell(study.optuna_study.ask(), state=optuna.trial.TrialState.FAIL)
    for arguments in (
        ["evaluate", "empty"],
        ["compare", "empty", "regression-tpe"],
        ["analyze", "empty"],
        ["analyze", "empty", "--top", "3"],
        ["export", "empty"],
    ):
        result = call(*arguments, "--storage", url, code=2)
        assert "no trial of 'empty' has completed yet" in result.stderr
    for arguments in (["replay", "empty", "0"], ["export", "empty", "--trial", "0"]):
        result = call(*arguments, "--storage", url, code=2)
        assert "trial 0 of 'empty' is interrupted" in result.stderr


def shown_on(terminal: int) -> bytes:
    """What comes until the process that has the terminal is gone."""
    shown = b""
    with contextlib.suppress(OSError):
        while chunk := os.read(terminal, 4096):
            shown += chunk
    os.close(terminal)
    return shown


def test_ctrl_c_ends_an_evaluation_in_a_sentence(
    analysed_url: str, finished: Path, tmp_path: Path
) -> None:
    terminal, stderr = pty.openpty()
    process = subprocess.Popen(
        command(
            *("evaluate", "classification-random", "--repeats", "100000"),
            *("--definition", str(finished / "classification.py")),
        ),
        env={**os.environ, "OPTUNA_STORAGE": analysed_url, "TERM": "xterm"},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=stderr,
    )
    os.close(stderr)
    shown = b""
    while b"cross-validation, repeat" not in shown:
        shown += os.read(terminal, 4096)
    process.send_signal(signal.SIGINT)
    shown += shown_on(terminal)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Interrupted; what is finished is stored" in shown
    assert b"Traceback" not in shown


def test_a_report_is_a_pdf_and_a_page(call: Call) -> None:
    result = call("report", "regression-random", "regression-tpe", "--output", "out/mine.pdf")
    assert "Wrote out/mine.pdf and out/mine.html." in result.stdout
    assert "Missing: the evaluation of regression-tpe. To add it, run: " in result.stdout
    assert Path("out/mine.pdf").read_bytes().startswith(b"%PDF-")
    assert "regression-random" in Path("out/mine.html").read_text()
    result = call("report", "regression-random", "--output", "mine.doc", code=2)
    assert "it must end in .pdf or .html" in result.stderr


EVIL = "evil\x1b]0;owned\x07\x9b2J\u202egnp.\x7f"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture
def hostile(analysed_url: str) -> str:
    """A database whose names, parameters and failures hold what a terminal obeys."""
    changes = {
        "UPDATE studies SET study_name = ? || study_id": (EVIL,),
        "UPDATE studies SET study_name = 'regression-tpe' WHERE study_id = 2": (),
        "UPDATE trial_params SET param_name = param_name || ?": (EVIL,),
        "UPDATE trial_params SET distribution_json = replace(distribution_json, '16, 32', ?), "
        "param_value = 0 WHERE distribution_json LIKE '%16, 32%'": (f"{json.dumps(EVIL)}, 32",),
        "UPDATE trials SET state = 'FAIL' WHERE number = 3": (),
        "INSERT INTO trial_user_attributes (trial_id, key, value_json) "
        "SELECT trial_id, 'failure', ? FROM trials WHERE number = 3": (json.dumps(EVIL),),
    }
    for statement, values in changes.items():
        sql(analysed_url, statement, *values)
    study = optuna.load_study(study_name=f"{EVIL}1", storage=analysed_url)
    study.set_user_attr("settings", study.user_attrs["settings"] | {"dataset": EVIL})
    return study.study_name


def test_nothing_in_a_database_is_obeyed_by_a_terminal(
    call: Call, hostile: str, analysed_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    quick = ["--repeats", "1"]
    shown = {}
    for arguments in (
        ["list", "--json"],
        ["list"],
        ["best", hostile, "--json"],
        ["best", hostile],
        ["trials", hostile, "--json"],
        ["trials", hostile],
        ["evaluate", hostile, *quick, "--seeds", "1", "--no-baselines"],
        ["compare", hostile, "regression-tpe", *quick],
        ["replay", hostile, "0"],
        ["export", hostile, "--output", "network.safetensors"],
        ["report", hostile, "--output", "report.pdf"],
        ["delete", hostile, "--yes"],
    ):
        result = call(*arguments)
        shown[arguments[0]] = result.output
        assert not OBEYED.search(result.output), result.output
    for name in ("list", "best", "evaluate", "compare", "replay", "delete"):
        assert r"evil\x1b]0;owned\x07\x9b2J\u202egnp.\x7f" in shown[name]
    unknown = "regression-tpe\x1b[2J\nerror: none"
    assert call("best", unknown, code=2).stderr.count("\n") == 1
    optuna.create_study(storage=analysed_url, study_name=hostile)
    damaged = optuna.load_study(study_name=f"{EVIL}4", storage=analysed_url)
    damaged.set_user_attr("settings", damaged.user_attrs["settings"] | {"sampler": EVIL})
    for wrong in (
        ["best", f"{EVIL}0"],
        ["best", damaged.study_name],
        ["best", unknown],
        ["best", "regression-tpe", "too\x1b[2J"],
        ["trials", hostile],
        ["run", "regression_mlp", "--name", hostile],
    ):
        result = call(*wrong, code=2)
        assert not OBEYED.search(result.output), result.output


def test_data_are_data_but_on_a_terminal(call: Call, hostile: str, analysed_url: str) -> None:
    found = as_json(call, "trials", hostile)
    assert all(name.endswith(EVIL) for row in found for name in row["params"])
    assert found[3]["failure"] == EVIL
    piped = call("trials", hostile, "--csv").stdout
    header, *rows = csv.reader(io.StringIO(piped, newline=""))
    assert [row[header.index("failure")] for row in rows][3] == EVIL
    terminal, stdout = pty.openpty()
    process = subprocess.Popen(
        command("trials", hostile, "--csv"),
        env={**os.environ, "OPTUNA_STORAGE": analysed_url},
        stdout=stdout,
    )
    os.close(stdout)
    shown = shown_on(terminal)
    assert process.wait() == 0
    assert b"evil\\x1b]0;owned" in shown
    assert not OBEYED.search(shown.decode().replace("\r\n", "\n"))


def test_nothing_in_a_model_file_is_obeyed_by_a_terminal(call: Call) -> None:
    call("export", "classification-tpe", "--output", "digits.pt2")
    test = digits.load("test", Path())
    name = f"a{EVIL}.png".replace("\x1b]", "\x1b")
    Image.fromarray(test.inputs[0, 0].numpy()).save(name)
    with zipfile.ZipFile("digits.pt2") as old, zipfile.ZipFile("evil.pt2", "w") as new:
        for part in old.namelist():
            content = old.read(part)
            if part.endswith("hw1.json"):
                values = json.loads(content)
                values["class_names"] = [f"{EVIL}{i}" for i in range(10)]
                content = json.dumps(values).encode()
            new.writestr(part, content)
    for arguments in ([name], [name, "--csv"]):
        result = call("predict", "evil.pt2", *arguments)
        assert "evil" in result.stdout
        if arguments == [name]:
            assert not OBEYED.search(result.output), result.output
    for wrong in ("none\x1b[2J.png", "evil.pt2"):
        result = call("predict", "evil.pt2", wrong, code=2)
        assert not OBEYED.search(result.output), result.output
