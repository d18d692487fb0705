"""Where things are unless they are named, and how the user called the program."""

import os
import sys
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
CHECKOUT = PACKAGE.parent if (PACKAGE.parent / "run_study.py").is_file() else None
"""The checkout that this package lies in; None where it is installed."""

MODEL_FILE = (".safetensors", ".pt2", ".onnx"), "a model file"
REPORT_FILE = (".pdf", ".html"), "a report"
"""The suffixes of what is written, and what it is, for `hw1.errors.require_suffix`."""


def home() -> Path:
    """The folder of ``storage/``, ``data/`` and ``studies/``.

    The working folder; anywhere in a checkout of hw1 that checkout.
    """
    here = Path.cwd()
    return CHECKOUT if CHECKOUT is not None and CHECKOUT in (here, *here.parents) else here


def storage_url(url: str | None = None) -> str:
    """The given storage, else that of ``OPTUNA_STORAGE``, else ``storage/studies.db``."""
    if url := url or os.environ.get("OPTUNA_STORAGE"):
        return url
    return f"sqlite:///{shortest(home() / 'storage' / 'studies.db')}"


def data_folder(folder: str | Path | None = None) -> Path:
    """The given folder of data sets, else that of ``HW1_DATA``, else ``data/``."""
    return Path(folder or os.environ.get("HW1_DATA") or home() / "data")


def study_folders() -> list[Path]:
    """The folders whose studies can be called by name: ``studies/``, then what ships with hw1."""
    return list(dict.fromkeys([home() / "studies", *shipped()]))


@cache
def shipped() -> list[Path]:
    """The folder of the studies that come with hw1: the checkout's, or where they are installed."""
    if CHECKOUT is not None:
        return [CHECKOUT / "studies"]
    from importlib.metadata import PackageNotFoundError, files

    try:
        installed = files("hw1") or []
    except PackageNotFoundError:
        return []
    shipped = (file for file in installed if file.match("share/hw1/studies/*.py"))
    return sorted({Path(str(file.locate())).resolve().parent for file in shipped})


def write_whole(content: bytes, path: Path) -> None:
    """Write a file, which appears as a whole or not at all; its folder is made.

    Raises:
        OSError: that failed.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def shortest(path: Path) -> Path:
    """A path as it is shortest from here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def program() -> list[str]:
    """The words that call the command line, as the user has called it or would."""
    called = Path(sys.argv[0])
    if called.name == "run_study.py":
        return ["python", sys.argv[0]]
    return ["hw1"] if called.name == "hw1" or CHECKOUT is None else ["python", "run_study.py"]
