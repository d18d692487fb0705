import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
import torch
from conftest import TINY_CLASSIFICATION, TINY_REGRESSION, at_once, states, with_family

from hw1.cross_validation import Splits
from hw1.errors import InputError
from hw1.execution import execute
from hw1.job import Job, Options, prepare
from hw1.optuna_store.storage import Storage
from hw1.study import Study

CSV = "x,label\n" + "".join(f"{i},{i * i % 7}\n" for i in range(30))


def test_what_is_left_out_comes_from_the_study_then_from_the_definition(
    make_job: Callable[..., Job],
) -> None:
    job = make_job()
    study, dataset = prepare(job, Options(seed=3, epochs=7, pruner="none"))
    s = study.settings
    assert (s.sampler, s.pruner, s.n_splits, s.epochs, s.seed) == ("tpe", "none", 3, 7, 3)
    assert (s.dataset, s.n_rows, s.fingerprint) == ("function", 100, dataset.fingerprint)
    assert study.n_trials == 4
    again, _ = prepare(job, Options(n_trials=9))
    assert again.settings == s
    assert again.n_trials == 9
    assert prepare(job, Options())[0].n_trials == 9


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (Options(n_splits=4), "made with --folds 3: leave --folds 4 out"),
        (Options(epochs=3), "made with --epochs 2"),
        (Options(seed=1), "made with --seed 0"),
        (Options(sampler="random"), "made with --sampler tpe"),
        (Options(pruner="none"), "made with --pruner median"),
        (Options(train_size=50), "made without --train-size"),
        (Options(train_csv="x.csv"), "made without --train-csv"),
        (Options(test_csv="x.csv"), "made without --test-csv"),
        (Options(target="x"), "made without --target"),
    ],
)
def test_a_stored_study_is_not_continued_with_other_settings(
    options: Options, reason: str, make_job: Callable[..., Job]
) -> None:
    job = make_job()
    prepare(job, Options())
    with pytest.raises(InputError, match=reason):
        prepare(job, options)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("1e-4, 1e-1", "1e-5, 1e-1", "lr differs"),
        ("[16, 32], default", "[16, 32, 64], default", "batch_size differs"),
        ("[8]", "[9]", "other configurations of the same parameters"),
        ('optimizer="adam"', 'momentum=trial.suggest_float("momentum", 0, 0.9)', "momentum is new"),
    ],
)
def test_a_changed_search_space_is_refused(
    old: str, new: str, reason: str, make_job: Callable[..., Job]
) -> None:
    prepare(make_job(), Options())
    with pytest.raises(InputError, match=f"search space of 'tiny' has changed.*{reason}"):
        prepare(make_job(TINY_REGRESSION.replace(old, new)), Options())


def test_a_changed_comment_is_no_changed_search_space(make_job: Callable[..., Job]) -> None:
    prepare(make_job(), Options())
    prepare(make_job("# Mine.\n" + TINY_REGRESSION), Options())


def test_a_changed_grid_is_refused_in_a_grid_study_alone(make_job: Callable[..., Job]) -> None:
    changed = TINY_REGRESSION.replace("[1e-3, 1e-2, 1e-1]", "[1e-3, 1e-2]")
    prepare(make_job(name="tpe"), Options())
    prepare(make_job(changed, name="tpe"), Options())
    prepare(make_job(name="grid"), Options(sampler="grid"))
    with pytest.raises(InputError, match="the grid or the defaults differ"):
        prepare(make_job(changed, name="grid"), Options())


def test_a_study_keeps_the_metric_that_it_was_made_with(make_job: Callable[..., Job]) -> None:
    other = TINY_REGRESSION.replace("n_trials=4", 'n_trials=4, metric="mean_absolute_error"')
    study, _ = prepare(make_job(other), Options())
    assert (study.metric.name, study.metric.direction) == ("mean_absolute_error", "minimize")
    with pytest.raises(InputError, match="scored by mean_absolute_error, its definition now by"):
        prepare(make_job(), Options())


def test_a_study_keeps_the_facts_of_its_data(make_job: Callable[..., Job], url: str) -> None:
    job = make_job(TINY_CLASSIFICATION)
    study, dataset = prepare(job, Options())
    facts = {
        "input_shape": [1, 8, 8],
        "n_outputs": 10,
        "class_names": list("0123456789"),
        "feature_names": [],
        "target_name": "digit",
    }
    assert study.facts == dataset.facts == facts
    storage = study.storage
    study_id = storage.get_study_id_from_name(study.name)
    storage.set_study_system_attr(study_id, "hw1:facts", None)  # as before there were any
    assert Study(storage, study.name).facts is None
    storage.set_study_system_attr(study_id, "hw1:facts", {"input_shape": 3})
    with pytest.raises(InputError, match="tiny"):
        _ = Study(storage, study.name).facts


