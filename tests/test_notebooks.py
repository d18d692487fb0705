"""The notebooks: in step with their scripts, without outputs, and they run from top to bottom."""

import inspect
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import optuna
import pytest
from conftest import ROOT, TINY_CLASSIFICATION, TINY_CNN, TINY_REGRESSION
from conftest import run as run_study
from jupytext.cli import jupytext
from nbclient import NotebookClient
from nbformat import NotebookNode

import hw1
from hw1.job import Job

FOLDER = ROOT / "notebooks"
NAMES = ["best_parameters", "fashion_mnist", "regression"]
PLOTLY = "application/vnd.plotly.v1+json"


def read(name: str) -> NotebookNode:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def parameters(notebook: NotebookNode) -> NotebookNode:
    """The cell that a user changes."""
    [cell] = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    return cell


@pytest.fixture
def run(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[NotebookNode]]:
    """Runs a notebook with other parameters, on the test's own database; returns its outputs."""
    monkeypatch.setenv("OPTUNA_STORAGE", url)
    monkeypatch.setenv("HW1_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore:IProgress")  # of tqdm, without ipywidgets
    monkeypatch.delenv("PLOTLY_RENDERER", raising=False)

    def run_named(name: str, **values: Any) -> list[NotebookNode]:
        notebook = read(name)
        cell = parameters(notebook)
        for key, value in values.items():
            assert f"{key} = " in cell.source
            cell.source += f"\n{key} = {value!r}"
        where = {"metadata": {"path": str(FOLDER)}}
        NotebookClient(notebook, timeout=600, kernel_name="python3", resources=where).execute()
        outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
        assert not [o.text for o in outputs if o.get("name") == "stderr"]
        return outputs

    return run_named


@pytest.fixture
def write_study(tmp_path: Path) -> Callable[[str, str], str]:
    """Writes a study file and returns its path."""

    def write(name: str, source: str) -> str:
        path = tmp_path / f"{name}.py"
        path.write_text(source)
        return str(path)

    return write


def shown(outputs: list[NotebookNode], kind: str) -> str:
    """All that was shown of a kind, as one text."""
    return "\n".join(str(o.data[kind]) for o in outputs if kind in o.get("data", {}))


def figures(outputs: list[NotebookNode]) -> int:
    return sum(PLOTLY in o.get("data", {}) for o in outputs)


@pytest.mark.parametrize("name", NAMES)
def test_regenerating_a_notebook_from_its_script_changes_no_byte(name: str, tmp_path: Path) -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == NAMES
    for suffix in (".py", ".ipynb"):
        shutil.copy(FOLDER / f"{name}{suffix}", tmp_path)
    jupytext(["--to", "ipynb", "--update", "--quiet", str(tmp_path / f"{name}.py")])
    made = (tmp_path / f"{name}.ipynb").read_bytes()
    assert made == (FOLDER / f"{name}.ipynb").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_valid_and_has_no_outputs(name: str) -> None:
    notebook = read(name)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None


@pytest.mark.parametrize("name", ["fashion_mnist", "regression"])
def test_the_studies_and_options_of_a_notebook_exist(name: str) -> None:
    values: dict[str, Any] = {}
    exec(parameters(read(name)).source, values)
    for key, value in values.items():
        if key.endswith("DEFINITION"):
            assert (ROOT / "studies" / f"{value}.py").exists()
    assert values["OPTIONS"].keys() <= inspect.signature(hw1.run).parameters.keys()


def test_best_parameters(
    run: Callable[..., list[NotebookNode]], make_job: Callable[..., Job], url: str
) -> None:
    sources = {"first": TINY_REGRESSION, "second": TINY_CLASSIFICATION}
    for name, source in sources.items():
        run_study(make_job(source, name), sampler="random", train_size=60)
    outputs = run("best_parameters", STORAGE=url, STUDY="first", TOP=2)
    tables = shown(outputs, "text/html")
    for name in sources:
        best = optuna.load_study(study_name=name, storage=url)
        assert f"{best.best_value:.4g}" in tables
        assert f"{best.best_params['lr']:.4g}" in tables
    assert figures(outputs) >= 2


def test_regression(
    run: Callable[..., list[NotebookNode]], write_study: Callable[[str, str], str], url: str
) -> None:
    outputs = run(
        "regression",
        DEFINITION=write_study("tiny", TINY_REGRESSION),
        STUDY="tiny-tpe",
        OTHER="tiny-random",
        OPTIONS={"trials": 3},
        REPEATS=1,
        SEEDS=2,
    )
    for name in ("tiny-tpe", "tiny-random"):
        study = optuna.load_study(study_name=name, storage=url)
        assert len(study.trials) == 3
        assert f"{study.best_value:.4g}" in shown(outputs, "text/html")
    assert "with this study: **1**" in shown(outputs, "text/markdown")
    titles = shown(outputs, "text/html")
    for title in (
        "Optimization history",
        "Learning curves",
        "The fitted function",
        "Weights before and after training",
        "Activation of hidden units along the input",
    ):
        assert f"<h4>{title}</h4>" in titles


def test_fashion_mnist(
    run: Callable[..., list[NotebookNode]], write_study: Callable[[str, str], str], url: str
) -> None:
    outputs = run(
        "fashion_mnist",
        DEFINITION=write_study("convolutions", TINY_CNN),
        BASELINE_DEFINITION=write_study("dense", TINY_CLASSIFICATION),
        STUDY="convolutions",
        BASELINE="dense",
        OPTIONS={"sampler": "random", "trials": 3, "train_size": 200},
        REPEATS=1,
        SEEDS=2,
    )
    assert optuna.load_study(study_name="convolutions", storage=url).best_value > 0
    titles = shown(outputs, "text/html")
    for title in (
        "Confusion matrix",
        "The most confident mistakes",
        "Weights before and after training",
        "Feature maps",
        "Receptive fields",
        "Activation maximization",
    ):
        assert f"<h4>{title}</h4>" in titles
