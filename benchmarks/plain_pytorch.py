"""The baseline: a search as one writes it with plain Optuna and PyTorch.

In the way of Optuna's own PyTorch example: data sets with transforms, `DataLoader`, modules and
optimizers of ``torch``, one training after another, and SQLite with Optuna's defaults. The folds
of a trial are trained in turn and evaluated after every epoch; the best or the last point of the
mean curve over the folds, as the configuration says, is the trial's value. There is no early
stopping. Folds in turn can be pruned after a fold, by the median of other trials' mean up to it.

Of hw1 it takes what does not touch the training: the networks with their initialization, and the
search space of a study. It trains given configurations, so that others can train the same, or those
that Optuna's TPE asks for.

    python benchmarks/plain_pytorch.py --study fashion_cnn --configurations configurations.json \\
        --splits splits.npz --data data --epochs 5 --storage sqlite:///plain.db

The last line of its output is a JSON object with the wall time of the search and its trials.
"""

import argparse
import copy
import json
import math
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
import torch
from torch import nn, optim
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset
from torchvision import transforms
from torchvision.datasets import FashionMNIST

from hw1.definition import Trial
from hw1.models import CNN, MLP, ResNet
from hw1.study_files import load_definition
from hw1.training.configuration import Configuration
from hw1.training.initialization import initialize

STUDIES = Path(__file__).resolve().parent.parent / "studies"
MODELS = {"regression_mlp": MLP, "fashion_mlp": MLP, "fashion_cnn": CNN, "fashion_resnet": ResNet}
OPTIMIZERS = {"sgd": optim.SGD, "rmsprop": optim.RMSprop, "adam": optim.Adam, "adamw": optim.AdamW}
EVALUATION_BATCH = 256


class Fold(NamedTuple):
    """The examples of a fold, and a mean and standard deviation of its training examples.

    They are those of the target in a regression, those of the pixels for images.
    """

    training: Dataset
    validation: Dataset
    mean: float
    std: float


def read_table(path: Path, rows: np.ndarray, folds: np.ndarray) -> list[Fold]:
    """The folds of a CSV file that has a header and its target in the last column."""
    table = torch.from_numpy(np.loadtxt(path, delimiter=",", skiprows=1, dtype=np.float32)[rows])
    inputs, targets = table[:, :-1], table[:, -1:]
    result = []
    for fold in range(folds.max() + 1):
        training, validation = torch.from_numpy(folds != fold), torch.from_numpy(folds == fold)
        std, mean = torch.std_mean(inputs[training], 0, correction=0)
        x = (inputs - mean) / torch.where(std > 0, std, 1)
        std, mean = torch.std_mean(targets[training], correction=0)
        y = (targets - mean) / std
        training_rows = TensorDataset(x[training], y[training])
        # These targets stay in their own units, as scores are.
        validation_rows = TensorDataset(x[validation], targets[validation])
        result.append(Fold(training_rows, validation_rows, mean.item(), std.item()))
    return result


def read_images(root: Path, rows: np.ndarray, folds: np.ndarray) -> list[Fold]:
    """The folds of FashionMNIST, not augmented."""
    images = FashionMNIST(str(root), train=True)
    result = []
    for fold in range(folds.max() + 1):
        training, validation = rows[folds != fold].tolist(), rows[folds == fold].tolist()
        pixels = images.data[training] / 255
        mean, std = pixels.mean().item(), pixels.std().item()
        # A shallow copy shares the pixels, which another FashionMNIST(...) would read again.
        normalized = copy.copy(images)
        normalized.transform = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize((mean,), (std,))]
        )
        result.append(Fold(Subset(normalized, training), Subset(normalized, validation), mean, std))
    return result


def augment(fold: Fold, configuration: Configuration) -> Subset:
    """The training images of a fold with random changes."""
    steps: list[Callable] = []
    if configuration.flip:
        steps.append(transforms.RandomHorizontalFlip())
    if configuration.shift:
        steps.append(transforms.RandomCrop(28, padding=configuration.shift))
    steps.append(transforms.ToTensor())
    if configuration.erase:
        # Before the images are normalized: what is erased, to zero, is to be black.
        steps.append(transforms.RandomErasing(p=configuration.erase))
    steps.append(transforms.Normalize((fold.mean,), (fold.std,)))
    images = copy.copy(fold.training.dataset)
    images.transform = transforms.Compose(steps)
    return Subset(images, fold.training.indices)


