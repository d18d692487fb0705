"""Attacks: real damage to files, databases and processes, at random but from fixed seeds.

The short versions are tests like all others; ``make soak`` runs the long ones and prints figures.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from attacks.figures import table
from attacks.program import Program

TRAIN = "".join(f"{i / 10},{(i * 7) % 11},{i % 5 + i / 20}\n" for i in range(40))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was counted."""
    for line in table():
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The command line, ready to be called."""
    started = Program(tmp_path_factory.mktemp("program"))
    yield started
    started.close()


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, program: Program) -> Path:
    """A folder with CSV files, a database with a study of them, and its network; not to be changed.

    The study is called small: 4 trials of 2 epochs, 2 folds; it is evaluated, nested too. Beside it
    is another, called other.
    """
    folder = tmp_path_factory.mktemp("small")
    (folder / "train.csv").write_text("a,b,price\n" + TRAIN)
    (folder / "test.csv").write_text("price,b,a\n" + TRAIN)
    data = ("--train-csv", "train.csv", "--test-csv", "test.csv")
    work = ("--trials", "4", "--epochs", "2", "--folds", "2", "--sampler", "random")
    for arguments in (
        ("run", "regression_mlp", "--name", "small", *data, *work),
        ("run", "regression_mlp", "--name", "other", *data, *work, "--seed", "1"),
        ("evaluate", "small", "--repeats", "1", "--seeds", "1", "--nested", "2x2"),
        ("export", "small", "--output", "small.safetensors"),
    ):
        program.call(*arguments, folder=folder, patience=600).check(0)
    return folder


@pytest.fixture
def copied(small: Path, tmp_path: Path) -> Path:
    """A copy of that folder."""
    return Path(shutil.copytree(small, tmp_path / "copy"))
