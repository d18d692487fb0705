"""Runs that are struck by signals at random moments and started again."""

import signal
import time
from pathlib import Path

import pytest
from attacks.figures import SOAK, record, size
from attacks.runs import Arena, attack_runs, processor_seconds, strike
from optuna.trial import TrialState

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="finds leftover processes in /proc"
)
MANY = size(2, 4)
"""Processes, where there are several."""
# Sampler, processes that are started, their --jobs, and how many kills.
KILLED = [
    (sampler, processes, jobs, kills)
    for sampler in ("random", "tpe", "grid")
    for processes, jobs, kills in ((1, 1, 10), (1, MANY, 5), (MANY, 1, 5))
]
INTERRUPTED = [
    (signal.SIGINT, "tpe", 1, 1, 14),
    (signal.SIGINT, "grid", 1, MANY, 6),
    (signal.SIGTERM, "random", 1, 1, 14),
    (signal.SIGTERM, "tpe", 1, MANY, 6),
    (signal.SIGHUP, "random", 1, 1, 14),
    (signal.SIGHUP, "tpe", MANY, 1, 6),
]
if not SOAK:
    KILLED = [("tpe", 1, 1, 1)]
    INTERRUPTED = [(signal.SIGHUP, "random", 1, 1, 1)]


@needs_proc
@pytest.mark.parametrize(("sampler", "processes", "jobs", "kills"), KILLED)
def test_a_killed_run_goes_on(
    sampler: str, processes: int, jobs: int, kills: int, tmp_path: Path
) -> None:
    lost = attack_runs(tmp_path, sampler, processes, jobs, [signal.SIGKILL] * kills)
    record(
        f"SIGKILL, {sampler}, {processes} × --jobs {jobs}",
        f"{kills} kills, {lost} trials lost, all made up for",
    )


@needs_proc
@pytest.mark.parametrize(("number", "sampler", "processes", "jobs", "times"), INTERRUPTED)
def test_an_interrupted_run_loses_no_trial(
    number: signal.Signals, sampler: str, processes: int, jobs: int, times: int, tmp_path: Path
) -> None:
    interrupted = attack_runs(tmp_path, sampler, processes, jobs, [number] * times)
    record(
        f"{number.name}, {sampler}, {processes} × --jobs {jobs}",
        f"{times} signals, {interrupted} trials interrupted, all trained again",
    )


def test_processes_that_start_together_make_exactly_the_trials(tmp_path: Path) -> None:
    n_processes = size(2, 8)
    n_trials = 2 * n_processes
    arena = Arena(tmp_path / "together", ("--sampler", "tpe", "--trials", str(n_trials)))
    try:
        statuses = [process.wait(600) for process in [arena.start() for _ in range(n_processes)]]
    finally:
        arena.kill_all()
    logs = [log.read_text() for log in arena.folder.glob("log*")]
    assert set(statuses) <= {0, 3}, logs
    arena.check_complete(n_trials, queued_again=True)
    arena.check_sound()
    record("processes that start together on a new file", f"{n_processes}: {n_trials} trials")


@needs_proc
@pytest.mark.skipif(not SOAK, reason="takes minutes: make soak")
@pytest.mark.parametrize(("seconds", "n_trials"), [(1.0, 100), (2.0, 15)])
def test_a_study_goes_forward_under_regular_kills(
    seconds: float, n_trials: int, tmp_path: Path
) -> None:
    epochs = _epochs(seconds, tmp_path)
    options = ("--sampler", "tpe", "--trials", str(n_trials), "--epochs", str(epochs))
    arena = Arena(tmp_path / "forward", (*options, "--pruner", "none"))
    n_kills = 0
    try:
        while len(arena.finished()) < n_trials:
            process = arena.start()
            # Time of its own: on a busy machine 8 s may be less than a start.
            start = time.monotonic()
            while time.monotonic() < start + 8 or processor_seconds(process.pid) < 8:
                time.sleep(0.05)
            if process.poll() is None:
                strike(arena, process, signal.SIGKILL, group=False)
                n_kills += 1
            assert n_kills <= n_trials, f"{len(arena.finished())} trials under {n_kills} kills"
        arena.start().wait(600)
        arena.check_complete(n_trials, queued_again=False)
    finally:
        arena.kill_all()
    record(
        f"trials of {seconds:.0f} s finished under a kill every 8 s",
        f"{n_trials} under {n_kills} kills, {n_trials / max(n_kills, 1):.1f} a kill",
    )


def _epochs(seconds: float, folder: Path) -> int:
    """How many epochs make a trial take that long here."""
    epochs = 2000
    arena = Arena(folder / "measured", ("--trials", "4", "--trials-per-batch", "1"))
    arena.start("--epochs", str(epochs), "--pruner", "none", "--sampler", "random").wait(600)
    last = arena.trials()[-1]  # the first may have waited for the compiler
    assert last.state == TrialState.COMPLETE and last.duration is not None
    return round(epochs * seconds / last.duration.total_seconds())
