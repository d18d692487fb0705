"""What a field of a configuration says of itself: its words, its group and its range."""

import dataclasses
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hw1.errors import InputError, choose

Group = Literal["architecture", "optimization", "regularization", "augmentation"]
_BOUNDS = {
    "gt": (operator.gt, "above"),
    "ge": (operator.ge, "at least"),
    "lt": (operator.lt, "below"),
    "le": (operator.le, "at most"),
}


@dataclass(frozen=True)
class Option:
    """What is known of a field; the range is checked, and read by reports.

    Attributes:
        words: what it is called in a sentence.
        group: the heading under which tables show it.
        choices: the names that it may be; none where it is no name.
        later: whether studies were stored before there was this field. What is stored leaves it
            out while it has its default, so that their search space is still the same.
        gt, ge, lt, le: greater than, greater or equal, less than, less or equal.
    """

    words: str
    group: Group
    choices: Sequence[str] = ()
    later: bool = False
    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None

    def check(self, name: str, value: Any) -> None:
        """Raise an `InputError` that names the field if ``value`` is outside its range."""
        if self.choices:
            choose(name, value, self.choices)
        for key, (holds, words) in _BOUNDS.items():
            bound = getattr(self, key)
            if bound is not None and not holds(value, bound):
                raise InputError(f"{name} = {value!r} must be {words} {bound}")


def option(default: Any, words: str, group: Group, **limits: Any) -> Any:
    """A field of a dataclass with this default; see `Option`. A default of None may be given."""
    known = {"option": Option(words, group, **limits)}
    if isinstance(default, type):
        return dataclasses.field(default_factory=default, metadata=known)
    return dataclasses.field(default=default, metadata=known)


def options_of(owner: Any) -> dict[str, Option]:
    """The options of a dataclass or of an instance of it, by the names of their fields."""
    return {field.name: field.metadata["option"] for field in dataclasses.fields(owner)}


def stored(values: Any) -> dict[str, Any]:
    """The fields of an instance that are to be stored; see `Option.later`."""
    found = dataclasses.asdict(values)
    for field in dataclasses.fields(values):
        if field.metadata["option"].later and found[field.name] == field.default:
            del found[field.name]
    return found


def check_options(values: Any) -> None:
    """Check every field of an instance.

    Raises:
        InputError: a value is out of its range or not one of the names.
    """
    for field in dataclasses.fields(values):
        value = getattr(values, field.name)
        if value is not None or field.default is not None:
            field.metadata["option"].check(field.name, value)
