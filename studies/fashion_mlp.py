"""Classify FashionMNIST with an MLP on its pixels."""

from optuna.trial import Trial

from hw1.datasets import fashion_mnist
from hw1.models import MLP
from hw1.objective import StudyDefinition
from hw1.training import Configuration


def search_space(trial: Trial) -> Configuration:
    depth = trial.suggest_int("depth", 1, 3)
    width = trial.suggest_int("width", 64, 512, log=True)
    optimizer = trial.suggest_categorical("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
    momentum = 0.0
    if optimizer == "sgd":
        momentum = trial.suggest_categorical("momentum", [0.0, 0.9, 0.95])
    schedule = trial.suggest_categorical("schedule", ["constant", "step", "cosine", "one_cycle"])
    return Configuration(
        model={
            "widths": [width] * depth,
            "activation": trial.suggest_categorical("activation", ["relu", "gelu", "silu"]),
            "batch_norm": trial.suggest_categorical("batch_norm", [False, True]),
            "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        },
        initialization=trial.suggest_categorical(
            "initialization", ["default", "xavier_uniform", "kaiming_normal", "orthogonal"]
        ),
        batch_size=trial.suggest_categorical("batch_size", [64, 128, 256]),
        optimizer=optimizer,
        lr=trial.suggest_float("lr", 1e-4, 1e-1, log=True),
        momentum=momentum,
        nesterov=momentum > 0,
        weight_decay=trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
        l1=trial.suggest_categorical("l1", [0.0, 1e-6, 1e-5, 1e-4]),
        label_smoothing=trial.suggest_float("label_smoothing", 0.0, 0.2),
        schedule=schedule,
        # A schedule that lowers the rate gains most in its last epochs: not to be stopped before.
        patience=8 if schedule == "constant" else None,
        shift=trial.suggest_int("shift", 0, 2),
        flip=trial.suggest_categorical("flip", [False, True]),
    )


study = StudyDefinition(
    dataset=fashion_mnist.load,
    task="classification",
    model=MLP,
    search_space=search_space,
    grid={
        "depth": [1, 2, 3],
        "width": [128, 512],
        "lr": [3e-4, 1e-3, 3e-3],
        "dropout": [0.0, 0.3],
    },
    defaults={
        "depth": 2,
        "width": 256,
        "optimizer": "adamw",
        "momentum": 0.9,
        "activation": "relu",
        "batch_norm": True,
        "dropout": 0.2,
        "initialization": "default",
        "batch_size": 128,
        "lr": 1e-3,
        "weight_decay": 1e-4,
        "l1": 0.0,
        "label_smoothing": 0.0,
        "schedule": "cosine",
        "shift": 0,
        "flip": False,
    },
    n_trials=40,
    n_splits=5,
    epochs=30,
)
