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

from hw1.errors import ForeignStudyError, InputError, NoStorageError, printable
from hw1.passwords import hide, secrets, without

# Before torch is imported: threads that wait for work are to sleep, not to spin. Where another
# program wants the processor too, spinning costs many times the little it saves elsewhere.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Everything that takes long to import is imported inside the commands, so that --help is quick.
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hw1.analysis.results import StudyResults
    from hw1.analysis.training import Watcher
    from hw1.study import Study

ROOT = Path(__file__).resolve().parent
UNFINISHED = 3
"""The exit status of a run that ends before the study is complete."""
STUDIES = ROOT / "studies"
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
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Search for the best network for your data by cross-validated trials, and query them.",
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
DataDirOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="FOLDER",
        envvar="HW1_DATA",
        help="Where data sets are, or are downloaded to. [default: data]",
    ),
]
DefinitionOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--definition",
        metavar="FILE",
        help="The study file, if it is not in studies/; can be given several times.",
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu or cuda.")]
PrecisionOption = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="NAME",
        help="Of convolutions and large products: float32, bfloat16 or auto.",
    ),
]
TrialOption = Annotated[
    int | None, typer.Option("--trial", min=0, metavar="N", help="A trial. [default: the best]")
]


def echo(text: str, *, err: bool = False) -> None:
    """Print text, in which nothing is obeyed by a terminal, wherever it comes from."""
    typer.echo(printable(text), err=err)


def example(text: str) -> dict[str, str]:
    """The last lines of a command's help."""
    return {"epilog": f"Example: python run_study.py {text}"}


def storage_url(url: str | None) -> str:
    if url:
        return url
    default = ROOT / "storage" / "studies.db"
    here = Path.cwd()
    return f"sqlite:///{default.relative_to(here) if default.is_relative_to(here) else default}"


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
) -> "StudyResults":
    from hw1.analysis.results import open_study

    quiet_optuna()
    return open_study(
        name,
        storage=storage_url(url),
        data_dir=data_dir or ROOT / "data",
        studies=STUDIES,
        definition=definition or (),
        device=device,
        precision=precision,
    )


@contextlib.contextmanager
def watched(lost: str) -> "Iterator[Watcher]":
    """Shows what an analysis is doing, on stderr, and ends it on Ctrl-C, which loses ``lost``."""
    from hw1.analysis.training import Watcher
    from hw1.console import TaskLine, Terminal
    from hw1.interruption import Interruption, exit_status

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


def print_csv(rows: "Iterable[Iterable[Any]]") -> None:
    """Print rows as they are, but for what a terminal would obey if this is one."""
    import csv

    sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may be no text
    writer = csv.writer(sys.stdout, lineterminator="\n")
    terminal = sys.stdout.isatty()
    for row in rows:
        writer.writerow(
            printable(cell) if terminal and isinstance(cell, str) else cell for cell in row
        )


