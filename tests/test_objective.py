import json
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from conftest import replacing
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from hw1.cross_validation import Splits, cross_validate
from hw1.datasets import Dataset, Part, function
from hw1.definition import CONFIGURATIONS, MISSING, Parameter, StudyDefinition, Trial
from hw1.errors import ArchitectureError, InputError
from hw1.models import CNN, MLP
from hw1.objective import Objective
from hw1.provenance import provenance
from hw1.study import state_name
from hw1.training import Configuration
from hw1.training.networks import ModelClass

DATA = function.load("train", Path())
SPLITS = Splits.draw(DATA, 3, 0)


def search_space(trial: Trial) -> Configuration:
    optimizer = trial.suggest_categorical("optimizer", ["sgd", "adam"], default="sgd")
    momentum = 0.0
    if optimizer == "sgd":
        momentum = trial.suggest_float("momentum", 0.5, 0.9, default=0.8)
    return Configuration(
        model={"widths": [trial.suggest_int("width", 4, 16, grid=[4, 8])]},
        optimizer=optimizer,
        momentum=momentum,
        lr=trial.suggest_float("lr", 1e-3, 1e-1, log=True, default=0.02, grid=[0.01, 0.1]),
    )


def define(family: ModelClass = MLP, **changes: object) -> StudyDefinition:
    fields: dict[str, object] = {
        "dataset": function.load,
        "task": "regression",
        "model": family,
        "search_space": search_space,
    }
    return StudyDefinition(**(fields | changes))  # type: ignore[arg-type]


def make_objective(definition: StudyDefinition, epochs: int = 3) -> Objective:
    return Objective(definition, DATA, SPLITS, seed=5, epochs=epochs, device=torch.device("cpu"))


