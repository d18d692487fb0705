from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from models.counting import count, n_parameters
from torch import nn

from hw1.errors import ArchitectureError
from hw1.models import CNN, MLP
from hw1.models.cnn import Head, PoolAfter, Pooling
from hw1.training.networks import ModelClass

SIDES = st.integers(1, 20)
CHANNELS = st.lists(st.integers(1, 5), max_size=5)


OPTIONS = {
    "channels": CHANNELS,
    "convolutions": st.integers(1, 2),
    "kernel_size": st.sampled_from([1, 3, 5]),
    "pooling": st.sampled_from(["max", "average"]),
    "pool_after": st.sampled_from(["first", "last"]),
    "head": st.sampled_from(["flatten", "average", "max"]),
    "hidden": st.sampled_from([0, 7]),
    "batch_norm": st.booleans(),
}
THREE_BLOCKS = {"channels": [1, 1, 1], "head": "flatten", "hidden": 0, "batch_norm": True}
THREE_BLOCKS |= {"convolutions": 1, "kernel_size": 3, "pooling": "max"}


@settings(deadline=None, max_examples=100)
@given(SIDES, SIDES, st.integers(1, 3), st.integers(1, 4), st.fixed_dictionaries(OPTIONS))
@example(8, 8, 1, 2, THREE_BLOCKS)
@example(7, 8, 1, 2, THREE_BLOCKS)
@example(28, 1, 1, 2, THREE_BLOCKS | {"channels": [1], "head": "average"})
def test_a_network_has_its_output_shape_and_parameters_unless_no_pixel_is_left(
    height: int, width: int, n_inputs: int, n_outputs: int, options: dict[str, Any]
) -> None:
    def build() -> CNN:
        return CNN((n_inputs, height, width), n_outputs, **options)

    channels, hidden, batch_norm = (options[k] for k in ("channels", "hidden", "batch_norm"))
    halves = 2 ** len(channels)  # an odd last pixel is lost each time
    n_pixels = (height // halves) * (width // halves)
    if n_pixels == 0:
        with pytest.raises(ArchitectureError, match=f"no pixel is left of {height} x {width}"):
            build()
        return
    model = build()
    assert model(torch.rand(2, n_inputs, height, width)).shape == (2, n_outputs)

    expected, last = 0, n_inputs
    for block in channels:
        for _ in range(options["convolutions"]):
            # A bias beside batch norm would be idle; the norm has a scale and a shift.
            expected += last * block * options["kernel_size"] ** 2 + (
                2 * block if batch_norm else block
            )
            last = block
    n_features = last if options["head"] != "flatten" else last * n_pixels
    if hidden:
        expected += (n_features + 1) * hidden
        n_features = hidden
    expected += (n_features + 1) * n_outputs
    assert n_parameters(model) == expected


@pytest.mark.parametrize(("side", "most"), [(1, 0), (2, 1), (3, 1), (8, 3), (28, 4), (32, 5)])
def test_the_error_names_the_most_blocks_and_these_can_be_built(side: int, most: int) -> None:
    with pytest.raises(ArchitectureError, match=f"use at most {most} blocks"):
        CNN((1, side, side), 2, channels=[1] * (most + 1))
    assert CNN((1, side, side), 2, channels=[1] * most)(torch.rand(2, 1, side, side)).shape == (
        2,
        2,
    )


def plain(pooling: Pooling, head: Head) -> CNN:
    """One block that passes its image through, apart from pooling and relu."""
    model = CNN(
        (1, 4, 6), 1, channels=(1,), kernel_size=1, pooling=pooling, batch_norm=False, head=head
    )
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.dirac_(module.weight)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    return model


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_pooling_and_heads_compute_what_their_names_say(pooling: Pooling) -> None:
    image = np.random.default_rng(0).normal(size=(4, 6))
    tiles = np.maximum(image, 0).reshape(2, 2, 3, 2)
    small = tiles.max((1, 3)) if pooling == "max" else tiles.mean((1, 3))
    inputs = torch.from_numpy(image).float()[None, None]

    heads: list[tuple[Head, np.ndarray]] = [
        ("average", small.mean()),
        ("max", small.max()),
        ("flatten", small.ravel()),
    ]
    for head, features in heads:
        model = plain(pooling, head)
        (linear,) = (module for module in model.modules() if isinstance(module, nn.Linear))
        weight = linear.weight.detach().double().numpy().ravel()
        expected = (features * weight).sum() + linear.bias.item()
        assert model(inputs).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("pool_after", "sides"), [("first", [8, 4, 4, 2]), ("last", [8, 8, 4, 4])])
def test_after_which_convolution_a_block_pools(pool_after: PoolAfter, sides: list[int]) -> None:
    model = CNN((1, 8, 8), 2, channels=(3, 4), convolutions=2, pool_after=pool_after)
    seen: list[int] = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[-1]))
    model(torch.rand(2, 1, 8, 8))
    assert seen == sides


@pytest.mark.parametrize("hidden", [0, 5])
@pytest.mark.parametrize("dropout", [0.0, 0.25])
@pytest.mark.parametrize("convolutions", [1, 2, 3])
def test_dropout_comes_once_after_each_block_and_in_the_hidden_head_if_at_all(
    hidden: int, dropout: float, convolutions: int
) -> None:
    model = CNN(
        (1, 8, 8),
        2,
        channels=(2, 3),
        convolutions=convolutions,
        hidden=hidden,
        dropout=dropout,
        activation="elu",
    )
    dropouts = [module for module in model.modules() if isinstance(module, nn.Dropout)]
    assert len(dropouts) == (0 if dropout == 0 else 2 + (hidden > 0))
    assert {module.p for module in dropouts} <= {dropout}
    assert count(model, nn.Conv2d) == count(model, nn.BatchNorm2d) == 2 * convolutions
    assert count(model, nn.MaxPool2d) == 2
    assert count(model, nn.ELU) == 2 * convolutions + (hidden > 0)
    assert count(model, nn.Linear) == 1 + (hidden > 0)


@pytest.mark.parametrize(("family", "layers"), [(CNN, "channels"), (MLP, "widths")])
def test_batch_norm_comes_before_the_activation(family: ModelClass, layers: str) -> None:
    model = family((1, 8, 8), 2, **{layers: (4,), "batch_norm": True})
    (activation,) = (module for module in model.modules() if isinstance(module, nn.ReLU))
    seen: list[torch.Tensor] = []
    activation.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    model(100 + 50 * torch.randn(64, 1, 8, 8))
    units = seen[0].transpose(0, 1).flatten(1)
    torch.testing.assert_close(units.mean(1), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(units.var(1, correction=0), torch.ones(4), atol=1e-2, rtol=0)
