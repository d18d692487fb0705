"""Random changes of images, drawn for each image from its model's key."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hw1.training.options import option

if TYPE_CHECKING:  # the fields of a configuration are read without torch
    from torch import Tensor

ERASED_AREA = (0.02, 0.33)
ERASED_RATIO = (0.3, 3.3)
DOWN, RIGHT, FLIP, TOP, BOTTOM, LEFT, END = range(7)
"""What is done to an image: a pixel comes from so many rows further down and columns further to
the right; whether it is mirrored after that; the rows and columns that are black then, the last
ones excluded."""


@dataclass(frozen=True)
class Augmentation:
    """What is done to the images of a batch at random; other examples are never changed.

    Attributes:
        flip: whether images are mirrored left to right half of the time.
        shift: pixels by which images are moved at most, each way; what moves in is black.
        erase: probability that a random rectangle of an image is made black.
    """

    flip: bool = option(False, "horizontal flips", "augmentation")
    shift: int = option(0, "random shifts", "augmentation", ge=0)
    erase: float = option(0.0, "random erasing", "augmentation", ge=0, le=1)

    @property
    def augments(self) -> bool:
        """Whether images are changed at all."""
        return self.flip or self.shift > 0 or self.erase > 0


def draw(
    configurations: Sequence[Augmentation], key: "Tensor", batch: int, size: Sequence[int]
) -> "Tensor":
    """Draw what is done to images.

    Random erasing is that of Zhong et al. (2020, https://arxiv.org/abs/1708.04896) with the areas
    and aspect ratios of torchvision: a rectangle of 2 to 33 % of the image becomes black.

    Args:
        configurations: one a model; their ``flip``, ``shift`` and ``erase``.
        key: ``(n_models, 2)``.
        batch: images of each model.
        size: their height and width.

    Returns:
        ``(n_models, batch, 7)`` int32, the columns as above.
    """
    import torch

    from hw1.training.keys import uniform

    height, width = size
    u = uniform(key, (8, batch)).transpose(0, 1)  # eight numbers (n_models, batch)

    def column(values: Sequence[float]) -> "Tensor":
        return u.new_tensor(values)[:, None]

    shift = column([c.shift for c in configurations])
    down, right = ((v * (2 * shift + 1)).floor() - shift for v in (u[1], u[2]))
    # Mirrored after its move, an image moves the other way; that is as likely.
    flip = u[0] < column([c.flip / 2 for c in configurations])

    smallest, largest = ERASED_AREA
    area = (smallest + (largest - smallest) * u[3]) * height * width
    flattest, tallest = (math.log(ratio) for ratio in ERASED_RATIO)
    ratio = (flattest + (tallest - flattest) * u[4]).exp()
    erased_height = (area * ratio).sqrt().round().clamp(1, height)
    erased_width = (area / ratio).sqrt().round().clamp(1, width)
    top = (u[5] * (height - erased_height + 1)).floor()
    left = (u[6] * (width - erased_width + 1)).floor()
    erased = u[7] < column([c.erase for c in configurations])
    hole = (erased * v for v in (top, top + erased_height, left, left + erased_width))
    return torch.stack([down, right, flip, *hole], -1).to(torch.int32)


def augment(images: "Tensor", moves: "Tensor") -> "Tensor":
    """Mirror, move and erase images.

    Args:
        images: ``(*n, channels, height, width)``.
        moves: ``(*n, 7)``, as `draw` gives them.

    Returns:
        New images of the same shape and type.
    """
    import torch

    height, width = images.shape[-2:]
    rows = torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device)
    flip, down, right = (moves[..., i, None] for i in (FLIP, DOWN, RIGHT))
    from_rows = rows + down
    from_columns = torch.where(flip > 0, width - 1 - columns, columns) + right
    there = ((from_rows >= 0) & (from_rows < height))[..., None] & (
        (from_columns >= 0) & (from_columns < width)
    )[..., None, :]
    top, bottom, left, end = (moves[..., i, None] for i in (TOP, BOTTOM, LEFT, END))
    hole = ((rows >= top) & (rows < bottom))[..., None] & ((columns >= left) & (columns < end))[
        ..., None, :
    ]
    places = from_rows.clamp(0, height - 1)[..., None] * width
    places = (places + from_columns.clamp(0, width - 1)[..., None, :]).flatten(-2).long()
    places = places[..., None, :].expand(*images.shape[:-2], -1)
    moved = images.flatten(-2).gather(-1, places).view_as(images)
    return moved * (there & ~hole)[..., None, :, :].to(images.dtype)
