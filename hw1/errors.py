"""The errors that are the user's to mend."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input: the message is one sentence that says what is wrong and what to do.

    The command line prints the message alone and exits with status 2. Every other exception is
    a programming error and keeps its traceback.
    """


class NoStorageError(InputError):
    """There is no storage yet where one was to be read."""


class ForeignStudyError(InputError):
    """A study that hw1 did not make."""


class ArchitectureError(InputError):
    """A network that cannot exist for its input, such as one that pools its last pixel away."""


def choose(kind: str, name: str, options: Iterable[str]) -> str:
    """Return ``name`` if it is one of ``options``.

    Raises:
        InputError: it is not; the message names the nearest option and all the others.
    """
    options = list(options)
    if name in options:
        return name
    nearest = difflib.get_close_matches(name.lower(), options, n=1)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    raise InputError(f"unknown {kind} {name!r}: {hint}choose one of {', '.join(options)}")
