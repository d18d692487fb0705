import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hw1.errors import InputError
from hw1.locks import Lock

HOLD = """
import sys, time
from pathlib import Path
from hw1.locks import Lock
with Lock(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held(path: Path) -> Iterator[subprocess.Popen[str]]:
    """The lock in the hands of another process, until its input is closed."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hw1.locks.SPEAK_SECONDS", 0.0)
    monkeypatch.setattr("hw1.locks.WAIT_SECONDS", 0.2)


def test_who_waits_says_for_whom_and_gives_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.lock"
    with held(path) as other:
        with pytest.raises(InputError, match=rf"the studies has been .* by process {other.pid} \("):
            Lock(path, "the studies").__enter__()
        assert f"waiting for the studies, which process {other.pid}" in capsys.readouterr().err
        os.kill(other.pid, signal.SIGSTOP)
        with pytest.raises(InputError, match="which is stopped"):
            Lock(path, "the studies").__enter__()
        os.kill(other.pid, signal.SIGCONT)


def test_it_is_taken_as_soon_as_it_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hw1.locks.WAIT_SECONDS", 60.0)
    path = tmp_path / "x.lock"
    with held(path) as other:
        assert other.stdin is not None
        other.stdin.close()
        with Lock(path, "it"):
            assert other.wait(60) == 0


def test_it_may_be_taken_twice_and_a_crash_releases_it(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "x.lock", "it")
    with lock, lock:
        pass
    with held(lock.path) as other:
        other.kill()
        other.wait()
        with lock:
            pass


def test_whoever_made_it_all_users_can_take_it(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        lock = Lock(tmp_path / "x.lock", "it")
    finally:
        os.umask(before)
    assert lock.path.stat().st_mode & 0o777 == 0o666


def test_where_no_file_can_be_it_fails_at_once() -> None:
    with pytest.raises(OSError):
        Lock(Path("/proc/x.lock"), "it")


def test_a_lock_of_anyone_holds(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another process"):
            Lock(path, "it").__enter__()
