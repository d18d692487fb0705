"""The contract of every study definition, and its run on real data."""

import ast
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from conftest import ROOT, run

from hw1.cross_validation import CrossValidation, Splits, cross_validate
from hw1.datasets import Dataset
from hw1.definition import StudyDefinition
from hw1.job import Job
from hw1.samplers import PRUNERS, SAMPLERS
from hw1.study_files import describe, load_definition
from hw1.training import Configuration
from hw1.training.networks import build

STUDIES = ROOT / "studies"
NAMES = sorted(path.stem for path in STUDIES.glob("*.py"))
assert {"regression_mlp", "fashion_mlp", "fashion_cnn", "fashion_resnet"} <= set(NAMES)
DATA = Path(os.environ.get("HW1_DATA", "data"))
needs_fashion_mnist = pytest.mark.skipif(
    not (DATA / "FashionMNIST" / "raw").is_dir(),
    reason="FashionMNIST is not at hand: set HW1_DATA to the folder that holds FashionMNIST/raw",
)


def load(name: str) -> StudyDefinition:
    return load_definition(STUDIES / f"{name}.py")


def example(definition: StudyDefinition) -> Dataset:
    """Rows of the shape that the study is for."""
    if definition.task == "regression":
        return definition.dataset("train", DATA)
    images = torch.randint(256, (60, 1, 28, 28), dtype=torch.uint8)
    names = tuple(map(str, range(10)))
    return Dataset("noise", "classification", images, torch.arange(60) % 10, names)


@pytest.mark.parametrize("name", NAMES)
def test_a_definition_is_whole(name: str) -> None:
    definition = load(name)
    assert describe(STUDIES / f"{name}.py")
    assert definition.sampler in SAMPLERS
    assert definition.pruner in PRUNERS
    assert len(definition.cells()) > 1
    searched = definition.parameters.keys()
    assert not searched - definition.default_params.keys(), "every parameter has a default"
    assert {"lr", "initialization", "weight_decay"} <= searched
    if name.startswith("fashion"):
        assert {"optimizer", "batch_size", "schedule", "label_smoothing"} <= searched
        assert {"l1", "dropout", "shift"} <= searched


@pytest.mark.parametrize("name", NAMES)
def test_a_search_can_do_without_penalties_and_with_every_optimizer(name: str) -> None:
    definition = load(name)
    params = definition.default_params | {"l1": 0.0, "dropout": 0.0}
    configuration = definition.configure(optuna.trial.FixedTrial(params))
    assert (configuration.optimizer, configuration.momentum) == ("adamw", 0.0)
    assert configuration.l1 == configuration.model.get("dropout", 0.0) == 0.0
    if "optimizer" in definition.parameters:
        sgd = definition.configure(optuna.trial.FixedTrial(params | {"optimizer": "sgd"}))
        assert sgd.momentum == 0.9 and sgd.nesterov
        if "sgd_lr" in definition.parameters:
            assert sgd.lr > 10 * configuration.lr


@pytest.mark.parametrize("name", NAMES)
def test_whatever_is_suggested_can_be_built_and_survives_json(name: str) -> None:
    definition = load(name)
    dataset = example(definition)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(25):
        configuration = definition.configure(study.ask())
        assert Configuration(**configuration.to_json()) == configuration
        model = build(definition.model, configuration, dataset, 0).eval()
        outputs = model(dataset.inputs[:3].float())
        assert outputs.shape == (3, dataset.n_outputs)
        # Training is not stopped before the learning rate is low.
        assert configuration.patience is None or configuration.schedule == "constant"


def defaults(name: str, folds: int, **changes: Any) -> CrossValidation:
    """The default configuration, cross-validated."""
    definition = load(name)
    dataset = example(definition)
    configuration = definition.configure(optuna.trial.FixedTrial(definition.default_params))
    configuration = replace(configuration, **{"epochs": definition.epochs} | changes)
    splits = Splits.draw(dataset, folds, 0)
    ((_, result),) = cross_validate(definition.model, {0: configuration}, dataset, splits, seed=0)
    return result


@pytest.mark.parametrize("name", NAMES)
def test_the_default_configuration_trains(name: str) -> None:
    assert defaults(name, 2, epochs=1).best_epoch == 1


@pytest.mark.parametrize("name", NAMES)
def test_importing_a_study_loads_no_data(name: str) -> None:
    tree = ast.parse((STUDIES / f"{name}.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not [c for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr == "load"]


@needs_fashion_mnist
@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("fashion")])
def test_fashion_studies_learn_from_the_real_images(name: str, url: str) -> None:
    job = Job(name, STUDIES / f"{name}.py", url, name, DATA, torch.device("cpu"))
    study = run(
        job,
        sampler="grid",
        n_trials=1,
        n_splits=2,
        epochs=8,
        train_size=1500,
        finalists=1,
        final_repeats=1,
    )
    assert study.settings.n_rows == 1500
    assert study.best_trial().values[0] > 0.25  # of ten classes, guessing gives 0.1


def test_the_regression_defaults_are_a_good_network() -> None:
    # The noise alone is 0.09, a Gaussian process has 0.13.
    assert defaults("regression_mlp", 5).mean < 0.18


def test_the_regression_study_fits_better_than_the_mean(url: str) -> None:
    path = STUDIES / "regression_mlp.py"
    job = Job("regression_mlp", path, url, "r", DATA, torch.device("cpu"))
    study = run(job, sampler="grid", n_trials=2, epochs=60)
    targets = example(job.definition).targets
    assert study.best_trial().values[0] < 0.5 * float(targets.var())
