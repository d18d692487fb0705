"""Text in terminals, and what is being done."""

import time
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from hw1.errors import printable
from hw1.words import duration

SECONDS_BETWEEN_UPDATES = 0.5
SECONDS_BETWEEN_LINES = 15.0
"""How often a line is printed where there is no terminal."""


class Terminal(Console):
    """Where text is shown as it is: neither markup nor what a terminal obeys means anything."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """What all strings go through, those of tables too."""
        return super().render_str(printable(text), **options)


class TaskLine:
    """A line that says what is being done; use it as a context manager and call `say`.

    In a terminal it stays in place and is gone at the end; elsewhere it is printed now and then.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._start = self._shown = time.monotonic()
        self._live = (
            Live(console=console, auto_refresh=False, transient=True)
            if console.is_terminal
            else None
        )

    def __enter__(self) -> "TaskLine":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, what: str) -> None:
        """Show what is being done, and since when, unless something was shown a moment ago."""
        interval = SECONDS_BETWEEN_LINES if self._live is None else SECONDS_BETWEEN_UPDATES / 5
        now = time.monotonic()
        if now - self._shown < interval:
            return
        self._shown = now
        line = Text(
            f"{duration(now - self._start)}  {printable(what, keep='')}",
            no_wrap=True,
            overflow="ellipsis",
        )
        if self._live is not None:
            self._live.update(line, refresh=True)
        else:
            self.console.print(line, soft_wrap=True)
