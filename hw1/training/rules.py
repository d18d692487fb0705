"""The formulas of the optimizers and of the penalties on weights, each once.

They are those of ``torch.optim`` with its defaults: betas 0.9 and 0.999, RMSprop's smoothing 0.99,
epsilon 1e-8. A formula is plain arithmetic on the elements ``[i]`` of arrays: compiled code goes
through them one after another (`hw1.training.update`), and for tensors ``i`` is ``...``, so that
the same function changes all of them at once (`hw1.training.optimizers`).

A new optimizer is an entry of `OPTIMIZERS`; a new penalty is one of `PENALTIES` and a field of
`Configuration` with the same name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

BETA1, BETA2 = 0.9, 0.999
SMOOTHING = 0.99
EPSILON = 1e-8


@dataclass(frozen=True)
class Rule:
    """A step of an optimizer.

    Attributes:
        words: its name in prose.
        constants: ``(real, lr, t, momentum, nesterov)`` to a tuple of what a step needs for all
            parameters; ``t`` counts the steps from 1, and ``real`` rounds a number to the
            parameters' type.
        step: ``(i, parameters, grads, first, second, constants)``: changes ``parameters[i]`` and,
            from step to step, ``first[i]`` and ``second[i]``, which are zero at the start. What
            was read is not to be used once it is written: of a tensor it is the same memory.
        decouples: whether weight decay shrinks the weights and leaves the gradient alone.
        without_momentum: a shorter rule for models that all have a momentum of zero.
    """

    words: str
    constants: Callable[..., Any]
    step: Callable[..., None]
    decouples: bool = False
    without_momentum: "Rule | None" = None


@dataclass(frozen=True)
class Penalty:
    """What a penalty on weights does in a step.

    Attributes:
        add: ``(i, weights, grads, strength)``: adds its gradient to ``grads[i]``.
        in_loss: whether it is a part of the loss, whose gradient is clipped.
        shrink: ``(i, weights, strength, lr, real)``: changes ``weights[i]`` instead, for optimizers
            that decouple it.
    """

    add: Callable[..., None]
    in_loss: bool
    shrink: Callable[..., None] | None = None


def sqrt(x: Any) -> Any:
    """The square root; numbers in compiled code have another."""
    return x**0.5


def sign(x: Any) -> Any:
    """1, 0 or -1, and NaN of NaN; numbers in compiled code have another."""
    return x.sign()


def _plain_constants(real: Any, lr: Any, t: Any, momentum: Any, nesterov: Any) -> Any:
    return lr


def _plain(i: Any, parameters: Any, grads: Any, first: Any, second: Any, lr: Any) -> None:
    parameters[i] -= lr * grads[i]


def _sgd_constants(real: Any, lr: Any, t: Any, momentum: Any, nesterov: Any) -> Any:
    # Nesterov looks one step ahead: g + momentum * v, where plain momentum takes v.
    return lr, momentum, nesterov, real(1 - nesterov * (1 - momentum))


def _sgd(i: Any, parameters: Any, grads: Any, velocity: Any, second: Any, constants: Any) -> None:
    lr, momentum, of_grad, of_velocity = constants
    g = grads[i]
    v = momentum * velocity[i] + g
    velocity[i] = v
    parameters[i] -= lr * (of_grad * g + of_velocity * v)


def _adam_constants(real: Any, lr: Any, t: Any, momentum: Any, nesterov: Any) -> Any:
    # torch divides the root of the mean square by the correction, and adds epsilon then.
    correction = sqrt(1 - BETA2**t)
    betas = real(BETA1), real(1 - BETA1), real(BETA2), real(1 - BETA2)
    return (*betas, real(EPSILON * correction), real(lr * correction / (1 - BETA1**t)))


def _adam(i: Any, parameters: Any, grads: Any, mean: Any, square: Any, constants: Any) -> None:
    beta1, rest1, beta2, rest2, epsilon, rate = constants
    g = grads[i]
    m = beta1 * mean[i] + rest1 * g
    s = beta2 * square[i] + rest2 * g * g
    mean[i] = m
    square[i] = s
    parameters[i] -= rate * m / (sqrt(s) + epsilon)


def _rmsprop_constants(real: Any, lr: Any, t: Any, momentum: Any, nesterov: Any) -> Any:
    return lr, momentum, real(SMOOTHING), real(1 - SMOOTHING), real(EPSILON)


def _rmsprop(
    i: Any, parameters: Any, grads: Any, velocity: Any, square: Any, constants: Any
) -> None:
    lr, momentum, smoothing, rest, epsilon = constants
    g = grads[i]
    s = smoothing * square[i] + rest * g * g
    square[i] = s
    v = momentum * velocity[i] + g / (sqrt(s) + epsilon)
    velocity[i] = v
    parameters[i] -= lr * v


_PLAIN = Rule("SGD", _plain_constants, _plain)
_ADAM = Rule("Adam", _adam_constants, _adam)
OPTIMIZERS: dict[str, Rule] = {
    "sgd": Rule("SGD", _sgd_constants, _sgd, without_momentum=_PLAIN),
    "adam": _ADAM,
    "adamw": replace(_ADAM, words="AdamW", decouples=True),
    "rmsprop": Rule("RMSprop", _rmsprop_constants, _rmsprop),
}


def _l1(i: Any, weights: Any, grads: Any, strength: Any) -> None:
    grads[i] += strength * sign(weights[i])


def _decay(i: Any, weights: Any, grads: Any, strength: Any) -> None:
    grads[i] += strength * weights[i]


def _decoupled_decay(i: Any, weights: Any, strength: Any, lr: Any, real: Any) -> None:
    weights[i] *= real(1 - lr * strength)


PENALTIES: dict[str, Penalty] = {
    "l1": Penalty(_l1, in_loss=True),
    "weight_decay": Penalty(_decay, in_loss=False, shrink=_decoupled_decay),
}


class Configured(Protocol):
    """What of a `hw1.training.Configuration` decides the rule."""

    @property
    def optimizer(self) -> str:
        """A name in `OPTIMIZERS`."""

    @property
    def momentum(self) -> float:
        """Of optimizers that have one."""


def rule_of(configurations: Sequence[Configured]) -> Rule:
    """The rule of models that have the same optimizer."""
    rule = OPTIMIZERS[configurations[0].optimizer]
    if rule.without_momentum is None or any(c.momentum for c in configurations):
        return rule
    return rule.without_momentum
