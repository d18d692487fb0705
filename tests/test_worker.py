"""Batches of trials in real studies: what is asked for, trained, told, lost and given back."""

import gc
import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from conftest import TINY_CLASSIFICATION, TINY_CNN, TINY_REGRESSION, replacing, states, with_family
from optuna.trial import FrozenTrial, TrialState
from optuna_store.test_working_copy import transactions

from hw1.errors import InputError
from hw1.execution import execute
from hw1.job import Job, Options, prepare
from hw1.study import OUT_OF_MEMORY, Study
from hw1.training.lockstep import Lockstep
from hw1.watching import Watcher
from hw1.worker import Worker

LR = 'trial.suggest_float("lr", 1e-4, 1e-1, log=True, default=1e-2, grid=[1e-3, 1e-2, 1e-1])'
PLAIN = {"sampler": "random", "pruner": "none"}
# Widths, dropout and optimizers that differ, in batches of two sizes.
VARIED = TINY_REGRESSION.replace(
    '{"widths": [8]}',
    '{"widths": [trial.suggest_int("width", 2, 12)], '
    '"dropout": trial.suggest_float("dropout", 0.1, 0.5)}',
).replace('"adam"', 'trial.suggest_categorical("optimizer", ["adam", "sgd"])')
# About half of the networks have a layer without a unit.
REFUSING = TINY_REGRESSION.replace(
    '{"widths": [8]}', '{"widths": [trial.suggest_int("width", 0, 1)]}'
)
# Batch norm of single rows, which is refused when the training is made ready.
SINGLE_ROWS = TINY_REGRESSION.replace("[8]}", '[8], "batch_norm": True}').replace("16, 32", "1, 32")
ALWAYS_SINGLE_ROWS = (
    SINGLE_ROWS.replace("[1, 32]", "[1]")
    .replace('"batch_size", [1], default=32', '"batch_size", [1], default=1')
    .replace(
        "    return Configuration(",
        """    if trial.number >= 300:
        raise RuntimeError("this would go on for ever")
    return Configuration(""",
    )
)
ONE_BATCH_SIZE = TINY_REGRESSION.replace("16, 32", "32")


Hook = Callable[[Study, int], None]
"""Is called before every training step, with its number from 0."""


def make_worker(
    job: Job, trials_per_batch: int | None = None, *, hook: Hook | None = None, **options: Any
) -> Worker:
    study, dataset = prepare(job, Options(**options))
    steps = itertools.count()
    watcher = Watcher(on_step=lambda: hook(study, next(steps))) if hook else Watcher()
    objective = job.objective(study, dataset)
    return Worker(study, objective, trials_per_batch=trials_per_batch, watcher=watcher)


def work(job: Job, *args: Any, deadline: float = math.inf, **options: Any) -> Study:
    """Run a worker; the arguments are those of `make_worker`."""
    worker = make_worker(job, *args, **options)
    worker.run(deadline)
    return worker.study


def stacked(source: str) -> str:
    """``source`` with networks that share a batch only where they have one batch size."""
    code = "def forward(self, inputs):\n    return 1.0 * super().forward(inputs)"
    return with_family(source, code)


def stored(job: Job) -> Study:
    """The study as another process finds it."""
    return prepare(job, Options())[0]


@pytest.fixture
def saved_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is reported is saved before the next step."""
    monkeypatch.setattr("hw1.worker.SAVE_SECONDS", 0.0)


@pytest.fixture
def saved_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is reported is saved when a batch ends."""
    monkeypatch.setattr("hw1.worker.SAVE_SECONDS", 1e9)


