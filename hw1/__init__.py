"""Cross-validated hyperparameter studies of PyTorch networks, trained in lockstep."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
_PUBLIC = {
    "Configuration": "hw1.training",
    "Round": "hw1.standings",
    "StudyDefinition": "hw1.definition",
    "list_studies": "hw1.analysis.results",
    "open_study": "hw1.analysis.results",
    "run": "hw1.api",
}


def __getattr__(name: str) -> Any:
    """The public names, imported when they are first used: torch takes seconds."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'hw1' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
