"""A step of an optimizer for one model, in compiled code: `hw1.training.rules` over all numbers."""

from collections.abc import Sequence
from typing import Any

import numba
import numba.extending
import numpy as np

from hw1.training import rules
from hw1.training.configuration import Configuration
from hw1.training.kernels import OPTIONS, compiled, inlined
from hw1.training.rules import OPTIMIZERS, PENALTIES, Rule

# The columns of a model's settings, numbers of the parameters' type; behind them those of the
# penalties.
MOMENTUM, NESTEROV, MAX_GRAD_NORM, STRENGTHS = range(4)
RULES = list(OPTIMIZERS.values())


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
    return list(OPTIMIZERS).index(configuration.optimizer)


numba.extending.overload(rules.sqrt)(lambda x: lambda x: np.sqrt(x))


@numba.extending.overload(rules.sign, inline="always")
def _sign(x):  # type: ignore[no-untyped-def]
    # np.sign is a call for each element.
    one = numba.np.numpy_support.as_dtype(x).type(1)
    return lambda x: one if x > 0 else (-one if x < 0 else x)


@numba.extending.overload(rules.average, inline="always")
def _average(i, values, keep, share, new):  # type: ignore[no-untyped-def]
    def average(i, values, keep, share, new):  # type: ignore[no-untyped-def]
        value = keep * values[i] + share * new
        values[i] = value
        return value

    return average


@numba.extending.overload(rules.add_quotient, inline="always")
def _add_quotient(i, values, numerator, denominator):  # type: ignore[no-untyped-def]
    def add_quotient(i, values, numerator, denominator):  # type: ignore[no-untyped-def]
        values[i] += numerator / denominator

    return add_quotient


def _part(function: Any) -> Any:
    """A function of which `update` is made: its text becomes a part of that, as if it stood there.

    Compiled by themselves they would take several times as long, and round otherwise.
    """
    return numba.njit(inline="always", **OPTIONS)(function)


def _penalties(when: str, rule: Rule, start: int = 0) -> Any:
    """What applies the penalties of this time, one after another, those from ``start`` on."""
    every = list(PENALTIES.values())
    number = next((n for n in range(start, len(every)) if every[n].when == when), None)
    if number is None:
        return _part(lambda settings, parameters, grads, n_weights, lr: None)
    change, others = _part(every[number].of(rule)), _penalties(when, rule, number + 1)
    column = STRENGTHS + number

    def penalize(settings, parameters, grads, n_weights, lr):  # type: ignore[no-untyped-def]
        strength = settings[column]
        if strength > 0:
            for i in range(n_weights):
                change(i, parameters, grads, strength, lr, parameters.dtype.type)
        others(settings, parameters, grads, n_weights, lr)

    return _part(penalize)


def _step(rule: Rule) -> Any:
    """What takes a step with all parameters, with the penalties that are no part of the loss."""
    constants, step = _part(rule.constants), _part(rule.step)
    penalize = _penalties("before the step", rule)
    shrink = _penalties("after the step", rule)

    def go(  # type: ignore[no-untyped-def]
        settings, parameters, grads, first, second, n_weights, lr, t
    ):
        real, momentum, nesterov = parameters.dtype.type, settings[MOMENTUM], settings[NESTEROV]
        penalize(settings, parameters, grads, n_weights, lr)
        values = constants(real, lr, t, momentum, nesterov)
        for i in range(len(parameters)):
            step(i, parameters, grads, first, second, values)
        shrink(settings, parameters, grads, n_weights, lr)

    return numba.njit(**OPTIONS)(go)


def _choice(number: int) -> Any:
    """What takes a step by the rule with this number or a later one."""
    if number == len(RULES):
        return inlined(lambda kind, *state: None)
    go, others = _step(RULES[number]), _choice(number + 1)

    def choose(kind, *state):  # type: ignore[no-untyped-def]
        if kind == number:
            go(*state)
        else:
            others(kind, *state)

    return inlined(choose)


_penalize_loss, _go = _penalties("in the loss", RULES[0]), _choice(0)


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
    _go(kind, settings, parameters, grads, first, second, n_weights, lr, t)


@compiled
def follow(averages: np.ndarray, values: np.ndarray, share: float) -> None:
    """Move ``averages`` by this share, of their type, towards ``values``, in place."""
    rest = averages.dtype.type(1) - share
    for i in range(len(averages)):
        rules.average(i, averages, rest, share, values[i])


@compiled
def update_all(
    lr: np.ndarray,
    t: int,
    kinds: np.ndarray,
    settings: np.ndarray,
    parameters: np.ndarray,
    grads: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    n_weights: int,
) -> None:
    """`update` of each model, which is a row of the arrays; ``lr`` is a column."""
    for m in range(len(kinds)):
        update(
            kinds[m], settings[m], parameters[m], grads[m], first[m], second[m], n_weights,
            lr[m, 0], t,
        )  # fmt: skip
