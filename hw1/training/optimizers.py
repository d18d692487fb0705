"""Steps of the optimizers of many models at once: `hw1.training.rules` over tensors.

All parameters of a batch of models are one matrix ``(n_models, n_parameters)``, so a step is a
handful of operations whatever the number of layers and models.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from hw1.training.configuration import Configuration
from hw1.training.rules import PENALTIES, rule_of

CHUNK = 2**18
"""Elements of a matrix that are updated at a time: few enough for the blocks of all matrices to
stay in the processor's cache between an optimizer's operations, enough to share an operation
between threads."""


class Optimizer:
    """The optimizers of all models of a batch, and what they keep from step to step.

    Models with the same kind of optimizer are updated together where they stand side by side.
    On a CPU `hw1.training.update` does the same for models that are trained each by itself.

    Args:
        configurations: one a model.
        parameters: ``(n_models, n_parameters)``, changed in place by `step`.
        grads: where the gradient of each model's loss stands before a step; overwritten.
        n_weights: penalties act on this many columns, the first ones.
        kept: two of the shape of the parameters, from an earlier one; None for the start.
    """

    def __init__(
        self,
        configurations: Sequence[Configuration],
        parameters: Tensor,
        grads: Tensor,
        n_weights: int,
        kept: Sequence[Tensor] | None = None,
    ) -> None:
        self.kept = kept or [torch.zeros_like(parameters) for _ in range(2)]
        self._grads = grads
        # Decided once: a test on a tensor in every step would wait for the device.
        self._clips = any(c.max_grad_norm is not None for c in configurations)
        limits = [c.max_grad_norm or torch.inf for c in configurations]
        self._max_grad_norm = parameters.new_tensor(limits)[:, None]
        self._chunks: list[_Chunk] = []
        step, start = max(CHUNK // len(parameters), 1), 0
        for _, group in groupby(configurations, lambda c: c.optimizer):
            own = list(group)
            rows = slice(start, start + len(own))
            start = rows.stop
            for column in range(0, parameters.shape[1], step):
                block = [m[rows, column : column + step] for m in (parameters, grads, *self.kept)]
                of_weights = max(min(n_weights - column, step), 0)
                self._chunks.append(_Chunk(own, rows, of_weights, *block))

    def step(self, lr: Tensor, t: int) -> None:
        """One step of all models.

        Args:
            lr: ``(n_models, 1)``.
            t: the number of this step, from 1.
        """
        if self._clips:
            # The norm is that of the whole gradient, of which some penalties are a part.
            for chunk in self._chunks:
                chunk.penalize(lr, in_loss=True)
            norms = torch.linalg.vector_norm(self._grads, dim=1, keepdim=True)
            self._grads.mul_((self._max_grad_norm / (norms + 1e-6)).clamp_(max=1))
        for chunk in self._chunks:
            if not self._clips:
                chunk.penalize(lr, in_loss=True)
            chunk.penalize(lr, in_loss=False)
            chunk.update(lr, t)


class _Chunk:
    """A block of the matrices that is updated at a time; its models agree on the optimizer.

    Args:
        configurations: of its rows.
        rows: which they are.
        n_weights: penalties act on that many columns of the block, the first ones.
        parameters, grads, first, second: the block; see `hw1.training.rules.Rule`.
    """

    def __init__(
        self,
        configurations: Sequence[Configuration],
        rows: slice,
        n_weights: int,
        parameters: Tensor,
        grads: Tensor,
        first: Tensor,
        second: Tensor,
    ) -> None:
        def column(name: str) -> Tensor:
            return parameters.new_tensor([float(getattr(c, name)) for c in configurations])[:, None]

        self.rule, self.rows = rule_of(configurations), rows
        self.block = parameters, grads, first, second
        self.weights, self.of_weights = parameters[:, :n_weights], grads[:, :n_weights]
        self.momentum, self.nesterov = column("momentum"), column("nesterov")
        used = [n for n in PENALTIES if n_weights and any(getattr(c, n) for c in configurations)]
        self.penalties = [(PENALTIES[name], column(name)) for name in used]

    def penalize(self, lr: Tensor, *, in_loss: bool) -> None:
        """Apply the penalties that are a part of the loss, or the others."""
        for penalty, strength in self.penalties:
            if penalty.in_loss != in_loss:
                continue
            if self.rule.decouples and penalty.shrink is not None:
                penalty.shrink(..., self.weights, strength, lr[self.rows], _as_it_is)
            else:
                penalty.add(..., self.weights, self.of_weights, strength)

    def update(self, lr: Tensor, t: int) -> None:
        """Step ``t`` with the learning rates ``lr``, ``(n_models, 1)``."""
        own_lr = lr if len(lr) == len(self.momentum) else lr[self.rows]
        constants = self.rule.constants(_as_it_is, own_lr, t, self.momentum, self.nesterov)
        self.rule.step(..., *self.block, constants)


def _as_it_is(x: Any) -> Any:
    """For tensors, which have the parameters' type, what rounding to it is for numbers."""
    return x
