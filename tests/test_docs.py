"""What the documentation shows is run as it stands."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import optuna
import pytest
from conftest import ROOT
from typer.main import get_command

from hw1.cli.main import app

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def test_studies_a_data_set_and_a_family_are_one_new_file_each(tmp_path: Path) -> None:
    for name in ("hw1", "studies"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "run_study.py", tmp_path)
    text = (ROOT / "docs" / "extending.md").read_text()
    files = dict(re.findall(r"```python\n# (\S+)\n(.*?)```", text, re.DOTALL))
    assert sorted(files) == [
        "hw1/datasets/rings.py",
        "hw1/models/fourier.py",
        "studies/rings_fourier.py",
        "studies/waves_lstm.py",
    ]
    for path, source in files.items():
        assert not (tmp_path / path).exists()
        (tmp_path / path).write_text(source)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    environment.pop("OPTUNA_STORAGE", None)
    storage = f"sqlite:///{tmp_path}/storage/studies.db"
    for name, trials in (("rings_fourier", 3), ("waves_lstm", 1)):
        result = subprocess.run(
            [sys.executable, "run_study.py", "run", name, "--trials", str(trials)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        study = optuna.load_study(study_name=f"{name}-tpe", storage=storage)
        assert len(study.trials) == trials
        # To guess gives an accuracy of 0.5, and the variance of the frequencies, 1 / 12.
        assert study.best_value > 0.7 if name == "rings_fourier" else study.best_value < 0.04


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if not target.startswith("http"):
            file, _, heading = target.partition("#")
            assert (page.parent / file).exists(), f"{page.name} links to {target}"
            words = heading.replace("-", " ").lower()
            assert f"# {words}" in (page.parent / file).read_text().lower() if heading else True


def test_the_commands_that_the_pages_show_exist() -> None:
    text = "".join(page.read_text() for page in PAGES)
    shown = set(re.findall(r"python run_study\.py (\w+)", text))
    assert shown == set(get_command(app).commands)  # type: ignore[attr-defined]


def test_every_study_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for path in (ROOT / "studies").glob("*.py"):
        assert f"`{path.stem}`" in readme


def test_the_archive_holds_the_source_and_no_data(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in ("Makefile", ".gitignore", "README.md", "run_study.py"):
        shutil.copy(ROOT / name, checkout)
    (checkout / "hw1").mkdir()
    (checkout / "hw1" / "mine.py").write_text("new, not known to git")
    for ignored in ("storage/studies.db", "data/images", ".venv/lib", "hw1/__pycache__/x.pyc"):
        path = checkout / ignored
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("ignored")
    subprocess.run(["git", "init", "-q"], cwd=checkout, check=True)
    subprocess.run(["git", "add", "README.md"], cwd=checkout, check=True)
    run = subprocess.run(["make", "archive"], cwd=checkout, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "dist/hw1.zip: 5 files" in run.stdout
    names = zipfile.ZipFile(checkout / "dist" / "hw1.zip").namelist()
    files = [".gitignore", "Makefile", "README.md", "hw1/mine.py", "run_study.py"]
    assert names == [f"hw1/{name}" for name in files]


def test_what_the_readme_imports_is_there() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    imports = re.compile(r"^from hw1[^(\n]*(?:\([^)]*\))?$|^import hw1$", re.MULTILINE)
    found = [line for block in blocks for line in imports.findall(block)]
    assert len(found) > 1
    for line in found:
        exec(line, {})
