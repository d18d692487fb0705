"""Ctrl-C, termination and hang-up, heard at once and obeyed where nothing is half done."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import FrameType
from typing import Any

PATIENCE_SECONDS = 1.0
"""A signal that comes sooner after the first one is the same one, passed on by another process."""


SIGNALS = [getattr(signal, s) for s in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, s)]


class Interruption:
    """A context in which signals, those of `SIGNALS` by default, wait for the next `check`.

    An exception raised from a signal handler can strike within a database transaction, or within
    a destructor, where Python drops it. Here the handler only takes note; a second signal does not
    wait. SIGHUP stays ignored where the process was started to ignore it, as by ``nohup``. Outside
    the main thread, which alone hears signals, nothing changes.

    Attributes:
        requested: the signal that has come, None as long as none has.
    """

    def __init__(self, *signals: signal.Signals) -> None:
        self.requested: int | None = None
        self._signals = signals or SIGNALS

    def __enter__(self) -> "Interruption":
        self._terminals = [descriptor for descriptor in (1, 2) if _is_terminal(descriptor)]
        heard = [n for n in self._signals if n == signal.SIGINT or not _is_ignored(n)]
        self._handling = _handling(heard, self._hear)
        self._handling.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._handling.__exit__(*exception)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.requested is None:
            self.requested, self._first = number, now
        elif now - self._first > PATIENCE_SECONDS:
            self.check()

    def check(self) -> None:
        """Raise a KeyboardInterrupt, with the signal's number, if one has come."""
        if self.requested is None:
            return
        for descriptor in self._terminals:
            if not _is_terminal(descriptor):  # it was closed: to write to it is an error
                with open(os.devnull, "w") as nowhere:  # noqa: PTH123 -- no path of a file
                    os.dup2(nowhere.fileno(), descriptor)
        self._terminals = []
        raise KeyboardInterrupt(self.requested)


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def exit_status(interrupt: KeyboardInterrupt) -> int:
    """What a process ends with, as shells count: 128 and the signal's number."""
    return 128 + (interrupt.args[0] if interrupt.args else signal.SIGINT)


def deaf() -> AbstractContextManager[None]:
    """Ignore all `SIGNALS` but SIGTERM, here and in processes that are started meanwhile."""
    return _handling([n for n in SIGNALS if n != signal.SIGTERM], signal.SIG_IGN)


def _is_ignored(number: int) -> bool:
    return signal.getsignal(number) == signal.SIG_IGN


@contextmanager
def _handling(signals: Sequence[int], handler: Any) -> Iterator[None]:
    """Give signals another handler; outside the main thread, which alone hears any, to none."""
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, handler) for number in signals if main}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
