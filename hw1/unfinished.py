"""An unfinished training in a file, so that hours of it are not lost when it is interrupted.

The files are a cache: without them, or with files that cannot be read, trainings begin anew.
"""

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from hw1.places import PACKAGE, write_whole
from hw1.provenance import provenance
from hw1.training.lockstep import Lockstep
from hw1.training.networks import ModelClass

SECONDS_BETWEEN_SAVES = 60
HISTORY = "history"


def _code() -> str:
    """A digest of all of hw1 that decides what becomes of a network."""
    folders = [PACKAGE / name for name in ("training", "models", "datasets")]
    names = ("tasks.py", "cross_validation.py", "analysis/training.py", "analysis/network.py")
    files = [PACKAGE / name for name in names]
    files += sorted(path for folder in folders for path in folder.rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


CODE = _code()  # when it is imported, not hours later, when its files may have changed


def file_of(
    folder: Path, model_class: ModelClass, device: torch.device, **facts: object
) -> Path | None:
    """Where networks are kept that another process is to find only if they would be the same.

    Args:
        folder: of all such files.
        model_class: of the networks.
        device: on which they are trained.
        facts: what decides what becomes of them, as JSON can hold it; the code of hw1, packages,
            processor and threads are added.

    Returns:
        None unless the class is one of hw1's: the code of others, and of what they call, is not
        known as well.
    """
    module = getattr(model_class, "__module__", "")
    if not module.startswith("hw1.models."):
        return None
    facts |= {
        "model": f"{module}.{getattr(model_class, '__qualname__', '')}",
        "device": str(device),
        "code": CODE,
        "made": provenance(device) | {"revision": None},
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return folder / f"{digest[:32]}.safetensors"


def read(path: Path | None) -> dict[str, Tensor] | None:
    """The tensors of a file by name; None if there is none, or it is damaged."""
    with suppress(OSError, SafetensorError, KeyError):
        return safetensors.torch.load(path.read_bytes()) if path is not None else None
    return None


def write(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write tensors to a file; in a folder that cannot be written nothing is kept."""
    content = {name: value.cpu().contiguous() for name, value in tensors.items()}
    with suppress(OSError):
        write_whole(safetensors.torch.save(content), path)


def shapes(tensors: dict[str, Tensor]) -> dict[str, object]:
    """What must be the same for one dictionary's values to be copied to those of another."""
    return {name: (value.shape, value.dtype) for name, value in tensors.items()}


class Unfinished:
    """Saves a training once a minute, and goes on with it in another process.

    Args:
        path: of its file, see `file_of`; None to save nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._saved = time.monotonic()

    def restore(self, models: Lockstep, *shape: int) -> Tensor:
        """Make models that are not trained yet those that were saved.

        Returns:
            ``(models.epoch, *shape)``, the history that was saved; of no epochs if there is none.
        """
        none = torch.empty(0, *shape, dtype=torch.float64)
        state = read(self._path)
        if state is None:
            return none
        history, own = state.pop(HISTORY, none), models.memory()
        epochs = len(history) if history.ndim else 0
        fits = history.shape == (epochs, *shape) and shapes(own) == shapes(state)
        if not fits or not 0 < epochs <= models.plan.epochs:
            return none
        for name, value in own.items():
            value.copy_(state[name])
        models.epoch = epochs
        return history

    def save(self, models: Lockstep, history: Callable[[], Tensor]) -> None:
        """Save models after an epoch, unless that was done a moment ago.

        Args:
            history: gives what `restore` is to return: as many rows as there have been epochs.
        """
        due = time.monotonic() >= self._saved + SECONDS_BETWEEN_SAVES
        if self._path is not None and due and models.holds_weights:
            write(self._path, models.memory() | {HISTORY: history()})
            self._saved = time.monotonic()

    def end(self) -> None:
        """Save no more, and forget what was saved."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
        self._path = None
