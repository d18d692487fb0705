import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from conftest import ROOT

import hw1
from hw1.provenance import differences, provenance

REVISION = "from hw1 import provenance; print(provenance._revision())"


def revision(folder: Path) -> str:
    """What a process that runs the code in a folder takes for its revision."""
    command = [sys.executable, "-c", REVISION]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return run.stdout.strip()


def copy(folder: Path) -> Path:
    (folder / "hw1").mkdir()
    for name in ("__init__.py", "provenance.py"):
        shutil.copy(ROOT / "hw1" / name, folder / "hw1")
    return folder


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_it_names_versions_processor_and_threads() -> None:
    found = provenance(torch.device("cpu"))
    assert found["torch"] == torch.__version__.partition("+")[0]
    assert found["numpy"] == np.__version__
    assert found["hw1"] == hw1.__version__
    assert found["python"] == platform.python_version()
    assert found["threads"] == torch.get_num_threads()
    assert found["processor"]


def test_the_revision_is_that_of_git_and_tells_of_changes(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    git(folder, "init", "-q")
    git(folder, "add", "hw1")
    git(folder, "commit", "-qm", "all")
    head = git(folder, "rev-parse", "HEAD")
    assert revision(folder) == head
    (folder / "hw1" / "__init__.py").write_text('__version__ = "changed"')
    assert revision(folder) == head + "+"


def test_there_is_no_revision_outside_a_checkout_or_in_one_of_something_else(
    tmp_path: Path,
) -> None:
    folder = copy(tmp_path)
    assert revision(folder) == "None"
    git(folder, "init", "-q")
    git(folder, "commit", "-qm", "empty", "--allow-empty")
    assert revision(folder) == "None"


def test_differences_are_named_with_both_values() -> None:
    before = {"torch": "2.13", "threads": 2, "numpy": "2.4"}
    now = {"torch": "2.14", "threads": 2, "scipy": "1.17", "numpy": "2.4"}
    assert differences(before, now) == ["scipy 1.17, was None", "torch 2.14, was 2.13"]
    assert differences(before, before) == []
