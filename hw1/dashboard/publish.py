"""What the dashboard shows of a study beside its trials: a note, plots, pictures of curves.

All of it is made from what is stored, when somebody looks, and kept in memory: a database that can
only be read shows the same. No study file is run for it.
"""

import shlex
import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial

from hw1.analysis.curves import LearningCurves
from hw1.analysis.figures import matplotlib, plotly, training
from hw1.analysis.figures.marks import Axis, Figure, Panel, Points
from hw1.analysis.figures.style import BLUE, GRAY
from hw1.analysis.figures.ticks import around
from hw1.analysis.report.hyperparameters import distribution_text, distributions
from hw1.errors import ForeignStudyError, InputError
from hw1.optuna_store.dashboard import Attributes, with_file, with_note, with_plot
from hw1.optuna_store.storage import UNREADABLE, Storage
from hw1.places import program
from hw1.standings import rounds_in_words
from hw1.study import ROUNDS_KEY, SHOWN_KEY, Study
from hw1.study_files import naming
from hw1.words import number, value_text

COMPARED = 10
"""The best trials, whose scores by fold are shown and whose curves are drawn."""
PICTURES = uuid.UUID("6f6d2c3a-6f1e-4f0c-9a61-1f6f0f0d8c55")
"""The namespace of the pictures' ids."""


@dataclass(frozen=True)
class Publication:
    """What is shown of a study besides what is stored.

    Attributes:
        seen: what the study was when this was made.
        note: in Markdown.
        plots: by name, in plotly's JSON.
        pictures: of a trial each, by their ids; they draw a PNG.
    """

    seen: object
    note: str
    plots: Mapping[str, str] = field(default_factory=dict)
    pictures: Mapping[str, tuple[FrozenTrial, Callable[[], bytes]]] = field(default_factory=dict)

    def over(self, stored: Attributes) -> Attributes:
        """The study's stored attributes with these."""
        attributes = with_note(stored, self.note) if self.note else stored
        for name, plot in self.plots.items():
            attributes = with_plot(attributes, name, plot)
        for picture, (trial, _) in self.pictures.items():
            name = f"trial{trial.number}_learning_curves.png"
            attributes = with_file(attributes, trial, picture, name)
        return attributes


class Publisher:
    """The publications of a storage's studies."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._lock = threading.Lock()
        self._made: dict[str, Publication] = {}

    def look(self, study_id: int) -> None:
        """Bring what is shown of a study up to date, if a trial or a round has ended since."""
        with self._lock, suppress(KeyError):  # there is no such study
            name = self._storage.get_study_name_from_id(study_id)
            rounds = self._storage.get_study_user_attrs(study_id).get(ROUNDS_KEY)
            seen = self._storage.last_completed(study_id), rounds
            if name not in self._made or self._made[name].seen != seen:
                self._made[name] = publication(self._storage, name, seen)

    def over(self, name: str, stored: Attributes) -> Attributes:
        """The stored attributes of a study with what is shown besides."""
        made = self._made.get(name)
        return stored if made is None else made.over(stored)

    def picture(self, picture: str) -> bytes | None:
        """The PNG of that id, if there is one and its curves can be understood."""
        for made in list(self._made.values()):
            if picture in made.pictures:
                with self._lock, suppress(*UNREADABLE):
                    return made.pictures[picture][1]()
        return None


def publication(storage: Storage, name: str, seen: object) -> Publication:
    """What is to be shown of a study; of one that is not hw1's or is damaged, why it is nothing."""
    try:
        study = Study(storage, name)
        with storage.readable(f"the study {name!r}"):
            return _publication(study, seen)
    except ForeignStudyError:
        return Publication(seen, "")  # which is none
    except InputError as error:
        return Publication(seen, f"hw1 cannot describe this study: {error}\n")


def _publication(study: Study, seen: object) -> Publication:
    best = [trial for trial in study.ranked() if "fold_scores" in trial.user_attrs][:COMPARED]
    figures = {}
    if best:
        scores = [(trial.number, trial.user_attrs["fold_scores"]) for trial in best]
        figures["fold-scores"] = training.fold_scores(scores, study.metric)
        fit = _fit(best[0], study)
        if fit is not None:
            figures["best-trial"] = fit
    plots = {name: _interactive(figure) for name, figure in figures.items()}
    pictures = {
        str(uuid.uuid5(PICTURES, f"{study.name} {trial.number}")): (trial, _curves(trial, study))
        for trial in best
        if LearningCurves.are_stored(trial)
    }
    winner = [study.best_trial()] if best else []
    return Publication(seen, note(study, winner), plots, pictures)


