"""The baseline: a search as one writes it with skorch and scikit-learn.

A `NeuralNetRegressor` in a pipeline with a `StandardScaler`, searched by `RandomizedSearchCV`. The
list of given configurations is the search space, which sampling without replacement goes through
once. Regression only: the study ``regression_mlp``.

A configuration is scored once, after its last epoch, as scikit-learn's searches do; its value is
the mean over the folds there, not at the best epoch. (To score every epoch would take a callback
and a validation set, and `RandomizedSearchCV` would not look at them.)

Of hw1 it takes the network with its initialization.

    python benchmarks/skorch_search.py --configurations configurations.json --splits splits.npz \\
        --data train.csv --epochs 200

The last line of its output is a JSON object with the wall time of the search and its trials.
"""

import argparse
import json
import math
import platform
import sys
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection import PredefinedSplit, RandomizedSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetRegressor
from skorch.callbacks import Callback, GradientNormClipping, LRScheduler
from torch import Tensor

from hw1.models import MLP
from hw1.training.initialization import initialize

OPTIMIZERS = {
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}


class InitializedMLP(MLP):
    """An MLP whose initialization is a parameter like others."""

    def __init__(self, *args: Any, initialization: str = "default", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        initialize(self, initialization)


class Net(NeuralNetRegressor):
    """A regressor with L1 and, by the optimizer, L2 on its weights.

    Weights are the parameters of more than one dimension: no biases, no scales of batch norm.
    """

    def __init__(self, *args: Any, l1: float = 0.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.l1 = l1

    def get_loss(
        self, y_pred: Tensor, y_true: Tensor, *args: Any, training: bool = False, **kwargs: Any
    ) -> Tensor:
        loss = super().get_loss(y_pred, y_true, *args, training=training, **kwargs)
        if training and self.l1:
            weights = (p for p in self.module_.parameters() if p.dim() > 1)
            loss = loss + self.l1 * sum(p.abs().sum() for p in weights)
        return loss

    def get_params_for_optimizer(
        self, prefix: str, named_parameters: Iterable[tuple[str, Tensor]]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        # skorch groups parameters by name, but weights of batch norm are named as those of layers.
        (groups,), kwargs = super().get_params_for_optimizer(prefix, named_parameters)
        parameters = [p for group in groups for p in group["params"]]
        groups = [
            {"params": [p for p in parameters if p.dim() > 1]},
            {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
        ]
        return (groups,), kwargs


def schedule(configuration: dict[str, Any], epochs: int, steps: int) -> LRScheduler | None:
    """The callback that sets the learning rate after each of the ``steps`` of an epoch."""
    match configuration["schedule"]:
        case "step":
            return LRScheduler(
                policy="StepLR", step_every="batch", step_size=math.ceil(epochs / 3) * steps
            )
        case "cosine":
            return LRScheduler(policy="CosineAnnealingLR", step_every="batch", T_max=epochs * steps)
        case "one_cycle":
            return LRScheduler(
                policy=torch.optim.lr_scheduler.OneCycleLR,
                step_every="batch",
                max_lr=configuration["lr"],
                total_steps=epochs * steps,
                cycle_momentum=False,
            )
        case _:
            return None


def parameters(configuration: dict[str, Any], n_rows: list[int], epochs: int) -> dict[str, Any]:
    """The parameters of `Net` that make it a configuration.

    Args:
        configuration: as JSON holds it.
        n_rows: the training examples of each fold.
        epochs: the passes over them.
    """
    batch_size, kind = configuration["batch_size"], configuration["optimizer"]
    # Batch norm has nothing to normalize in a batch of one row.
    drop_last = any(n % batch_size == 1 for n in n_rows)
    steps = max(n // batch_size if drop_last else math.ceil(n / batch_size) for n in n_rows)
    callbacks: list[tuple[str, Callback]] = []
    scheduler = schedule(configuration, epochs, steps)
    if scheduler is not None:
        callbacks.append(("lr_scheduler", scheduler))
    if configuration["max_grad_norm"] is not None:
        clipping = GradientNormClipping(gradient_clip_value=configuration["max_grad_norm"])
        callbacks.append(("clipping", clipping))
    values = {f"module__{name}": value for name, value in configuration["model"].items()} | {
        "module__initialization": configuration["initialization"],
        "batch_size": batch_size,
        "iterator_train__drop_last": drop_last,
        "lr": configuration["lr"],
        "l1": configuration["l1"],
        "optimizer": OPTIMIZERS[kind],
        "optimizer__weight_decay": configuration["weight_decay"],
        "callbacks": callbacks,
    }
    if kind in ("sgd", "rmsprop"):
        values["optimizer__momentum"] = configuration["momentum"]
    if kind == "sgd":
        values["optimizer__nesterov"] = configuration["nesterov"]
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--configurations", type=Path, required=True, help="JSON")
    parser.add_argument("--splits", type=Path, required=True, help="NPZ with rows and folds")
    parser.add_argument(
        "--data", type=Path, required=True, help="a CSV file with the target in its last column"
    )
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, help="default: as torch chooses")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    splits = np.load(options.splits)
    folds = splits["folds"]
    n_folds = int(folds.max()) + 1
    table = np.loadtxt(options.data, delimiter=",", skiprows=1, dtype=np.float32)[splits["rows"]]
    inputs, targets = table[:, :-1], table[:, -1:]
    n_rows = [int((folds != fold).sum()) for fold in range(n_folds)]
    configurations = [
        entry["configuration"]
        for entry in json.loads(options.configurations.read_text(encoding="utf-8"))
    ]
    candidates = [
        {
            f"regressor__net__{name}": [value]
            for name, value in parameters(configuration, n_rows, options.epochs).items()
        }
        for configuration in configurations
    ]

    net = Net(
        InitializedMLP,
        module__input_shape=inputs.shape[1:],
        module__n_outputs=targets.shape[1],
        max_epochs=options.epochs,
        train_split=None,
        iterator_train__shuffle=True,
        device=options.device,
        verbose=0,
    )
    search = RandomizedSearchCV(
        TransformedTargetRegressor(
            regressor=Pipeline([("scaler", StandardScaler()), ("net", net)]),
            transformer=StandardScaler(),
        ),
        candidates,
        n_iter=len(candidates),
        cv=PredefinedSplit(folds),
        scoring="neg_mean_squared_error",
        refit=False,
        n_jobs=1,
        error_score="raise",
        random_state=options.seed,
    )
    # The first optimizer imports much of torch: not within the time.
    torch.optim.SGD([torch.zeros(1)])
    start = time.perf_counter()
    search.fit(inputs, targets)
    seconds = time.perf_counter() - start

    results = search.cv_results_
    trials = []
    for candidate in candidates:
        # The candidates were visited in a random order.
        i = results["params"].index({name: value for name, (value,) in candidate.items()})
        trials.append(
            {
                "value": -results["mean_test_score"][i],
                "fold_scores": [-results[f"split{k}_test_score"][i] for k in range(n_folds)],
                "seconds": n_folds * (results["mean_fit_time"][i] + results["mean_score_time"][i]),
            }
        )
    report = {
        "seconds": seconds,
        "trials": trials,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "skorch", "scikit-learn")},
        },
        "threads": torch.get_num_threads(),
    }
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
