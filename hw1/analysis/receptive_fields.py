"""Which pixels the units of a network see: by its structure, and in effect."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from hw1.analysis.layers import ACTIVATION_FUNCTIONS, layer_outputs
from hw1.errors import InputError

DROPOUTS = {"dropout", "dropout1d", "dropout2d", "alpha_dropout", "feature_alpha_dropout"}
ARITHMETIC = {"add", "sub", "rsub", "mul", "div", "rdiv", "true_divide", "neg", "pow", "square"}
ARITHMETIC |= {"abs", "exp", "sqrt", "clamp", "clip", "maximum", "minimum"}
CASTS = {"clone", "contiguous", "detach", "to", "float", "double", "half", "type"}
UNCHANGED = DROPOUTS | ACTIVATION_FUNCTIONS | {"batch_norm"}
POINTWISE = UNCHANGED | ARITHMETIC | CASTS | {"local_response_norm"}
"""The names of functions whose outputs see what their inputs see at the same position."""
CHUNK = 64
"""How many rows are computed at once with their gradients."""

Pair = tuple[int, int]
Size = int | Sequence[int]


@dataclass(frozen=True)
class ReceptiveField:
    """What the units of a layer see, as (height, width).

    The unit in row ``i`` of a map sees ``size`` rows of pixels from ``start + i * stride`` on;
    columns alike. Some may lie in the padding around the image. A unit that sees the same as all
    others of its layer, as after flattening, has the stride zero.

    Attributes:
        size: of the field, in pixels; the holes that dilation leaves are included.
        stride: pixels from the field of one unit to that of the next; also called jump.
        start: the first pixel of the unit at (0, 0); negative in the padding.
        map_size: units of the layer's maps; (1, 1) where it has none.
        image_size: pixels of the image.
    """

    size: Pair
    stride: Pair
    start: Pair
    map_size: Pair
    image_size: Pair

    @property
    def centre(self) -> Pair:
        """The position of the unit in the middle."""
        return self.map_size[0] // 2, self.map_size[1] // 2

    def window(self, position: Pair) -> tuple[slice, slice]:
        """The rows and columns of the image that a unit sees: its field, clipped at the border.

        For the unit in the middle give `centre`. Pixels at the border that strides or dilation
        leave out count as seen.
        """
        slices = []
        for dim in range(2):
            first = self.start[dim] + position[dim] * self.stride[dim]
            ends = (first, first + self.size[dim])
            slices.append(slice(*(min(max(end, 0), self.image_size[dim]) for end in ends)))
        return slices[0], slices[1]


Field = ReceptiveField | str
"""A receptive field, or the name of the function after which it is not known."""


def _pair(size: Size) -> Pair:
    return (size, size) if isinstance(size, int) else (size[0], size[-1])


def _slide(
    field: ReceptiveField, kernel: Size, stride: Size, padding: Size, dilation: Size = 1
) -> ReceptiveField:
    """What a window that slides over the maps sees."""
    (k, s, p, d), jump = map(_pair, (kernel, stride, padding, dilation)), field.stride
    return replace(
        field,
        size=_pair([field.size[i] + (k[i] - 1) * d[i] * jump[i] for i in range(2)]),
        stride=_pair([jump[i] * s[i] for i in range(2)]),
        start=_pair([field.start[i] - p[i] * jump[i] for i in range(2)]),
    )


def _everything(field: ReceptiveField) -> ReceptiveField:
    """What all units of the maps see together."""
    first = field.window((0, 0))
    last = field.window((field.map_size[0] - 1, field.map_size[1] - 1))
    size = _pair([last[i].stop - first[i].start for i in range(2)])
    start = (first[0].start, first[1].start)
    return replace(field, size=size, stride=(0, 0), start=start, map_size=(1, 1))


def _union(fields: Sequence[ReceptiveField], name: str) -> Field:
    """What the units at the same position of several maps see together."""
    if len(set(fields)) > 1 and any(field.stride == (0, 0) for field in fields):
        # A number that has seen everything, such as the weight of a channel, meets maps.
        fields = [_everything(field) for field in fields]
    if len({(field.stride, field.map_size) for field in fields}) > 1:
        return name
    starts = _pair([min(field.start[i] for field in fields) for i in range(2)])
    ends = [max(field.start[i] + field.size[i] for field in fields) for i in range(2)]
    return replace(fields[0], start=starts, size=_pair([ends[i] - starts[i] for i in range(2)]))


def _conv2d(
    field: ReceptiveField,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Field:
    kernel = _pair(weight.shape[2:])
    if isinstance(padding, str):  # of an odd padding "same" puts the greater part at the end
        same = padding == "same"
        padding = [same * (kernel[i] - 1) * _pair(dilation)[i] // 2 for i in range(2)]
    return _slide(field, kernel, stride, padding, dilation)


def _adaptive_pool2d(
    field: ReceptiveField, input: Tensor, output_size: Size, *_: Any, **__: Any
) -> Field:
    sizes = [n or field.map_size[i] for i, n in enumerate(_pair(output_size))]
    if sizes == [1, 1]:
        return _everything(field)
    if any(field.map_size[i] % sizes[i] for i in range(2)):
        return "adaptive pooling with unequal windows"
    kernel = [field.map_size[i] // sizes[i] for i in range(2)]
    return _slide(field, kernel, kernel, 0)


def _pad(
    field: ReceptiveField,
    input: Tensor,
    pad: Sequence[int],
    mode: str = "constant",
    *_: Any,
    **__: Any,
) -> Field:
    if mode != "constant" or len(pad) not in (2, 4):
        return f"pad ({mode})"
    return _slide(field, 1, 1, (pad[2] if len(pad) == 4 else 0, pad[0]))


# What is seen after a function, given its arguments under the names that torch has for them.
SLIDING: dict[str, Callable[..., Field]] = {
    "conv2d": _conv2d,
    "max_pool2d": lambda field, input, kernel_size, stride=None, padding=0, dilation=1, *_, **__: (
        _slide(field, kernel_size, stride or kernel_size, padding, dilation)
    ),
    "avg_pool2d": lambda field, input, kernel_size, stride=None, padding=0, *_, **__: _slide(
        field, kernel_size, stride or kernel_size, padding
    ),
    "adaptive_avg_pool2d": _adaptive_pool2d,
    "adaptive_max_pool2d": _adaptive_pool2d,
    "pad": _pad,
    "group_norm": lambda field, *_, **__: _everything(field),
    "layer_norm": lambda field, *_, **__: _everything(field),
    "instance_norm": lambda field, *_, **__: _everything(field),
}


class _Fields(TorchFunctionMode):
    """Follows receptive fields from the image through all functions that are called."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        size = _pair(image.shape[2:])
        # The tensors are kept so that no other gets the same id.
        self.tensors = [image]
        self.fields: dict[int, Field] = {
            id(image): ReceptiveField((1, 1), (1, 1), (0, 0), size, size)
        }

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Collection[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        name = getattr(func, "__name__", "?").strip("_")
        fields = [self.fields[id(t)] for t in tree_leaves((args, kwargs)) if id(t) in self.fields]
        changed = args[0] if name == "setitem" else output
        for tensor in tree_leaves(changed) if fields else ():
            if isinstance(tensor, Tensor):
                self.tensors.append(tensor)
                field = _after(name, fields, args, dict(kwargs), tensor)
                if not isinstance(field, str):
                    size = _pair(tensor.shape[2:]) if tensor.dim() == 4 else (1, 1)
                    field = replace(field, map_size=size)
                self.fields[id(tensor)] = field
        return output


def _after(
    name: str,
    fields: Sequence[Field],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    output: Tensor,
) -> Field:
    """What the output of a function sees whose inputs see ``fields``."""
    known = [field for field in fields if isinstance(field, ReceptiveField)]
    for field in fields:
        if isinstance(field, str):
            return field
    if name in POINTWISE or all(field.stride == (0, 0) for field in known):
        return _union(known, name)
    if name in ("cat", "concat") and 1 in (*args[1:], kwargs.get("dim")):
        return _union(known, name)
    if len(known) > 1:
        return name
    if name in SLIDING:
        return SLIDING[name](known[0], *args, **kwargs)
    if name in ("flatten", "reshape", "view", "mean", "sum", "amax", "amin"):
        if output.dim() == 4 and output.shape[2:] == known[0].map_size:  # works on channels
            return known[0]
        if output.dim() == 2 or output.shape[2:] == (1, 1):
            return _everything(known[0])
    return name


def _image(model: nn.Module, input_shape: Sequence[int], dtype: torch.dtype | None) -> Tensor:
    """Two images of ones that suit a network."""
    if len(input_shape) != 3:
        raise InputError(
            f"receptive fields need images (channels, height, width), not rows of shape "
            f"{tuple(input_shape)}: choose a network that takes images"
        )
    like = next(model.parameters(), torch.empty(0))
    return torch.ones(2, *input_shape, dtype=dtype or like.dtype, device=like.device)


def receptive_field(model: nn.Module, input_shape: Sequence[int], layer: str) -> ReceptiveField:
    """What the units of a layer see, by the recurrence over the layers before it.

    With kernel k, stride s, padding p and dilation d, a layer makes of the size r, the jump j and
    the start a of the one before it r + (k - 1) d j, j s and a - p j (Araujo et al., 2019,
    https://distill.pub/2019/computing-receptive-fields/). Where paths meet, the field spans those
    of all. From flattening or a mean over all positions on a unit sees all that any has seen.

    The network is run once and every function of torch that it calls is followed, so it may be
    any module.

    Args:
        model: a network that takes images.
        input_shape: ``(channels, height, width)``.
        layer: a name; see `hw1.analysis.layers`.

    Raises:
        InputError: the rows are no images, there is no such layer, or the network calls a
            function before it whose windows are not known.
    """
    image = _image(model, input_shape, None)
    followed = _Fields(image)
    with torch.no_grad(), followed:
        output = layer_outputs(model, image, [layer])[layer]
    field = followed.fields.get(id(output), "a constant")
    if isinstance(field, str):
        raise InputError(
            f"the receptive field of layer {layer!r} does not follow from its windows because of "
            f"{field!r}: use receptive_field_by_gradient"
        )
    return field


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
        name = getattr(func, "__name__", "").strip("_")
        if name in UNCHANGED:
            return args[0]
        if name in ("conv2d", "conv_transpose2d", "linear"):
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
    "max_pool2d": _mean_pool2d,
    "adaptive_max_pool2d": lambda input, output_size, *_, **__: functional.adaptive_avg_pool2d(
        input, output_size
    ),
    "amax": torch.mean,
}


