"""Eight small problems: training rows with their folds, and test rows.

Seven have test rows. The homework's training rows are only cross-validated: its own test set is
nothing to choose defaults by.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.model_selection import train_test_split

from hw1.cross_validation import Splits
from hw1.datasets import Dataset, digits, tabular

N_SPLITS = 5
REPEATS = 3
"""The first is what a search sees; the others are for re-ranking, and an honest score."""
N_ROWS, N_GRID = 100, 201
"""Of each 1-D function: noisy training rows, and noise-free test rows all over the range."""
OUTSIDE = 255
"""The fold of a row that is never held out."""


@dataclass(frozen=True)
class Problem:
    """Training rows, test rows after them, and how long to train on them.

    Attributes:
        name: as tables show it.
        data: all rows, the training rows first.
        n_train: the number of training rows.
        epochs: of every configuration.
        batch_sizes: to choose from; the last one is all rows in a single step.
    """

    name: str
    data: Dataset
    n_train: int
    epochs: int
    batch_sizes: tuple[int, ...]

    @property
    def n_test(self) -> int:
        """The number of test rows, none for the homework."""
        return len(self.data) - self.n_train

    @property
    def is_curve(self) -> bool:
        """Whether it is a function of one feature, in whose gaps a network has to interpolate."""
        return self.data.input_shape == (1,)

    def folds(self) -> list[np.ndarray]:
        """For each repeat the fold of each training row, ``(n_train,)``.

        After the `REPEATS` come, for functions, folds that are intervals: the sorted rows are cut
        into ten, and each of four folds holds out two of the inner eight, so that what is scored
        is interpolation in gaps. The two ends would be extrapolation.
        """
        train = self.data.take(torch.arange(self.n_train))
        found = [Splits.draw(train, N_SPLITS, seed).folds for seed in range(REPEATS)]
        if self.is_curve:
            place = np.argsort(np.argsort(train.inputs[:, 0].numpy())) * 10 // self.n_train
            inner = (place > 0) & (place < 9)
            found.append(np.where(inner, (place - 1) % 4, OUTSIDE).astype(np.uint8))
        return found


def _function(
    name: str,
    truth: Callable[[np.ndarray], np.ndarray],
    low: float,
    high: float,
    gaps: tuple[tuple[float, float], ...],
    noise: Callable[[np.ndarray], np.ndarray],
    seed: int,
) -> Problem:
    """Rows drawn uniformly outside the gaps, with normal noise of a standard deviation."""
    generator = np.random.default_rng(seed)
    x = generator.uniform(low, high, 10 * N_ROWS)
    x = x[~np.any([(x >= a) & (x <= b) for a, b in gaps], axis=0)][:N_ROWS]
    y = truth(x) + noise(x) * generator.standard_normal(N_ROWS)
    grid = np.linspace(low, high, N_GRID)
    return _problem(name, x[:, None], y, grid[:, None], truth(grid), 600, (20, 50, N_ROWS))


def _problem(
    name: str,
    x: np.ndarray,
    y: np.ndarray,
    test_x: np.ndarray,
    test_y: np.ndarray,
    epochs: int,
    batch_sizes: tuple[int, ...],
) -> Problem:
    data = Dataset(
        name=name,
        task="regression",
        inputs=torch.from_numpy(np.concatenate([x, test_x]).astype(np.float32)),
        targets=torch.from_numpy(np.concatenate([y, test_y]).astype(np.float32))[:, None],
    )
    return Problem(name, data, len(x), epochs, batch_sizes)


def _homework(train_csv: Path) -> Problem:
    data = tabular.load("train", train_csv.parent, train_csv=train_csv)
    return Problem("homework", data, len(data), 600, (20, 50, len(data)))


def _waves() -> Problem:
    """Of one length and height, with two gaps of a quarter and a third of a wave."""
    return _function(
        "waves",
        lambda x: np.sin(3 * x) + 0.3 * x,
        -4,
        4,
        ((-2.4, -1.8), (0.8, 1.5)),
        lambda x: np.full_like(x, 0.25),
        1,
    )


def _chirp() -> Problem:
    """Waves that become shorter; a gap where they are long, one where they are shorter."""
    return _function(
        "chirp",
        lambda x: np.sin(0.5 * (x + 1) ** 2),
        0,
        5,
        ((0.6, 1.5), (3.4, 3.7)),
        lambda x: np.full_like(x, 0.15),
        2,
    )


def _steps() -> Problem:
    """A rise with two smooth steps and a kink; the noise grows along it."""
    return _function(
        "steps",
        lambda x: np.tanh(4 * (x + 1.5)) - np.tanh(6 * (x - 1)) + 0.4 * np.abs(x),
        -3,
        3,
        ((-0.9, -0.1), (1.6, 2.2)),
        lambda x: 0.05 + 0.05 * (x + 3),
        3,
    )


def _bumps() -> Problem:
    """Two narrow bumps on a parabola, with little noise; a gap beside each bump."""
    return _function(
        "bumps",
        lambda x: 2 * np.exp(-8 * (x + 1) ** 2) - 1.5 * np.exp(-5 * (x - 1.2) ** 2) + 0.2 * x**2,
        -3,
        3,
        ((-2.2, -1.6), (0.0, 0.7)),
        lambda x: np.full_like(x, 0.1),
        4,
    )


def _diabetes() -> Problem:
    x, y = load_diabetes(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(x, y, train_size=300, random_state=0)
    return _problem("diabetes", train_x, train_y, test_x, test_y, 250, (32, 100, 300))


def _friedman() -> Problem:
    """200 noisy training rows of ten features, of which five matter; 1,000 noise-free ones."""
    x, y = make_friedman1(200, noise=1.0, random_state=0)
    test_x, test_y = make_friedman1(1000, noise=0.0, random_state=1)
    return _problem("friedman", x, y, test_x, test_y, 250, (32, 100, 200))


def _digits() -> Problem:
    """600 training images, a third, so that there are errors to tell networks apart by."""
    parts = [digits.load(part, Path()) for part in ("train", "test")]
    inputs, targets = (torch.cat([getattr(p, n) for p in parts]) for n in ("inputs", "targets"))
    train, test = train_test_split(
        np.arange(len(targets)), train_size=600, random_state=0, stratify=targets.numpy()
    )
    rows = torch.from_numpy(np.concatenate([train, test]))
    data = replace(parts[0], inputs=inputs[rows], targets=targets[rows])
    return Problem("digits", data, 600, 60, (32, 100, 600))


def problems(train_csv: Path) -> dict[str, Callable[[], Problem]]:
    """What makes each of the problems, by its name.

    Args:
        train_csv: the homework's training rows.
    """
    return {
        "homework": lambda: _homework(train_csv),
        "waves": _waves,
        "chirp": _chirp,
        "steps": _steps,
        "bumps": _bumps,
        "diabetes": _diabetes,
        "friedman": _friedman,
        "digits": _digits,
    }
