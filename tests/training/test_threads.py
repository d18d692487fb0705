import threading
from collections.abc import Iterator

import pytest
import torch
from threadpoolctl import threadpool_info

from hw1.training.threads import run


def nothing() -> None:
    pass


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.mark.parametrize("n_threads", [1, 2, 5])
@pytest.mark.parametrize("n_tasks", [0, 1, 2, 7])
def test_every_task_runs_to_its_end_once(n_tasks: int, n_threads: int) -> None:
    done: list[tuple[int, int]] = []

    def task(number: int) -> Iterator[None]:
        for step in range(3 + number):
            done.append((number, step))
            yield

    run([task(i) for i in range(n_tasks)], n_threads, nothing)
    assert sorted(done) == [(i, step) for i in range(n_tasks) for step in range(3 + i)]
    for i in range(n_tasks):
        assert [step for number, step in done if number == i] == list(range(3 + i))


def test_tasks_take_turns() -> None:
    done = []

    def task(name: str) -> Iterator[None]:
        for _ in range(3):
            done.append(name)
            yield

    run([task("a"), task("b")], 1, nothing)
    assert "".join(done) == "ababab"


def test_tasks_run_at_the_same_time_and_each_operation_on_one_thread() -> None:
    both = threading.Barrier(2, timeout=60)  # breaks unless two wait for each other
    seen = []

    def task() -> Iterator[None]:
        both.wait()
        seen.append((torch.get_num_threads(), blas_threads()))
        yield

    before = torch.get_num_threads(), blas_threads()
    run([task(), task()], 2, nothing)
    assert seen == [(1, {1})] * 2
    assert (torch.get_num_threads(), blas_threads()) == before


def test_a_single_task_has_torchs_threads_to_itself() -> None:
    seen = []

    def task() -> Iterator[None]:
        seen.append((torch.get_num_threads(), blas_threads()))
        yield

    run([task()], 2, nothing)
    assert seen == [(2, {1})]


@pytest.mark.parametrize("n_threads", [1, 2])
def test_what_a_task_raises_ends_the_others(n_threads: int) -> None:
    def forever() -> Iterator[None]:
        while True:
            yield

    def failing() -> Iterator[None]:
        yield
        raise ZeroDivisionError("so it is")

    before = torch.get_num_threads(), blas_threads()
    for tasks in ([forever(), failing()], [failing(), forever()]):
        with pytest.raises(ZeroDivisionError, match="so it is"):
            run(tasks, n_threads, nothing)
    assert (torch.get_num_threads(), blas_threads()) == before


@pytest.mark.parametrize("n_threads", [1, 2])
def test_what_is_heard_between_the_steps_ends_all_tasks(n_threads: int) -> None:
    steps = iter(range(10))
    ended = []

    def hear() -> None:
        assert threading.current_thread() is threading.main_thread()
        if next(steps) == 5:
            raise KeyboardInterrupt

    def forever() -> Iterator[None]:
        try:
            while True:
                yield
        finally:
            ended.append(True)

    tasks = [forever(), forever()]
    with pytest.raises(KeyboardInterrupt):
        run(tasks, n_threads, hear)
    assert next(steps) == 6
    for task in tasks:
        task.close()
    assert len(ended) == 2


def test_the_main_thread_hears_while_it_waits() -> None:
    heard = threading.Event()
    main_is_done = threading.Event()

    def short() -> Iterator[None]:
        main_is_done.set()
        yield

    def long() -> Iterator[None]:
        assert heard.wait(timeout=60)
        yield

    def hear() -> None:
        if main_is_done.is_set():
            heard.set()

    run([short(), long()], 2, hear)
