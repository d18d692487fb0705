"""What tells a process from every other, and whether it lives."""

import os
import socket
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """What tells this process from every other, also from a later one of its number."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "start": start_time(os.getpid())}


def lives(worker: dict[str, Any]) -> bool:
    """Whether a trial's process is still there; on other machines it is taken to be."""
    host, pid = worker.get("host"), worker.get("pid")
    if host != socket.gethostname():
        return isinstance(host, str)
    try:
        os.kill(pid, 0)  # type: ignore[arg-type]  # whatever stands in the database
    except PermissionError:
        pass
    except (ProcessLookupError, OverflowError, TypeError):
        return False
    return bool(start_time(pid) == worker.get("start"))  # type: ignore[arg-type]


def start_time(pid: int) -> str | None:
    """When a process started, which tells it from a later one of the same number; Linux only."""
    try:
        # The fields after the command, which is in parentheses and may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return None if fields[0] == "Z" else fields[19]
    except (OSError, IndexError):
        return None
