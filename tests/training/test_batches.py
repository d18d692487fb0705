"""Models that differ: each becomes what it becomes alone, whoever stands beside it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from training.alone import (
    DIGITS,
    REGRESSION,
    assert_measured,
    assert_same_networks,
    folds,
    optimizers_of,
    trained,
)

from hw1.datasets import Dataset
from hw1.models import CNN, MLP
from hw1.models.activations import ACTIVATIONS
from hw1.training import Configuration
from hw1.training.compiled import products
from hw1.training.compiled.backend import Compiled
from hw1.training.curves import Recorder
from hw1.training.lockstep import Lockstep
from hw1.training.networks import Backend, ModelClass, footprint
from hw1.training.precision import choose_precision
from hw1.training.reference import train_alone

PRECISION = torch.float64


DENSE = Configuration(
    model={"widths": (8, 6), "activation": "tanh", "batch_norm": True, "dropout": 0.2},
    epochs=4,
    batch_size=30,
    optimizer="sgd",
    lr=0.05,
)
FUSED = Configuration(
    model={"channels": (3,), "activation": "tanh", "hidden": 4, "dropout": 0.2},
    epochs=3,
    batch_size=40,
    optimizer="sgd",
    lr=0.05,
)


def changed(c: Configuration, **changes: Any) -> Configuration:
    """``c`` with changes, those of its network's arguments among them."""
    network = {name: changes.pop(name) for name in ("widths", "dropout") if name in changes}
    return replace(c, **changes, model=c.model | network)


def check(
    family: ModelClass, dataset: Dataset, configurations: Sequence[Configuration], backend: Backend
) -> None:
    """Train them together; hold each, after its own last epoch, to what it becomes alone."""
    rows, held_out = ([each[i % 3] for i in range(len(configurations))] for each in folds(dataset))
    seeds = range(10, 10 + len(configurations))
    with optimizers_of(backend):
        models = Lockstep(
            family, configurations, dataset, rows, seeds, validation_rows=held_out, backend=backend
        )
    assert models.backend == backend
    recorder = Recorder(models)
    for epoch in range(max(c.epochs for c in configurations)):
        models.train_epoch()
        models.validate()
        recorder.add()
        for i, c in enumerate(configurations):
            if c.epochs == epoch + 1:
                alone = train_alone(family, c, dataset, rows[i], seeds[i], c.epochs)
                assert_same_networks(models.model(i), alone.network)
                assert_measured(recorder, i, models, alone)


# Dense networks are trained by compiled code on a CPU, as one tensor program elsewhere.
DENSE_BACKENDS: tuple[Backend, ...] = ("compiled", "stacked")