def test_results_do_not_depend_on_the_size_of_batches(make_job: Callable[..., Job]) -> None:
    by_size: dict[int, list[FrozenTrial]] = {}
    for n in (1, 3, 8):
        job = make_job(VARIED, name=f"batches of {n}")
        by_size[n] = work(job, n, **PLAIN, n_trials=10, epochs=4).trials()
        assert [trial.number for trial in by_size[n]] == list(range(10))
        assert max(trial.user_attrs["trials_per_batch"] for trial in by_size[n]) <= n
    assert max(trial.user_attrs["trials_per_batch"] for trial in by_size[8]) > 1
    for n in (3, 8):
        for trial, alone in zip(by_size[n], by_size[1], strict=True):
            assert trial.params == alone.params
            assert trial.state == alone.state == TrialState.COMPLETE
            assert trial.value == pytest.approx(alone.value, rel=1e-4)
            for name in ("fold_scores", "std"):
                assert trial.user_attrs[name] == pytest.approx(alone.user_attrs[name], rel=1e-3)
            for name in ("configuration", "epochs", "best_epoch", "stopped", "n_parameters"):
                assert trial.user_attrs[name] == alone.user_attrs[name]
            assert trial.intermediate_values == pytest.approx(alone.intermediate_values, rel=1e-3)


def test_trials_say_how_they_were_trained(make_job: Callable[..., Job]) -> None:
    job = make_job(ONE_BATCH_SIZE, name="dense")
    for trial in work(job, 4, n_trials=6, **PLAIN).trials():
        assert trial.user_attrs["backend"] == "compiled"
        assert trial.user_attrs["precision"] == "float32"
        assert trial.user_attrs["trials_per_batch"] == (4 if trial.number < 4 else 2)
        assert trial.user_attrs["seconds"] >= 0
    job = replace(make_job(TINY_CNN, name="images"), precision="float32")
    study = work(job, 2, n_trials=2, n_splits=2, sampler="random", train_size=100)
    for trial in study.trials():
        assert (trial.user_attrs["backend"], trial.user_attrs["precision"]) == ("fused", "float32")


@pytest.mark.parametrize("size", [None, 2, 4, 32])
def test_a_grid_visits_every_cell_once_and_ends(
    size: int | None, make_job: Callable[..., Job]
) -> None:
    study = work(make_job(), size, sampler="grid", n_trials=2)
    assert study.progress().done == 2
    for _ in range(2):
        study = work(make_job(), size, sampler="grid", n_trials=100)
    cells = [(trial.params["lr"], trial.params["batch_size"]) for trial in study.trials()]
    assert sorted(cells) == [(lr, n) for lr in (1e-3, 1e-2, 1e-1) for n in (16, 32)]
    assert sorted(trial.user_attrs["grid_cell"] for trial in study.trials()) == list(range(6))
    assert study.progress().complete
    assert study.progress().n_trials == 6


@pytest.mark.parametrize(
    ("source", "reason"),
    [(REFUSING, "must be at least 1"), (SINGLE_ROWS, "batches of two examples")],
)
def test_refused_networks_do_not_count(
    source: str, reason: str, make_job: Callable[..., Job]
) -> None:
    study = work(make_job(source), 8, n_trials=10, **PLAIN)
    progress = study.progress()
    assert (progress.done, progress.completed, progress.running) == (10, 10, 0)
    refused = [trial for trial in study.trials() if "refused" in trial.user_attrs]
    assert len(refused) == progress.refused > 0
    for trial in refused:
        assert trial.state == TrialState.PRUNED
        assert reason in trial.user_attrs["refused"]
        assert trial.params.get("width") == 0 or trial.params["batch_size"] == 1
        assert not trial.intermediate_values


@pytest.mark.parametrize("size", [1, 8, 32])
@pytest.mark.parametrize(
    "source",
    [TINY_REGRESSION.replace('"widths": [8]', '"widths": [0]'), ALWAYS_SINGLE_ROWS],
    ids=["never built", "never trained"],
)
def test_a_search_space_without_a_network_ends(
    source: str, size: int, make_job: Callable[..., Job]
) -> None:
    job = make_job(source)
    with pytest.raises(InputError, match="consecutive configurations were invalid"):
        work(job, size, sampler="random", n_trials=500)
    study = stored(job)
    assert study.progress().done == 0
    assert 100 <= study.progress().refused < 100 + size
    assert "RUNNING" not in states(study)


