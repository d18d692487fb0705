"""A step of an optimizer for one model, in compiled code: `hw1.training.rules` over all numbers."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numba
import numba.extending
import numpy as np

from hw1.training import rules
from hw1.training.configuration import Configuration
from hw1.training.kernels import OPTIONS, compiled
from hw1.training.rules import OPTIMIZERS, PENALTIES, rule_of

# The columns of a model's settings, numbers of the parameters' type; behind them those of the
# penalties.
MOMENTUM, NESTEROV, MAX_GRAD_NORM, STRENGTHS = range(4)
RULES = [r for rule in OPTIMIZERS.values() for r in (rule, rule.without_momentum) if r]
DECOUPLES = np.array([rule.decouples for rule in RULES])


def settings(configurations: Sequence[Configuration], dtype: Any) -> np.ndarray:
    """What `update` is to know of each model, ``(n_models, 3 + n_penalties)``."""
    return np.array(
        [
            (c.momentum, c.nesterov, c.max_grad_norm or np.inf, *(getattr(c, p) for p in PENALTIES))
            for c in configurations
        ],
        dtype,
    )


def kind(configuration: Configuration) -> int:
    """The number of the rule by which `update` changes a model."""
    return RULES.index(rule_of([configuration]))


numba.extending.overload(rules.sqrt)(lambda x: lambda x: np.sqrt(x))
numba.extending.overload(rules.sign)(lambda x: lambda x: np.sign(x))


def _part(function: Any) -> Any:
    """A function of which `update` is made: its text becomes a part of that, as if it stood there.

    Compiled by themselves they would take several times as long, and round otherwise.
    """
    return numba.njit(inline="always", **OPTIONS)(function)


def _penalties(names: Sequence[str], decouples: bool) -> Any:
    """What applies these penalties, one after another."""
    if not names:
        return _part(lambda settings, parameters, grads, n_weights, lr: None)
    penalty, others = PENALTIES[names[0]], _penalties(names[1:], decouples)
    column = STRENGTHS + list(PENALTIES).index(names[0])
    add, shrink = _part(penalty.add), _part(penalty.shrink or penalty.add)

    def to_gradients(settings, parameters, grads, n_weights, lr):  # type: ignore[no-untyped-def]
        strength = settings[column]
        if strength > 0:
            for i in range(n_weights):
                add(i, parameters, grads, strength)
        others(settings, parameters, grads, n_weights, lr)

    def to_weights(settings, parameters, grads, n_weights, lr):  # type: ignore[no-untyped-def]
        strength = settings[column]
        if strength > 0:
            for i in range(n_weights):
                shrink(i, parameters, strength, lr, parameters.dtype.type)
        others(settings, parameters, grads, n_weights, lr)

    return _part(to_weights if decouples and penalty.shrink else to_gradients)


@lru_cache
def _pass(constants: Any, step: Any) -> Any:
    """What takes a step with all parameters."""
    of_step, of_element = _part(constants), _part(step)

    def go(settings, parameters, grads, first, second, lr, t):  # type: ignore[no-untyped-def]
        real, momentum, nesterov = parameters.dtype.type, settings[MOMENTUM], settings[NESTEROV]
        values = of_step(real, lr, t, momentum, nesterov)
        for i in range(len(parameters)):
            of_element(i, parameters, grads, first, second, values)

    return numba.njit(**OPTIONS)(go)


def _choice(number: int) -> Any:
    """What takes a step by the rule with this number or a later one."""
    if number == len(RULES):
        return _part(lambda kind, settings, parameters, grads, first, second, lr, t: None)
    rule, others = RULES[number], _choice(number + 1)
    go = _pass(rule.constants, rule.step)

    def choose(  # type: ignore[no-untyped-def]
        kind, settings, parameters, grads, first, second, lr, t
    ):
        if kind == number:
            go(settings, parameters, grads, first, second, lr, t)
        else:
            others(kind, settings, parameters, grads, first, second, lr, t)

    return _part(choose)


_penalize_loss = _penalties([n for n, p in PENALTIES.items() if p.in_loss], decouples=False)
_penalize, _penalize_decoupled = (
    _penalties([n for n, p in PENALTIES.items() if not p.in_loss], decouples)
    for decouples in (False, True)
)
_go = _choice(0)


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
    """Change ``parameters`` and what is kept beside them in place.

    Args:
        kind: the number of the rule, as the function `kind` gives it.
        settings: a row of what the function `settings` gives.
        parameters: ``(n_parameters,)``, the weights first.
        grads: of the loss without penalties; overwritten.
        first, second: what the rule keeps from step to step, ``(n_parameters,)``.
        n_weights: penalties act on that many parameters, the first ones.
        lr: the learning rate, of the parameters' type.
        t: the number of the step, from 1.
    """
    _penalize_loss(settings, parameters, grads, n_weights, lr)
    if settings[MAX_GRAD_NORM] < np.inf:
        # The norm is that of the whole gradient, of which L1 is a part.
        total = 0.0
        for i in range(len(parameters)):
            total += grads[i] * grads[i]
        scale = settings[MAX_GRAD_NORM] / (np.sqrt(total) + 1e-6)
        if not scale >= 1:  # a norm that is no number makes none of the gradient
            for i in range(len(parameters)):
                grads[i] *= parameters.dtype.type(scale)
    if DECOUPLES[kind]:
        _penalize_decoupled(settings, parameters, grads, n_weights, lr)
    else:
        _penalize(settings, parameters, grads, n_weights, lr)
    _go(kind, settings, parameters, grads, first, second, lr, t)
