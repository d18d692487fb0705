import io
import json
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numba
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState
from rich.console import Console
from rich.table import Table

from hw1.console import TaskLine
from hw1.job import Job, Options, prepare
from hw1.progress import ProgressLine, execute_shown, sparkline
from hw1.rows import TRIAL_FIELDS, trial_as_dict
from hw1.study import OUT_OF_MEMORY, Study, state_name
from hw1.training.kernels import compiled, hearing


def run(job: Job, console: Console) -> Study:
    study, dataset = prepare(job, Options(n_trials=3))
    execute_shown(job, study, dataset, console, jobs=1, deadline=math.inf)
    return study


def test_without_a_terminal_the_last_line_tells_how_it_ended(make_job: Callable[..., Job]) -> None:
    out = io.StringIO()
    study = run(make_job(), Console(file=out, width=80))
    best = study.best_trial()
    assert out.getvalue().splitlines()[-1] == (
        f"3/3  best {best.value:.4g} (trial {best.number})  pruned 0  failed 0"
    )
    assert "\x1b" not in out.getvalue()


def test_in_a_terminal_the_line_stays_in_place_with_a_full_bar(
    make_job: Callable[..., Job],
) -> None:
    out = io.StringIO()
    run(make_job(), Console(file=out, width=80, force_terminal=True, color_system=None))
    shown = out.getvalue()
    assert "trial  epoch  mean score  learning curve" in shown
    last = shown.splitlines()[-2]
    assert "\x1b[2K" in last  # what stood there is erased
    assert "━━━━━━━━━━  3/3  best" in last


def test_the_longest_line_fits_eighty_columns(make_study: Callable[..., Study]) -> None:
    study = make_study(n_trials=100)
    line = ProgressLine(study, Console(file=io.StringIO(), width=80, force_terminal=True))
    for i in range(99):
        study.optuna_study.tell(study.optuna_study.ask(), 0.12345 - i / 1e6)
    line._start -= 35_000
    text = line.line(study.progress())
    assert text.startswith("━━━━━━━━━━  99/100  best 0.1234 (trial 98)  pruned 0  failed 0  5 min ")
    assert text.endswith(" s left")
    assert len(text) <= 80


def lines_of(table: Table, width: int = 80) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(table)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_the_table_shows_what_is_trained_and_what_has_just_ended(
    make_study: Callable[..., Study],
) -> None:
    study = make_study(n_trials=100, epochs=20)
    for i in range(8):
        trial = study.optuna_study.ask()
        for epoch in range(i + 1):
            trial.report(2.0**-epoch, epoch + 1)
        if i < 5:
            study.optuna_study.tell(trial, 1.0)
    progress = ProgressLine(study, Console(file=io.StringIO(), width=80, force_terminal=True))
    lines = lines_of(progress.table(study.trials(), 10))
    assert [line.split() for line in lines[1:]] == [
        ["2", "3/20", "0.25", "█▅▁", "completed"],
        ["3", "4/20", "0.125", "█▆▃▁", "completed"],
        ["4", "5/20", "0.0625", "█▆▅▃▁", "completed"],
        ["5", "6/20", "0.03125", "█▇▅▄▂▁", "running"],
        ["6", "7/20", "0.01562", "█▇▆▅▃▂▁", "running"],
        ["7", "8/20", "0.007812", "█▇▆▅▄▃▂▁", "running"],
    ]
    few = lines_of(progress.table(study.trials(), 2))
    assert [line.split()[:2] for line in few[1:3]] == [["6", "7/20"], ["7", "8/20"]]
    assert few[3].strip() == "and 1 more"
    assert max(map(len, lines)) < 80


@pytest.mark.parametrize("is_terminal", [False, True])
def test_what_is_compiled_is_told_while_it_is(
    is_terminal: bool, make_study: Callable[..., Study]
) -> None:
    def add_one(inner: Any) -> Any:
        return numba.njit(lambda x: inner(x) + 1)

    chain: Any = numba.njit(lambda x: x)
    for _ in range(20):  # so that it takes a while
        chain = add_one(chain)
    function = compiled(lambda x: chain(x))
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=is_terminal, color_system=None)
    with ProgressLine(make_study(n_trials=9), console) as line:

        def hear() -> None:
            line._shown = -math.inf if is_terminal else math.inf
            line.update()

        with hearing(hear):
            assert function(1.0) == 21.0
            shown = out.getvalue()
            hear()
    text = "compiling the training code for this processor, once: <lambda> ("
    assert shown.count(text) >= 1 if is_terminal else shown.count(text) == 1
    # Once it is done nothing of it is left.
    assert text not in out.getvalue().removeprefix(shown)