def test_trials_are_pruned_within_a_batch(make_job: Callable[..., Job]) -> None:
    source = replacing(
        ONE_BATCH_SIZE, LR, 'trial.suggest_categorical("lr", [1e-12, 3e-3, 3e-2], default=3e-3)'
    )
    job = make_job(source)
    study, _ = prepare(job, Options(n_trials=8, sampler="random", pruner="median", epochs=12))
    hopeless, good = (4, 6), (5, 7)
    for number in range(8):
        lr = 1e-12 if number in hopeless else 3e-2 if number in good else 3e-3
        study.optuna_study.enqueue_trial({"lr": lr, "batch_size": 32})
    study = work(job, 4)
    trials = study.trials()
    assert [trial.user_attrs["trials_per_batch"] for trial in trials] == [4] * 8
    for number in hopeless:
        assert trials[number].state == TrialState.PRUNED
        assert trials[number].user_attrs["stopped"] == "pruned"
        assert list(trials[number].intermediate_values) == [1, 2, 3]
    for number in (0, 1, 2, 3, *good):
        assert trials[number].state == TrialState.COMPLETE
        assert list(trials[number].intermediate_values) == list(range(1, 13))
    assert (study.progress().completed, study.progress().pruned) == (6, 2)


@pytest.mark.parametrize("saving", ["saved_always", "saved_at_the_end"])
def test_a_trial_that_another_process_failed_is_left_alone(
    saving: str, make_job: Callable[..., Job], request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(saving)
    job = make_job(ONE_BATCH_SIZE)

    def hook(study: Study, step: int) -> None:
        if step == 4:  # in the second epoch
            trial = stored(job).trials()[1]
            assert trial.state == TrialState.RUNNING
            study.storage.set_trial_user_attr(trial._trial_id, "failure", OUT_OF_MEMORY)
            study.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)

    study = work(job, 4, hook=hook, n_trials=4, epochs=6, **PLAIN)
    assert states(study) == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    lost = study.trials()[1]
    assert lost.value is None
    assert "fold_scores" not in lost.user_attrs
    assert len(lost.intermediate_values) < 6
    for number in (0, 2, 3):
        assert list(study.trials()[number].intermediate_values) == [1, 2, 3, 4, 5, 6]


def test_a_lost_trial_is_made_up_for(make_job: Callable[..., Job], saved_at_the_end: None) -> None:
    study = work(make_job(ONE_BATCH_SIZE), 4, hook=losing_the_second(2), n_trials=4, **PLAIN)
    assert states(study) == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]


def losing_the_second(at: int, then: BaseException | None = None) -> Hook:
    """Fails trial 1 as another process may, and raises ``then`` a step later."""

    def hook(study: Study, step: int) -> None:
        if step == at:
            study.optuna_study.tell(1, state=TrialState.FAIL)
        if step == at + 1 and then is not None:
            raise then

    return hook


@pytest.mark.parametrize("n_trials", [2, 4])
def test_an_exception_after_a_trial_was_lost_is_the_one_that_is_raised(
    n_trials: int, make_job: Callable[..., Job], saved_always: None
) -> None:
    job = make_job(ONE_BATCH_SIZE)
    hook = losing_the_second(4, ZeroDivisionError("so it is"))
    with pytest.raises(ZeroDivisionError, match="so it is"):
        work(job, 4, hook=hook, n_trials=n_trials, sampler="random", epochs=6)
    study = stored(job)
    assert states(study) == ["FAIL"] * n_trials
    failures = [trial.user_attrs.get("failure") for trial in study.trials()]
    assert failures.pop(1) is None
    assert failures == ["ZeroDivisionError: so it is"] * (n_trials - 1)


def test_a_lost_trial_is_not_retried_when_its_batch_lacks_memory(
    make_job: Callable[..., Job], saved_always: None
) -> None:
    hook = losing_the_second(4, MemoryError("too much"))
    study = work(make_job(ONE_BATCH_SIZE), 4, hook=hook, n_trials=4, epochs=6, **PLAIN)
    # Another one stands in for it.
    assert states(study) == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    lost = study.trials()[1]
    assert "failure" not in lost.user_attrs
    assert len(lost.intermediate_values) < 6


