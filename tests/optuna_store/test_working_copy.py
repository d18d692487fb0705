import contextlib
import itertools
import math
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.pruners import SuccessiveHalvingPruner
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, Trial, TrialState
from test_samplers import suggest

from hw1.optuna_store.storage import Storage
from hw1.optuna_store.working_copy import Conflict, WorkingCopy
from hw1.samplers import PRUNERS, SAMPLERS, make_pruner, make_sampler

EPOCHS = 8
TIMES = ("datetime_start", "datetime_complete")


def make_copy(url: str, name: str = "s", **kwargs: Any) -> WorkingCopy:
    storage = Storage(url)
    return WorkingCopy(storage, optuna.load_study(study_name=name, storage=storage, **kwargs))


def contents(study: optuna.Study, *, times: bool = True) -> list[dict[str, Any]]:
    """All that is known of a study's trials but their ids.

    Intermediate values as text, for nan equals nothing, and without the sign of 0, which SQLite
    drops.
    """
    without = ("_trial_id",) if times else ("_trial_id", *(f"_{t}" for t in TIMES), *TIMES)
    found = []
    for trial in study.get_trials():
        fields = {name: x for name, x in vars(trial).items() if name not in without}
        points = trial.intermediate_values
        fields["intermediate_values"] = {k: repr(x + 0.0) for k, x in points.items()}
        found.append(fields)
    return found


def assert_saved(copy: WorkingCopy, url: str) -> list[FrozenTrial]:
    """What plain Optuna reads is what the copy holds."""
    stored = optuna.load_study(study_name=copy.study.study_name, storage=url)
    assert contents(stored) == contents(copy.study)
    for trial in stored.trials:
        assert copy.stored_id(trial.number) == trial._trial_id
    return stored.trials


def play(study: optuna.Study, sampler: str, numbers: Sequence[int]) -> Iterator[None]:
    """Trials as a study of hw1's makes them; yields now and then, for the copy to be saved."""
    for number in numbers:
        study.sampler = make_sampler(sampler, 7, number)
        if number % 4 == 1:
            study.enqueue_trial({"n": number + 1}, user_attrs={"queued": number})
        trial = study.ask()
        value = suggest(trial)
        trial.set_user_attr("worker", {"host": "here", "pid": number})
        yield
        state = None
        for epoch in range(1, EPOCHS + 1):
            trial.report(value + 1 / epoch, epoch)
            if trial.should_prune():
                state = TrialState.PRUNED
                break
            if epoch == EPOCHS // 2:
                yield
        trial.set_user_attr("epochs", epoch)
        study.tell(trial.number, None if state else value, state=state)
        yield


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("sampler", "pruner"),
    [(sampler, "median") for sampler in SAMPLERS] + [("tpe", pruner) for pruner in PRUNERS[1:]],
)
def test_a_copy_does_what_optuna_does_in_storage(sampler: str, pruner: str, tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path}/{name}.db" for name in ("plain", "copied")]
    plain, stored = (
        optuna.create_study(study_name="s", storage=Storage(u), pruner=make_pruner(pruner, EPOCHS))
        for u in urls
    )
    for _ in play(plain, sampler, range(16)):
        pass
    for numbers in (range(7), range(7, 16)):  # in two sessions
        copy = make_copy(urls[1], pruner=stored.pruner)
        for _ in play(copy.study, sampler, numbers):
            assert copy.save() == set()
            copy.refresh()
        assert_saved(copy, urls[1])
    assert contents(copy.study, times=False) == contents(plain, times=False)
    attributes = plain._storage.get_study_system_attrs(plain._study_id)
    assert stored._storage.get_study_system_attrs(stored._study_id) == attributes
    assert bool(attributes) == (sampler == "qmc")
    states = {trial.state for trial in plain.trials}
    assert states == {TrialState.COMPLETE} | ({TrialState.PRUNED} if pruner != "none" else set())


