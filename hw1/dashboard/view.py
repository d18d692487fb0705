"""What the dashboard is given to show of a storage."""

import copy
import json
from collections.abc import Container
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from hw1.dashboard.publish import Publisher
from hw1.optuna_store.storage import Storage

LONGEST = 80
"""Characters of an attribute that are shown: longer ones stretch the page."""


class View(Storage):
    """A storage as people want to see it, and otherwise the same one, with its connections.

    The searches within nested cross-validations are left out of the list of studies, and user
    attributes are shortened. Studies have what a publisher shows of them besides.
    """

    _publisher: Publisher

    def __init__(self, storage: Storage, publisher: Publisher) -> None:
        self.__dict__ = {**storage.__dict__, "_publisher": publisher}

    def get_all_studies(self) -> list[Any]:
        """The studies that a person has begun."""
        studies = super().get_all_studies()
        names = {study.study_name for study in studies}
        shown = [study for study in studies if not _is_within_another(study, names)]
        for study in shown:
            study.user_attrs = _brief(study.user_attrs)
            study.system_attrs = dict(self._publisher.over(study.study_name, study.system_attrs))
        return shown

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Those that are stored, and what is shown besides."""
        stored = super().get_study_system_attrs(study_id)
        return dict(self._publisher.over(self.get_study_name_from_id(study_id), stored))

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Trials with brief attributes."""
        return [_brief_trial(t) for t in super().get_all_trials(study_id, deepcopy, states)]

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """A trial with brief attributes."""
        return _brief_trial(super().get_trial(trial_id))


def _is_within_another(study: Any, names: set[str]) -> bool:
    """Whether a study is the search outside a fold of one that is there too."""
    settings = study.user_attrs.get("settings")
    return (
        isinstance(settings, dict)
        and settings.get("outer_fold") is not None
        and study.study_name.rpartition("-outer")[0] in names
    )


def _brief_trial(trial: FrozenTrial) -> FrozenTrial:
    trial = copy.copy(trial)
    trial.user_attrs = _brief(trial.user_attrs)
    return trial


def _brief(attributes: dict[str, Any]) -> dict[str, Any]:
    """Numbers as they are, so that they can be sorted and plotted; the rest as short text.

    The shortest come first: the page shows some lines, and all on scrolling.
    """
    brief = {}
    for name, value in attributes.items():
        if not isinstance(value, int | float):
            text = _text(value)
            value = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
        brief[name] = value
    return dict(sorted(brief.items(), key=lambda item: len(f"{item[0]} {item[1]}")))


def _text(value: Any) -> str:
    """JSON without quotes, brackets around the whole, and more than four digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(f"({_text(x)})" if isinstance(x, list) else _text(x) for x in value)
    return value if isinstance(value, str) else json.dumps(value)
