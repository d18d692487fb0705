"""A step of an optimizer for one model, in compiled code: one pass over its parameters.

The formulas are those of `hw1.training.optimizers`, and so of ``torch.optim``.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hw1.training.configuration import OPTIMIZERS, Configuration
from hw1.training.kernels import compiled
from hw1.training.optimizers import BETA1, BETA2, EPSILON, SMOOTHING

# The columns of a model's settings, numbers of the parameters' type.
L1, WEIGHT_DECAY, MOMENTUM, NESTEROV, MAX_GRAD_NORM = range(5)
SGD, ADAM, ADAMW, RMSPROP = map(OPTIMIZERS.index, ("sgd", "adam", "adamw", "rmsprop"))


def settings(configurations: Sequence[Configuration], dtype: Any) -> np.ndarray:
    """What `update` is to know of each model, ``(n_models, 5)``."""
    return np.array(
        [
            (c.l1, c.weight_decay, c.momentum, c.nesterov, c.max_grad_norm or np.inf)
            for c in configurations
        ],
        dtype,
    )


@compiled
def update(
    kind: int,
    settings: np.ndarray,
    parameters: np.ndarray,
    grads: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    n_weights: int,
    lr: float,
    t: int,
) -> None:
    """Change ``parameters`` and the moments in place.

    Args:
        kind: the place of the optimizer in `OPTIMIZERS`.
        settings: a row of what `settings` gives.
        parameters: ``(n_parameters,)``, the weights first.
        grads: of the loss without its L1 term; overwritten.
        first: the running mean of the gradients, or sgd's velocity.
        second: that of their squares; not used by sgd.
        n_weights: L1 and weight decay act on that many parameters, the first ones.
        lr: the learning rate, of the parameters' type.
        t: the number of the step, from 1.
    """
    l1 = settings[L1]
    if l1 > 0:
        for i in range(n_weights):
            w = parameters[i]
            grads[i] += l1 if w > 0 else (-l1 if w < 0 else w)  # where w is NaN, so is its sign
    if settings[MAX_GRAD_NORM] < np.inf:
        # The norm is that of the whole gradient, of which L1 is a part.
        total = 0.0
        for i in range(len(parameters)):
            total += grads[i] * grads[i]
        scale = settings[MAX_GRAD_NORM] / (np.sqrt(total) + 1e-6)
        if not scale >= 1:  # a norm that is no number makes none of the gradient
            for i in range(len(parameters)):
                grads[i] *= parameters.dtype.type(scale)
    decay = settings[WEIGHT_DECAY]
    if decay > 0:
        if kind == ADAMW:
            kept = parameters.dtype.type(1 - lr * decay)
            for i in range(n_weights):
                parameters[i] *= kept
        else:
            for i in range(n_weights):
                grads[i] += decay * parameters[i]
    if kind == SGD:
        _sgd(settings, parameters, grads, first, lr)
    elif kind == RMSPROP:
        _rmsprop(settings, parameters, grads, second, first, lr)
    else:
        _adam(parameters, grads, first, second, lr, t)


@compiled
def _sgd(
    settings: np.ndarray,
    parameters: np.ndarray,
    grads: np.ndarray,
    velocity: np.ndarray,
    lr: float,
) -> None:
    momentum = settings[MOMENTUM]
    if momentum == 0:
        for i in range(len(parameters)):
            parameters[i] -= lr * grads[i]
        return
    # Nesterov looks one step ahead: g + momentum * v, where plain momentum takes v.
    of_grad = settings[NESTEROV]
    of_velocity = parameters.dtype.type(1 - of_grad * (1 - momentum))
    for i in range(len(parameters)):
        v = momentum * velocity[i] + grads[i]
        velocity[i] = v
        parameters[i] -= lr * (of_grad * grads[i] + of_velocity * v)


@compiled
def _rmsprop(
    settings: np.ndarray,
    parameters: np.ndarray,
    grads: np.ndarray,
    square: np.ndarray,
    velocity: np.ndarray,
    lr: float,
) -> None:
    smoothing = parameters.dtype.type(SMOOTHING)
    rest = parameters.dtype.type(1 - SMOOTHING)
    epsilon = parameters.dtype.type(EPSILON)
    momentum = settings[MOMENTUM]
    for i in range(len(parameters)):
        g = grads[i]
        s = smoothing * square[i] + rest * g * g
        square[i] = s
        v = momentum * velocity[i] + g / (np.sqrt(s) + epsilon)
        velocity[i] = v
        parameters[i] -= lr * v


@compiled
def _adam(
    parameters: np.ndarray,
    grads: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    lr: float,
    t: int,
) -> None:
    beta1, rest1 = parameters.dtype.type(BETA1), parameters.dtype.type(1 - BETA1)
    beta2, rest2 = parameters.dtype.type(BETA2), parameters.dtype.type(1 - BETA2)
    correction = np.sqrt(1 - BETA2**t)
    # torch divides the root of the mean square by the correction, and adds epsilon then.
    epsilon = parameters.dtype.type(EPSILON * correction)
    rate = parameters.dtype.type(lr * correction / (1 - BETA1**t))
    for i in range(len(parameters)):
        g = grads[i]
        m = beta1 * mean[i] + rest1 * g
        s = beta2 * square[i] + rest2 * g * g
        mean[i] = m
        square[i] = s
        parameters[i] -= rate * m / (np.sqrt(s) + epsilon)
