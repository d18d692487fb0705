"""Runs of a study as processes that can be struck at any moment, and what must hold then."""

import contextlib
import json
import math
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import optuna
from attacks.figures import size
from conftest import TINY_REGRESSION, command
from optuna.trial import FrozenTrial, TrialState

# Its trials take about as long as they are asked to, and its grid has 12 cells.
STUDY = (
    TINY_REGRESSION.replace("[8]", "[64, 64]")
    .replace("grid=[1e-3, ", "grid=[1e-4, 3e-4, 1e-3, 3e-3, ")
    .replace("n_splits=3", "n_splits=2")
    .replace("epochs=2", "epochs=400")
)
END_SECONDS = 300.0
"""How long a process that was struck, or has lost its parent, may take to end."""
START_SECONDS = 6.0
"""About what a process takes from its start to its first trial."""
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass
class Arena:
    """A folder with a study file, a database, and a temporary folder of its own.

    Args:
        folder: where all of it is.
        options: of every run.
    """

    folder: Path
    options: tuple[str, ...]
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    struck: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.temporary = self.folder / "temporary"
        self.temporary.mkdir(parents=True)
        self.study = self.folder / "attacked.py"
        self.study.write_text(STUDY)
        self.database = self.folder / "studies.db"
        self.url = f"sqlite:///{self.database}"

    def start(self, *options: str) -> "subprocess.Popen[bytes]":
        """A further process that runs the study, in a group of its own as in a terminal."""
        environment = os.environ | {"TMPDIR": str(self.temporary), "OPTUNA_STORAGE": self.url}
        environment["CUDA_VISIBLE_DEVICES"] = ""
        log = self.folder / f"log{len(list(self.folder.glob('log*')))}"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command("run", str(self.study), "--name", "attacked", *self.options, *options),
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_hear_hang_up,
            )
        self.processes.append(process)
        return process

    def logs(self) -> str:
        """What all processes have printed."""
        return "\n".join(log.read_text() for log in sorted(self.folder.glob("log*")))

    def alive(self) -> list["subprocess.Popen[bytes]"]:
        """The processes that were started and have not ended."""
        return [process for process in self.processes if process.poll() is None]

    def workers(self) -> dict[int, int]:
        """The number of each running trial and the process that trains it, as stored just now."""
        rows = self._query(
            "SELECT number, value_json FROM trials JOIN trial_user_attributes USING (trial_id) "
            "WHERE state = 'RUNNING' AND key = 'worker'"
        )
        return {number: json.loads(worker)["pid"] for number, worker in rows}

    def finished(self) -> dict[int, str]:
        """The number and the state of each finished trial, as stored just now."""
        return dict(
            self._query("SELECT number, state FROM trials WHERE state IN ('COMPLETE', 'PRUNED')")
        )

    def _query(self, statement: str) -> list[tuple[int, str]]:
        if not self.database.exists():
            return []
        with closing(sqlite3.connect(self.database, timeout=60)) as connection:
            try:
                return connection.execute(statement).fetchall()
            except sqlite3.OperationalError as error:
                assert "no such table" in str(error), error
                return []

    def trials(self) -> list[FrozenTrial]:
        """What plain Optuna finds in the study; none before there is one."""
        if not self.database.exists():
            return []
        storage = optuna.storages.RDBStorage(self.url)
        try:
            if "attacked" not in optuna.get_all_study_names(storage):
                return []
            return optuna.load_study(study_name="attacked", storage=storage).trials
        finally:
            storage.engine.dispose()

    def settle(self) -> None:
        """Wait for what was struck, and for all that it has started, to end by itself."""
        deadline = time.monotonic() + END_SECONDS
        ours = {process.pid for process in self.alive()}
        while left := [pid for pid in self._descendants() if pid not in ours]:
            assert time.monotonic() < deadline, f"left over: {[_words(pid) for pid in left]}"
            time.sleep(0.05)

    def _descendants(self) -> Iterator[int]:
        """All processes of the arena, by their environment, but for the groups of those alive."""
        mark = f"TMPDIR={self.temporary}".encode()
        groups = {process.pid for process in self.alive()}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if mark not in (entry / "environ").read_bytes().split(b"\0"):
                    continue
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended
                continue
            if fields[0] != "Z" and int(fields[2]) not in groups:
                yield int(entry.name)

    def kill_all(self) -> None:
        """End what a failed test has left."""
        for process in self.alive():
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def check_sound(self) -> None:
        """Nothing is broken, and nothing lies about, when no process is left."""
        if self.database.exists():
            with closing(sqlite3.connect(self.database)) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert not list(self.temporary.iterdir())

    def check_complete(self, n_trials: int, *, queued_again: bool) -> None:
        """The study has exactly its trials, once each, and none is left running or waiting."""
        trials = self.trials()
        finished = [trial for trial in trials if trial.state in FINISHED]
        assert len(finished) == n_trials
        assert {t.state for t in trials} <= {*FINISHED, TrialState.FAIL}
        cells = [trial.user_attrs.get("grid_cell") for trial in finished]
        if "grid" in self.options:
            assert len(set(cells)) == len({str(t.params) for t in finished}) == n_trials
        if queued_again:
            trained = [trial.params for trial in finished]
            lost = [trial for trial in trials if trial.state == TrialState.FAIL and trial.params]
            assert not [t.number for t in lost if t.params not in trained], "never trained again"


