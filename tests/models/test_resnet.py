import math
import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from models.counting import count, n_parameters
from torch import nn
from torchvision.models.resnet import BasicBlock

from hw1.errors import ArchitectureError
from hw1.models import ResNet
from hw1.models.resnet import ResidualBlock


def sides(side: int, stages: int) -> list[int]:
    """The side of the image that each stage returns: a stride of 2 rounds up."""
    return [math.ceil(side / 2**stage) for stage in range(stages)]


def can_exist(height: int, width: int, stages: int) -> bool:
    """Whether every stage after the first finds at least two pixels on a side to halve."""
    return stages >= 1 and all(side > 1 for side in sides(min(height, width), stages)[:-1])


@settings(deadline=None, max_examples=50)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 10), st.integers(1, 10)),
    st.integers(1, 4),
    st.integers(1, 2),
    st.integers(0, 7),
    st.integers(1, 2),
    st.sampled_from([0.0, 0.3]),
    st.booleans(),
    st.sampled_from(["average", "max"]),
)
@example((1, 8, 8), 2, 2, 4, 1, 0.0, False, "average")
@example((1, 9, 9), 2, 2, 5, 1, 0.0, False, "max")
@example((1, 28, 1), 2, 2, 2, 1, 0.0, False, "average")
@example((1, 1, 1), 2, 2, 1, 1, 0.0, False, "average")
@example((1, 1, 9), 2, 2, 1, 1, 0.0, True, "average")
def test_a_network_has_its_output_shape_and_parameters_unless_no_pixel_is_left(
    shape: tuple[int, int, int],
    n_outputs: int,
    channels: int,
    stages: int,
    blocks: int,
    dropout: float,
    pooled: bool,
    head: Any,
) -> None:
    def build() -> ResNet:
        options: dict[str, Any] = {"stages": stages, "blocks": blocks, "dropout": dropout}
        return ResNet(shape, n_outputs, width=channels, pooled=pooled, head=head, **options)

    n_inputs, height, width = shape
    if pooled and stages:
        height, width = height // 2, width // 2
        if min(height, width) == 0:
            with pytest.raises(ArchitectureError, match="leave pooled out"):
                build()
            return
    if not can_exist(height, width, stages):
        with pytest.raises(ArchitectureError, match=f"not {stages}$"):
            build()
        return
    model = build()
    assert model(torch.rand(2, *shape)).shape == (2, n_outputs)

    expected = 9 * n_inputs * channels + 2 * channels
    last = channels
    for stage in range(stages):
        wide = channels * 2**stage
        for block in range(blocks):
            expected += 9 * last * wide + 9 * wide * wide + 4 * wide
            if stage > 0 and block == 0:
                expected += last * wide + 2 * wide
            last = wide
    expected += (last + 1) * n_outputs
    assert n_parameters(model) == expected


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_each_stage_halves_the_image_and_doubles_the_channels(
    height: int, width: int, data: st.DataObject
) -> None:
    stages = data.draw(
        st.integers(1, 5).filter(lambda n: can_exist(height, width, n)), label="stages"
    )
    model = ResNet((1, height, width), 2, width=1, stages=stages, blocks=2)
    shapes: list[tuple[int, ...]] = []
    for module in model.modules():
        if isinstance(module, ResidualBlock):
            module.register_forward_hook(
                lambda block, inputs, output: shapes.append(tuple(output.shape[1:]))
            )
    model(torch.rand(2, 1, height, width))
    expected = [
        (2**stage, *size)
        for stage, size in enumerate(zip(sides(height, stages), sides(width, stages), strict=True))
    ]
    assert shapes[::2] == shapes[1::2] == expected


@pytest.mark.parametrize(("side", "most"), [(1, 1), (2, 2), (3, 3), (4, 3), (8, 4), (28, 6)])
def test_the_error_names_the_most_stages_and_these_can_be_built(side: int, most: int) -> None:
    with pytest.raises(ArchitectureError, match=f"use at most {most}, not {most + 1}"):
        ResNet((1, side, side), 2, width=1, stages=most + 1)
    model = ResNet((1, side, side), 2, width=1, stages=most)
    assert model(torch.rand(2, 1, side, side)).shape == (2, 2)


@pytest.mark.parametrize(("n_inputs", "stride"), [(6, 1), (6, 2), (3, 1), (3, 2)])
@pytest.mark.parametrize("training", [True, False])
def test_a_block_computes_what_the_block_of_torchvision_does(
    n_inputs: int, stride: int, training: bool
) -> None:
    torch.manual_seed(0)
    ours = ResidualBlock(n_inputs, 6, stride, "relu", dropout=0.0)
    downsample = None
    if stride != 1 or n_inputs != 6:
        downsample = nn.Sequential(
            nn.Conv2d(n_inputs, 6, 1, stride=stride, bias=False), nn.BatchNorm2d(6)
        )
    theirs = BasicBlock(n_inputs, 6, stride, downsample)
    for parameter in ours.parameters():
        nn.init.normal_(parameter)
    # Both list the parameters of the two convolutions first, then those of the shortcut.
    pairs = list(zip(ours.parameters(), theirs.parameters(), strict=True))
    with torch.no_grad():
        for mine, other in pairs:
            other.copy_(mine)
    ours.train(training)
    theirs.train(training)
    inputs = torch.randn(4, n_inputs, 7, 7)
    torch.testing.assert_close(ours(inputs), theirs(inputs))


@pytest.mark.parametrize(("dropout", "per_block"), [(0.0, 0), (0.4, 1)])
def test_a_block_has_one_dropout_layer_between_its_convolutions_if_asked_for(
    dropout: float, per_block: int
) -> None:
    model = ResNet((1, 8, 8), 2, stages=2, blocks=3, width=2, dropout=dropout)
    assert count(model, nn.Dropout) == 6 * per_block
    assert {m.p for m in model.modules() if isinstance(m, nn.Dropout)} <= {dropout}
    for block in (module for module in model.modules() if isinstance(module, ResidualBlock)):
        kinds = [type(m) for m in block.residual.modules() if isinstance(m, nn.Conv2d | nn.Dropout)]
        assert kinds == [nn.Conv2d, *[nn.Dropout] * per_block, nn.Conv2d]


def test_the_named_activation_replaces_every_relu() -> None:
    model = ResNet((1, 8, 8), 2, stages=2, blocks=2, width=2, activation="silu")
    assert (count(model, nn.SiLU), count(model, nn.ReLU)) == (1 + 2 * 4, 0)


def test_the_head_is_the_mean_of_each_channel_and_a_linear_layer() -> None:
    model = ResNet((1, 8, 8), 3, stages=2, width=2).eval()
    inputs = torch.rand(2, 1, 8, 8)
    (linear,) = (module for module in model.modules() if isinstance(module, nn.Linear))
    means = model.features(inputs).mean((2, 3))
    torch.testing.assert_close(model(inputs), means @ linear.weight.T + linear.bias)


def test_small_odd_batches_are_trained_on_two_threads() -> None:
    """A gradient by oneDNN wrote beyond its memory for these sizes, which ended the process."""
    code = (
        "import torch\n"
        "from hw1.models import ResNet\n"
        "torch.set_num_threads(2)\n"
        "model = ResNet((1, 28, 28), 10, width=8).to(memory_format=torch.channels_last)\n"
        "x = torch.randn(63, 1, 28, 28).to(memory_format=torch.channels_last)\n"
        "for _ in range(20):\n"
        "    torch.autograd.grad(model(x).sum(), list(model.parameters()))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
