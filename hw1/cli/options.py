"""The arguments and options that several commands share."""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hw1.errors import InputError, choose, require_suffix
from hw1.places import storage_url
from hw1.study_files import DEVICES, PRECISIONS


def choice(kind: str, names: Callable[[], Iterable[str]], help: str) -> Any:
    """The option ``--kind``: one of some names, checked before anything slow is imported."""

    def check(name: str | None) -> str | None:
        return None if name is None else choose(kind, name, names())

    return typer.Option(
        f"--{kind}", metavar="NAME", help=help, callback=check, autocompletion=names
    )


def count(letter: str, help: str, least: int = 1) -> Any:
    """An option that takes a whole number."""
    return typer.Option(min=least, metavar=letter, help=help)


def ends_in(suffixes: Sequence[str], kind: str) -> Callable[[Path | None], Path | None]:
    """Checks a file's name before anything slow is imported."""

    def check(path: Path | None) -> Path | None:
        if path is not None:
            require_suffix(path, suffixes, kind)
        return path

    return check


def stored_names(ctx: typer.Context) -> Iterable[str]:
    """The studies in storage, for a shell that completes a name."""
    from hw1.optuna_store.storage import Storage

    with contextlib.suppress(InputError):
        return Storage(storage_url(ctx.params.get("storage")), create=False).study_names()
    return ()


Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="A study that `list` shows.", autocompletion=stored_names),
]
Trial = Annotated[
    int | None, typer.Option("--trial", min=0, metavar="N", help="A trial. [default: the best]")
]
Definition = Annotated[
    list[Path] | None,
    typer.Option(
        "--definition",
        metavar="FILE",
        help="The study file, if it does not come with hw1; can be given several times.",
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="FOLDER",
        envvar="HW1_DATA",
        help="Where data sets are, or are downloaded to. [default: data]",
    ),
]
Storage = Annotated[
    str | None,
    typer.Option(
        "--storage",
        metavar="URL",
        envvar="OPTUNA_STORAGE",
        help="Any SQLAlchemy URL that Optuna accepts. [default: storage/studies.db]",
    ),
]
Device = Annotated[str, choice("device", lambda: DEVICES, "auto, cpu or cuda.")]
Precision = Annotated[
    str,
    choice(
        "precision",
        lambda: PRECISIONS,
        "Of convolutions and large products: float32, bfloat16 or auto.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]


def one_form(as_json: bool, as_csv: bool) -> None:
    """Raise an `InputError` for both at once."""
    if as_json and as_csv:
        raise InputError("give one of --json and --csv, not both")
