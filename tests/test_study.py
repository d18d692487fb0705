import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from conftest import TINY_REGRESSION, run, sql, states
from optuna.trial import FrozenTrial, TrialState

from hw1.datasets import Dataset, function
from hw1.errors import InputError
from hw1.execution import execute
from hw1.job import Job, Options, prepare
from hw1.optuna_store.storage import Storage
from hw1.processes import start_time
from hw1.study import MOST_CRASHES, OUT_OF_MEMORY, Study
from hw1.worker import Worker

# Half of the networks have a layer without a unit.
REFUSING = TINY_REGRESSION.replace("[8]", '[trial.suggest_int("width", 0, 1, grid=[0, 1])]')
TOO_LARGE = TINY_REGRESSION.replace('"widths": [8]', '"widths": [10**14]')


def ask(job: Job, study: Study, dataset: Dataset) -> FrozenTrial | None:
    """A trial as a worker asks for it; None if the study has all."""
    objective = job.objective(study, dataset)
    found = Worker(study, objective, trials_per_batch=1).ask()
    return study.trials()[found[0].trial.number] if found else None


def test_the_target_is_a_total(make_job: Callable[..., Job]) -> None:
    job = make_job()
    assert len(run(job, n_trials=3).trials()) == 3
    assert len(run(job, n_trials=5).trials()) == 5
    study = run(job)
    assert len(study.trials()) == 5
    assert study.progress().complete
    assert study.progress().state == "complete"
    # What there is already is not taken away.
    study = run(job, n_trials=4)
    assert (len(study.trials()), study.n_trials) == (5, 5)


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_stopping_changes_nothing(sampler: str, make_job: Callable[..., Job]) -> None:
    straight = run(make_job(name="straight"), n_trials=6, sampler=sampler, pruner="none")
    for n_trials in (2, 4, 6):
        stopped = run(make_job(name="stopped"), n_trials=n_trials, sampler=sampler, pruner="none")
    assert [t.params for t in stopped.trials()] == [t.params for t in straight.trials()]
    assert [t.value for t in stopped.trials()] == [t.value for t in straight.trials()]
    assert stopped.splits().hash == straight.splits().hash == straight.settings.splits


def test_best_of_nothing_is_an_input_error(make_study: Callable[..., Study]) -> None:
    with pytest.raises(InputError, match="no trial of 'tiny' has completed"):
        make_study().best_trial()


def test_running_out_of_memory_fails_the_trial_and_the_study_goes_on(
    make_job: Callable[..., Job],
) -> None:
    study = run(make_job(TOO_LARGE), n_trials=2)
    assert states(study) == ["FAIL"] * 2
    assert all(t.user_attrs["failure"] == OUT_OF_MEMORY for t in study.trials())
    assert study.progress().complete


def test_a_grid_makes_up_for_interrupted_cells_but_not_for_others(
    make_job: Callable[..., Job],
) -> None:
    job = make_job()
    study, dataset = prepare(job, Options(sampler="grid"))
    for outcome in ("interrupted", "out of memory", "pruned"):
        trial = ask(job, study, dataset)
        assert trial is not None
        if outcome == "out of memory":
            study.storage.set_trial_user_attr(trial._trial_id, "failure", OUT_OF_MEMORY)
        state = TrialState.PRUNED if outcome == "pruned" else TrialState.FAIL
        study.optuna_study.tell(trial.number, state=state)
    execute(job, study, dataset)
    visits = [t.user_attrs["grid_cell"] for t in study.trials()]
    assert sorted(visits[1:]) == [0, 1, 2, 3, 4, 5]
    assert visits.count(visits[0]) == 2


def test_refused_cells_are_visited_and_not_waited_for(make_job: Callable[..., Job]) -> None:
    study = run(make_job(REFUSING), sampler="grid")
    p = study.progress()
    assert (p.refused, p.done, p.n_trials, p.complete) == (6, 6, 6, True)
    assert sorted(t.user_attrs["grid_cell"] for t in study.trials()) == list(range(12))


def test_trials_of_dead_processes_fail_and_those_of_living_ones_stay(
    make_job: Callable[..., Job], url: str
) -> None:
    job = make_job()
    study, dataset = prepare(job, Options(n_trials=2))

    def set_worker(trial: FrozenTrial | None, **changes: object) -> None:
        assert trial is not None
        study.storage.set_trial_user_attr(trial._trial_id, "worker", {**worker, **changes})

    ours, theirs = (ask(job, study, dataset) for _ in range(2))
    assert ours is not None
    assert ask(job, study, dataset) is None
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], stdout=-1)
    worker = ours.user_attrs["worker"]
    set_worker(theirs, pid=int(dead.stdout), start="0")
    study.fail_orphans()
    assert states(study) == ["RUNNING", "FAIL", "WAITING"]
    # The dead one's place is free again; a process of the same number is not the same process.
    set_worker(ask(job, study, dataset), start="0")
    study.fail_orphans()
    assert states(study) == ["RUNNING", "FAIL", "FAIL", "WAITING"]
    # Of other machines nothing is known.
    set_worker(ask(job, study, dataset), host="elsewhere", pid=int(dead.stdout))
    study.fail_orphans(own=True)
    assert states(study) == ["FAIL", "FAIL", "FAIL", "RUNNING", "WAITING"]
    # Until its last heartbeat is too long ago.
    sql(url, "UPDATE trial_heartbeats SET heartbeat = '2020-01-01 00:00:00.000000'")
    study.fail_orphans()
    assert states(study) == ["FAIL", "FAIL", "FAIL", "FAIL", "WAITING", "WAITING"]
    execute(job, study, dataset)
    assert study.progress().done == 2
    ended = {tuple(t.params.items()) for t in study.trials() if t.state == TrialState.COMPLETE}
    assert ended == {tuple(study.trials()[i].params.items()) for i in (0, 1)}
    assert [t.user_attrs.get("retry_of") for t in study.trials()] == [None, None, 1, 2, 0, 3]


