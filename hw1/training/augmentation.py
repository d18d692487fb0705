"""Random changes of images, drawn for each image from its model's key."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from hw1.training.configuration import Configuration
from hw1.training.keys import uniform

ERASED_AREA = (0.02, 0.33)
ERASED_RATIO = (0.3, 3.3)


def augment(images: Tensor, configurations: Sequence[Configuration], key: Tensor) -> Tensor:
    """Mirror, move and erase images at random.

    Random erasing is that of Zhong et al. (2020, https://arxiv.org/abs/1708.04896) with the areas
    and aspect ratios of torchvision: a rectangle of 2 to 33 % of the image becomes black.

    Args:
        images: ``(n_models, batch, channels, height, width)``.
        configurations: one a model; their ``flip``, ``shift`` and ``erase``.
        key: ``(n_models, 2)``.

    Returns:
        New images of the same shape and type.
    """
    n_models, batch, _, height, width = images.shape
    u = uniform(key, (8, batch)).transpose(0, 1)  # eight numbers (n_models, batch)
    rows = torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device)

    moved = images
    s = max(c.shift for c in configurations)
    if s:
        shift = torch.tensor([[c.shift] for c in configurations], device=images.device)
        # With a black border of s pixels every shift is a window onto pixels that exist.
        padded = functional.pad(images, (s, s, s, s)).flatten(0, 1)
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)
        down, right = (s - shift + (v * (2 * shift + 1)).long() for v in (u[1], u[2]))
        each = torch.arange(n_models * batch, device=images.device)
        moved = windows[each, :, down.flatten(), right.flatten()].reshape(images.shape)
    if any(c.flip for c in configurations):
        share = u.new_tensor([[c.flip / 2] for c in configurations])
        # Mirrored after its move, an image moves the other way; that is as likely.
        moved = torch.where((u[0] < share)[..., None, None, None], moved.flip(4), moved)

    if any(c.erase for c in configurations):
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
        erase = u.new_tensor([[c.erase] for c in configurations])
        hole = (u[7] < erase)[..., None, None] & in_rows[..., :, None] & in_columns[..., None, :]
        moved = torch.where(hole[:, :, None], torch.zeros((), dtype=images.dtype), moved)
    return moved
