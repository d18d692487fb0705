"""The spans that the sentences of a report are made of."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from hw1.words import in_words, natural, range_text, value_text

MOST_NAMES = 5
"""Names of studies that a sentence lists."""
LONGEST_NAME = 36
"""Characters of a study's name in a sentence; tables have it in full."""


@dataclass(frozen=True)
class Code:
    """What is typed, or is called so in storage."""

    text: str


@dataclass(frozen=True)
class Strong:
    """Words that stand out."""

    text: str


@dataclass(frozen=True)
class Faint:
    """Words that stand back."""

    text: str


@dataclass(frozen=True)
class Ref:
    """A table or a figure, by its key; it becomes "Table 2"."""

    key: str


Span = str | Code | Strong | Faint | Ref
Text = tuple[Span, ...]
"""A sentence, or several."""


def line(*parts: "Span | Text") -> Text:
    """One text of several parts."""
    return tuple(s for part in parts for s in (part if isinstance(part, tuple) else (part,)))


def clean(text: str) -> str:
    """Text in one line, without characters that a page cannot show or that change its direction."""
    return "".join(" " if c.isspace() else "\ufffd" if _unprintable(c) else c for c in text)


def _unprintable(character: str) -> bool:
    category, number = unicodedata.category(character), ord(character)
    directs = number in (0x061C, 0x200E, 0x200F) or 0x202A <= number <= 0x202E
    isolates = 0x2066 <= number <= 0x2069
    no_character = 0xFDD0 <= number <= 0xFDEF or number & 0xFFFE == 0xFFFE
    return category in ("Cc", "Cs") or directs or isolates or no_character


def shortened(name: str, longest: int = LONGEST_NAME) -> str:
    """A name, without its middle if it is long."""
    if len(name) <= longest:
        return name
    half = (longest - 1) // 2
    return f"{name[:half]}…{name[-half:]}"


def listed(parts: Sequence[str | Text], most: int | None = None, last: str = "and") -> Text:
    """``"a, b and c"``; of more than ``most``, ``"a, b and 3 more"``."""
    texts = [part if isinstance(part, tuple) else (part,) for part in parts]
    if most is not None and len(texts) > most:
        texts = [*texts[: most - 1], (f"{len(texts) - most + 1} more",)]
    if len(texts) < 2:
        return texts[0] if texts else ()
    found: list[Span] = []
    for i, text in enumerate(texts):
        if i:
            found.append(f" {last} " if i == len(texts) - 1 else ", ")
        found += text
    return tuple(found)


def named(names: Sequence[str], most: int = MOST_NAMES) -> Text:
    """Names of studies in a sentence."""
    return listed([(Code(shortened(name)),) for name in names], most)


def values_text(values: Sequence[Any]) -> str:
    """Several hyperparameters' values."""
    return ", ".join(map(value_text, values))


def distribution_text(distribution: BaseDistribution) -> str:
    """Choices, or a range and its scale."""
    if isinstance(distribution, IntDistribution | FloatDistribution):
        return range_text(
            distribution.low, distribution.high, log=distribution.log, step=distribution.step
        )
    assert isinstance(distribution, CategoricalDistribution)
    return values_text(distribution.choices)


def params_text(params: Mapping[str, Any]) -> Text:
    """All hyperparameters of a trial."""
    names = sorted(params, key=natural)
    return joined(
        [line(Faint(f"{in_words(name)} "), value_text(params[name])) for name in names], "; "
    )


def joined(parts: Sequence[Text], between: str) -> Text:
    """Several texts as one."""
    return tuple(
        span for i, part in enumerate(parts) for span in (*([between] if i else []), *part)
    )
