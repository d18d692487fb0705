"""Numbers, counts and lists as words: what terminal, figures, pages and report write alike."""

import json
import math
import re
from collections.abc import Sequence
from typing import Any

DASH = "–"
SUPERSCRIPTS = str.maketrans("0123456789-−", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁻")


def number(value: float | None, digits: int = 4) -> str:
    """In so many significant digits, or all before the point; a dash for None and NaN.

    Below 10⁻⁴ and from a million on as a power of ten.
    """
    if value is None or math.isnan(value):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:.{digits}g}"
    if 1000 <= abs(float(text)) < 1e6:
        return fixed(value, 0)
    mantissa, _, exponent = text.partition("e")
    return mantissa.replace("-", "−") + (f" × {_power(exponent)}" if exponent else "")


def copyable(value: float | None) -> str:
    """As `number`, but as Python writes it, for a terminal: ``"8.014e-05"``."""
    if value is None or not math.isfinite(value):
        return number(value)
    text = f"{value:.4g}"
    return f"{value:.0f}" if 1000 <= abs(float(text)) < 1e6 else text


def fixed(value: float, decimals: int | None) -> str:
    """With so many decimal places; None for significant digits."""
    if decimals is None or not math.isfinite(value):
        return number(value)
    return f"{value:,.{decimals}f}".replace("-", "−")


def integer(n: int) -> str:
    """With a comma after thousands."""
    return fixed(n, 0)


def tick_label(value: float, step: float | None = None) -> str:
    """A number with as many decimals as ticks that far apart need.

    Args:
        value: the number.
        step: the distance between ticks; None for those of a log axis.
    """
    size = max(abs(value), step or 0.0)
    if value == 0:
        return "0"
    if size >= 1e6 or size < 1e-3:
        factor, _, exponent = f"{value:.2e}".partition("e")
        factor = factor.rstrip("0").rstrip(".").replace("-", "−")
        return _power(exponent) if factor == "1" else f"{factor}×{_power(exponent)}"
    if step is None:
        return fixed(value, 6).rstrip("0").rstrip(".")
    # The step may be 0.1 + 2e-17.
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    while decimals < 12 and abs(round(step, decimals) - step) > 1e-6 * step:
        decimals += 1
    return fixed(value, decimals)


def _power(exponent: str) -> str:
    return f"10{str(int(exponent)).translate(SUPERSCRIPTS)}"


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


def plus_minus(mean: float | None, spread: float | None) -> str:
    """A mean and its standard deviation, to the same place."""
    if mean is None or spread is None or not math.isfinite(spread):
        return number(mean)
    if spread < 1e-12 * abs(mean):  # what rounding leaves of equal scores
        spread = 0.0
    decimals = places(mean, spread)
    return f"{fixed(mean, decimals)} ± {fixed(spread, decimals)}"


def between(low: float, high: float, decimals: int | None = None) -> str:
    """A range or confidence interval, ``"0.1 to 0.2"``; a dash if an end is missing."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return DASH
    return f"{fixed(low, decimals)} to {fixed(high, decimals)}"


def p_value(p: float) -> str:
    """In two significant digits."""
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def duration(seconds: float) -> str:
    """``"12.3 s"``, ``"2 min 49 s"``, ``"7 h 30 min"``; a dash for NaN and infinity."""
    if not math.isfinite(seconds):
        return DASH
    if round(seconds) < 60:
        return f"{number(seconds, 3)} s"
    unit, units = (1, ("min", "s")) if round(seconds) < 3600 else (60, ("h", "min"))
    parts = zip(divmod(round(seconds / unit), 60), units, strict=True)
    return " ".join(f"{integer(n)} {name}" for n, name in parts if n)


def counted(n: int, thing: str, things: str | None = None) -> str:
    """``"1 fold"``, ``"3 folds"``, ``"2 classes"``; ``things`` is the plural if it is another."""
    plural = things or thing + ("es" if thing.endswith("s") else "s")
    return f"{integer(n)} {thing if n == 1 else plural}"


def listed(parts: Sequence[str], most: int | None = None, last: str = "and") -> str:
    """``"a, b and c"``; of more than ``most``, ``"a, b and 3 more"``."""
    if most is not None and len(parts) > most:
        parts = [*parts[: most - 1], f"{len(parts) - most + 1:,} more"]
    return f" {last} ".join(part for part in (", ".join(parts[:-1]), *parts[-1:]) if part)


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
    return str(value) if isinstance(value, int | str) else json.dumps(value)


def range_text(low: float, high: float, *, log: bool = False, step: float | None = None) -> str:
    """Where a hyperparameter is searched: ``"1 to 8, step 2"``, ``"0.001 to 0.1, log"``."""
    stepped = f", step {value_text(step)}" if step not in (None, 1) else ""
    return f"{value_text(low)} to {value_text(high)}" + (", log" if log else "") + stepped


def in_words(name: str) -> str:
    """A name in storage, such as that of a metric, as words."""
    return name.replace("_", " ")


def natural(name: str) -> list[tuple[bool, int, str]]:
    """The key by which names are sorted, with numbers in them by their size."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(p.isdigit(), int(p) if p.isdigit() else 0, p) for p in parts]
