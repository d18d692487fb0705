"""Running a study: from a definition and options to trials in storage."""

import dataclasses
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.study import StudyDirection

import hw1
from hw1.cross_validation import Splits
from hw1.datasets import Dataset, Loader, tabular
from hw1.definitions import load_definition
from hw1.errors import InputError, choose, printable
from hw1.interruption import Interruption, deaf
from hw1.objective import CONFIGURATIONS, Objective, StudyDefinition
from hw1.optuna_store.storage import Storage
from hw1.samplers import PRUNERS, SAMPLERS
from hw1.study import SPLITS_KEY, Settings, Study, counts
from hw1.training.metrics import METRICS
from hw1.training.precision import Precision, choose_precision
from hw1.worker import Worker


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a run asks for; None where the study's own setting or the definition's serves."""

    sampler: str | None = None
    pruner: str | None = None
    n_trials: int | None = None
    n_splits: int | None = None
    epochs: int | None = None
    seed: int | None = None
    train_size: int | None = None
    train_csv: str | None = None
    test_csv: str | None = None
    target: str | None = None
    outer_fold: tuple[int, int] | None = None


GRACE_SECONDS = 10.0
"""How long worker processes that are to end may take to save what they have."""
STOPPED = 130
"""The exit status of a worker process that was told to end."""
# The command line's words for options whose names differ there.
FLAGS = {"n_splits": "folds", "n_trials": "trials"}


@dataclass(frozen=True)
class Job:
    """A study to be run: all that a worker process needs to start on it.

    Attributes:
        definition_name: what the study's settings call its definition.
        definition_path: the study file.
        storage_url: where the study is, or will be.
        name: what it is called there.
        data_dir: the data folder.
        device: where to train.
        precision: of convolutions and matrix products; None for what the device is made for.
        trials_per_batch: see `hw1.worker.Worker`.
    """

    definition_name: str
    definition_path: Path
    storage_url: str = dataclasses.field(repr=False)  # it may hold a password
    name: str
    data_dir: Path
    device: torch.device
    precision: Precision | None = None
    trials_per_batch: int | None = None

    @cached_property
    def definition(self) -> StudyDefinition:
        """The study's definition."""
        return load_definition(self.definition_path)

    def loader(self, settings: Options | Settings) -> Loader:
        """The definition's loader, or that of the CSV files that replace its data."""
        if settings.train_csv is None:
            return self.definition.load
        return tabular.loader(
            settings.train_csv,
            settings.test_csv,
            target=settings.target,
            task=self.definition.task,
        )

    def load_data(self, settings: Options | Settings, seed: int) -> Dataset:
        """The training rows of a study with these settings."""
        dataset = self.loader(settings)("train", self.data_dir)
        if settings.train_size is not None:
            dataset = dataset.sample(settings.train_size, seed)
        if settings.outer_fold is not None:
            n_splits, fold = settings.outer_fold
            outside = Splits.draw_outer(dataset, n_splits, seed).training_rows()[fold]
            dataset = dataset.take(outside)
        return dataset

    def load_unchanged(self, study: Study) -> Dataset:
        """The training rows of a stored study.

        Raises:
            InputError: they are no longer those that it was made with.
        """
        settings = study.settings
        dataset = self.load_data(settings, settings.seed)
        if dataset.fingerprint != settings.fingerprint:
            raise InputError(
                f"the training rows of {study.name!r} have changed since the study was made "
                f"(fingerprint {settings.fingerprint}, now {dataset.fingerprint}): undo that, or "
                "give the new study another --name"
            )
        return dataset

    def objective(self, study: Study, dataset: Dataset, on_step: Callable[[], None]) -> Objective:
        """The objective of the study over its folds of ``dataset``."""

        return Objective(
            self.definition,
            dataset,
            study.splits(),
            seed=study.settings.seed,
            epochs=study.settings.epochs,
            device=self.device,
            precision=self.precision or choose_precision(self.device),
            on_step=on_step,
        )

    def work(
        self, study: Study, dataset: Dataset, on_step: Callable[[], None], deadline: float
    ) -> None:
        """Run trials of the study in this process; see `Worker.run`."""
        objective = self.objective(study, dataset, on_step)
        Worker(study, objective, trials_per_batch=self.trials_per_batch).run(deadline)


def prepare(job: Job, options: Options) -> tuple[Study, Dataset]:
    """Make the study, or take up the one of that name.

    Returns:
        The study, its target set, and its training rows.

    Raises:
        InputError: an option is wrong or differs from the study's setting; the search space or
            the data have changed since it was made; the data cannot be loaded.
    """
    if not job.name.isprintable() or job.name.startswith("-") or not 0 < len(job.name) <= 100:
        raise InputError(
            "a study's --name has 1 to 100 printable characters and does not begin with a dash"
        )
    storage = Storage(job.storage_url)
    if job.name not in storage.study_names():
        return _create(job, storage, options)
    study = Study(storage, job.name)
    dataset = _check(job, study, options)
    _set_target(study, options.n_trials)
    return study, dataset


