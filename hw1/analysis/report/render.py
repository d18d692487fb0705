"""The Markdown of a report: its template, filled with facts."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import PackageLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment
from markupsafe import Markup
from optuna.trial import FrozenTrial, TrialState

from hw1 import words
from hw1.analysis.ablation import difference_texts, findings
from hw1.analysis.report.hyperparameters import table, varied
from hw1.analysis.standings import left_out, standings, verdict
from hw1.analysis.statistics import Estimate
from hw1.analysis.text import heavy_tails, interval
from hw1.analysis.variants import group_words
from hw1.errors import CONTROLS
from hw1.study import state_name

TEMPLATE = "report.md.jinja"
LONGEST_NAME = 36
"""Characters of a study's name in a sentence; tables have it in full."""
_OF_JINJA = ["batch", "capitalize", "first", "groupby", "length", "list", "map", "rejectattr"]
_OF_JINJA += ["selectattr", "sum", "unique"]
MOST_NAMES = 5
"""Names of studies that a sentence lists."""


def render(facts: Mapping[str, Any]) -> str:
    """The report as Markdown; see `hw1.analysis.report.document`.

    Whatever the template takes from the facts is text: no character of it is Markdown.
    """
    return environment().get_template(TEMPLATE).render(facts)


def environment() -> SandboxedEnvironment:
    """Jinja2 with the filters below alone, where every value that is printed is escaped."""
    found = SandboxedEnvironment(
        loader=PackageLoader("hw1.analysis.report", "."),
        undefined=StrictUndefined,
        autoescape=True,
        finalize=escaped,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters = {name: found.filters[name] for name in _OF_JINJA} | FILTERS
    found.globals = {"range": range, "table": table, "varied": varied, "heavy_tails": heavy_tails}
    found.globals |= {"standings": standings, "verdict": verdict, "left_out": left_out}
    found.globals |= {"findings": findings, "difference_texts": difference_texts}
    found.globals |= {"group_words": group_words}
    return found


def clean(text: str) -> str:
    """Text in one line, without characters that a page cannot show or that change its direction."""
    return "".join(" " if c.isspace() else "\ufffd" if _unprintable(c) else c for c in text)


def _unprintable(character: str) -> bool:
    number = ord(character)
    no_character = 0xFDD0 <= number <= 0xFDEF or number & 0xFFFE == 0xFFFE
    directs = character in "\u061c\u200e\u200f"
    return no_character or directs or CONTROLS.match(character) is not None


def escaped(value: object) -> Markup:
    """A value as Markdown that shows it.

    Marks of Markdown, and what could begin a list or a block of code at the start of a line, become
    character references, which are no markup wherever they stand.
    """
    if isinstance(value, Markup):
        return value
    return Markup(re.sub(r"^.|[]\\`*_{}[<>&|~$!^=#\"@]", _reference, clean(str(value))))


def _reference(found: re.Match[str]) -> str:
    return found[0] if found[0].isalpha() else f"&#{ord(found[0])};"


def code(value: object) -> Markup:
    """What is typed, or is called so in storage."""
    return Markup(f"`{escaped(value) or '&#32;'}`")


def name(value: str) -> Markup:
    """The name of a study in a sentence, without its middle if it is long."""
    half = (LONGEST_NAME - 1) // 2
    return code(value if len(value) <= LONGEST_NAME else f"{value[:half]}…{value[-half:]}")


def listed(parts: Sequence[object], most: int | None = None) -> Markup:
    """``"a, b and c"``; of more than ``most``, ``"a, b and 3 more"``."""
    return Markup(words.listed([escaped(part) for part in parts], most))


def names(studies: Sequence[Any], most: int = MOST_NAMES) -> Markup:
    """The names of studies in a sentence."""
    return listed([name(getattr(study, "name", study)) for study in studies], most)


def mean(found: Estimate) -> str:
    """A mean and its standard deviation."""
    if found.mean != found.mean:
        return "diverged"
    return words.plus_minus(found.mean, found.std)


def scores(values: Sequence[float | None], found: Estimate | None = None) -> str:
    """The scores of networks, to the decimal places of their mean."""
    decimals = words.places(found.mean, found.std) if found is not None else None
    return ", ".join("diverged" if v is None else words.fixed(v, decimals) for v in values)


def completed_value(trial: FrozenTrial) -> float | None:
    """The objective value of a completed trial; None for others."""
    return float(trial.values[0]) if trial.state == TrialState.COMPLETE else None


def or_dash(form: Callable[..., str]) -> Callable[..., str]:
    """The same, and a dash for what is not there."""
    return lambda value, *more: words.DASH if value is None else form(value, *more)


FILTERS = {
    "between": words.between,
    "code": code,
    "completed_value": completed_value,
    "counted": words.counted,
    "duration": or_dash(words.duration),
    "filename": lambda path: Path(path).name,
    "fixed": words.fixed,
    "in_words": words.in_words,
    "integer": or_dash(words.integer),
    "interval": interval,
    "listed": listed,
    "mean": mean,
    "name": name,
    "names": names,
    "number": words.number,
    "p_value": words.p_value,
    "plus_minus": words.plus_minus,
    "scores": scores,
    "state": state_name,
    "texts": lambda params: {
        name: words.value_text(params[name]) for name in sorted(params, key=words.natural)
    },
    "uncapitalized": lambda text: text[:1].lower() + text[1:],
}
