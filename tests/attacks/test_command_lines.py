"""Command lines, valid and mangled, over a small database."""

import os
import shutil
import subprocess
from pathlib import Path
from random import Random

import pytest
from attacks.figures import size
from attacks.mutations import ODD, attack, mangled, some
from attacks.program import IMPATIENCE, Outcome, Program
from conftest import command

NUMBERS = ("2", "3", "1", "0", "-1", "1.5", "1e3", "", "nan", "٣", "1_0", " 2", "+2", "9" * 25)
STORAGES = (
    "sqlite:///studies.db",
    "sqlite:///studies.db?timeout=abc",
    "sqlite:///none.db",
    "sqlite:///folder/none.db",
    "sqlite:///train.csv",
    "sqlite:///.",
    "sqlite:////dev/null",
    "sqlite:///" + "a" * 300 + ".db",
    "sqlite://",
    "sqlite:///:memory:",
    "postgresql://u:geheim@127.0.0.1:1/db",
    "mysql+nothing://u@h/db",
    "studies.db",
    "://",
    "",
)
FILES = ("train.csv", "small.safetensors", "test.csv", "studies.db", "none.csv", ".", "/dev/null")
MODELS = (*["small.safetensors"] * 3, "train.csv", "none.pt2", ".")
OUTPUTS = ("new.safetensors", "new.pdf", "new.html", "new", "train.csv", "train.csv/new.pdf", "")
WRONG_DEFINITIONS = ("regression_mlpp", "fashion_mlp", "train.csv", "none.py", ".")
DEFINITIONS = (*["regression_mlp"] * 5, *WRONG_DEFINITIONS)
NAMES = ("small", "small", "small", "smal", "new")
OPTIONS: dict[str, tuple[str, ...]] = {
    "--name": NAMES,
    "--sampler": ("random", "tpe", "grid", "gp", "cmaes", "qmc", "rand"),
    "--pruner": ("median", "percentile", "hyperband", "halving", "none", "None"),
    "--trials": NUMBERS,
    "--trial": NUMBERS,
    "--timeout": ("1s", "0.01m", "0", "-1s", "s", "1x", "inf", "nan", "1e400", ""),
    "--folds": NUMBERS,
    "--epochs": NUMBERS,
    "--train-size": NUMBERS,
    "--train-csv": FILES,
    "--test-csv": FILES,
    "--target": ("price", "a", "none", "", "\x1b[31m"),
    "--data-dir": FILES,
    "--storage": STORAGES,
    "--device": ("auto", "cpu", "cuda", "CPU", "tpu"),
    "--jobs": ("1", "0", "-1", "x", ""),
    "--trials-per-batch": ("auto", *NUMBERS),
    "--precision": ("auto", "float32", "bfloat16", "float64"),
    "--seed": (*NUMBERS, "4294967295", "4294967296"),
    "--repeats": NUMBERS,
    "--seeds": NUMBERS,
    "--only": ("dropout", "l1,dropout", "none", "", ",", "\x1b[31m"),
    "--defaults": (),
    "--nested": ("2x2", "2X2", "1x1", "2x", "x", "2x2x2", "٣x٣", "9" * 25 + "x2", ""),
    "--top": NUMBERS,
    "--output": OUTPUTS,
    "--author": ODD,
    "--title": ODD,
    "--host": ("127.0.0.1", "::1", "0.0.0.0", "nowhere.invalid", "", "\x1b[31m"),
    "--port": ("0", "-1", "1", "65535", "65536", "x"),
    "--allow-host": ("a", "", "a b", "\x1b[31m"),
    "--json": (),
    "--csv": (),
    "--no-test": (),
    "--again": (),
    "--write": (),
    "--yes": (),
    "--help": (),
}
RUN = ("--name", "--sampler", "--pruner", "--trials", "--timeout", "--folds", "--epochs")
DATA = ("--train-size", "--train-csv", "--test-csv", "--target", "--data-dir")
MACHINE = ("--storage", "--device", "--precision", "--json")
COMMANDS: dict[str, tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]] = {
    "list": ((), ("--storage", "--json")),
    "run": ((DEFINITIONS,), (*RUN, *DATA, *MACHINE, "--jobs", "--trials-per-batch", "--seed")),
    "best": ((NAMES,), ("--storage", "--json")),
    "trials": ((NAMES,), ("--storage", "--json", "--csv")),
    "evaluate": (
        (NAMES,),
        (
            *MACHINE,
            "--trial",
            "--repeats",
            "--folds",
            "--seeds",
            "--seed",
            "--nested",
            "--no-test",
            "--no-baselines",
        ),
    ),
    "compare": ((NAMES, NAMES), (*MACHINE, "--repeats", "--folds", "--seed", "--data-dir")),
    "ablate": (
        (NAMES,),
        (*MACHINE, "--trial", "--only", "--defaults", "--repeats", "--folds", "--epochs", "--seed"),
    ),
    "replay": ((NAMES, NUMBERS), (*MACHINE, "--data-dir")),
    "analyze": ((NAMES,), (*MACHINE, "--trial", "--top", "--output")),
    "export": ((NAMES,), (*MACHINE, "--trial", "--output")),
    "predict": ((MODELS, FILES), ("--json", "--csv")),
    "report": ((NAMES,), ("--storage", "--output", "--author", "--title", "--json")),
    "dashboard": ((), ("--storage", "--host", "--port", "--write", "--allow-host")),
    "delete": ((NAMES,), ("--storage", "--yes")),
}
# What is asked for unless the words that follow ask for something else: little.
LITTLE = {
    "run": ("--trials", "5", "--epochs", "2", "--folds", "2", "--sampler", "random"),
    "evaluate": ("--repeats", "1", "--seeds", "1", "--no-baselines"),
    "compare": ("--repeats", "1"),
    "ablate": ("--repeats", "1", "--only", "dropout"),
    "export": ("--output", "new.safetensors"),
    "report": ("--output", "new.pdf"),
    "analyze": ("--output", "new"),
    "dashboard": ("--port", "99999"),
}
WEIGHTS = {"run": 8, "predict": 4, "evaluate": 3, "analyze": 1, "dashboard": 1}


