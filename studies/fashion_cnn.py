"""Classify FashionMNIST with a plain convolutional network."""

from optuna.trial import Trial

from hw1.datasets import fashion_mnist
from hw1.models import CNN
from hw1.objective import StudyDefinition
from hw1.training import Configuration


def search_space(trial: Trial) -> Configuration:
    blocks = trial.suggest_int("blocks", 1, 3)
    channels = trial.suggest_categorical("channels", [16, 32])
    optimizer = trial.suggest_categorical("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
    momentum = 0.0
    if optimizer == "sgd":
        momentum = trial.suggest_categorical("momentum", [0.0, 0.9, 0.95])
    schedule = trial.suggest_categorical("schedule", ["constant", "step", "cosine", "one_cycle"])
    return Configuration(
        model={
            "channels": [channels << block for block in range(blocks)],
            "convolutions": trial.suggest_int("convolutions", 1, 2),
            "kernel_size": trial.suggest_categorical("kernel_size", [3, 5]),
            "pooling": trial.suggest_categorical("pooling", ["max", "average"]),
            "batch_norm": trial.suggest_categorical("batch_norm", [False, True]),
            "head": trial.suggest_categorical("head", ["flatten", "average"]),
            "hidden": trial.suggest_categorical("hidden", [0, 128]),
            "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        },
        initialization=trial.suggest_categorical(
            "initialization", ["default", "xavier_uniform", "kaiming_normal", "orthogonal"]
        ),
        batch_size=trial.suggest_categorical("batch_size", [64, 128]),
        optimizer=optimizer,
        lr=trial.suggest_float("lr", 1e-4, 1e-1, log=True),
        momentum=momentum,
        nesterov=momentum > 0,
        weight_decay=trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
        l1=trial.suggest_categorical("l1", [0.0, 1e-6, 1e-5, 1e-4]),
        label_smoothing=trial.suggest_float("label_smoothing", 0.0, 0.2),
        schedule=schedule,
        # A schedule that lowers the rate gains most in its last epochs: not to be stopped before.
        patience=5 if schedule == "constant" else None,
        flip=trial.suggest_categorical("flip", [False, True]),
        shift=trial.suggest_int("shift", 0, 2),
        erase=trial.suggest_float("erase", 0.0, 0.5),
    )


study = StudyDefinition(
    dataset=fashion_mnist.load,
    task="classification",
    model=CNN,
    search_space=search_space,
    grid={
        "blocks": [1, 2, 3],
        "channels": [16, 32],
        "lr": [1e-3, 3e-3],
        "dropout": [0.0, 0.25],
    },
    defaults={
        "blocks": 2,
        "channels": 32,
        "convolutions": 1,
        "kernel_size": 3,
        "pooling": "max",
        "batch_norm": True,
        "head": "flatten",
        "hidden": 128,
        "dropout": 0.25,
        "initialization": "default",
        "batch_size": 128,
        "optimizer": "adamw",
        "momentum": 0.9,
        "lr": 2e-3,
        "weight_decay": 1e-4,
        "l1": 0.0,
        "label_smoothing": 0.0,
        "schedule": "one_cycle",
        "flip": True,
        "shift": 1,
        "erase": 0.0,
    },
    n_trials=30,
    n_splits=5,
    epochs=15,
)
