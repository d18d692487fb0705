"""Loops over the elements of images, such as those of pooling.

Images are flat arrays, channels last, of floats, or of bfloat16 as uint16; all is computed in the
type of the results ``z`` or ``g``, which hold ``n`` elements of a few rows. Those of the images
begin at ``start``.

Indices are unsigned and count from the start of a whole array: negative ones would count from its
end, which keeps a loop from being vectorized, and a slice costs as much as a hundred elements.
"""

from typing import Any

import numba
import numba.extending
import numpy as np

from hw1.training.kernels import (
    Index,
    compiled,
    dropout,
    dropout_word,
    from_bfloat16,
    inlined,
    is_kept,
    to_bfloat16,
)

MEAN, RSTD, SCALE, SHIFT = range(4)
"""The rows of a batch norm's constants ``norm``; it is empty where there is none."""
STOPPED = 4
"""Added to the place of a maximum where no gradient goes on, for dropout or ReLU."""


def load(value: Any) -> Any:
    """A stored number as a float."""
    raise NotImplementedError  # there are compiled versions alone, below


def store(value: Any, stored: Any) -> Any:
    """A float as what is stored, of the type of ``stored``."""
    raise NotImplementedError


@numba.extending.overload(load, inline="always")
def _load(value):  # type: ignore[no-untyped-def]  # Numba compares it with the lambda
    if isinstance(value, numba.types.Integer):
        return lambda value: from_bfloat16(value)
    return lambda value: value


@numba.extending.overload(store, inline="always")
def _store(value, stored):  # type: ignore[no-untyped-def]
    if isinstance(stored, numba.types.Integer):
        return lambda value, stored: to_bfloat16(value)
    return lambda value, stored: value


@compiled
def rectify(z: np.ndarray, code: np.ndarray, start: Index, n: Index) -> None:
    """ReLU, which marks what it stops in ``code``."""
    zero = z.dtype.type(0)
    for i in range(n):
        value, flag = z[i], code[start + i]
        z[i] = zero if value <= zero else value
        code[start + i] = np.uint8(flag | np.uint8(STOPPED)) if value <= zero else flag


@compiled
def normalized(x: np.ndarray, start: Index, norm: np.ndarray, z: np.ndarray, n: Index) -> None:
    if len(norm) == 0:
        for i in range(n):
            z[i] = load(x[start + i])
    else:
        for i in range(n):
            z[i] = load(x[start + i]) * norm[SCALE, i] + norm[SHIFT, i]


@compiled
def add_normalized(x: np.ndarray, start: Index, norm: np.ndarray, z: np.ndarray, n: Index) -> None:
    if len(norm) == 0:
        for i in range(n):
            z[i] += load(x[start + i])
    else:
        for i in range(n):
            z[i] += load(x[start + i]) * norm[SCALE, i] + norm[SHIFT, i]


@compiled
def save(z: np.ndarray, out: np.ndarray, start: Index, n: Index) -> None:
    for i in range(n):
        out[start + i] = store(z[i], out[start + i])


@compiled
def clear(values: np.ndarray, start: Index, n: Index) -> None:
    for i in range(n):
        values[start + i] = 0


@compiled
def drop(
    key: np.ndarray,
    p: float,
    image: int,
    first: int,
    numbers: np.ndarray,
    z: np.ndarray,
    code: np.ndarray,
    start: Index,
    n: Index,
) -> None:
    """Drop elements of an image as `hw1.training.keys.dropout_factors` does.

    Args:
        key: two uint32.
        p: the probability.
        image: the number of the image.
        first: the number of the first pixel in the image.
        numbers: of the elements from an image's first pixel on, uint32.
        z: the elements.
        code: `STOPPED` is added where an element is dropped.
        start: where in it.
        n: how many.
    """
    zero = z.dtype.type(0)
    scale, bound = dropout(p, z.dtype.type)
    for i in range(n):
        number = np.uint32(np.uint32(first) + numbers[i])
        word = dropout_word(key, image, np.uint32(number >> np.uint32(1)))
        kept = is_kept(word, np.uint32(number & np.uint32(1)), bound)
        value, flag = z[i] * scale, code[start + i]
        z[i] = value if kept else zero
        code[start + i] = flag if kept else np.uint8(flag | np.uint8(STOPPED))