def line(random: Random) -> list[str]:
    """A command line."""
    command = random.choices(list(COMMANDS), [WEIGHTS.get(name, 2) for name in COMMANDS])[0]
    arguments, options = COMMANDS[command]
    words = [some(random, values) for values in arguments]
    for _ in range(random.choice((0, 1, 1, 2, 4))):
        option = some(random, options if random.random() < 0.9 else list(OPTIONS))
        words.append(option)
        if OPTIONS[option]:  # the first ones are good
            values = OPTIONS[option][: random.choice((2, 2, None))]
            words.append(some(random, values))
    if random.random() < 0.4:
        words = mangled(random, words)
    line = [command, *LITTLE.get(command, ()), *words]
    return mangled(random, line) if random.random() < 0.1 else line


def test_a_command_line_ends_in_an_answer_or_a_sentence(
    program: Program, small: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "here"

    def case(random: Random) -> tuple[str, Outcome]:
        arguments = line(random)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(small, folder)
        outcome = program.call(*arguments, folder=folder, patience=IMPATIENCE)
        return repr(arguments), outcome

    attack("command lines", size(40, 1000), case)


@pytest.mark.parametrize("number", range(size(1, 20)))
def test_a_process_ends_as_its_command_line_in_another(
    number: int, program: Program, small: Path, tmp_path: Path
) -> None:
    arguments = line(Random(f"processes {number}"))
    shutil.copytree(small, tmp_path / "in")
    shutil.copytree(small, tmp_path / "of")
    inside = program.call(*arguments, folder=tmp_path / "in", patience=120)
    alone = subprocess.run(
        [os.fsencode(word) for word in command(*arguments)],
        cwd=tmp_path / "of",
        env=os.environ | {"OPTUNA_STORAGE": "sqlite:///studies.db", "COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    texts = [stream.decode(errors="surrogateescape") for stream in (alone.stdout, alone.stderr)]
    Outcome(alone.returncode, *texts).check(inside.status)
