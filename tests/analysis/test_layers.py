from typing import Any

import pytest
import torch
from analysis.undisturbed import Awkward, undisturbed
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from hw1.analysis.layers import (
    activations,
    hidden_layers,
    layer_outputs,
    weight_layers,
    weights_of,
)
from hw1.errors import InputError
from hw1.models import CNN, LSTM, MLP, ResNet

IMAGES = torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(0))


def test_the_families_layers_have_titles_in_the_order_of_use() -> None:
    mlp = MLP((2, 8, 8), 3, widths=(5, 4), batch_norm=True, dropout=0.1)
    assert weight_layers(mlp, IMAGES) == {
        "layers.1": "linear 1",
        "layers.5": "linear 2",
        "layers.9": "linear 3",
    }
    assert hidden_layers(mlp, IMAGES) == {"layers.3": "linear 1", "layers.7": "linear 2"}
    cnn = CNN((2, 8, 8), 3, channels=(4, 5), hidden=6, activation="gelu")
    assert weight_layers(cnn, IMAGES) == {
        "features.0": "conv 1",
        "features.4": "conv 2",
        "head.1": "linear 3",
        "head.3": "linear 4",
    }
    assert hidden_layers(cnn, IMAGES) == {
        "features.2": "conv 1",
        "features.6": "conv 2",
        "head.2": "linear 3",
    }


def test_of_residual_networks_the_blocks_are_shown_and_shortcuts_are_named() -> None:
    model = ResNet((2, 8, 8), 3, width=4, stages=2, dropout=0.1)
    assert weight_layers(model, IMAGES) == {
        "features.0": "conv 1",
        "features.3.residual.0": "conv 2",
        "features.3.residual.4": "conv 3",
        "features.4.residual.0": "conv 4",
        "features.4.residual.4": "conv 5",
        "features.4.shortcut.1": "shortcut 1",
        "head.2": "linear 6",
    }
    assert hidden_layers(model, IMAGES) == {
        "features.2": "conv 1",
        "features.3": "block 1",
        "features.4": "block 2",
    }


class Gate(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * torch.sigmoid(inputs)


class Own(nn.Module):
    """Registered in another order than used; shares an activation, and calls functions."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(6, 1)
        self.second = nn.Linear(6, 6)
        self.first = nn.Linear(4, 6)
        self.never = nn.Linear(1, 1)
        self.act = nn.Tanh()
        self.gate = Gate()

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.act(self.first(inputs))
        hidden = self.act(self.second(hidden))
        hidden = functional.relu(self.second(hidden))
        hidden = self.gate(self.second(hidden))
        hidden = self.second(hidden).relu()
        return torch.sigmoid(self.last(hidden.relu())).squeeze(1)


def test_a_networks_own_ways_are_followed() -> None:
    torch.manual_seed(0)
    model, rows = Own(), torch.randn(5, 4)
    assert list(weight_layers(model, rows).items()) == [
        ("first", "linear 1"),
        ("second", "linear 2"),
        ("last", "linear 3"),
        ("never", "linear 4"),
    ]
    hidden = hidden_layers(model, rows)
    # Neither the second ReLU in a row, nor the sigmoid that makes the output.
    assert hidden == {
        "act": "linear 1",
        "act:2": "linear 2",
        "relu()": "linear 2, use 2",
        "gate": "linear 2, use 3",
        "relu():2": "linear 2, use 4",
    }
    found = activations(model, rows, hidden)
    expected = torch.tanh(model.first(rows))
    assert torch.equal(found["act"], expected)
    expected = torch.tanh(model.second(expected))
    assert torch.equal(found["act:2"], expected)
    expected = model.second(expected).clamp(min=0)
    assert torch.equal(found["relu()"], expected)
    expected = functional.silu(model.second(expected))
    torch.testing.assert_close(found["gate"], expected)


def test_recurrent_layers_have_weights_of_all_gates_and_directions() -> None:
    model = LSTM((5, 3), 2, hidden=4, layers=2, bidirectional=True)
    titles = weight_layers(model, torch.zeros(2, 5, 3))
    assert titles == {"layers.0": "LSTM 1", "layers.1": "LSTM 2", "head": "linear 3"}
    # Of each direction and gate: inputs and hidden states by hidden units.
    assert len(weights_of(model, "layers.0")) == 2 * 4 * (3 + 4) * 4
    assert len(weights_of(model, "layers.1")) == 2 * 4 * (8 + 4) * 4
    assert weights_of(model, "head").shape == (2, 8)


@settings(max_examples=10)
@given(st.integers(1, 700), st.integers(0, 9))
def test_rows_are_computed_in_chunks(n_rows: int, seed: int) -> None:
    torch.manual_seed(seed)
    model, rows = CNN((1, 4, 4), 2, channels=(3,)).eval(), torch.randn(n_rows, 1, 4, 4)
    found = activations(model, rows, ["features.2", "head"])
    assert list(found) == ["features.2", "head"]
    torch.testing.assert_close(found["features.2"], model.features[:3](rows))
    torch.testing.assert_close(found["head"], model(rows))
    assert not any(output.requires_grad for output in found.values())


def test_no_more_rows_than_a_chunk_are_in_memory_at_once() -> None:
    seen = []

    class Counting(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            seen.append(len(input))
            return super().forward(input)

    activations(nn.Sequential(Counting(2, 2)), torch.zeros(600, 2), ["0"])
    assert sum(seen) == 600
    assert max(seen) <= 256


def test_what_works_in_place_does_not_change_what_was_put_out_before() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(inplace=True))
    found = activations(model, IMAGES, ["0", "1"])
    assert found["0"].min() < 0
    assert torch.equal(found["1"], found["0"].relu())


def test_layers_that_are_not_there_are_refused() -> None:
    model = CNN((2, 8, 8), 3)
    with pytest.raises(InputError, match=r"unknown layer 'features\.22': did you mean"):
        activations(model, IMAGES, ["features.22"])
    with pytest.raises(InputError, match="unknown layer 'features:2'"):
        activations(model, IMAGES, ["features:2"])
    recurrent = nn.Sequential(nn.LSTM(3, 4))
    with pytest.raises(InputError, match="'0' puts out no single tensor"):
        activations(recurrent, torch.zeros(2, 5, 3), ["0"])


def test_the_network_is_left_as_it_was() -> None:
    torch.manual_seed(0)
    model, images = Awkward(), torch.randn(5, 1, 8, 8)
    with undisturbed(model):
        hidden = hidden_layers(model, images)
        assert hidden == {"act": "conv 1"}
        assert weight_layers(model, images) == {"conv": "conv 1", "head": "linear 2"}
        found = activations(model, images, hidden)
    model.eval()
    assert torch.equal(found["act"], model.norm(model.conv(images)).relu())


def test_hooks_go_when_the_network_fails() -> None:
    model = MLP((4,), 2)
    with undisturbed(model), pytest.raises(RuntimeError):
        layer_outputs(model, torch.zeros(2, 5), ["layers.1"])


@pytest.mark.parametrize("activation", ["leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid"])
def test_all_activations_are_found_as_modules_and_as_functions(activation: str) -> None:
    function: Any = getattr(functional, activation)

    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])

        def forward(self, inputs: Tensor) -> Tensor:
            return self.body[1](function(self.body[0](inputs)))

    rows = torch.randn(4, 3)
    assert hidden_layers(Functional(), rows) == {f"{activation}()": "linear 1"}
    assert hidden_layers(MLP((3,), 3, widths=(3,), activation=activation), rows) == {
        "layers.2": "linear 1"
    }
