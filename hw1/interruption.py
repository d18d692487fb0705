"""Ctrl-C and termination, heard at once and obeyed where nothing is half done."""

import signal
import threading
from types import FrameType, TracebackType


class Interruption:
    """A context in which signals, SIGINT and SIGTERM by default, wait for the next `check`.

    An exception raised from a signal handler can strike within a database transaction, or within
    a destructor, where Python drops it. Here the handler only takes note. A second signal does
    not wait. Outside the main thread, which alone hears signals, nothing changes.
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
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal has come."""
        if self.requested:
            raise KeyboardInterrupt
