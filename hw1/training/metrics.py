"""What a network is scored by, and the loss it is trained on, for many models at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from hw1.words import in_words

if TYPE_CHECKING:  # the metrics are known to what reads a study without torch
    from torch import Tensor

    from hw1.datasets import Task

Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Metric:
    """The score of a task.

    Attributes:
        name: as scikit-learn calls it.
        maximize: whether higher is better.
    """

    name: str
    maximize: bool

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """``"maximize"`` or ``"minimize"``, as Optuna has it."""
        return "maximize" if self.maximize else "minimize"

    @property
    def worst(self) -> float:
        """The score that any other beats."""
        return -math.inf if self.maximize else math.inf

    @property
    def words(self) -> str:
        """The name in words."""
        return in_words(self.name)

    @property
    def preference(self) -> str:
        """``"higher is better"`` or ``"lower is better"``."""
        return "higher is better" if self.maximize else "lower is better"

    def best_first(
        self, things: Iterable[Thing], score: Callable[[Thing], float | None]
    ) -> list[Thing]:
        """Things by their scores: equal ones in their order, those without one or with NaN last."""

        def key(thing: Thing) -> float:
            value = score(thing)
            if value is None or math.isnan(value):
                return math.inf
            return -value if self.maximize else value

        return sorted(things, key=key)

    def better(self, score: float, than: float) -> bool:
        """Whether ``score`` beats ``than``; NaN beats nothing."""
        return score > than if self.maximize else score < than


METRICS: dict[Task, Metric] = {
    "regression": Metric("mean_squared_error", maximize=False),
    "classification": Metric("accuracy", maximize=True),
}


def scores(task: Task, outputs: Tensor, targets: Tensor, counted: Tensor) -> Tensor:
    """The metric of each model, ``(n_models,)`` float64.

    Args:
        task: decides the metric: mean squared error in the target's own units, or accuracy.
        outputs: ``(n_models, n_rows, n_outputs)``.
        targets: ``(n_models, n_rows, n_outputs)`` or class numbers ``(n_models, n_rows)``.
        counted: ``(n_models, n_rows)``, False for rows that only fill up the rectangle.
    """
    if task == "classification":
        # A network that has diverged says nothing; argmax would give it the first class.
        finite = outputs.isfinite().all(2)
        per_row = (outputs.argmax(2) == targets).double()
        per_row = per_row.where(finite, math.nan)
    else:
        per_row = (outputs.double() - targets).square_().mean(2)
    # Rows that do not count may hold anything, infinity too, which a factor would not silence.
    return per_row.masked_fill_(~counted, 0.0).sum(1) / counted.sum(1)


def loss_gradients(task: Task, outputs: Tensor, targets: Tensor, label_smoothing: Tensor) -> Tensor:
    """The gradient of each model's mean loss over its batch by its outputs, of their shape.

    The loss is the squared error of normalised targets, or the cross-entropy as
    ``torch.nn.functional`` has it. Its value is nowhere needed, only what it teaches.

    Args:
        task: decides the loss.
        outputs: ``(n_models, batch, n_outputs)``.
        targets: ``(n_models, batch, n_outputs)`` or class numbers ``(n_models, batch)``.
        label_smoothing: ``(n_models,)``.
    """
    batch, n_outputs = outputs.shape[1:]
    if task == "regression":
        return (outputs - targets).mul_(2 / (batch * n_outputs))
    # Softmax minus the target's distribution: what smoothing leaves on it, the rest on all.
    smoothing = label_smoothing[:, None, None]
    gradients = outputs.softmax(2).sub_(smoothing / n_outputs)
    of_target = (smoothing - 1).expand(-1, batch, 1)
    return gradients.scatter_add_(2, targets[:, :, None], of_target).div_(batch)
