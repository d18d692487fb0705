"""Random numbers as a pure function of a key, for all models of a batch at once.

Each model has its own key, so what it draws depends on its seed alone: not on its position in a
batch, on the models beside it, or on the device. torch's generators can't do that without one
call a model. The vocabulary (key, fold in) is that of JAX.

A key holds two 32-bit integers; the i-th draw is ``mix(i * stride + offset)`` with the key's
halves as offset and (odd) stride. ``mix`` is the 32-bit finaliser "lowbias32" of Chris Wellons
(https://nullprogram.com/blog/2018/07/31/), a bijection with an avalanche bias of 0.17.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from hw1.training.kernels import GOLDEN, mix_all

aten = torch.ops.aten


def seed(*entropy: int) -> int:
    """A 63-bit seed from non-negative integers such as (study seed, trial number, fold)."""
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1)


def keys(seeds: Sequence[int]) -> Tensor:
    """One key a seed, ``(len(seeds), 2)`` int32."""
    halves = [[s & 0xFFFFFFFF, (s >> 32) & 0xFFFFFFFF] for s in seeds]
    return torch.from_numpy(np.array(halves, dtype=np.uint32).view(np.int32))


def _mix(bits: Tensor) -> Tensor:
    """Scramble ``bits`` in place, as `mix_all` does where there is no compiled code."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        # torch's >> on int32 copies the sign bit; the mask makes it a logical shift.
        bits.bitwise_xor_((bits >> shift).bitwise_and_((1 << (32 - shift)) - 1))
        bits.mul_(factor - (factor >> 31 << 32))  # as a signed number
    return bits.bitwise_xor_((bits >> 16).bitwise_and_(0xFFFF))


def _array(key: Tensor) -> np.ndarray | None:
    """A key as uint32 in memory, where NumPy and compiled code are many times faster than torch.

    None for keys on another device or under ``vmap``.
    """
    try:
        array = key.numpy()
    except (RuntimeError, TypeError):
        return None
    return array.view(np.uint32)


def fold_in(key: Tensor, number: int | Tensor) -> Tensor:
    """New keys ``(..., 2)`` from old ones and a number, such as an epoch, a step or a purpose.

    The number may be an int32 tensor that broadcasts with ``key[..., 0]``.
    """
    array = _array(key)
    if array is not None:
        # Not as a scalar, of which NumPy reports what overflows.
        added = number.numpy() if isinstance(number, Tensor) else np.full(1, number, np.int32)
        first = mix_all(array[..., 0] + mix_all(added.view(np.uint32) + np.uint32(1)))
        both = np.stack([first, mix_all(array[..., 1] ^ first)], -1).view(np.int32)
        return torch.from_numpy(both if isinstance(number, Tensor) else both.reshape(key.shape))
    if isinstance(number, int):
        number = key.new_tensor(number)
    offset = _mix(key[..., 0] + _mix(number + 1))
    return torch.stack([offset, _mix(key[..., 1] ^ offset)], -1)


@lru_cache(maxsize=64)
def _counter(n_rows: int, n_columns: int, device: torch.device) -> Tensor:
    """Where the counter stands at each element: a row's place does not depend on its length."""
    rows = torch.arange(n_rows, dtype=torch.int32, device=device) * int(GOLDEN.view(np.int32))
    return rows[:, None] + torch.arange(n_columns, dtype=torch.int32, device=device)