# For each hyperparameter that may differ in a batch: what the other models have of it.
DIFFERENCES: dict[str, list[dict[str, Any]]] = {
    "optimizer": [
        {"optimizer": "adam", "lr": 0.01},
        {"optimizer": "adamw", "lr": 0.01},
        {"optimizer": "rmsprop", "lr": 0.003},
        {"optimizer": "sgd"},  # not beside the first one
        {"optimizer": "adam", "lr": 0.02},
    ],
    "lr": [{"lr": 0.001}, {"lr": 0.2}],
    "momentum": [{"momentum": 0.5}, {"momentum": 0.9}],
    "nesterov": [{"momentum": 0.9, "nesterov": True}, {"momentum": 0.9}],
    "momentum of rmsprop": [
        {"optimizer": "rmsprop", "lr": 0.003, "momentum": 0.8},
        {"optimizer": "rmsprop", "lr": 0.003},
    ],
    "weight_decay": [{"weight_decay": 0.05}, {"weight_decay": 0.2}],
    "weight_decay of adamw": [
        {"optimizer": "adamw", "lr": 0.01, "weight_decay": 0.5},
        {"optimizer": "adamw", "lr": 0.01},
        {"optimizer": "adam", "lr": 0.01, "weight_decay": 0.5},
    ],
    "l1": [{"l1": 0.003}, {"l1": 0.02}],
    "l1_proximal": [
        {"l1_proximal": 0.1},
        {"l1_proximal": 0.5, "optimizer": "adam", "lr": 0.01, "schedule": "cosine"},
        {"l1_proximal": 0.02, "optimizer": "adamw", "weight_decay": 0.1, "l1": 0.01},
    ],
    "max_grad_norm": [{"max_grad_norm": 0.1}, {"max_grad_norm": 0.5}, {"max_grad_norm": 1e9}],
    "l1 that is clipped": [{"l1": 0.003}, {"l1": 0.02, "max_grad_norm": 0.1}],
    "schedule": [{"schedule": "step"}, {"schedule": "cosine"}, {"schedule": "one_cycle"}],
    "epochs": [
        {"epochs": 2, "schedule": "cosine"},
        {"epochs": 6, "schedule": "cosine"},
        {"epochs": 2, "schedule": "one_cycle"},
        {"epochs": 1},
    ],
    "initialization": [
        {"initialization": scheme} for scheme in ("xavier_normal", "kaiming_uniform", "orthogonal")
    ],
    "dropout": [{"dropout": 0.7}, {"dropout": 0.01}],
    "ema": [{"ema": 0.5}, {"ema": 0.999}],
    "patience": [{"patience": 1}],
}
OF_IMAGES: dict[str, list[dict[str, Any]]] = {
    "label_smoothing": [{"label_smoothing": 0.1}, {"label_smoothing": 0.4}],
    "flip": [{"flip": True}, {"flip": "alternating"}, {}],
    "shift": [{"shift": 2}, {"shift": 1}],
    "erase": [{"erase": 0.9}, {"erase": 0.2}],
}
ALL: list[dict[str, Any]] = [
    {},
    {
        "optimizer": "adam",
        "lr": 0.01,
        "weight_decay": 0.02,
        "schedule": "cosine",
        "ema": 0.8,
        "initialization": "orthogonal",
        "dropout": 0.5,
        "label_smoothing": 0.2,
        "flip": True,
        "widths": (3, 11),
    },
    {
        "optimizer": "rmsprop",
        "lr": 0.003,
        "momentum": 0.7,
        "l1": 0.002,
        "max_grad_norm": 0.3,
        "schedule": "one_cycle",
        "epochs": 5,
        "initialization": "kaiming_normal",
        "dropout": 0.1,
        "shift": 2,
        "widths": (12, 1),
    },
    {
        "optimizer": "adamw",
        "lr": 0.02,
        "weight_decay": 0.3,
        "l1": 0.001,
        "schedule": "step",
        "epochs": 2,
        "ema": 0.6,
        "initialization": "xavier_uniform",
        "dropout": 0.3,
        "label_smoothing": 0.05,
        "erase": 0.6,
        "widths": (5, 5),
    },
    {
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 0.01,
        "max_grad_norm": 2.0,
        "initialization": "xavier_normal",
        "dropout": 0.05,
        "flip": True,
        "shift": 1,
        "erase": 0.3,
        "widths": (1, 9),
    },
]


def without(changes: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if name not in names}


@pytest.mark.parametrize("backend", DENSE_BACKENDS)
@pytest.mark.parametrize("name", DIFFERENCES)
def test_one_hyperparameter_differs_in_a_dense_batch(name: str, backend: Backend) -> None:
    check(MLP, REGRESSION, [DENSE, *(changed(DENSE, **d) for d in DIFFERENCES[name])], backend)


@pytest.mark.parametrize("name", [*DIFFERENCES, *OF_IMAGES])
def test_one_hyperparameter_differs_in_a_batch_in_turn(name: str) -> None:
    others = (DIFFERENCES | OF_IMAGES)[name]
    check(CNN, DIGITS, [FUSED, *(changed(FUSED, **d) for d in others)], "fused")


@pytest.mark.parametrize("backend", DENSE_BACKENDS)
@pytest.mark.parametrize("name", OF_IMAGES)
def test_one_hyperparameter_of_images_differs_in_a_dense_batch(name: str, backend: Backend) -> None:
    base = changed(DENSE, epochs=2)
    check(MLP, DIGITS, [base, *(changed(base, **d) for d in OF_IMAGES[name])], backend)


@pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "batch norm"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("backend", DENSE_BACKENDS)
def test_widths_differ(backend: Backend, activation: str, batch_norm: bool) -> None:
    model = {**DENSE.model, "activation": activation, "batch_norm": batch_norm}
    base = replace(DENSE, model=model)
    others = [
        {"widths": (3, 11), "optimizer": "adam", "lr": 0.01},
        {"widths": (12, 1), "l1": 0.01, "weight_decay": 0.1},
        {"widths": (1, 2), "max_grad_norm": 0.2, "momentum": 0.9},
        {"widths": (5, 5), "optimizer": "rmsprop", "lr": 0.003},
    ]
    check(MLP, REGRESSION, [base, *(changed(base, **other) for other in others)], backend)


@pytest.mark.parametrize("dataset", [REGRESSION, DIGITS], ids=["regression", "classification"])
@pytest.mark.parametrize("activation", ["sigmoid", "elu"])
@pytest.mark.parametrize("backend", DENSE_BACKENDS)
def test_everything_differs_in_a_dense_batch(
    backend: Backend, activation: str, dataset: Dataset
) -> None:
    base = replace(DENSE, model={**DENSE.model, "activation": activation})
    check(MLP, dataset, [changed(base, **different) for different in ALL], backend)


def test_even_architectures_differ_where_each_model_is_trained_by_itself() -> None:
    dense: list[dict[str, Any]] = [
        {"widths": (), "activation": "relu", "batch_norm": False},
        {"widths": (7, 5, 3), "activation": "gelu", "batch_norm": False, "dropout": 0.0},
        {"widths": (20,), "activation": "silu", "dropout": 0.5},
    ]
    others = [
        replace(DENSE, batch_size=b, model=m) for b, m in zip((9, 60, 17), dense, strict=True)
    ]
    check(MLP, REGRESSION, [DENSE, *others], "compiled")
    images: list[dict[str, Any]] = [
        {"channels": (2, 4), "activation": "relu", "head": "average"},
        {"channels": (3,), "kernel_size": 5, "batch_norm": False, "pooling": "average"},
    ]
    others = [replace(FUSED, batch_size=b, model=m) for b, m in zip((25, 90), images, strict=True)]
    check(CNN, DIGITS, [FUSED, *others], "fused")


