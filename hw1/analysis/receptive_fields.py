"""Which pixels the units of a network see: by its structure, and in effect."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from hw1.analysis.layers import ACTIVATIONS, function_name, layer_outputs
from hw1.errors import InputError

UNCHANGED = ACTIVATIONS | {"batchnorm"}
UNCHANGED |= {"dropout", "dropout1d", "dropout2d", "alphadropout", "featurealphadropout"}
"""The functions after which a unit sees what it has seen before them."""
CHUNK = 64
"""Examples per batch with their gradients."""

Window = tuple[slice, slice]
"""Rows and columns of an image."""


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[-1])


def _require_images(input_shape: Sequence[int]) -> None:
    if len(input_shape) != 3:
        raise InputError(
            f"receptive fields need images (channels, height, width), not inputs of shape "
            f"{tuple(input_shape)}: choose a network that takes images"
        )


class _Positive(TorchFunctionMode):
    """Lets a network compute with positive weights, without activations, with means for maxima.

    A pixel has a positive gradient then if any path leads from it to a unit, and else zero: no
    path is closed by an activation or a maximum, and none cancels another. Double precision
    keeps the smallest gradients, those in the corners of deep networks' fields.
    """

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)

    def positive(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        # Random, lest a difference of two paths is zero by chance.
        draw = torch.rand(value.shape, dtype=torch.float64, generator=self.generator)
        return ((draw + 0.5) / value[0].numel()).to(value.device)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Collection[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        args, keywords = tree_map(_double, (args, dict(kwargs or {})))
        name = function_name(func)
        if name in UNCHANGED:
            return args[0]
        if name in ("conv2d", "convtranspose2d", "linear"):
            weights, keywords = tree_map(self.positive, (args[1:], keywords))
            return func(args[0], *weights, **keywords)
        return MEANS.get(name, func)(*args, **keywords)


def _double(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


def _mean_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    """Mean pooling with the windows of ``max_pool2d``, dilation included."""
    maxima = functional.max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode)
    kernel, steps, margin = map(_pair, (kernel_size, stride or kernel_size, padding))
    # Rounded up, the last window may need a step more than the margin; what is too much goes.
    pads = [margin[1], margin[1] + steps[1], margin[0], margin[0] + steps[0]]
    window = input.new_ones(input.shape[1], 1, *kernel) / (kernel[0] * kernel[1])
    padded = functional.pad(input, pads)
    means = functional.conv2d(padded, window, None, steps, 0, _pair(dilation), input.shape[1])
    return means[:, :, : maxima.shape[2], : maxima.shape[3]]


MEANS: dict[str, Callable[..., Any]] = {
    "maxpool2d": _mean_pool2d,
    "adaptivemaxpool2d": lambda input, output_size, *_, **__: functional.adaptive_avg_pool2d(
        input, output_size
    ),
    "amax": torch.mean,
}


def _gradient(
    model: nn.Module, images: Tensor, layer: str, channel: int | slice = slice(None)
) -> Tensor:
    """That of the unit in the middle of a channel's map, or of all channels, for each image."""
    images = images.detach().requires_grad_()
    with torch.enable_grad():
        units = layer_outputs(model, images.clone(), [layer])[layer]  # some work in place
        for size in units.shape[2:]:
            units = units[:, :, size // 2]
        score = units[:, channel].sum()
        if score.requires_grad:
            (gradient,) = torch.autograd.grad(score, images, allow_unused=True)
            if gradient is not None:
                found: Tensor = gradient
                return found
    raise InputError("the layer does not depend on the image: choose another one")


def receptive_field(model: nn.Module, input_shape: Sequence[int], layer: str) -> Tensor:
    """The pixels that the unit in the middle of a layer's maps, in any channel, sees, by autograd.

    The gradients are those of the same architecture with random positive weights and without
    activations, in which means take the place of maxima: they are exactly zero where no path
    leads from the pixel to the unit, and positive elsewhere. With the network's own weights
    activations and maxima would hide pixels. Functions other than ``torch.nn.functional``'s are
    computed as they are.

    Args:
        model: a network that takes images.
        input_shape: ``(channels, height, width)``.
        layer: a name; see `hw1.analysis.layers`.

    Returns:
        ``(height, width)`` bool, the holes left by dilation and strides included.

    Raises:
        InputError: the inputs are not images, or there is no such layer.
    """
    _require_images(input_shape)
    like = next(model.parameters(), torch.empty(0))
    images = torch.ones(2, *input_shape, dtype=torch.float64, device=like.device)
    with _Positive():
        gradient = _gradient(model, images, layer)
    return (gradient[0] != 0).any(0)


def extent(pixels: Tensor) -> Window:
    """The smallest rectangle around the pixels that are true, of which there is one at least."""
    down, across = (torch.nonzero(pixels.any(dim)).flatten().tolist() for dim in (1, 0))
    return slice(down[0], down[-1] + 1), slice(across[0], across[-1] + 1)


@dataclass(frozen=True, eq=False)
class EffectiveReceptiveField:
    """How much the unit in the middle of a layer's maps answers to each pixel.

    Attributes:
        map: ``(height, width)`` float64, the mean absolute gradient, summed over the image's
            channels.
        side: of the smallest square that holds the given share of the map's sum; 0 if that is
            zero.
        square: where it lies, as far as the image reaches.
    """

    map: Tensor
    side: int
    square: Window


def effective_receptive_field(
    model: nn.Module,
    inputs: Tensor,
    layer: str,
    channel: int,
    share: float,
) -> EffectiveReceptiveField:
    """The effective receptive field of Luo et al. (2016, https://arxiv.org/abs/1701.04128).

    Args:
        model: a network that takes images.
        inputs: ``(n_rows, channels, height, width)``, over which gradients are averaged.
        layer: a name; see `hw1.analysis.layers`.
        channel: of the unit.
        share: of the sum, that the square is to hold.

    Raises:
        InputError: the inputs are not images, or there is no such layer.
    """
    _require_images(inputs.shape[1:])
    total = torch.zeros(inputs.shape[2:], dtype=torch.float64)
    for images in inputs.split(CHUNK):
        total += _gradient(model, images, layer, channel).abs().sum((0, 1)).cpu()
    field = total / len(inputs)
    return EffectiveReceptiveField(field, *_smallest_square(field, share))


def _smallest_square(field: Tensor, share: float) -> tuple[int, Window]:
    """The side and the place of the smallest square that holds a share of the sum."""
    needed = share * field.sum()
    if needed == 0:
        return 0, (slice(0), slice(0))
    sums = functional.pad(field.cumsum(0).cumsum(1), (1, 0, 1, 0))
    height, width = field.shape
    for side in range(1, max(height, width) + 1):
        h, w = min(side, height), min(side, width)
        boxes = sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]
        if boxes.max() >= needed or side == max(height, width):
            break
    top, left = divmod(int(boxes.argmax()), boxes.shape[1])
    return side, (slice(top, top + h), slice(left, left + w))
