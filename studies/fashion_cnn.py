"""Classify FashionMNIST with a plain convolutional network."""

from hw1 import Round
from hw1.datasets import fashion_mnist
from hw1.definition import StudyDefinition, Trial
from hw1.models import CNN
from hw1.training import Configuration


def search_space(trial: Trial) -> Configuration:
    blocks = trial.suggest_int("blocks", 1, 3, default=2, grid=[1, 2, 3])
    channels = trial.suggest_categorical("channels", [16, 32], default=32, grid=[16, 32])
    optimizer = trial.suggest_categorical(
        "optimizer", ["sgd", "adam", "adamw", "rmsprop"], default="adamw"
    )
    momentum = 0.0
    if optimizer == "sgd":
        momentum = trial.suggest_categorical("momentum", [0.0, 0.9, 0.95], default=0.9)
    schedule = trial.suggest_categorical(
        "schedule", ["constant", "step", "cosine", "one_cycle"], default="one_cycle"
    )
    return Configuration(
        model={
            "channels": [channels << block for block in range(blocks)],
            "convolutions": trial.suggest_int("convolutions", 1, 2, default=1),
            "kernel_size": trial.suggest_categorical("kernel_size", [3, 5], default=3),
            "pooling": trial.suggest_categorical("pooling", ["max", "average"], default="max"),
            "batch_norm": trial.suggest_categorical("batch_norm", [False, True], default=True),
            "head": trial.suggest_categorical("head", ["flatten", "average"], default="flatten"),
            "hidden": trial.suggest_categorical("hidden", [0, 128], default=128),
            "dropout": trial.suggest_float("dropout", 0.0, 0.5, default=0.25, grid=[0.0, 0.25]),
        },
        initialization=trial.suggest_categorical(
            "initialization",
            ["default", "xavier_uniform", "kaiming_normal", "orthogonal"],
            default="default",
        ),
        batch_size=trial.suggest_categorical("batch_size", [64, 128], default=128),
        optimizer=optimizer,
        lr=trial.suggest_float("lr", 1e-4, 1e-1, log=True, default=2e-3, grid=[1e-3, 3e-3]),
        momentum=momentum,
        nesterov=momentum > 0,
        weight_decay=trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True, default=1e-4),
        l1=trial.suggest_categorical("l1", [0.0, 1e-6, 1e-5, 1e-4], default=0.0),
        label_smoothing=trial.suggest_float("label_smoothing", 0.0, 0.2, default=0.0),
        schedule=schedule,
        # A schedule that lowers the rate gains most in its last epochs: not to be stopped before.
        patience=5 if schedule == "constant" else None,
        flip=trial.suggest_categorical("flip", [False, True], default=True),
        shift=trial.suggest_int("shift", 0, 2, default=1),
        erase=trial.suggest_float("erase", 0.0, 0.5, default=0.0),
    )


study = StudyDefinition(
    dataset=fashion_mnist.load,
    task="classification",
    model=CNN,
    search_space=search_space,
    n_trials=30,
    n_splits=5,
    epochs=15,
    # The score of 60,000 images is good to a thousandth: one repeat tells what chance has picked.
    rounds=[Round(trials=3, repeats=1)],
)
