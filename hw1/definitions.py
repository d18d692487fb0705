"""Study files and devices by name."""

import ast
import importlib.util
import os
from pathlib import Path
from typing import cast, get_args

import torch

from hw1.errors import InputError, choose
from hw1.objective import StudyDefinition
from hw1.training.precision import Precision


def find_definition(name: str, folder: Path) -> tuple[str, Path]:
    """The file of a study and the name by which the study's settings call it.

    Args:
        name: the name of a file in ``folder``, or the path of a study file anywhere.
        folder: the folder of the project's own studies.

    Returns:
        The stem and the path of a file in ``folder``; for any other file its path, twice.

    Raises:
        InputError: there is no such study; the message names the nearest one.
    """
    if name.endswith(".py") or os.sep in name:
        path = Path(name).resolve()
        if path.is_dir():
            raise InputError(f"{name} is a folder: name a study file in it")
        if not path.is_file():
            raise InputError(f"there is no study file {name}: check its path")
    elif name.endswith(".csv"):
        raise InputError(f"{name} is data: run regression_mlp --train-csv {name}")
    else:
        path = folder.resolve() / f"{choose('study', name, definition_names(folder))}.py"
    return (path.stem if path.parent == folder.resolve() else str(path)), path


def definition_names(folder: Path) -> list[str]:
    """The names of the studies that a folder defines."""
    return sorted(path.stem for path in folder.glob("*.py"))


def describe(path: Path) -> str:
    """The first line of a study file's docstring, read without running the file."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    return (docstring or "").partition("\n")[0]


def load_definition(path: Path) -> StudyDefinition:
    """The variable ``study`` of a study file.

    Raises:
        InputError: the file has no such variable.
    """
    spec = importlib.util.spec_from_file_location(f"hw1_study_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    definition = getattr(module, "study", None)
    if not isinstance(definition, StudyDefinition):
        raise InputError(
            f"{path} defines no study: it needs a variable study = StudyDefinition(...)"
        )
    return definition


def find_precision(name: str) -> Precision | None:
    """The precision of that name, None for "auto".

    Raises:
        InputError: another name.
    """
    choose("precision", name, ("auto", *get_args(Precision)))
    return None if name == "auto" else cast(Precision, name)


def find_device(name: str) -> torch.device:
    """The device called "auto", "cpu" or "cuda".

    Raises:
        InputError: another name, or "cuda" on a machine without it.
    """
    choose("device", name, ("auto", "cpu", "cuda"))
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError("there is no CUDA device here: use --device cpu or auto")
    return torch.device("cuda" if available and name != "cpu" else "cpu")
