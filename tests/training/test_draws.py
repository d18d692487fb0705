"""Dropout that is no layer, held to the same network with layers of dropout."""

import math
import subprocess
import sys
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from training.alone import DIGITS, assert_as_alone, folds, trained

from hw1.training import Configuration
from hw1.training.keys import KeyedDraws, dropout_factors, fold_in, keys
from hw1.training.lockstep import Lockstep
from hw1.training.networks import ModelClass, footprint

P = 0.25
SEEDS = [11, 22, 33]


PRECISION = torch.float64


class Functional(nn.Module):
    """Drops out by functions, behind a layer of dropout."""

    def __init__(self, input_shape: Sequence[int], n_outputs: int, dropout: float = P) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(math.prod(input_shape), 12), nn.Linear(12, n_outputs)
        self.layer = nn.Dropout(dropout)
        self.p = dropout

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.drop(self.layer(torch.tanh(self.first(inputs.flatten(1)))))
        return self.second(self.drop(hidden))

    def drop(self, hidden: Tensor) -> Tensor:
        return functional.dropout(hidden, self.p, self.training)


class Layers(Functional):
    """The same by a second layer, which is called twice."""

    def __init__(self, input_shape: Sequence[int], n_outputs: int, dropout: float = P) -> None:
        super().__init__(input_shape, n_outputs, dropout)
        self.other = nn.Dropout(dropout)

    def drop(self, hidden: Tensor) -> Tensor:
        return self.other(hidden)


class Transformer(nn.Module):
    """Takes the rows of an image for tokens."""

    def __init__(self, input_shape: Sequence[int], n_outputs: int, dropout: float = P) -> None:
        super().__init__()
        self.embedding = nn.Linear(input_shape[-1], 8)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 12, dropout, batch_first=True)
        self.head = nn.Linear(8 * input_shape[-2], n_outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.encode(self.embedding(inputs[:, 0])).flatten(1))

    def encode(self, tokens: Tensor) -> Tensor:
        return self.encoder(tokens)


class ByHand(Transformer):
    """The same written out, after A. Vaswani et al. (2017), with a layer of dropout everywhere."""

    def __init__(self, input_shape: Sequence[int], n_outputs: int, dropout: float = P) -> None:
        super().__init__(input_shape, n_outputs, dropout)
        self.of_attention = nn.Dropout(dropout)

    def encode(self, tokens: Tensor) -> Tensor:
        layer = self.encoder
        tokens = layer.norm1(tokens + layer.dropout1(self.attend(tokens)))
        hidden = layer.dropout(torch.relu(layer.linear1(tokens)))
        return layer.norm2(tokens + layer.dropout2(layer.linear2(hidden)))

    def attend(self, tokens: Tensor) -> Tensor:
        attention = self.encoder.self_attn
        projected = functional.linear(tokens, attention.in_proj_weight, attention.in_proj_bias)
        query, key, value = (
            part.unflatten(-1, (2, -1)).transpose(1, 2) for part in projected.chunk(3, -1)
        )
        weights = (query @ key.transpose(2, 3) / math.sqrt(key.shape[-1])).softmax(-1)
        mixed = (self.of_attention(weights) @ value).transpose(1, 2).flatten(2)
        return attention.out_proj(mixed)


CONFIGURATION = Configuration(epochs=3, batch_size=40, optimizer="sgd", lr=0.05, momentum=0.9)


@pytest.mark.parametrize(("family", "by_layers"), [(Functional, Layers), (Transformer, ByHand)])
def test_all_dropout_is_that_of_the_models_key(family: ModelClass, by_layers: ModelClass) -> None:
    rows, _ = folds(DIGITS)
    models = trained(Lockstep(family, [CONFIGURATION] * 3, DIGITS, rows, SEEDS), 3)
    assert models.backend == "fused"
    assert_as_alone(models, DIGITS, rows, SEEDS, 3, by_layers)