def test_all_that_a_trial_can_hold_is_saved(url: str) -> None:
    optuna.create_study(study_name="s", storage=url, directions=["minimize", "maximize"])
    copy = make_copy(url, sampler=RandomSampler(seed=0))
    trials = first, second, _ = [copy.study.ask() for _ in range(3)]
    for trial in trials:
        suggest(trial)
        trial.suggest_float("step", 0, 1, step=0.25)
        trial.suggest_int("log", 1, 1000, log=True)
        trial.suggest_categorical("mixed", [None, True, 2, 0.5, "text"])
        trial.set_user_attr("changed", 1)
    copy.study.enqueue_trial({"x": 0.5, "kind": "b"}, user_attrs={"why": "ünïcode ∞"})
    copy.save()
    first.set_user_attr("nested", {"a": [1, None, {"b": math.inf}], "c": "'\"%s:x"})
    for attribute in (1.0, True, None, "1"):  # the first two equal what is stored, and differ
        first.set_user_attr("changed", attribute)
        copy.save()
        assert type(assert_saved(copy, url)[0].user_attrs["changed"]) is type(attribute)
    second.set_constraint("c", 1.5)
    copy.study.tell(first, [math.inf, -math.inf])
    copy.study.tell(second, state=TrialState.FAIL)
    copy.save()
    stored = assert_saved(copy, url)
    assert [t.state.name for t in stored] == ["COMPLETE", "FAIL", "RUNNING", "WAITING"]
    assert stored[0].values == [math.inf, -math.inf]


OPERATIONS = st.one_of(
    st.tuples(st.sampled_from(["ask", "save", "save", "refresh", "reopen"])),
    st.tuples(st.just("enqueue"), st.floats(0, 1)),
    st.tuples(st.just("suggest"), st.integers(0, 3), st.sampled_from("pqr")),
    st.tuples(st.just("report"), st.integers(0, 3), st.integers(0, 9), st.floats()),
    st.tuples(st.just("prune"), st.integers(0, 3)),
    st.tuples(
        st.just("set"),
        st.integers(0, 3),
        st.sampled_from("ab"),
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(0, 9), st.text(max_size=3)),
    ),
    st.tuples(st.just("tell"), st.integers(0, 3), st.one_of(st.none(), st.floats())),
)


@pytest.fixture(scope="module")
def storages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Storage, Storage]:
    """One for plain Optuna, one for working copies."""
    folder = tmp_path_factory.mktemp("storages")
    plain, copied = (Storage(f"sqlite:///{folder}/{i}.db") for i in range(2))
    return plain, copied


counter = itertools.count()


@settings(max_examples=60, deadline=None)
@given(st.lists(OPERATIONS, max_size=40))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_any_operations_end_as_in_plain_optuna(
    storages: tuple[Storage, Storage], operations: list[tuple[Any, ...]]
) -> None:
    name = f"s{next(counter)}"
    plain, stored = (
        optuna.create_study(
            study_name=name,
            storage=storage,
            sampler=RandomSampler(seed=0),
            pruner=SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
        )
        for storage in storages
    )
    copy = WorkingCopy(storages[1], stored)
    running: list[tuple[Trial, Trial]] = []
    for operation, *arguments in operations:
        if operation == "save":
            assert copy.save() == set()
        elif operation == "reopen":  # what runs now is nobody's
            copy.save()
            copy, running = WorkingCopy(storages[1], stored), []
        elif operation == "refresh":
            copy.refresh()
        elif operation == "ask":
            running.append((plain.ask(), copy.study.ask()))
        elif operation == "enqueue":
            for study in (plain, copy.study):
                study.enqueue_trial({"p": arguments[0]}, user_attrs={"queued": True})
        elif running:
            which, *values = arguments
            pair = running[which % len(running)]
            if operation == "suggest":
                a, b = (trial.suggest_float(*values, 0, 1) for trial in pair)
                assert a == b
            elif operation == "report":
                for trial in pair:
                    trial.report(values[1], values[0])
            elif operation == "prune":
                assert pair[0].should_prune() == pair[1].should_prune()
            elif operation == "set":
                for trial in pair:
                    trial.set_user_attr(*values)
            else:
                running.remove(pair)
                state = TrialState.PRUNED if values[0] is None else None
                plain.tell(pair[0], values[0], state=state)
                copy.study.tell(pair[1], values[0], state=state)
    copy.save()
    expected = contents(plain, times=False)
    assert contents(copy.study, times=False) == expected
    again = optuna.load_study(study_name=name, storage=storages[1].url)
    assert contents(again, times=False) == expected
    assert contents(again) == contents(copy.study)


