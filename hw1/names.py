"""Names of studies: which ones there can be and are, and which belong together."""

import re
from collections.abc import Sequence

from hw1.errors import InputError, choose
from hw1.optuna_store.storage import Storage


def check_name(name: str) -> None:
    """Raise an `InputError` unless a study can have this name."""
    if not name.isprintable() or name.startswith("-") or not 0 < len(name) <= 100:
        raise InputError(
            "a study's --name has 1 to 100 printable characters and does not begin with a dash"
        )


def require_study(storage: Storage, name: str) -> None:
    """Raise an `InputError` that names the nearest one if there is no study of that name."""
    names = storage.study_names()
    if not names:
        raise InputError(f"there is no study {name!r}: the storage holds none yet, run one first")
    choose("study", name, names)


def require_different(names: Sequence[str]) -> None:
    """Raise an `InputError` unless these are two names or more, no two alike."""
    if len(set(names)) < max(len(names), 2):
        raise InputError("name two or more different studies to compare")


def outer_name(name: str, fold: int, n_outer: int, n_inner: int) -> str:
    """The name of the search outside a fold of a nested cross-validation of study ``name``."""
    return f"{name}-outer{fold + 1}of{n_outer}x{n_inner}"


def searches_within(storage: Storage, name: str) -> list[str]:
    """The names of the searches within nested cross-validations of a study."""
    pattern = re.compile(re.escape(name) + r"-outer\d+of\d+x\d+")
    return [other for other in storage.study_names() if pattern.fullmatch(other)]
