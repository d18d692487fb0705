"""What all commands share: how they open a study, print, and end on bad input."""

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

import hw1
from hw1.errors import InputError, printable
from hw1.passwords import hide, secrets, without
from hw1.places import program, storage_url
from hw1.study_files import find_definition

# Before torch is imported: threads that wait for work are to sleep, not to spin. Where another
# program wants the processor too, spinning costs many times the little it saves elsewhere.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Everything that takes long to import is imported inside the commands, so that --help is quick.
if TYPE_CHECKING:
    from hw1.analysis.results import StudyResults
    from hw1.study import Study
    from hw1.watching import Watcher

UsageError: Any = typer.BadParameter.__base__  # which typer does not export


class Commands(TyperGroup):
    """The commands; bad input ends in one sentence and exit status 2.

    A sentence may repeat what was given, or name what comes from a shared file: there is no
    password in it, and nothing that a terminal obeys.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.obj = secrets(*args, os.environ.get("OPTUNA_STORAGE", ""))
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except InputError as error:
            echo(f"error: {printable(without(str(error), ctx.obj), keep='')}", err=True)
            raise typer.Exit(2) from error
        except UsageError as error:
            error.message = printable(without(error.message, ctx.obj), keep="")
            raise


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=program() == ["hw1"],  # no shell completes what Python is to run
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(value: bool) -> None:
    if value:
        echo(f"hw1 {hw1.__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=show_version, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Search for the best network for your data by cross-validated trials, and query them."""


def echo(text: str, *, err: bool = False) -> None:
    """Print text, in which nothing is obeyed by a terminal, wherever it comes from."""
    typer.echo(printable(text), err=err)


def example(text: str) -> dict[str, Any]:
    """The last lines of a command's help."""
    return {"epilog": f"Example: {' '.join(program())} {text}"}


def storage_option(url: str | None) -> list[str]:
    """What a printed command needs to find the storage again; without its passwords."""
    return [] if url in (None, os.environ.get("OPTUNA_STORAGE")) else ["--storage", hide(str(url))]


def quiet_optuna() -> None:
    """Silence what Optuna says about every study and trial; what matters is said here."""
    import warnings

    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def open_study(url: str | None, name: str) -> "Study":
    from hw1.optuna_store.storage import Storage
    from hw1.study import Study

    quiet_optuna()
    return Study(Storage(storage_url(url), create=False), name)


def open_results(
    url: str | None,
    name: str,
    definition: list[Path] | None,
    data_dir: Path | None,
    device: str,
    precision: str,
    trial: int | None = None,
    *,
    pruned: bool = False,
) -> "StudyResults":
    """A study for analyses; that it, its trial and its files are there is known before torch is."""
    study, named = open_study(url, name), definition or ()
    study.trial(trial, pruned=pruned)
    for file in named:
        find_definition(str(file))
    from hw1.analysis.results import open_study as open_for_analysis

    return open_for_analysis(
        study, data_dir=data_dir, definition=named, device=device, precision=precision
    )


@contextlib.contextmanager
def watched(lost: str) -> "Iterator[Watcher]":
    """Shows what an analysis is doing, on stderr, and ends it on Ctrl-C, which loses ``lost``."""
    from hw1.console import TaskLine, Terminal
    from hw1.interruption import Interruption, exit_status
    from hw1.watching import Watcher

    try:
        with (
            Interruption() as interruption,
            TaskLine(Terminal(stderr=True)) as line,
        ):

            def say(what: str) -> None:
                interruption.check()  # drawing has no steps, but says which figure comes next
                line.say(what)

            yield Watcher(say, interruption.check)
    except KeyboardInterrupt as interrupt:
        echo(f"Interrupted; {lost}", err=True)
        raise typer.Exit(exit_status(interrupt)) from None


def print_json(value: Any) -> None:
    text = json.dumps(value, indent=2)
    typer.echo(text.replace("\x7f", "\\u007f"))  # the one control character that JSON leaves


def show(found: Any, lines: Iterable[str], as_json: bool) -> None:
    """Print what a command has found, as JSON or as lines."""
    if as_json:
        print_json(found)
    else:
        echo("\n".join(lines))


def print_table(columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Print a table; a dash stands for None."""
    from rich.table import Table

    from hw1.console import Terminal
    from hw1.words import copyable

    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        cells = (copyable(c) if c is None or isinstance(c, float) else str(c) for c in row)
        table.add_row(*cells)
    Terminal().print(table)


def print_csv(rows: Iterable[Iterable[Any]]) -> None:
    """Print rows as they are, but for what a terminal would obey if this is one."""
    import csv

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may be no text
    writer = csv.writer(sys.stdout, lineterminator="\n")
    terminal = sys.stdout.isatty()
    for row in rows:
        writer.writerow(
            printable(cell) if terminal and isinstance(cell, str) else cell for cell in row
        )
