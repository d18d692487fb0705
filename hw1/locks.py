"""Locks that speak: who waits for one says so, names the holder, and gives up after a minute."""

import fcntl
import os
import stat
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from hw1.errors import InputError, printable
from hw1.passwords import hide

SPEAK_SECONDS = 2.0
"""How long a wait may last before it is announced."""
WAIT_SECONDS = 60.0
"""How long one holder may be waited for: what a lock protects takes seconds at most."""
LOOK_SECONDS = 1.0
"""How often a waiting process looks who holds the lock."""
LONGEST_PAUSE = 0.05


def acquire(attempt: Callable[[], bool], what: str, files: Sequence[Path]) -> None:
    """Call ``attempt`` until it succeeds.

    Args:
        attempt: tries once to take a lock and answers whether it has it.
        what: is locked, for messages.
        files: on one of which the operating system keeps the lock.

    Raises:
        InputError: one and the same process held it for `WAIT_SECONDS`.
    """
    start = since = looked = time.monotonic()
    pause, said, holder = 0.001, False, ""
    while not attempt():
        now = time.monotonic()
        if not holder or now - looked >= LOOK_SECONDS or now - since >= WAIT_SECONDS:
            looked, before, holder = now, holder, _holder(files)
            if before and holder != before:
                since = now
        if now - since >= WAIT_SECONDS:
            raise InputError(
                f"{what} has been locked for {WAIT_SECONDS:.0f} s by {holder}: end that process, "
                "or wait for it, and repeat the command"
            )
        if now - start >= SPEAK_SECONDS and not said:
            sys.stderr.write(f"waiting for {what}, which {holder} has locked\n")
            said = True
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


class Lock:
    """A file lock between processes, as a context; the thread that holds it may take it again.

    A crash releases it. All users of a shared folder can take it. (The package filelock refuses
    files of other users in folders such as ``/tmp``.)

    Args:
        path: the lock's own file; it is made if it is missing, and stays.
        what: it protects, for messages.

    Raises:
        OSError: the file cannot be made or written, or is no plain file.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self._what = what
        self._threads = threading.RLock()
        self._depth = self._descriptor = 0
        os.close(_open(path))

    def __enter__(self) -> "Lock":
        acquire(self._attempt, self._what, [self.path])
        return self

    def __exit__(self, *exception: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            os.close(self._descriptor)  # which releases it
        self._threads.release()

    def _attempt(self) -> bool:
        if not self._threads.acquire(blocking=False):
            return False
        if self._depth == 0:
            try:
                descriptor = _open(self.path)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BaseException:
                    os.close(descriptor)
                    raise
            except BlockingIOError:
                self._threads.release()
                return False
            except OSError as error:
                self._threads.release()
                raise InputError(
                    f"{self._what} cannot be locked ({error.strerror}): check {self.path}"
                ) from error
            self._descriptor = descriptor
        self._depth += 1
        return True


def _open(path: Path) -> int:
    """A descriptor of a plain file, which all users may write if it was made here."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        # Not with O_CREAT: in folders such as /tmp that fails for files of other users.
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        try:
            descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:  # another process was faster
            return _open(path)
        os.fchmod(descriptor, 0o666)  # whatever the umask
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("the lock is no plain file")
    return descriptor


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
    command = (folder / "cmdline").read_bytes().decode(errors="replace")
    state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
    stopped = ", which is stopped" if state in "tT" else ""
    # Somebody else's arguments may hold a password, or what a terminal obeys.
    shown = " ".join(map(hide, command.split("\0"))).strip()[:60]
    return f"process {pid} ({printable(shown, keep='')}{stopped})"
