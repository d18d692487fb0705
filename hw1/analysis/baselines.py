"""What a network is measured against: scikit-learn's models in a standard form.

Each has a standard form, chosen once for all data. Inputs, of images and sequences all numbers in a
row, are brought to mean zero and standard deviation one by the training examples:

- the mean (`DummyRegressor`), or the most frequent class (`DummyClassifier`);
- ridge regression (`RidgeCV`), its penalty of 13 by leave-one-out; logistic regression with C = 1
  and at most 200 steps;
- the 5 nearest neighbors;
- gradient boosting in scikit-learn's form: 100 trees (for each class), or fewer beyond 10,000
  examples, where it stops early;
- a Gaussian process with an RBF kernel of one length scale (and, in a regression, white noise),
  fitted by the marginal likelihood: where examples are few;
- scikit-learn's MLP in one line: 100 hidden units, ReLU, Adam, until its loss no longer falls;
  from 2,000 examples on with early stopping. It learns targets of standard deviation one, too.

What takes long is fitted on a random subset of the training examples and on fewer repeats, or is
left out. What is done follows from the size of the data and not from a clock.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hw1.datasets import Dataset
from hw1.tasks import TASKS, TaskName

SECONDS = 60.0
"""What a baseline may take on one core, by the estimate in `BASELINES`."""
FEWEST_ROWS = 1000
"""Of a subset: on fewer examples nothing is fitted in place of all."""
EARLY_STOPPING_ROWS = 2000
"""From so many examples on the MLP stops early, by a tenth of them."""


def _dummy(task: TaskName, n_rows: int) -> Any:
    from sklearn.dummy import DummyClassifier, DummyRegressor

    return DummyRegressor() if task == "regression" else DummyClassifier()


def _linear(task: TaskName, n_rows: int) -> Any:
    from sklearn.linear_model import LogisticRegression, RidgeCV

    if task == "regression":
        return RidgeCV(alphas=[10 ** (i / 2) for i in range(-6, 7)])
    return LogisticRegression(max_iter=200)


def _neighbors(task: TaskName, n_rows: int) -> Any:
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

    return KNeighborsRegressor() if task == "regression" else KNeighborsClassifier()


def _boosting(task: TaskName, n_rows: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.multioutput import MultiOutputRegressor

    if task == "regression":  # one for each target
        return MultiOutputRegressor(HistGradientBoostingRegressor())
    return HistGradientBoostingClassifier()


def _process(task: TaskName, n_rows: int) -> Any:
    from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, WhiteKernel

    if task == "regression":
        kernel = 1.0 * RBF() + WhiteKernel()
        return GaussianProcessRegressor(kernel, normalize_y=True, n_restarts_optimizer=2)
    return GaussianProcessClassifier(1.0 * RBF())


def _mlp(task: TaskName, n_rows: int) -> Any:
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.preprocessing import StandardScaler

    stops = n_rows >= EARLY_STOPPING_ROWS
    if task == "classification":
        return MLPClassifier(max_iter=1000, early_stopping=stops)
    mlp = MLPRegressor(max_iter=1000, early_stopping=stops)
    return TransformedTargetRegressor(mlp, transformer=StandardScaler())


@dataclass(frozen=True)
class Size:
    """How large a fit is: training examples, numbers in one, outputs, and examples to predict."""

    task: TaskName
    rows: int
    features: int
    outputs: int
    predicted: int


@dataclass(frozen=True)
class Baseline:
    """A model of scikit-learn.

    Attributes:
        regression, classification: what it is called there.
        make: the model for a task and so many training examples.
        seconds: about what a fit and its predictions take on one core.
        in_part: whether a subset of the training examples serves where all of them are too many.
    """

    regression: str
    classification: str
    make: Callable[[TaskName, int], Any]
    seconds: Callable[[Size], float]
    in_part: bool = True

    def name(self, task: TaskName) -> str:
        """What it is called, in words."""
        return self.regression if task == "regression" else self.classification

    def outputs(
        self, rows: Dataset, inputs: Tensor, seed: int, planned: int | None = None
    ) -> Tensor:
        """What the model, fitted to examples, gives for others, in the form of a network's outputs.

        Args:
            rows: to which it is fitted.
            inputs: of the others, ``(n, *input_shape)``.
            seed: of all that is random.
            planned: on how many examples, by `plan`; None for those that there are.

        Returns:
            ``(n, n_outputs)``: predictions, or 1 for the predicted class; NaN if the fit fails.
        """
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        model = make_pipeline(StandardScaler(), self.make(rows.task, planned or len(rows)))
        seeds = [name for name in model.get_params() if name.endswith("random_state")]
        model.set_params(**dict.fromkeys(seeds, seed % 2**32))
        try:
            model.fit(_features(rows.inputs), rows.targets.numpy())
            found = np.asarray(model.predict(_features(inputs)))
        except (ValueError, ArithmeticError):  # such as numbers too large, or a single class
            return torch.full((len(inputs), rows.n_outputs), math.nan)
        if TASKS[rows.task].strata(rows.targets) is not None:  # classes
            found = np.eye(rows.n_outputs)[found]
        return torch.from_numpy(found.reshape(len(inputs), -1).astype(float))

    def plan(self, size: Size, n_repeats: int, n_splits: int) -> tuple[int, int] | None:
        """On how many training examples, and on how many repeats; None if it takes too long."""
        fewest = n_splits + 1  # one repeat, and the test examples
        rows, most = size.rows, SECONDS / fewest
        if self.seconds(size) > most:
            steps = (10**i * j for i in range(7, 2, -1) for j in (5, 2, 1))
            fitting = (n for n in steps if n < rows and self.seconds(replace(size, rows=n)) <= most)
            rows = next(fitting, 0) if self.in_part else 0
            return (rows, 1) if rows >= FEWEST_ROWS else None
        seconds = max(self.seconds(size), 1e-9)
        return rows, max(1, min(n_repeats, int((SECONDS / seconds - 1) / n_splits)))


BASELINES = (
    Baseline("mean", "most frequent class", _dummy, lambda s: 4e-8 * s.rows * s.features),
    Baseline(
        "ridge regression",
        "logistic regression",
        _linear,
        lambda s: (
            8e-8 * s.rows * s.features * s.outputs
            if s.task == "classification"
            else 1e-9 * s.rows * s.features * min(s.features, s.rows)
        ),
    ),
    Baseline(
        "nearest neighbors",
        "nearest neighbors",
        _neighbors,
        lambda s: s.rows * s.predicted * (1e-10 * s.features + 2e-9),
    ),
    Baseline(
        "gradient boosting",
        "gradient boosting",
        _boosting,
        lambda s: s.outputs * (0.1 + s.features * (1.2e-4 * min(31, s.rows / 20) + 7e-7 * s.rows)),
    ),
    Baseline(
        "Gaussian process",
        "Gaussian process",
        _process,
        lambda s: 3e-8 * s.rows**3,
        in_part=False,
    ),
    Baseline(
        "scikit-learn's MLP",
        "scikit-learn's MLP",
        _mlp,
        lambda s: (
            (30 if s.rows >= EARLY_STOPPING_ROWS else 200)
            * s.rows
            * (3e-8 * (s.features + s.outputs) + 2e-6)
        ),
    ),
)
"""All of them, with the seconds that they took on FashionMNIST, on one core, roughly."""


def _features(inputs: Tensor) -> np.ndarray:
    """All numbers of each example in a row; of pixels as float32."""
    flat = inputs.flatten(1)
    pixels = flat.dtype == torch.uint8
    return np.asarray((flat.float() if pixels else flat.double()).numpy())
