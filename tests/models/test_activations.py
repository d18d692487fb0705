import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hw1.models.activations import ACTIVATIONS, activation_layer


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))


FORMULAS: dict[str, Callable[[float], float]] = {
    "relu": lambda x: max(x, 0.0),
    "leaky_relu": lambda x: x if x > 0 else 0.01 * x,
    "elu": lambda x: x if x > 0 else math.exp(x) - 1,
    "gelu": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    "silu": lambda x: x * logistic(x),
    "tanh": math.tanh,
    "sigmoid": logistic,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
@given(x=st.floats(-20, 20, width=32))
def test_each_layer_computes_its_formula(name: str, x: float) -> None:
    output = activation_layer(name)(torch.tensor([x]))
    assert output.item() == pytest.approx(FORMULAS[name](x), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_layers_are_new_each_time_and_leave_their_input_alone(name: str) -> None:
    assert activation_layer(name) is not activation_layer(name)
    inputs = torch.tensor([-1.0, 2.0])
    activation_layer(name)(inputs)
    assert inputs.tolist() == [-1, 2]