def _check(job: Job, study: Study, options: Options) -> Dataset:
    """Check that a run goes on with the study that is stored, and load its data."""
    settings, name = study.settings, study.name
    if job.definition_name != settings.definition:
        raise InputError(
            f"the study {name!r} is one of {settings.definition}, not of {job.definition_name}: "
            "give another --name"
        )
    for field in dataclasses.fields(options):
        given = getattr(options, field.name)
        if field.name == "n_trials" or given is None:
            continue
        stored = getattr(settings, field.name)
        if given != stored:
            flag = "--" + FLAGS.get(field.name, field.name).replace("_", "-")
            made = f"with {flag} {stored}" if stored is not None else f"without {flag}"
            raise InputError(
                f"the study {name!r} was made {made}: leave {flag} {given} out to continue it, or "
                "give the new study another --name"
            )
    changes = _changes(settings.search_space, job.definition.fingerprint())
    if settings.grid is not None and settings.grid != _grid(job.definition, settings.seed):
        changes.append("the grid or the defaults differ")
    if changes:
        raise InputError(
            f"the search space of {name!r} has changed since the study was made "
            f"({'; '.join(changes)}): undo that, or give the new study another --name"
        )
    return job.load_unchanged(study)


def _changes(stored: dict[str, str], now: dict[str, str]) -> list[str]:
    """What differs between two fingerprints of a search space, in words."""
    added = [f"{name} is new" for name in now.keys() - stored.keys()]
    removed = [f"{name} is gone" for name in stored.keys() - now.keys()]
    both = sorted((now.keys() & stored.keys()) - {CONFIGURATIONS})
    changed = [f"{name} differs" for name in both if now[name] != stored[name]]
    if not (added or removed or changed) and now != stored:
        return ["it makes other configurations of the same parameters"]
    return sorted(added + removed) + changed


def _create(job: Job, storage: Storage, options: Options) -> tuple[Study, Dataset]:
    for flag, value in (("--test-csv", options.test_csv), ("--target", options.target)):
        if value is not None and options.train_csv is None:
            raise InputError(f"{flag} needs a --train-csv beside it")
    definition = job.definition
    seed = options.seed if options.seed is not None else 0
    sampler = choose("sampler", options.sampler or definition.sampler, SAMPLERS)
    pruner = choose("pruner", options.pruner or definition.pruner, PRUNERS)
    search_space = definition.fingerprint()
    definition.check("defaults")
    grid = _grid(definition, seed) if sampler == "grid" else None
    dataset = job.load_data(options, seed)
    if dataset.task != definition.task:
        raise InputError(
            f"{dataset.name} is data for {dataset.task}, the study one of {definition.task}"
        )
    splits = Splits.draw(dataset, options.n_splits or definition.n_splits, seed)
    metric = METRICS[definition.task]
    settings = Settings(
        definition=job.definition_name,
        sampler=sampler,
        pruner=pruner,
        n_splits=splits.n_splits,
        epochs=options.epochs or definition.epochs,
        seed=seed,
        train_size=options.train_size,
        train_csv=options.train_csv,
        test_csv=options.test_csv,
        target=options.target,
        outer_fold=options.outer_fold,
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        n_rows=len(dataset),
        splits=splits.hash,
        metric=metric.name,
        search_space=search_space,
        grid=grid,
        version=hw1.__version__,
    )
    n_trials = options.n_trials or _default_target(definition, grid)
    with storage.lock:
        if job.name not in storage.study_names():
            storage.insert_study(
                job.name,
                StudyDirection[metric.direction.upper()],
                metric.name,
                user_attrs={"n_trials": n_trials, "settings": dataclasses.asdict(settings)},
                system_attrs={SPLITS_KEY: splits.encode()},
            )
    study = Study(storage, job.name)
    if study.settings != settings:  # another process was faster
        dataset = _check(job, study, options)
    _set_target(study, options.n_trials)
    return study, dataset


def _grid(definition: StudyDefinition, seed: int) -> list[dict[str, Any]]:
    """The grid's cells in a random order, so that a part of them is a sample of the whole."""
    cells = definition.cells()
    order = torch.randperm(len(cells), generator=torch.Generator().manual_seed(seed))
    return [cells[i] for i in order.tolist()]


def _default_target(definition: StudyDefinition, grid: list[dict[str, Any]] | None) -> int:
    return definition.n_trials if grid is None else len(grid)


def _set_target(study: Study, n_trials: int | None) -> None:
    """Change the study's total, which is never less than what it has already."""
    if n_trials is None:
        return
    with study.storage.lock:
        total = max(n_trials, sum(map(counts, study.trials())))
        if total != study.n_trials:
            study.optuna_study.set_user_attr("n_trials", total)


