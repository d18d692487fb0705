#!/usr/bin/env python3
"""The command line of hw1: run cross-validated hyperparameter studies and query them."""

import contextlib
import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from hw1.errors import InputError, NoStorageError

# Before torch is imported: threads that wait for work are to sleep, not to spin. Where another
# program wants the processor too, spinning costs many times the little it saves elsewhere.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Everything that takes long to import is imported inside the commands, so that --help is quick.
if TYPE_CHECKING:
    from hw1.study import Study

ROOT = Path(__file__).resolve().parent
STUDIES = ROOT / "studies"


class Commands(TyperGroup):
    """The commands; bad input ends in one sentence and exit status 2."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except InputError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(2) from error


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Search the best network for your data by cross-validated trials, and query the results.",
)

StorageOption = Annotated[
    str | None,
    typer.Option(
        "--storage",
        metavar="URL",
        envvar="OPTUNA_STORAGE",
        help="Any SQLAlchemy URL that Optuna takes. [default: storage/studies.db]",
    ),
]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A study that `list` shows.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def example(text: str) -> dict[str, str]:
    """The last lines of a command's help."""
    return {"epilog": f"Example: python run_study.py {text}"}


def storage_url(url: str | None) -> str:
    if url:
        return url
    default = ROOT / "storage" / "studies.db"
    here = Path.cwd()
    return f"sqlite:///{default.relative_to(here) if default.is_relative_to(here) else default}"


def quiet_optuna() -> None:
    """Silence what Optuna says about every study and trial; what matters is said here."""
    import warnings

    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def open_study(url: str | None, name: str) -> "Study":
    from hw1.storage import Storage
    from hw1.study import Study

    quiet_optuna()
    return Study(Storage(storage_url(url), create=False), name)


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2))


@app.command("list", **example("list"))
def list_studies(storage: StorageOption = None, as_json: JsonOption = False) -> None:
    """Show the studies that can be run and those that are stored."""
    import optuna
    from rich.console import Console
    from rich.table import Table

    from hw1.console import format_score, study_as_dict
    from hw1.definitions import definition_names, describe
    from hw1.storage import Storage, shown
    from hw1.study import Study

    quiet_optuna()
    definitions = {name: describe(STUDIES / f"{name}.py") for name in definition_names(STUDIES)}
    stored: list[dict[str, Any]] = []
    foreign: list[str] = []
    url = storage_url(storage)
    with contextlib.suppress(NoStorageError):
        opened = Storage(url, create=False)
        for name in sorted(optuna.get_all_study_names(opened)):
            try:
                stored.append(study_as_dict(Study(opened, name)))
            except InputError:
                foreign.append(name)
    if as_json:
        print_json(
            {
                "definitions": definitions,
                "storage": shown(url),
                "studies": stored,
                "other_studies": foreign,
            }
        )
        return
    console = Console(highlight=False, markup=False)
    table = Table("definition", "what it does", box=None, pad_edge=False)
    for name, description in definitions.items():
        table.add_row(name, description)
    console.print(table)
    console.print()
    if stored:
        columns = ("study", "state", "trials", "pruned", "failed", "best")
        table = Table(*columns, box=None, pad_edge=False)
        for study in stored:
            best = f"{format_score(study['best_value'])} (trial {study['best_trial']})"
            table.add_row(
                study["name"],
                study["state"],
                f"{study['done']} of {study['n_trials']}",
                str(study["pruned"]),
                str(study["failed"]),
                best if study["best_trial"] is not None else "–",
            )
        console.print(table)
    else:
        typer.echo(
            f"No study is stored in {shown(url)} yet: python run_study.py run regression_mlp"
        )
    if foreign:
        typer.echo(f"Not made by this hw1, and left alone: {', '.join(foreign)}")


