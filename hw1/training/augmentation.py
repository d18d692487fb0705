"""Changes of images: at random in training, and those over which outputs are averaged later.

A new random change is a field, a function and a line of `AUGMENTATIONS`.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from hw1.errors import InputError
from hw1.training.options import check_options, option

if TYPE_CHECKING:  # the fields of a configuration are read without torch
    from torch import Tensor

Views = Literal["one", "mirrored", "shifted", "all"]
VIEWS: tuple[str, ...] = get_args(Views)
ERASED_AREA = (0.02, 0.33)
ERASED_RATIO = (0.3, 3.3)


@dataclass(frozen=True)
class Augmentation:
    """What is done to images; other examples are never changed.

    Attributes:
        flip: whether images are mirrored left to right half of the time; "alternating": half of
            them in the first epoch, and each in every other epoch from then on (Jordan, 2024,
            https://arxiv.org/abs/2404.00498).
        shift: pixels by which images are moved at most, each way; what moves in is black.
        erase: probability that a random rectangle of an image is made black.
        views: over which the outputs for an image are averaged once a network is trained, and in
            each validation: the image alone; "mirrored", it and its mirror image; "shifted", it and
            four that are moved by one pixel; or "all", these five and their mirror images.
    """

    flip: bool | Literal["alternating"] = option(False, "horizontal flips", "augmentation")
    shift: int = option(0, "random shifts", "augmentation", ge=0)
    erase: float = option(0.0, "random erasing", "augmentation", ge=0, le=1)
    views: Views = option(
        "one", "test-time augmentation", "augmentation", choices=VIEWS, later=True
    )

    def __post_init__(self) -> None:
        if self.flip not in (False, True, "alternating"):
            raise InputError(f"flip = {self.flip!r:.60} must be False, True or 'alternating'")
        check_options(self)

    @property
    def augments(self) -> bool:
        """Whether images are changed at random."""
        return any(getattr(self, name) for name in AUGMENTATIONS)

    def views_of(self, input_shape: Sequence[int]) -> Views:
        """``views``, if the inputs are images."""
        return self.views if len(input_shape) == 3 else "one"


def augment(
    images: "Tensor",
    configurations: Sequence[Augmentation],
    key: "Tensor",
    turns: "Tensor | None" = None,
) -> "Tensor":
    """Change images as `AUGMENTATIONS` say.

    Args:
        images: ``(n_models, batch, channels, height, width)``.
        configurations: one a model.
        key: ``(n_models, 2)``; what is done to a model's images depends on its own key.
        turns: whose turn it is to be mirrored where flips alternate; see `flip_turns`.

    Returns:
        Images of the same shape and type; the given ones are left as they are.
    """
    from hw1.training.keys import uniform

    n_numbers = max(numbers.stop for numbers, _ in AUGMENTATIONS.values())
    u = uniform(key, (n_numbers, images.shape[1])).transpose(0, 1)
    alternate = [c.flip == "alternating" for c in configurations]
    if any(alternate):
        assert turns is not None, "flips that alternate need their turns"
        u[0] = u[0].where(~turns.new_tensor(alternate)[:, None], ~turns / 2)
    for name, (numbers, change) in AUGMENTATIONS.items():
        strengths = [getattr(c, name) for c in configurations]
        if any(strengths):
            images = change(images, strengths, *u[numbers])
    return images


def flip_turns(key: "Tensor", rows: "Tensor", epoch: "Tensor") -> "Tensor":
    """Which images are mirrored in an epoch if flips alternate.

    Args:
        key: ``(..., 2)``, one a model, the same in all steps.
        rows: ``(..., batch)``, their numbers.
        epoch: ``(...)``, from 0.

    Returns:
        ``(..., batch)`` bool: at random in epoch 0, and the others in the next one.
    """
    import torch

    from hw1.training.keys import fold_in

    first = fold_in(key[..., None, :], rows.to(torch.int32).contiguous())[..., 0]
    return ((first ^ epoch[..., None]) & 1).bool()


def seen(images: "Tensor", views: Views) -> "Iterator[Tensor]":
    """The views of images over which outputs are averaged, the images themselves first.

    Args:
        images: ``(..., height, width)``, as the data have them.
        views: see `Augmentation`.
    """
    shifts = [(-2, 1), (-2, -1), (-1, 1), (-1, -1)] if views in ("shifted", "all") else []
    for mirrors in (False, True) if views in ("mirrored", "all") else (False,):
        for shift in [None, *shifts]:
            view = images if shift is None else _moved(images, *shift)
            yield view.flip(-1) if mirrors else view


def _moved(images: "Tensor", dim: int, by: int) -> "Tensor":
    """Images that are moved by one pixel in the direction of a sign."""
    import torch

    kept = images.narrow(dim, 0 if by > 0 else 1, images.shape[dim] - 1)
    black = torch.zeros_like(images.narrow(dim, 0, 1))
    return torch.cat([black, kept] if by > 0 else [kept, black], dim)


def _shift(images: "Tensor", most: Sequence[int], u: "Tensor", v: "Tensor") -> "Tensor":
    import torch

    margin, shift = max(most), u.new_tensor(most)[:, None]
    padded = torch.nn.functional.pad(images, [margin] * 4)
    down, right = (((x * (2 * shift + 1)).floor() - shift + margin).long() for x in (u, v))
    # From its first pixel on, a moved image is one piece of memory: that is copied fastest.
    _, of_image, of_channel, of_row, _ = padded.stride()
    length = of_image - 2 * margin * (of_row + 1)
    pieces = padded.as_strided((padded.numel() - length + 1, length), (1, 1))
    numbers = torch.arange(down.numel(), device=down.device).view_as(down)
    moved = pieces.index_select(0, (numbers * of_image + down * of_row + right).flatten())
    strides = images.shape[1] * length, length, of_channel, of_row, 1
    return moved.as_strided(images.shape, strides)


def _flip(images: "Tensor", flips: Sequence[bool | str], u: "Tensor") -> "Tensor":
    flipped = (u < u.new_tensor([bool(f) for f in flips])[:, None] / 2)[..., None, None, None]
    return images * ~flipped + images.flip(-1) * flipped  # faster than a choice


def _erase(images: "Tensor", p: Sequence[float], *u: "Tensor") -> "Tensor":
    """Zhong et al. (2020, https://arxiv.org/abs/1708.04896); areas and ratios are torchvision's."""
    import torch

    height, width = images.shape[-2:]
    smallest, largest = ERASED_AREA
    area = (smallest + (largest - smallest) * u[0]) * height * width
    flattest, tallest = (math.log(ratio) for ratio in ERASED_RATIO)
    ratio = (flattest + (tallest - flattest) * u[1]).exp()

    def side(size: int, length: "Tensor", place: "Tensor") -> "Tensor":
        """Which rows or columns lie in the rectangle, ``(n_models, batch, size)``."""
        length = length.sqrt().round().clamp(1, size)
        first = (place * (size - length + 1)).floor()
        places = torch.arange(size, device=length.device)
        return (places >= first[..., None]) & (places < (first + length)[..., None])

    rows, columns = side(height, area * ratio, u[2]), side(width, area / ratio, u[3])
    rows &= (u[4] < u[4].new_tensor(p)[:, None])[..., None]
    return images * ~(rows[..., None] & columns[..., None, :])[:, :, None]


AUGMENTATIONS: dict[str, tuple[slice, Callable[..., "Tensor"]]] = {
    "shift": (slice(1, 3), _shift),
    "flip": (slice(0, 1), _flip),
    "erase": (slice(3, 8), _erase),
}
"""What changes images, by the name of its field and in this order: which of an image's random
numbers it takes, and a function ``(images, values, *numbers)`` of images as in `augment`, the
field's value for each model, and numbers ``(n_models, batch)``, uniform in [0, 1)."""