def _interactive(figure: Figure) -> str:
    plot = plotly.draw(figure)
    # As large as the page wants it, with the title that pages elsewhere write themselves.
    plot.update_layout(title={"text": figure.title}, margin={"t": 90}, width=None, height=None)
    return str(plot.to_json())


def _curves(trial: FrozenTrial, study: Study) -> Callable[[], bytes]:
    @cache
    def draw() -> bytes:
        return matplotlib.png(training.learning_curves(LearningCurves.stored(trial), study.metric))

    return draw


def _fit(trial: FrozenTrial, study: Study) -> Figure | None:
    """What the folds' networks of a trial say of held-out data, as far as that is stored."""
    shown = study.kept().get(SHOWN_KEY)
    if shown is None:  # a study that was made before this was kept
        return None
    if "confusion" in trial.user_attrs:
        return training.confusion_matrix(np.array(trial.user_attrs["confusion"]), shown["classes"])
    if "predicted" not in trial.user_attrs:
        return None
    target, truth = shown["target"], np.array(shown["targets"])
    predicted = np.array(trial.user_attrs["predicted"])
    if "inputs" not in shown:
        return training.predictions(truth, predicted, target)
    x = np.array(shown["inputs"])
    # Of several networks: a line would join what different ones say.
    data = Points(x, truth, GRAY, "training data", hover="{x:.4g}: {y:.4g}")
    found = Points(x, predicted, BLUE, "prediction by the fold's network", hover=data.hover)
    across = Axis(shown["feature"], around(x))
    panel = Panel((data, found), across, Axis(target, around([*truth, *predicted])))
    return Figure("fit", f"Trial {trial.number}: predictions for held-out data", "", (panel,))


def note(study: Study, best: list[FrozenTrial]) -> str:
    """What a study is and has found so far, in Markdown."""
    s = study.settings
    facts = {
        "definition": f"`{s.definition}`",
        "value": f"{study.metric.words}, mean over the folds at the best epoch "
        f"({study.metric.preference})",
        "data": f"{s.dataset}, {s.n_rows} training examples, fingerprint `{s.fingerprint}`",
        "folds": f"{s.n_splits}, the same for all trials, hash `{s.splits}`",
        "search": f"{s.sampler}, pruner {s.pruner}, {study.n_trials} trials, up to {s.epochs} "
        f"epochs, seed {s.seed}",
        "rounds after it": rounds_in_words(s.rounds),
        "made with": f"hw1 {s.version}",
    }
    standings = study.standings()
    if s.train_csv is not None:
        facts["files"] = f"`{s.train_csv}`" + (f", test `{s.test_csv}`" if s.test_csv else "")
    space = {
        name: "; or ".join(map(distribution_text, seen))
        for name, seen in distributions(s.search_space).items()
    }
    found = [
        line
        for trial in best
        for params in [{name: value_text(x) for name, x in trial.params.items()}]
        for final in [standings.final_of(trial.number)]
        for line in (
            f"## Best trial so far: {trial.number}, {study.metric.words} {number(trial.values[0])}",
            *(
                ["", f"In the final round {number(final.score)} ± {number(final.std)}."]
                if final
                else []
            ),
            *_table("hyperparameter", params),
        )
    ]
    named = [study.name, *naming(s.definition)]
    again = (["run", s.definition, "--name", study.name], ["evaluate", *named], ["analyze", *named])
    lines = [
        f"# {study.name}",
        *_table("", facts),
        *found,
        "## Search space",
        *_table("hyperparameter", space),
        "## Go on",
        "",
        "```sh",
        *(shlex.join([*program(), *command]) for command in again),
        "```",
        "",
    ]
    return "\n".join(lines)


def _table(head: str, rows: Mapping[str, Any]) -> list[str]:
    cells = [(name, str(text).replace("|", "\\|")) for name, text in rows.items()]
    return ["", f"| {head} | |", "|---|---|", *(f"| {a} | {b} |" for a, b in cells), ""]
