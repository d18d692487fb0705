"""How large the attacks are, and what they have counted."""

import os
import platform
import time

SOAK = bool(os.environ.get("HW1_SOAK"))
"""Whether the long versions run: ``make soak``."""
_FIGURES: list[tuple[str, str]] = []
_START = time.monotonic()


def size(short: int, long: int) -> int:
    """How often to attack: ``short`` among the other tests, ``long`` under ``make soak``."""
    return long if SOAK else short


def record(what: str, figure: object) -> None:
    """Keep a figure for the table."""
    _FIGURES.append((what, str(figure)))


def table() -> list[str]:
    """All figures as a table of Markdown, with the machine and the time in general terms."""
    if not _FIGURES:
        return []
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.machine()}"
    rows = [*_FIGURES, ("machine", machine), ("seconds", f"{time.monotonic() - _START:.0f}")]
    return ["| what | figure |", "|---|---|", *(f"| {what} | {figure} |" for what, figure in rows)]