def execute(
    job: Job,
    study: Study,
    dataset: Dataset,
    *,
    jobs: int = 1,
    deadline: float = float("inf"),
    on_tick: Callable[[], None] = lambda: None,
    on_interrupt: Callable[[], None] = lambda: None,
) -> None:
    """Run the trials that a study is missing.

    Args:
        job: the study, as worker processes need it.
        study: the same, prepared.
        dataset: its training rows.
        jobs: the number of processes, this one included; they share the processor's threads.
        deadline: a ``time.time()`` after which no further trial starts.
        on_tick: called often while trials run.
        on_interrupt: called when Ctrl-C is heard, before the running trials are given up.

    Raises:
        KeyboardInterrupt: on Ctrl-C, after the running trials have been marked as failed.
        InputError: see `Worker.run`.
        RuntimeError: another process died.
    """
    study.fail_orphans()
    if study.progress().complete:
        return
    with Interruption() as interruption:

        def on_step() -> None:
            try:
                interruption.check()
            except KeyboardInterrupt:
                on_interrupt()
                raise
            on_tick()

        if jobs == 1:
            job.work(study, dataset, on_step, deadline)
        else:
            _work_in_processes(job, study, dataset, jobs, deadline, on_step)


def _work_in_processes(
    job: Job,
    study: Study,
    dataset: Dataset,
    jobs: int,
    deadline: float,
    on_step: Callable[[], None],
) -> None:
    threads_before = torch.get_num_threads()
    threads = max(1, threads_before // jobs)
    context = multiprocessing.get_context("spawn")
    children: list[multiprocessing.process.BaseProcess] = []

    def failed() -> bool:
        return any(child.exitcode for child in children)

    def before_step() -> None:
        on_step()
        if failed():
            raise _ChildFailed

    # Without a name, where there is another way to it: nothing is left if this process is killed.
    links = Path("/proc/self/fd").is_dir()
    with (tempfile.TemporaryFile if links else tempfile.NamedTemporaryFile)(prefix="hw1-") as file:
        torch.save({"inputs": dataset.inputs, "targets": dataset.targets}, file)
        file.flush()
        rows = f"/proc/{os.getpid()}/fd/{file.fileno()}" if links else file.name
        empty = dataclasses.replace(dataset, inputs=torch.empty(0), targets=torch.empty(0))
        # A copy without the definition, which a process cannot be sent: each loads its own.
        work = (dataclasses.replace(job), empty, rows, threads, deadline)
        try:
            # Ctrl-C reaches the whole process group: this process hears it and ends the others.
            with deaf():
                for _ in range(jobs - 1):
                    children.append(context.Process(target=_work, args=work, daemon=True))
                    children[-1].start()
            torch.set_num_threads(threads)
            job.work(study, dataset, before_step, deadline)
            while any(child.exitcode is None for child in children):
                wait([child.sentinel for child in children if child.exitcode is None], timeout=0.5)
                before_step()
        except _ChildFailed:
            pass
        finally:
            torch.set_num_threads(threads_before)
            ended = [child.exitcode for child in children if child.exitcode]  # by themselves
            for child in children:
                child.terminate()
            wait_until = time.monotonic() + GRACE_SECONDS
            for child in children:
                child.join(max(0.0, wait_until - time.monotonic()))
                child.kill()  # one that compiles does not hear for a while
                child.join()
            study.fail_orphans()
    if 2 in ended:
        raise InputError("a worker process could not go on; the reason stands above")
    if any(code < 0 or code == STOPPED for code in ended):
        raise InputError(
            "a worker process was ended by a signal, as systems do for want of memory: use fewer "
            "--jobs, or run the same command again"
        )
    if ended:
        raise RuntimeError("a worker process stopped early; what it said stands above")


class _ChildFailed(BaseException):
    """Ends this process's training like an interruption; the error is told at the end."""


def _work(job: Job, empty: Dataset, rows: str, threads: int, deadline: float) -> None:
    """A further process: its own view of the storage, the same rows, the same trials to run."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()
    assert parent is not None
    with Interruption(signal.SIGTERM) as interruption:

        def on_step() -> None:
            if not parent.is_alive():
                raise KeyboardInterrupt
            interruption.check()

        try:
            study = Study(Storage(job.storage_url), job.name)
            # Mapped into memory: all processes on this machine see one copy.
            tensors = torch.load(rows, mmap=True, weights_only=True)
            job.work(study, dataclasses.replace(empty, **tensors), on_step, deadline)
        except KeyboardInterrupt:
            sys.exit(STOPPED)
        except InputError as error:
            sys.stderr.write(f"error: {printable(str(error), keep='')}\n")
            sys.exit(2)