def test_a_lost_trial_may_diverge(make_job: Callable[..., Job], saved_always: None) -> None:
    lr = 'trial.suggest_categorical("lr", [1e-2, 1e30], default=1e-2)'
    source = replacing(ONE_BATCH_SIZE, LR, lr).replace("adam", "sgd")
    job = make_job(source)
    study, _ = prepare(job, Options(n_trials=3, epochs=6, **PLAIN))
    for lr in (1e-2, 1e30, 1e-2):
        study.optuna_study.enqueue_trial({"lr": lr, "batch_size": 32})
    study = work(job, 3, hook=losing_the_second(0))
    assert states(study)[:3] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert "stopped" not in study.trials()[1].user_attrs
    assert study.progress().complete


class Until(float):
    """A deadline that passes with the first step, not with time."""

    passed = False

    def __gt__(self, now: float) -> bool:
        return not self.passed

    def hook(self, study: Study, step: int) -> None:
        self.passed = True


def test_after_the_deadline_what_is_not_trained_is_given_back(make_job: Callable[..., Job]) -> None:
    job, deadline = make_job(stacked(TINY_REGRESSION)), Until()  # some have to wait
    study = work(job, 8, hook=deadline.hook, deadline=deadline, n_trials=8, **PLAIN)
    first = study.trials()[:8]
    trained = [trial for trial in first if trial.state == TrialState.COMPLETE]
    assert 0 < len(trained) < 8
    assert {trial.params["batch_size"] for trial in trained} == {first[0].params["batch_size"]}
    for trial in first:
        if trial not in trained:
            assert trial.state == TrialState.FAIL
            assert "failure" not in trial.user_attrs
    progress = study.progress()
    assert (progress.done, progress.interrupted) == (len(trained), 8 - len(trained))
    # The next run trains them.
    assert states(study)[8:] == ["WAITING"] * (8 - len(trained))
    study = work(job, 8)
    assert states(study)[:8] == [trial.state.name for trial in first]
    assert states(study)[8:] == ["COMPLETE"] * (8 - len(trained))
    assert [t.params for t in study.trials()[8:]] == [t.params for t in first if t not in trained]
    assert study.progress().complete


def test_cells_that_were_given_back_are_visited_again(make_job: Callable[..., Job]) -> None:
    job, deadline = make_job(stacked(TINY_REGRESSION)), Until()
    options = {"sampler": "grid", "pruner": "none"}
    given_back = work(job, 6, hook=deadline.hook, deadline=deadline, **options)
    assert states(given_back).count("FAIL") == 3
    study = work(job, 6)
    completed = [t for t in study.trials() if t.state == TrialState.COMPLETE]
    assert sorted(trial.user_attrs["grid_cell"] for trial in completed) == list(range(6))


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_exception_fails_the_running_trials(
    error: type[BaseException], make_job: Callable[..., Job]
) -> None:
    job = make_job(stacked(TINY_REGRESSION))  # some of the trials are not being trained yet

    def hook(study: Study, step: int) -> None:
        if step == 4:  # in the second epoch
            raise error("so it is")

    with pytest.raises(error, match="so it is"):
        work(job, 8, hook=hook, n_trials=8, epochs=6, **PLAIN)
    study = stored(job)
    lost, queued = study.trials()[:8], study.trials()[8:]
    assert states(study) == ["FAIL"] * 8 + ["WAITING"] * len(queued)
    assert study.progress().done == 0
    failures = {trial.user_attrs.get("failure") for trial in lost}
    named = "ZeroDivisionError: so it is"
    assert failures == ({named, None} if error is ZeroDivisionError else {None})
    # What was not to blame begins again.
    innocent = [trial for trial in lost if "failure" not in trial.user_attrs]
    assert [t.user_attrs["retry_of"] for t in queued] == [t.number for t in innocent]
    assert [t.system_attrs["fixed_params"] for t in queued] == [t.params for t in innocent]
    # What was reported before is there.
    assert {tuple(trial.intermediate_values) for trial in lost} == {(), (1,)}
    assert states(work(job, 8)) == ["FAIL"] * 8 + ["COMPLETE"] * 8


