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
from typing import TYPE_CHECKING, cast

from hw1.errors import InputError, choose, users_code
from hw1.places import program, shipped, study_folders

if TYPE_CHECKING:  # studies are listed, and what is no study refused, without torch
    import torch

    from hw1.definition import StudyDefinition
    from hw1.training.precision import Precision

Named = str | Path | Sequence[str | Path]
"""One study or several, as `find_definition` takes them."""
IN_PYTHON = "(a StudyDefinition in Python)"
"""What the settings of a study call a definition that is no file."""
DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "float32", "bfloat16")


def known_studies() -> dict[str, Path]:
    """The files of the studies that are called by name; see `hw1.places.study_folders`."""
    found: dict[str, Path] = {}
    for folder in study_folders():
        for path in folder.resolve().glob("*.py"):
            if not path.stem.endswith(".py"):  # which would be taken for a path
                found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def find_definition(name: str) -> tuple[str, Path]:
    """The file of a study that the user names, and how the study's settings call it.

    Args:
        name: one of `known_studies`, or the path of a study file anywhere.

    Returns:
        The name and the path of a known study; of any other file its path, twice.

    Raises:
        InputError: there is no such study; the message names the nearest one.
    """
    path, known = Path(name), known_studies()
    if path.suffix.lower() == ".csv":
        command = [*program(), "run", "regression_mlp", "--train-csv", name]
        raise InputError(f"{name} is data, not a study: use it with {shlex.join(command)}")
    if path.suffix == ".py" or os.sep in name or (name not in known and _is_file(path)):
        path = _study_file(name)
    else:
        path = known[choose("study", name, known)]
    return (path.stem if known.get(path.stem) == path else str(path)), path


def stored_definition(stored: str, named: Named = (), *, origin: str) -> tuple[str, Path]:
    """The study file that a database or a model file asks for, if it may be run.

    To load a study file is to run it, and what is stored may be anybody's: a name stands for a
    study that comes with hw1, and every other file, in the working folder too, must be named by
    the user.

    Args:
        stored: what is stored: the name of a known study, or a path.
        named: the studies or study files that the user names. One alone also serves in place of
            a stored path that does not exist here.
        origin: what has stored it, for the message.

    Returns:
        What is stored, and the path of the file.

    Raises:
        InputError: the file does not come with hw1, and is not named; or a named file is none.
    """
    names = [named] if isinstance(named, str | Path) else named
    given = [find_definition(str(name))[1].resolve() for name in names]
    if stored == IN_PYTHON and not given:
        raise InputError(
            f"{origin} was made from a StudyDefinition in Python: open it there with "
            "definition=..., or name a file that defines the same with --definition FILE"
        )
    known = known_studies().get(stored)
    path = None
    if known is not None or Path(stored).is_absolute():
        # No run stores a relative path, which would be another file in each folder.
        path = _resolved(known or Path(stored))
    # A link in the folder may lead out of it.
    if path is not None and (path in given or (known is not None and _ships(path))):
        return stored, path
    if len(given) == 1 and path is None:
        return stored, given[0]
    raise InputError(
        f"{origin} was made with the study file {stored!r:.300}, which does not come with "
        "hw1 and is run only if you name it: if you trust it, add --definition FILE (in Python, "
        "definition=FILE)"
    )


def naming(*stored: str) -> list[str]:
    """The options by which a command names the study files that do not come with hw1."""
    known = known_studies()
    others = {name for name in stored if name.endswith(".py") or not _ships(known.get(name))}
    return [word for name in sorted(others - {IN_PYTHON}) for word in ("--definition", name)]


def _ships(path: Path | None) -> bool:
    """Whether a file is one of the studies that come with hw1."""
    return path is not None and path.parent in [folder.resolve() for folder in shipped()]


def _study_file(name: str) -> Path:
    """The resolved path of a study file that the user names."""
    path = _resolved(Path(name))
    if path is not None and path.is_dir():
        raise InputError(f"{name} is a folder: name a study file in it")
    if path is None or not path.is_file():
        raise InputError(f"there is no study file {name}: check its path")
    if path.suffix != ".py":
        raise InputError(
            f"{name} is not a study file: name one that ends in .py; pass data as a CSV file, "
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


def describe(path: Path) -> str:
    """The first line of a study file's docstring, read without running the file."""
    try:
        docstring = ast.get_docstring(ast.parse(path.read_bytes()))
    except (OSError, RecursionError, SyntaxError, ValueError) as error:
        return f"cannot be read: {error}"
    return (docstring or "").partition("\n")[0]


def load_definition(path: Path) -> "StudyDefinition":
    """The variable ``study`` of a study file, which may import modules from its own folder.

    Raises:
        InputError: the file fails, with its line; or it has no such variable.
    """
    from hw1.definition import StudyDefinition

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


def find_precision(name: str) -> "Precision | None":
    """The precision of that name, None for "auto".

    Raises:
        InputError: another name.
    """
    choose("precision", name, PRECISIONS)
    return None if name == "auto" else cast("Precision", name)


def find_device(name: str) -> "torch.device":
    """The device called "auto", "cpu" or "cuda".

    Raises:
        InputError: another name, or "cuda" on a machine without it.
    """
    choose("device", name, DEVICES)
    import torch

    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError("there is no CUDA device here: use --device cpu or auto")
    return torch.device("cuda" if available and name != "cpu" else "cpu")
