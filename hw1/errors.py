"""The errors that are the user's to mend, and text that is harmless on a terminal."""

import difflib
import inspect
import re
import stat
import sysconfig
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

# Line and paragraph separators too, and halves of characters, which cannot be written.
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a terminal obeys instead of showing it, or what turns the direction of writing."""


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
    """A network that is invalid for its input, such as one that pools its last pixel away."""


@contextmanager
def users_code(code: object, passing: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Runs code that the user wrote: what it raises becomes one line that names the line at fault.

    Frames of hw1 and of libraries say nothing to whoever wrote that code. An exception that has
    passed through none of the user's lines, and whose ``code`` is not the user's, stays as it is.

    Args:
        code: the function that is called, or the path of the file that is run.
        passing: exceptions that mean something to the caller.

    Raises:
        InputError: ``path:line: ErrorType: message``, the lines that led there, and what to do.
    """
    try:
        yield
    except passing:
        raise
    except (Exception, SystemExit) as error:
        lines = _users_lines(error)
        where = lines.pop() if lines else _place(code)
        if where is None:
            raise
        said = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
        kind, advice = f"{type(error).__name__}: ", ": correct it"
        if isinstance(error, InputError):  # says what to do
            kind, advice = "", ""
        elif isinstance(error, ModuleNotFoundError):
            advice = ": install that module, or put it beside the study file"
        led = f" (called from {', '.join(reversed(lines))})" if lines else ""
        raise InputError(f"{where}: {kind}{said:.500}{led}{advice}") from error


def place(code: object) -> str:
    """Where the user has written a function, ``path:line``, for a message."""
    return _place(code) or "the study file"


def _place(code: object) -> str | None:
    if isinstance(code, Path):
        return str(code)
    written = getattr(getattr(code, "func", code), "__code__", None)  # ``func`` of a partial
    if not inspect.iscode(written) or not _is_users(written.co_filename):
        return None
    return f"{written.co_filename}:{written.co_firstlineno}"


def _users_lines(error: BaseException) -> list[str]:
    """The user's lines through which an exception has passed, the one that raised it last."""
    passed = [(f.f_code.co_filename, n) for f, n in traceback.walk_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename is not None:
        passed.append((error.filename, error.lineno or 1))
    return [f"{file}:{line}" for file, line in passed if _is_users(file)]


def _is_users(file: str) -> bool:
    libraries = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}
    parents = Path(file).parents
    return not (
        file.startswith("<")
        or Path(__file__).parent in parents
        or libraries.intersection(parents)
        or any(parent.name in ("site-packages", "dist-packages") for parent in parents)
    )


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


def is_count(value: object, least: int) -> bool:
    """Whether a value is a whole number, and large enough."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def printable(text: str, *, keep: str = "\n\t") -> str:
    r"""A text with visible escapes, such as ``\x1b``, in place of what a terminal obeys.

    Names in a database, a model file or a table may come from anybody, and some terminals can be
    made to do much by what they are shown.

    Args:
        text: any.
        keep: the control characters that are meant.
    """

    def escape(match: re.Match[str]) -> str:
        code = ord(match[0])
        return (
            match[0] if match[0] in keep else f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
        )

    return CONTROLS.sub(escape, text)


def require_suffix(path: Path, suffixes: Sequence[str], kind: str) -> str:
    """The suffix of a file's name, in lower case.

    Raises:
        InputError: it is none of these.
    """
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        *others, last = suffixes
        raise InputError(
            f"{path} is not a valid name for {kind}: it must end in {', '.join(others)} or {last}"
        )
    return suffix


def require_file(path: Path, *, folder: bool = False) -> None:
    """Raise an `InputError` unless ``path`` is there and ends: a pipe or a device does not.

    Args:
        path: what is to be read.
        folder: whether it may be a folder.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"there is no file {path}: check its path") from None
    except (OSError, ValueError) as error:  # its name is too long, or holds a NUL
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read {path}: {reason}") from error
    if not (stat.S_ISREG(mode) or (folder and stat.S_ISDIR(mode))):
        what = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise InputError(f"{path} is {what}: give a file")
