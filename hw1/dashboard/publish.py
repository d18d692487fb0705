"""What optuna-dashboard shows of a study beside its trials: a note, pictures, small figures.

All of it is made from what is stored, in some milliseconds, and written in the form in which the
dashboard reads it: to import the dashboard or plotly for it takes longer than a small study.
"""

import copy
import hashlib
import io
import json
import math
import shlex
import sys
import uuid
from collections.abc import Iterable
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    json_to_distribution,
)
from optuna.trial import FrozenTrial

from hw1.dashboard.artifacts import ArtifactStore
from hw1.dashboard.pictures import curves_png
from hw1.datasets import Dataset
from hw1.definition import CONFIGURATIONS
from hw1.definitions import naming
from hw1.objective import shown_rows
from hw1.optuna_store.storage import Change, Storage, artifact_folder
from hw1.places import program
from hw1.study import Study

PICTURED = 3
"""The best trials, of which pictures are made."""
COMPARED = 10
"""The best trials, whose scores by fold are shown."""
LENGTH = 2045
"""Of the pieces in which the dashboard keeps text."""
ARTIFACT = "artifacts:"
NOTE_VERSION, NOTE = "dashboard:note_ver", "dashboard:note_str:"
PLOT = "dashboard:plot_data:"
OWN_NOTE = "hw1:note"
"""The digest of the note that was written here last."""


def publish(study: Study, dataset: Dataset, url: str) -> None:
    """Bring the note, the pictures of the best trials and the figures of a study up to date.

    Args:
        study: any, whether it is complete or not.
        dataset: its training rows.
        url: of its storage; pictures are kept in the folder that goes with it.
    """
    write_note(study)
    best = _best(study, COMPARED)
    store = ArtifactStore(artifact_folder(url))
    pictured = [trial._trial_id for trial in best[:PICTURED]]
    study_id = study.storage.get_study_id_from_name(study.name)
    # Optuna reads a trial that has ended once, and would not know of a picture made since.
    for trial in study.storage.trials_since(study_id, sys.maxsize, pictured):
        if "curves" in trial.user_attrs and not _artifacts(trial.system_attrs):
            _attach(study, trial, store)
    if best:
        _write_plot(study, "fold-scores", _fold_scores(study, best))
        fit = _fit(best[0], dataset)
        if fit is not None:
            _write_plot(study, "best-trial", fit)


def artifact_ids(storage: Storage, name: str) -> list[str]:
    """The files of a study, hw1's or not, and of its trials."""
    study_id = storage.get_study_id_from_name(name)
    found = _artifacts(storage.get_study_system_attrs(study_id))
    for trial in storage.get_all_trials(study_id, deepcopy=False):
        found += _artifacts(trial.system_attrs)
    return found


def remove_artifacts(artifacts: Iterable[str], url: str) -> None:
    """Remove files of a study that has been deleted, as `ArtifactStore` does."""
    store = ArtifactStore(artifact_folder(url))
    for artifact_id in artifacts:
        store.remove(artifact_id)


def write_note(study: Study) -> None:
    """Describe the study in its note, unless somebody has written another one there.

    A note that was made here is kept up to date; one that a person has changed is left alone.
    """
    text = note(study)
    study_id = study.storage.get_study_id_from_name(study.name)
    stored = study.storage.get_study_system_attrs(study_id)
    before = "".join(_pieces(stored, NOTE))
    if before == text or (before and _digest(before) != stored.get(OWN_NOTE)):
        return
    _write_pieces(study, NOTE, text)
    version = stored.get(NOTE_VERSION)
    version = version + 1 if isinstance(version, int) else 1
    study.storage.set_study_system_attr(study_id, NOTE_VERSION, version)
    study.storage.set_study_system_attr(study_id, OWN_NOTE, _digest(text))


