"""Two search spaces: that of `regression_mlp`, and one that is wider than any study's.

Searches are replayed in the study's own. What single choices are worth, and those that the study
leaves out in particular, is estimated in the wide one.
"""

import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import FixedTrial

from benchmarks.search_quality.problems import Problem
from hw1.models import MLP
from hw1.study_files import load_definition
from hw1.training import Configuration
from hw1.training.initialization import INITIALIZATIONS

STUDY = load_definition(Path(__file__).parents[2] / "studies" / "regression_mlp.py")
FIRST_OF_STUDY = 10_000
"""The number of the study's default configuration. Those from it on are of the study's space."""
MODEL = MLP
# For each optimizer: its name in hw1, its momentum, whether it is Nesterov's, its learning rates.
OPTIMIZERS: dict[str, tuple[str, float, bool, tuple[float, float]]] = {
    "sgd": ("sgd", 0.0, False, (1e-2, 5e-1)),
    "momentum": ("sgd", 0.9, False, (3e-3, 3e-1)),
    "nesterov": ("sgd", 0.9, True, (3e-3, 3e-1)),
    "adam": ("adam", 0.0, False, (1e-3, 3e-2)),
    "adamw": ("adamw", 0.0, False, (1e-3, 3e-2)),
    "rmsprop": ("rmsprop", 0.0, False, (2e-4, 1e-2)),
}
BATCHES = ("small", "medium", "all")
"""The batch sizes of a problem, in their order."""


SHARES: dict[str, dict[Any, float]] = {
    "depth": {1: 2, 2: 5, 3: 3},
    "activation": dict.fromkeys(("relu", "tanh", "silu", "gelu"), 1),
    "batch_norm": {False: 6, True: 1},
    "dropout": {0.0: 6, 0.1: 1, 0.3: 1},
    "initialization": dict.fromkeys(INITIALIZATIONS, 1),
    "optimizer": {"sgd": 1, "momentum": 1, "nesterov": 2, "adam": 3, "adamw": 4, "rmsprop": 1},
    "decays": {False: 1, True: 3},
    "sparse": {False: 2, True: 1},
    "batch": {"small": 1, "medium": 1, "all": 3},
    "schedule": {"constant": 2, "step": 1, "cosine": 4, "one_cycle": 2},
    "max_grad_norm": {None: 1, 1.0: 1},
    "ema": {0.0: 2, 0.98: 1, 0.995: 1},
    "input_scale": {1.0: 1, 2.0: 1},
}
"""How often each choice is drawn."""


def draw(number: int) -> dict[str, Any]:
    """The parameters of the configuration with this number, the same for all problems.

    Each parameter is drawn from the number and its own name, so that one more changes no other.
    """
    if number == FIRST_OF_STUDY:
        return STUDY.default_params
    if number > FIRST_OF_STUDY:
        trial, _ = STUDY.probes(number - FIRST_OF_STUDY)[-1]
        return dict(trial.params)

    def generator(name: str) -> np.random.Generator:
        return np.random.default_rng([number, zlib.crc32(name.encode())])

    def choice(name: str) -> Any:
        weights = np.array(list(SHARES[name].values()))
        return list(SHARES[name])[generator(name).choice(len(weights), p=weights / weights.sum())]

    def log_uniform(name: str, low: float, high: float) -> float:
        return float(np.exp(generator(name).uniform(np.log(low), np.log(high))))

    parameters = {name: choice(name) for name in ("depth", "activation", "batch_norm", "dropout")}
    parameters["width"] = round(log_uniform("width", 8, 256))
    parameters |= {name: choice(name) for name in ("initialization", "optimizer")}
    optimizer = parameters["optimizer"]
    parameters["lr"] = log_uniform("lr", *OPTIMIZERS[optimizer][3])
    decays = (1e-4, 1.0) if optimizer == "adamw" else (1e-6, 1e-2)
    decay, l1 = log_uniform("weight_decay", *decays), log_uniform("l1", 1e-5, 1e-2)
    parameters["weight_decay"] = decay if choice("decays") else 0.0
    parameters["l1"] = l1 if choice("sparse") else 0.0
    parameters |= {
        name: choice(name) for name in ("batch", "schedule", "max_grad_norm", "ema", "input_scale")
    }
    return parameters


def configuration(parameters: dict[str, Any], problem: Problem) -> Configuration:
    """The configuration with these parameters on a problem."""
    if "optimizer" not in parameters:  # the study has one alone
        found = STUDY.configure(FixedTrial(parameters))
        return replace(found, epochs=problem.epochs)
    name, momentum, nesterov, _ = OPTIMIZERS[parameters["optimizer"]]
    return Configuration(
        model={
            "widths": [parameters["width"]] * parameters["depth"],
            "activation": parameters["activation"],
            "batch_norm": parameters["batch_norm"],
            "dropout": parameters["dropout"],
        },
        epochs=problem.epochs,
        batch_size=problem.batch_sizes[BATCHES.index(parameters["batch"])],
        optimizer=name,
        momentum=momentum,
        nesterov=nesterov,
        **{
            key: parameters[key]
            for key in (
                "initialization",
                "lr",
                "weight_decay",
                "l1",
                "max_grad_norm",
                "schedule",
                "ema",
                "input_scale",
            )
        },
    )