def _centre_units(output: Tensor, channel: int | None) -> Tensor:
    """``(n_rows, n_units)``: the unit in the middle of each channel, or of one."""
    for size in output.shape[2:]:
        output = output[:, :, size // 2]
    if channel is None:
        return output
    if not 0 <= channel < output.shape[1]:
        raise InputError(
            f"there is no channel {channel} in this layer: choose one from 0 to "
            f"{output.shape[1] - 1}"
        )
    return output[:, channel : channel + 1]


def _gradient(score: Tensor, inputs: Tensor) -> Tensor:
    if score.requires_grad:
        (gradient,) = torch.autograd.grad(score, inputs, retain_graph=True, allow_unused=True)
        if gradient is not None:
            found: Tensor = gradient
            return found
    raise InputError("the layer does not depend on the image: choose another one")


def receptive_field_by_gradient(
    model: nn.Module, input_shape: Sequence[int], layer: str, channel: int | None = None
) -> Tensor:
    """The pixels that the unit in the middle of a layer's maps sees, by autograd.

    The gradients are those of the same architecture with random positive weights and without
    activations, in which means take the place of maxima: they are exactly zero where no path
    leads from the pixel to the unit, and positive elsewhere. With the network's own weights
    activations and maxima would hide pixels. Functions other than ``torch.nn.functional``'s are
    computed as they are.

    Args:
        model: a network that takes images.
        input_shape: ``(channels, height, width)``.
        layer: a name; see `hw1.analysis.layers`.
        channel: of the unit; None for all channels together.

    Returns:
        ``(height, width)`` bool, the holes left by dilation and strides included.

    Raises:
        InputError: the rows are no images, or there is no such layer or channel.
    """
    image = _image(model, input_shape, torch.float64).requires_grad_()
    with torch.enable_grad():
        with _Positive():
            output = layer_outputs(model, image.clone(), [layer])[layer]
        gradient = _gradient(_centre_units(output, channel)[0].sum(), image)
    return (gradient[0] != 0).any(0)


@dataclass(frozen=True, eq=False)
class EffectiveReceptiveField:
    """How much the unit in the middle of a layer's maps answers to each pixel.

    Attributes:
        map: ``(height, width)`` float64, the mean absolute gradient, summed over the image's
            channels.
        side: of the smallest square that holds the given share of the map's sum; 0 if that is
            zero.
    """

    map: Tensor
    side: int


def effective_receptive_field(
    model: nn.Module,
    inputs: Tensor,
    layer: str,
    channel: int | None = None,
    share: float = 0.95,
) -> EffectiveReceptiveField:
    """The effective receptive field of Luo et al. (2016, https://arxiv.org/abs/1701.04128).

    Args:
        model: a network that takes images.
        inputs: ``(n_rows, channels, height, width)``, over which gradients are averaged.
        layer: a name; see `hw1.analysis.layers`.
        channel: of the unit; None for the mean over all channels.
        share: of the sum, that the square is to hold.

    Raises:
        InputError: the rows are no images, or there is no such layer or channel.
    """
    _image(model, inputs.shape[1:], None)
    total = torch.zeros(inputs.shape[2:], dtype=torch.float64)
    for chunk in inputs.split(CHUNK):
        images = chunk.detach().requires_grad_()
        with torch.enable_grad():
            outputs = layer_outputs(model, images.clone(), [layer])  # some work in place
            units = _centre_units(outputs[layer], channel)
            for unit in units.unbind(1):
                total += _gradient(unit.sum(), images).abs().sum((0, 1)).cpu() / units.shape[1]
    field = total / len(inputs)
    return EffectiveReceptiveField(field, _smallest_square(field, share))


def _smallest_square(field: Tensor, share: float) -> int:
    """The side of the smallest square, wherever it lies, with a share of the sum."""
    needed = share * field.sum()
    if needed == 0:
        return 0
    sums = functional.pad(field.cumsum(0).cumsum(1), (1, 0, 1, 0))
    height, width = field.shape
    for side in range(1, max(height, width)):
        h, w = min(side, height), min(side, width)
        boxes = sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]
        if boxes.max() >= needed:
            return side
    return max(height, width)
