"""What networks are trained for: the loss and the metrics of a task, and the form of its targets.

A new metric is a `Metric` in its task's ``metrics`` and nothing else; a study names it. Names and
directions are read without torch: tensors bring their own operations.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from hw1.errors import choose
from hw1.words import in_words

if TYPE_CHECKING:
    from torch import Tensor

Thing = TypeVar("Thing")
TaskName = Literal["regression", "classification"]


@dataclass(frozen=True)
class Metric:
    """What networks are scored by, many models at once.

    Attributes:
        name: as scikit-learn calls it.
        maximize: whether higher is better; such a metric is a proportion from 0 to 1, others are
            errors from 0 upwards, so that intervals keep to these bounds.
        of_examples: the score of each example, ``(n_models, n)`` float64, whose mean is the
            metric, from outputs ``(n_models, n, n_outputs)`` and targets of that shape, or class
            numbers ``(n_models, n)``.
        of_all: the metric itself, ``(n_models,)`` float64, where it is no mean over examples; it
            also takes which examples count, ``(n_models, n)``.
    """

    name: str
    maximize: bool
    of_examples: "Callable[[Tensor, Tensor], Tensor] | None" = None
    of_all: "Callable[[Tensor, Tensor, Tensor], Tensor] | None" = None

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

    def scores(self, outputs: "Tensor", targets: "Tensor", counted: "Tensor") -> "Tensor":
        """The metric of each model, ``(n_models,)`` float64.

        Args:
            outputs: ``(n_models, n, n_outputs)``, in the target's own units, or logits; like the
                targets and the result it may have the axis of the epochs in front.
            targets: ``(n_models, n, n_outputs)`` or class numbers ``(n_models, n)``.
            counted: ``(n_models, n)``, False for what only fills up the rectangle.
        """
        if self.of_all is not None:
            return self.of_all(outputs, targets, counted)
        assert self.of_examples is not None, "a metric has of_examples or of_all"
        # What does not count may hold anything, infinity too, which a factor would not silence.
        of_each = self.of_examples(outputs, targets).masked_fill(~counted, 0.0)
        return of_each.sum(-1) / counted.sum(-1)


def _mean(of_outputs: "Tensor") -> "Tensor":
    # A mean of single numbers takes longer than all else.
    return of_outputs[..., 0] if of_outputs.shape[-1] == 1 else of_outputs.mean(-1)


def _squared_error(outputs: "Tensor", targets: "Tensor") -> "Tensor":
    return _mean((outputs.double() - targets).square_())


def _absolute_error(outputs: "Tensor", targets: "Tensor") -> "Tensor":
    return _mean((outputs.double() - targets).abs_())


def _is_right(outputs: "Tensor", targets: "Tensor") -> "Tensor":
    # A network that has diverged says nothing; argmax would give it the first class.
    return (outputs.argmax(-1) == targets).double().masked_fill(_diverged(outputs), math.nan)


def _diverged(outputs: "Tensor") -> "Tensor":
    return ~outputs.isfinite().all(-1)


def _macro_f1(outputs: "Tensor", targets: "Tensor", counted: "Tensor") -> "Tensor":
    """The mean F1 score of the classes that occur among targets or predictions."""
    classes = targets.new_tensor(range(outputs.shape[-1]))
    predicted = (outputs.argmax(-1)[..., None] == classes) & counted[..., None]
    actual = (targets[..., None] == classes) & counted[..., None]
    occurring = predicted.sum(-2) + actual.sum(-2)
    of_classes = 2 * (predicted & actual).sum(-2) / occurring.clamp(min=1).double()
    scores = of_classes.sum(-1) / (occurring > 0).sum(-1)
    return scores.masked_fill((_diverged(outputs) & counted).any(-1), math.nan)


@dataclass(frozen=True, kw_only=True)
class Task:
    """A kind of problem.

    Attributes:
        name: as studies and storages call it.
        metrics: by which a study may be scored; the first one unless it names another.
        normalizes_targets: whether networks learn targets of mean zero and standard deviation one.
        n_outputs: the number of outputs a network needs, from targets and class names.
        strata: by what folds and random subsets are stratified, ``(n,)``; None for nothing.
        gradients: the gradient of each model's mean loss over its batch by its outputs, of their
            shape, from outputs ``(n_models, batch, n_outputs)``; targets of that shape, normalized,
            or class numbers ``(n_models, batch)``; and the label smoothing ``(n_models,)``.
        losses: the loss of each example, ``(n_models, batch)``, from the same.
        ensemble: the ensemble's prediction, ``(n, n_outputs)``, of ``(n_models, n, n_outputs)``.
    """

    name: TaskName
    metrics: tuple[Metric, ...]
    normalizes_targets: bool
    n_outputs: "Callable[[Tensor, tuple[str, ...]], int]"
    strata: "Callable[[Tensor], Any]"
    gradients: "Callable[[Tensor, Tensor, Tensor], Tensor]"
    losses: "Callable[[Tensor, Tensor, Tensor], Tensor]"
    ensemble: "Callable[[Tensor], Tensor]"

    def metric(self, name: str | None = None) -> Metric:
        """A metric by its name, or the first one.

        Raises:
            InputError: the task has no such metric.
        """
        by_name = {metric.name: metric for metric in self.metrics}
        return by_name[choose("metric", name, by_name)] if name else self.metrics[0]


def _of_squared_error(outputs: "Tensor", targets: "Tensor", label_smoothing: "Tensor") -> "Tensor":
    batch, n_outputs = outputs.shape[1:]
    return (outputs - targets).mul_(2 / (batch * n_outputs))


def _of_cross_entropy(outputs: "Tensor", targets: "Tensor", label_smoothing: "Tensor") -> "Tensor":
    batch, n_outputs = outputs.shape[1:]
    # Softmax minus the target's distribution: what smoothing leaves on it, the rest on all.
    smoothing = label_smoothing[:, None, None]
    gradients = outputs.softmax(2).sub_(smoothing / n_outputs)
    of_target = (smoothing - 1).expand(-1, batch, 1)
    return gradients.scatter_add_(2, targets[:, :, None], of_target).div_(batch)


def _normalized_error(outputs: "Tensor", targets: "Tensor", label_smoothing: "Tensor") -> "Tensor":
    return _mean((outputs - targets).square_())


def _cross_entropy(outputs: "Tensor", targets: "Tensor", label_smoothing: "Tensor") -> "Tensor":
    logs = outputs.log_softmax(-1)
    smoothing = label_smoothing[:, None]
    of_target = logs.gather(-1, targets[..., None])[..., 0].mul_(smoothing - 1)
    return of_target.sub_(logs.mean(-1).mul_(smoothing))


REGRESSION = Task(
    name="regression",
    metrics=(
        Metric("mean_squared_error", maximize=False, of_examples=_squared_error),
        Metric("mean_absolute_error", maximize=False, of_examples=_absolute_error),
    ),
    normalizes_targets=True,
    n_outputs=lambda targets, class_names: targets.shape[1],
    strata=lambda targets: None,
    gradients=_of_squared_error,
    losses=_normalized_error,
    ensemble=lambda outputs: outputs.mean(0),
)
"""Numbers are predicted; the loss is the squared error of normalized targets."""
CLASSIFICATION = Task(
    name="classification",
    metrics=(
        Metric("accuracy", maximize=True, of_examples=_is_right),
        Metric("f1_macro", maximize=True, of_all=_macro_f1),
    ),
    normalizes_targets=False,
    n_outputs=lambda targets, class_names: len(class_names),
    strata=lambda targets: targets.cpu().numpy(),
    gradients=_of_cross_entropy,
    losses=_cross_entropy,
    ensemble=lambda outputs: outputs.softmax(2).mean(0),
)
"""The outputs are logits; the loss is the cross-entropy, with label smoothing."""

TASKS: dict[str, Task] = {task.name: task for task in (REGRESSION, CLASSIFICATION)}
METRICS: dict[str, Metric] = {m.name: m for task in TASKS.values() for m in task.metrics}
