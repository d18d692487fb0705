"""What is shown beside the trials, as optuna-dashboard reads it; it is written nowhere."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from conftest import TINY_CLASSIFICATION, TINY_REGRESSION, run, sql
from dashboard.conftest import dump
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna_dashboard import get_note, save_note
from optuna_dashboard._custom_plot_data import get_plotly_graph_objects
from optuna_dashboard.artifact._backend import get_trial_artifact_meta, list_trial_artifacts
from PIL import Image

from hw1.dashboard.artifacts import ArtifactStore
from hw1.dashboard.publish import COMPARED, Publisher
from hw1.dashboard.view import View
from hw1.datasets import digits, function
from hw1.job import Job
from hw1.optuna_store.dashboard import NOTE, OWN_NOTE, PLOT
from hw1.optuna_store.storage import Storage, artifact_folder
from hw1.study import Study

Run = Callable[..., Study]


@pytest.fixture
def finished(make_job: Callable[..., Job]) -> Run:
    def finish(source: str = TINY_REGRESSION, **options: Any) -> Study:
        return run(replace(make_job(source), trials_per_batch=1), sampler="random", **options)

    return finish


class Looked:
    """A study as the dashboard gets it when somebody opens its page."""

    def __init__(self, storage: Storage, name: str = "tiny") -> None:
        self.study_id = storage.get_study_id_from_name(name)
        self.publisher = Publisher(storage)
        self.view = View(storage, self.publisher)
        self.publisher.look(self.study_id)
        self.study = optuna.load_study(study_name=name, storage=self.view)

    @property
    def note(self) -> str:
        return get_note(self.study)

    @property
    def plots(self) -> dict[str, Any]:
        # The page takes them from the list of studies, other requests from the study itself.
        attributes = self.view.get_study_system_attrs(self.study_id)
        (listed,) = (s for s in self.view.get_all_studies() if s._study_id == self.study_id)
        assert listed.system_attrs == attributes
        return {k: json.loads(v) for k, v in get_plotly_graph_objects(attributes).items()}

    @property
    def files(self) -> dict[int, list[dict[str, Any]]]:
        """What is said of the files of each trial that has any."""
        attributes = self.view.get_study_system_attrs(self.study_id)
        found = {t.number: list_trial_artifacts(attributes, t.system_attrs, t) for t in self.trials}
        return {number: files for number, files in found.items() if files}

    @property
    def trials(self) -> list[optuna.trial.FrozenTrial]:
        return self.view.get_all_trials(self.study_id)


def named(plot: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [trace for trace in plot["data"] if trace.get("name") == name]


def numbers(values: Any) -> np.ndarray:
    """Plotly's numbers, which it may have packed."""
    if not isinstance(values, dict):
        return np.array(values, float)
    import base64

    found = np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"])
    shape = [int(n) for n in str(values.get("shape", len(found))).split(",")]
    return found.reshape(shape).astype(float)


def test_the_note_says_what_the_study_is_and_has_found(finished: Run) -> None:
    study = finished(seed=7)
    note, s, best = Looked(study.storage).note, study.settings, study.best_trial()
    for words in (s.fingerprint, s.splits, "random, pruner median, 4 trials", "seed 7"):
        assert words in note
    assert "| lr | 0.0001 to 0.1, log |" in note
    assert "| batch_size | 16, 32 |" in note
    assert f"Best trial so far: {best.number}" in note
    assert f"| batch_size | {best.params['batch_size']} |" in note
    assert f"python run_study.py run {s.definition} --name tiny" in note


def test_a_note_is_up_to_date_but_not_when_a_person_has_written_it(
    make_study: Callable[..., Study],
) -> None:
    study = make_study()
    study.optuna_study.set_user_attr("n_trials", 77)
    looked = Looked(study.storage)
    assert "77 trials" in looked.note
    assert looked.plots == looked.files == {}
    save_note(looked.study, looked.note + "\nmine")
    study.optuna_study.set_user_attr("n_trials", 99)
    looked = Looked(study.storage)
    assert looked.note.endswith("\nmine")
    assert "99 trials" not in looked.note
    save_note(looked.study, "short")
    assert Looked(study.storage).note == get_note(study.optuna_study) == "short"


def test_the_best_trials_have_pictures_and_nothing_is_written(finished: Run) -> None:
    study = finished(n_trials=6, pruner="none")
    before = dump(study.storage.url)
    looked = Looked(study.storage)
    store = ArtifactStore(artifact_folder(study.storage.url), looked.publisher.picture)
    drawn = study.ranked()[:COMPARED]
    assert set(looked.files) == {trial.number for trial in drawn} >= {study.best_trial().number}
    for trial in drawn:
        (meta,) = looked.files[trial.number]
        assert meta["filename"] == f"trial{trial.number}_learning_curves.png"
        where = looked.view, looked.study_id, trial._trial_id
        assert get_trial_artifact_meta(*where, meta["artifact_id"]) == meta
        with store.open_reader(meta["artifact_id"]) as file:
            assert Image.open(io.BytesIO(file.read())).format == meta["mimetype"][-3:].upper()
    assert looked.plots
    assert dump(study.storage.url) == before
    assert not artifact_folder(study.storage.url).exists()