def test_copies_that_take_turns_see_each_others_trials(url: str) -> None:
    optuna.create_study(study_name="s", storage=url)
    copies = [make_copy(url), make_copy(url)]
    running: list[tuple[WorkingCopy, Trial]] = []
    for turn in range(8):
        copy = copies[turn % 2]
        copy.refresh()
        trials = [copy.study.ask() for _ in range(2)]
        assert [trial.number for trial in trials] == [2 * turn, 2 * turn + 1]
        for trial in trials:
            suggest(trial)
        running += [(copy, trial) for trial in trials]
        copy.save()
        for _, trial in running:
            trial.report(float(turn), turn)
            trial.set_user_attr("turn", turn)
        copy, trial = running.pop(0)
        copy.study.tell(trial, float(-turn))
        for copy in copies:
            assert copy.save() == set()
        for copy in copies:
            copy.refresh()
            assert_saved(copy, url)
            assert copy.study.best_value == -turn


def test_a_trial_from_the_queue_is_taken_by_one_only(url: str) -> None:
    study = optuna.create_study(study_name="s", storage=url)
    for x in (0.25, 0.5, 0.75):
        study.enqueue_trial({"x": x})
    one, other = make_copy(url), make_copy(url)
    first = one.study.ask()
    seconds = [other.study.ask() for _ in range(2)]
    seconds[0].set_user_attr("too", "late")
    assert first.suggest_float("x", 0, 1) == seconds[0].suggest_float("x", 0, 1) == 0.25
    assert one.save() == set()
    assert other.save() == {0}
    trials = assert_saved(other, url)
    assert [t.state.name for t in trials] == ["RUNNING", "RUNNING", "WAITING"]
    assert trials[0].user_attrs == {}
    one.study.tell(first, 1.0)
    one.save()
    one.refresh()
    other.refresh()
    assert_saved(one, url)
    assert_saved(other, url)
    third = study.ask()  # plain Optuna takes the last one
    assert third.suggest_float("x", 0, 1) == 0.75
    assert one.study.ask().number == 2
    assert one.save() == {2}
    other.refresh()
    assert other.study.ask().number == 3


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("refreshed", [True, False])
def test_trials_that_others_ended_are_left_as_they_ended(
    told: bool, refreshed: bool, url: str
) -> None:
    study = optuna.create_study(study_name="s", storage=url)
    copy = make_copy(url)
    lost, kept, late = (copy.study.ask() for _ in range(3))
    copy.save()
    study.tell(lost.number, state=TrialState.FAIL)
    study.tell(late.number, 5.0)
    if refreshed:
        copy.refresh()
    for trial in (lost, kept):
        trial.report(1.0, 1)
        trial.set_user_attr("here", True)
        if told:
            copy.study.tell(trial, 2.0)
    assert copy.save() == {lost.number, late.number}
    trials = assert_saved(copy, url)
    assert [t.value for t in trials] == [None, 2.0 if told else None, 5.0]
    assert trials[0].user_attrs == {}
    assert trials[1].intermediate_values == {1: 1.0}
    assert copy.save() == set()


def test_others_trials_can_be_failed(url: str) -> None:
    study = optuna.create_study(study_name="s", storage=url)
    lost = study.ask()
    copy = make_copy(url)
    copy.study.tell(lost.number, state=TrialState.FAIL)
    copy.refresh()
    assert copy.study.trials[0].state == TrialState.FAIL
    assert copy.save() == set()
    assert assert_saved(copy, url)[0].state == TrialState.FAIL


