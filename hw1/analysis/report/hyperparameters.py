"""What is searched, and what was found."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    json_to_distribution,
)

from hw1.definition import CONFIGURATIONS
from hw1.training.configuration import OPTIONS, words_of
from hw1.training.options import Group
from hw1.words import DASH, natural, range_text, value_text

AT_EDGE = 0.05
"""The part of a range, at either end, in which a value is at its edge."""
FEWEST = 10
_OF_MODELS = {"dropout": "regularization"}
"""The group of a hyperparameter of the architecture that other tables would show elsewhere."""
_KNOWN = {name: option.group for name, option in OPTIONS.items()} | _OF_MODELS


def _option_of(name: str) -> str:
    """The option that a hyperparameter sets, such as ``"lr"`` of ``"sgd_lr"``; empty if none."""
    return next((known for known in _KNOWN if name == known or name.endswith(f"_{known}")), "")


def table(columns: Sequence[Mapping[str, str]]) -> dict[str, list[tuple[str, list[str]]]]:
    """By its group, each hyperparameter of any column: what it is called, and its cells.

    In the order of the options; those of the architecture, which are none, by their names.
    """
    order = ["", *_KNOWN]
    known = {name: _option_of(name) for column in columns for name in column}
    found: dict[str, list[tuple[str, list[str]]]] = {group: [] for group in get_args(Group)}
    for name in sorted(known, key=lambda name: (order.index(known[name]), natural(name))):
        row = words_of(name), [column.get(name, DASH) for column in columns]
        found[_KNOWN.get(known[name], "architecture")].append(row)
    return {group: rows for group, rows in found.items() if rows}


def distributions(search_space: Mapping[str, str]) -> dict[str, list[BaseDistribution]]:
    """The distributions with which each hyperparameter was seen, as `Settings` keeps them."""
    found: dict[str, list[BaseDistribution]] = {}
    decoder = json.JSONDecoder()
    for name, text in search_space.items():
        end = 0
        while name != CONFIGURATIONS and end < len(text):
            _, after = decoder.raw_decode(text, end)
            found.setdefault(name, []).append(json_to_distribution(text[end:after]))
            end = after + 1
    return found


def distribution_text(distribution: BaseDistribution) -> str:
    """Choices, or a range and its scale."""
    if isinstance(distribution, CategoricalDistribution):
        return ", ".join(map(value_text, distribution.choices))
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high = distribution.low, distribution.high
    return range_text(low, high, log=distribution.log, step=distribution.step)


def at_edge(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a value is near an end of its range, unless that is zero; a choice never is."""
    if isinstance(distribution, CategoricalDistribution):
        return False
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    ends = [float(distribution.low), float(distribution.high), float(value)]
    if isinstance(distribution, IntDistribution) and ends[1] - ends[0] < FEWEST:
        return False  # of a few numbers each is near an end
    low, high, place = map(math.log, ends) if distribution.log else ends
    from_low = place - low if distribution.low else math.inf
    return high > low and min(from_low, high - place) <= AT_EDGE * (high - low)


def varied(cells: Sequence[Mapping[str, Any]]) -> tuple[dict[str, str], dict[str, str]]:
    """The values of a grid that it varies, and those that it holds, by hyperparameter."""
    values: dict[str, list[str]] = {}
    for cell in cells:
        for name, value in cell.items():
            if value_text(value) not in values.setdefault(words_of(name), []):
                values[words_of(name)].append(value_text(value))
    texts = {name: ", ".join(those) for name, those in values.items()}
    held = {name: text for name, text in texts.items() if len(values[name]) == 1}
    return {name: text for name, text in texts.items() if name not in held}, held


def constants(
    configurations: Sequence[Mapping[str, Any]], searched: Mapping[str, Any]
) -> dict[str, str]:
    """What of the training is the same in all configurations and at work, but not searched."""
    first = configurations[0] if configurations else {}
    known = {_option_of(name) for name in searched}
    return {
        words_of(name): value_text(value)
        for name, value in sorted(first.items())
        if name not in ("model", *searched, *known)
        and all(other.get(name) == value for other in configurations)
        and value not in (0, None, False)
    }
