"""Studies from Python: what `hw1.run` does."""

import dataclasses
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from hw1.analysis.results import StudyResults
from hw1.console import Terminal
from hw1.datasets.given import given
from hw1.definition import StudyDefinition
from hw1.errors import InputError, is_count
from hw1.job import Options, make_job, prepare
from hw1.optuna_store import quiet_optuna
from hw1.progress import execute_shown


def run(
    definition: StudyDefinition | str | Path,
    *,
    data: Any = None,
    test_data: Any = None,
    target: str | None = None,
    name: str | None = None,
    trials: int | None = None,
    timeout: float | None = None,
    sampler: str | None = None,
    pruner: str | None = None,
    n_splits: int | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    train_size: int | None = None,
    search_rows: int | None = None,
    finalists: int | None = None,
    final_repeats: int | None = None,
    train_csv: str | Path | None = None,
    test_csv: str | Path | None = None,
    storage: str | None = None,
    data_dir: str | Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    jobs: int = 1,
    trials_per_batch: int | None = None,
    console: Console | None = None,
) -> StudyResults:
    """Run a study, or continue it, as the command ``hw1 run`` does; the same call goes on with it.

    Shows the trials that are being trained, in place in a notebook and in a terminal. Ctrl-C, or
    a notebook's stop button, ends it; finished trials are kept.

    Example:
        >>> results = hw1.run("regression_mlp", trials=30)  # doctest: +SKIP
        >>> results = hw1.run(study, data=(X, y), name="mine", trials=30)  # doctest: +SKIP
        >>> results.best_params  # doctest: +SKIP

    Args:
        definition: the name or the path of a study file, or a `StudyDefinition`.
        data: training examples in place of the definition's data: a pair of arrays ``(X, y)``, a
            DataFrame or a `hw1.datasets.Dataset`; see `hw1.datasets.given.given`.
        test_data: test examples in the same form, kept for the evaluation.
        target: the target's column in a DataFrame or a CSV file; None for ``label`` if there is
            such a column, else the last.
        name: what the study is called in storage; None for that of the definition and of the
            sampler, such as ``"regression_mlp-tpe"``.
        trials: the study's total.
        timeout: seconds after which no further trial starts.
        sampler, pruner: names in `hw1.samplers`.
        n_splits: the folds of the cross-validation.
        epochs: the epochs of a trial at most, in rounds too.
        seed: the random seed.
        train_size: the size of a stratified random subset of the training examples.
        search_rows: the examples of them that are searched on; None for those of the definition.
        finalists: how many of the best trials the final round cross-validates again; 0 for none.
        final_repeats: how often it does.
        train_csv, test_csv: CSV files in place of the definition's data.
        storage, data_dir, device, precision: as in `hw1.open_study`.
        jobs: worker processes; more than one need a study file.
        trials_per_batch: trials that are trained together at most; None to choose.
        console: where progress is shown; None for the notebook or the terminal.

    Returns:
        The study, as `hw1.open_study` opens it.

    Raises:
        InputError: an argument is wrong or differs from the stored study's.
        KeyboardInterrupt: on Ctrl-C, once the running trials are left to the next run.
    """
    if timeout is not None and not timeout > 0:
        raise InputError(f"invalid timeout {timeout}: give seconds above 0")
    for option, count in (("jobs", jobs), ("trials_per_batch", trials_per_batch)):
        if count is not None and not is_count(count, 1):
            raise InputError(f"invalid {option} {count!r:.60}: give a whole number from 1")
    deadline = float("inf") if timeout is None else time.time() + timeout
    job = make_job(
        definition,
        name=name,
        sampler=sampler,
        storage=storage,
        data_dir=data_dir,
        device=device,
        precision=precision,
        trials_per_batch=trials_per_batch,
    )
    if data is not None:
        if train_csv is not None:
            raise InputError("give one of data and train_csv, not both")
        task = job.definition.task
        job = dataclasses.replace(job, data=given(data, test_data, task=task, target=target))
    elif test_data is not None:
        raise InputError("test_data needs data")
    options = Options(
        sampler=sampler,
        pruner=pruner,
        n_trials=trials,
        n_splits=n_splits,
        epochs=epochs,
        seed=seed,
        train_size=train_size,
        search_rows=search_rows,
        finalists=finalists,
        final_repeats=final_repeats,
        train_csv=None if train_csv is None else str(Path(train_csv).resolve()),
        test_csv=None if test_csv is None else str(Path(test_csv).resolve()),
        target=target,
    )
    with quiet_optuna():
        study, dataset = prepare(job, options)
        try:
            shown = console or Terminal()
            execute_shown(job, study, dataset, shown, jobs=jobs, deadline=deadline)
        except KeyboardInterrupt:
            # A notebook shows the lines that led here, and those within help nobody.
            raise KeyboardInterrupt(
                "finished trials are kept, and the same call goes on with the study"
            ) from None
    return StudyResults(study, lambda: job)