def random_bits(key: Tensor, shape: Sequence[int]) -> Tensor:
    """32 random bits as int32 for each element, ``(*key.shape[:-1], *shape)``.

    Those of an element of two or more dimensions depend on its row and on its place there, not
    on the length of the rows: wider layers have the numbers of narrower ones, and more.
    """
    n_rows = shape[0] if len(shape) > 1 else 1
    counter = _counter(n_rows, math.prod(shape) // max(n_rows, 1), key.device)
    array = _array(key)
    if array is not None:
        bits = counter.numpy().view(np.uint32) * (array[..., 1, None, None] | np.uint32(1))
        bits += array[..., 0, None, None]
        filled = torch.from_numpy(mix_all(bits).view(np.int32))
    else:
        offset, stride = key[..., 0, None, None], key[..., 1, None, None]
        filled = _mix(counter * (stride | 1) + offset)
    return filled.reshape(*key.shape[:-1], *shape)


def uniform(key: Tensor, shape: Sequence[int]) -> Tensor:
    """Uniform float32 numbers in [0, 1), ``(*key.shape[:-1], *shape)``."""
    # The mask makes the shift a logical one.
    return ((random_bits(key, shape) >> 8) & 0xFFFFFF).to(torch.float32) * 2**-24


def permutations(key: Tensor, lengths: Tensor) -> Tensor:
    """A random order of ``range(length)`` for each key, ``(n, max(lengths))`` int64.

    A row's places past its length hold the numbers from there on. What a key draws does not
    depend on the other rows' lengths.
    """
    longest = int(lengths.max())
    bits = random_bits(key, (longest,))
    outside = torch.arange(longest, device=key.device) >= lengths[:, None]
    # A stable sort leaves the places outside behind even a draw of the highest number.
    bits = bits.masked_fill_(outside, torch.iinfo(torch.int32).max)
    if _array(key) is None:
        return bits.argsort(dim=-1, stable=True)
    # The same with NumPy, several times faster: the places stand behind the bits, and go along.
    both = (bits.numpy().astype(np.int64) << 32) | np.arange(longest)
    both.sort(axis=-1)
    return torch.from_numpy(both & 0xFFFFFFFF)


def dropout_factors(key: Tensor, p: Tensor, shape: Sequence[int]) -> Tensor:
    """What dropout multiplies with: zero with probability ``p``, else 1 / (1 - p).

    Args:
        key: ``(..., 2)``.
        p: ``(...)``, floating.
        shape: of one key's factors.

    Returns:
        ``(*key.shape[:-1], *shape)`` of the type of ``p``.
    """
    row = math.prod(shape[1:])
    # 16 bits are enough for a probability: a word serves two neighbors.
    words = random_bits(key, (shape[0], -(-row // 2)))
    if _array(words) is not None:
        bits = words.view(torch.int16)[..., :row]
    else:  # vmap has no such view
        bits = torch.stack([words << 16 >> 16, words >> 16], -1).flatten(-2)[..., :row]
    bits = bits.reshape(*key.shape[:-1], *shape)
    p = p.reshape(*p.shape, *[1] * len(shape))
    threshold = (p * 2**16).round() - 2**15
    # Nothing is kept of p = 1, and 0 times infinity is no number.
    scale = torch.where(p < 1, 1 / (1 - p), 0)
    threshold = threshold.clamp(max=2**15 - 1).to(torch.int16)
    if _array(key) is not None and _array(p) is not None:
        # Comparing, and making floats of it, is faster with NumPy, too.
        kept = bits.numpy() >= threshold.numpy()
        return torch.from_numpy(kept.view(np.uint8).astype(scale.numpy().dtype)).mul_(scale)
    return (bits >= threshold) * scale


class KeyedDropout(nn.Module):
    """Dropout whose mask is a function of the buffer ``key``, which the training loop renews.

    The probability is a buffer too, so that it may differ between stacked models.
    """

    key: Tensor
    p: Tensor

    def __init__(self, p: float) -> None:
        super().__init__()
        self.register_buffer("key", torch.zeros(2, dtype=torch.int32), persistent=False)
        self.register_buffer("p", torch.tensor(float(p)), persistent=False)
        self.calls = 0
        """How often it was called for this batch; the training loop sets it back."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Zero elements of ``inputs`` with probability p and scale the rest by 1 / (1 - p)."""
        if not self.training:
            return inputs
        # Where a network calls the same layer again, it is to drop other elements.
        key = fold_in(self.key, self.calls) if self.calls else self.key
        self.calls += 1
        return inputs * dropout_factors(key, self.p, inputs.shape).to(inputs.dtype)


class KeyedDraws(TorchDispatchMode):
    """A context in which dropout that is no layer, too, is a function of a key.

    ``functional.dropout`` and its relatives, attention and recurrent layers all come down to one
    of two operations of torch. Each call is given a number, as those of a `KeyedDropout` are.

    Args:
        key: of the model and step.
    """

    def __init__(self, key: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.key, self.calls = key, 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # torch would import its compiler, which is not used, to keep it away from here.
        return False

    def __torch_dispatch__(
        self, func: Any, types: object, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Do what ``func`` does; what goes on in here is not seen by the context."""
        if func is aten.bernoulli_.float:
            noise, kept = args
            return noise.copy_(self._factors(noise, 1 - kept) != 0)
        if func is aten.native_dropout.default:  # on a GPU
            inputs, p, _ = args
            factors = self._factors(inputs, p)
            return inputs * factors.to(inputs.dtype), factors != 0
        return func(*args, **(kwargs or {}))

    def _factors(self, like: Tensor, p: float) -> Tensor:
        key = fold_in(self.key, self.calls) if self.calls else self.key
        self.calls += 1
        p_of_key = torch.full((), p, device=like.device)
        return dropout_factors(key, p_of_key, like.shape or (1,)).view(like.shape)


def with_keyed_dropout(model: nn.Module) -> nn.Module:
    """``model`` with each ``nn.Dropout`` in it replaced, in place, by a `KeyedDropout`."""
    keyed: dict[nn.Module, KeyedDropout] = {}  # one layer may stand in several places
    for module in model.modules():
        for name, child in module._modules.items():
            if type(child) is nn.Dropout:
                setattr(module, name, keyed.setdefault(child, KeyedDropout(child.p)))
    return model