def test_changed_data_are_refused(make_job: Callable[..., Job], tmp_path: Path) -> None:
    csv = tmp_path / "train.csv"
    csv.write_text(CSV)
    options = Options(train_csv=str(csv))
    study, dataset = prepare(make_job(), options)
    assert (study.settings.dataset, len(dataset)) == ("train", 30)
    assert prepare(make_job(), Options())[0].settings.train_csv == str(csv)
    csv.write_text(CSV.replace("3,2", "3,2.5"))
    with pytest.raises(InputError, match="training examples of 'tiny' have changed"):
        prepare(make_job(), options)


def test_a_study_of_another_definition_is_not_continued(make_job: Callable[..., Job]) -> None:
    job = make_job()
    prepare(job, Options())
    with pytest.raises(InputError, match="not of other"):
        prepare(replace(job, definition_name="other"), Options())


def test_a_part_of_the_rows_is_stratified_and_stays_the_same(make_job: Callable[..., Job]) -> None:
    job = make_job(TINY_CLASSIFICATION)
    study, dataset = prepare(job, Options(train_size=200))
    counts = torch.bincount(dataset.targets)
    assert len(dataset) == 200
    assert int(counts.max() - counts.min()) <= 1
    assert prepare(job, Options())[1].fingerprint == dataset.fingerprint
    assert study.settings.train_size == 200


def test_who_is_late_to_make_a_study_takes_the_other_ones_rows(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, seen = make_job(), iter([[]])
    prepare(job, Options(train_size=50))
    monkeypatch.setattr(Storage, "study_names", lambda storage: next(seen, [job.name]))
    study, dataset = prepare(job, Options())
    assert (study.settings.train_size, len(dataset)) == (50, 50)


def test_a_grid_study_needs_a_grid(make_job: Callable[..., Job]) -> None:
    job = make_job(re.sub(r", grid=\[.*?\]", "", TINY_REGRESSION))
    prepare(job, Options())
    with pytest.raises(InputError, match="no parameter has a grid"):
        prepare(replace(job, name="grid"), Options(sampler="grid"))


def prepare_at_once(job: Job, barrier: object) -> None:
    barrier.wait()  # type: ignore[attr-defined]
    prepare(job, Options())


def test_processes_that_make_the_same_study_at_once_make_one(make_job: Callable[..., Job]) -> None:
    job = make_job()
    at_once(prepare_at_once, job)
    assert optuna.get_all_study_names(job.storage_url) == ["tiny"]


@pytest.mark.parametrize(
    ("statement", "error", "words", "failure"),
    [
        ("raise ZeroDivisionError", RuntimeError, "a worker process stopped early", "ZeroDivision"),
        ('raise InputError("no such thing")', InputError, "see the error above", "InputError: no"),
    ],
)
def test_a_worker_that_dies_ends_the_run_loudly(
    statement: str, error: type[Exception], words: str, failure: str, make_job: Callable[..., Job]
) -> None:
    job = make_job(in_children(statement))
    study, dataset = prepare(job, Options(n_trials=100_000, sampler="random"))
    with pytest.raises(error, match=words):
        execute(job, study, dataset, jobs=2)
    assert "RUNNING" not in states(study)
    failures = {t.user_attrs["failure"] for t in study.trials() if "failure" in t.user_attrs}
    assert [text.startswith(failure) for text in failures] == [True]


def in_children(statement: str) -> str:
    """A study that does something in further processes, where the first one trains."""
    code = f"""
def __init__(self, *args, **kwargs):
    from multiprocessing import parent_process
    from hw1.errors import InputError
    if parent_process() is not None:
        {statement}
    super().__init__(*args, **kwargs)
"""
    return with_family(TINY_REGRESSION, code)


def test_a_part_of_a_nested_cross_validation_sees_the_rows_outside_its_fold(
    make_job: Callable[..., Job],
) -> None:
    job = make_job()
    _, every = prepare(job, Options(seed=3))
    outer = Splits.draw_outer(every, 4, 3)
    for fold in range(4):
        part = replace(job, name=f"part {fold}")
        study, dataset = prepare(part, Options(seed=3, outer_fold=(4, fold)))
        assert dataset.targets.equal(every.targets[outer.training_rows()[fold]])
        assert study.settings.n_rows == len(dataset) == 75
        assert part.load_unchanged(Study(study.storage, part.name)).fingerprint == (
            dataset.fingerprint
        )
        # From storage it is the same study, which goes on with the same data.
        assert Study(study.storage, part.name).settings == study.settings
        assert prepare(part, Options())[1].fingerprint == dataset.fingerprint


def test_defaults_are_looked_at_whatever_the_sampler(make_job: Callable[..., Job]) -> None:
    source = TINY_REGRESSION.replace("default=1e-2", "default=5.0")
    assert source != TINY_REGRESSION
    with pytest.raises(InputError, match=r"lr = 5.0 in its default"):
        prepare(make_job(source), Options())
