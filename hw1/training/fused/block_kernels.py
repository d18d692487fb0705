"""What stands between convolutions, in compiled code: a few rows of an image at a time.

Images are ``(n, height * width * channels)``, channels last. What varies by channel is repeated for
each pixel of a few rows, so that every loop is a long one over neighbors in memory, whatever the
number of channels. These rows stay in the processor's first cache while they are normalized,
activated, pooled and dropped out.

Images hold floats, or bfloat16 as uint16; all computations are in the type of the constants
``norm`` of batch norm (Ioffe and Szegedy, 2015, https://arxiv.org/abs/1502.03167).
"""

from typing import Any

import numpy as np

from hw1.training.activation_kernels import IDENTITY, RELU, activate, differentiate
from hw1.training.fused.pixels import (
    MEAN,
    RSTD,
    SCALE,
    SHIFT,
    add_moments,
    add_normalized,
    add_products,
    clear,
    drop,
    load,
    load_gradient,
    normalized,
    pool_average,
    pool_max,
    rectify,
    save,
    through_norm,
    unpool_average,
    unpool_max,
)
from hw1.training.kernels import compiled, inlined

NONE, MAX, AVERAGE = range(3)
"""The kinds of pooling, by two."""
SHORT = 32
"""Of how many numbers the sums in the precision of the parameters are."""


