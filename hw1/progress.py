"""What is shown while a study runs: the trials in training, and a line on the whole."""

import io
import math
import time
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from hw1.console import SECONDS_BETWEEN_LINES, SECONDS_BETWEEN_UPDATES
from hw1.datasets import Dataset
from hw1.execution import execute
from hw1.job import Job
from hw1.rounds import round_name
from hw1.standings import Progress, Standings
from hw1.study import Study, state_name
from hw1.training.kernels import being_compiled
from hw1.watching import Watcher
from hw1.words import duration, number

BAR_WIDTH = 10
MOST_ROWS = 10
"""Trials in the table."""
JUST_ENDED = 3
"""Of them, those that are no longer trained."""
CURVE_WIDTH = 24
BLOCKS = "▁▂▃▄▅▆▇█"


class Cell:
    """Shows text in a notebook, in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._handle: Any = None

    def start(self) -> None:
        """The first `update` does that."""

    def update(self, shown: RenderableType, *, refresh: bool = True) -> None:
        """Show this in place of what was shown before."""
        from IPython.display import display

        plain = Console(file=io.StringIO(), width=self._console.width, force_jupyter=False)
        with plain.capture() as capture:
            plain.print(shown)
        content = {"text/plain": capture.get()}
        if self._handle is None:
            self._handle = display(content, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(content, raw=True)

    def stop(self) -> None:
        """What was shown last stays."""


def execute_shown(
    job: Job, study: Study, dataset: Dataset, console: Console, *, jobs: int, deadline: float
) -> None:
    """`execute`, with a `ProgressLine` on the console."""
    with ProgressLine(study, console) as line:
        execute(
            job,
            study,
            dataset,
            jobs=jobs,
            deadline=deadline,
            watcher=Watcher(say=line.say, on_step=line.update),
            on_interrupt=line.interrupted,
        )


class ProgressLine:
    """Shows how far a study is; use it as a context manager and call `update` often.

    In a terminal and in a notebook a table of the trials that are being trained stands above one
    line on the whole study, and both stay in place; elsewhere the line is printed now and then,
    and at the end. All they say is read from storage, so they cover every process that works on
    the study.
    """

    def __init__(self, study: Study, console: Console) -> None:
        self.study = study
        self.console = console
        self._start = time.monotonic()
        self._done_at_start = study.progress().done
        self._shown = self._start
        self._live: Live | Cell | None = None
        if console.is_jupyter:
            self._live = Cell(console)
        elif console.is_terminal:
            self._live = Live(console=console, auto_refresh=False)
        self._told_of_compilation = False
        self._said = ""
        self._rounds_start: tuple[float, int] | None = None

    def __enter__(self) -> "ProgressLine":
        if self._live is not None:
            self._live.start()
            self._show()
        return self

    def __exit__(self, *exception: object) -> None:
        # What is left of the table would stand there for ever.
        self._show(with_table=False)
        if self._live is not None:
            self._live.stop()

    def update(self) -> None:
        """Show the current state, unless that was done a moment ago."""
        interval = SECONDS_BETWEEN_LINES if self._live is None else SECONDS_BETWEEN_UPDATES
        if time.monotonic() - self._shown >= interval:
            self._show()
        if self._live is None and not self._told_of_compilation and (text := being_compiled()):
            self._told_of_compilation = True
            self.console.print(text, soft_wrap=True)

    def say(self, what: str) -> None:
        """What is being done in a round, of which storage knows no more than what is finished."""
        self._said = what

    def interrupted(self) -> None:
        """Say that Ctrl-C was received, and what happens next."""
        what = "the running trials begin again when the study goes on"
        if self._said:
            what = "training continues from its last save when the study goes on"
        self.console.print(f"Stopping: {what}.", soft_wrap=True)

    def _show(self, with_table: bool = True) -> None:
        self._shown = time.monotonic()
        trials = self.study.trials()
        progress = self.study.progress(trials)
        line = Text(self.line(progress), no_wrap=True, overflow="ellipsis")
        if self._live is None:
            self.console.print(line, soft_wrap=True)
            return
        most = min(MOST_ROWS, self.console.height - 4)
        parts: list[Table | Text] = []
        if with_table and most > 0:
            in_rounds = progress.searched and progress.standings.rounds
            shown = self.standings(progress.standings, trials) if in_rounds else None
            parts.append(shown or self.table(trials, most))
        if with_table and self._said:
            parts.append(Text(self._said, no_wrap=True, overflow="ellipsis"))
        if with_table and (text := being_compiled()):
            parts.append(Text(text, no_wrap=True, overflow="ellipsis"))
        self._live.update(Group(*parts, line), refresh=True)

    def table(self, trials: Sequence[FrozenTrial], most: int) -> Table:
        """The trials that are being trained, and above them those that have just ended.

        Args:
            trials: all of the study.
            most: the number of rows at most.
        """
        running = [trial for trial in trials if trial.state == TrialState.RUNNING]
        ended = [t for t in trials if t.state.is_finished() and t.intermediate_values]
        room = max(most - len(running), 0)
        rows = [*ended[len(ended) - min(room, JUST_ENDED) :], *running]
        table = Table(
            Column("trial", justify="right"),
            Column("epoch", justify="right"),
            Column("mean score", justify="right"),
            Column("learning curve", width=CURVE_WIDTH, no_wrap=True),
            Column("state", no_wrap=True),
            box=None,
            padding=(0, 2, 0, 0),
        )
        for trial in rows[-most:]:
            curve = list(trial.intermediate_values.values())
            finite = [value for value in curve if math.isfinite(value)]
            table.add_row(
                str(trial.number),
                f"{len(curve)}/{self.study.settings.epochs}",
                number(curve[-1] if curve else None),
                sparkline(finite, CURVE_WIDTH, log=not self.study.metric.maximize),
                state_name(trial),
                style="dim" if trial.state.is_finished() else "",
            )
        if len(rows) > most:
            table.add_row("", "", "", f"and {len(rows) - most} more", "")
        return table

    def standings(self, standings: Standings, trials: Sequence[FrozenTrial]) -> Table:
        """The trials of the current round: what they scored in the search, and so far in it."""
        current = len(standings.entrants) - 1
        repeats = standings.rounds[current].repeats
        names = ("trial", "objective value", "repeats", "mean score", "± std")
        columns = [Column(name, justify="right") for name in names]
        table = Table(*columns, box=None, padding=(0, 2, 0, 0))
        for trial in standings.entrants[current][:MOST_ROWS]:
            entry = standings.entry(current, trial)
            scored = entry is not None and not entry.failure
            table.add_row(
                str(trial),
                number(trials[trial].value),
                f"{repeats - standings.left(current, trial)}/{repeats}",
                number(entry.score if entry and scored else None),
                number(entry.std if entry and scored else None),
            )
        return table

    def line(self, progress: Progress) -> str:
        """Done of target, best value and its trial, pruned, failed, time left; of rounds less."""
        standings, start = progress.standings, self._start
        done, total, before = progress.done, progress.n_trials, self._done_at_start
        in_rounds = progress.searched and bool(standings.rounds)
        parts = [f"{done}/{total}"]
        if in_rounds:
            parts = [f"{standings.done}/{standings.total}"]
            # A later round has more epochs and rows.
            costs = [self.study.settings.examples(one) for one in standings.rounds]
            done = sum(cost * standings.done_in(i) for i, cost in enumerate(costs))
            total = sum(cost * standings.expected_in(i) for i, cost in enumerate(costs))
            if self._rounds_start is None:
                self._rounds_start = time.monotonic(), done
            start, before = self._rounds_start
        filled = round(BAR_WIDTH * min(done / max(total, 1), 1))
        if self._live is not None:
            parts.insert(0, "━" * filled + "╌" * (BAR_WIDTH - filled))
        if in_rounds:
            parts.append(round_name(standings.rounds, len(standings.entrants) - 1))
        if progress.best is not None:
            parts.append(f"best {number(progress.best.value)} (trial {progress.best.number})")
        if in_rounds:
            parts += [f"scored {number(entry.score)}" for entry in standings.final[:1]]
        else:
            parts += [f"pruned {progress.pruned}", f"failed {progress.failed}"]
            parts += [f"invalid {progress.refused}"] if progress.refused else []
        if done > before and done < total:
            left = (time.monotonic() - start) / (done - before) * (total - done)
            parts.append(f"{duration(left)} left")
        return "  ".join(parts)


def sparkline(values: Sequence[float], width: int, *, log: bool = False) -> str:
    """A curve as a row of block characters, its lowest value at the bottom.

    Args:
        values: finite, in order; where there are more than ``width`` each character is the mean of
            several.
        width: characters at most.
        log: whether heights are logarithmic, if all values are positive.
    """
    if not values:
        return ""
    log = log and min(values) > 0
    heights = [math.log(value) for value in values] if log else list(values)
    n = min(width, len(heights))
    ends = [round(i * len(heights) / n) for i in range(n + 1)]
    means = [fmean(heights[a:b]) for a, b in pairwise(ends)]
    low, span = min(means), max(means) - min(means)
    top = len(BLOCKS) - 1
    return "".join(BLOCKS[round((m - low) / span * top) if span > 0 else 0] for m in means)
