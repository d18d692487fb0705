"""Classify FashionMNIST with a residual convolutional network."""

from hw1 import Round
from hw1.datasets import fashion_mnist
from hw1.definition import StudyDefinition, Trial
from hw1.models import ResNet
from hw1.training import Configuration


def search_space(trial: Trial) -> Configuration:
    optimizer = trial.suggest_categorical(
        "optimizer", ["sgd", "adam", "adamw", "rmsprop"], default="adamw"
    )
    momentum = 0.0
    if optimizer == "sgd":
        momentum = trial.suggest_categorical("momentum", [0.0, 0.9, 0.95], default=0.9)
    return Configuration(
        model={
            "width": trial.suggest_categorical("width", [8, 16, 32], default=16, grid=[8, 16]),
            "stages": trial.suggest_int("stages", 2, 4, default=3, grid=[2, 3]),
            "blocks": trial.suggest_int("blocks", 1, 2, default=1, grid=[1, 2]),
            "activation": trial.suggest_categorical("activation", ["relu", "silu"], default="relu"),
            "dropout": trial.suggest_float("dropout", 0.0, 0.3, default=0.0),
        },
        initialization=trial.suggest_categorical(
            "initialization",
            ["default", "xavier_uniform", "kaiming_normal", "orthogonal"],
            default="kaiming_normal",
        ),
        batch_size=trial.suggest_categorical("batch_size", [64, 128], default=128),
        optimizer=optimizer,
        lr=trial.suggest_float("lr", 3e-4, 1e-1, log=True, default=5e-3, grid=[3e-3, 1e-2]),
        momentum=momentum,
        nesterov=momentum > 0,
        weight_decay=trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True, default=1e-4),
        l1=trial.suggest_categorical("l1", [0.0, 1e-6, 1e-5, 1e-4], default=0.0),
        label_smoothing=trial.suggest_float("label_smoothing", 0.0, 0.2, default=0.0),
        max_grad_norm=trial.suggest_categorical("max_grad_norm", [None, 1.0], default=None),
        # No patience: a schedule that lowers the rate gains most in its last epochs.
        schedule=trial.suggest_categorical(
            "schedule", ["step", "cosine", "one_cycle"], default="one_cycle"
        ),
        flip=trial.suggest_categorical("flip", [False, True], default=True),
        shift=trial.suggest_int("shift", 0, 2, default=1),
        erase=trial.suggest_float("erase", 0.0, 0.5, default=0.25),
    )


study = StudyDefinition(
    dataset=fashion_mnist.load,
    task="classification",
    model=ResNet,
    search_space=search_space,
    n_trials=20,
    n_splits=5,
    epochs=12,
    # The score of 60,000 images is good to a thousandth: one repeat tells what chance has picked.
    rounds=[Round(trials=3, repeats=1)],
)
