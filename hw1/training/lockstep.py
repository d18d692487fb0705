"""The one training loop: all models of a batch, an epoch at a time."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.rnn import pad_sequence

from hw1.datasets import Dataset
from hw1.tasks import TASKS, Metric
from hw1.training.augmentation import Views, seen
from hw1.training.compiled.backend import Compiled
from hw1.training.configuration import Configuration
from hw1.training.fused.backend import Fused
from hw1.training.keys import with_keyed_dropout
from hw1.training.networks import Backend, ModelClass, build, footprint
from hw1.training.plan import Plan
from hw1.training.precision import Precision
from hw1.training.stacked.backend import Stacked
from hw1.training.threads import torch_threads

State = list[dict[str, Tensor]]
"""The parameters and buffers of each model by name, as a plain network has them."""


class Models(Protocol):
    """Networks that are being trained by one of the backends."""

    @property
    def parameters(self) -> Tensor:
        """``(n_models, n_parameters)``."""

    def train(self, epoch: int, n_threads: int, on_step: Callable[[], None]) -> Tensor:
        """Train every model for one epoch.

        Returns:
            ``(n_models, most_rows, n_outputs)``, what each model gave for the rows of the epoch, in
            their order, before the step that it took with them; in normalized units.
        """

    def outputs(self, rows: Tensor, n_threads: int, on_step: Callable[[], None]) -> Tensor:
        """The models' outputs for rows ``(n_models, n_rows)``, in normalized units."""

    def keep(self, models: Sequence[int]) -> None:
        """Go on with these models alone."""

    def named(self, i: int) -> dict[str, Tensor]:
        """The parameters and buffers of model ``i`` by name, sharing their memory."""

    def memory(self) -> dict[str, Tensor]:
        """By name all that training changes and goes on from, sharing its memory."""

    def n_parameters(self, i: int) -> int:
        """The number of parameters of model ``i``."""

    def precision(self, i: int) -> Precision:
        """In which the convolutions and large matrix products of model ``i`` are computed."""


@dataclass(frozen=True)
class Given:
    """What each model has given for some rows.

    Attributes:
        rows: ``(n_models, n_rows)``.
        counted: of the same shape, False for what only fills up the rectangle.
        outputs: ``(n_models, n_rows, n_outputs)``, logits or predictions in normalized units.
    """

    rows: Tensor
    counted: Tensor
    outputs: Tensor


