"""Test-time augmentation: what a network gives for an image is its mean over views of the image."""

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

Views = Literal["one", "mirrored", "shifted", "all"]
VIEWS: tuple[str, ...] = get_args(Views)


def mean_over_views(network: Callable[[Tensor], Tensor], inputs: Tensor, views: Views) -> Tensor:
    """The mean of a network's outputs over views of its inputs.

    Args:
        network: what gives the outputs for a view.
        inputs: ``(batch, channels, height, width)``.
        views: ``"one"``: the images as they are; ``"mirrored"``: and their mirror images;
            ``"shifted"``: and the images moved by a pixel up, down, left and right, where the
            pixels at an edge are repeated; ``"all"``: these and their mirror images.
    """
    outputs = network(inputs)
    if views == "one":
        return outputs
    seen = [inputs]
    if views != "mirrored":
        seen += [_moved(inputs, dim, by) for dim in (-2, -1) for by in (1, -1)]
    if views != "shifted":
        seen += [view.flip(-1) for view in seen]
    for view in seen[1:]:
        outputs = outputs + network(view)
    return outputs / len(seen)


def _moved(images: Tensor, dim: int, by: int) -> Tensor:
    """Images that are moved by one pixel in the direction of a sign."""
    n = images.shape[dim]
    edge, rest = (0, 0) if by > 0 else (n - 1, 1)
    parts = [images.narrow(dim, edge, 1), images.narrow(dim, rest, n - 1)]
    return torch.cat(parts if by > 0 else parts[::-1], dim)
