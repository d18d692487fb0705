"""What a result depends on besides its study: versions, machine, revision of the code."""

import platform
import subprocess
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import hw1

PACKAGES = ("torch", "numpy", "scipy", "numba", "optuna")


def provenance(device: torch.device) -> dict[str, Any]:
    """What is stored with a trial, as JSON can hold it.

    Returns:
        The versions of ``python``, ``hw1`` and each of `PACKAGES`; ``system``; ``processor``, the
        model of the device; ``threads`` of torch's operations; ``revision``, the git revision of
        hw1, with a plus sign if files have changed since, None outside a git checkout.
    """
    return {
        "python": platform.python_version(),
        "hw1": hw1.__version__,  # a checkout need not be installed
        **{name: _version(name) for name in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(device),
        "threads": torch.get_num_threads(),
        "revision": _revision(),
    }


def differences(stored: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What is not the same by now, each in words such as "torch 2.14.1, was 2.13.0"."""
    return [
        f"{name} {now.get(name)}, was {stored.get(name)}"
        for name in sorted(stored.keys() | now.keys())
        if stored.get(name) != now.get(name)
    ]


@lru_cache
def _version(package: str) -> str:
    return version(package)


@lru_cache
def _processor(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@lru_cache
def _revision() -> str | None:
    """The revision of the code that this process runs, as far as its start tells."""
    folder = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        if not git("ls-files", Path(__file__).name):
            return None  # of a checkout of something else
        changed = git("status", "--porcelain", "--untracked-files=no", "--", str(folder))
        return git("rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None