@app.command("list", **example("list"))
def list_studies(storage: StorageOption = None, as_json: JsonOption = False) -> None:
    """Show the studies that can be run and those that are stored."""
    from rich.table import Table

    from hw1.console import Terminal, format_score, study_as_dict
    from hw1.definitions import definition_names, describe
    from hw1.optuna_store.storage import Storage, shown
    from hw1.study import Study

    quiet_optuna()
    definitions = {name: describe(STUDIES / f"{name}.py") for name in definition_names(STUDIES)}
    stored: list[dict[str, Any]] = []
    foreign: list[str] = []
    unreadable: dict[str, str] = {}
    url = storage_url(storage)
    with contextlib.suppress(NoStorageError):
        opened = Storage(url, create=False)
        for name in opened.study_names():
            try:
                stored.append(study_as_dict(Study(opened, name)))
            except ForeignStudyError:
                foreign.append(name)
            except InputError as error:
                unreadable[name] = without(str(error), secrets(url))
    if as_json:
        print_json(
            {
                "definitions": definitions,
                "storage": shown(url),
                "studies": stored,
                "other_studies": foreign,
                "unreadable_studies": unreadable,
            }
        )
        return
    console = Terminal()
    table = Table("definition", "what it does", box=None, pad_edge=False)
    for name, description in definitions.items():
        table.add_row(name, description)
    console.print(table)
    console.print()
    parts = [study for study in stored if study["part_of_nested"]]
    stored = [study for study in stored if not study["part_of_nested"]]
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
        echo(f"No study is stored in {shown(url)} yet: python run_study.py run regression_mlp")
    if parts:
        echo(f"And {len(parts)} searches within nested cross-validations, NAME-outer...")
    if foreign:
        echo(f"Not made by hw1, and left alone: {', '.join(foreign)}")
    for reason in unreadable.values():
        echo(f"Unreadable: {reason}")


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
            "--name",  # which some versions of typer do not take from the parameter
            metavar="NAME",
            help="What the study is called in storage. [default: STUDY-SAMPLER]",
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
    data_dir: DataDirOption = None,
    storage: StorageOption = None,
    device: DeviceOption = "auto",
    jobs: Annotated[int, typer.Option(min=1, metavar="N", help="Worker processes.")] = 1,
    trials_per_batch: Annotated[
        str,
        typer.Option(
            metavar="N", help="Trials asked for at a time, to be trained together; 1: none are."
        ),
    ] = "auto",
    precision: PrecisionOption = "auto",
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=2**32 - 1, metavar="S", help="Random seed. [default: 0]"),
    ] = None,
) -> None:
    """Run a study, or continue it: the same command again goes on where it stopped.

    What is left out is taken from the stored study, or from its definition when it is new; but
    for --data-dir, --device, --jobs, --trials-per-batch and --precision, which belong to the
    machine.

    Exit status: 0 when the study is complete, 2 for bad input, 3 when it ended before (--timeout,
    or trials that other processes still train), 130, 143 and 129 on Ctrl-C, SIGTERM and SIGHUP.
    """
    import time

    from hw1.console import ProgressLine, Terminal, format_score
    from hw1.dashboard.publish import publish, write_note
    from hw1.definitions import find_definition, find_device, find_precision, load_definition
    from hw1.errors import choose
    from hw1.interruption import exit_status
    from hw1.run import Job, Options, execute, prepare
    from hw1.samplers import SAMPLERS

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
    write_note(stored)
    settings, before, shown = stored.settings, stored.progress(), stored.storage.shown
    # What is printed can be pasted: quoted, with the storage that was given, without its password.
    given = storage_option(storage)
    again = shlex.join(["python", *map(hide, sys.argv)])
    console = Terminal()
    say = echo
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
        try:
            with ProgressLine(stored, console) as line:
                execute(
                    job,
                    stored,
                    dataset,
                    jobs=jobs,
                    deadline=deadline,
                    on_tick=line.update,
                    on_interrupt=line.interrupted,
                )
        except KeyboardInterrupt as interrupt:
            publish(stored, dataset, job.storage_url)
            say(f"Interrupted; nothing finished is lost. To continue: {again}", err=True)
            raise typer.Exit(exit_status(interrupt)) from None
        after = stored.progress()
        if not after.complete:
            elsewhere = f"; {after.running} run in other processes" if after.running else ""
            say(f"Stopped with {after.done} of {after.n_trials} trials{elsewhere}.")
            say(f"To continue: {again}")
    publish(stored, dataset, job.storage_url)
    best = stored.progress().best
    if best is not None:
        say(f"Best {settings.metric}: {format_score(best.value)} in trial {best.number}")
        say("  " + shlex.join(["python", "run_study.py", "best", name, *given]))
        say("  " + shlex.join(["python", "run_study.py", "dashboard", *given]))
    if not stored.progress().complete:
        raise typer.Exit(UNFINISHED)


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
            f"invalid --timeout {text!r}: give seconds, minutes or hours as 90s, 10m, 1.5h"
        )
    return seconds


