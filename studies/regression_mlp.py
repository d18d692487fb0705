"""Fit a noisy 1-D function with gaps, or any CSV with numeric targets, with an MLP."""

from optuna.trial import Trial

from hw1.datasets import function
from hw1.models import MLP
from hw1.objective import StudyDefinition
from hw1.training import Configuration


def search_space(trial: Trial) -> Configuration:
    depth = trial.suggest_int("depth", 1, 4)
    width = trial.suggest_int("width", 8, 128, log=True)
    optimizer = trial.suggest_categorical("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
    momentum = trial.suggest_float("momentum", 0.5, 0.95) if optimizer == "sgd" else 0.0
    return Configuration(
        model={
            "widths": [width] * depth,
            "activation": trial.suggest_categorical("activation", ["relu", "silu", "tanh"]),
            "batch_norm": trial.suggest_categorical("batch_norm", [False, True]),
            "dropout": trial.suggest_float("dropout", 0.0, 0.3),
        },
        initialization=trial.suggest_categorical(
            "initialization", ["default", "xavier_uniform", "kaiming_normal", "orthogonal"]
        ),
        batch_size=trial.suggest_categorical("batch_size", [20, 40, 80]),
        optimizer=optimizer,
        lr=trial.suggest_float("lr", 3e-4, 1e-1, log=True),
        momentum=momentum,
        nesterov=optimizer == "sgd",
        weight_decay=trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True),
        l1=trial.suggest_float("l1", 1e-7, 1e-2, log=True),
        max_grad_norm=trial.suggest_categorical("max_grad_norm", [None, 1.0]),
        schedule=trial.suggest_categorical("schedule", ["constant", "cosine", "one_cycle"]),
        patience=60,
    )


study = StudyDefinition(
    dataset=function.load,
    task="regression",
    model=MLP,
    search_space=search_space,
    grid={
        "depth": [1, 2, 3],
        "width": [16, 64],
        "optimizer": ["sgd", "adam"],
        "lr": [3e-3, 1e-2, 3e-2],
        "weight_decay": [1e-6, 1e-3],
    },
    defaults={
        "depth": 2,
        "width": 64,
        "optimizer": "adam",
        "momentum": 0.9,
        "activation": "tanh",
        "batch_norm": False,
        "dropout": 0.0,
        "initialization": "xavier_uniform",
        "batch_size": 20,
        "lr": 1e-2,
        "weight_decay": 1e-6,
        "l1": 1e-7,
        "max_grad_norm": None,
        "schedule": "cosine",
    },
    n_trials=30,
    n_splits=5,
    epochs=200,
)