@compiled
def standardize(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    running_mean: np.ndarray,
    running_var: np.ndarray,
    momentum: float,
    eps: float,
    norm: np.ndarray,
) -> None:
    """Set ``norm`` by the statistics of ``x``, and move the running ones."""
    channels, step = len(weight), norm.shape[1]
    # About a number near the mean the squares lose no digits.
    pivot, first = np.zeros(step, norm.dtype), min(step, x.shape[1])
    for i in range(first):
        pivot[i % channels] += load(x[0, i])
    for i in range(step - 1, -1, -1):
        pivot[i] = pivot[i % channels] / norm.dtype.type(first // channels)
    total, squares = np.zeros(step), np.zeros(step)
    sums, sums2 = np.zeros(step, norm.dtype), np.zeros(step, norm.dtype)
    blocks, images = 0, x.reshape(-1)
    for n in range(len(x)):
        for start in range(0, x.shape[1], step):
            length = np.uint64(min(step, x.shape[1] - start))
            add_moments(images, np.uint64(n * x.shape[1] + start), pivot, sums, sums2, length)
            blocks += 1
            if blocks % SHORT == 0:
                _fold(sums, total)
                _fold(sums2, squares)
    _fold(sums, total)
    _fold(sums2, squares)
    count = x.size // channels
    for c in range(channels):
        mean = total[c::channels].sum() / count
        var = squares[c::channels].sum() / count - mean * mean
        var = 0.0 if var < 0 else var
        mean += pivot[c]
        running_mean[c] += momentum * (mean - running_mean[c])
        running_var[c] += momentum * (var * (count / (count - 1)) - running_var[c])
        _set(norm, c, mean, var, eps, weight, bias)


@compiled
def standardize_by(
    mean: np.ndarray,
    var: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    eps: float,
    norm: np.ndarray,
) -> None:
    """Set ``norm`` by running statistics."""
    for c in range(len(weight)):
        _set(norm, c, np.float64(mean[c]), np.float64(var[c]), eps, weight, bias)


@compiled
def _set(
    norm: np.ndarray,
    c: int,
    mean: float,
    var: float,
    eps: float,
    weight: np.ndarray,
    bias: np.ndarray,
) -> None:
    rstd = 1 / np.sqrt(var + eps)
    for i in range(c, norm.shape[1], len(weight)):
        norm[MEAN, i], norm[RSTD, i] = mean, rstd
        norm[SCALE, i], norm[SHIFT, i] = rstd * weight[c], bias[c] - mean * rstd * weight[c]


@compiled
def _fold(sums: np.ndarray, total: np.ndarray) -> None:
    """Go on with sums in double precision: short ones in single precision are exact enough."""
    total += sums
    sums[:] = 0


@compiled
def forward_pass(
    x: np.ndarray,
    norm: np.ndarray,
    other: np.ndarray,
    other_norm: np.ndarray,
    shape: tuple[int, int, int],
    kind: int,
    constant: float,
    pool: int,
    key: np.ndarray,
    p: float,
    kept: np.ndarray,
    code: np.ndarray,
    out: np.ndarray,
) -> None:
    """``out`` = dropout(pool(activation(norm(x) + other_norm(other)))).

    Args:
        x: ``(n, height * width * channels)``.
        norm: see `SHIFT`.
        other: what is added, of the shape of ``x``; or empty.
        other_norm: its constants.
        shape: how much is worked on at once, the length of a row and the number of channels.
        kind: of the activation.
        constant: of the activation.
        pool: the kind of pooling. Beside `MAX` nothing is added and the activation is monotone,
            so that the greatest is searched among the numbers of ``x``.
        key: of dropout.
        p: of dropout; negative for none.
        kept: the elements of ``x`` that `MAX` chose, of the shape of ``out``; or empty.
        code: their places among four, and what is stopped, of the shape of ``out``; or empty.
        out: the outputs.
    """
    step, length, channels = np.uint64(shape[0]), np.uint64(shape[1]), np.uint64(shape[2])
    out_step = _out_step(step, length, channels, pool)
    size, out_size = np.uint64(x.shape[1]), np.uint64(out.shape[1])
    z, of_out = np.empty(step, norm.dtype), np.empty(out_step, norm.dtype)
    pooled = z if pool == NONE else of_out
    sign = np.ones(shape[2], norm.dtype)
    if len(norm):
        sign[:] = np.sign(norm[SCALE, : shape[2]])
    numbers = np.empty(out_step, np.uint32)
    for i in range(len(numbers)):
        numbers[i] = i // shape[2] + (i % shape[2]) * (out.shape[1] // shape[2])
    x, other, out = x.reshape(-1), other.reshape(-1), out.reshape(-1)
    kept, code = kept.reshape(-1), code.reshape(-1)
    for image in range(np.uint64(len(out)) // out_size):
        for b in range((out_size + out_step - np.uint64(1)) // out_step):
            start, to = image * size + b * step, image * out_size + b * out_step
            n, n_out = min(step, size - b * step), min(out_step, out_size - b * out_step)
            if pool == MAX:
                pool_max(x, start, length, sign, kept, code, to, n_out)
                normalized(kept, to, norm, pooled, n_out)
            else:
                normalized(x, start, norm, z, n)
                if len(other):
                    add_normalized(other, start, other_norm, z, n)
                if len(code):
                    clear(code, to, n_out)
            if pool == AVERAGE:
                activate(kind, constant, z, n)
                pool_average(z, length, channels, pooled, n_out)
            elif kind == RELU:
                rectify(pooled, code, to, n_out)
            else:
                activate(kind, constant, pooled, n_out)
            if p >= 0:
                first = b * (out_step // channels)
                drop(key, p, image, first, numbers, pooled, code, to, n_out)
            save(pooled, out, to, n_out)


@inlined
def _out_step(step: Any, length: Any, channels: Any, pool: int) -> Any:
    """How many of the outputs come from ``step`` numbers."""
    two = np.uint64(2)
    return step if pool == NONE else step // length // two * (length // channels // two * channels)


@compiled
def backward_pass(
    grad: np.ndarray,
    second_grad: np.ndarray,
    code: np.ndarray,
    x: np.ndarray,
    norm: np.ndarray,
    of_norm: np.ndarray,
    other: np.ndarray,
    other_norm: np.ndarray,
    of_other_norm: np.ndarray,
    shape: tuple[int, int, int],
    kind: int,
    constant: float,
    pool: int,
    p: float,
    kept: np.ndarray,
    of_x: np.ndarray,
    of_other: np.ndarray,
    sums: np.ndarray,
) -> None:
    """The gradients by ``x`` and ``other``; or, if ``sums`` is not empty, those of batch norm.

    Args:
        grad: the gradient by the output.
        second_grad: another one, which is added; or empty.
        of_norm: what there is beside ``norm`` for the gradient through the statistics: a factor of
            ``x`` about its mean, and a constant.
        sums: to become those, over the gradient by what the activation took, of it, of its product
            with ``x`` and of that with ``other``, both about their means, ``(3, channels)``.
    """
    step, length, channels = np.uint64(shape[0]), np.uint64(shape[1]), np.uint64(shape[2])
    out_step = _out_step(step, length, channels, pool)
    size, out_size = np.uint64(x.shape[1]), np.uint64(grad.shape[1])
    z, g = np.empty(step, norm.dtype), np.empty(step, norm.dtype)
    of_out, zero = np.empty(out_step, norm.dtype), np.uint64(0)
    pooled = g if pool == NONE else of_out
    short, total = np.zeros((4, shape[0]), norm.dtype), np.zeros((4, shape[0]))
    scale = 1.0 if p < 0 else 1 / (1 - p) if p < 1 else 0.0
    recomputes = kind != IDENTITY and (kind != RELU or pool == AVERAGE)
    grad, second_grad, code = grad.reshape(-1), second_grad.reshape(-1), code.reshape(-1)
    x, other, kept = x.reshape(-1), other.reshape(-1), kept.reshape(-1)
    of_x, of_other = of_x.reshape(-1), of_other.reshape(-1)
    blocks = 0
    for image in range(np.uint64(len(x)) // size):
        for b in range((size + step - np.uint64(1)) // step):
            start, to = image * size + b * step, image * out_size + b * out_step
            n = min(step, size - b * step)
            # The last row of an odd number has no part in a pool.
            n_out = min(out_step, out_size - b * out_step) if b * out_step < out_size else zero
            load_gradient(grad, second_grad, code, to, scale, pooled, n_out)
            if pool != NONE and n != np.uint64(4) * n_out:
                clear(g, zero, n)
            if pool == AVERAGE:
                unpool_average(pooled, length, channels, n_out, g)
            if recomputes and pool == MAX:
                normalized(kept, to, norm, z, n_out)
                differentiate(kind, constant, z, pooled, n_out)
            elif recomputes:
                normalized(x, start, norm, z, n)
                if len(other):
                    add_normalized(other, start, other_norm, z, n)
                differentiate(kind, constant, z, g, n)
            if pool == MAX:
                unpool_max(pooled, code, to, length, channels, n_out, g)
            if sums.size == 0:
                through_norm(g, x, start, norm, of_norm, of_x, n)
                if len(of_other):
                    through_norm(g, other, start, other_norm, of_other_norm, of_other, n)
                continue
            add_products(g, x, start, norm, short[:2], n)
            if len(other_norm):
                add_products(g, other, start, other_norm, short[2:], n)
            blocks += 1
            if blocks % SHORT == 0:
                _fold(short, total)
    _fold(short, total)
    for c in range(shape[2] if sums.size else 0):
        for k in range(3):
            sums[k, c] = total[(0, 1, 3)[k], c :: shape[2]].sum()


@compiled
def through_statistics(
    norm: np.ndarray,
    sums: np.ndarray,
    products: np.ndarray,
    share: float,
    of_norm: np.ndarray,
    of_weight: np.ndarray,
    of_bias: np.ndarray,
) -> None:
    """Set ``of_norm`` and the gradients of weight and bias.

    Args:
        norm: the constants.
        sums: of the gradient by what the batch norm gave, for each channel.
        products: of that times ``x`` about its mean.
        share: of one number in the statistics; zero for running ones.
        of_norm: see `backward_pass`.
        of_weight: the gradient of the weight.
        of_bias: the gradient of the bias.
    """
    channels = len(sums)
    for c in range(channels):
        scale, rstd = np.float64(norm[SCALE, c]), np.float64(norm[RSTD, c])
        of_weight[c], of_bias[c] = products[c] * rstd, sums[c]
        of_norm[0, c::channels] = -scale * rstd * rstd * products[c] * share
        of_norm[1, c::channels] = -scale * sums[c] * share
