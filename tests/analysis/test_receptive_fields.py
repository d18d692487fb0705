import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from hw1.analysis.receptive_fields import (
    effective_receptive_field,
    extent,
    receptive_field,
)
from hw1.errors import InputError
from hw1.models import CNN, MLP, ResNet


def seen(model: nn.Module, input_shape: tuple[int, int, int], layer: str) -> list[tuple[int, int]]:
    """The first and the last row, and column, that the unit in the middle sees."""
    window = extent(receptive_field(model, input_shape, layer))
    return [(part.start, part.stop - 1) for part in window]


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
def test_fields_follow_the_recurrence(
    stack: list[tuple[str, list[tuple[int, int]], bool]],
) -> None:
    # https://distill.pub/2019/computing-receptive-fields/
    size, stride, start = [1, 1], [1, 1], [0, 0]
    for _, (k, s, p, d), _ in stack:
        for i in range(2):
            size[i] += (k[i] - 1) * d[i] * stride[i]
            start[i] -= p[i] * stride[i]
            stride[i] *= s[i]
    # So large that no border cuts off what the unit in the middle sees.
    image = [size[i] + 4 * stride[i] - 2 * start[i] for i in range(2)]
    model = build(stack).eval()
    shape, zeros, layer = (1, image[0], image[1]), torch.zeros(1, 1, *image), str(len(model) - 1)
    first = [start[i] + n // 2 * stride[i] for i, n in enumerate(model(zeros).shape[2:])]
    assert seen(model, shape, layer) == [(first[i], first[i] + size[i] - 1) for i in range(2)]


@pytest.mark.parametrize(
    ("model", "layer", "expected"),
    [
        # Two convolutions see 3 + 2 pixels, and the pooling after them 6.
        (CNN((3, 40, 33), 5, channels=(4, 5), convolutions=2), "features.6", [(18, 23), (14, 19)]),
        (CNN((3, 40, 33), 5, channels=(4, 5), head="average"), "head", [(0, 39), (0, 32)]),
        (ResNet((1, 64, 64), 2, width=2, stages=2), "features.3", [(29, 35), (29, 35)]),
        (ResNet((1, 64, 64), 2, width=2, stages=2), "features.4.shortcut", [(29, 35), (29, 35)]),
        # The residual path has 7 + 2 + 2 * 2, the shortcut is within.
        (ResNet((1, 64, 64), 2, width=2, stages=2), "features.4", [(26, 38), (26, 38)]),
        (ResNet((3, 40, 33), 5, width=4, stages=2, activation="gelu", dropout=0.1), "head", None),
    ],
)
def test_the_families_fields(
    model: nn.Module, layer: str, expected: list[tuple[int, int]] | None
) -> None:
    shape = (1, 64, 64) if expected and expected[0][1] in (35, 38) else (3, 40, 33)
    assert seen(model, shape, layer) == (expected or [(0, 39), (0, 32)])


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
    # Rows: the even kernel's 4, then 3 - 1. Columns: the wide branch's 7, then 3 - 1. The unit at
    # (10, 12) begins twice as far, less the paddings.
    window = seen(model, shape, "relu():2")
    assert [last - first + 1 for first, last in window] == [6, 9]
    assert [first for first, _ in window] == [2 * 10 - 1 - 1, 2 * 12 - 3 - 2]
    assert seen(model, shape, "head") == [(0, 39), (0, 49)]


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

    assert seen(Excited(), (1, 20, 20), "conv") == [(9, 11)] * 2
    assert seen(Excited(), (1, 20, 20), "after") == [(0, 19)] * 2


def test_after_a_linear_layer_a_unit_sees_all_that_any_has_seen() -> None:
    # Strides of 4 leave out three columns of 14, those of 2 one row of 10.
    model = nn.Sequential(nn.Conv2d(1, 2, 3, stride=(2, 4)), nn.Flatten(), nn.Linear(24, 3))
    assert seen(model, (1, 10, 14), "2") == [(0, 8), (0, 10)]


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.AdaptiveAvgPool2d(1), [(0, 15), (0, 23)]),
        (nn.AdaptiveMaxPool2d((2, 1)), [(7, 15), (0, 23)]),
        (nn.AdaptiveMaxPool2d((4, 8)), [(7, 12), (11, 15)]),
        (nn.AdaptiveAvgPool2d((None, 2)), [(7, 9), (11, 23)]),
        (nn.GroupNorm(1, 1), [(0, 15), (0, 23)]),
        (nn.Upsample(scale_factor=2), [(7, 9), (11, 13)]),
    ],
    ids=str,
)
def test_windows_of_other_layers(layer: nn.Module, expected: list[tuple[int, int]]) -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.ReLU(), layer)
    assert seen(model, (1, 16, 24), "2") == expected


def test_dilation_leaves_holes() -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, 3, dilation=3))
    pixels = receptive_field(model, (1, 13, 13), "0")
    expected = np.zeros((13, 13), bool)
    expected[3:10:3, 3:10:3] = True
    assert (pixels.numpy() == expected).all()


def test_a_deep_networks_corners_do_not_underflow() -> None:
    model = nn.Sequential(*[nn.Conv2d(1, 1, 3) for _ in range(40)])
    assert receptive_field(model, (1, 81, 81), "39").all()


def test_the_effective_field_is_the_mean_absolute_gradient() -> None:
    torch.manual_seed(0)
    model, images = CNN((2, 12, 10), 3, channels=(4, 3)).eval(), torch.randn(70, 2, 12, 10)
    expected = np.zeros((12, 10))
    for image in images.split(1):
        leaf = image.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(model.features[:7](leaf)[0, 1, 3, 2], leaf)
        expected += gradient[0].abs().sum(0).double().numpy()
    found = effective_receptive_field(model, images, "features.6", 1, 0.95)
    np.testing.assert_allclose(found.map, expected / 70, rtol=1e-4, atol=1e-8)
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
    assert expected[found.square].sum() >= 0.95 * total
    assert {part.stop - part.start for part in found.square} == {found.side}


def test_the_effective_field_of_a_linear_layer_is_its_kernel() -> None:
    kernel = torch.tensor([[0.0, -1, 0], [-1, 100, 1], [0, 1, 0]])
    model = nn.Sequential(nn.Conv2d(1, 1, 3, bias=False))
    with torch.no_grad():
        model[0].weight[:] = kernel
    images = torch.randn(5, 1, 7, 9)
    found = effective_receptive_field(model, images, "0", 0, 0.95)
    expected = torch.zeros(7, 9, dtype=torch.float64)
    expected[2:5, 3:6] = kernel.abs()
    assert torch.equal(found.map, expected)
    assert found.side == 1
    assert effective_receptive_field(model, images, "0", 0, 0.99).side == 3
    with torch.no_grad():
        model[0].weight[:] = 0
    assert effective_receptive_field(model, images, "0", 0, 0.95).side == 0


def test_rows_that_are_no_images_have_no_fields() -> None:
    model, rows = MLP((6,), 2), torch.zeros(3, 6)
    for look in (
        lambda: receptive_field(model, (6,), "layers.1"),
        lambda: effective_receptive_field(model, rows, "layers.1", 0, 0.95),
    ):
        with pytest.raises(InputError, match=r"need images .* not inputs of shape \(6,\)"):
            look()
