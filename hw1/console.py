"""Text in terminals, what is being done, and trials and studies as rows."""

import time
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.live import Live
from rich.text import Text

from hw1.errors import printable
from hw1.study import Study, state_name
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


KEPT_WITH_TRIAL = [
    "std",
    "fold_scores",
    "best_epoch",
    "epochs",
    "stopped",
    "seconds",
    "n_parameters",
    "device",
    "refused",
    "failure",
]
TRIAL_FIELDS = ["trial", "state", "value", *KEPT_WITH_TRIAL]


def trial_as_dict(trial: FrozenTrial) -> dict[str, Any]:
    """A trial as JSON can hold it: the `TRIAL_FIELDS`, and its parameters under ``params``."""
    return {
        "trial": trial.number,
        "state": state_name(trial),
        "value": trial.value if trial.state == TrialState.COMPLETE else None,
        **{name: trial.user_attrs.get(name) for name in KEPT_WITH_TRIAL},
        "params": trial.params,
    }


def study_as_dict(study: Study) -> dict[str, Any]:
    """A stored study as JSON can hold it: what it is and how far."""
    settings, progress = study.settings, study.progress()
    return {
        "name": study.name,
        "definition": settings.definition,
        "part_of_nested": settings.outer_fold is not None,
        "sampler": settings.sampler,
        "metric": settings.metric,
        "state": progress.state,
        "n_trials": progress.n_trials,
        "done": progress.done,
        "running": progress.running,
        "completed": progress.completed,
        "pruned": progress.pruned,
        "failed": progress.failed,
        "interrupted": progress.interrupted,
        "refused": progress.refused,
        "best_value": progress.best.value if progress.best else None,
        "best_trial": progress.best.number if progress.best else None,
    }
