"""Words and numbers of a report, and the spans that its sentences are made of."""

import json
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from hw1.analysis.figures.ticks import SUPERSCRIPTS

DASH = "–"
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


def counted(n: int, thing: str, things: str | None = None) -> str:
    """``"1 fold"``, ``"3 folds"``."""
    return f"{integer(n)} {thing if n == 1 else things or thing + 's'}"


def integer(n: int) -> str:
    """With a comma after thousands."""
    return f"{n:,}".replace("-", "−")


def number(value: float | None, digits: int = 4) -> str:
    """In so many significant digits; a dash for None and for what is no number."""
    if value is None or math.isnan(value):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    mantissa, _, exponent = f"{value:.{digits}g}".partition("e")
    power = " × 10" + str(int(exponent)).translate(SUPERSCRIPTS) if exponent else ""
    return mantissa.replace("-", "−") + power


def places(mean: float, spread: float) -> int | None:
    """Decimal places for a mean and its standard deviation.

    Two significant digits of the standard deviation, and three of the mean; None where both are
    better given in powers of ten.
    """
    if not (math.isfinite(mean) and math.isfinite(spread)) or spread <= 0:
        return None
    of_spread = 1 - math.floor(math.log10(float(f"{spread:.1e}")))
    of_mean = 2 - math.floor(math.log10(abs(mean))) if mean else 0
    wanted = max(of_spread, of_mean, 0)
    return wanted if wanted <= 6 and abs(mean) < 1e6 else None


def fixed(value: float, decimals: int | None) -> str:
    """With so many decimal places; None for significant digits."""
    if decimals is None or not math.isfinite(value):
        return number(value)
    return f"{value:.{decimals}f}".replace("-", "−")


def plus_minus(mean: float | None, spread: float | None) -> str:
    """A mean and its standard deviation, to the same place."""
    if mean is None or spread is None or not math.isfinite(spread):
        return number(mean)
    decimals = places(mean, spread)
    return f"{fixed(mean, decimals)} ± {fixed(spread, decimals)}"


def between(low: float, high: float, decimals: int | None) -> str:
    """An interval."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return DASH
    return f"{fixed(low, decimals)} to {fixed(high, decimals)}"


def p_value(p: float) -> str:
    """A probability."""
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def duration(seconds: float) -> str:
    """In the unit that suits it."""
    for most, unit, size in ((100, "s", 1), (6000, "min", 60), (math.inf, "h", 3600)):
        if seconds < most:
            return f"{number(seconds / size, 3)} {unit}"
    return DASH


def value_text(value: Any) -> str:
    """A hyperparameter's value."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list | tuple):
        return " – ".join(map(value_text, value)) if value else "none"
    return clean(str(value) if isinstance(value, int | str) else json.dumps(value))


def values_text(values: Sequence[Any]) -> str:
    """Several of them."""
    return ", ".join(map(value_text, values))


def distribution_text(distribution: BaseDistribution) -> str:
    """Choices, or a range and its scale."""
    if isinstance(distribution, CategoricalDistribution):
        return values_text(distribution.choices)
    low, high = (value_text(getattr(distribution, end)) for end in ("low", "high"))
    step = getattr(distribution, "step", None)
    stepped = f", step {value_text(step)}" if step not in (None, 1) else ""
    return f"{low} to {high}" + (", log" if getattr(distribution, "log", False) else "") + stepped


def params_text(params: Mapping[str, Any]) -> Text:
    """All hyperparameters of a trial."""
    names = sorted(params, key=natural)
    return joined(
        [line(Faint(f"{words(name)} "), value_text(params[name])) for name in names], "; "
    )


def joined(parts: Sequence[Text], between: str) -> Text:
    """Several texts as one."""
    return tuple(
        span for i, part in enumerate(parts) for span in (*([between] if i else []), *part)
    )


def natural(name: str) -> list[tuple[bool, int, str]]:
    """The key by which names are sorted, with numbers in them by their size."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(p.isdigit(), int(p) if p.isdigit() else 0, p) for p in parts]


def words(name: str) -> str:
    """A name in storage as words."""
    return name.replace("_", " ")