def note(study: Study) -> str:
    """What a study is, in Markdown."""
    s = study.settings
    facts = {
        "definition": f"`{s.definition}`",
        "value": f"{study.metric.words}, mean over the folds at the best epoch "
        f"({study.metric.preference})",
        "data": f"{s.dataset}, {s.n_rows} training rows, fingerprint `{s.fingerprint}`",
        "folds": f"{s.n_splits}, the same for all trials, hash `{s.splits}`",
        "search": f"{s.sampler}, pruner {s.pruner}, {study.n_trials} trials, up to {s.epochs} "
        f"epochs, seed {s.seed}",
        "made with": f"hw1 {s.version}",
    }
    if s.train_csv is not None:
        facts["files"] = f"`{s.train_csv}`" + (f", test `{s.test_csv}`" if s.test_csv else "")
    lines = [f"# {study.name}", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {_cell(text)} |" for name, text in facts.items()]
    lines += ["", "## Search space", "", "| parameter | values |", "|---|---|"]
    for name, text in s.search_space.items():
        if name != CONFIGURATIONS:
            ranges = [_range(json_to_distribution(part)) for part in _split_json(text)]
            lines.append(f"| {name} | {_cell('; or '.join(ranges))} |")
    again = ["run", s.definition, "--name", study.name]
    named = [study.name, *naming(s.definition)]
    lines += [
        "",
        "## Go on",
        "",
        "```sh",
        *(
            shlex.join([*program(), *command])
            for command in (again, ["evaluate", *named], ["analyze", *named])
        ),
        "```",
        "",
    ]
    return "\n".join(lines)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _split_json(text: str) -> list[str]:
    """JSON objects that stand one after another."""
    decoder, parts, start = json.JSONDecoder(), [], 0
    while start < len(text):
        _, end = decoder.raw_decode(text, start)
        parts.append(text[start:end])
        start = end + 1
    return parts


def _range(distribution: BaseDistribution) -> str:
    if isinstance(distribution, CategoricalDistribution):
        return ", ".join(map(str, distribution.choices))
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    log = ", logarithmic" if distribution.log else ""
    return f"{distribution.low:g} to {distribution.high:g}{log}"


def _best(study: Study, n: int) -> list[FrozenTrial]:
    """The best completed trials of hw1's, the best first."""
    return [trial for trial in study.ranked() if "fold_scores" in trial.user_attrs][:n]


def _artifacts(attributes: dict[str, Any]) -> list[str]:
    return [key.removeprefix(ARTIFACT) for key in attributes if key.startswith(ARTIFACT)]


def _attach(study: Study, trial: FrozenTrial, store: ArtifactStore) -> None:
    """Give a finished trial its picture, which Optuna's own upload refuses."""
    picture = curves_png(
        np.array(trial.user_attrs["curves"]),
        trial.user_attrs["best_epoch"],
        study.metric.words,
        f"trial {trial.number}",
    )
    artifact_id = str(uuid.uuid4())
    store.write(artifact_id, io.BytesIO(picture))
    meta = {
        "artifact_id": artifact_id,
        "filename": f"trial{trial.number}_learning_curves.png",
        "mimetype": "image/png",
        "encoding": None,
    }
    new = copy.copy(trial)
    new.values = None
    for name in ("params", "distributions", "user_attrs", "intermediate_values"):
        setattr(new, name, {})
    new.system_attrs = {ARTIFACT + artifact_id: json.dumps(meta)}
    study_id = study.storage.get_study_id_from_name(study.name)
    study.storage.update_trials(study_id, [Change(trial.state, new)])


def _fold_scores(study: Study, trials: list[FrozenTrial]) -> dict[str, Any]:
    labels = [str(trial.number) for trial in trials]
    scores = np.array([trial.user_attrs["fold_scores"] for trial in trials])
    folds = [
        _scatter(labels, column, "markers", "#5BB5E8", "each fold", showlegend=i == 0)
        for i, column in enumerate(scores.T)
    ]
    means = _scatter(labels, scores.mean(1), "markers", "#DD6408", "mean")
    means["marker"] |= {"symbol": "diamond", "size": 11}
    return _plot(
        "Scores by fold of the best trials",
        [*folds, means],
        {"title": {"text": "trial, the best first"}, "type": "category"},
        {"title": {"text": study.metric.words}},
    )


def _fit(trial: FrozenTrial, dataset: Dataset) -> dict[str, Any] | None:
    """The confusion matrix, or predictions beside the truth, as kept with the best trial."""
    title = f"Trial {trial.number}: predictions for held-out data"
    if "confusion" in trial.user_attrs:
        counts = np.array(trial.user_attrs["confusion"])
        share = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
        names = list(dataset.class_names)
        heatmap = {
            "type": "heatmap",
            "z": np.round(share, 1).tolist(),
            "x": names,
            "y": names,
            "colorscale": "Blues",
            "colorbar": {"title": {"text": "% of the true class"}},
        }
        y = {"title": {"text": "true class"}, "autorange": "reversed", "type": "category"}
        x = {"title": {"text": "predicted class"}, "type": "category"}
        return _plot(title, [heatmap], x, y)
    if "predicted" not in trial.user_attrs:
        return None
    rows = shown_rows(len(dataset))
    targets = dataset.targets[rows, 0].cpu().numpy()
    predicted = np.array(trial.user_attrs["predicted"])
    if dataset.input_shape == (1,):
        inputs = dataset.inputs[rows, 0].cpu().numpy()
        order = np.argsort(inputs)
        x_name = dataset.feature_names[0] if dataset.feature_names else "input"
        traces = [
            _scatter(inputs[order], targets[order], "markers", "#A9B2BA", "training data"),
            # Of several networks: a line would join what different ones say.
            _scatter(
                inputs[order],
                predicted[order],
                "markers",
                "#005AA0",
                "predictions by the fold's network",
            ),
        ]
        y_name = dataset.target_name
    else:
        x_name, y_name = f"{dataset.target_name}, actual", f"{dataset.target_name}, predicted"
        name = "predictions by the fold's network"
        traces = [_scatter(targets, predicted, "markers", "#005AA0", name)]
    return _plot(title, traces, {"title": {"text": x_name}}, {"title": {"text": y_name}})


def _scatter(x: Any, y: Any, mode: str, colour: str, name: str, **more: Any) -> dict[str, Any]:
    def short(values: Any) -> list[Any]:
        return [v if isinstance(v, str) else float(f"{v:.5g}") for v in values]

    return {
        "type": "scatter",
        "x": short(x),
        "y": short(y),
        "mode": mode,
        "name": name,
        "marker": {"color": colour, "size": 7},
        "line": {"color": colour},
        **more,
    }


def _plot(
    title: str, traces: list[dict[str, Any]], x: dict[str, Any], y: dict[str, Any]
) -> dict[str, Any]:
    # Above the plot: below it are the numbers and the title of the axis.
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    layout = {"title": {"text": title}, "xaxis": x, "yaxis": y, "legend": legend}
    return {"data": traces, "layout": layout}


def _write_plot(study: Study, name: str, plot: dict[str, Any]) -> None:
    study_id = study.storage.get_study_id_from_name(study.name)
    stored = study.storage.get_study_system_attrs(study_id)
    key, text = f"{PLOT}{name}:", json.dumps(plot)
    if "".join(_pieces(stored, key)) != text:
        _write_pieces(study, key, text)


def _pieces(attributes: dict[str, Any], key: str) -> list[str]:
    pieces: list[str] = []
    while isinstance(piece := attributes.get(f"{key}{len(pieces)}"), str):
        pieces.append(piece)
    return pieces


def _write_pieces(study: Study, key: str, text: str) -> None:
    study_id = study.storage.get_study_id_from_name(study.name)
    n_before = len(_pieces(study.storage.get_study_system_attrs(study_id), key))
    n_pieces = math.ceil(len(text) / LENGTH)
    for i in range(max(n_before, n_pieces)):
        piece = text[i * LENGTH : (i + 1) * LENGTH]  # nothing in those that are left over
        study.storage.set_study_system_attr(study_id, f"{key}{i}", piece)