class Recurrent(nn.Module):
    """Two recurrent layers, with dropout between them."""

    def __init__(self, input_shape: Sequence[int], n_outputs: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(input_shape[2], 6, 2, dropout=P, batch_first=True)
        self.head = nn.Linear(6, n_outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.lstm(inputs[:, 0])[0][:, -1])


class OfChannels(nn.Module):
    """Convolutions, with dropout of channels and one that keeps mean and variance."""

    def __init__(self, input_shape: Sequence[int], n_outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Dropout2d(P), nn.Conv2d(4, 4, 3), nn.SELU(),
            nn.AlphaDropout(P), nn.Flatten(), nn.Linear(64, n_outputs),
        )  # fmt: skip

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs)


@pytest.mark.parametrize("family", [Functional, Transformer, Recurrent, OfChannels])
def test_alone_equals_in_company(family: ModelClass) -> None:
    torch.set_default_dtype(torch.float32)
    rows, validation = folds(DIGITS)
    assert footprint(family, CONFIGURATION, DIGITS).draws

    def train(which: Sequence[int]) -> Lockstep:
        models = Lockstep(
            family,
            [CONFIGURATION] * len(which),
            DIGITS,
            [rows[i] for i in which],
            [SEEDS[i] for i in which],
            validation_rows=[validation[i] for i in which],
        )
        for _ in range(2):
            models.train_epoch()
            models.validate()
            torch.rand(3)  # torch's own generator makes no difference
        return models

    together, alone = train([0, 1, 2]), train([1])
    assert torch.equal(together.parameters[1], alone.parameters[0])
    assert torch.equal(together.validate()[1:2], alone.validate())
    same = Lockstep(family, [CONFIGURATION] * 2, DIGITS, [rows[0]] * 2, SEEDS[:2])
    same.restore([same.state()[0]] * 2)
    same.train_epoch()
    # The same weights and rows; what is dropped is each model's own.
    assert (same.parameters[0] != same.parameters[1]).any()


def test_networks_that_draw_nothing_are_trained_as_before() -> None:
    assert not footprint(Layers, CONFIGURATION, DIGITS).draws
    none = Configuration(model={"dropout": 0.0})
    for family, backend in ((Functional, "stacked"), (Transformer, "fused")):
        found = footprint(family, none, DIGITS)
        assert (found.draws, found.backend) == (False, backend)


def test_attention_without_dropout_is_trained_as_alone_and_says_nothing() -> None:
    c = Configuration(**CONFIGURATION.to_json() | {"model": {"dropout": 0.0}})
    rows = [torch.arange(90)]
    models = trained(Lockstep(Transformer, [c], DIGITS, rows, [5]), 2)
    assert_as_alone(models, DIGITS, rows, [5], 2, ByHand)


STACKED = """
import torch
from pathlib import Path
from torch.nn.functional import scaled_dot_product_attention
from hw1.datasets import digits
from hw1.training import Configuration
from hw1.training.lockstep import Lockstep

class Attention(torch.nn.Module):
    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.project, self.head = torch.nn.Linear(8, 24), torch.nn.Linear(64, n_outputs)

    def forward(self, inputs):
        parts = self.project(inputs).chunk(3, -1)
        return self.head(scaled_dot_product_attention(*parts).flatten(1))

rows = [torch.arange(60)] * 2
data = digits.load("train", Path())
models = Lockstep(Attention, [Configuration()] * 2, data, rows, [0, 1], backend="stacked")
models.train_epoch()
print(models.backend)
"""


def test_nothing_is_said_of_what_stacking_costs() -> None:
    # In a process of its own: pytest has filters of its own, and torch warns once.
    done = subprocess.run([sys.executable, "-c", STACKED], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("stacked\n", "")


@pytest.mark.parametrize("shape", [(), (7,), (5, 3, 2)])
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_the_operation_of_a_gpu_drops_out_like_that_of_a_processor(
    shape: tuple[int, ...], p: float
) -> None:
    key = keys([5])[0]
    inputs = torch.randn(shape, requires_grad=True)
    with KeyedDraws(key):
        outputs, mask = torch.native_dropout(inputs, p, True)
        second = functional.dropout(inputs, p)
    for number, found in enumerate((outputs, second)):
        own = fold_in(key, number) if number else key
        factors = dropout_factors(own, torch.tensor(p), shape or (1,)).view(shape)
        assert torch.equal(found, inputs * factors)
    assert torch.equal(mask, outputs != 0)
    outputs.sum().backward()
    assert torch.equal(inputs.grad, mask * (1 / (1 - p) if p < 1 else 0.0))
