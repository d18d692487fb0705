"""The commands that read a storage: no study file is run."""

import contextlib
import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hw1.cli import options
from hw1.cli.app import (
    app,
    echo,
    example,
    open_study,
    print_csv,
    print_json,
    print_table,
    quiet_optuna,
    storage_option,
)
from hw1.errors import ForeignStudyError, InputError, NoStorageError, printable
from hw1.passwords import secrets, without
from hw1.places import program, storage_url

if TYPE_CHECKING:
    from hw1.standings import Standings
    from hw1.study import Settings


@app.command("list", **example("list"))
def list_studies(storage: options.Storage = None, as_json: options.Json = False) -> None:
    """Show the studies that can be run and those that are stored."""
    from hw1.optuna_store.storage import Storage, shown
    from hw1.rows import study_as_dict
    from hw1.study import Study
    from hw1.study_files import describe, known_studies
    from hw1.words import copyable, counted

    quiet_optuna()
    definitions = {name: describe(path) for name, path in known_studies().items()}
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
    print_table(("definition", "what it does"), definitions.items())
    echo("")
    parts = [study for study in stored if study["part_of_nested"]]
    stored = [study for study in stored if not study["part_of_nested"]]
    if stored:
        rows = []
        for study in stored:
            done = f"{study['done']} of {study['n_trials']}"
            best = f"{copyable(study['best_value'])} (trial {study['best_trial']})"
            found = None if study["best_trial"] is None else best
            final = None if study["final_score"] is None else copyable(study["final_score"])
            row = [study["name"], study["state"], done, study["pruned"], study["failed"], found]
            rows.append([*row, final])
        columns = ("study", "state", "trials", "pruned", "failed", "best", "final round")
        print_table(columns, rows)
    else:
        command = shlex.join([*program(), "run", "regression_mlp", *storage_option(storage)])
        echo(f"No study is stored in {shown(url)} yet: {command}")
    if parts:
        searches = counted(len(parts), "search", "searches")
        echo(f"And {searches} within nested cross-validations, NAME-outer...")
    if foreign:
        echo(f"Not made by hw1, and left alone: {', '.join(foreign)}")
    for reason in unreadable.values():
        echo(f"Unreadable: {reason}")


@app.command(**example("best regression_mlp-tpe --json"))
def best(
    name: options.Name, storage: options.Storage = None, as_json: options.Json = False
) -> None:
    """Print the best trial with its scores and hyperparameters."""
    from hw1.rows import trial_as_dict
    from hw1.words import copyable, duration

    study = open_study(storage, name)
    progress = study.progress()
    standings, found = progress.standings, progress.best or study.best_trial()
    trial = trial_as_dict(found, standings)
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
        settings.metric: f"{copyable(trial['value'])} ± {copyable(trial['std'])} "
        f"(mean and standard deviation over {settings.n_splits} folds)",
        "folds": "  ".join(map(copyable, trial["fold_scores"])),
        "final round": _final_round(settings, standings, found.number),
        "best epoch": f"{trial['best_epoch']} of {trial['epochs']} trained",
        "time": duration(trial["seconds"]),
        "parameters": f"{trial['n_parameters']:,}",
    }
    for key, value in rows.items():
        if value is not None:
            echo(f"  {key:<18}  {value}")
    echo("hyperparameters")
    for key, value in sorted(trial["params"].items()):
        echo(f"  {key:<18}  {copyable(value) if isinstance(value, float) else value}")


def _final_round(settings: "Settings", standings: "Standings", trial: int) -> str | None:
    """What a trial scores in the final round; None for a study without one."""
    from hw1.words import copyable

    if not settings.rounds:
        return None
    final = standings.final_of(trial)
    if final is None:
        return f"to come: {standings.done} of {standings.total} cross-validations are done"
    n = len(standings.final)
    return (
        f"{copyable(final.score)} ± {copyable(final.std)} "
        f"({settings.final_repeats} x {settings.n_splits} other folds; "
        f"{f'best of {n} trials, ' if n > 1 else ''}epoch {final.best_epoch})"
    )


@app.command(**example("trials regression_mlp-tpe --csv > trials.csv"))
def trials(
    name: options.Name,
    storage: options.Storage = None,
    as_json: options.Json = False,
    as_csv: options.Csv = False,
) -> None:
    """Print all trials of a study."""
    from hw1.rows import TRIAL_FIELDS, trial_as_dict
    from hw1.study import state_name

    options.one_form(as_json, as_csv)
    study = open_study(storage, name)
    found = study.trials()
    standings = study.standings(found)
    rows = [trial_as_dict(trial, standings) for trial in found]
    if as_json:
        print_json(rows)
        return
    if as_csv:
        parameters = sorted({key for row in rows for key in row["params"]})
        lines: list[list[Any]] = [TRIAL_FIELDS + parameters]
        for row in rows:
            folds = " ".join(map(str, row["fold_scores"] or []))
            cells = [folds if key == "fold_scores" else row[key] for key in TRIAL_FIELDS]
            lines.append(cells + [row["params"].get(key) for key in parameters])
        print_csv(lines)
        return
    columns = ["trial", "state", study.settings.metric, "± std", "epoch", "seconds"]
    shown = [
        row | {"state": state_name(trial), "best_epoch": row["best_epoch"] or None}
        for trial, row in zip(found, rows, strict=True)
    ]
    keys = ["trial", "state", "value", "std", "best_epoch", "seconds"]
    if study.settings.rounds:
        columns, keys = [*columns, "final round", "± std"], [*keys, "final_score", "final_std"]
    print_table(columns, ([row[key] for key in keys] for row in shown))


@app.command(**example("delete regression_mlp-random"))
def delete(
    name: options.Name,
    storage: options.Storage = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
) -> None:
    """Delete a study and all its trials, after asking."""
    from hw1.dashboard.artifacts import artifact_ids, remove_artifacts
    from hw1.names import require_study, searches_within
    from hw1.optuna_store.storage import Storage, remove_networks
    from hw1.study import Study
    from hw1.words import counted

    quiet_optuna()
    url = storage_url(storage)
    opened = Storage(url, create=False)
    require_study(opened, name)
    with_trials = ""
    with contextlib.suppress(InputError):  # a damaged study can be deleted
        with_trials = f" with its {counted(len(Study(opened, name).trials()), 'trial')}"
    parts = searches_within(opened, name)
    if not yes:
        searches = counted(len(parts), "search", "searches")
        of_parts = f" and {searches} of its nested cross-validation" if parts else ""
        typer.confirm(f"Delete {printable(name)}{with_trials}{of_parts}?", abort=True)
    for one in (*parts, name):
        artifacts: list[str] = []
        with contextlib.suppress(InputError):
            artifacts = artifact_ids(opened, one)
        opened.delete_study(opened.get_study_id_from_name(one))
        remove_artifacts(artifacts, url)
        remove_networks(url, one)
    echo(f"Deleted {name}.")
