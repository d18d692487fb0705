"""Random changes of images, drawn for each image from its model's key."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from hw1.training.configuration import Configuration
from hw1.training.keys import uniform

ERASED_AREA = (0.02, 0.33)
ERASED_RATIO = (0.3, 3.3)


def augment(images: Tensor, configuration: Configuration, key: Tensor) -> Tensor:
    """Mirror, move and erase images at random.

    Random erasing is that of Zhong et al. (2020, https://arxiv.org/abs/1708.04896) with the areas
    and aspect ratios of torchvision: a rectangle of 2 to 33 % of the image becomes black.

    Args:
        images: ``(n_models, batch, channels, height, width)``.
        configuration: its ``flip``, ``shift`` and ``erase``, the same for all models.
        key: ``(n_models, 2)``.

    Returns:
        New images of the same shape and type.
    """
    n_models, batch, channels, height, width = images.shape
    u = uniform(key, (8, batch)).unbind(1)  # each (n_models, batch)
    rows = torch.arange(height, device=images.device).expand(n_models, batch, height)
    columns = torch.arange(width, device=images.device).expand(n_models, batch, width)

    moved = images
    if configuration.flip or configuration.shift:
        source_columns = columns
        if configuration.flip:
            flipped = (u[0] < 0.5)[..., None]
            source_columns = torch.where(flipped, width - 1 - columns, columns)
        s = configuration.shift
        # A black border of s pixels makes every shifted source a pixel that exists.
        padded = functional.pad(images, (s, s, s, s)) if s else images
        down, right = ((v * (2 * s + 1)).long()[..., None] for v in (u[1], u[2]))
        source_rows = rows + down
        source_columns = source_columns + right
        source = source_rows[..., :, None] * (width + 2 * s) + source_columns[..., None, :]
        source = source.reshape(n_models, batch, 1, height * width)
        moved = padded.flatten(3).gather(3, source.expand(-1, -1, channels, -1))
        moved = moved.reshape(images.shape)

    if configuration.erase:
        smallest, largest = ERASED_AREA
        area = (smallest + (largest - smallest) * u[3]) * height * width
        flattest, tallest = (math.log(ratio) for ratio in ERASED_RATIO)
        ratio = (flattest + (tallest - flattest) * u[4]).exp()
        erased_height = (area * ratio).sqrt().round().clamp(1, height)[..., None]
        erased_width = (area / ratio).sqrt().round().clamp(1, width)[..., None]
        top = (u[5][..., None] * (height - erased_height + 1)).floor()
        left = (u[6][..., None] * (width - erased_width + 1)).floor()
        in_rows = (rows >= top) & (rows < top + erased_height)
        in_columns = (columns >= left) & (columns < left + erased_width)
        hole = (
            (u[7] < configuration.erase)[..., None, None]
            & in_rows[..., :, None]
            & in_columns[..., None, :]
        )
        moved = torch.where(hole[:, :, None], torch.zeros((), dtype=images.dtype), moved)
    return moved
