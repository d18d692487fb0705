import math
from itertools import pairwise

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models.counting import count, n_parameters
from torch import nn

from hw1.models import MLP

SHAPES = st.lists(st.integers(1, 6), min_size=1, max_size=3)
WIDTHS = st.lists(st.integers(1, 12), max_size=4)


@settings(deadline=None)
@given(SHAPES, st.integers(1, 5), WIDTHS, st.booleans(), st.sampled_from([0.0, 0.3]))
def test_the_number_of_parameters_and_the_output_shape_are_those_of_the_widths(
    shape: list[int], n_outputs: int, widths: list[int], batch_norm: bool, dropout: float
) -> None:
    model = MLP(shape, n_outputs, widths=widths, batch_norm=batch_norm, dropout=dropout)
    sizes = [math.prod(shape), *widths, n_outputs]
    weights = sum(a * b for a, b in pairwise(sizes))
    # A bias beside batch norm would be idle; the norm has a scale and a shift.
    assert n_parameters(model) == weights + (1 + batch_norm) * sum(widths) + n_outputs
    assert model(torch.rand(3, *shape)).shape == (3, n_outputs)


@settings(deadline=None)
@given(WIDTHS, st.booleans(), st.sampled_from([0.0, 0.1, 0.9]))
def test_each_hidden_layer_has_its_own_norm_activation_and_dropout_if_asked_for(
    widths: list[int], batch_norm: bool, dropout: float
) -> None:
    model = MLP((4,), 2, widths=widths, activation="tanh", batch_norm=batch_norm, dropout=dropout)
    assert count(model, nn.Linear) == len(widths) + 1
    assert count(model, nn.Tanh) == len(widths)
    assert count(model, nn.BatchNorm1d) == len(widths) * batch_norm
    assert count(model, nn.Dropout) == len(widths) * (dropout > 0)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            assert module.p == dropout


@settings(deadline=None, max_examples=40)
@given(SHAPES, WIDTHS, st.integers(0, 1000))
def test_the_output_is_the_product_of_matrices_and_relu(
    shape: list[int], widths: list[int], seed: int
) -> None:
    torch.manual_seed(seed)
    model = MLP(shape, 3, widths=widths)
    inputs = torch.randn(5, *shape)
    values = inputs.numpy().reshape(5, -1).astype(np.float64)
    parameters = [parameter.detach().double().numpy() for parameter in model.parameters()]
    layers = list(zip(parameters[::2], parameters[1::2], strict=True))
    for i, (weight, bias) in enumerate(layers):
        values = values @ weight.T + bias
        if i < len(layers) - 1:
            values = np.maximum(values, 0)
    np.testing.assert_allclose(model(inputs).detach().numpy(), values, rtol=1e-4, atol=1e-5)