class Lockstep:
    """``n_models`` networks that are trained together.

    Every model has its own configuration, training examples and seed. The models may differ in all
    that the key of their `footprint` leaves open: on a CPU in everything, elsewhere in what
    does not change the shape of a step. What a model becomes depends on its own seed, rows and
    configuration alone, not on the others.

    Inputs, and the targets of a regression, are normalized with each model's own training examples
    (for images, channel by channel); outputs and scores are in the target's own units.

    Args:
        model_class: builds one network.
        configurations: one a model; quickest when those with the same optimizer stand together.
        dataset: the rows, on the device on which to train.
        rows: the training examples of each model, int64; where one model has more rows than
            another, each epoch leaves out some of them at random.
        seeds: one a model.
        validation_rows: for each model the rows on which `validate` scores it.
        metric: what `validate` and `score` measure; None for the first one of the task.
        precision: of convolutions and large matrix products; see `hw1.training.precision`.
        backend: how to train them; None for that of their `footprint`.
        on_step: called before every step, or several times a second; what it raises ends the
            training.
        ahead: whether a few epochs more than were asked for may be trained at once, which is faster
            for small networks. `train_epoch` and `validate` do not differ; but until the last epoch
            there are no weights, nor outputs for other rows.

    Raises:
        ArchitectureError: a network is invalid for the data set's inputs.
    """

    def __init__(
        self,
        model_class: ModelClass,
        configurations: Sequence[Configuration],
        dataset: Dataset,
        rows: Sequence[Tensor],
        seeds: Sequence[int],
        *,
        validation_rows: Sequence[Tensor] | None = None,
        metric: Metric | None = None,
        precision: Precision = "float32",
        backend: Backend | None = None,
        on_step: Callable[[], None] = lambda: None,
        ahead: bool = False,
    ) -> None:
        self.model_class = model_class
        self.dataset = dataset
        self.metric = metric or TASKS[dataset.task].metric()
        self._on_step = on_step
        self._n_threads = torch.get_num_threads()
        self._ahead = ahead
        self._trained: deque[tuple[Tensor, ...]] = deque()
        self._validated: tuple[Tensor, ...] | None = None
        self.epoch = 0
        """The number of epochs trained so far."""
        with torch_threads(1):
            self._build(configurations, rows, seeds, precision, backend)
            self._validation: _Rectangle | None = None
            if validation_rows is not None:
                self._validation = _Rectangle.of(validation_rows, dataset)

    def _build(
        self,
        configurations: Sequence[Configuration],
        rows: Sequence[Tensor],
        seeds: Sequence[int],
        precision: Precision,
        backend: Backend | None,
    ) -> None:
        model_class, dataset = self.model_class, self.dataset
        networks = [
            with_keyed_dropout(build(model_class, configuration, dataset, model_seed))
            for configuration, model_seed in zip(configurations, seeds, strict=True)
        ]
        found = [footprint(model_class, c, dataset, backend) for c in configurations]
        self.backend: Backend = found[0].backend
        if any(one.key != found[0].key for one in found):
            raise ValueError("the models of a batch must have one footprint key")
        layers = [
            [(name, network.get_submodule(name)) for name in one.layers]
            for network, one in zip(networks, found, strict=True)
        ]
        self.plan = Plan(
            configurations,
            dataset,
            rows,
            seeds,
            normalizes=any(isinstance(m, _BatchNorm) for n in networks for m in n.modules()),
        )
        self._models: Models
        if self.backend == "compiled":
            self._models = Compiled(self.plan, layers, precision)
        else:
            networks = [network.to(dataset.inputs.device) for network in networks]
            if self.backend == "fused":
                draws = [one.draws for one in found]
                self._models = Fused(self.plan, networks, precision, draws)
            else:
                self._models = Stacked(self.plan, networks, layers[0], precision)

    @property
    def configurations(self) -> list[Configuration]:
        """One a model."""
        return self.plan.configurations

    @property
    def n_models(self) -> int:
        """The number of models."""
        return self.plan.n_models

    @property
    def _now(self) -> Models:
        """The models, if they are as they were after the epoch that was asked for last."""
        assert not self._trained, "more epochs have been trained than were asked for"
        return self._models

    @property
    def holds_weights(self) -> bool:
        """Whether the models are as they were after the epoch that was asked for last."""
        return not self._trained

    @property
    def parameters(self) -> Tensor:
        """The trained numbers of each model, ``(n_models, n_parameters)``, in some order."""
        return self._now.parameters

    def n_parameters(self, i: int) -> int:
        """The number of trained parameters of model ``i``."""
        return self._models.n_parameters(i)

    def precision(self, i: int) -> Precision:
        """In which the convolutions and large matrix products of model ``i`` are computed."""
        return self._models.precision(i)

    def keep(self, models: Sequence[int]) -> None:
        """Go on with these models alone; the others are forgotten."""
        self.plan.keep(models)
        self._models.keep(models)
        self._trained = deque(tuple(found[models] for found in one) for one in self._trained)
        self._validated = None
        if self._validation is not None:
            self._validation = self._validation.keep(models)

    def train_epoch(self) -> None:
        """Train every model for one epoch."""
        assert self.epoch < self.plan.epochs, "there are no learning rates for more epochs"
        self._validated = None
        with torch_threads(1):
            if not self._trained:
                self._train_ahead()
            if self._trained:
                order, outputs, *found = self._trained.popleft()
                self._validated = tuple(found)
            else:
                outputs = self._models.train(self.epoch, self._n_threads, self._on_step)
                order = self.plan.order(self.epoch)
        counted = self.plan.trained
        most = counted.shape[1]  # of the models that are left
        self.trained = Given(order[:, :most], counted, outputs[:, :most])
        """What the models gave for the examples of the last epoch, each before its step."""
        self.epoch += 1

    def _train_ahead(self) -> None:
        """Train and validate the next epochs, an eighth of those that there were, if it pays."""
        if not self._ahead or not isinstance(self._models, Compiled) or self._validation is None:
            return
        if set(self.views) != {"one"}:
            return
        left = min(c.epochs for c in self.configurations) - self.epoch
        n_epochs = min(1 + self.epoch // 8, self._models.most_epochs(), left)
        if n_epochs > 1:
            orders = self.plan.orders(self.epoch, n_epochs)
            given, validated = self._models.train_epochs(
                orders, self.epoch, self._validation.rows, self._n_threads, self._on_step
            )
            found = validated, *self._measure(self._validation, validated)
            self._trained.extend(zip(orders, given, *found, strict=True))

    def predict(self, rows: Tensor) -> Tensor:
        """The outputs for ``rows`` of the data set, ``(n_models, n_rows, n_outputs)``.

        Args:
            rows: ``(n_models, n_rows)``, or ``(n_rows,)`` for the same data in all models.

        Returns:
            Predictions in the target's own units, or logits.
        """
        rows = rows.to(self.plan.lr.device).expand(self.n_models, -1)
        return self.plan.in_own_units(self._outputs(rows))

    @property
    def views(self) -> list[Views]:
        """The views that each model's outputs are averaged over."""
        return [c.views_of(self.dataset.input_shape) for c in self.configurations]

    @torch.no_grad()
    def _outputs(self, rows: Tensor) -> Tensor:
        found = {views: self._mean_over(views, rows) for views in dict.fromkeys(self.views)}
        if len(found) == 1:
            return found[self.views[0]]
        return torch.stack([found[views][i] for i, views in enumerate(self.views)])

    def _mean_over(self, views: Views, rows: Tensor) -> Tensor:
        """The mean outputs over views of the data, of all models."""
        given = []
        try:
            for view in seen(self.dataset.inputs, views):
                self.plan.seen = view
                given.append(self._now.outputs(rows, self._n_threads, self._on_step))
        finally:
            self.plan.seen = self.dataset.inputs
        return given[0] if len(given) == 1 else torch.stack(given).mean(0)

    def score(self, rows: Sequence[Tensor]) -> Tensor:
        """The metric of each model over its own ``rows``, ``(n_models,)`` float64."""
        rectangle = _Rectangle.of(rows, self.dataset)
        return self._measure(rectangle, self._outputs(rectangle.rows))[0]

    def validate(self) -> Tensor:
        """The metric of each model over its validation examples, ``(n_models,)`` float64."""
        return self.validate_and_predict()[0]

    def validate_and_predict(self) -> tuple[Tensor, Tensor]:
        """The same, and the outputs of each model for its validation examples.

        Returns:
            ``(n_models,)`` and ``(n_models, most_rows, n_outputs)``; a model with fewer rows than
            another has anything in the places that are over.
        """
        assert self._validation is not None, "the models were given no validation examples"
        rows = self._validation
        if self._validated is not None:
            given, scores, outputs = self._validated
        else:
            with torch_threads(1):
                given = self._outputs(rows.rows)
                scores, outputs = self._measure(rows, given)
        self.validated = Given(rows.rows, rows.counted, given)
        """What the models gave when they were validated last."""
        return scores, outputs

    def _measure(self, rows: "_Rectangle", given: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and outputs in the target's own units, by model and perhaps by epoch."""
        outputs = self.plan.in_own_units(given)
        return self.metric.scores(outputs, rows.targets, rows.counted).cpu(), outputs

    def state(self, models: slice = slice(None)) -> State:
        """A copy of the weights and buffers of ``models``, for `restore`."""
        return [
            {name: value.clone() for name, value in self._now.named(i).items()}
            for i in range(*models.indices(self.n_models))
        ]

    @torch.no_grad()
    def restore(self, state: State) -> None:
        """Go back to the weights and buffers of `state`."""
        self._validated = None
        for i, values in enumerate(state):
            own = self._now.named(i)
            for name, value in values.items():
                own[name].copy_(value)

    def memory(self) -> dict[str, Tensor]:
        """By name all that training changes, sharing its memory.

        With these values and `epoch`, models that were made alike go on to the last bit as these.
        """
        return self._now.memory()

    def model(self, i: int) -> nn.Module:
        """Model ``i`` as a plain network of the model class, in evaluation mode.

        It takes normalized inputs.
        """
        network = build(self.model_class, self.configurations[i], self.dataset, 0)
        named = self._now.named(i)
        own = {name: named[name] for name in network.state_dict() if name in named}
        network.load_state_dict(own, strict=False)  # of tied weights one name is enough
        return network.eval()


@dataclass
class _Rectangle:
    """Rows of each model, filled up to the longest, ``(n_models, n_rows)``; which of them count."""

    rows: Tensor
    counted: Tensor
    targets: Tensor

    @classmethod
    def of(cls, rows: Sequence[Tensor], dataset: Dataset) -> "_Rectangle":
        device = dataset.inputs.device
        padded = pad_sequence(list(rows), batch_first=True).to(device)
        lengths = torch.tensor([len(r) for r in rows], device=device)
        counted = torch.arange(padded.shape[1], device=device) < lengths[:, None]
        return cls(padded, counted, dataset.targets[padded])

    def keep(self, models: Sequence[int]) -> "_Rectangle":
        chosen = torch.tensor(models, device=self.rows.device)
        return _Rectangle(self.rows[chosen], self.counted[chosen], self.targets[chosen])