@pytest.mark.parametrize("as_on_a_gpu", [False, True])
def test_everything_differs_in_a_batch_in_turn(
    as_on_a_gpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if as_on_a_gpu:  # without compiled code
        monkeypatch.setattr("hw1.training.fused.backend._on_cpu", lambda plan: False)
        monkeypatch.setattr("hw1.training.optimizers.COMPILED_ON", "")
    check(CNN, DIGITS, [changed(FUSED, **without(d, "widths")) for d in ALL], "fused")


@pytest.mark.parametrize(
    ("family", "backend"), [(MLP, "compiled"), (MLP, "stacked"), (CNN, "fused")]
)
def test_the_rest_goes_on_as_if_the_dropped_had_never_been_there(
    family: ModelClass, backend: Backend
) -> None:
    base, dataset = (DENSE, REGRESSION) if family is MLP else (FUSED, DIGITS)
    names = () if family is MLP else ("widths",)
    configurations = [changed(base, **without(d, *names, "epochs"), epochs=5) for d in ALL]
    rows, validation = folds(dataset)
    same = [rows[i % 3][: min(map(len, rows))] for i in range(5)]
    own_validation = [validation[i % 3] for i in range(5)]

    def train(which: Sequence[int], drops: dict[int, Sequence[int]]) -> tuple[Lockstep, list[int]]:
        models = Lockstep(
            family,
            [configurations[i] for i in which],
            dataset,
            [same[i] for i in which],
            [30 + i for i in which],
            validation_rows=[own_validation[i] for i in which],
            backend=backend,
        )
        left = list(which)
        for epoch in range(5):
            if epoch in drops:
                kept = [i for i, number in enumerate(left) if number not in drops[epoch]]
                models.keep(kept)
                left = [left[i] for i in kept]
            models.train_epoch()
            models.validate()
        return models, left

    # The widest, the first and the last ones leave at different times.
    dropping, left = train(range(5), {1: [2], 3: [0, 4]})
    never, _ = train([1, 3], {})
    assert (left, dropping.n_models) == ([1, 3], 2)
    assert dropping.configurations == never.configurations
    torch.testing.assert_close(dropping.validate(), never.validate(), rtol=1e-7, atol=1e-9)
    own = [own_validation[i] for i in left]
    torch.testing.assert_close(dropping.score(own), dropping.validate(), rtol=1e-12, atol=0)
    for i in range(2):
        assert dropping.n_parameters(i) == never.n_parameters(i)
        assert_same_networks(dropping.model(i), never.model(i))
        c, seed = configurations[left[i]], 30 + left[i]
        alone = train_alone(family, c, dataset, same[left[i]], seed, min(c.epochs, 5))
        assert_same_networks(dropping.model(i), alone.network)


@pytest.mark.parametrize("backend", DENSE_BACKENDS)
def test_a_model_that_diverges_does_no_harm(backend: Backend) -> None:
    explosive = changed(DENSE, lr=1e300, widths=(20, 20))
    rows = [torch.arange(60)] * 3
    models = trained(
        Lockstep(MLP, [DENSE, explosive, DENSE], REGRESSION, rows, [1, 2, 3], backend=backend),
        DENSE.epochs,
    )
    assert not models.parameters[1].isfinite().all()
    for i, seed in ((0, 1), (2, 3)):
        alone = train_alone(MLP, DENSE, REGRESSION, rows[i], seed, DENSE.epochs)
        assert_same_networks(models.model(i), alone.network)


def key(c: Configuration, family: ModelClass = MLP, dataset: Dataset = REGRESSION) -> object:
    return footprint(family, c, dataset, backend="stacked").key


@pytest.mark.parametrize("name", [*DIFFERENCES, *OF_IMAGES])
def test_what_may_differ_is_not_in_the_key(name: str) -> None:
    for different in (DIFFERENCES | OF_IMAGES)[name]:
        assert key(changed(DENSE, **different)) == key(DENSE)
        assert key(changed(FUSED, **different), CNN, DIGITS) == key(FUSED, CNN, DIGITS)


def test_widths_of_dense_layers_are_not_in_the_key() -> None:
    wide = changed(DENSE, widths=(100, 1))
    assert key(wide) == key(DENSE)
    assert (
        footprint(MLP, wide, REGRESSION).n_elements > footprint(MLP, DENSE, REGRESSION).n_elements
    )


OF_DENSE: list[dict[str, Any]] = [
    {"widths": (8,)}, {"widths": (8, 6, 6)}, {"activation": "relu"}, {"batch_norm": False},
    {"dropout": 0.0},
]  # fmt: skip
OF_OTHERS: list[dict[str, Any]] = [
    {"channels": (4,)}, {"channels": (3, 3)}, {"hidden": 5}, {"kernel_size": 5},
    {"pooling": "average"}, {"activation": "relu"}, {"batch_norm": False}, {"dropout": 0.0},
]  # fmt: skip


@pytest.mark.parametrize(
    ("family", "dataset", "base", "other"),
    [
        *((MLP, REGRESSION, DENSE, replace(DENSE, model=DENSE.model | m)) for m in OF_DENSE),
        *((CNN, DIGITS, FUSED, replace(FUSED, model=FUSED.model | m)) for m in OF_OTHERS),
        (MLP, REGRESSION, DENSE, replace(DENSE, batch_size=31)),
        (CNN, DIGITS, FUSED, replace(FUSED, batch_size=41)),
    ],
)
def test_what_must_agree_is_in_the_key(
    family: ModelClass, dataset: Dataset, base: Configuration, other: Configuration
) -> None:
    assert key(other, family, dataset) != key(base, family, dataset)
    with pytest.raises(ValueError, match="one footprint key"):
        rows = [torch.arange(60)] * 2
        Lockstep(family, [base, other], dataset, rows, [0, 1], backend="stacked")


def test_the_way_is_that_of_the_layers() -> None:
    assert footprint(MLP, DENSE, REGRESSION).backend == "compiled"
    assert footprint(CNN, FUSED, DIGITS).backend == "fused"


def in_both_precisions(family: ModelClass, c: Configuration, epochs: int) -> list[Lockstep]:
    torch.set_default_dtype(torch.float32)
    rows, validation = folds(DIGITS)
    options = {"validation_rows": validation[:2]}
    return [
        trained(Lockstep(family, [c] * 2, DIGITS, rows[:2], [1, 2], precision=p, **options), epochs)
        for p in ("float32", "bfloat16")
    ]


def test_convolutions_train_in_bfloat16() -> None:
    c = Configuration(model={"channels": (8,), "activation": "tanh"}, batch_size=50, lr=0.01)
    exact, rounded = in_both_precisions(CNN, c, epochs=1)
    assert (exact.precision(0), rounded.precision(0)) == ("float32", "bfloat16")
    for models in (exact, rounded):
        state = models.model(0).state_dict().values()
        assert {t.dtype for t in state if t.is_floating_point()} == {torch.float32}
        assert models.predict(torch.arange(9)).dtype == torch.float32
    assert not torch.equal(rounded.parameters, exact.parameters)
    # Adam makes a step of about lr whatever the gradient's size: in two steps few can part.
    difference = (rounded.parameters - exact.parameters).abs()
    assert float(difference.max()) < 0.05
    assert float(difference.mean()) < 0.002
    predictions = [models.predict(torch.arange(50)) for models in (exact, rounded)]
    assert float((predictions[0] - predictions[1]).abs().mean()) < 0.1


def test_convolutions_learn_in_bfloat16() -> None:
    c = Configuration(model={"channels": (8,)}, batch_size=25, lr=0.02, epochs=12)
    exact, rounded = in_both_precisions(CNN, c, epochs=12)
    assert float(exact.validate().min()) > 0.6
    assert float(rounded.validate().min()) > 0.6


def test_small_products_stay_in_float32() -> None:
    c = Configuration(model={"widths": (8,), "dropout": 0.2}, batch_size=50)
    exact, rounded = in_both_precisions(MLP, c, epochs=2)
    assert rounded.precision(0) == "float32"
    assert torch.equal(exact.parameters, rounded.parameters)


@pytest.mark.skipif(not products.available, reason="torch brings no MKL here")
def test_large_products_are_rounded_to_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hw1.training.compiled.backend.WORTH_ROUNDING", 50 * 60 * 20)
    monkeypatch.setattr("hw1.training.compiled.backend.can_round", True)  # also where it is slow
    c = Configuration(
        model={"widths": (30, 20), "activation": "tanh", "batch_norm": True, "dropout": 0.2},
        batch_size=50,
        optimizer="sgd",
        lr=0.1,
        epochs=3,
    )
    exact, rounded = in_both_precisions(MLP, c, epochs=3)
    assert (exact.precision(0), rounded.precision(0)) == ("float32", "bfloat16")
    # Of 64 pixels the first layer makes 30 numbers; the others are small.
    difference = (rounded.parameters - exact.parameters).abs()
    assert 1e-5 < float(difference.max()) < 0.02
    predictions = [models.predict(torch.arange(50)) for models in (exact, rounded)]
    assert 1e-5 < float((predictions[0] - predictions[1]).abs().max()) < 0.1
    again = in_both_precisions(MLP, c, epochs=3)[1]
    assert torch.equal(again.parameters, rounded.parameters)
    monkeypatch.setattr("hw1.training.compiled.backend.can_round", False)
    without = in_both_precisions(MLP, c, epochs=3)[1]
    assert without.precision(0) == "float32"
    assert torch.equal(without.parameters, exact.parameters)


def test_the_precision_of_a_processor_is_what_it_was_made_for() -> None:
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    flags = next((line.split() for line in text.splitlines() if line.startswith("flags")), [])
    has_it = "avx512_bf16" in flags or "amx_bf16" in flags
    assert choose_precision(torch.device("cpu")) == ("bfloat16" if has_it else "float32")


@pytest.mark.parametrize("dataset", [REGRESSION, DIGITS], ids=["regression", "classes"])
def test_epochs_that_are_trained_ahead_are_the_same_to_the_last_bit(dataset: Dataset) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"ema": 0.9, "widths": (32, 33, 8)},
        {"epochs": 31, "optimizer": "adam", "lr": 1e-3},
        {"dropout": 0.0, "batch_size": 7, "max_grad_norm": 1.0},
    ]
    configurations = [changed(DENSE, **{"epochs": 45} | one) for one in changes]
    rows, validation = ([each[i % 3] for i in range(4)] for each in folds(dataset))
    both = [
        Lockstep(
            MLP, configurations, dataset, rows, range(4), validation_rows=validation, ahead=ahead
        )
        for ahead in (False, True)
    ]
    calls = []
    train_epochs = Compiled.train_epochs

    def counted(self: Compiled, orders: torch.Tensor, *more: Any) -> Any:
        calls.append(len(orders))
        return train_epochs(self, orders, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Compiled, "train_epochs", counted)
        for epoch in range(45):
            if epoch == 20:  # in the middle of several epochs
                for models in both:
                    models.keep([0, 1, 2])
            if epoch == 31:
                for models in both:
                    models.keep([0, 1])
            for models in both:
                models.train_epoch()
            (scores, outputs), (others, other_outputs) = (m.validate_and_predict() for m in both)
            assert torch.equal(scores, others) and torch.equal(outputs, other_outputs)
            given, ahead = both[0].trained, both[1].trained
            assert torch.equal(given.counted, ahead.counted)
            assert torch.equal(given.rows[given.counted], ahead.rows[given.counted])
            assert torch.equal(given.outputs[given.counted], ahead.outputs[given.counted])
    assert sum(calls) == 2 * 45 and max(calls) > 3
    assert torch.equal(both[0].predict(rows[0]), both[1].predict(rows[0]))
    assert torch.equal(both[0].parameters, both[1].parameters)
    before = both[1].state()
    both[1].restore([{n: torch.zeros_like(v) for n, v in own.items()} for own in before])
    assert not torch.equal(both[1].validate(), both[0].validate())
    both[1].restore(before)
    assert torch.equal(both[1].validate(), both[0].validate())