def test_what_kills_its_process_again_and_again_is_given_up(make_job: Callable[..., Job]) -> None:
    job = make_job()
    study, dataset = prepare(job, Options(n_trials=1))
    for _ in range(MOST_CRASHES + 1):
        trial = ask(job, study, dataset)
        assert trial is not None
        assert trial.params == study.trials()[0].params
        worker = {**trial.user_attrs["worker"], "start": "0"}
        study.storage.set_trial_user_attr(trial._trial_id, "worker", worker)
        study.fail_orphans()
    assert states(study) == ["FAIL", "FAIL", "FAIL", "FAIL"]
    # What was stopped on purpose is not.
    for _ in range(MOST_CRASHES + 1):
        assert ask(job, study, dataset) is not None
        study.fail_orphans(own=True)
    assert states(study)[-2:] == ["FAIL", "WAITING"]


def test_a_study_begins_with_the_defaults(make_job: Callable[..., Job]) -> None:
    study = run(make_job(), n_trials=2, sampler="random")
    assert study.trials()[0].params == {"lr": 1e-2, "batch_size": 32}
    assert study.trials()[1].params != study.trials()[0].params


def test_a_process_that_nobody_buried_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.read()  # until it closes its end
    while Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        os.sched_yield()
    os.kill(child.pid, 0)  # it still has its number
    assert start_time(child.pid) is None
    child.stdout.close()
    child.wait()


def test_trials_that_plain_optuna_runs_are_left_alone(make_study: Callable[..., Study]) -> None:
    study = make_study()
    study.optuna_study.ask()
    study.fail_orphans(own=True)
    assert states(study) == ["RUNNING"]


def test_what_is_queued_by_hand_comes_first_and_counts(make_job: Callable[..., Job]) -> None:
    job = make_job()
    study, dataset = prepare(job, Options(n_trials=2))
    study.optuna_study.enqueue_trial({"lr": 0.05, "batch_size": 16})
    execute(job, study, dataset)
    assert len(study.trials()) == 2
    assert study.trials()[0].params == {"lr": 0.05, "batch_size": 16}


def test_plain_optuna_reads_and_continues_the_study(make_job: Callable[..., Job], url: str) -> None:
    job = make_job()
    study = run(job, n_trials=2)
    plain = optuna.load_study(study_name="tiny", storage=url)
    assert plain.best_params == study.best_trial().params
    assert plain.metric_names == ["mean_squared_error"]
    assert plain.user_attrs["settings"]["epochs"] == 2
    objective = job.objective(study, function.load("train", job.data_dir))
    plain.optimize(objective, n_trials=1)
    assert len(study.trials()) == 3


def test_foreign_and_unknown_studies_are_input_errors(
    make_study: Callable[..., Study], url: str
) -> None:
    study = make_study()
    optuna.create_study(storage=url, study_name="foreign")
    with pytest.raises(InputError, match="not made by hw1"):
        Study(study.storage, "foreign")
    optuna.load_study(storage=url, study_name="foreign").set_user_attr("settings", {"lr": 1})
    with pytest.raises(InputError, match="not those of hw1"):
        Study(study.storage, "foreign")
    with pytest.raises(InputError, match="did you mean 'tiny'"):
        Study(study.storage, "tinny")


@pytest.mark.parametrize("directions", [["maximize"], ["minimize", "minimize"]])
def test_a_study_of_somebody_elses_is_not_taken_over(
    directions: list[str], make_job: Callable[..., Job]
) -> None:
    job = make_job()
    optuna.create_study(storage=job.storage_url, study_name="tiny", directions=directions)
    with pytest.raises(InputError, match="not made by hw1"):
        prepare(job, Options())
    # Nor is one that pretends to be ours.
    ours = prepare(replace(job, name="ours"), Options())[0]
    theirs = optuna.load_study(storage=job.storage_url, study_name="tiny")
    for name, value in ours.optuna_study.user_attrs.items():
        theirs.set_user_attr(name, value)
    with pytest.raises(InputError, match="its mean_squared_error is to minimize"):
        prepare(job, Options())


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("study_user_attributes", "value_json = '{'"),
        ("study_user_attributes", "value_json = '7'"),
        ("study_user_attributes", """value_json = '{"metric": []}'"""),
        ("study_system_attributes", "value_json = '\"abc\"'"),
        ("study_directions", "direction = 'SIDEWAYS'"),
        ("trials", "state = 'LOST'"),
        ("trial_params", "distribution_json = '{}'"),
        ("trial_user_attributes", "value_json = 'nonsense'"),
        ("trial_user_attributes", "value_json = CAST(x'ff' AS TEXT)"),
        ("trial_values", "value_type = 'LARGE'"),
        ("trial_values", "value = 'x'"),
        ("trial_intermediate_values", "intermediate_value = 'x'"),
        ("trial_params", "param_value = '1e400' WHERE param_name = 'batch_size'"),
        ("trials", "number = NULL"),
        ("trials", "number = 7"),
        ("trial_user_attributes", "value_json = '7' WHERE key = 'fold_scores'"),
        ("study_user_attributes", "value_json = '" + "[" * 5000 + "'"),
    ],
)
def test_a_damaged_study_is_an_input_error(
    table: str, change: str, make_job: Callable[..., Job]
) -> None:
    job = make_job()
    run(job, n_trials=1)
    sql(job.storage_url, f"UPDATE {table} SET {change}")
    with pytest.raises(InputError, match=r"damaged|cannot be used|not those of hw1"):
        study = Study(Storage(job.storage_url), "tiny")
        study.progress()
        study.splits()
