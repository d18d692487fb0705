"""Several models at once on several threads, with the main thread free to hear what happens."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import scipy.linalg  # noqa: F401 -- brings the BLAS that compiled code calls
import torch
from threadpoolctl import ThreadpoolController

from hw1.training.kernels import SECONDS_BETWEEN_CALLS, hearing


@lru_cache(maxsize=1)
def _pool(n_threads: int) -> ThreadPoolExecutor:
    # Each thread has a setting of its own for torch's operations.
    return ThreadPoolExecutor(
        n_threads, thread_name_prefix="hw1", initializer=torch.set_num_threads, initargs=(1,)
    )


@lru_cache(maxsize=1)
def _libraries() -> list[Any]:
    """The BLAS libraries of NumPy and SciPy, which have threads of their own."""
    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


@contextmanager
def _blas_on_one_thread() -> Iterator[None]:
    """For what calls it from several threads, or with matrices too small to be shared."""
    before = [library.get_num_threads() for library in _libraries()]
    try:
        for library in _libraries():
            library.set_num_threads(1)
        yield
    finally:
        for library, n_threads in zip(_libraries(), before, strict=True):
            library.set_num_threads(n_threads)


@contextmanager
def torch_threads(n_threads: int) -> Iterator[None]:
    """That many threads for each of torch's operations."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run(tasks: Iterable[Iterator[None]], n_threads: int, on_step: Callable[[], None]) -> None:
    """Run all tasks to their end, at most ``n_threads`` at a time.

    Where there are several tasks and threads, each operation has one thread; a single task has
    torch's threads to itself.

    They take turns, a step each, so that all end at about the same time and no thread is left
    without work before.

    Args:
        tasks: each stops for a moment whenever it yields.
        n_threads: this one included.
        on_step: called by this thread between the steps of its tasks, and while it waits or
            compiles; what it raises ends all of them where they next yield.

    Raises:
        Exception: what a task or ``on_step`` has raised.
    """
    waiting = deque(tasks)
    stop = threading.Event()

    def work(on_step: Callable[[], None]) -> None:
        try:
            while not stop.is_set():
                try:
                    task = waiting.popleft()
                    next(task)
                except IndexError:  # the others are in the hands of other threads
                    return
                except StopIteration:
                    continue
                waiting.append(task)
                on_step()
        except BaseException:
            stop.set()
            raise

    helpers = min(n_threads, len(waiting)) - 1
    if helpers < 1:
        with _blas_on_one_thread(), torch_threads(n_threads), hearing(on_step) as on_step:
            work(on_step)
        return
    with _blas_on_one_thread(), torch_threads(1), hearing(on_step) as on_step:
        futures = [_pool(n_threads).submit(work, lambda: None) for _ in range(helpers)]
        try:
            work(on_step)
            while wait(futures, timeout=SECONDS_BETWEEN_CALLS).not_done:
                on_step()
        finally:
            stop.set()
            wait(futures)
    for future in futures:
        future.result()