@compiled
def pool_max(
    x: np.ndarray,
    start: Index,
    length: Index,
    sign: np.ndarray,
    kept: np.ndarray,
    code: np.ndarray,
    to: Index,
    n: Index,
) -> None:
    """The greatest of four pixels, or the least for channels of negative ``sign``.

    Args:
        x: rows of images.
        start: of the first row.
        length: of a row.
        sign: of each channel.
        kept: what is chosen.
        code: which of the four it is.
        to: where in these two.
        n: how many are chosen.
    """
    channels = np.uint64(len(sign))
    for pixel in range(n // channels):
        left = _corner(pixel, length, channels) + start
        right, low = left + channels, left + length
        first = to + pixel * channels
        for c in range(channels):
            raw, at = x[left + c], np.uint8(0)
            best = load(raw) * sign[c]
            other = x[right + c]
            value = load(other) * sign[c]
            if (value > best) | (value != value):
                best, at, raw = value, np.uint8(1), other
            other = x[low + c]
            value = load(other) * sign[c]
            if (value > best) | (value != value):
                best, at, raw = value, np.uint8(2), other
            other = x[low + channels + c]
            value = load(other) * sign[c]
            if (value > best) | (value != value):
                best, at, raw = value, np.uint8(3), other
            kept[first + c], code[first + c] = raw, at


@inlined
def _corner(pixel: Any, length: Any, channels: Any) -> Any:
    """Where the four pixels begin that become one."""
    columns = length // np.uint64(2) // channels
    row, column = pixel // columns, pixel % columns
    return np.uint64(2) * (row * length + column * channels)


@compiled
def unpool_max(
    pooled: np.ndarray,
    code: np.ndarray,
    start: Index,
    length: Index,
    channels: Index,
    n_pooled: Index,
    g: np.ndarray,
) -> None:
    zero = g.dtype.type(0)
    for pixel in range(n_pooled // channels):
        left = _corner(pixel, length, channels)
        right, low, first = left + channels, left + length, pixel * channels
        for c in range(channels):
            at, value = np.uint8(code[start + first + c] & np.uint8(3)), pooled[first + c]
            g[left + c] = value if at == np.uint8(0) else zero
            g[right + c] = value if at == np.uint8(1) else zero
        # A loop with four places to write to is not vectorized.
        for c in range(channels):
            at, value = np.uint8(code[start + first + c] & np.uint8(3)), pooled[first + c]
            g[low + c] = value if at == np.uint8(2) else zero
            g[low + channels + c] = value if at == np.uint8(3) else zero


@compiled
def pool_average(z: np.ndarray, length: Index, channels: Index, out: np.ndarray, n: Index) -> None:
    quarter = out.dtype.type(0.25)
    for pixel in range(n // channels):
        left = _corner(pixel, length, channels)
        right, low, first = left + channels, left + length, pixel * channels
        for c in range(channels):
            upper, lower = z[left + c] + z[right + c], z[low + c] + z[low + channels + c]
            out[first + c] = (upper + lower) * quarter


@compiled
def unpool_average(
    pooled: np.ndarray, length: Index, channels: Index, n_pooled: Index, g: np.ndarray
) -> None:
    quarter = g.dtype.type(0.25)
    for pixel in range(n_pooled // channels):
        left = _corner(pixel, length, channels)
        right, low, first = left + channels, left + length, pixel * channels
        for c in range(channels):
            value = pooled[first + c] * quarter
            g[left + c] = value
            g[right + c] = value
            g[low + c] = value
            g[low + channels + c] = value


@compiled
def load_gradient(
    first: np.ndarray,
    second: np.ndarray,
    code: np.ndarray,
    start: Index,
    scale: float,
    g: np.ndarray,
    n: Index,
) -> None:
    """The sum of two gradients, times ``scale`` where it is not stopped."""
    zero, factor = g.dtype.type(0), g.dtype.type(scale)
    if len(second):
        for i in range(n):
            g[i] = load(first[start + i]) + load(second[start + i])
        if len(code):
            for i in range(n):
                value = g[i] * factor
                g[i] = value if code[start + i] < np.uint8(STOPPED) else zero
    elif len(code):
        for i in range(n):
            value = load(first[start + i]) * factor
            g[i] = value if code[start + i] < np.uint8(STOPPED) else zero
    else:
        for i in range(n):
            g[i] = load(first[start + i])


@compiled
def add_moments(
    x: np.ndarray, start: Index, pivot: np.ndarray, sums: np.ndarray, squares: np.ndarray, n: Index
) -> None:
    for i in range(n):
        d = load(x[start + i]) - pivot[i]
        sums[i] += d
        squares[i] += d * d


@compiled
def add_products(
    g: np.ndarray, x: np.ndarray, start: Index, norm: np.ndarray, sums: np.ndarray, n: Index
) -> None:
    for i in range(n):
        sums[0, i] += g[i]
        sums[1, i] += g[i] * (load(x[start + i]) - norm[MEAN, i])


@compiled
def through_norm(
    g: np.ndarray,
    x: np.ndarray,
    start: Index,
    norm: np.ndarray,
    of_norm: np.ndarray,
    out: np.ndarray,
    n: Index,
) -> None:
    if len(norm) == 0:
        save(g, out, start, n)
        return
    for i in range(n):
        through = (load(x[start + i]) - norm[MEAN, i]) * of_norm[0, i] + of_norm[1, i]
        out[start + i] = store(g[i] * norm[SCALE, i] + through, out[start + i])
