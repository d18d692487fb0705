"""Batches of normalized rows in compiled code: gathered, augmented and scaled in one pass."""

import numpy as np

from hw1.training.augmentation import BOTTOM, DOWN, END, FLIP, LEFT, RIGHT, TOP
from hw1.training.kernels import compiled


@compiled
def load(
    inputs: np.ndarray,
    rows: np.ndarray,
    image: tuple[int, int],
    mean: np.ndarray,
    std: np.ndarray,
    moves: np.ndarray,
    out: np.ndarray,
) -> None:
    """Normalize a batch, channel by channel or feature by feature.

    Args:
        inputs: ``(n_rows, channels * height * width)`` or, of sequences, ``(n_rows, steps *
            features)``; of any type.
        rows: ``(batch,)``, which to take.
        image: height and width; one and one for rows that are no images.
        mean, std: ``(channels,)`` or ``(features,)``.
        moves: ``(batch, 7)`` or more, what is done to each image, as `augmentation.draw` gives it;
            ``(0, 7)`` for nothing.
        out: of the shape of the chosen rows.
    """
    for b in range(len(rows)):
        if len(moves):
            _load_moved(inputs[rows[b]], image, mean, std, moves[b], out[b])
        else:
            _load(inputs[rows[b]], image[0] * image[1], mean, std, out[b])


@compiled
def _load(row: np.ndarray, size: int, mean: np.ndarray, std: np.ndarray, out: np.ndarray) -> None:
    for first in range(0, len(row), len(mean) * size):  # one for each step of a sequence
        for channel in range(len(mean)):
            center = mean[channel]
            scale = out.dtype.type(1) / std[channel]
            start = first + channel * size
            for i in range(start, start + size):
                out[i] = (out.dtype.type(row[i]) - center) * scale


@compiled
def _load_moved(
    pixels: np.ndarray,
    image: tuple[int, int],
    mean: np.ndarray,
    std: np.ndarray,
    moves: np.ndarray,
    out: np.ndarray,
) -> None:
    height, width = image
    first = max(0, -moves[RIGHT])
    last = min(width, width - moves[RIGHT])
    for channel in range(len(mean)):
        center = mean[channel]
        scale = out.dtype.type(1) / std[channel]
        start = channel * height * width
        for i in range(start, start + height * width):
            out[i] = -center * scale  # black
        for row in range(height):
            source = row + moves[DOWN]
            if source < 0 or source >= height:
                continue
            to = out[start + row * width : start + (row + 1) * width]
            of = pixels[start + source * width : start + (source + 1) * width]
            if moves[FLIP]:
                for column in range(first, last):
                    value = out.dtype.type(of[column + moves[RIGHT]])
                    to[width - 1 - column] = (value - center) * scale
            else:
                for column in range(first, last):
                    value = out.dtype.type(of[column + moves[RIGHT]])
                    to[column] = (value - center) * scale
        for row in range(moves[TOP], moves[BOTTOM]):
            for i in range(start + row * width + moves[LEFT], start + row * width + moves[END]):
                out[i] = -center * scale
