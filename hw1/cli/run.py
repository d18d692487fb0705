"""The command that runs studies."""

import shlex
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from hw1.cli import options
from hw1.cli.app import app, echo, example, quiet_optuna, storage_option
from hw1.errors import InputError, require_file
from hw1.passwords import hide
from hw1.places import program, storage_url
from hw1.study_files import find_definition, known_studies

UNFINISHED = 3
"""The exit status of a run that ends before the study is complete."""


def samplers() -> Iterable[str]:
    from hw1.samplers import SAMPLERS

    return SAMPLERS


def pruners() -> Iterable[str]:
    from hw1.samplers import PRUNERS

    return PRUNERS


@app.command(**example("run fashion_cnn --sampler random --trials 20 --train-size 6000"))
def run(
    study: Annotated[
        str,
        typer.Argument(
            metavar="STUDY",
            help="A name that `list` shows, or the path of a study file of your own.",
            autocompletion=lambda: list(known_studies()),
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
        str | None, options.choice("sampler", samplers, "tpe, random, grid, gp, cmaes or qmc.")
    ] = None,
    pruner: Annotated[
        str | None,
        options.choice("pruner", pruners, "median, percentile, hyperband, halving or none."),
    ] = None,
    trials: Annotated[
        int | None, options.count("N", "The total; all cells of a grid by default.")
    ] = None,
    timeout: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Start no trial after this time: 90s, 10m, 1.5h."),
    ] = None,
    folds: Annotated[int | None, options.count("K", "Number of folds.", 2)] = None,
    epochs: Annotated[
        int | None, options.count("E", "Maximum number of epochs per trial, in rounds too.")
    ] = None,
    finalists: Annotated[
        int | None,
        options.count("N", "Best trials in the final round; 0 for none. [default: mostly 4]", 0),
    ] = None,
    final_repeats: Annotated[
        int | None,
        options.count("R", "Cross-validations of each of them. [default: mostly 3]"),
    ] = None,
    search_rows: Annotated[
        int | None,
        options.count("N", "Search on a stratified random subset; later rounds use all."),
    ] = None,
    train_size: Annotated[
        int | None, options.count("N", "Use a stratified random subset of the training data.")
    ] = None,
    train_csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Training data in place of the study's.")
    ] = None,
    test_csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Test data; kept for the evaluation.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="The target in --train-csv. [default: label, else the last column]",
        ),
    ] = None,
    data_dir: options.DataDir = None,
    storage: options.Storage = None,
    device: options.Device = "auto",
    jobs: Annotated[int, options.count("N", "Number of worker processes.")] = 1,
    trials_per_batch: Annotated[
        str, typer.Option(metavar="N", help="Trials per batch, which are trained together.")
    ] = "auto",
    precision: options.Precision = "auto",
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=2**32 - 1, metavar="S", help="Random seed. [default: 0]"),
    ] = None,
) -> None:
    """Run a study; the same command again continues it.

    After the search comes the final round: the best trials are cross-validated again on new folds,
    and the best mean decides which one wins. 4 trials x 3 repeats are as much training as 12
    trials, 29 % of that of a study of 30.

    Options that are left out are taken from the stored study, or from the definition of a new one;
    except --data-dir, --device, --jobs, --trials-per-batch and --precision, which depend on the
    machine.

    Exit status: 0 when the study is complete, 2 for bad input, 3 when it stopped earlier
    (--timeout, or trials that other processes still run), 130, 143 and 129 on Ctrl-C, SIGTERM and
    SIGHUP.
    """
    # What is wrong with the words is said before torch is imported.
    deadline = time.time() + parse_seconds(timeout)
    per_batch = parse_batch(trials_per_batch)
    find_definition(study)
    for file in (train_csv, test_csv):
        if file is not None:
            require_file(file)
    url = storage_url(storage)
    from hw1.names import check_name
    from hw1.optuna_store.storage import shown

    shown(url)
    if name is not None:
        check_name(name)

    from hw1.console import Terminal
    from hw1.interruption import exit_status
    from hw1.job import Options, make_job, prepare
    from hw1.progress import execute_shown
    from hw1.standings import rounds_in_words
    from hw1.words import counted, number

    quiet_optuna()
    job = make_job(
        study,
        name=name,
        sampler=sampler,
        storage=url,
        data_dir=data_dir,
        device=device,
        precision=precision,
        trials_per_batch=per_batch,
    )
    asked = Options(
        sampler=sampler,
        pruner=pruner,
        n_trials=trials,
        n_splits=folds,
        epochs=epochs,
        seed=seed,
        train_size=train_size,
        train_csv=None if train_csv is None else str(train_csv.resolve()),
        test_csv=None if test_csv is None else str(test_csv.resolve()),
        target=target,
        search_rows=search_rows,
        finalists=finalists,
        final_repeats=final_repeats,
    )
    stored, dataset = prepare(job, asked)
    settings, before = stored.settings, stored.progress()
    # What is printed can be pasted: quoted, with the storage that was given, without its password.
    given = storage_option(storage)
    again = shlex.join([*program(), *map(hide, sys.argv[1:])])
    ended = before
    if before.complete:
        echo(f"{stored.name} is complete: {before.done} of {before.n_trials} trials are done.")
    else:
        began = "continuing" if stored.trials() else "new"
        left = counted(before.n_trials - before.done, "trial")
        if before.searched:
            left = f"{before.standings.total - before.standings.done} cross-validations of rounds"
        echo(f"{stored.name}: {began}, {left} to do")
        rows = counted(settings.n_rows, "example")
        echo(f"  data     {settings.dataset}: {rows}, {settings.n_splits} folds")
        echo(
            f"  search   {settings.sampler}, pruner {settings.pruner}, seed {settings.seed}, "
            f"up to {settings.epochs} epochs"
            + (f", on {settings.search_rows} examples" if settings.search_rows else "")
        )
        if settings.rounds:
            share = settings.rounds_share(before.n_trials)
            echo(f"  then     {rounds_in_words(settings.rounds)} ({share:.0%} of the training)")
        echo(f"  storage  {stored.storage.shown}")
        echo(f"  device   {job.device}" + (f", {jobs} processes" if jobs > 1 else ""))
        try:
            execute_shown(job, stored, dataset, Terminal(), jobs=jobs, deadline=deadline)
        except KeyboardInterrupt as interrupt:
            echo(f"Interrupted; nothing finished is lost. To continue: {again}", err=True)
            raise typer.Exit(exit_status(interrupt)) from None
        ended = stored.progress()
        if not ended.complete:
            running = counted(ended.running, "trial")
            elsewhere = f"; {running} running in other processes" if ended.running else ""
            if ended.searched:
                done, total = ended.standings.done, ended.standings.total
                running = "; another process goes on" if ended.in_rounds else ""
                echo(f"Stopped in the rounds: {done} of {total} cross-validations{running}.")
            else:
                echo(f"Stopped with {ended.done} of {ended.n_trials} trials{elsewhere}.")
            echo(f"To continue: {again}")
    best = ended.best
    if best is not None:
        final = ended.standings.final_of(best.number)
        echo(f"Best {settings.metric}: {number(best.value)} in trial {best.number}")
        if final is not None:
            scored = f"{number(final.score)} ± {number(final.std)}"
            echo(f"  in the final round {scored}, the best of {len(ended.standings.final)}")
        echo("  " + shlex.join([*program(), "best", stored.name, *given]))
        echo("  " + shlex.join([*program(), "dashboard", *given]))
    if not ended.complete:
        raise typer.Exit(UNFINISHED)


def parse_seconds(text: str | None) -> float:
    """Seconds from "90", "90s", "10m" or "1.5h"; no end for None."""
    if text is None:
        return float("inf")
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
