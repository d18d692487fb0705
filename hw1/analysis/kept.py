"""Trained networks in files beside the storage: what one command has trained, another can use.

So `export` writes the very network that `evaluate` has scored, and hours of training are not spent
twice.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from hw1.analysis.results import StudyResults
from hw1.optuna_store.storage import networks_folder
from hw1.training import Configuration
from hw1.training.lockstep import Lockstep
from hw1.training.precision import choose_precision
from hw1.unfinished import Unfinished, file_of, read, shapes, write


class KeptNetworks:
    """The networks of a configuration, trained on all training examples, by their seeds.

    A file is found again only with the same data, configuration, epochs, precision, and what
    `hw1.unfinished.file_of` adds.

    Args:
        results: of the study.
        configuration: what they are trained with.
        epochs: to which they are trained.

    Attributes:
        epochs: the same.
    """

    def __init__(self, results: StudyResults, configuration: Configuration, epochs: int) -> None:
        self.epochs = epochs
        self._results = results
        self._configuration = configuration

    def restore(self, models: Lockstep, i: int, seed: int) -> bool:
        """Give model ``i`` the weights that are kept for a seed; False if there are none."""
        kept = read(self._path(seed))
        if kept is None:
            return False
        *before, own = models.state(slice(i + 1))
        if shapes(own) != shapes(kept):
            return False
        models.restore([*before, kept])
        return True

    def keep(self, models: Lockstep, seeds: Sequence[int]) -> None:
        """Write the weights of ``models``, one a seed."""
        for i, seed in enumerate(seeds):
            if path := self._path(seed):
                write(path, models.state(slice(i, i + 1))[0])

    def train(self, models: Lockstep, say: Callable[[int], None], *of: object) -> None:
        """Train ``models`` to the last epoch, from where an interrupted training of them was.

        Args:
            models: as they are before they are trained.
            say: is told the number of each epoch before it is trained.
            of: what tells them from other networks of the configuration.
        """
        unfinished = Unfinished(self._path("training", *of))
        unfinished.restore(models)
        while models.epoch < self.epochs:
            say(models.epoch + 1)
            models.train_epoch()
            unfinished.save(models, lambda: torch.zeros(models.epoch))
        unfinished.end()

    def _path(self, *of: object) -> Path | None:
        results, device = self._results, self._results.job.device
        return file_of(
            networks_folder(results.study.storage.url, results.name),
            results.definition.model,
            device,
            of=[str(one) for one in of],
            configuration=self._configuration.to_json(),
            epochs=self.epochs,
            data=results.settings.fingerprint,
            precision=results.job.precision or choose_precision(device),
        )