def test_an_exception_while_asking_fails_what_was_asked_for(make_job: Callable[..., Job]) -> None:
    source = with_family(
        replacing(ONE_BATCH_SIZE, "[8]", '[trial.suggest_int("width", 1, 1000)]'),
        """
built = []

def __init__(self, *args, **kwargs):
    super().__init__(*args, **kwargs)
    self.built.append(None)
    if len(self.built) == 3:
        raise ZeroDivisionError("the third")
""",
    )
    job = make_job(source)
    with pytest.raises(ZeroDivisionError, match="the third"):
        work(job, 4, sampler="random")
    study = stored(job)
    assert states(study) == ["FAIL"] * 3 + ["WAITING"] * 2
    failures = [t.user_attrs.get("failure") for t in study.trials()[:3]]
    assert failures == [None, None, "ZeroDivisionError: the third"]
    assert study.progress().done == 0


def test_a_batch_that_lacks_memory_is_trained_one_by_one(make_job: Callable[..., Job]) -> None:
    # Networks of one trial fit, those of four do not.
    source = with_family(
        replacing(ONE_BATCH_SIZE, "def search_space", "import gc, weakref\n\ndef search_space"),
        """
living = weakref.WeakSet()

def __init__(self, *args, **kwargs):
    super().__init__(*args, **kwargs)
    self.living.add(self)
    if len(self.living) > 7:
        gc.collect()
    if len(self.living) > 7:
        raise MemoryError("there is room for seven")
""",
    )
    study = work(make_job(source), 4, n_trials=8, **PLAIN)
    assert states(study) == ["COMPLETE"] * 8
    for trial in study.trials():
        assert trial.user_attrs["trials_per_batch"] == 1
        assert "failure" not in trial.user_attrs


def n_parameters() -> int:
    """How many all the networks have together that are being trained or not yet forgotten."""
    gc.collect()
    found = [thing for thing in gc.get_objects() if type(thing) is Lockstep]
    return sum(models.parameters.numel() for models in found)


def test_a_failed_batch_frees_its_memory_before_its_trials_are_trained_alone(
    make_job: Callable[..., Job],
) -> None:
    def hook(study: Study, step: int) -> None:
        # Twice in a training: looking at all objects takes long.
        if step % 6 == 3 and n_parameters() > 200:
            raise MemoryError("there is room for 200 parameters")

    job = make_job(ONE_BATCH_SIZE)  # 3 folds of 25 parameters
    study = work(job, 4, hook=hook, n_trials=4, **PLAIN)
    assert states(study) == ["COMPLETE"] * 4
    assert {trial.user_attrs["trials_per_batch"] for trial in study.trials()} == {1}
    assert all(list(trial.intermediate_values) == [1, 2] for trial in study.trials())


def test_a_trial_that_lacks_memory_alone_fails_and_counts(make_job: Callable[..., Job]) -> None:
    source = with_family(
        replacing(ONE_BATCH_SIZE, "[8]", '[trial.suggest_int("width", 1, 2)]'),
        """
def named_parameters(self, *args, **kwargs):
    if self.layers[1].out_features == 2:
        raise MemoryError("there is room for one unit")
    return super().named_parameters(*args, **kwargs)
""",
    )
    study = work(make_job(source), 4, n_trials=8, **PLAIN)
    assert len(study.trials()) == 8
    assert {trial.params["width"] for trial in study.trials()} == {1, 2}
    for trial in study.trials():
        fits = trial.params["width"] == 1
        assert trial.state == (TrialState.COMPLETE if fits else TrialState.FAIL)
        assert trial.user_attrs.get("failure") == (None if fits else OUT_OF_MEMORY)
    assert study.progress().complete


