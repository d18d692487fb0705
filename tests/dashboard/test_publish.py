"""What is written is read back by optuna-dashboard's own functions."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
from conftest import TINY_CLASSIFICATION, TINY_REGRESSION
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta
from optuna.trial import TrialState
from optuna_dashboard import get_note, save_note
from optuna_dashboard._custom_plot_data import get_plotly_graph_objects
from PIL import Image

from hw1.dashboard.publish import artifact_ids, publish, remove_artifacts, write_note
from hw1.datasets import Dataset
from hw1.execution import execute
from hw1.job import Job, Options, prepare
from hw1.optuna_store.storage import artifact_folder
from hw1.study import Study


@pytest.fixture
def finished(make_job: Callable[..., Job]) -> Callable[..., tuple[Study, Dataset, Job]]:
    def run(source: str = TINY_REGRESSION, **options: object) -> tuple[Study, Dataset, Job]:
        job = replace(make_job(source), trials_per_batch=1)
        study, dataset = prepare(job, Options(sampler="random", **options))  # type: ignore[arg-type]
        execute(job, study, dataset)
        publish(study, dataset, job.storage_url)
        return study, dataset, job

    return run


def plots(study: Study) -> dict[str, dict[str, list[dict[str, object]]]]:
    storage = study.storage
    attributes = storage.get_study_system_attrs(storage.get_study_id_from_name(study.name))
    return {name: json.loads(text) for name, text in get_plotly_graph_objects(attributes).items()}


def test_the_note_says_what_the_study_is(
    finished: Callable[..., tuple[Study, Dataset, Job]],
) -> None:
    study, _, _ = finished(seed=7)
    note = get_note(study.optuna_study)
    s = study.settings
    for words in (s.fingerprint, s.splits, "random, pruner median, 4 trials", "seed 7"):
        assert words in note
    assert "| lr | 0.0001 to 0.1, logarithmic |" in note
    assert "| batch_size | 16, 32 |" in note
    assert f"python run_study.py run {s.definition} --name tiny" in note


def test_a_note_is_brought_up_to_date_but_not_when_a_person_has_written_it(
    make_study: Callable[..., Study],
) -> None:
    study = make_study()
    write_note(study)
    study.optuna_study.set_user_attr("n_trials", 77)
    write_note(study)
    assert "77 trials" in get_note(study.optuna_study)
    save_note(study.optuna_study, get_note(study.optuna_study) + "\nmine")
    study.optuna_study.set_user_attr("n_trials", 99)
    write_note(study)
    assert get_note(study.optuna_study).endswith("\nmine")
    assert "99 trials" not in get_note(study.optuna_study)


def test_the_best_trials_have_pictures_of_their_curves_once(
    finished: Callable[..., tuple[Study, Dataset, Job]], url: str
) -> None:
    study, dataset, job = finished(n_trials=6, pruner="none")
    best = sorted(study.trials(), key=lambda trial: trial.values[0])
    # By plain Optuna, which reads the database anew.
    stored = optuna.load_study(study_name="tiny", storage=url)
    store = FileSystemArtifactStore(artifact_folder(url))
    found = {}
    for trial in stored.trials:
        for meta in get_all_artifact_meta(trial, storage=stored._storage):
            found[trial.number] = meta
            with store.open_reader(meta.artifact_id) as file:
                image = Image.open(io.BytesIO(file.read()))
            assert (image.format, image.size) == ("PNG", (640, 360))
            assert meta.mimetype == "image/png"
    assert sorted(found) == sorted(trial.number for trial in best[:3])
    publish(study, dataset, job.storage_url)
    assert len(list(artifact_folder(url).iterdir())) == 3
    # All else of these trials is as it was.
    for trial, before in zip(stored.trials, study.trials(), strict=True):
        assert trial.state == TrialState.COMPLETE
        assert (trial.values, trial.params) == (before.values, before.params)
        assert trial.intermediate_values == before.intermediate_values
        assert trial.datetime_complete == before.datetime_complete


def test_curves_that_are_kept_are_those_of_the_folds(
    finished: Callable[..., tuple[Study, Dataset, Job]],
) -> None:
    study, _, _ = finished(n_trials=6, pruner="none")
    for trial in sorted(study.trials(), key=lambda trial: trial.values[0])[:3]:
        curves = np.array(trial.user_attrs["curves"])
        mean = list(trial.intermediate_values.values())
        np.testing.assert_allclose(curves.mean(1), mean, rtol=1e-4)


def test_figures_are_the_fold_scores_and_the_fit(
    finished: Callable[..., tuple[Study, Dataset, Job]],
) -> None:
    study, dataset, job = finished()
    best = study.best_trial()
    found = plots(study)
    assert sorted(found) == ["best-trial", "fold-scores"]
    means = found["fold-scores"]["data"][-1]
    assert means["x"][0] == str(best.number)  # type: ignore[index]
    assert means["y"][0] == pytest.approx(best.value, rel=1e-4)  # type: ignore[index]
    rows, line = found["best-trial"]["data"]
    # Each is of another network: no line joins them.
    assert (line["mode"], line["name"]) == ("markers", "predictions by the fold's network")
    np.testing.assert_allclose(np.sort(dataset.inputs[:, 0].numpy()), rows["x"], rtol=1e-4)  # type: ignore[arg-type]
    # The mean over rows is not that over folds, whose sizes differ by one.
    error = np.square(np.subtract(rows["y"], line["y"])).mean()  # type: ignore[arg-type]
    assert error == pytest.approx(best.value, rel=0.02)
    publish(study, dataset, job.storage_url)
    assert plots(study) == found


def test_the_figure_of_classes_is_the_confusion_matrix(
    finished: Callable[..., tuple[Study, Dataset, Job]],
) -> None:
    study, dataset, _ = finished(TINY_CLASSIFICATION)
    (heatmap,) = plots(study)["best-trial"]["data"]
    counts = np.array(study.best_trial().user_attrs["confusion"])
    assert counts.sum() == len(dataset)
    assert counts.sum(1).tolist() == np.bincount(dataset.targets).tolist()
    accuracy = np.diag(counts).sum() / counts.sum()
    assert accuracy == pytest.approx(study.best_trial().value, rel=0.01)
    np.testing.assert_allclose(heatmap["z"], 100 * counts / counts.sum(1)[:, None], atol=0.06)  # type: ignore[arg-type]
    assert heatmap["x"] == list(dataset.class_names)


def test_a_study_that_goes_on_keeps_what_it_has(
    finished: Callable[..., tuple[Study, Dataset, Job]], url: str
) -> None:
    first, _, job = finished(n_trials=3)
    before = set(artifact_ids(first.storage, "tiny"))
    study, dataset = prepare(job, Options(n_trials=8))
    execute(job, study, dataset)
    publish(study, dataset, job.storage_url)
    assert before <= set(artifact_ids(study.storage, "tiny"))
    assert "8 trials" in get_note(study.optuna_study)
    assert {path.name for path in artifact_folder(url).iterdir()} == set(
        artifact_ids(study.storage, "tiny")
    )


def test_files_go_with_their_study(
    finished: Callable[..., tuple[Study, Dataset, Job]], url: str
) -> None:
    study, _, _ = finished()
    other = artifact_folder(url) / "of another study"
    other.write_text("kept")
    found = artifact_ids(study.storage, "tiny")
    (artifact_folder(url) / found[0]).unlink()
    remove_artifacts(found, url)
    assert [path.name for path in artifact_folder(url).iterdir()] == [other.name]


def test_a_study_without_completed_trials_has_a_note_alone(
    make_study: Callable[..., Study], url: str, make_job: Callable[..., Job]
) -> None:
    study = make_study()
    dataset = make_job().load_unchanged(study)
    write_note(study)
    publish(study, dataset, url)
    assert plots(study) == {}
    assert get_note(study.optuna_study).startswith("# tiny\n")
    assert not list(Path(artifact_folder(url)).glob("*"))
