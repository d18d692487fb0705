"""Callbacks for the progress of long work, which may stop it."""

from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Watcher:
    """Goes down from who asks for the work to the training step, and adds what each level needs.

    Attributes:
        say: is told what is being done, in a few words, whenever that changes.
        on_step: called before every training step, or several times a second; what it raises ends
            the work.
    """

    say: Callable[[str], None] = lambda what: None
    on_step: Callable[[], None] = lambda: None

    def of(self, name: str) -> "Watcher":
        """One that puts a name before all that it is told."""
        return replace(self, say=lambda what: self.say(f"{name}: {what}"))

    def after(self, step: Callable[[], None]) -> "Watcher":
        """One that calls ``step`` first, in each step."""

        def both() -> None:
            step()
            self.on_step()

        return replace(self, on_step=both)


UNWATCHED = Watcher()