def tried(definition: StudyDefinition, epochs: int = 3, **options: Any) -> FrozenTrial:
    """What becomes of one trial in a study with these options of Optuna's."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0), **options)
    study.optimize(make_objective(definition, epochs), n_trials=1)
    return study.trials[0]


def test_a_trials_value_is_its_cross_validation() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(make_objective(define()), n_trials=2)
    for trial in study.trials:
        c = Configuration(**trial.user_attrs["configuration"])
        assert c.lr == trial.params["lr"]
        assert c.epochs == 3
        ((_, alone),) = cross_validate(MLP, {trial.number: c}, DATA, SPLITS, seed=5)
        assert trial.value == alone.mean
        assert trial.user_attrs["fold_scores"] == alone.fold_scores.tolist()
        assert trial.user_attrs["std"] == alone.std
        assert trial.user_attrs["best_epoch"] == alone.best_epoch
        assert trial.user_attrs["batch"] == [trial.number]
        assert trial.user_attrs["provenance"] == provenance(torch.device("cpu"))
        assert trial.user_attrs["n_parameters"] == alone.n_parameters
        assert trial.user_attrs["seconds"] > 0
        assert list(trial.intermediate_values.values()) == alone.curves.mean(1).tolist()
        assert list(trial.intermediate_values) == [1, 2, 3]
        for name in ("training_losses", "training_scores", "validation_losses"):
            means = getattr(alone.measures, name).mean(1)
            assert trial.user_attrs[name] == [float(f"{mean:.5g}") for mean in means]
        json.dumps(trial.user_attrs)


def test_a_study_is_scored_by_the_metric_that_its_definition_names() -> None:
    trial = tried(define(metric="mean_absolute_error"))
    c = Configuration(**trial.user_attrs["configuration"])
    ((_, found),) = cross_validate(MLP, {0: c}, DATA, SPLITS, seed=5)
    assert found.outputs is not None
    errors = (found.outputs - DATA.targets).abs().double()
    scores = [float(errors[rows].mean()) for rows in SPLITS.validation_rows()]
    if found.best_epoch == trial.user_attrs["best_epoch"]:
        assert trial.user_attrs["fold_scores"] == pytest.approx(scores, rel=1e-6)
    assert trial.value == pytest.approx(sum(trial.user_attrs["fold_scores"]) / 3)
    with pytest.raises(InputError, match="unknown metric 'accuracy'"):
        define(metric="accuracy")


def test_the_pruner_sees_the_fold_means() -> None:
    pruner = optuna.pruners.ThresholdPruner(upper=0.0, n_warmup_steps=2)
    stored = tried(define(), epochs=9, pruner=pruner)
    assert list(stored.intermediate_values) == [1, 2]
    assert stored.user_attrs["stopped"] == "pruned"
    assert len(stored.user_attrs["fold_scores"]) == 3
    assert state_name(stored) == "pruned"


def test_a_trial_that_reached_its_last_epoch_keeps_its_value() -> None:
    pruner = optuna.pruners.ThresholdPruner(upper=0.0, n_warmup_steps=3)
    trial = tried(define(), epochs=3, pruner=pruner)
    assert (trial.state, trial.user_attrs["stopped"]) == (TrialState.COMPLETE, "epochs")


def test_a_network_that_cannot_exist_is_refused_untrained() -> None:
    def blocks(trial: Trial) -> Configuration:
        return Configuration(model={"channels": [4] * trial.suggest_int("blocks", 1, 2)})

    trial = tried(define(CNN, search_space=blocks))
    assert state_name(trial) == "invalid"
    assert "needs images" in trial.user_attrs["refused"]
    assert not trial.intermediate_values


def test_a_training_that_diverges_at_once_has_no_value() -> None:
    def explosive(trial: Trial) -> Configuration:
        return Configuration(optimizer="sgd", lr=trial.suggest_float("lr", 1e30, 1e31))

    trial = tried(define(search_space=explosive))
    assert (trial.state, trial.user_attrs["stopped"]) == (TrialState.PRUNED, "diverged")
    assert state_name(trial) == "pruned"


def test_a_training_that_diverges_late_has_the_value_of_its_best_epoch() -> None:
    # Weight decay beyond 2 / lr makes the weights swing ever wider, at first in secret.
    def swinging(trial: Trial) -> Configuration:
        return Configuration(
            optimizer="sgd", lr=trial.suggest_float("lr", 0.1, 0.1), weight_decay=60.0
        )

    trial = tried(define(search_space=swinging), epochs=99)
    assert (trial.state, trial.user_attrs["stopped"]) == (TrialState.COMPLETE, "diverged")
    assert trial.value == min(trial.intermediate_values.values())
    assert trial.user_attrs["epochs"] < 99


def test_the_search_space_is_read_off_with_its_dependent_parameters() -> None:
    definition = define()
    found = definition.parameters
    assert sorted(found) == ["lr", "momentum", "optimizer", "width"]
    lr = optuna.distributions.FloatDistribution(1e-3, 1e-1, log=True)
    assert found["lr"] == Parameter(lr, default=0.02, grid=[0.01, 0.1])
    assert (found["width"].default, found["momentum"].grid) == (MISSING, [])
    assert definition.default_params == {"optimizer": "sgd", "momentum": 0.8, "lr": 0.02}
    assert define().fingerprint() == define().fingerprint()


def test_the_cells_are_the_product_of_the_grid_over_the_defaults() -> None:
    cells = define().cells()
    pairs = sorted((cell["width"], cell["lr"]) for cell in cells)
    assert pairs == [(4, 0.01), (4, 0.1), (8, 0.01), (8, 0.1)]
    assert all(cell["optimizer"] == "sgd" and cell["momentum"] == 0.8 for cell in cells)


@pytest.mark.parametrize(
    ("suggestion", "reason"),
    [
        ('suggest_int("width", 4, 16, grid=[4, 99])', "width = 99 in its grid is outside"),
        ('suggest_int("width", 4, 16, default="four")', "width = 'four' in its default"),
        ('suggest_int("width", 4, 16, step=4, default=6)', "width = 6 in its default"),
        ('suggest_float("width", 0, 1, default=float("nan"))', "width = nan in its default"),
        ('suggest_categorical("width", [4, 8], default=5)', "width = 5 in its default"),
        ('suggest_int("width", 4, 16, default=4 + trial.number % 2)', "width has several defaults"),
    ],
)
def test_defaults_and_grids_are_within_their_ranges(suggestion: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        space(f"trial.{suggestion}\nreturn Configuration()").cells()


def test_a_search_space_takes_any_of_optunas_trials() -> None:
    params = {"optimizer": "adam", "width": 9, "lr": 0.05}
    assert define().configure(FixedTrial(params)).lr == 0.05


def space(source: str) -> StudyDefinition:
    """The definition with a search space given as the body of its function."""
    names: dict[str, object] = {"Configuration": Configuration}
    exec("def space(trial):\n" + "".join(f"    {line}\n" for line in source.splitlines()), names)
    return define(search_space=names["space"])


def variant(source: str) -> dict[str, str]:
    return space(source).fingerprint()


SPACE = """kind = trial.suggest_categorical("optimizer", ["sgd", "adam", "adamw"])
momentum = trial.suggest_float("momentum", 0.1, 0.9) if kind == "sgd" else 0.0
width = trial.suggest_int("width", 4, 64 if kind == "sgd" else 32)
return Configuration(model={"widths": [width]}, optimizer=kind, momentum=momentum, patience=9)"""


def test_the_fingerprint_does_not_see_the_order_of_suggestions() -> None:
    lines = SPACE.splitlines()
    assert variant("\n".join([lines[0], lines[2], lines[1], lines[3]])) == variant(SPACE)


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ("0.1, 0.9", "0.1, 0.8", {"momentum"}),
        ('"adamw"]', '"adamw", "rmsprop"]', {"optimizer"}),
        ('if kind == "sgd" else 0.0', 'if kind != "adam" else 0.0', set()),
        ("64 if", "48 if", {"width"}),
        ("patience=9", "patience=8", set()),
        ("[width]}", "[width, width]}", set()),
    ],
)
def test_the_fingerprint_sees_bounds_choices_conditions_and_constants(
    old: str, new: str, names: set[str]
) -> None:
    before, now = variant(SPACE), variant(replacing(SPACE, old, new))
    changed = {name for name in now if now[name] != before[name]}
    assert changed
    assert changed - {CONFIGURATIONS} == names


def test_what_a_search_space_returns_is_checked_at_its_line() -> None:
    def nothing(trial: Trial) -> Configuration:
        trial.suggest_float("lr", 0.1, 0.2)
        return None  # type: ignore[return-value]

    def unheard_of(trial: Trial) -> Configuration:
        return Configuration(model={"activation": torch.nn.ReLU})

    def fails(trial: Trial) -> Configuration:
        raise KeyError("momentum")

    def misspelt(trial: Trial) -> Configuration:
        return Configuration(optimizer="adma")  # type: ignore[arg-type]

    for space, shift, words in (
        (nothing, 0, "search_space returns nothing: return a Configuration"),
        (unheard_of, 0, "holds what JSON cannot"),
        (fails, 1, "KeyError: 'momentum': correct it"),
        (misspelt, 1, "unknown optimizer 'adma': did you mean 'adam'"),
    ):
        where = f"{__file__}:{space.__code__.co_firstlineno + shift}: "
        definition = define(search_space=space)
        for run in (definition.fingerprint, lambda d=definition: _suggest(d)):
            with pytest.raises(InputError) as caught:
                run()
            assert str(caught.value).startswith(where)
            assert words in str(caught.value)


def _suggest(definition: StudyDefinition) -> None:
    make_objective(definition).suggest(optuna.create_study().ask())


def test_a_search_space_may_refuse_its_own_suggestion() -> None:
    def refuses(trial: Trial) -> Configuration:
        raise ArchitectureError("too deep")

    with pytest.raises(ArchitectureError, match=r"^too deep$"):
        _suggest(define(search_space=refuses))


def test_a_model_that_does_not_take_the_configuration_is_named_at_the_search_space() -> None:
    def misspelt(trial: Trial) -> Configuration:
        return Configuration(model={"width": 8})

    where = f"{__file__}:{misspelt.__code__.co_firstlineno}: "
    with pytest.raises(
        InputError, match=r"does not fit MLP: got an unexpected .*'width'"
    ) as caught:
        _suggest(define(search_space=misspelt))
    assert str(caught.value).startswith(where)


def test_a_loader_that_fails_is_named_by_its_line() -> None:
    def fails(part: Part, data_dir: Path) -> Dataset:
        return Dataset("mine", "regression", torch.zeros(5, 5, 4, 3, 2), torch.zeros(5, 1))

    def nothing(part: Part, data_dir: Path) -> Dataset:
        return None  # type: ignore[return-value]

    for load, shift, words in (
        (fails, 1, "the data 'mine' cannot be trained on: its examples have the shape"),
        (nothing, 0, "the loader returns nothing"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            define(dataset=load).load("train", Path())
        assert str(caught.value).startswith(f"{__file__}:{load.__code__.co_firstlineno + shift}: ")


def test_an_error_of_ours_stays_loud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(function, "N_ROWS", "many")
    with pytest.raises(TypeError):
        define().load("train", Path())
