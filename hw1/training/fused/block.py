"""Chains of layers between convolutions as operations of compiled code, with their gradients."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hw1.training.activation_kernels import KINDS, RELU, constant_of
from hw1.training.fused.block_kernels import (
    AVERAGE,
    MAX,
    NONE,
    backward_pass,
    forward_pass,
    standardize,
    standardize_by,
    through_statistics,
)
from hw1.training.keys import KeyedDropout, fold_in

POOLS: dict[type[nn.Module], int] = {nn.MaxPool2d: MAX, nn.AvgPool2d: AVERAGE}
POOL_SETTINGS = (
    *("kernel_size", "stride", "padding", "dilation"),
    *("return_indices", "ceil_mode", "divisor_override"),
)
STEP = 2048
"""How many elements of an image are worked on at once: they fit the processor's first cache."""


def pool_kind(layer: nn.Module | None) -> int:
    """The kind of a pooling by two and nothing else; of other layers none."""
    if layer is None or type(layer) not in POOLS:
        return NONE
    pairs = [(getattr(layer, n, None), getattr(type(layer)(2), n, None)) for n in POOL_SETTINGS]
    same = all(found in (plain, (plain, plain)) for found, plain in pairs)
    return POOLS[type(layer)] if same else NONE


class Block(nn.Module):
    """One chain of layers.

    The layers stand in the network by their own names, and are not registered here once more.
    """

    def __init__(
        self,
        norm: nn.BatchNorm2d | None = None,
        other_norm: nn.BatchNorm2d | None = None,
        activation: nn.Module | None = None,
        pool: nn.Module | None = None,
        dropout: KeyedDropout | None = None,
    ) -> None:
        super().__init__()
        self.norms = norm, other_norm
        self.rest = activation, pool, dropout
        self.kind = KINDS[type(activation or nn.Identity())]
        self.constant = constant_of(activation or nn.Identity())
        self.pool = pool_kind(pool)
        self.twice = False
        """Whether it gives its outputs twice, to two users, so that it adds up their gradients."""

    def forward(self, inputs: Tensor, other: Tensor | None = None) -> Tensor | tuple[Tensor, ...]:
        """``(batch, channels, height, width)``; ``other`` is what is added, of the same shape."""
        if self._can_compute(inputs, other):
            affine = [p for n in self.norms for p in ((n.weight, n.bias) if n else (None, None))]
            outputs: tuple[Tensor, ...] = BlockFunction.apply(self, inputs, other, *affine)
        else:
            outputs = (self._plain(inputs, other),) * 2
        return outputs if self.twice else outputs[0]

    def _can_compute(self, inputs: Tensor, other: Tensor | None) -> bool:
        if inputs.dim() != 4 or inputs.device.type != "cpu" or inputs.dtype not in PRECISIONS:
            return False
        n, channels, height, width = inputs.shape
        fits = all(
            norm is None
            or (norm.weight.dtype == PRECISIONS[inputs.dtype] and norm.num_features == channels)
            for norm in self.norms
        )
        like = other is None or (other.shape, other.dtype) == (inputs.shape, inputs.dtype)
        side = 1 if self.pool == NONE else 2
        return fits and like and n * height * width > 1 and min(height, width) >= side

    def _plain(self, inputs: Tensor, other: Tensor | None) -> Tensor:
        norm, other_norm = self.norms
        outputs: Tensor = norm(inputs) if norm else inputs
        if other is not None:
            outputs = outputs + (other_norm(other) if other_norm else other)
        for layer in self.rest:
            outputs = layer(outputs) if layer is not None else outputs
        return outputs


PRECISIONS = {torch.bfloat16: torch.float32} | {t: t for t in (torch.float32, torch.float64)}
"""In what is computed, by what is stored."""


