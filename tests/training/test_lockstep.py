"""The promise: models trained in lockstep are those that torch.optim trains one by one."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, mean_squared_error
from torch import Tensor, nn
from torch.nn import functional
from training.alone import DIGITS, REGRESSION, K, assert_as_alone, folds, optimizers_of, trained

from hw1.datasets import Dataset, function
from hw1.errors import ArchitectureError, InputError
from hw1.models import CNN, MLP, ResNet
from hw1.training import Configuration
from hw1.training.augmentation import Views, seen
from hw1.training.lockstep import Lockstep
from hw1.training.networks import Backend, ModelClass
from hw1.training.plan import Plan
from hw1.training.reference import train_alone

SEEDS = [11, 22, 33]


PRECISION = torch.float64


def check(family: ModelClass, dataset: Dataset, c: Configuration, epochs: int) -> None:
    rows, _ = folds(dataset)
    backends: list[Backend | None] = ["compiled", "stacked"] if family is MLP else [None]
    for backend in backends:
        with optimizers_of(backend):
            models = Lockstep(family, [c] * K, dataset, rows, SEEDS, backend=backend)
        assert_as_alone(trained(models, epochs), dataset, rows, SEEDS, epochs)


SGD: dict[str, Any] = {"optimizer": "sgd", "lr": 0.05}
EVERY_OPTIMIZER: list[dict[str, Any]] = [
    SGD,
    SGD | {"momentum": 0.9},
    SGD | {"momentum": 0.9, "nesterov": True},
    {"optimizer": "adam", "lr": 0.01},
    {"optimizer": "adamw", "lr": 0.01},
    {"optimizer": "rmsprop", "lr": 0.003},
    {"optimizer": "rmsprop", "lr": 0.003, "momentum": 0.8},
]
EVERY_REGULARIZER: list[dict[str, Any]] = [
    {"weight_decay": 0.05},
    {"l1": 0.003},
    {"l1_proximal": 0.2},
    {"max_grad_norm": 0.3},
    {"ema": 0.9},
    {"model": {"dropout": 0.3}},
    {"model": {"batch_norm": True}},
]


def short(choice: dict[str, Any]) -> str:
    return "-".join(f"{key}={value}" for key, value in choice.items()).replace(" ", "")


@pytest.mark.parametrize("optimizer", EVERY_OPTIMIZER, ids=short)
@pytest.mark.parametrize("regularizer", [{}, *EVERY_REGULARIZER], ids=short)
def test_lockstep_equals_torch_optim(
    optimizer: dict[str, Any], regularizer: dict[str, Any]
) -> None:
    choice = {"model": {}, **optimizer, **regularizer}
    choice["model"] = {"widths": (16, 8), "activation": "tanh", **choice["model"]}
    check(MLP, REGRESSION, Configuration(epochs=6, batch_size=24, **choice), epochs=4)


@pytest.mark.parametrize(
    ("family", "model"),
    [
        (MLP, {"widths": (32,), "batch_norm": True, "dropout": 0.2}),
        (CNN, {"channels": (4, 8), "dropout": 0.2, "activation": "tanh", "hidden": 8}),
        (ResNet, {"width": 4, "stages": 2, "activation": "tanh", "dropout": 0.1}),
    ],
)
@pytest.mark.parametrize("flip", [True, "alternating"])
def test_images_classes_and_augmentation_in_lockstep(
    family: ModelClass, model: dict[str, Any], flip: Any
) -> None:
    configuration = Configuration(
        model=model,
        epochs=3,
        batch_size=40,
        optimizer="sgd",
        lr=0.02,
        momentum=0.9,
        nesterov=True,
        weight_decay=1e-3,
        l1=1e-4,
        label_smoothing=0.1,
        max_grad_norm=1.0,
        schedule="one_cycle",
        ema=0.8,
        flip=flip,
        shift=1,
        erase=0.5,
    )
    check(family, DIGITS, configuration, epochs=3)


def test_every_epoch_is_a_new_order_of_each_models_own_rows() -> None:
    rows = [torch.arange(0, 50), torch.arange(40, 93)]
    c = Configuration(batch_size=16)
    plan = Plan([c, c], REGRESSION, rows, [1, 2], normalizes=False)
    assert (plan.steps, plan.batch_sizes) == ([3, 3], [16, 16])
    epochs = []
    for epoch in range(20):
        drawn = plan.order(epoch)[:, : 3 * 16]
        for i in range(2):
            assert len(drawn[i].unique()) == 48
            assert set(drawn[i].tolist()) <= set(rows[i].tolist())
        epochs.append(drawn)
    assert len({tuple(drawn[0].tolist()) for drawn in epochs}) == 20
    # Rows sit out at random: over the epochs every example of the longer list had its turn.
    assert set(torch.cat(epochs, 1)[1].tolist()) == set(rows[1].tolist())


def test_flips_alternate_from_epoch_to_epoch_by_image() -> None:
    c = Configuration(batch_size=16, flip="alternating")
    rows, _ = folds(DIGITS)
    plan = Plan([c] * K, DIGITS, rows, SEEDS, normalizes=False)
    n = plan.steps[0] * 16
    mirrored = torch.full((4, K, len(DIGITS)), -1)
    for epoch in range(4):
        of_steps = plan.order(epoch)[:, :n].view(K, -1, 16).transpose(0, 1)
        steps = epoch * plan.steps[0] + np.arange(plan.steps[0])
        seen = plan.inputs(slice(None), of_steps, steps).transpose(0, 1).flatten(1, 2)
        for i, row in enumerate(plan.order(epoch)[:, :n]):
            is_mirror = (seen[i] == DIGITS.inputs[row].flip(-1)).flatten(1).all(1)
            assert (is_mirror | (seen[i] == DIGITS.inputs[row]).flatten(1).all(1)).all()
            mirrored[epoch, i, row] = is_mirror.long()
    for now, then in itertools.combinations(range(4), 2):
        both = (mirrored[now] >= 0) & (mirrored[then] >= 0)  # some sit an epoch out
        same = mirrored[now][both] == mirrored[then][both]
        assert both.sum() > n and same.all() if (then - now) % 2 == 0 else not same.any()


@pytest.mark.parametrize(
    ("family", "backend"),
    [(CNN, "fused"), (ResNet, "stacked"), (MLP, "compiled"), (MLP, "stacked")],
)
def test_networks_train_as_others_and_average_over_views_of_an_image(
    family: ModelClass, backend: Backend
) -> None:
    rows, validation = folds(DIGITS)
    c = Configuration(batch_size=40)
    own: list[Views] = ["one", "shifted", "all"]
    plain, viewing = (
        Lockstep(
            family,
            [replace(c, views=one) for one in views],
            DIGITS,
            rows,
            SEEDS,
            backend=backend,
            validation_rows=validation,
            ahead=True,
        )
        for views in (["one"] * K, own)
    )
    assert torch.equal(trained(plain, 1).parameters, trained(viewing, 1).parameters)
    for i, (some, views) in enumerate(zip(validation, own, strict=True)):
        network = plain.model(i)
        with torch.no_grad():
            of_views = seen(DIGITS.inputs[some], views)
            given = [network(normalized(view, plain, i)) for view in of_views]
        expected = torch.stack(given).mean(0)
        torch.testing.assert_close(viewing.predict(some)[i], expected)
        if views != "one":
            assert not torch.allclose(expected, given[0], atol=1e-3)
        right = accuracy_score(DIGITS.targets[some], expected.argmax(1))
        assert float(viewing.validate()[i]) == pytest.approx(right)


def normalized(inputs: Tensor, models: Lockstep, i: int) -> Tensor:
    shape = [-1, *[1] * (inputs.dim() - 2)]  # one number a feature or channel
    mean, std = models.plan.input_mean[i].view(shape), models.plan.input_std[i].view(shape)
    return (inputs - mean) / std


@pytest.mark.parametrize("dataset", [REGRESSION, DIGITS], ids=["regression", "classification"])
def test_scores_are_scikit_learns_in_the_targets_own_units(dataset: Dataset) -> None:
    rows, validation = folds(dataset)
    validation[1] = validation[1][:-5]  # folds of different size
    configuration = Configuration(model={"widths": (16,)}, lr=0.01)
    models = trained(Lockstep(MLP, [configuration] * K, dataset, rows, SEEDS), 5)
    scores = models.score(validation)
    for i in range(K):
        plain = models.model(i)
        x = normalized(dataset.inputs[validation[i]], models, i)
        outputs = plain(x).detach()
        targets = dataset.targets[validation[i]]
        if dataset.task == "regression":
            outputs = outputs * dataset.targets[rows[i]].std(correction=0)
            outputs = outputs + dataset.targets[rows[i]].mean()
            expected = mean_squared_error(targets.numpy(), outputs.numpy())
        else:
            expected = accuracy_score(targets.numpy(), outputs.argmax(1).numpy())
        assert float(scores[i]) == pytest.approx(expected, rel=1e-5)


def test_held_out_rows_do_not_reach_the_weights_nor_the_normalization() -> None:
    rows, validation = folds(REGRESSION)
    poisoned_inputs, poisoned_targets = REGRESSION.inputs.clone(), REGRESSION.targets.clone()
    poisoned_inputs[validation[0]] = 1e6
    poisoned_targets[validation[0]] = -1e6
    poisoned = replace(REGRESSION, inputs=poisoned_inputs, targets=poisoned_targets)
    clean, other = (
        trained(Lockstep(MLP, [Configuration()] * K, dataset, rows, SEEDS), 1).parameters
        for dataset in (REGRESSION, poisoned)
    )
    assert torch.equal(clean[0], other[0])
    assert not torch.equal(clean[1], other[1])


def test_a_constant_feature_does_no_harm() -> None:
    inputs = torch.cat([REGRESSION.inputs, torch.full((len(REGRESSION), 1), 7.0)], 1)
    dataset = replace(REGRESSION, inputs=inputs, feature_names=("x", "constant"))
    rows, validation = folds(dataset)
    models = trained(Lockstep(MLP, [Configuration()] * K, dataset, rows, SEEDS), 1)
    assert models.score(validation).isfinite().all()


class Noisy(nn.Module):
    """A network that draws random numbers of its own, in one of several ways."""

    def __init__(
        self, input_shape: Sequence[int], n_outputs: int, *, way: str, convolution: bool
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 1, 3) if convolution else nn.Identity()
        self.noise = {"rrelu": nn.RReLU(), "seldom": Seldom()}.get(way, nn.Identity())
        self.functional = way == "functional"
        self.head = nn.LazyLinear(n_outputs)
        self.head(self.convolution(torch.zeros(1, *input_shape)).flatten(1))

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = self.noise(self.convolution(inputs))
        if self.functional and self.training:
            outputs = outputs + torch.randn_like(outputs)
        return self.head(outputs.flatten(1))


class Seldom(nn.Module):
    """Drops out in large batches, so that nothing of it is seen when the network is built."""

    def forward(self, inputs: Tensor) -> Tensor:
        drops = self.training and len(inputs) > 2
        return functional.dropout(inputs, training=True) if drops else inputs


@pytest.mark.filterwarnings("ignore:Lazy modules:UserWarning")
@pytest.mark.parametrize("convolution", [False, True])
@pytest.mark.parametrize("way", ["functional", "rrelu", "seldom"])
def test_randomness_without_a_seed_is_refused(way: str, convolution: bool) -> None:
    model = {"way": way, "convolution": convolution}
    c = Configuration(model=model)
    models = Lockstep(Noisy, [c, c], DIGITS, [torch.arange(99)] * 2, [0, 1])
    with pytest.raises(InputError, match=r"Noisy draws random numbers .* use dropout"):
        models.train_epoch()
    c = Configuration(model={**model, "way": "none"})
    Lockstep(Noisy, [c, c], DIGITS, [torch.arange(99)] * 2, [0, 1]).train_epoch()


class Unusual(nn.Module):
    """Tied weights, and one dropout layer that is called twice."""

    def __init__(self, input_shape: Sequence[int], n_outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(1, 8)
        self.second, self.third = nn.Linear(8, 8), nn.Linear(8, 8)
        self.third.weight = self.second.weight
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(8, n_outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.dropout(torch.tanh(self.second(torch.tanh(self.first(inputs)))))
        return self.head(self.dropout(torch.tanh(self.third(hidden))))


class WithKey(nn.Module):
    """A buffer of its own that is called as those of dropout are."""

    def __init__(self, input_shape: Sequence[int], n_outputs: int) -> None:
        super().__init__()
        self.register_buffer("key", torch.full((1,), 3.0))
        self.layers = nn.Sequential(nn.Linear(1, 8), nn.Dropout(0.2), nn.Linear(8, n_outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs * self.key)


class Recurrent(nn.Module):
    """Reads an image row by row."""

    def __init__(self, input_shape: Sequence[int], n_outputs: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(input_shape[2], 6, batch_first=True)
        self.head = nn.Linear(6, n_outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.lstm(inputs[:, 0])[0][:, -1])


@pytest.mark.parametrize("ema", [0.0, 0.7])
@pytest.mark.parametrize(
    ("family", "dataset"), [(Unusual, REGRESSION), (WithKey, REGRESSION), (Recurrent, DIGITS)]
)
def test_other_model_classes_train_as_they_do_alone(
    family: ModelClass, dataset: Dataset, ema: float
) -> None:
    check(family, dataset, Configuration(lr=0.01, epochs=3, batch_size=40, ema=ema), epochs=3)


@pytest.mark.parametrize(
    ("family", "model"), [(CNN, {"channels": [4], "hidden": 8}), (MLP, {"widths": [8]})]
)
def test_images_of_floats_train_as_they_do_alone(family: ModelClass, model: dict[str, Any]) -> None:
    dataset = replace(DIGITS, inputs=DIGITS.inputs.double() / 16 - 0.5)
    check(family, dataset, Configuration(model=model, lr=0.01, epochs=2, batch_size=40), epochs=2)


def test_a_parameter_that_nothing_depends_on_is_refused() -> None:
    class Idle(Unusual):
        def __init__(self, input_shape: Sequence[int], n_outputs: int) -> None:
            super().__init__(input_shape, n_outputs)
            self.idle = nn.Parameter(torch.ones(3))

    models = Lockstep(Idle, [Configuration()] * 2, REGRESSION, [torch.arange(50)] * 2, [0, 1])
    with pytest.raises(InputError, match="Idle has parameters that its outputs do not depend on"):
        models.train_epoch()


def test_augmentation_leaves_rows_that_are_no_images_alone() -> None:
    c = Configuration(epochs=2)
    plain, augmented = (
        trained(Lockstep(MLP, [each], REGRESSION, [torch.arange(60)], [0]), 1).parameters
        for each in (c, replace(c, flip=True, shift=2, erase=0.9))
    )
    assert torch.equal(plain, augmented)


def test_batch_norm_of_single_rows_is_refused() -> None:
    c = Configuration(model={"batch_norm": True}, batch_size=2)
    single = replace(c, batch_size=1)
    for configuration, n_rows in ((c, 1), (single, 3)):
        with pytest.raises(ArchitectureError, match="batch norm needs batches of two examples"):
            Lockstep(MLP, [configuration], REGRESSION, [torch.arange(n_rows)], [0])
    Lockstep(MLP, [c], REGRESSION, [torch.arange(3)], [0]).train_epoch()
    plain = replace(single, model={})
    Lockstep(MLP, [plain], REGRESSION, [torch.arange(3)], [0]).train_epoch()


@pytest.mark.parametrize("optimizer", EVERY_OPTIMIZER, ids=short)
def test_lockstep_equals_torch_optim_in_single_precision(optimizer: dict[str, Any]) -> None:
    torch.set_default_dtype(torch.float32)
    choice = {"model": {"widths": (16, 8), "activation": "tanh", "dropout": 0.1}, **optimizer}
    c = Configuration(epochs=3, batch_size=24, weight_decay=0.01, l1=0.001, **choice)
    dataset = function.load("train", Path())
    rows, _ = folds(dataset)
    models = trained(Lockstep(MLP, [c] * K, dataset, rows, SEEDS), 3)
    for i, seed in enumerate(SEEDS):
        alone = train_alone(MLP, c, dataset, rows[i], seed, 3).network.state_dict()
        for name, value in models.model(i).state_dict().items():
            assert value.dtype == torch.float32
            torch.testing.assert_close(value, alone[name], rtol=1e-3, atol=1e-4, msg=name)
