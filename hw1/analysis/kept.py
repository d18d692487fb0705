"""Trained networks in files beside the storage: what one command has trained, another can use.

So `export` writes the very network that `evaluate` has scored, and hours of training are not spent
twice. The files are a cache: without them the networks are trained anew.
"""

import hashlib
import inspect
import json
from contextlib import suppress
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from hw1.analysis.results import StudyResults
from hw1.optuna_store.storage import networks_folder
from hw1.places import write_whole
from hw1.provenance import provenance
from hw1.training import Configuration
from hw1.training.kernels import SOURCES
from hw1.training.lockstep import Lockstep


class KeptNetworks:
    """The networks of a configuration, trained on all training examples, by their seeds.

    A file is found again only by the same code of hw1 and of the model class, with the same data,
    configuration and epochs, packages and processor.

    Args:
        results: of the study.
        configuration: what they are trained with.
        epochs: to which they are trained.
    """

    def __init__(self, results: StudyResults, configuration: Configuration, epochs: int) -> None:
        self._folder = networks_folder(results.study.storage.url, results.name)
        device = results.job.device
        model = results.definition.model
        self._facts: str | None = None
        with suppress(OSError, TypeError):  # of a class that was typed in there is no file
            facts = {
                "configuration": configuration.to_json(),
                "epochs": epochs,
                "data": results.settings.fingerprint,
                "precision": results.job.precision,
                "device": str(device),
                "training": SOURCES,
                "model": model.__qualname__,
                "source": hashlib.sha256(Path(inspect.getfile(model)).read_bytes()).hexdigest(),
                "made": provenance(device) | {"revision": None},
            }
            self._facts = json.dumps(facts)

    def restore(self, models: Lockstep, seed: int) -> bool:
        """Give the only one of ``models`` the weights kept for a seed; whether there are any."""
        path = self._path(seed)
        if path is None:
            return False
        try:
            kept = safetensors.torch.load(path.read_bytes())
        except (OSError, SafetensorError):  # there is none, or it is damaged
            return False
        [own] = models.state()
        if _shapes(own) != _shapes(kept):
            return False
        models.restore([kept])
        return True

    def keep(self, models: Lockstep, seeds: list[int]) -> None:
        """Write the weights of ``models``, one a seed."""
        for seed, state in zip(seeds, models.state(), strict=True):
            if path := self._path(seed):
                content = {name: value.cpu().contiguous() for name, value in state.items()}
                with suppress(OSError):  # a folder that cannot be written keeps nothing
                    write_whole(safetensors.torch.save(content), path)

    def _path(self, seed: int) -> Path | None:
        if self._facts is None:
            return None
        digest = hashlib.sha256(f"{seed} {self._facts}".encode()).hexdigest()
        return self._folder / f"{digest[:32]}.safetensors"


def _shapes(state: dict[str, Tensor]) -> dict[str, object]:
    return {name: (value.shape, value.dtype) for name, value in state.items()}
