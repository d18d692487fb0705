"""The optimizers of ``torch.optim`` for many models at once, each with its own hyperparameters.

All parameters of a batch of models are one matrix ``(n_models, n_parameters)``, so a step is a
handful of operations whatever the number of layers and models. Names, defaults and formulas are
those of ``torch.optim``: betas 0.9 and 0.999, RMSprop's smoothing 0.99, epsilon 1e-8.
"""

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

from hw1.training.configuration import Configuration

BETA1, BETA2 = 0.9, 0.999
SMOOTHING = 0.99
EPSILON = 1e-8
CHUNK = 2**18
"""Elements of a matrix that are updated at a time: few enough for the blocks of all matrices to
stay in the processor's cache between an optimizer's ten operations, enough to share an
operation between threads."""


class Optimizer:
    """The state of the optimizers of all models of a batch.

    Models with the same kind of optimizer are updated together where they stand side by side.
    On a CPU `hw1.training.update` does the same for models that are trained each by itself.

    Args:
        configurations: one a model.
        parameters: ``(n_models, n_parameters)``, changed in place by `step`.
        n_weights: L1 and weight decay act on this many columns, the first ones.
    """

    def __init__(
        self, configurations: Sequence[Configuration], parameters: Tensor, n_weights: int
    ) -> None:
        n_moments = max(1 if c.optimizer == "sgd" else 2 for c in configurations)
        self._bind(
            configurations,
            parameters,
            n_weights,
            [torch.zeros_like(parameters) for _ in range(n_moments)],
        )

    def _bind(
        self,
        configurations: Sequence[Configuration],
        parameters: Tensor,
        n_weights: int,
        moments: list[Tensor],
    ) -> None:
        self.configurations = configurations
        self.parameters = parameters
        self.n_weights = n_weights
        self.moments = moments
        # Decided once: a test on a tensor in every step would wait for the device.
        self._clips = any(c.max_grad_norm is not None for c in configurations)
        limits = [c.max_grad_norm or torch.inf for c in configurations]
        self._max_grad_norm = parameters.new_tensor(limits)[:, None]
        self._made: dict[int, list[_Chunk]] = {}

    def keep(
        self, configurations: Sequence[Configuration], parameters: Tensor, models: Tensor
    ) -> None:
        """Go on with the rows ``models``, whose configurations and parameters these are."""
        moments = [moment[models] for moment in self.moments]
        self._bind(configurations, parameters, self.n_weights, moments)

    def step(self, grads: Tensor, lr: Tensor, t: int) -> None:
        """One step of all models.

        Args:
            grads: ``(n_models, n_parameters)``, the gradient of each model's loss; overwritten.
            lr: ``(n_models, 1)``.
            t: the number of this step, from 1.
        """
        chunks = self._chunks(grads)
        if self._clips:
            # The norm is that of the whole gradient, of which L1 is a part.
            for chunk in chunks:
                chunk.add_l1()
            norms = torch.linalg.vector_norm(grads, dim=1, keepdim=True)
            grads.mul_((self._max_grad_norm / (norms + 1e-6)).clamp_(max=1))
        for chunk in chunks:
            if not self._clips:
                chunk.add_l1()
            chunk.update(lr if len(lr) == len(chunk.parameters) else lr[chunk.rows], t)

    def _chunks(self, grads: Tensor) -> list["_Chunk"]:
        if grads.data_ptr() not in self._made:
            step = max(CHUNK // len(self.parameters), 1)
            chunks = []
            scratch = self.parameters.new_empty(max(CHUNK, len(self.parameters)))
            start = 0
            for _, group in groupby(self.configurations, lambda c: c.optimizer):
                own = list(group)
                rows = slice(start, start + len(own))
                start = rows.stop
                for column in range(0, self.parameters.shape[1], step):
                    columns = slice(column, column + step)
                    n_weights = max(min(self.n_weights - column, step), 0)
                    parameters, of_parameters = self.parameters[rows, columns], grads[rows, columns]
                    moments = [moment[rows, columns] for moment in self.moments]
                    chunks.append(
                        _Chunk(own, rows, n_weights, parameters, of_parameters, moments, scratch)
                    )
            self._made[grads.data_ptr()] = chunks
        return self._made[grads.data_ptr()]


class _Chunk:
    """A block of the matrices that is updated at a time.

    Args:
        configurations: of its rows; they agree on the optimizer.
        rows: which they are.
        n_weights: L1 and weight decay act on that many columns of the block, the first ones.
        parameters: the block.
        grads: their gradients; they are overwritten.
        moments: the block of one or two running means.
        scratch: for intermediate results; new memory would have to be mapped every time.
    """

    def __init__(
        self,
        configurations: Sequence[Configuration],
        rows: slice,
        n_weights: int,
        parameters: Tensor,
        grads: Tensor,
        moments: Sequence[Tensor],
        scratch: Tensor,
    ) -> None:
        def column(values: Sequence[float]) -> Tensor:
            return parameters.new_tensor(values)[:, None]

        self.kind = configurations[0].optimizer
        self.rows = rows
        self.parameters, self.grads, self.moments = parameters, grads, moments
        self.weights, self.of_weights = parameters[:, :n_weights], grads[:, :n_weights]
        self.l1 = column([c.l1 for c in configurations])
        self.weight_decay = column([c.weight_decay for c in configurations])
        self.momentum = column([c.momentum for c in configurations])
        self.nesterov = column([float(c.nesterov) for c in configurations])
        self.scratch = scratch[: parameters.numel()].view(parameters.shape)
        self.of_scratch = self.scratch[:, :n_weights]
        self.uses_l1 = n_weights > 0 and any(c.l1 for c in configurations)
        self.uses_decay = n_weights > 0 and any(c.weight_decay for c in configurations)
        self.uses_momentum = any(c.momentum for c in configurations)

    def add_l1(self) -> None:
        if self.uses_l1:
            self.of_weights.addcmul_(self.l1, torch.sign(self.weights, out=self.of_scratch))

    def update(self, lr: Tensor, t: int) -> None:
        """Step ``t`` with the learning rates ``lr``, ``(n, 1)``."""
        parameters, grads = self.parameters, self.grads
        if self.uses_decay:
            if self.kind == "adamw":
                self.weights.mul_(1 - lr * self.weight_decay)
            else:
                self.of_weights.addcmul_(self.weight_decay, self.weights)
        if self.kind == "sgd":
            if self.uses_momentum:
                velocity = self.moments[0].mul_(self.momentum).add_(grads)
                # Nesterov looks one step ahead: g + momentum * v, where plain momentum takes v.
                of_velocity = 1 - self.nesterov * (1 - self.momentum)
                grads.mul_(self.nesterov).addcmul_(velocity, of_velocity)
            parameters.addcmul_(lr, grads, value=-1)
        elif self.kind == "rmsprop":
            square, velocity = self.moments
            square.mul_(SMOOTHING).addcmul_(grads, grads, value=1 - SMOOTHING)
            grads.div_(torch.sqrt(square, out=self.scratch).add_(EPSILON))
            if self.uses_momentum:
                grads = velocity.mul_(self.momentum).add_(grads)
            parameters.addcmul_(lr, grads, value=-1)
        else:
            mean, square = self.moments
            mean.lerp_(grads, 1 - BETA1)
            square.mul_(BETA2).addcmul_(grads, grads, value=1 - BETA2)
            # torch divides the root of the mean square by this, and adds epsilon then.
            correction = (1 - BETA2**t) ** 0.5
            denominator = torch.sqrt(square, out=self.scratch).add_(EPSILON * correction)
            # The gradients are not needed any more.
            scaled = torch.mul(mean, lr, out=grads)
            parameters.addcdiv_(scaled, denominator, value=-correction / (1 - BETA1**t))
