"""Studies with trials that were never trained: what is stored of them is made up here."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from hw1.analysis import beside
from hw1.analysis.ablation import ABLATION
from hw1.analysis.controlled import CURVES, Measured
from hw1.analysis.evaluation import CROSS_VALIDATIONS, TESTS
from hw1.analysis.figures.gallery import Gallery, write
from hw1.analysis.figures.marks import Axis, Figure, Line, Panel
from hw1.analysis.figures.style import BLUE
from hw1.analysis.nested import NESTED
from hw1.analysis.report.facts import Facts, StudyFacts
from hw1.analysis.report.gather import gather
from hw1.analysis.report.write import Report, write_report
from hw1.analysis.results import StudyResults, open_study
from hw1.definition import StudyDefinition, Trial
from hw1.optuna_store.storage import Storage
from hw1.study import Settings
from hw1.study_files import load_definition
from hw1.tasks import TASKS
from hw1.training import Configuration

SOURCE = '''
from hw1.models import MLP
from hw1.definition import StudyDefinition
from hw1.training import Configuration

def load(part, data_dir):
    """Rows of {words}."""
    raise AssertionError("a report has loaded data")

def search_space(trial):
    optimizer = trial.suggest_categorical("optimizer", ["sgd", "adam"])
    if optimizer == "sgd":
        trial.suggest_float("momentum", 0.5, 0.95)
    trial.suggest_int("width", 8, 128, log=True)
    trial.suggest_float("dropout", 0.0, 0.3)
    trial.suggest_categorical("initialization", ["default", "kaiming_normal", "xavier_uniform"])
    for i in range({n_more}):
        trial.suggest_float(f"a_parameter_of_the_architecture_{{i}}", 1e-6, 0.5 + i, log=True)
    return Configuration(optimizer=optimizer, lr=trial.suggest_float("lr", 1e-4, 1e-1, log=True))

study = StudyDefinition(
    dataset=load, task="{task}", model=MLP, search_space=search_space,
)
'''
BEGAN = datetime(2026, 3, 1, 12, 0, 0)
PROVENANCE = {
    "python": "3.11.7",
    "hw1": "0.1.0",
    "torch": "2.14.1",
    "numpy": "2.4.6",
    "scipy": "1.17.1",
    "numba": "0.68.1",
    "optuna": "5.0.0",
    "system": "Linux x86_64",
    "processor": "A <fast> & \\big #processor",
    "threads": 2,
    "revision": None,
}


class Made:
    """Makes studies in a database of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self.url = f"sqlite:///{folder}/studies.db"

    def study(
        self,
        name: str = "made",
        *,
        n_trials: int = 4,
        n_more: int = 0,
        classify: bool = False,
        kept: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> StudyResults:
        """A study with so many trials, every third of them pruned.

        It has ``n_more`` parameters more than usual, and ``kept`` as attributes of each trial.
        """
        path = self.path / f"{'classify' if classify else 'regress'}{n_more or ''}.py"
        task = "classification" if classify else "regression"
        path.write_text(SOURCE.format(task=task, words="a made-up problem", n_more=n_more))
        definition = _definition(path, n_more)
        target = settings.pop("target_trials", n_trials)
        made = Settings(
            **{
                "definition": str(path),
                "sampler": "random",
                "pruner": "median",
                "n_splits": 3,
                "epochs": 30,
                "seed": 0,
                "train_size": None,
                "train_csv": None,
                "test_csv": None,
                "target": None,
                "dataset": "made up",
                "fingerprint": "0011223344556677",
                "n_rows": 1234,
                "splits": "8899aabbccddeeff",
                "metric": TASKS[task].metric().name,
                "search_space": definition.fingerprint(),
                "grid": None,
                "version": "0.1.0",
            }
            | settings
        )
        study = optuna.create_study(
            storage=Storage(self.url),
            study_name=name,
            direction="maximize" if classify else "minimize",
        )
        study.set_user_attr("settings", vars(made))
        study.set_user_attr("n_trials", target)
        rng = np.random.default_rng([made.seed, n_more])
        probes = definition.probes()[made.seed : made.seed + n_trials]
        study.add_trials(_trial(t, rng, i, kept or {}) for i, (t, _) in enumerate(probes))
        return self.open(name)

    def open(self, name: str) -> StudyResults:
        """The study, read again."""
        return open_study(name, storage=self.url, definition=sorted(self.path.glob("*.py")))

    def evaluated(self, results: StudyResults, *, tests: int = 1, nested: bool = False) -> None:
        """Stores an evaluation of its best trial: 2 × 3 folds and three seeds."""
        trial = results.trial().number
        rng = np.random.default_rng([trial, results.settings.seed])
        folds = {"trial": trial, "n_splits": 3, "seed": 0}
        scores = rng.uniform(0.4, 0.6, (2, 3)).tolist()
        results.store(CROSS_VALIDATIONS, folds | {"scores": scores, "provenance": PROVENANCE})
        for i in range(tests):
            record = {
                "trial": trial,
                "epochs": 11,
                "seeds": [1, 2, 3],
                "scores": rng.uniform(0.1, 0.2, 3).tolist(),
                "ensemble": float(rng.uniform(0.05, 0.1)),
                "n_rows": 4321,
                "fingerprint": "0123456789abcdef",
                "date": f"2026-03-0{i + 2}T10:20:30+00:00",
                "provenance": PROVENANCE,
            }
            results.store(TESTS, record)
        for i, name in enumerate(("gradient boosting", "nearest neighbors")):
            made: dict[str, Any] = {
                "baseline": name,
                "form": "Model()",
                "seed": 0,
                "n_rows": 1000 if i else None,
                "scikit_learn": "1.9.1",
            }
            of_folds = {"n_splits": 3, "scores": rng.uniform(0.6, 0.8, (2, 3)).tolist()}
            results.store(beside.SCORES, made | of_folds | {"seconds": 1.5})
            of_test = {"score": 0.25, "interval": [0.125, 0.5], "fingerprint": "0123456789abcdef"}
            results.store(beside.TESTS, made | of_test)
        if nested:
            outer = {"n_outer": 4, "n_inner": 2, "n_trials": 6, "trials": [0, 1, 2, 3]}
            scores = rng.uniform(0.6, 0.9, 4).tolist()
            results.store(NESTED, outer | {"scores": scores, "provenance": PROVENANCE})

    def ablated(self, results: StudyResults) -> None:
        """Stores an ablation of its best trial: its optimizer, another one, one that diverged."""
        trial = results.trial()
        configuration = trial.user_attrs["configuration"]
        setup = {"trial": trial.number, "n_splits": 3, "n_repeats": 2, "seed": 0, "epochs": 30}
        curve = {name: [0.9, 0.5, 0.6] for name in CURVES}
        kinds = [("", "base", 0.5), ("optimizer", "Adam", 0.5), ("optimizer", "SGD", 0.7)]
        for place, (group, variant, score) in enumerate([*kinds, ("optimizer", "RMSprop", None)]):
            one = configuration | ({"optimizer": "sgd"} if score != 0.5 else {})
            record = Measured(
                **setup,
                n_rows=results.settings.n_rows,
                group=group,
                variant=variant,
                place=place,
                configuration=one,
                is_base=score == 0.5,
                scores=[[score and score + i / 100 for i in range(3)]] * 2,
                epoch=2 if score else 0,
                trained=30,
                curves=curve | {"epochs": [1, 2, 30]},
                seconds=1.5,
                zeros=0.25,
                tiny=0.5,
                rates=None if score == 0.5 else [0.1, 0.3],
                rate_scores=None if score == 0.5 else [0.8, None],
                provenance=PROVENANCE,
            )
            results.store(ABLATION, vars(record))

    def analysed(self, results: StudyResults, trial: int | None = None) -> None:
        """Stores figures, as `analyze` does."""
        number = results.trial().number if trial is None else trial
        figures = [
            figure("learning_curves"),
            figure("fitted_function"),
            figure("inside_weights", width=780, height=470),
            figure("inside_units", width=780, height=700),
            figure("inside_receptive_fields", width=780, height=480),
            figure("inside_saliency", width=780, height=300),
        ]
        gallery = Gallery(results.name, (number,), {"Inside the network": figures})
        write(gallery, self.figures(results))

    def figures(self, results: StudyResults) -> Path:
        """Where its figures are."""
        return self.path / "figures" / results.file_stem

    def facts(self, *studies: StudyResults) -> Facts:
        """What a report says of them."""
        return gather(studies, self.figures)

    def only(self, results: StudyResults) -> StudyFacts:
        """What it says of one."""
        return self.facts(results).studies[0]

    def report(self, *studies: StudyResults, to: str = "report.pdf", **kwargs: Any) -> Report:
        """The report itself."""
        return write_report(studies, self.path / to, folder=self.figures, **kwargs)


@functools.cache
def _definition(path: Path, n_more: int) -> StudyDefinition:
    """A study file with so many parameters more."""
    return load_definition(path)


def figure(name: str, **layout: Any) -> Figure:
    """A small figure whose texts are those of its name."""
    line = Line(np.arange(5.0), np.arange(5.0) ** 2, BLUE, "a <line>")
    panel = Panel((line,), Axis("input", (0.0, 4.0)), Axis("label", (0.0, 16.0)))
    words = name.replace("_", " ")
    caption = f"What {words} shows: 42.5 < 43 & so on."
    return Figure(name, words.capitalize(), caption, (panel,), **layout)


def _trial(
    probe: Trial, rng: np.random.Generator, number: int, more: Mapping[str, Any]
) -> FrozenTrial:
    """A trial with the parameters of another one."""
    scores = rng.uniform(0.3, 2, 3)
    best, epochs = int(rng.integers(3, 20)), int(rng.integers(20, 31))
    pruned = number % 3 == 2
    kept = {
        "configuration": Configuration(epochs=30, patience=7, lr=probe.params["lr"]).to_json(),
        "stopped": "pruned" if pruned else "epochs",
        "epochs": epochs,
        "best_epoch": best,
        "seconds": round(float(rng.uniform(1, 9)), 3),
        "n_parameters": int(rng.integers(1000, 99_999)),
        "device": "cpu",
        "backend": "compiled",
        "precision": "float32",
        "trials_per_batch": 1,
        "batch": [number],
        "provenance": PROVENANCE,
        "fold_scores": scores.tolist(),
        "std": float(scores.std(ddof=1)),
    }
    trial = create_trial(
        state=TrialState.PRUNED if pruned else TrialState.COMPLETE,
        value=None if pruned else float(scores.mean()),
        params=probe.params,
        distributions=probe.distributions,
        user_attrs=kept | more,
        intermediate_values={
            e: float(scores.mean()) + abs(best - e) / 50 for e in range(1, epochs)
        },
    )
    trial.datetime_start = BEGAN + timedelta(minutes=number)
    trial.datetime_complete = BEGAN + timedelta(minutes=number, seconds=40)
    return trial


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Makes studies."""
    return Made(tmp_path)


@dataclass(frozen=True)
class Written:
    """A report of three studies of two problems, and what it is a report of.

    Of ``one`` and ``three`` everything is stored, of ``two`` no evaluation and no figures.
    """

    studies: list[StudyResults]
    report: Report


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A report, written once."""
    made = Made(tmp_path_factory.mktemp("written"))
    of: dict[str, dict[str, Any]] = {
        "one": {},
        "two": {"seed": 1},
        "three": {"fingerprint": "f", "classify": True},
    }
    for name, settings in of.items():
        results = made.study(name, **settings)
        if name != "two":
            made.evaluated(results, tests=2 if name == "one" else 1, nested=True)
            made.ablated(results)
            made.analysed(results)
    studies = [made.open(name) for name in of]
    return Written(studies, made.report(*studies, author="Ada", title="All of it"))