@given(st.lists(st.floats(-1e6, 1e6), max_size=60), st.integers(1, 30))
def test_a_sparkline_has_its_ends_where_the_values_have_theirs(
    values: list[float], width: int
) -> None:
    line = sparkline(values, width)
    assert len(line) == min(len(values), width)
    if len(values) <= width and len(set(values)) > 1:
        assert line[values.index(max(values))] == "█"
        assert line[values.index(min(values))] == "▁"
        order = sorted(range(len(values)), key=values.__getitem__)
        assert all(line[a] <= line[b] for a, b in pairwise(order))


def test_a_sparkline_of_errors_is_logarithmic() -> None:
    assert sparkline([100.0, 10.0, 1.0], 9, log=True) == "█▅▁"
    assert sparkline([100.0, 10.0, 1.0], 9) == "█▂▁"
    assert sparkline([1.0, 0.0], 9, log=True) == "█▁"
    assert sparkline([3.0, 3.0], 9) == "▁▁"


def test_what_became_of_a_trial_in_a_word(make_study: Callable[..., Study]) -> None:
    study = make_study(n_trials=99)
    became: list[tuple[str, TrialState, dict[str, str]]] = [
        ("completed", TrialState.COMPLETE, {}),
        ("completed", TrialState.COMPLETE, {}),
        ("pruned", TrialState.PRUNED, {}),
        ("invalid", TrialState.PRUNED, {"refused": "no pixel is left"}),
        ("interrupted", TrialState.FAIL, {}),
        (OUT_OF_MEMORY, TrialState.FAIL, {"failure": OUT_OF_MEMORY}),
        ("failed", TrialState.FAIL, {"failure": "KeyError: 'x'"}),
    ]
    for _, state, attributes in became:
        trial = study.optuna_study.ask()
        for name, text in attributes.items():
            trial.set_user_attr(name, text)
        value = 1.0 / (1 + trial.number) if state == TrialState.COMPLETE else None
        study.optuna_study.tell(trial, value, state)
    study.optuna_study.ask()
    names = [state_name(trial) for trial in study.trials()]
    assert names == [*(name for name, _, _ in became), "running"]
    p = study.progress()
    assert (p.completed, p.pruned, p.refused, p.interrupted, p.failed) == (2, 1, 1, 1, 2)
    assert (p.running, p.done, p.n_trials) == (1, 4, 99)
    assert p.best is not None
    assert p.best.number == study.optuna_study.best_trial.number == 1
    rows = [trial_as_dict(trial, p.standings) for trial in study.trials()]
    assert all(set(row) == {*TRIAL_FIELDS, "params"} for row in rows)
    assert rows[3]["state"] == "refused"  # the word in storage
    assert rows[3]["refused"] == "no pixel is left"
    json.dumps(rows)


def test_what_is_being_done_is_shown_in_a_terminal_and_gone_at_the_end() -> None:
    out = io.StringIO()
    console = Console(file=out, width=40, force_terminal=True, color_system=None)
    clock = iter(range(0, 100, 10))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hw1.console.time.monotonic", lambda: next(clock))
        with TaskLine(console) as line:
            line.say("training: epoch 1 of 3")
            line.say("training: epoch 2 of 3, and more than there is room for")
    assert "10 s  training: epoch 1 of 3" in out.getvalue()
    assert "20 s  training: epoch 2 of 3, and more …" in out.getvalue()
    assert out.getvalue().endswith("\x1b[1A\x1b[2K")  # the line is erased


def test_without_a_terminal_it_is_told_now_and_then() -> None:
    out = io.StringIO()
    clock = iter([0, 5, 20, 21, 40])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hw1.console.time.monotonic", lambda: next(clock))
        with TaskLine(Console(file=out, width=80)) as line:
            for epoch in range(4):
                line.say(f"epoch {epoch}")
    assert out.getvalue().splitlines() == ["20 s  epoch 1", "40 s  epoch 3"]