def test_plots_are_the_fold_scores_and_the_fit(finished: Run) -> None:
    study, dataset = finished(), function.load("train", Path())
    best, plots = study.best_trial(), Looked(study.storage).plots
    assert sorted(plots) == ["best-trial", "fold-scores"]
    (means,) = named(plots["fold-scores"], "mean over the folds")
    assert numbers(means["y"])[0] == pytest.approx(best.value, rel=1e-4)
    (data,) = named(plots["best-trial"], "training data")
    (found,) = named(plots["best-trial"], "prediction by the fold's network")
    assert found["mode"] == "markers"  # each is of another network: no line joins them
    np.testing.assert_allclose(numbers(data["x"]), dataset.inputs[:, 0].numpy(), rtol=1e-4)
    # The mean over rows is not that over folds, whose sizes differ by one.
    error = np.square(numbers(data["y"]) - numbers(found["y"])).mean()
    assert error == pytest.approx(best.value, rel=0.02)


def test_the_plot_of_classes_is_the_confusion_matrix(finished: Run) -> None:
    study, dataset = finished(TINY_CLASSIFICATION), digits.load("train", Path())
    counts = np.array(study.best_trial().user_attrs["confusion"])
    assert counts.sum(1).tolist() == np.bincount(dataset.targets).tolist()
    accuracy = np.diag(counts).sum() / counts.sum()
    assert accuracy == pytest.approx(study.best_trial().value, rel=0.01)
    maps = [t for t in Looked(study.storage).plots["best-trial"]["data"] if t["type"] == "heatmap"]
    shares = 100 * counts / counts.sum(1)[:, None]
    shown = sum(np.nan_to_num(numbers(m["z"])) for m in maps)
    np.testing.assert_allclose(shown, shares, atol=0.06)


def test_what_is_shown_follows_the_study(make_job: Callable[..., Job]) -> None:
    job = make_job()
    study = run(job, n_trials=3)
    looked = Looked(study.storage)
    first = looked.publisher._made["tiny"]
    looked.publisher.look(looked.study_id)
    assert looked.publisher._made["tiny"] is first  # nothing has changed
    run(job, n_trials=8)
    assert "8 trials" not in looked.note
    looked.publisher.look(looked.study_id)
    assert "8 trials" in looked.note
    looked.publisher.look(999)  # there is none


def test_what_an_earlier_version_has_stored_is_shown_once(finished: Run) -> None:
    study = finished()
    storage, fresh, best = study.storage, Looked(study.storage), study.best_trial()
    study_id, number = fresh.study_id, best.number
    digest = "ba7816bf8f01cfea"  # of abc
    for key, value in ((f"{NOTE}0", "ab"), (f"{NOTE}1", "c"), (OWN_NOTE, digest)):
        storage.set_study_system_attr(study_id, key, value)
    for i in range(2):
        storage.set_study_system_attr(study_id, f"{PLOT}fold-scores:{i}", "[" * i)
    # In the table itself: Optuna refuses files for trials that have ended.
    meta = {"artifact_id": "old", "filename": f"trial{number}_learning_curves.png"}
    insert = "INSERT INTO trial_system_attributes (trial_id, key, value_json) VALUES (?, ?, ?)"
    sql(storage.url, insert, best._trial_id, "artifacts:old", json.dumps(json.dumps(meta)))
    looked = Looked(Storage(storage.url))
    assert looked.note == fresh.note
    assert looked.plots == fresh.plots
    assert looked.files == fresh.files | {number: [meta]}


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("DELETE FROM study_user_attributes WHERE key = 'settings'", ""),  # not hw1's
        ("UPDATE study_user_attributes SET value_json = '{}' WHERE key = 'settings'", "settings"),
        (
            "UPDATE trial_user_attributes SET value_json = '[[]]' WHERE key = 'fold_scores'",
            "damaged",
        ),
    ],
)
def test_a_study_that_cannot_be_understood_is_shown_as_it_is(
    finished: Run, damage: str, words: str
) -> None:
    study = finished()
    sql(study.storage.url, damage)
    looked = Looked(Storage(study.storage.url))
    assert words in looked.note
    assert bool(looked.note) == bool(words)
    assert looked.plots == looked.files == {}
    assert len(looked.trials) == 4


@pytest.mark.parametrize("key", ["curves", "training_scores", "validation_losses"])
def test_curves_that_cannot_be_understood_have_no_picture(finished: Run, key: str) -> None:
    study = finished()
    sql(
        study.storage.url,
        f"UPDATE trial_user_attributes SET value_json = '[[]]' WHERE key = '{key}'",
    )
    looked = Looked(Storage(study.storage.url))
    store = ArtifactStore(artifact_folder(study.storage.url), looked.publisher.picture)
    assert looked.files
    damaged = [trial.number for trial in study.trials() if key in trial.user_attrs]
    assert damaged
    for number in damaged:
        with pytest.raises(ArtifactNotFound):
            store.open_reader(looked.files[number][0]["artifact_id"])