def strike(
    arena: Arena, victim: "subprocess.Popen[bytes]", number: signal.Signals, *, group: bool
) -> list[int]:
    """Send a signal to a run, wait for its end, and check what it leaves.

    Returns:
        The numbers of the trials that it has interrupted.
    """
    before = arena.finished()
    running = arena.workers()
    children = _children(victim.pid)
    arena.struck.add(victim.pid)
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if group else os.kill)(victim.pid, number)
    status = victim.wait(END_SECONDS)
    arena.settle()
    after = arena.trials()
    for n, state in before.items():
        assert after[n].state.name == state, f"trial {n} was {state}"
    mine = [n for n, pid in running.items() if pid in {victim.pid, *children}]
    interrupted = [n for n in mine if after[n].state not in FINISHED]
    if number == signal.SIGKILL:
        assert status in (-number, 0, 3), arena.logs()
    elif interrupted:
        assert status == 128 + number, arena.logs()
        assert not [n for n in interrupted if after[n].state == TrialState.RUNNING]
    else:  # it had not begun, or was at its end
        assert status in (128 + number, -number, 0, 1, 3), arena.logs()
    return interrupted


def _hear_hang_up() -> None:
    """Hear what nohup, under which the tests may run, has ignored."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def processor_seconds(pid: int) -> float:
    """The processor time that a process has taken; infinite once it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return math.inf
    ended = fields[0] == "Z"
    return math.inf if ended else sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[int]:
    """The processes that a process has started."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]


def _words(pid: int) -> str:
    """The command line of a process."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return f"{pid}, ended since"


def attack_runs(
    folder: Path, sampler: str, processes: int, jobs: int, signals: list[signal.Signals]
) -> int:
    """Strike runs of a study with one signal after another, at random moments.

    What was struck is started again; a study that is complete gives way to a new one.

    Args:
        folder: for the studies.
        sampler: of the studies.
        processes: how many are started for a study, each with ``--jobs`` ``jobs``.
        jobs: see there.
        signals: to send.

    Returns:
        How many trials were interrupted.
    """
    random = Random(f"{signals} {sampler} {processes} {jobs}")
    left = list(signals)
    interrupted = 0
    n_trials = size(2, 12)
    options = ("--sampler", sampler, "--jobs", str(jobs))
    options += ("--trials", str(n_trials), "--epochs", str(size(2000, 1000)))
    while left:
        arena = Arena(folder / f"study{len(left)}", options)
        gently = signal.SIGKILL not in left
        try:
            while len(arena.finished()) < n_trials:
                while len(arena.alive()) < processes:
                    arena.start()
                    assert len(arena.processes) < 2 * len(signals) + 5 * processes, arena.logs()
                if not left:
                    _wait_for_end(arena)
                    continue
                # First while a trial runs; of the other moments half are any from the start on.
                pause = random.uniform(0, START_SECONDS)
                if len(left) == len(signals) or random.random() < 0.5:
                    _wait_for_trial(arena)
                    pause = 0 if len(left) == len(signals) else random.uniform(0, 1.5)
                if _wait_for_end(arena, pause):
                    continue
                victims = arena.alive()
                for victim in random.sample(victims, random.randint(1, len(victims))):
                    if left:
                        group = left[0] == signal.SIGINT or (
                            left[0] == signal.SIGHUP and random.random() < 0.5
                        )
                        interrupted += len(strike(arena, victim, left.pop(0), group=group))
            _wait_for_end(arena)
            arena.settle()
            by_themselves = [p for p in arena.processes if p.pid not in arena.struck]
            assert {process.returncode for process in by_themselves} <= {0, 3}, arena.logs()
            arena.check_complete(n_trials, queued_again=gently)
            arena.check_sound()
        finally:
            arena.kill_all()
        shutil.rmtree(arena.folder)
    return interrupted


def _wait_for_trial(arena: Arena) -> None:
    """Until a trial is trained, or nobody is left who might."""
    while not arena.workers() and arena.alive():
        time.sleep(0.02)


def _wait_for_end(arena: Arena, seconds: float = 600) -> bool:
    """Until all processes have ended, but no longer than that; answer whether they have."""
    deadline = time.monotonic() + seconds
    while arena.alive():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True
