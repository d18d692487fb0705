"""Study files and devices by name."""

import ast
import importlib.util
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import cast, get_args

import torch

from hw1.definition import StudyDefinition
from hw1.errors import InputError, choose, users_code
from hw1.training.precision import Precision

Named = str | Path | Sequence[str | Path]
"""One study or several, as `find_definition` takes them."""


def find_definition(name: str, folder: Path) -> tuple[str, Path]:
    """The file of a study that the user names, and how the study's settings call it.

    Args:
        name: the name of a file in ``folder``, or the path of a study file anywhere.
        folder: the folder of the project's own studies.

    Returns:
        The stem and the path of a file in ``folder``; for any other file its path, twice.

    Raises:
        InputError: there is no such study; the message names the nearest one.
    """
    path = Path(name)
    if path.suffix.lower() == ".csv":
        command = ["python", "run_study.py", "run", "regression_mlp", "--train-csv", name]
        raise InputError(f"{name} is data, not a study: use it with {shlex.join(command)}")
    names = definition_names(folder)
    if path.suffix == ".py" or os.sep in name or (name not in names and _is_file(path)):
        path = _study_file(name)
    else:
        path = folder.resolve() / f"{choose('study', name, names)}.py"
    return (path.stem if path.parent == folder.resolve() else str(path)), path


def stored_definition(
    stored: str, folder: Path, named: Named = (), *, origin: str
) -> tuple[str, Path]:
    """The study file that a database or a model file asks for, if it may be run.

    To load a study file is to run it, and what is stored may be anybody's: a name is looked up
    in ``folder``, and every other file must be named by the user.

    Args:
        stored: what is stored: the stem of a file in ``folder``, or a path.
        folder: the folder of the project's own studies.
        named: the studies or study files that the user names. One alone also serves in place of
            a stored path that does not exist here.
        origin: what has stored it, for the message.

    Returns:
        What is stored, and the path of the file.

    Raises:
        InputError: the file is not in ``folder``, and not named; or a named file is none.
    """
    folder = folder.resolve()
    names = [named] if isinstance(named, str | Path) else named
    given = [find_definition(str(name), folder)[1].resolve() for name in names]
    is_name = stored in definition_names(folder) and not stored.endswith(".py")
    if is_name:
        path = _resolved(folder / f"{stored}.py")
    else:  # no run stores a relative path, which would be another file in each folder
        path = _resolved(Path(stored)) if Path(stored).is_absolute() else None
    # A link in the folder may lead out of it.
    if path is not None and (path in given or (is_name and path.parent == folder)):
        return stored, path
    if len(given) == 1 and path is None:
        return stored, given[0]
    raise InputError(
        f"{origin} was made with the study file {stored!r:.300}, which is not one of "
        f"{folder.name}/ and is run only if you name it: if you trust it, add --definition FILE "
        "(in Python, definition=FILE)"
    )


def naming(*stored: str) -> list[str]:
    """The options by which a command names the study files that are not the project's own."""
    files = sorted({path for path in stored if path.endswith(".py")})
    return [word for path in files for word in ("--definition", path)]


def _study_file(name: str) -> Path:
    """The resolved path of a study file that the user names."""
    path = _resolved(Path(name))
    if path is not None and path.is_dir():
        raise InputError(f"{name} is a folder: name a study file in it")
    if path is None or not path.is_file():
        raise InputError(f"there is no study file {name}: check its path")
    if path.suffix != ".py":
        raise InputError(
            f"{name} is no study file: name one that ends in .py; data are given as a CSV file, "
            "with --train-csv"
        )
    return path


def _resolved(path: Path) -> Path | None:
    """The path of a file or folder that is there, without links; else None."""
    try:
        path = path.resolve()
        return path if path.exists() else None
    except (OSError, RuntimeError, ValueError):  # too long, links in a circle, a NUL byte
        return None


def _is_file(path: Path) -> bool:
    found = _resolved(path)
    return found is not None and found.is_file()


def definition_names(folder: Path) -> list[str]:
    """The names of the studies that a folder defines."""
    return sorted(path.stem for path in folder.glob("*.py"))


def describe(path: Path) -> str:
    """The first line of a study file's docstring, read without running the file."""
    try:
        docstring = ast.get_docstring(ast.parse(path.read_bytes()))
    except (OSError, RecursionError, SyntaxError, ValueError) as error:
        return f"cannot be read: {error}"
    return (docstring or "").partition("\n")[0]


def load_definition(path: Path) -> StudyDefinition:
    """The variable ``study`` of a study file, which may import modules from its own folder.

    Raises:
        InputError: the file fails, with its line; or it has no such variable.
    """
    spec = importlib.util.spec_from_file_location(f"hw1_study_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with users_code(path), _importing_from(path.parent):
        spec.loader.exec_module(module)
    definition = getattr(module, "study", None)
    if not isinstance(definition, StudyDefinition):
        raise InputError(
            f"{path} defines no study: it needs a variable study = StudyDefinition(...)"
        )
    return definition


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Modules in a folder can be imported, and are then forgotten.

    So another study file, with a module of the same name beside it, gets its own. What is installed
    comes first: no file that happens to lie there takes the place of a library.
    """
    before, is_new = set(sys.modules), str(folder) not in sys.path
    if is_new:
        sys.path.append(str(folder))
    try:
        yield
    finally:
        if is_new:
            with suppress(ValueError):  # the study file may have changed it
                sys.path.remove(str(folder))
        new = {name for name in set(sys.modules) - before if name.partition(".")[0] != "hw1"}
        # A folder may hold an environment, too: only what lies in it directly is the study's.
        beside = {name for name in new if "." not in name and _lies_in(sys.modules[name], folder)}
        for name in new:
            if name.partition(".")[0] in beside:
                del sys.modules[name]


def _lies_in(module: ModuleType, folder: Path) -> bool:
    """Whether a module is a file or a package directly in a folder."""
    known = vars(module)  # some modules answer to any other question by an import
    files = known.get("__path__") or [known.get("__file__")]
    return any(Path(file).parent == folder for file in files if file)


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