def test_no_weights_are_to_be_had_between_epochs_that_are_trained_ahead() -> None:
    rows, validation = folds(REGRESSION)
    configuration = changed(DENSE, epochs=30)
    models = Lockstep(
        MLP, [configuration], REGRESSION, rows[:1], [0], validation_rows=validation[:1], ahead=True
    )
    for _ in range(11):
        models.train_epoch()
    for ask in (models.state, lambda: models.predict(rows[0]), lambda: models.model(0)):
        with pytest.raises(AssertionError, match="more epochs"):
            ask()


@pytest.mark.parametrize(
    ("family", "backend"), [(MLP, "compiled"), (MLP, "stacked"), (CNN, "fused")]
)
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_training_goes_on_from_its_memory_to_the_last_bit(
    family: ModelClass, backend: Backend, ema: float
) -> None:
    base, dataset = (DENSE, REGRESSION) if family is MLP else (FUSED, DIGITS)
    rows, validation = folds(dataset)
    configurations = [replace(base, ema=ema, optimizer=o, epochs=4) for o in ("sgd", "adam")]

    def make() -> Lockstep:
        return Lockstep(
            family,
            configurations,
            dataset,
            rows[:2],
            [1, 2],
            validation_rows=validation[:2],
            backend=backend,
        )

    whole, other = trained(make(), 2), make()
    memory = {name: value.clone() for name, value in whole.memory().items()}
    trained(whole, 2)
    for name, value in other.memory().items():
        value.copy_(memory[name])
    other.epoch = 2
    trained(other, 2)
    assert torch.equal(whole.validate(), other.validate())
    for i in range(2):
        states = (models.model(i).state_dict() for models in (whole, other))
        assert all(torch.equal(*both) for both in zip(*(s.values() for s in states), strict=True))


def test_nothing_is_trained_beyond_the_last_epoch() -> None:
    configuration = changed(DENSE, epochs=2)
    models = Lockstep(MLP, [configuration], REGRESSION, folds(REGRESSION)[0][:1], [0])
    trained(models, 2)
    with pytest.raises(AssertionError, match="no learning rates"):
        models.train_epoch()
