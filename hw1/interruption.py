"""Ctrl-C and termination, heard at once and obeyed where nothing is half done."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

PATIENCE_SECONDS = 1.0
"""A signal that comes sooner after the first one is the same one, passed on by another process."""


class Interruption:
    """A context in which signals, SIGINT and SIGTERM by default, wait for the next `check`.

    An exception raised from a signal handler can strike within a database transaction, or within
    a destructor, where Python drops it. Here the handler only takes note; a second signal does not
    wait. Outside the main thread, which alone hears signals, nothing changes.
    """

    def __init__(self, *signals: signal.Signals) -> None:
        self.requested = False
        self._signals = signals or (signal.SIGINT, signal.SIGTERM)

    def __enter__(self) -> "Interruption":
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._hear) for number in self._signals}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.requested:
            self.requested, self._first = True, now
        elif now - self._first > PATIENCE_SECONDS:
            raise KeyboardInterrupt

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal has come."""
        if self.requested:
            raise KeyboardInterrupt


@contextmanager
def deaf_to(number: signal.Signals) -> Iterator[None]:
    """Ignore a signal, here and in processes that are started meanwhile."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)