@app.command(**example("run fashion_cnn --sampler random --trials 20 --train-size 6000"))
def run(
    study: Annotated[
        str,
        typer.Argument(
            metavar="STUDY", help="A name in studies/, or the path of a study file of your own."
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="What the study is called in storage. [default: STUDY-SAMPLER]"
        ),
    ] = None,
    sampler: Annotated[
        str | None, typer.Option(metavar="NAME", help="tpe, random, grid, gp, cmaes or qmc.")
    ] = None,
    pruner: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="median, percentile, hyperband, halving or none."),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="The study's total; a grid's default is all cells."),
    ] = None,
    timeout: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Start no trial after that long: 90s, 10m, 1.5h."),
    ] = None,
    folds: Annotated[
        int | None, typer.Option(min=2, metavar="K", help="Folds of the cross-validation.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, metavar="E", help="Epochs of a trial at most.")
    ] = None,
    train_size: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Use a stratified part of the training rows."),
    ] = None,
    train_csv: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Training rows that replace the study's data."),
    ] = None,
    test_csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Test rows; kept for the evaluation.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="The target in --train-csv. [default: label, else the last column]",
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            envvar="HW1_DATA",
            help="Where data sets are, or are downloaded to. [default: data]",
        ),
    ] = None,
    storage: StorageOption = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu or cuda.")] = "auto",
    jobs: Annotated[int, typer.Option(min=1, metavar="N", help="Worker processes.")] = 1,
    trials_per_batch: Annotated[
        str,
        typer.Option(
            metavar="N", help="Trials asked for at a time, to be trained together; 1: none are."
        ),
    ] = "auto",
    precision: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Of convolutions and large products: float32, bfloat16 or auto.",
        ),
    ] = "auto",
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, max=2**32 - 1, metavar="S", help="Decides all randomness. [default: 0]"
        ),
    ] = None,
) -> None:
    """Run a study, or continue it: the same command again goes on where it stopped.

    What is left out is taken from the stored study, or from its definition when it is new; but
    for --data-dir, --device, --jobs, --trials-per-batch and --precision, which belong to the
    machine.
    """
    import time

    from rich.console import Console

    from hw1.console import ProgressLine, format_score
    from hw1.definitions import find_definition, find_device, find_precision, load_definition
    from hw1.errors import choose
    from hw1.run import Job, Options, execute, prepare
    from hw1.search import SAMPLERS
    from hw1.training.kernels import CACHE

    quiet_optuna()
    deadline = float("inf") if timeout is None else time.time() + parse_seconds(timeout)
    label, path = find_definition(study, STUDIES)
    if name is None:
        name = (
            f"{path.stem}-{choose('sampler', sampler or load_definition(path).sampler, SAMPLERS)}"
        )
    job = Job(
        definition_name=label,
        definition_path=path,
        storage_url=storage_url(storage),
        name=name,
        data_dir=data_dir or ROOT / "data",
        device=find_device(device),
        precision=find_precision(precision),
        trials_per_batch=parse_batch(trials_per_batch),
    )
    options = Options(
        sampler=sampler,
        pruner=pruner,
        n_trials=trials,
        n_splits=folds,
        epochs=epochs,
        seed=seed,
        train_size=train_size,
        train_csv=train_csv and str(train_csv.resolve()),
        test_csv=test_csv and str(test_csv.resolve()),
        target=target,
    )
    stored, dataset = prepare(job, options)
    settings, before, shown = stored.settings, stored.progress(), stored.storage.shown
    # What is printed can be pasted: quoted, with the storage that was given, without its password.
    given = [] if storage in (None, os.environ.get("OPTUNA_STORAGE")) else ["--storage", shown]
    again = shlex.join(["python", *sys.argv]).replace(job.storage_url, shown)
    console = Console(highlight=False, markup=False)
    say = typer.echo
    if before.complete:
        say(f"{stored.name} is complete: {before.done} of {before.n_trials} trials are done.")
    else:
        began = "continuing" if stored.trials() else "new"
        say(f"{stored.name}: {began}, {before.n_trials - before.done} trials to do")
        say(f"  data     {settings.dataset}: {settings.n_rows} rows, {settings.n_splits} folds")
        say(
            f"  search   {settings.sampler}, pruner {settings.pruner}, seed {settings.seed}, "
            f"up to {settings.epochs} epochs"
        )
        say(f"  storage  {shown}")
        say(f"  device   {job.device}" + (f", {jobs} processes" if jobs > 1 else ""))
        if not Path(CACHE).exists():
            say("  compiling the training code for this processor, once: some seconds")
        try:
            with ProgressLine(stored, console) as line:
                execute(job, stored, dataset, jobs=jobs, deadline=deadline, on_tick=line.update)
        except KeyboardInterrupt:
            say(f"Interrupted; nothing finished is lost. To continue: {again}", err=True)
            raise typer.Exit(130) from None
        after = stored.progress()
        if not after.complete:
            elsewhere = f", {after.running} more run elsewhere" if after.running else ""
            say(f"Stopped with {after.done} of {after.n_trials} trials{elsewhere}.")
            say(f"To continue: {again}")
    best = stored.progress().best
    if best is not None:
        say(f"Best {settings.metric}: {format_score(best.value)} in trial {best.number}")
        say("  " + shlex.join(["python", "run_study.py", "best", name, *given]))
        say("  " + shlex.join(["optuna-dashboard", shown]))


