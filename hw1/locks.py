"""Locks that speak: who waits for one says so, names the holder, and gives up after a minute."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from hw1.errors import InputError

SPEAK_SECONDS = 2.0
"""How long a wait may last before it is announced."""
WAIT_SECONDS = 60.0
"""How long a wait may last at all: what a lock protects takes milliseconds."""
LONGEST_PAUSE = 0.05


def acquire(attempt: Callable[[], bool], what: str, files: Sequence[Path]) -> None:
    """Call ``attempt`` until it succeeds.

    Args:
        attempt: tries once to take a lock and answers whether it has it.
        what: is locked, for messages.
        files: on one of which the operating system keeps the lock.

    Raises:
        InputError: somebody else held it for `WAIT_SECONDS`.
    """
    start, pause, said = time.monotonic(), 0.001, False
    while not attempt():
        waited = time.monotonic() - start
        if waited >= WAIT_SECONDS:
            raise InputError(
                f"{what} has been locked for {WAIT_SECONDS:.0f} s by {_holder(files)}: end that "
                "process, or wait for it, and repeat the command"
            )
        if waited >= SPEAK_SECONDS and not said:
            sys.stderr.write(f"waiting for {what}, which {_holder(files)} has locked\n")
            said = True
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


class Lock:
    """A file lock between processes, as a context; the process that holds it may take it again.

    A crash releases it. All users of a shared folder can take it.

    Args:
        path: the lock's own file; it is made if it is missing, and stays.
        what: it protects, for messages.

    Raises:
        OSError: the file cannot be made or written.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self._what = what
        # filelock waits for ever where a file system answers that a new file's folder is missing.
        os.close(os.open(path, os.O_RDWR | (0 if path.exists() else os.O_CREAT), 0o666))
        self._lock = FileLock(path, mode=0o666)
        if path.stat().st_uid == os.getuid():
            path.chmod(0o666)  # whatever the umask

    def __enter__(self) -> "Lock":
        acquire(self._attempt, self._what, [self.path])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()

    def _attempt(self) -> bool:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        return True


def _holder(files: Sequence[Path]) -> str:
    """Who has locked one of the files, as far as the system tells; Linux does."""
    places = set()
    for path in files:
        if path.exists():
            found = path.stat()
            device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
            places.add(f"{device}:{found.st_ino}")
    try:
        for line in Path("/proc/locks").read_text().splitlines():
            # Such as "1: POSIX  ADVISORY  WRITE 5722 fe:00:2146753 120 120"; "->" marks one that
            # waits.
            fields = line.split()
            if fields[1] == "->" or fields[3] != "WRITE" or fields[5] not in places:
                continue
            pid = int(fields[4])
            if pid not in (-1, 0, os.getpid()):
                return _describe(pid)
    except (OSError, IndexError, ValueError):
        pass
    return "another process"


def _describe(pid: int) -> str:
    folder = Path("/proc") / str(pid)
    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
    stopped = ", which is stopped" if state in "tT" else ""
    return f"process {pid} ({command.strip()[:60]}{stopped})"
