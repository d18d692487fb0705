"""Figures as JSON and back. A file may be anybody's: it becomes marks, and nothing in it is run."""

import base64
import types
import typing
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from hw1.analysis.figures import marks
from hw1.analysis.figures.marks import Figure

_KINDS: dict[str, type] = {
    kind.__name__: kind
    for kind in (*typing.get_args(marks.Mark), marks.ColorScale, marks.Axis, marks.Panel, Figure)
}
_NUMBERS = ("<f8", "<f4", "<i8", "<i4", "<i2", "|i1", "|u1")
"""The kinds of numbers that an array may have."""
_NAME = "kind"


def to_json(thing: Any) -> Any:
    """A figure, or a part of one, as JSON has it; arrays as the base64 of their bytes."""
    if is_dataclass(thing) and not isinstance(thing, type):
        values = {field.name: to_json(getattr(thing, field.name)) for field in fields(thing)}
        return {_NAME: type(thing).__name__, **values}
    if isinstance(thing, np.ndarray):
        array = np.ascontiguousarray(thing).astype(thing.dtype.newbyteorder("<"), copy=False)
        data = base64.b64encode(array.tobytes()).decode()
        return {"dtype": array.dtype.str, "shape": list(array.shape), "data": data}
    if isinstance(thing, np.generic):
        return thing.item()
    if isinstance(thing, Sequence) and not isinstance(thing, str):
        return [to_json(value) for value in thing]
    return thing


def from_json(thing: Any) -> Figure:
    """The figure that `to_json` has written.

    Raises:
        ValueError: it is none.
    """
    figure = _read(thing)
    if not isinstance(figure, Figure) or not figure.name.isidentifier():
        raise ValueError("this is no figure")
    return figure


def _read(thing: Any) -> Any:
    if isinstance(thing, list):
        return tuple(_read(value) for value in thing)
    if not isinstance(thing, dict):
        return thing
    if _NAME not in thing:
        return _array(thing)
    kind = _KINDS.get(thing[_NAME])
    if kind is None:
        raise ValueError(f"{thing[_NAME]!r} is no mark")
    hints = _hints(kind)
    if set(thing) != {_NAME, *hints}:
        raise ValueError(f"{kind.__name__} has other attributes")
    values = {name: _read(thing[name]) for name in hints}
    for name, hint in hints.items():
        if not _fits(values[name], hint):
            raise ValueError(f"{kind.__name__}.{name} is something else")
    return kind(**values)


@lru_cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _array(thing: dict[str, Any]) -> np.ndarray:
    if set(thing) != {"dtype", "shape", "data"} or thing["dtype"] not in _NUMBERS:
        raise ValueError("this is no array")
    data = base64.b64decode(thing["data"], validate=True)
    return np.frombuffer(data, thing["dtype"]).reshape(thing["shape"])


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type, as far as marks use such types."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in arguments)
    if origin is Literal:
        return value in arguments
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            arguments = arguments[:1] * len(value) if isinstance(value, tuple) else ()
        return (
            isinstance(value, tuple)
            and len(value) == len(arguments)
            and all(map(_fits, value, arguments))
        )
    if origin is Sequence:
        return isinstance(value, tuple) and all(_fits(one, arguments[0]) for one in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin or hint)