def parse_seconds(text: str) -> float:
    """Seconds from "90", "90s", "10m" or "1.5h"."""
    units = {"s": 1, "m": 60, "h": 3600}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "s")
    try:
        seconds = float(number) * units[unit]
    except ValueError:
        seconds = 0
    if not 0 < seconds < float("inf"):
        raise InputError(
            f"{text!r} is no --timeout: give seconds, minutes or hours as 90s, 10m, 1.5h"
        )
    return seconds


def parse_batch(text: str) -> int | None:
    """A number of trials; None for "auto"."""
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"{text!r} is no --trials-per-batch: give a number from 1, or auto")
    return int(text)


@app.command(**example("best regression_mlp-tpe --json"))
def best(name: NameArgument, storage: StorageOption = None, as_json: JsonOption = False) -> None:
    """Print the best trial: its value, its score in every fold, its parameters."""
    from hw1.console import format_score, format_seconds, trial_as_dict

    study = open_study(storage, name)
    trial = trial_as_dict(study.best_trial())
    if as_json:
        print_json({"study": name, "metric": study.settings.metric, **trial})
        return
    settings = study.settings
    if trial["fold_scores"] is None:
        raise InputError(f"the best trial of {name!r} was not made by hw1: ask Optuna about it")
    typer.echo(f"{name}: trial {trial['trial']} of {len(study.trials())}")
    rows: dict[str, Any] = {
        settings.metric: f"{format_score(trial['value'])} ± {format_score(trial['std'])} "
        f"(mean and standard deviation over {settings.n_splits} folds)",
        "folds": "  ".join(map(format_score, trial["fold_scores"])),
        "best epoch": f"{trial['best_epoch']} of {trial['epochs']} trained",
        "seconds": format_seconds(trial["seconds"]),
        "parameters": f"{trial['n_parameters']:,}",
    }
    for key, value in rows.items():
        typer.echo(f"  {key:<18}  {value}")
    typer.echo("hyperparameters")
    for key, value in sorted(trial["params"].items()):
        typer.echo(f"  {key:<18}  {format_score(value) if isinstance(value, float) else value}")


@app.command(**example("trials regression_mlp-tpe --csv > trials.csv"))
def trials(
    name: NameArgument,
    storage: StorageOption = None,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """Print all trials of a study."""
    import csv

    from rich.console import Console
    from rich.table import Table

    from hw1.console import TRIAL_FIELDS, format_score, trial_as_dict

    if as_json and as_csv:
        raise InputError("give one of --json and --csv, not both")
    study = open_study(storage, name)
    rows = [trial_as_dict(trial) for trial in study.trials()]
    if as_json:
        print_json(rows)
        return
    if as_csv:
        parameters = sorted({key for row in rows for key in row["params"]})
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(TRIAL_FIELDS + parameters)
        for row in rows:
            folds = " ".join(map(str, row["fold_scores"] or []))
            cells = [folds if key == "fold_scores" else row[key] for key in TRIAL_FIELDS]
            writer.writerow(cells + [row["params"].get(key) for key in parameters])
        return
    table = Table("trial", "state", study.settings.metric, "± std", "epoch", "seconds", box=None)
    for row in rows:
        table.add_row(
            str(row["trial"]),
            row["state"],
            format_score(row["value"]),
            format_score(row["std"]),
            str(row["best_epoch"] or "–"),
            format_score(row["seconds"]),
        )
    Console(highlight=False, markup=False).print(table)


@app.command(**example("delete regression_mlp-random"))
def delete(
    name: NameArgument,
    storage: StorageOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
) -> None:
    """Delete a study and all its trials, after asking."""
    import optuna

    from hw1.storage import Storage
    from hw1.study import require_study

    quiet_optuna()
    opened = Storage(storage_url(storage), create=False)
    require_study(opened, name)
    count = len(optuna.load_study(study_name=name, storage=opened).get_trials(deepcopy=False))
    if not yes:
        typer.confirm(f"Delete {name} with its {count} trials?", abort=True)
    optuna.delete_study(study_name=name, storage=opened)
    typer.echo(f"Deleted {name}.")


if __name__ == "__main__":
    app()
