"""What optuna-dashboard finds in the attributes of a study: a note, plots and files.

Nothing is written here. What is shown besides the stored attributes is laid over them, in the form
in which the dashboard reads it.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from optuna.trial import FrozenTrial

NOTE_VERSION, NOTE = "dashboard:note_ver", "dashboard:note_str:"
PLOT = "dashboard:plot_data:"
ARTIFACT, TRIAL_ARTIFACT = "artifacts:", "dashboard:artifacts:"
OWN_NOTE = "hw1:note"
"""The digest of a note that hw1 has written into storage, as it once did after a run."""

Attributes = Mapping[str, Any]


def with_note(attributes: Attributes, text: str) -> Attributes:
    """Attributes with a note in Markdown, unless a person has written another one."""
    pieces: list[str] = []
    while isinstance(piece := attributes.get(f"{NOTE}{len(pieces)}"), str):
        pieces.append(piece)
    stored = "".join(pieces)
    digest = hashlib.sha256(stored.encode()).hexdigest()[:16]
    if stored and digest != attributes.get(OWN_NOTE):
        return attributes
    return {NOTE_VERSION: 0, **_without(attributes, NOTE), f"{NOTE}0": text}


def with_plot(attributes: Attributes, name: str, plot: str) -> Attributes:
    """Attributes with a figure, as plotly's JSON, instead of another one of that name."""
    key = f"{PLOT}{name}:"
    return {**_without(attributes, key), f"{key}0": plot}


def with_file(attributes: Attributes, trial: FrozenTrial, file_id: str, name: str) -> Attributes:
    """A study's attributes with a PNG of a trial, unless the trial has a file of that name."""
    stored = [value for key, value in trial.system_attrs.items() if key.startswith(ARTIFACT)]
    if any(json.dumps(name) in str(value) for value in stored):
        return attributes
    meta = {"artifact_id": file_id, "filename": name, "mimetype": "image/png", "encoding": None}
    # What is stored goes before: who deletes a file in the dashboard leaves its key, and a null.
    return {f"{TRIAL_ARTIFACT}{trial._trial_id}:{file_id}": json.dumps(meta), **attributes}


def file_ids(attributes: Attributes) -> list[str]:
    """The files that the attributes of a study or trial name."""
    return [key.removeprefix(ARTIFACT) for key in attributes if key.startswith(ARTIFACT)]


def _without(attributes: Attributes, prefix: str) -> dict[str, Any]:
    return {key: value for key, value in attributes.items() if not key.startswith(prefix)}