def test_whoever_is_slower_gets_a_conflict_and_keeps_what_runs(url: str) -> None:
    optuna.create_study(study_name="s", storage=url)
    slow = make_copy(url)
    running = slow.study.ask()
    slow.save()
    quick = make_copy(url)
    quick.study.sampler = slow.study.sampler = make_sampler("qmc", 0, 0)
    suggest(slow.study.ask())
    suggest(quick.study.ask())
    quick.save()
    with pytest.raises(Conflict):
        slow.refresh()
    running.report(1.0, 1)
    with pytest.raises(Conflict):
        slow.save()
    with pytest.raises(Conflict):
        slow.refresh()
    assert slow.save() == set()
    slow.study.tell(running, 1.0)
    assert slow.save() == set()
    trials = assert_saved(make_copy(url), url)
    assert [t.state.name for t in trials] == ["COMPLETE", "RUNNING"]
    assert trials[0].intermediate_values == {1: 1.0}


@contextlib.contextmanager
def transactions(storage: Storage) -> Iterator[list[str]]:
    """Counts what begins."""
    begun: list[str] = []

    def begin(connection: sqlalchemy.Connection) -> None:
        begun.append("begin")

    sqlalchemy.event.listen(storage.engine, "begin", begin)
    yield begun
    sqlalchemy.event.remove(storage.engine, "begin", begin)


def test_a_batch_takes_a_handful_of_transactions(url: str) -> None:
    storage = Storage(url)
    copy = WorkingCopy(storage, optuna.create_study(study_name="s", storage=storage))
    with transactions(storage) as begun:
        copy.refresh()
        trials = [copy.study.ask() for _ in range(8)]
        for trial in trials:
            suggest(trial)
        copy.save()
    assert len(begun) == 3
    with transactions(storage) as begun:
        for trial in trials:
            for step in range(50):
                trial.report(1.0, step)
            copy.study.tell(trial, 1.0)
        copy.save()
    assert len(begun) == 1
    with transactions(storage) as begun:
        copy.save()
    assert len(begun) == 0
    assert_saved(copy, url)


# A process of its own, without all that this file imports.
WORKER = """
import sys, time
from pathlib import Path
import optuna
from hw1.optuna_store.storage import Storage
from hw1.optuna_store.working_copy import WorkingCopy

storage = Storage(sys.argv[1])
study = optuna.load_study(study_name="s", storage=storage, sampler=optuna.samplers.RandomSampler())
copy = WorkingCopy(storage, study)
Path(sys.argv[2]).touch()
while len(list(Path(sys.argv[2]).parent.glob("ready*"))) < 3:
    time.sleep(0.01)
for _ in range(10):
    with storage.lock:
        copy.refresh()
        trials = [copy.study.ask() for _ in range(3)]
        for trial in trials:
            trial.suggest_float("x", 0, 1)
        assert copy.save() == set()
    for step in range(10):
        for trial in trials:
            trial.report(1.0, step)
        assert copy.save() == set()
    for trial in trials:
        copy.study.tell(trial, trial.params["x"])
    assert copy.save() == set()
"""


def test_processes_share_a_study_and_its_queue(url: str, tmp_path: Path) -> None:
    study = optuna.create_study(study_name="s", storage=url)
    for i in range(20):
        study.enqueue_trial({"x": i / 20})
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, url, str(tmp_path / f"ready{i}")])
        for i in range(3)
    ]
    assert [worker.wait() for worker in workers] == [0] * 3
    trials = study.trials
    assert [trial.number for trial in trials] == list(range(90))
    assert all(trial.state == TrialState.COMPLETE for trial in trials)
    assert all(len(trial.intermediate_values) == 10 for trial in trials)
    assert [trial.value for trial in trials[:20]] == [i / 20 for i in range(20)]
    assert len({trial.value for trial in trials}) == 90