def build_optimizer(configuration: Configuration, model: nn.Module) -> optim.Optimizer:
    """The optimizer; weight decay is for weights, not for biases and the scales of batch norm."""
    weights = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    groups: list[dict[str, Any]] = [
        {"params": weights, "weight_decay": configuration.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    arguments: dict[str, Any] = {"lr": configuration.lr}
    if configuration.optimizer in ("sgd", "rmsprop"):
        arguments["momentum"] = configuration.momentum
    if configuration.optimizer == "sgd":
        arguments["nesterov"] = configuration.nesterov
    return OPTIMIZERS[configuration.optimizer](groups, **arguments)


def build_scheduler(
    configuration: Configuration, optimizer: optim.Optimizer, epochs: int, steps: int
) -> lr_scheduler.LRScheduler | None:
    """A scheduler that is stepped after every one of the ``steps`` of an epoch."""
    match configuration.schedule:
        case "step":
            return lr_scheduler.StepLR(optimizer, step_size=math.ceil(epochs / 3) * steps)
        case "cosine":
            return lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs * steps)
        case "one_cycle":
            return lr_scheduler.OneCycleLR(
                optimizer, configuration.lr, total_steps=epochs * steps, cycle_momentum=False
            )
        case _:
            return None


def train(configuration: Configuration, fold: Fold, options: argparse.Namespace) -> list[float]:
    """Train one network and return its validation score after each epoch."""
    device, regression = torch.device(options.device), options.study == "regression_mlp"
    loading: dict[str, Any] = {
        "num_workers": options.workers,
        "persistent_workers": options.workers > 0,
        "pin_memory": device.type == "cuda",
    }
    training = fold.training if regression else augment(fold, configuration)
    training_loader = DataLoader(
        training,
        batch_size=configuration.batch_size,
        shuffle=True,
        # Batch norm has nothing to normalize in a batch of one row.
        drop_last=len(training) % configuration.batch_size == 1,
        **loading,
    )
    validation_loader = DataLoader(fold.validation, batch_size=EVALUATION_BATCH, **loading)

    input_shape = fold.validation[0][0].shape
    model = MODELS[options.study](input_shape, 1 if regression else 10, **configuration.model)
    initialize(model, configuration.initialization, configuration.input_scale)
    model.to(device)
    weights = [p for p in model.parameters() if p.dim() > 1]
    criterion: nn.Module = nn.MSELoss()
    if not regression:
        criterion = nn.CrossEntropyLoss(label_smoothing=configuration.label_smoothing)
    optimizer = build_optimizer(configuration, model)
    scheduler = build_scheduler(configuration, optimizer, options.epochs, len(training_loader))

    curve = []
    for _ in range(options.epochs):
        model.train()
        for batch in training_loader:
            inputs, targets = (values.to(device, non_blocking=True) for values in batch)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            if configuration.l1:
                loss = loss + configuration.l1 * sum(p.abs().sum() for p in weights)
            loss.backward()
            if configuration.max_grad_norm is not None:
                nn.utils.clip_grad_norm_(model.parameters(), configuration.max_grad_norm)
            optimizer.step()
            if scheduler is not None:
                scheduler.step()

        model.eval()
        total = torch.zeros((), device=device)
        with torch.no_grad():
            for batch in validation_loader:
                inputs, targets = (values.to(device, non_blocking=True) for values in batch)
                outputs = model(inputs)
                if regression:
                    total += (outputs * fold.std + fold.mean - targets).square().sum()
                else:
                    total += (outputs.argmax(1) == targets).sum()
        curve.append(total.item() / len(fold.validation))
    return curve


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--study", choices=sorted(MODELS), required=True)
    parser.add_argument("--configurations", type=Path, help="JSON; else --trials")
    parser.add_argument("--trials", type=int, default=0, help="that TPE asks for")
    parser.add_argument("--prune", action="store_true", help="by the median, after every fold")
    parser.add_argument("--splits", type=Path, required=True, help="NPZ with rows and folds")
    parser.add_argument("--data", type=Path, required=True, help="a CSV file, or the data folder")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, help="default: as torch chooses")
    parser.add_argument("--workers", type=int, default=0, help="of each DataLoader")
    parser.add_argument("--storage", required=True, help="such as sqlite:///plain.db")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    regression = options.study == "regression_mlp"
    splits = np.load(options.splits)
    read = read_table if regression else read_images
    folds = read(options.data, splits["rows"], splits["folds"])
    search_space = load_definition(STUDIES / f"{options.study}.py").search_space

    def objective(trial: optuna.Trial) -> float:
        configuration = search_space(Trial(trial))
        curves = []
        for number, fold in enumerate(folds):
            curves.append(train(configuration, fold, options))
            mean = np.mean(curves, 0)
            # A training may diverge; where it did, no epoch is the best.
            best = int(np.nan_to_num(mean, nan=np.inf).argmin() if regression else mean.argmax())
            if configuration.checkpoint == "last":
                best = len(mean) - 1
            if options.prune:
                trial.report(mean[best], number)
                if number + 1 < len(folds) and trial.should_prune():
                    raise optuna.TrialPruned
        trial.set_user_attr("fold_scores", np.array(curves)[:, best].tolist())
        return float(mean[best])

    study = optuna.create_study(
        storage=options.storage,
        sampler=optuna.samplers.TPESampler(seed=options.seed),
        pruner=optuna.pruners.MedianPruner() if options.prune else optuna.pruners.NopPruner(),
        direction="minimize" if regression else "maximize",
    )
    n_trials = options.trials
    if options.configurations:
        configurations = json.loads(options.configurations.read_text(encoding="utf-8"))
        n_trials = len(configurations)
        for entry in configurations:
            study.enqueue_trial(entry["params"])
    # The first optimizer imports much of torch: not within the time.
    optim.SGD([torch.zeros(1)])
    start = time.perf_counter()
    study.optimize(objective, n_trials=n_trials)
    seconds = time.perf_counter() - start

    trials = []
    for trial in study.trials:
        # JSON has no numbers that are not finite.
        kept = trial.user_attrs.get("fold_scores", [])
        scores = [s if math.isfinite(s) else None for s in kept]
        value = None if None in scores or not scores else trial.value
        duration = trial.duration.total_seconds()
        ended = (trial.datetime_complete - study.trials[0].datetime_start).total_seconds()
        trials.append({"value": value, "fold_scores": scores, "seconds": duration, "ended": ended})
    versions = {name: version(name) for name in ("torch", "torchvision", "optuna")}
    versions["python"] = platform.python_version()
    threads = torch.get_num_threads()
    report = {"seconds": seconds, "trials": trials, "versions": versions, "threads": threads}
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