class BlockFunction(torch.autograd.Function):
    """A `Block` by `hw1.training.fused.block_kernels`."""

    @staticmethod
    def forward(
        ctx: Any, block: Block, inputs: Tensor, other: Tensor | None, *affine: Tensor | None
    ) -> tuple[Tensor, ...]:
        n, channels, height, width = inputs.shape
        pooled, keeps = block.pool != NONE, block.pool == MAX
        x = _array(inputs)
        ctx.none = x[:0]
        ctx.other = ctx.none if other is None else _array(other)
        ctx.shape = _step(height, width * channels, pooled), width * channels, channels
        ctx.norms = (
            _constants(block.norms[0], x, affine[:2], ctx.shape[0]),
            _constants(block.norms[1], ctx.other, affine[2:], ctx.shape[0]),
        )
        outputs = _images((n, channels, height >> pooled, width >> pooled), inputs.dtype)
        out = _array(outputs)
        key, ctx.p = _draw(block.rest[2])
        marks = block.kind == RELU and block.pool != AVERAGE
        ctx.kept = np.empty_like(out) if keeps else ctx.none
        ctx.code = np.empty(out.shape if keeps or marks or ctx.p >= 0 else (0, 0), np.uint8)
        forward_pass(
            x, ctx.norms[0], ctx.other, ctx.norms[1], ctx.shape, block.kind, block.constant,
            block.pool, key, ctx.p, ctx.kept, ctx.code, out,
        )  # fmt: skip
        # The backward pass through a ReLU alone needs no more of what went in than its size.
        ctx.x = out if marks and block.norms[0] is None and not pooled else x
        ctx.block, ctx.size, ctx.dtype = block, inputs.shape, inputs.dtype
        ctx.trained = [norm is not None and norm.training for norm in block.norms]
        return (outputs, outputs.detach()) if block.twice else (outputs,)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        pool, x = ctx.block.pool, ctx.x
        # A user without a gradient gives zeros.
        arrays = [_array(grad.to(ctx.dtype)) for grad in grads]
        no_sums = np.empty((0, 0))
        of_norms = list(ctx.norms)
        of_affine: list[Tensor | None] = [None] * 4
        if len(ctx.norms[0]):
            sums = np.empty((3, ctx.size[1]))
            if pool == MAX:
                # Only what was chosen has a gradient.
                _backward(ctx, arrays, ctx.kept, of_norms, NONE, ctx.none, ctx.none, sums)
            else:
                _backward(ctx, arrays, x, of_norms, pool, ctx.none, ctx.none, sums)
            for i, norm in enumerate(ctx.norms):
                share = ctx.trained[i] * ctx.size[1] / x.size
                if len(norm):
                    of_norms[i], *of_affine[2 * i : 2 * i + 2] = _through(
                        norm, sums[0], sums[i + 1], share
                    )
        of_x = _images(ctx.size, ctx.dtype)
        of_other = _images(ctx.size, ctx.dtype) if ctx.other.size else None
        to_other = ctx.none if of_other is None else _array(of_other)
        _backward(ctx, arrays, x, of_norms, pool, _array(of_x), to_other, no_sums)
        return None, of_x, of_other, *of_affine


def _backward(
    ctx: Any,
    grads: Sequence[np.ndarray],
    x: np.ndarray,
    of_norms: Sequence[np.ndarray],
    pool: int,
    of_x: np.ndarray,
    of_other: np.ndarray,
    sums: np.ndarray,
) -> None:
    backward_pass(
        grads[0], grads[1] if len(grads) > 1 else ctx.none, ctx.code, x, ctx.norms[0], of_norms[0],
        ctx.other, ctx.norms[1], of_norms[1], ctx.shape, ctx.block.kind, ctx.block.constant, pool,
        ctx.p, ctx.kept, of_x, of_other, sums,
    )  # fmt: skip


def _step(height: int, length: int, pooled: bool) -> int:
    """How many elements are worked on at once: some rows, an even number if they are pooled."""
    rows = min(max(STEP // length, 1), height)
    return (max(rows // 2 * 2, 2) if pooled else rows) * length


def _images(size: Sequence[int], dtype: torch.dtype) -> Tensor:
    """New images, channels last in memory, also if there is only one."""
    n, channels, height, width = size
    return torch.empty((n, height, width, channels), dtype=dtype).permute(0, 3, 1, 2)


def _array(images: Tensor) -> np.ndarray:
    """The memory of images, ``(n, height * width * channels)``."""
    last = images.detach().permute(0, 2, 3, 1).contiguous().flatten(1)
    if last.dtype == torch.bfloat16:
        last = last.view(torch.int16)
    array: np.ndarray = last.numpy()
    return array.view(np.uint16) if array.dtype == np.int16 else array


def _constants(
    norm: nn.BatchNorm2d | None, x: np.ndarray, affine: Sequence[Tensor | None], step: int
) -> np.ndarray:
    """See `hw1.training.fused.pixels.SHIFT`."""
    dtype = np.float64 if x.dtype == np.float64 else np.float32
    if norm is None:
        return np.empty((0, step), dtype)
    constants = np.empty((4, step), dtype)
    weight, bias, mean, var = (
        tensor.detach().numpy()
        for tensor in (*affine, norm.running_mean, norm.running_var)
        if tensor is not None
    )
    if norm.training:
        assert norm.momentum is not None and norm.num_batches_tracked is not None
        standardize(x, weight, bias, mean, var, norm.momentum, norm.eps, constants)
        norm.num_batches_tracked.add_(1)
    else:
        standardize_by(mean, var, weight, bias, norm.eps, constants)
    return constants


def _draw(dropout: KeyedDropout | None) -> tuple[np.ndarray, float]:
    """The key of this call and the probability; a negative one if nothing is dropped."""
    if dropout is None or not dropout.training:
        return np.zeros(2, np.uint32), -1.0
    key = fold_in(dropout.key, dropout.calls) if dropout.calls else dropout.key
    dropout.calls += 1
    return key.numpy().view(np.uint32), float(dropout.p)


def _through(
    norm: np.ndarray, sums: np.ndarray, products: np.ndarray, share: float
) -> tuple[np.ndarray, Tensor, Tensor]:
    """See `through_statistics`."""
    of_norm = np.empty((2, norm.shape[1]), norm.dtype)
    of_weight, of_bias = np.empty(len(sums), norm.dtype), np.empty(len(sums), norm.dtype)
    through_statistics(norm, sums, products, share, of_norm, of_weight, of_bias)
    return of_norm, torch.from_numpy(of_weight), torch.from_numpy(of_bias)
