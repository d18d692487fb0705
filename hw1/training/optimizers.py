"""The optimizers of many models: `hw1.training.rules` in compiled code or over tensors."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hw1.training.configuration import Configuration
from hw1.training.rules import OPTIMIZERS, PENALTIES
from hw1.training.update import kind, settings, update_all

COMPILED_ON = "cpu"
"""The type of the devices whose processor runs compiled code."""


class Optimizer:
    """The optimizers of all models of a batch, and what they keep from step to step.

    All parameters are one matrix ``(n_models, n_parameters)``. On a CPU compiled code goes through
    it once. Elsewhere a step is a handful of operations on tensors, whatever the number of layers
    and models; models with the same kind of optimizer share them where they stand side by side.

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
        self._compiled = parameters.device.type == COMPILED_ON
        matrices = parameters, grads, *self.kept
        if self._compiled:
            arrays = [matrix.numpy() for matrix in matrices]
            kinds = np.array([kind(c) for c in configurations])
            self._arguments: Any = (
                kinds,
                settings(configurations, arrays[0].dtype),
                *arrays,
                n_weights,
            )
            return
        self._grads = grads
        # Decided once: a test on a tensor in every step would wait for the device.
        self._clips = any(c.max_grad_norm is not None for c in configurations)
        limits = [c.max_grad_norm or torch.inf for c in configurations]
        self._max_grad_norm = parameters.new_tensor(limits)[:, None]
        self._groups: list[_Group] = []
        start = 0
        for _, group in groupby(configurations, lambda c: c.optimizer):
            own = list(group)
            rows = slice(start, start + len(own))
            start = rows.stop
            self._groups.append(_Group(own, rows, n_weights, *(m[rows] for m in matrices)))

    def step(self, lr: Tensor, t: int) -> None:
        """One step of all models.

        Args:
            lr: ``(n_models, 1)``.
            t: the number of this step, from 1.
        """
        if self._compiled:
            update_all(lr.numpy(), t, *self._arguments)
            return
        for group in self._groups:
            group.penalize(lr, "in the loss")
        if self._clips:
            # The norm is that of the whole gradient, of which some penalties are a part.
            norms = torch.linalg.vector_norm(self._grads, dim=1, keepdim=True)
            self._grads.mul_((self._max_grad_norm / (norms + 1e-6)).clamp_(max=1))
        for group in self._groups:
            group.penalize(lr, "before the step")
            group.update(lr, t)
            group.penalize(lr, "after the step")


class _Group:
    """Models that agree on the optimizer.

    Args:
        configurations: one a model.
        rows: where they stand.
        n_weights: penalties act on that many columns.
        parameters, grads, first, second: of these models; see `hw1.training.rules.Rule`.
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
        def of_each(name: str) -> Any:
            """A hyperparameter as a column, or as the number that it is in all models."""
            values = [float(getattr(c, name)) for c in configurations]
            return parameters.new_tensor(values)[:, None] if len(set(values)) > 1 else values[0]

        self.rule, self.rows = OPTIMIZERS[configurations[0].optimizer], rows
        self.tensors = parameters, grads, first, second
        self.weights, self.of_weights = parameters[:, :n_weights], grads[:, :n_weights]
        self.momentum, self.nesterov = of_each("momentum"), of_each("nesterov")
        self.go = self.rule.step
        if self.rule.without_momentum and not any(c.momentum for c in configurations):
            self.go = self.rule.without_momentum
        used = [name for name in PENALTIES if any(getattr(c, name) for c in configurations)]
        self.penalties = [(PENALTIES[name], of_each(name)) for name in used]

    def penalize(self, lr: Tensor, when: str) -> None:
        """Apply the penalties of this time; see `hw1.training.rules.Penalty.when`."""
        for penalty, strength in self.penalties:
            if penalty.when == when:
                change = penalty.of(self.rule)
                change(..., self.weights, self.of_weights, strength, lr[self.rows], _as_it_is)

    def update(self, lr: Tensor, t: int) -> None:
        """Step ``t`` with the learning rates ``lr``, ``(n_models, 1)``."""
        constants = self.rule.constants(_as_it_is, lr[self.rows], t, self.momentum, self.nesterov)
        self.go(..., *self.tensors, constants)


def _as_it_is(x: Any) -> Any:
    """For tensors, which have the parameters' type, what rounding to it is for numbers."""
    return x
