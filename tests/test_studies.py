"""The contract of every study definition, and its run on real data."""

import ast
import os
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
import torch
from conftest import run

from hw1.cross_validation import Splits, cross_validate
from hw1.datasets import Dataset
from hw1.definition import StudyDefinition
from hw1.errors import InputError
from hw1.job import Job, Options, prepare
from hw1.samplers import PRUNERS, SAMPLERS
from hw1.study_files import describe, load_definition
from hw1.training import Configuration
from hw1.training.networks import build

STUDIES = Path(__file__).resolve().parent.parent / "studies"
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
    missing = definition.parameters.keys() - definition.default_params.keys()
    assert not missing, "every parameter has a default"


@pytest.mark.parametrize("name", NAMES)
def test_a_definition_searches_what_it_should(name: str) -> None:
    searched = load(name).parameters.keys()
    assert {"optimizer", "lr", "momentum", "weight_decay", "l1", "dropout"} <= searched
    assert "initialization" in searched
    if name.startswith("fashion"):
        assert {"batch_size", "schedule", "flip", "shift", "label_smoothing"} <= searched


@pytest.mark.parametrize("name", NAMES)
def test_a_search_can_do_without_l1_dropout_and_momentum(name: str) -> None:
    definition = load(name)
    params = definition.default_params | {"optimizer": "sgd"}
    without = params | {"l1": 0.0, "dropout": 0.0, "momentum": 0.0}
    configuration = definition.configure(optuna.trial.FixedTrial(without))
    assert (configuration.l1, configuration.momentum) == (0.0, 0.0)
    assert configuration.model["dropout"] == 0.0
    configuration = definition.configure(optuna.trial.FixedTrial(params))
    assert configuration.momentum == 0.9 and configuration.nesterov


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


@pytest.mark.parametrize("name", NAMES)
def test_the_default_configuration_trains(name: str) -> None:
    definition = load(name)
    dataset = example(definition)
    configuration = definition.configure(optuna.trial.FixedTrial(definition.default_params))
    configuration = replace(configuration, epochs=1)
    ((_, result),) = cross_validate(
        definition.model, {0: configuration}, dataset, Splits.draw(dataset, 2, 0), seed=0
    )
    assert result.best_epoch == 1


@pytest.mark.parametrize("name", NAMES)
def test_importing_a_study_loads_no_data(name: str) -> None:
    tree = ast.parse((STUDIES / f"{name}.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not [c for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr == "load"]


@needs_fashion_mnist
@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("fashion")])
def test_fashion_studies_learn_from_the_real_images(name: str, url: str) -> None:
    job = Job(name, STUDIES / f"{name}.py", url, name, DATA, torch.device("cpu"))
    study = run(job, sampler="grid", n_trials=1, n_splits=2, epochs=3, train_size=1500)
    assert study.settings.n_rows == 1500
    assert study.best_trial().values[0] > 0.25  # of ten classes, guessing gives 0.1


@needs_fashion_mnist
def test_images_do_not_go_with_more_folds_than_a_class_has(url: str) -> None:
    job = Job("x", STUDIES / "fashion_mlp.py", url, "x", DATA, torch.device("cpu"))
    with pytest.raises(InputError, match="has 3 training examples, too few for 4 folds"):
        prepare(job, Options(train_size=30, n_splits=4))


def test_the_regression_defaults_are_a_good_network() -> None:
    definition = load("regression_mlp")
    dataset = example(definition)
    configuration = definition.configure(optuna.trial.FixedTrial(definition.default_params))
    configuration = replace(configuration, epochs=definition.epochs)
    ((_, result),) = cross_validate(
        definition.model, {0: configuration}, dataset, Splits.draw(dataset, 5, 0), seed=0
    )
    # The noise alone is 0.09, a Gaussian process has 0.13.
    assert result.mean < 0.18


def test_the_regression_study_fits_better_than_the_mean(url: str) -> None:
    path = STUDIES / "regression_mlp.py"
    job = Job("regression_mlp", path, url, "r", DATA, torch.device("cpu"))
    study = run(job, sampler="grid", n_trials=2, epochs=60)
    targets = example(job.definition).targets
    assert study.best_trial().values[0] < 0.5 * float(targets.var())
