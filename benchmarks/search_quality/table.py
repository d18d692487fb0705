"""The trained table, read back: of each problem all configurations, as arrays."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search_quality.problems import problems
from benchmarks.search_quality.space import FIRST_OF_STUDY

FUNCTIONS = ("waves", "chirp", "steps", "bumps")
OTHERS = ("diabetes", "friedman", "digits")
REPEATS = 3
N_FOLDS = 5
UNREAD = ("held_out",)
"""What no replay asks for yet, and most of the memory."""


@dataclass(frozen=True)
class Problem:
    """What was kept of all configurations of a problem; see `benchmarks.search_quality.train`.

    Attributes:
        name: of the problem.
        numbers: ``(n,)``, of the configurations.
        parameters: of each configuration.
        curves: ``(n, n_repeats, epochs)``, the mean error over the folds; infinity where a network
            has diverged. After three repeats come, of functions, folds that are intervals.
        test: the other arrays by their names, ``(n, ...)``; no errors without test rows.
        seconds: ``(n,)``, what training took.
        targets: of the test rows, ``(n_test, 1)``, or their classes ``(n_test,)``; None without.
    """

    name: str
    numbers: np.ndarray
    parameters: list[dict[str, Any]]
    curves: np.ndarray
    test: dict[str, np.ndarray]
    seconds: np.ndarray
    targets: np.ndarray | None

    @property
    def epochs(self) -> int:
        """Of every configuration."""
        return int(self.curves.shape[2])

    @property
    def has_test(self) -> bool:
        """Whether there are test errors."""
        return self.targets is not None

    def points(self, epochs: np.ndarray) -> np.ndarray:
        """For epochs from 1 the nearest of those at which test errors are kept."""
        kept = self.test["epochs"][0]
        found: np.ndarray = np.abs(kept - np.asarray(epochs)[..., None]).argmin(-1)
        return found


def load(folder: Path, space: str) -> dict[str, Problem]:
    """All problems of a table by their names.

    Args:
        folder: of the table.
        space: whose configurations: "wide" or "study".
    """
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*-*.npz")):
        name, _, number = path.stem.rpartition("-")
        if (int(number) >= FIRST_OF_STUDY) == (space == "study"):
            files.setdefault(name, []).append(path)
    order = ("homework", *FUNCTIONS, *OTHERS)
    return {name: _load(name, files[name]) for name in order if name in files}


def _load(name: str, paths: list[Path]) -> Problem:
    rows = []
    for path in paths:
        with np.load(path) as file:
            rows.append({key: file[key] for key in file.files if key not in UNREAD})
    curves = []
    for row in rows:
        folds = row.pop("curves")
        repeats = np.split(folds, range(N_FOLDS, N_FOLDS * REPEATS + 1, N_FOLDS), axis=1)
        means = np.stack([r.mean(1) for r in repeats if r.shape[1]])
        curves.append(np.where(np.isfinite(means), means, np.inf))
    parameters = [json.loads(str(row.pop("parameters"))) for row in rows]
    seconds = np.array([float(row.pop("seconds")) for row in rows])
    numbers = np.array([int(re.findall(r"\d+", path.stem)[-1]) for path in paths])
    keys = set.intersection(*(set(row) for row in rows))
    test = {key: np.stack([row[key] for row in rows]) for key in sorted(keys)}
    targets = None
    if "test_seeds" in test:
        problem = problems(Path())[name]()
        targets = problem.data.targets[problem.n_train :].numpy()
    return Problem(name, numbers, parameters, np.stack(curves), test, seconds, targets)
