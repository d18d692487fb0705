"""Running the trials that a study is missing, in one or more processes."""

import dataclasses
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path

import optuna
import torch

from hw1.datasets import Dataset
from hw1.errors import InputError, printable
from hw1.interruption import Interruption, deaf
from hw1.job import Job
from hw1.optuna_store.storage import Storage
from hw1.passwords import secrets, without
from hw1.study import Study
from hw1.watching import UNWATCHED, Watcher

GRACE_SECONDS = 10.0
"""How long worker processes that are to end may take to save what they have."""
STOPPED = 130
"""The exit status of a worker process that was told to end."""


def execute(
    job: Job,
    study: Study,
    dataset: Dataset,
    *,
    jobs: int = 1,
    deadline: float = float("inf"),
    watcher: Watcher = UNWATCHED,
    on_interrupt: Callable[[], None] = lambda: None,
) -> None:
    """Run the trials that a study is missing, and then what is missing of its rounds.

    Args:
        job: the study, as worker processes need it.
        study: the same, prepared.
        dataset: its training examples.
        jobs: the number of processes, this one included; they share the processor's threads.
        deadline: a ``time.time()`` after which no further trial starts, and no repeat of a round.
        watcher: is told of each step while trials run.
        on_interrupt: called on Ctrl-C, before the running trials are given up.

    Raises:
        KeyboardInterrupt: on Ctrl-C, after the running trials have been marked as failed.
        InputError: see `Worker.run`.
        RuntimeError: another process died.
    """
    study.fail_orphans()
    progress = study.progress()
    if progress.complete:
        return
    with Interruption() as interruption:

        def check() -> None:
            try:
                interruption.check()
            except KeyboardInterrupt:
                on_interrupt()
                raise

        watcher = watcher.after(check)
        if progress.searched:
            pass
        elif jobs == 1:
            job.work(study, dataset, watcher, deadline)
        else:
            _work_in_processes(job, study, dataset, jobs, deadline, watcher)
        if progress.searched or study.progress().searched:
            # In this process alone, on all threads.
            job.work_on_rounds(study, dataset, watcher, deadline)


def _work_in_processes(
    job: Job, study: Study, dataset: Dataset, jobs: int, deadline: float, watcher: Watcher
) -> None:
    if not isinstance(job.source, Path):
        raise InputError("several jobs need a study file, which each process loads: use jobs=1")
    threads_before = torch.get_num_threads()
    threads = max(1, threads_before // jobs)
    context = multiprocessing.get_context("spawn")
    children: list[multiprocessing.process.BaseProcess] = []

    def check() -> None:
        watcher.on_step()
        if any(child.exitcode for child in children):
            raise _ChildFailed

    # Without a name, where there is another way to it: nothing is left if this process is killed.
    links = Path("/proc/self/fd").is_dir()
    with (tempfile.TemporaryFile if links else tempfile.NamedTemporaryFile)(prefix="hw1-") as file:
        torch.save({"inputs": dataset.inputs, "targets": dataset.targets}, file)
        file.flush()
        rows = f"/proc/{os.getpid()}/fd/{file.fileno()}" if links else file.name
        empty = dataclasses.replace(dataset, inputs=torch.empty(0), targets=torch.empty(0))
        # A copy without the definition that is loaded, which a process cannot be sent.
        work = (dataclasses.replace(job, data=None), empty, rows, threads, deadline)
        try:
            # Ctrl-C reaches the whole process group: this process hears it and ends the others.
            with deaf():
                for _ in range(jobs - 1):
                    process = context.Process(target=_work, args=work, daemon=True)
                    process.start()
                    children.append(process)
            torch.set_num_threads(threads)
            job.work(study, dataset, Watcher(on_step=check), deadline)
            while any(child.exitcode is None for child in children):
                wait([child.sentinel for child in children if child.exitcode is None], timeout=0.5)
                check()
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
        raise InputError("a worker process could not go on; see the error above")
    if any(code < 0 or code == STOPPED for code in ended):
        raise InputError(
            "a worker process was ended by a signal, as systems do for want of memory: use fewer "
            "--jobs, or run the same command again"
        )
    if ended:
        raise RuntimeError("a worker process stopped early; see the error above")


class _ChildFailed(BaseException):
    """Ends this process's training like an interruption; the error is told at the end."""


def _work(job: Job, empty: Dataset, rows: str, threads: int, deadline: float) -> None:
    """A further process: its own view of the storage, the same data, the same trials to run."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()
    assert parent is not None
    with Interruption(signal.SIGTERM) as interruption:

        def check() -> None:
            if not parent.is_alive():
                raise KeyboardInterrupt
            interruption.check()

        watcher = Watcher(on_step=check)
        try:
            study = Study(Storage(job.storage_url), job.name)
            # Mapped into memory: all processes on this machine see one copy.
            tensors = torch.load(rows, mmap=True, weights_only=True)
            job.work(study, dataclasses.replace(empty, **tensors), watcher, deadline)
        except KeyboardInterrupt:
            sys.exit(STOPPED)
        except InputError as error:
            known = secrets(job.storage_url, os.environ.get("OPTUNA_STORAGE", ""))
            sys.stderr.write(f"error: {printable(without(str(error), known), keep='')}\n")
            sys.exit(2)
