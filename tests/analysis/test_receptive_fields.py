from typing import Any

import numpy as np
import pytest
import torch
from analysis.undisturbed import Awkward, undisturbed
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from hw1.analysis.layers import hidden_layers
from hw1.analysis.receptive_fields import (
    effective_receptive_field,
    receptive_field,
    receptive_field_by_gradient,
)
from hw1.errors import InputError
from hw1.models import CNN, MLP, ResNet


def extent(pixels: Tensor) -> tuple[slice, slice]:
    """The rows and columns of the smallest rectangle around the pixels that are true."""
    rows, columns = (pixels.any(dim).nonzero().flatten().tolist() for dim in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def assert_exact(model: nn.Module, input_shape: tuple[int, int, int], layer: str) -> None:
    field = receptive_field(model, input_shape, layer)
    pixels = receptive_field_by_gradient(model, input_shape, layer)
    assert field.window(field.centre) == extent(pixels)


@st.composite
def windows(draw: st.DrawFn) -> tuple[str, list[tuple[int, int]], bool]:
    kind = draw(st.sampled_from(["conv", "max", "average"]))
    sizes = []
    for _ in range(2):
        kernel = draw(st.integers(1, 4 if kind == "conv" else 3))
        padding = draw(st.integers(0, 3 if kind == "conv" else kernel // 2))
        dilation = draw(st.integers(1, 1 if kind == "average" else 2))
        sizes.append((kernel, draw(st.integers(1, 3)), padding, dilation))
    return kind, list(zip(*sizes, strict=True)), draw(st.booleans())


def build(stack: list[tuple[str, list[tuple[int, int]], bool]]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for kind, (kernel, stride, padding, dilation), flag in stack:
        if kind == "conv":
            layers.append(nn.Conv2d(1, 1, kernel, stride, padding, dilation))
            layers += [nn.BatchNorm2d(1), nn.ReLU(inplace=flag), nn.Dropout(0.5)]
        elif kind == "max":
            layers.append(nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=flag))
        else:
            layers.append(nn.AvgPool2d(kernel, stride, padding, ceil_mode=flag))
    return nn.Sequential(*layers)


@settings(max_examples=60, deadline=None)
@given(st.lists(windows(), min_size=1, max_size=3))
def test_fields_follow_the_recurrence_and_are_what_gradients_say(
    stack: list[tuple[str, list[tuple[int, int]], bool]],
) -> None:
    size, stride, start = [1, 1], [1, 1], [0, 0]
    for _, (k, s, p, d), _ in stack:
        for i in range(2):
            size[i] += (k[i] - 1) * d[i] * stride[i]
            start[i] -= p[i] * stride[i]
            stride[i] *= s[i]
    # So large that no border cuts off what the unit in the middle sees.
    image = [size[i] + 4 * stride[i] - 2 * start[i] for i in range(2)]
    model, layer = build(stack), str(len(build(stack)) - 1)
    field = receptive_field(model, (1, *image), layer)
    assert (field.size, field.stride, field.start) == (tuple(size), tuple(stride), tuple(start))
    window = field.window(field.centre)
    assert [w.stop - w.start for w in window] == size
    assert extent(receptive_field_by_gradient(model, (1, *image), layer)) == window


@pytest.mark.parametrize("position", [(0, 0), (0, 3), (5, 6), (2, 1)])
def test_fields_are_clipped_at_the_border(position: tuple[int, int]) -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 1, (3, 5), padding=(1, 2)), nn.AvgPool2d(2), nn.Conv2d(1, 1, 3, padding=1)
    )
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(1)
    image = torch.zeros(1, 1, 12, 14, requires_grad=True)
    (gradient,) = torch.autograd.grad(model(image)[0, 0][position], image)
    field = receptive_field(model, (1, 12, 14), "2")
    assert field.map_size == (6, 7)
    assert field.size == (8, 10)
    assert field.window(position) == extent(gradient[0, 0] != 0)


@pytest.mark.parametrize(
    "model",
    [
        CNN((3, 40, 33), 5, channels=(4, 5, 6), convolutions=2, kernel_size=5, hidden=7),
        CNN((3, 40, 33), 5, channels=(4, 5), pooling="average", head="average", dropout=0.2),
        ResNet((3, 40, 33), 5, width=4, stages=3, blocks=2),
        ResNet((3, 40, 33), 5, width=4, stages=2, activation="gelu", dropout=0.1),
    ],
    ids=["CNN", "CNN of means", "ResNet", "small ResNet"],
)
def test_the_families_fields_are_what_gradients_say(model: nn.Module) -> None:
    shape = (3, 40, 33)
    layers = list(hidden_layers(model, torch.zeros(2, *shape)))
    for layer in layers:
        assert_exact(model, shape, layer)
    field = receptive_field(model, shape, "head")
    assert (field.size, field.stride) == ((40, 33), (0, 0))
    assert receptive_field(model, shape, layers[0]).stride == (1, 1)


def test_a_shortcut_widens_no_field() -> None:
    model = ResNet((1, 64, 64), 2, width=2, stages=2)
    # 3 + 2 + 2, then 7 + 2 + 2 * 2 by the residual path.
    assert receptive_field(model, (1, 64, 64), "features.3").size == (7, 7)
    assert receptive_field(model, (1, 64, 64), "features.4").size == (13, 13)
    assert receptive_field(model, (1, 64, 64), "features.4.shortcut").size == (7, 7)


class Own(nn.Module):
    """Functions, branches of unlike sizes, "same" padding, and weights that hide everything."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(2, 2, (1, 7), padding="same")
        self.even = nn.Conv2d(2, 2, 4, padding="same", groups=2)
        self.pad = nn.ZeroPad2d((2, 0, 1, 0))
        self.last = nn.Conv2d(4, 3, 3, stride=2)
        self.head = nn.Linear(3, 2)
        for p in self.parameters():
            nn.init.constant_(p, -1)

    def forward(self, inputs: Tensor) -> Tensor:
        branches = [self.wide(inputs), functional.relu(self.even(inputs))]
        maps = self.last(self.pad(torch.cat(branches, dim=1)))
        maps += 1
        maps = functional.max_pool2d(torch.relu(maps), (2, 3))
        return self.head(functional.hardtanh(maps).mean((2, 3)))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_any_networks_fields_are_found() -> None:
    model, shape = Own(), (2, 40, 50)
    for layer in ("relu()", "wide", "pad", "last", "relu():2", "hardtanh()", "head"):
        assert_exact(model, shape, layer)
    field = receptive_field(model, shape, "relu():2")
    # Rows: the even kernel's 4, then 3 - 1. Columns: the wide branch's 7, then 3 - 1.
    assert (field.size, field.stride) == ((6, 9), (2, 2))
    assert field.start == (-1 - 1, -3 - 2)


def test_the_weight_of_a_channel_sees_everything() -> None:
    class Excited(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.excite = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 1)
            self.act = nn.Sigmoid()
            self.after = nn.Conv2d(4, 4, 3)

        def forward(self, inputs: Tensor) -> Tensor:
            maps = self.conv(inputs)
            return self.after(maps * self.act(self.excite(maps.mean((2, 3), keepdim=True))))

    assert receptive_field(Excited(), (1, 20, 20), "conv").size == (3, 3)
    assert receptive_field(Excited(), (1, 20, 20), "after").size == (20, 20)
    assert_exact(Excited(), (1, 20, 20), "after")


def test_after_flattening_a_unit_sees_all_that_any_has_seen() -> None:
    # Strides of 4 leave out three columns of 14, those of 2 one row of 10.
    model = nn.Sequential(nn.Conv2d(1, 2, 3, stride=(2, 4)), nn.ReLU(), nn.Flatten())
    field = receptive_field(model, (1, 10, 14), "2")
    assert (field.start, field.size, field.stride) == ((0, 0), (9, 11), (0, 0))
    assert (field.map_size, field.image_size) == ((1, 1), (10, 14))
    model.append(nn.Linear(24, 3))
    assert_exact(model, (1, 10, 14), "3")


@pytest.mark.parametrize("size", [1, (2, 1), (4, 8), (None, 2)])
@pytest.mark.parametrize("kind", [nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d])
def test_adaptive_pooling(kind: Any, size: Any) -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.ReLU(), kind(size))
    assert_exact(model, (1, 16, 24), "2")


def test_statistics_over_positions_see_everything() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.GroupNorm(1, 2))
    assert_exact(model, (1, 16, 24), "1")


def test_gradients_know_where_windows_do_not() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.Upsample(scale_factor=2), nn.ReLU())
    assert receptive_field(model, (1, 9, 9), "0").size == (3, 3)
    with pytest.raises(InputError, match="'interpolate': use receptive_field_by_gradient"):
        receptive_field(model, (1, 9, 9), "2")
    # The unit at 9 of 18 stands for the one at 4 of 9.
    assert extent(receptive_field_by_gradient(model, (1, 9, 9), "2")) == (slice(3, 6), slice(3, 6))


def test_dilation_leaves_holes() -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, 3, dilation=3))
    pixels = receptive_field_by_gradient(model, (1, 13, 13), "0")
    expected = np.zeros((13, 13), bool)
    expected[3:10:3, 3:10:3] = True
    assert (pixels.numpy() == expected).all()


def test_a_deep_networks_corners_do_not_underflow() -> None:
    model = nn.Sequential(*[nn.Conv2d(1, 1, 3) for _ in range(40)])
    assert receptive_field_by_gradient(model, (1, 81, 81), "39").all()


def test_a_channels_pixels_are_its_own() -> None:
    model = nn.Sequential(nn.Conv2d(2, 2, 3, groups=2, padding=1), nn.Conv2d(2, 2, 1, groups=2))
    assert receptive_field_by_gradient(model, (2, 5, 5), "1", channel=1).sum() == 9
    with pytest.raises(InputError, match="no channel 2 in this layer: choose one from 0 to 1"):
        receptive_field_by_gradient(model, (2, 5, 5), "1", channel=2)


@pytest.mark.parametrize("channel", [None, 1])
def test_the_effective_field_is_the_mean_absolute_gradient(channel: int | None) -> None:
    torch.manual_seed(0)
    model, images = CNN((2, 12, 10), 3, channels=(4, 3)).eval(), torch.randn(70, 2, 12, 10)
    expected = np.zeros((12, 10))
    channels = range(3) if channel is None else [channel]
    for image in images.split(1):
        for c in channels:
            leaf = image.clone().requires_grad_()
            model.features[:7](leaf)[0, c, 3, 2].backward()
            assert leaf.grad is not None
            expected += leaf.grad[0].abs().sum(0).double().numpy()
    for p in model.parameters():
        p.grad = None
    found = effective_receptive_field(model, images, "features.6", channel)
    np.testing.assert_allclose(found.map, expected / len(channels) / 70, rtol=1e-4, atol=1e-8)
    # The smallest square, found by trying all.
    total = expected.sum()
    sides = [
        side
        for side in range(1, 11)
        for i in range(13 - side)
        for j in range(11 - side)
        if expected[i : i + side, j : j + side].sum() >= 0.95 * total
    ]
    assert found.side == min(sides)
    assert found.side <= receptive_field(model, (2, 12, 10), "features.6").size[0]


def test_the_effective_field_of_a_linear_layer_is_its_kernel() -> None:
    kernel = torch.tensor([[0.0, -1, 0], [-1, 100, 1], [0, 1, 0]])
    model = nn.Sequential(nn.Conv2d(1, 1, 3, bias=False))
    with torch.no_grad():
        model[0].weight[:] = kernel
    images = torch.randn(5, 1, 7, 9)
    found = effective_receptive_field(model, images, "0")
    expected = torch.zeros(7, 9, dtype=torch.float64)
    expected[2:5, 3:6] = kernel.abs()
    assert torch.equal(found.map, expected)
    assert found.side == 1
    assert effective_receptive_field(model, images, "0", share=0.99).side == 3
    with torch.no_grad():
        model[0].weight[:] = 0
    assert effective_receptive_field(model, images, "0").side == 0


def test_rows_that_are_no_images_have_no_fields() -> None:
    model, rows = MLP((6,), 2), torch.zeros(3, 6)
    for look in (
        lambda: receptive_field(model, (6,), "layers.1"),
        lambda: receptive_field_by_gradient(model, (6,), "layers.1"),
        lambda: effective_receptive_field(model, rows, "layers.1"),
    ):
        with pytest.raises(InputError, match=r"need images .* not rows of shape \(6,\)"):
            look()


def test_the_network_is_left_as_it_was() -> None:
    model = Awkward()
    with undisturbed(model):
        assert receptive_field(model, (1, 8, 8), "act").size == (3, 3)
        assert receptive_field_by_gradient(model, (1, 8, 8), "act").sum() == 9
        images = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        before = images.clone()
        assert effective_receptive_field(model, images, "act").map.shape == (8, 8)
        assert torch.equal(images, before)
    for p in model.parameters():
        p.requires_grad_(False)
    with torch.no_grad():
        assert receptive_field_by_gradient(model, (1, 8, 8), "act").sum() == 9
        assert effective_receptive_field(model, images, "act").side > 0
