"""Random numbers as a pure function of a key, for all models of a batch at once.

Each model has its own key, so what it draws depends on its seed alone: not on its position in a
batch, on the models beside it, or on the device. torch's generators can't do that without one
call a model. The vocabulary (key, fold in) is that of JAX.

A key holds two 32-bit integers; the i-th draw is ``mix(i * stride + offset)`` with the key's
halves as offset and (odd) stride. ``mix`` is the 32-bit finaliser "lowbias32" of Chris Wellons
(https://nullprogram.com/blog/2018/07/31/), a bijection with an avalanche bias of 0.17.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn


def seed(*entropy: int) -> int:
    """A 63-bit seed from non-negative integers such as (study seed, trial number, fold)."""
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1)


def keys(seeds: Sequence[int]) -> Tensor:
    """One key a seed, ``(len(seeds), 2)`` int32."""
    halves = [[s & 0xFFFFFFFF, (s >> 32) & 0xFFFFFFFF] for s in seeds]
    return torch.from_numpy(np.array(halves, dtype=np.uint32).view(np.int32))


def _shift(bits: Tensor, n: int) -> Tensor:
    # torch's >> on int32 copies the sign bit; the mask makes it a logical shift.
    return (bits >> n) & ((1 << (32 - n)) - 1)


def _mix(bits: Tensor) -> Tensor:
    bits = (bits ^ _shift(bits, 16)) * 0x7FEB352D
    bits = (bits ^ _shift(bits, 15)) * (0x846CA68B - (1 << 32))
    return bits ^ _shift(bits, 16)


def fold_in(key: Tensor, number: int) -> Tensor:
    """New keys ``(..., 2)`` from old ones and a number, such as an epoch, a step or a purpose."""
    offset, stride = key[..., 0], key[..., 1]
    offset = _mix(offset + _mix(torch.full_like(offset, number) + 1))
    return torch.stack([offset, _mix(stride ^ offset)], -1)


def random_bits(key: Tensor, shape: Sequence[int]) -> Tensor:
    """32 random bits as int32 for each element, ``(*key.shape[:-1], *shape)``."""
    counter = torch.arange(int(np.prod(shape)), dtype=torch.int32, device=key.device)
    offset, stride = key[..., 0:1], key[..., 1:2]
    return _mix(counter * (stride | 1) + offset).reshape(*key.shape[:-1], *shape)


def uniform(key: Tensor, shape: Sequence[int]) -> Tensor:
    """Uniform float32 numbers in [0, 1), ``(*key.shape[:-1], *shape)``."""
    return _shift(random_bits(key, shape), 8).to(torch.float32) * 2**-24


def permutations(key: Tensor, lengths: Tensor) -> Tensor:
    """A random order of ``range(length)`` for each key, ``(n, max(lengths))`` int64.

    A row's places past its length hold the numbers from there on. What a key draws does not
    depend on the other rows' lengths.
    """
    longest = int(lengths.max())
    bits = random_bits(key, (longest,))
    outside = torch.arange(longest, device=key.device) >= lengths[:, None]
    # A stable sort leaves the places outside behind even a draw of the highest number.
    bits = bits.masked_fill(outside, torch.iinfo(torch.int32).max)
    return bits.argsort(dim=-1, stable=True)


class KeyedDropout(nn.Module):
    """Dropout whose mask is a function of the buffer ``key``, which the training loop renews.

    The probability is a buffer too, so that it may differ between stacked models.
    """

    key: Tensor
    p: Tensor

    def __init__(self, p: float) -> None:
        super().__init__()
        self.register_buffer("key", torch.zeros(2, dtype=torch.int32), persistent=False)
        self.register_buffer("p", torch.tensor(p), persistent=False)
        self.calls = 0
        """How often it was called for this batch; the training loop sets it back."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Zero elements of ``inputs`` with probability p and scale the rest by 1 / (1 - p)."""
        if not self.training:
            return inputs
        # Where a network calls the same layer again, it is to drop other elements.
        key = fold_in(self.key, self.calls) if self.calls else self.key
        self.calls += 1
        kept = uniform(key, inputs.shape) >= self.p
        return torch.where(kept, inputs / (1 - self.p), 0.0)


def with_keyed_dropout(model: nn.Module) -> nn.Module:
    """``model`` with each ``nn.Dropout`` in it replaced, in place, by a `KeyedDropout`."""
    keyed: dict[nn.Module, KeyedDropout] = {}  # one layer may stand in several places
    for module in model.modules():
        for name, child in module._modules.items():
            if type(child) is nn.Dropout:
                setattr(module, name, keyed.setdefault(child, KeyedDropout(child.p)))
    return model
