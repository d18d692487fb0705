"""When a hyperparameter is suggested that not every configuration has."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from hw1.definition import PROBES, StudyDefinition
from hw1.words import in_words, value_text

MOST_PROBES = 1000
"""Random configurations that are looked at where the usual number leaves a condition open."""
LEAST = 10
"""How often each value of a parameter must have been drawn before it explains another one."""
UNEXPLAINED = "in some configurations"

Probe = tuple[Mapping[str, Any], Mapping[str, BaseDistribution]]
"""The parameters of a configuration and their distributions."""


def conditions(definition: StudyDefinition) -> dict[str, str]:
    """For each parameter that only some configurations have, which ones these are.

    ``"with optimizer sgd"`` means: with that value, and with no other. Where no parameter alone
    decides, it is `UNEXPLAINED`.
    """
    found: dict[str, str] = {}
    for n in (PROBES, MOST_PROBES):
        found = explained([(t.params, t.distributions) for t, _ in definition.probes(n)])
        if UNEXPLAINED not in found.values():
            break
    return found


def explained(probes: Sequence[Probe]) -> dict[str, str]:
    """See `conditions`; of these random configurations."""
    names = list(dict.fromkeys(name for params, _ in probes for name in params))
    always = {name for name in names if all(name in params for params, _ in probes)}
    values = {name: _values(name, probes) for name in names}
    choices = {n for n in names for _, d in probes if isinstance(d.get(n), CategoricalDistribution)}
    # Of several that explain a parameter one is named: a choice before a number, and what every
    # configuration has before what is a condition itself.
    first = sorted(names, key=lambda name: (name not in choices, name not in always))
    found = {}
    for name in names:
        if name not in always:
            texts = (_condition(name, other, values[other], probes) for other in first)
            found[name] = next(filter(None, texts), UNEXPLAINED)
    return found


def _values(name: str, probes: Sequence[Probe]) -> list[str]:
    """All values of a parameter; none if it has fractions, or one was drawn too seldom."""
    values: list[str] = []
    for distribution in {d[name] for _, d in probes if name in d}:
        match distribution:
            case CategoricalDistribution():
                values += map(value_text, distribution.choices)
            case IntDistribution() if distribution.high - distribution.low < len(probes):
                low, high, step = distribution.low, distribution.high, distribution.step
                values += map(value_text, range(low, high + 1, step))
            case _:
                return []
    drawn = Counter(value_text(params[name]) for params, _ in probes if name in params)
    return list(dict.fromkeys(values)) if min(drawn[v] for v in values) >= LEAST else []


def _condition(name: str, other: str, values: Sequence[str], probes: Sequence[Probe]) -> str:
    """The values of ``other`` with which a parameter is there; empty if they don't decide."""
    there, elsewhere = (
        {value_text(p[other]) if other in p else None for p, _ in probes if (name in p) == having}
        for having in (True, False)
    )
    decides = name != other and not there & elsewhere and None not in there
    # With all of its values, it is suggested under the same condition itself.
    if not decides or there >= set(values):
        return ""
    *first, last = [value for value in values if value in there]
    return f"with {in_words(other)} {', '.join(first)}{' or ' if first else ''}{last}"
