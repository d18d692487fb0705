"""Trained networks in files beside the storage: what one command has trained, another can use.

So `export` writes the very network that `evaluate` has scored, and hours of training are not spent
twice, nor lost when they are interrupted. The files are a cache: without them the networks are
trained anew.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from hw1.analysis.description import import_path
from hw1.analysis.results import StudyResults
from hw1.optuna_store.storage import networks_folder
from hw1.places import PACKAGE, write_whole
from hw1.provenance import provenance
from hw1.training import Configuration
from hw1.training.lockstep import Lockstep
from hw1.training.precision import choose_precision


def _code() -> str:
    """A digest of all of hw1 that decides what becomes of a network."""
    folders = [PACKAGE / name for name in ("training", "models", "datasets")]
    files = [PACKAGE / name for name in ("tasks.py", "analysis/training.py", "analysis/network.py")]
    files += sorted(path for folder in folders for path in folder.rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


SECONDS_BETWEEN_SAVES = 60
CODE = _code()  # when it is imported, not hours later, when its files may have changed


class KeptNetworks:
    """The networks of a configuration, trained on all training examples, by their seeds.

    A file is found again only with the same code of hw1, data, configuration, epochs, packages,
    processor, threads and precision. Only networks of hw1's own model classes are kept: the code of
    others, and of what they call, is not known as well.

    Args:
        results: of the study.
        configuration: what they are trained with.
        epochs: to which they are trained.

    Attributes:
        epochs: the same.
    """

    def __init__(self, results: StudyResults, configuration: Configuration, epochs: int) -> None:
        self.epochs = epochs
        self._folder = networks_folder(results.study.storage.url, results.name)
        device, model = results.job.device, results.definition.model
        self._keeps = getattr(model, "__module__", "").startswith("hw1.models.")
        facts = {
            "model": import_path(model),
            "configuration": configuration.to_json(),
            "epochs": epochs,
            "data": results.settings.fingerprint,
            "device": str(device),
            "precision": results.job.precision or choose_precision(device),
            "code": CODE,
            "made": provenance(device) | {"revision": None},
        }
        self._facts = json.dumps(facts)

    def restore(self, models: Lockstep, i: int, seed: int) -> bool:
        """Give model ``i`` the weights that are kept for a seed; False if there are none."""
        try:
            kept = safetensors.torch.load(self._path(seed).read_bytes())
        except (OSError, SafetensorError, KeyError):  # there is none, or it is damaged
            return False
        *before, own = models.state(slice(i + 1))
        if _shapes(own) != _shapes(kept):
            return False
        models.restore([*before, kept])
        return True

    def keep(self, models: Lockstep, seeds: Sequence[int]) -> None:
        """Write the weights of ``models``, one a seed."""
        for seed, state in zip(seeds, models.state() if self._keeps else [], strict=False):
            self._write(self._path(seed), state)

    def train(self, models: Lockstep, say: Callable[[int], None], *of: object) -> None:
        """Train ``models`` to the last epoch, from where an interrupted training of them was.

        Args:
            models: as they are before they are trained.
            say: is told the number of each epoch before it is trained.
            of: what tells them from other networks of the configuration.
        """
        path, saved = self._path("training", *of), time.monotonic()
        with suppress(OSError, SafetensorError, KeyError):  # there is none, or it is damaged
            state = safetensors.torch.load(path.read_bytes())
            own, epoch = models.memory(), state.pop("epoch")
            is_one = epoch.shape == () and 0 < epoch <= self.epochs
            if is_one and _shapes(own) == _shapes(state):
                models.epoch = int(epoch)
                for name, value in own.items():
                    value.copy_(state[name])
        while models.epoch < self.epochs:
            say(models.epoch + 1)
            models.train_epoch()
            if self._keeps and time.monotonic() > saved + SECONDS_BETWEEN_SAVES:
                self._write(path, models.memory() | {"epoch": torch.tensor(models.epoch)})
                saved = time.monotonic()
        with suppress(OSError):
            path.unlink(missing_ok=True)

    def _write(self, path: Path, state: dict[str, Tensor]) -> None:
        content = {name: value.cpu().contiguous() for name, value in state.items()}
        with suppress(OSError):  # a folder that cannot be written keeps nothing
            write_whole(safetensors.torch.save(content), path)

    def _path(self, *of: object) -> Path:
        digest = hashlib.sha256(" ".join(map(str, (*of, self._facts))).encode()).hexdigest()
        return self._folder / f"{digest[:32]}.safetensors"


def _shapes(state: dict[str, Tensor]) -> dict[str, object]:
    return {name: (value.shape, value.dtype) for name, value in state.items()}
