from collections.abc import Callable
from pathlib import Path

import pytest

from hw1.analysis.report.conditions import UNEXPLAINED, conditions
from hw1.definition import StudyDefinition, Trial
from hw1.models import MLP
from hw1.study_files import load_definition
from hw1.training import Configuration

STUDIES = Path(__file__).resolve().parents[3] / "studies"


def found(search_space: Callable[[Trial], object]) -> dict[str, str]:
    def configured(trial: Trial) -> Configuration:
        search_space(trial)
        return Configuration()

    return conditions(
        StudyDefinition(
            dataset=lambda part, data_dir: pytest.fail("data are loaded"),
            task="regression",
            model=MLP,
            search_space=configured,
        )
    )


def test_conditions_are_exact_among_decoys() -> None:
    def space(trial: Trial) -> None:
        # Decoys: other choices, numbers of few values, and numbers of which none comes twice.
        trial.suggest_categorical("augment", [False, True])
        optimizer = trial.suggest_categorical("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
        trial.suggest_float("lr", 1e-4, 1e-1, log=True)
        trial.suggest_int("seed", 0, 10**9)
        if optimizer in ("sgd", "rmsprop"):
            trial.suggest_float("momentum", 0.5, 0.95)
            # Suggested together with the momentum: neither is the condition of the other.
            if trial.suggest_categorical("nesterov", [False, True]):
                trial.suggest_float("damping", 0.0, 1.0)
        depth = trial.suggest_int("depth", 1, 4)
        for i in range(1, depth):
            trial.suggest_int(f"width_{i + 1}", 8, 128, log=True)
        if trial.suggest_categorical("clip", [None, 1.0, 2.5]) is not None:
            trial.suggest_int("norm", 1, 2)

    assert found(space) == {
        "momentum": "with optimizer sgd or rmsprop",
        "nesterov": "with optimizer sgd or rmsprop",
        "damping": "with nesterov yes",
        "width_2": "with depth 2, 3 or 4",
        "width_3": "with depth 3 or 4",
        "width_4": "with depth 4",
        "norm": "with clip 1 or 2.5",
    }


def test_what_no_parameter_alone_decides_is_called_so() -> None:
    def space(trial: Trial) -> None:
        schedule = trial.suggest_categorical("schedule", ["cosine", "step"])
        lr = trial.suggest_float("lr", 0.001, 0.1)
        if lr > 0.05:
            trial.suggest_categorical("warm", [False, True])
            trial.suggest_int("warm_epochs", 1, 2)
        if lr > 0.02 and schedule == "step":
            trial.suggest_float("gamma", 0.1, 0.9)
        if trial.suggest_int("many", 1, 1000) > 500:
            trial.suggest_float("half", 0.0, 1.0)

    expected = ("warm", "warm_epochs", "gamma", "half")
    assert found(space) == dict.fromkeys(expected, UNEXPLAINED)


def test_a_choice_of_many_needs_more_configurations() -> None:
    def space(trial: Trial) -> None:
        if trial.suggest_categorical("kind", [f"k{i}" for i in range(40)]) == "k7":
            trial.suggest_float("x", 0.0, 1.0)

    assert found(space) == {"x": "with kind k7"}


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.py")), ids=lambda path: path.stem)
def test_every_condition_of_the_projects_own_studies_is_explained(path: Path) -> None:
    found = conditions(load_definition(path))
    assert UNEXPLAINED not in found.values()
    assert found.get("momentum", "with optimizer sgd") == "with optimizer sgd"