def parse_batch(text: str) -> int | None:
    """A number of trials; None for "auto"."""
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"invalid --trials-per-batch {text!r}: give a number from 1, or auto")
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
    needed = ("fold_scores", "std", "best_epoch", "epochs", "seconds", "n_parameters")
    missing = [key for key in needed if trial[key] is None]
    if missing:
        raise InputError(
            f"the best trial of {name!r} was not made by hw1, or is damaged: it lacks "
            f"{missing[0]}; ask Optuna about it, or use --json"
        )
    echo(f"{name}: trial {trial['trial']} of {len(study.trials())}")
    rows: dict[str, Any] = {
        settings.metric: f"{format_score(trial['value'])} ± {format_score(trial['std'])} "
        f"(mean and standard deviation over {settings.n_splits} folds)",
        "folds": "  ".join(map(format_score, trial["fold_scores"])),
        "best epoch": f"{trial['best_epoch']} of {trial['epochs']} trained",
        "seconds": format_seconds(trial["seconds"]),
        "parameters": f"{trial['n_parameters']:,}",
    }
    for key, value in rows.items():
        echo(f"  {key:<18}  {value}")
    echo("hyperparameters")
    for key, value in sorted(trial["params"].items()):
        echo(f"  {key:<18}  {format_score(value) if isinstance(value, float) else value}")


@app.command(**example("trials regression_mlp-tpe --csv > trials.csv"))
def trials(
    name: NameArgument,
    storage: StorageOption = None,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """Print all trials of a study."""
    from rich.table import Table

    from hw1.console import TRIAL_FIELDS, Terminal, format_score, trial_as_dict

    if as_json and as_csv:
        raise InputError("give one of --json and --csv, not both")
    study = open_study(storage, name)
    rows = [trial_as_dict(trial) for trial in study.trials()]
    if as_json:
        print_json(rows)
        return
    if as_csv:
        parameters = sorted({key for row in rows for key in row["params"]})
        table = [TRIAL_FIELDS + parameters]
        for row in rows:
            folds = " ".join(map(str, row["fold_scores"] or []))
            cells = [folds if key == "fold_scores" else row[key] for key in TRIAL_FIELDS]
            table.append(cells + [row["params"].get(key) for key in parameters])
        print_csv(table)
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
    Terminal().print(table)


@app.command(**example("evaluate regression_mlp-tpe --repeats 10"))
def evaluate(
    name: NameArgument,
    trial: TrialOption = None,
    repeats: Annotated[
        int, typer.Option(min=1, metavar="R", help="Repeats of the cross-validation.")
    ] = 5,
    folds: Annotated[
        int | None, typer.Option(min=2, metavar="K", help="Its folds. [default: the study's]")
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, metavar="S", help="Networks trained on all rows and tested.")
    ] = 5,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, metavar="S", help="Decides the fresh folds.")
    ] = 0,
    nested: Annotated[
        str | None,
        typer.Option(
            metavar="OUTERxINNER",
            help="Repeat the whole search outside each of OUTER folds, with INNER folds: 5x3.",
        ),
    ] = None,
    test: Annotated[
        bool, typer.Option("--test/--no-test", help="Whether the test rows are scored.")
    ] = True,
    again: Annotated[
        bool, typer.Option("--again", help="Do again what is stored already.")
    ] = False,
    definition: DefinitionOption = None,
    data_dir: DataDirOption = None,
    storage: StorageOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Say how good the best configuration really is.

    It is cross-validated on fresh folds, then trained on all rows from several seeds and scored
    on the test rows. Results are stored with the study; the same command again shows them.
    """
    from hw1.analysis.evaluation import evaluate as evaluate_study
    from hw1.analysis.text import evaluation_lines

    results = open_results(storage, name, definition, data_dir, device, precision)
    with watched("what is finished is stored; the same command goes on from there.") as watcher:
        found = evaluate_study(
            results,
            trial,
            n_repeats=repeats,
            n_splits=folds,
            n_seeds=seeds,
            seed=seed,
            nested=parse_nested(nested),
            test=test,
            again=again,
            watcher=watcher,
        )
    if as_json:
        print_json(found.to_json())
    else:
        echo("\n".join(evaluation_lines(found)))


def parse_nested(text: str | None) -> tuple[int, int] | None:
    """Outer and inner folds from "5x3"."""
    if text is None:
        return None
    outer, _, inner = text.lower().partition("x")
    if not (outer.isdecimal() and inner.isdecimal() and min(int(outer), int(inner)) >= 2):
        raise InputError(f"invalid --nested {text!r}: give outer and inner folds as 5x3")
    return int(outer), int(inner)


@app.command(
    **example(
        "compare regression_mlp-tpe regression_mlp-random\n\n"
        "And of searches: python run_study.py compare tpe-0 tpe-1 tpe-2 random-0 random-1 random-2 "
        "--searches"
    )
)
def compare(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME NAME...", help="Studies of the same rows.")
    ],
    repeats: Annotated[
        int, typer.Option(min=1, metavar="R", help="Repeats of the cross-validation.")
    ] = 5,
    folds: Annotated[
        int | None,
        typer.Option(min=2, metavar="K", help="Its folds. [default: the first study's]"),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, metavar="S", help="Decides the folds.")
    ] = 0,
    searches: Annotated[
        bool,
        typer.Option(
            "--searches",
            help="Compare searches: name studies of three seeds or more of each. Studies that "
            "differ in their seed alone are one search.",
        ),
    ] = False,
    definition: DefinitionOption = None,
    data_dir: DataDirOption = None,
    storage: StorageOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Say whether the best configuration of one study beats that of another.

    All are cross-validated on the same fresh folds, and each two compared by the corrected
    resampled t-test (Nadeau and Bengio), which allows for the rows that folds share.

    That compares two configurations, not the searches that found them: two searches that differ
    in their seed alone find different ones. --searches compares searches, by a t-test over the
    seeds of what their best configurations score, paired where the seeds are the same. Its
    intervals cover other seeds, with these training rows; studies with --train-size draw other
    rows for each seed, and so cannot be compared like that.
    """
    from hw1.analysis.comparison import compare as compare_studies
    from hw1.analysis.searches import compare_searches
    from hw1.analysis.text import comparison_lines, search_comparison_lines

    studies = [
        open_results(storage, name, definition, data_dir, device, precision) for name in names
    ]
    options: dict[str, Any] = {"n_repeats": repeats, "n_splits": folds, "seed": seed}
    with watched("what is finished is stored; the same command goes on from there.") as watcher:
        if searches:
            of_searches = compare_searches(studies, **options, watcher=watcher)
            found, lines = of_searches.to_json(), search_comparison_lines(of_searches)
        else:
            of_studies = compare_studies(studies, **options, watcher=watcher)
            found, lines = of_studies.to_json(), comparison_lines(of_studies)
    if as_json:
        print_json(found)
    else:
        echo("\n".join(lines))


