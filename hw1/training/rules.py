"""The formulas of the optimizers and of the penalties on weights, each once.

They are those of ``torch.optim`` with its defaults: betas 0.9 and 0.999, RMSprop's smoothing 0.99,
epsilon 1e-8. A formula is arithmetic on the elements ``[i]`` of arrays: compiled code goes through
them one after another (`hw1.training.update`), and for tensors ``i`` is ``...``, so that the same
function changes all of them at once (`hw1.training.optimizers`). Beside operators there are
`sqrt`, `sign`, and `average` and `add_quotient`, each of which is one pass over a tensor's memory
where operators would take three. As they stand here they are for tensors.

A new optimizer is an entry of `OPTIMIZERS`; a new penalty is one of `PENALTIES` and a field of
`Configuration` with the same name.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

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
        without_momentum: a shorter ``step`` for tensors of models without a momentum.
    """

    words: str
    constants: Callable[..., Any]
    step: Callable[..., None]
    decouples: bool = False
    without_momentum: Callable[..., None] | None = None


@dataclass(frozen=True)
class Penalty:
    """What a penalty on weights does in a step.

    Attributes:
        add: ``(i, weights, grads, strength, lr, real)``: adds its gradient to ``grads[i]``; of a
            proximal penalty, changes ``weights[i]``.
        decoupled: changes ``weights[i]`` instead, for optimizers that decouple it; None for a
            penalty that is a part of the loss, whose gradient is clipped.
        proximal: whether it acts after the optimizer's step, and has no gradient.
    """

    add: Callable[..., None]
    decoupled: Callable[..., None] | None = None
    proximal: bool = False

    @property
    def when(self) -> Literal["in the loss", "before the step", "after the step"]:
        """At which time it acts."""
        if self.proximal:
            return "after the step"
        return "in the loss" if self.decoupled is None else "before the step"

    def of(self, rule: Rule) -> Callable[..., None]:
        """What it does beside an optimizer."""
        return (rule.decouples and self.decoupled) or self.add


def sqrt(x: Any) -> Any:
    """The square root."""
    return x.sqrt()


def sign(x: Any) -> Any:
    """1, 0 or -1, and NaN of NaN."""
    return x.sign()


def average(i: Any, values: Any, keep: Any, share: Any, new: Any) -> Any:
    """Set ``values[i]`` to ``keep * values[i] + share * new``, where keep + share = 1."""
    return values.lerp_(new, share)


def add_quotient(i: Any, values: Any, numerator: Any, denominator: Any) -> None:
    """Add a quotient to ``values[i]``."""
    values.addcdiv_(numerator, denominator)


def _sgd_constants(real: Any, lr: Any, t: Any, momentum: Any, nesterov: Any) -> Any:
    # Nesterov looks one step ahead: g + momentum * v, where plain momentum takes v.
    return lr, momentum, nesterov, real(1 - nesterov * (1 - momentum))


def _sgd(i: Any, parameters: Any, grads: Any, velocity: Any, second: Any, constants: Any) -> None:
    lr, momentum, of_grad, of_velocity = constants
    g = grads[i]
    velocity[i] *= momentum
    velocity[i] += g
    parameters[i] -= lr * (of_grad * g + of_velocity * velocity[i])


def _plain(i: Any, parameters: Any, grads: Any, velocity: Any, second: Any, constants: Any) -> None:
    parameters[i] -= constants[0] * grads[i]


def _adam_constants(real: Any, lr: Any, t: Any, momentum: Any, nesterov: Any) -> Any:
    # torch divides the root of the mean square by the correction, and adds epsilon then.
    correction = (1 - BETA2**t) ** 0.5
    betas = real(BETA1), real(1 - BETA1), real(BETA2), real(1 - BETA2)
    return (*betas, real(EPSILON * correction), real(lr * -correction / (1 - BETA1**t)))


def _adam(i: Any, parameters: Any, grads: Any, mean: Any, square: Any, constants: Any) -> None:
    beta1, rest1, beta2, rest2, epsilon, minus_rate = constants
    g = grads[i]
    m = average(i, mean, beta1, rest1, g)
    s = average(i, square, beta2, rest2, g * g)
    add_quotient(i, parameters, minus_rate * m, sqrt(s) + epsilon)


def _rmsprop_constants(real: Any, lr: Any, t: Any, momentum: Any, nesterov: Any) -> Any:
    return lr, momentum, real(SMOOTHING), real(1 - SMOOTHING), real(EPSILON)


def _rmsprop(
    i: Any, parameters: Any, grads: Any, velocity: Any, square: Any, constants: Any
) -> None:
    lr, momentum, smoothing, rest, epsilon = constants
    g = grads[i]
    s = average(i, square, smoothing, rest, g * g)
    velocity[i] *= momentum
    add_quotient(i, velocity, g, sqrt(s) + epsilon)
    parameters[i] -= lr * velocity[i]


_ADAM = Rule("Adam", _adam_constants, _adam)
OPTIMIZERS: dict[str, Rule] = {
    "sgd": Rule("SGD", _sgd_constants, _sgd, without_momentum=_plain),
    "adam": _ADAM,
    "adamw": replace(_ADAM, words="AdamW", decouples=True),
    "rmsprop": Rule("RMSprop", _rmsprop_constants, _rmsprop),
}


def _l1(i: Any, weights: Any, grads: Any, strength: Any, lr: Any, real: Any) -> None:
    grads[i] += strength * sign(weights[i])


def _decay(i: Any, weights: Any, grads: Any, strength: Any, lr: Any, real: Any) -> None:
    grads[i] += strength * weights[i]


def _decoupled_decay(i: Any, weights: Any, grads: Any, strength: Any, lr: Any, real: Any) -> None:
    weights[i] *= real(1 - lr * strength)


def _shrink(i: Any, weights: Any, grads: Any, strength: Any, lr: Any, real: Any) -> None:
    # Soft thresholding (Daubechies et al., 2004, https://arxiv.org/abs/math/0307152).
    w = weights[i]
    weights[i] = (w - lr * strength * sign(w)) * real(abs(w) > lr * strength)


PENALTIES: dict[str, Penalty] = {
    "l1": Penalty(_l1),
    "weight_decay": Penalty(_decay, _decoupled_decay),
    "l1_proximal": Penalty(_shrink, proximal=True),
}
