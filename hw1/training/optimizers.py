"""The optimizers of ``torch.optim`` for many models at once, each with its own hyperparameters.

All parameters of a batch of models are one matrix ``(n_models, n_parameters)``, so a step is a
handful of operations whatever the number of layers and models. Names, defaults and formulas are
those of ``torch.optim``: betas 0.9 and 0.999, RMSprop's smoothing 0.99, epsilon 1e-8.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from hw1.training.configuration import Configuration

BETA1, BETA2 = 0.9, 0.999
SMOOTHING = 0.99
EPSILON = 1e-8


class Optimizer:
    """The state of one optimizer for all models of a batch.

    Args:
        configurations: one a model; they agree on ``optimizer`` and may differ in the rest.
        parameters: ``(n_models, n_parameters)``, changed in place by `step`.
        is_weight: ``(n_parameters,)``, one where L1 and weight decay act and zero elsewhere.
    """

    def __init__(
        self, configurations: Sequence[Configuration], parameters: Tensor, is_weight: Tensor
    ) -> None:
        def column(values: Sequence[float]) -> Tensor:
            return parameters.new_tensor(values)[:, None]

        self.kind = configurations[0].optimizer
        self.parameters = parameters
        self.is_weight = is_weight
        self.l1 = column([c.l1 for c in configurations])
        self.weight_decay = column([c.weight_decay for c in configurations])
        self.momentum = column([c.momentum for c in configurations])
        self.nesterov = column([float(c.nesterov) for c in configurations])
        self.max_grad_norm = column(
            [c.max_grad_norm if c.max_grad_norm is not None else torch.inf for c in configurations]
        )
        # Decided once: a test on a tensor in every step would wait for the device.
        self._uses_l1 = any(c.l1 for c in configurations)
        self._uses_decay = any(c.weight_decay for c in configurations)
        self._uses_momentum = any(c.momentum for c in configurations)
        self._clips = any(c.max_grad_norm is not None for c in configurations)
        moments = {"adam": 2, "adamw": 2, "sgd": 1, "rmsprop": 2}[self.kind]
        self.moments = [torch.zeros_like(parameters) for _ in range(moments)]

    def step(self, models: slice, grads: Tensor, lr: Tensor, t: int) -> None:
        """One step of the models in ``models``.

        Args:
            models: rows of the parameter matrix.
            grads: ``(n, n_parameters)``, the gradient of each model's loss; changed in place.
            lr: ``(n, 1)``.
            t: the number of this step of these models, from 1.
        """
        parameters = self.parameters[models]
        moments = [moment[models] for moment in self.moments]
        decay, momentum = self.weight_decay[models] * self.is_weight, self.momentum[models]
        if self._uses_l1:
            grads.addcmul_(self.l1[models] * self.is_weight, parameters.sign())
        if self._clips:
            norms = torch.linalg.vector_norm(grads, dim=1, keepdim=True)
            grads.mul_((self.max_grad_norm[models] / (norms + 1e-6)).clamp(max=1))
        if self._uses_decay and self.kind == "adamw":
            parameters.mul_(1 - lr * decay)
        elif self._uses_decay:
            grads.addcmul_(decay, parameters)

        if self.kind == "sgd":
            if self._uses_momentum:
                (velocity,) = moments
                velocity.mul_(momentum).add_(grads)
                # Nesterov looks one step ahead: g + momentum * v, where plain momentum takes v.
                nesterov = self.nesterov[models]
                grads.mul_(nesterov).add_(velocity * (1 - nesterov * (1 - momentum)))
            parameters.sub_(lr * grads)
        elif self.kind == "rmsprop":
            square, velocity = moments
            square.mul_(SMOOTHING).addcmul_(grads, grads, value=1 - SMOOTHING)
            grads.div_(square.sqrt().add_(EPSILON))
            if self._uses_momentum:
                grads = velocity.mul_(momentum).add_(grads)
            parameters.sub_(lr * grads)
        else:
            mean, square = moments
            mean.lerp_(grads, 1 - BETA1)
            square.mul_(BETA2).addcmul_(grads, grads, value=1 - BETA2)
            denominator = square.sqrt().div_((1 - BETA2**t) ** 0.5).add_(EPSILON)
            parameters.sub_(mean.div(denominator).mul_(lr / (1 - BETA1**t)))