@app.command(**example("replay regression_mlp-tpe 12"))
def replay(
    name: NameArgument,
    trial: Annotated[int, typer.Argument(min=0, metavar="TRIAL", help="The trial's number.")],
    definition: DefinitionOption = None,
    data_dir: DataDirOption = None,
    storage: StorageOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Train a stored trial again and compare its scores with the stored ones.

    On the same machine and versions they are the same, bit for bit; what differs in machine,
    versions or code is named.
    """
    from hw1.analysis.replay import replay as replay_trial
    from hw1.analysis.text import replay_lines

    results = open_results(storage, name, definition, data_dir, device, "auto")
    with watched("nothing is stored.") as watcher:
        found = replay_trial(results, trial, watcher=watcher)
    if as_json:
        print_json({"study": name, "metric": results.metric.name, **found.to_json()})
    else:
        echo("\n".join(replay_lines(name, results.metric.name, found)))


@app.command(**example("analyze regression_mlp-tpe --output figures"))
def analyze(
    name: NameArgument,
    trial: TrialOption = None,
    top: Annotated[
        int | None, typer.Option(min=1, metavar="K", help="The best K trials, not one alone.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where to write. [default: storage/figures/NAME]"),
    ] = None,
    definition: DefinitionOption = None,
    data_dir: DataDirOption = None,
    storage: StorageOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Draw the search, and train the best trial again to draw what its network has learnt.

    Writes index.html, which shows all figures, and each of them as interactive HTML and as SVG.
    """
    if trial is not None and top is not None:
        raise InputError("give one of --trial and --top, not both")
    from hw1.analysis.analyze import analyze as analyze_study

    results = open_results(storage, name, definition, data_dir, device, precision)
    trials = [results.trial(trial)] if top is None else results.top(top)
    with watched("nothing is written.") as watcher:
        page = analyze_study(results, trials, output, watcher=watcher)
    if as_json:
        files = sorted(str(path) for path in page.parent.glob("*") if path.is_file())
        print_json({"study": name, "trials": [t.number for t in trials], "files": files})
    else:
        echo(f"The figures are in {relative(page.parent)}: open {relative(page)}")


def relative(path: Path) -> Path:
    """A path as it is shortest from here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


@app.command(**example("export regression_mlp-tpe --output network.onnx"))
def export(
    name: NameArgument,
    trial: TrialOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Ends in .safetensors, .pt2 (torch.export) or .onnx. "
            "[default: storage/models/NAME-trialN.safetensors]",
        ),
    ] = None,
    definition: DefinitionOption = None,
    data_dir: DataDirOption = None,
    storage: StorageOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Train the best configuration on all rows and write the network to a file.

    It is the network of the first seed that `evaluate` scores. The file holds its normalisation,
    configuration and provenance, and is checked by predictions before it is kept.
    """
    from hw1.analysis.export import export as export_network
    from hw1.analysis.export import usage
    from hw1.analysis.model_files import check_suffix
    from hw1.definitions import naming

    if output is not None:
        check_suffix(output)  # before the training
    results = open_results(storage, name, definition, data_dir, device, precision)
    with watched("nothing is written.") as watcher:
        path, difference = export_network(results, trial, output, watcher=watcher)
    if as_json:
        print_json({"study": name, "file": str(path), "largest_difference": difference})
        return
    same = "exactly" if difference == 0 else f"to within {difference:.1g}"
    echo(f"Wrote {relative(path)}, which predicts the same {same}.")
    # A program needs no study file; weights do, for networks that are not of hw1.
    named = naming(results.settings.definition) if path.suffix == ".safetensors" else []
    command = ["python", "run_study.py", "predict", str(relative(path)), "INPUT", *named]
    echo("  " + shlex.join(command))
    echo("In Python:")
    for line in usage(relative(path), results):
        echo(f"  {line}")


@app.command(**example("predict storage/models/fashion_cnn-tpe-trial7.safetensors images/"))
def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A file that `export` wrote.")],
    input: Annotated[
        Path, typer.Argument(metavar="INPUT", help="A CSV file, an image or a folder of images.")
    ],
    definition: DefinitionOption = None,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """Print the predictions of an exported network.

    A CSV file has a header row with the network's columns, in any order and among others.
    """
    from rich.table import Table

    from hw1.analysis.model_files import load
    from hw1.analysis.prediction import predict as predict_rows
    from hw1.analysis.prediction import read_inputs, to_csv
    from hw1.console import Terminal, format_score

    if as_json and as_csv:
        raise InputError("give one of --json and --csv, not both")
    loaded = load(model, studies=STUDIES, definition=definition or ())
    inputs = read_inputs(input, loaded.description)
    found = predict_rows(loaded, inputs)
    if inputs.skipped:
        names = (printable(skipped, keep="") for skipped in inputs.skipped)
        echo(f"Skipped, as they are no images: {', '.join(names)}", err=True)
    if as_json:
        print_json([row.to_json() for row in found])
        return
    rows = list(to_csv(found))
    if as_csv:
        print_csv(rows)
        return
    # The probabilities of all classes are for --csv and --json.
    width = 3 if loaded.description.class_names else len(rows[0])
    table = Table(*map(str, rows[0][:width]), box=None, pad_edge=False)
    for row in rows[1:]:
        table.add_row(*(format_score(x) if isinstance(x, float) else str(x) for x in row[:width]))
    Terminal().print(table)


@app.command(**example("report regression_mlp-tpe regression_mlp-random --author 'A. Student'"))
def report(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Studies that `list` shows.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A .pdf; the page of HTML lies beside it. [default: storage/reports/NAME.pdf]",
        ),
    ] = None,
    author: Annotated[str, typer.Option(metavar="TEXT", help="Who hands it in.")] = "",
    title: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Its title. [default: names the data]")
    ] = None,
    definition: DefinitionOption = None,
    storage: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a report of studies: one PDF, and the same as one page of HTML.

    Introduction, method and results have six pages at most, the rest is an appendix. All comes
    from storage: what `evaluate`, `compare` and `analyze` have not filled yet is named, with the
    command that does.
    """
    from hw1.analysis.report.write import check_output, write_report

    if output is not None:
        check_output(output)
    studies = [open_results(storage, name, definition, None, "auto", "auto") for name in names]
    options = storage_option(storage)
    paths = write_report(studies, output, author=author, title=title, options=options)
    if as_json:
        print_json({"studies": names, "files": [str(path) for path in paths]})
    else:
        echo(f"Wrote {relative(paths[0])} and {relative(paths[1])}.")


@app.command(**example("dashboard --port 8081"))
def dashboard(
    storage: StorageOption = None,
    host: Annotated[
        str,
        typer.Option(
            metavar="HOST", help="Where to listen; elsewhere than here asks for a password."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="0 takes a free one.")
    ] = 8080,
    write: Annotated[
        bool, typer.Option("--write", help="Allow notes to be written, studies to be deleted.")
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A further name by which browsers may call it."),
    ] = None,
) -> None:
    """Watch the studies in optuna-dashboard.

    Read-only and on this machine alone unless told otherwise. On another --host a password is
    needed: HW1_PASSWORD, or what is asked for. Without TLS it travels in clear: prefer an ssh
    tunnel.
    """
    from hw1.dashboard.server import is_loopback, listen
    from hw1.optuna_store.storage import Storage, artifact_folder

    quiet_optuna()
    url = storage_url(storage)
    opened = Storage(url, create=False)
    password = os.environ.get("HW1_PASSWORD") or None
    if password is None and sys.stdin.isatty() and not is_loopback(host):
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    with listen(
        opened,
        artifact_folder(url),
        host=host,
        port=port,
        write=write,
        password=password,
        allowed_hosts=allow_host or (),
    ) as server:
        echo(f"Dashboard of {opened.shown}: {server.url}")
        echo("  it can change and delete studies" if write else "  read-only; --write lifts that")
        if password:
            echo("  any user name and the password; without TLS they travel in clear")
        echo("  Ctrl-C ends it")
        server.run()
    echo("Stopped.")


@app.command(**example("delete regression_mlp-random"))
def delete(
    name: NameArgument,
    storage: StorageOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
) -> None:
    """Delete a study and all its trials, after asking."""
    from hw1.dashboard.publish import artifact_ids, remove_artifacts
    from hw1.optuna_store.storage import Storage
    from hw1.study import Study, require_study, searches_within

    quiet_optuna()
    url = storage_url(storage)
    opened = Storage(url, create=False)
    require_study(opened, name)
    with_trials = ""
    with contextlib.suppress(InputError):  # a damaged study can be deleted
        with_trials = f" with its {len(Study(opened, name).trials())} trials"
    parts = searches_within(opened, name)
    if not yes:
        of_parts = f" and the {len(parts)} searches of its nested cross-validation" if parts else ""
        typer.confirm(f"Delete {printable(name)}{with_trials}{of_parts}?", abort=True)
    for one in (*parts, name):
        artifacts: list[str] = []
        with contextlib.suppress(InputError):
            artifacts = artifact_ids(opened, one)
        opened.delete_study(opened.get_study_id_from_name(one))
        remove_artifacts(artifacts, url)
    echo(f"Deleted {name}.")


if __name__ == "__main__":
    app()