@pytest.mark.parametrize("sampler", ["random", "grid"])
def test_several_processes_with_batches_share_a_study(
    sampler: str, make_job: Callable[..., Job]
) -> None:
    job = replace(make_job(), trials_per_batch=2)
    n_trials = 6 if sampler == "grid" else 11
    study, dataset = prepare(job, Options(n_trials=n_trials, sampler=sampler, pruner="none"))
    ticks: list[int] = []
    execute(job, study, dataset, jobs=3, watcher=Watcher(on_step=lambda: ticks.append(1)))
    assert ticks
    assert states(study) == ["COMPLETE"] * n_trials
    assert [trial.number for trial in study.trials()] == list(range(n_trials))
    if sampler == "grid":
        cells = [trial.user_attrs["grid_cell"] for trial in study.trials()]
        assert sorted(cells) == list(range(6))


def test_transactions_grow_with_batches_alone(
    make_job: Callable[..., Job], saved_at_the_end: None
) -> None:
    def count(size: int, n_trials: int, epochs: int = 2) -> int:
        job = make_job(ONE_BATCH_SIZE, f"{size} {n_trials} {epochs}")
        worker = make_worker(job, size, n_trials=n_trials, epochs=epochs, **PLAIN)
        with transactions(worker.study.storage) as begun:
            worker.run()
        assert states(worker.study) == ["COMPLETE"] * n_trials
        return len(begun)

    once, twice, four_times, alone = (count(size, 16) for size in (16, 8, 4, 1))
    assert once < twice < four_times < alone
    assert four_times - twice == 2 * (twice - once)  # as much for each batch
    assert once == count(4, 4) == count(16, 16, 20) < 16 * 20  # whatever its trials and epochs


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"sampler": "tpe", "n_trials": 50}, 5),
        ({"sampler": "tpe", "n_trials": 4}, 1),
        ({"sampler": "cmaes", "n_trials": 30}, 3),
        ({"sampler": "gp", "n_trials": 1000}, 32),
        ({"sampler": "random", "n_trials": 20}, 2),  # the pruner learns
        ({"sampler": "random", "n_trials": 20, "pruner": "none"}, 20),
        ({"sampler": "qmc", "n_trials": 100, "pruner": "none"}, 32),
        ({"sampler": "grid", "pruner": "none"}, 6),
    ],
    ids=str,
)
def test_a_worker_chooses_how_many_trials_it_asks_for(
    options: dict[str, object], expected: int, make_job: Callable[..., Job]
) -> None:
    worker = make_worker(make_job(), **options)
    assert len(worker.ask()) == expected
    assert states(worker.study) == ["RUNNING"] * expected


def test_a_number_that_is_given_is_what_is_asked_for(make_job: Callable[..., Job]) -> None:
    assert len(make_worker(make_job(), 7, sampler="tpe", n_trials=10).ask()) == 7
    images = make_worker(make_job(TINY_CNN, "images"), 3, sampler="random", n_trials=10)
    assert len(images.ask()) == 3


def test_as_much_is_asked_for_as_takes_about_a_second(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"n_trials": 10, **PLAIN}
    dense = make_worker(make_job(TINY_CLASSIFICATION, "dense"), **options)
    candidates = dense.ask()
    assert len(candidates) == 10
    operations = candidates[0].footprint.operations * 3 * candidates[0].configuration.epochs
    for n in (1, 4):
        limit = (n - 0.5) * operations / torch.get_num_threads()
        monkeypatch.setattr("hw1.worker.MOST_OPERATIONS", limit)
        job = make_job(TINY_CLASSIFICATION.replace("[16, 32]", "[32]"), f"{n}")
        assert len(make_worker(job, **options).ask()) == n
    # Convolutions take long: theirs are begun one after another.
    images = make_worker(make_job(TINY_CNN.replace("epochs=2", "epochs=100"), "images"), **options)
    assert len(images.ask()) == 1


def test_of_all_processes_together_a_tenth_is_asked_for(make_job: Callable[..., Job]) -> None:
    workers = [make_worker(make_job(), sampler="tpe", n_trials=40) for _ in range(3)]
    # But none is left without work.
    assert [len(worker.ask()) for worker in workers] == [4, 1, 1]
