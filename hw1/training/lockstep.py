"""The one training loop: all models of a batch, an epoch at a time."""

import json
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.rnn import pad_sequence

from hw1.datasets import Dataset
from hw1.tasks import TASKS, Metric
from hw1.training.compiled.backend import Compiled, is_compilable
from hw1.training.configuration import Configuration
from hw1.training.fused.backend import Fused
from hw1.training.initialization import initialize
from hw1.training.keys import with_keyed_dropout
from hw1.training.layers import dense_layers, program
from hw1.training.operations import OF_CALL, OF_STEP, count, of_example
from hw1.training.plan import Plan, cut
from hw1.training.precision import Precision
from hw1.training.stacked.backend import Stacked
from hw1.training.threads import torch_threads

Family = Callable[..., nn.Module]
"""``Family(input_shape, n_outputs, **architecture)`` builds one network."""
Backend = Literal["compiled", "fused", "stacked"]
"""How models are trained: in compiled code, each with all its layers; each by autograd, with what
stands between convolutions fused; or as one tensor program over all of them."""
State = list[dict[str, Tensor]]
"""The parameters and buffers of each model by name, as a plain network of its family has them."""


def build(
    family: Family, configuration: Configuration, dataset: Dataset, model_seed: int
) -> nn.Module:
    """The plain, initialised network of a configuration; its seed alone decides the weights.

    Raises:
        ArchitectureError: it cannot exist for the data set's inputs.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(model_seed)
        model = family(dataset.input_shape, dataset.n_outputs, **configuration.model)
        initialize(model, configuration.initialization)
    return model


class Models(Protocol):
    """Networks that are being trained by one of the backends."""

    @property
    def parameters(self) -> Tensor:
        """``(n_models, n_parameters)``."""

    def train(self, epoch: int, n_threads: int, on_step: Callable[[], None]) -> None:
        """Train every model for one epoch."""

    def outputs(self, rows: Tensor, n_threads: int, on_step: Callable[[], None]) -> Tensor:
        """What the models say of rows ``(n_models, n_rows)``, in normalised units."""

    def keep(self, models: Sequence[int]) -> None:
        """Go on with these models alone."""

    def named(self, i: int) -> dict[str, Tensor]:
        """The parameters and buffers of model ``i`` by name, sharing their memory."""

    def n_parameters(self, i: int) -> int:
        """The number of parameters of model ``i``."""

    def precision(self, i: int) -> Precision:
        """In which the convolutions and large matrix products of model ``i`` are computed."""


class Lockstep:
    """``n_models`` networks that are trained together.

    Every model has its own configuration, training rows and seed. The models may differ in all
    that the key of their `footprint` leaves open: on a CPU in everything, elsewhere in what
    does not change the shape of a step. What a model becomes depends on its own seed, rows and
    configuration alone, not on the others.

    Inputs, and the targets of a regression, are normalised with each model's own training rows
    (for images, channel by channel); outputs and scores are in the target's own units.

    Args:
        family: builds one network.
        configurations: one a model; quickest when those with the same optimizer stand together.
        dataset: the rows, on the device on which to train.
        rows: the training rows of each model, int64; where one model has more rows than
            another, each epoch leaves out some of them at random.
        seeds: one a model.
        validation_rows: for each model the rows on which `validate` scores it.
        metric: what `validate` and `score` measure; None for the first one of the task.
        precision: of convolutions and large matrix products; see `hw1.training.precision`.
        backend: how to train them; None for that of their `footprint`.
        on_step: called before every step, or several times a second; what it raises ends the
            training.

    Raises:
        ArchitectureError: a network cannot exist for the data set's inputs.
    """

    def __init__(
        self,
        family: Family,
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
    ) -> None:
        self.family = family
        self.dataset = dataset
        self.metric = metric or TASKS[dataset.task].metric()
        self._on_step = on_step
        self._n_threads = torch.get_num_threads()
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
        family, dataset = self.family, self.dataset
        networks = [
            with_keyed_dropout(build(family, configuration, dataset, model_seed))
            for configuration, model_seed in zip(configurations, seeds, strict=True)
        ]
        found = [footprint(family, c, dataset, backend) for c in configurations]
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
            normalises=any(isinstance(m, _BatchNorm) for n in networks for m in n.modules()),
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
    def steps_per_epoch(self) -> int:
        """The steps of an epoch, of the model that has most."""
        return max(self.plan.steps)

    @property
    def parameters(self) -> Tensor:
        """The trained numbers of each model, ``(n_models, n_parameters)``, in some order."""
        return self._models.parameters

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
        if self._validation is not None:
            self._validation = self._validation.keep(models)

    def batches(self) -> Iterator[Tensor]:
        """The rows of each step of the next epoch, each ``(n_models, batch)``.

        For models that have batches of one size.
        """
        (steps,), (batch,) = set(self.plan.steps), set(self.plan.batch_sizes)
        order = self.plan.order(self.epoch)[:, : steps * batch]
        return iter(order.view(-1, steps, batch).transpose(0, 1))

    def train_epoch(self) -> None:
        """Train every model for one epoch."""
        with torch_threads(1):
            self._models.train(self.epoch, self._n_threads, self._on_step)
        self.epoch += 1

    @torch.no_grad()
    def predict(self, rows: Tensor) -> Tensor:
        """The outputs for ``rows`` of the data set, ``(n_models, n_rows, n_outputs)``.

        Args:
            rows: ``(n_models, n_rows)``, or ``(n_rows,)`` for the same rows in all models.

        Returns:
            Predictions in the target's own units, or logits.
        """
        rows = rows.to(self.plan.lr.device).expand(self.n_models, -1)
        outputs = self._models.outputs(rows, self._n_threads, self._on_step)
        if TASKS[self.dataset.task].normalizes_targets:
            outputs = outputs * self.plan.target_std[:, None] + self.plan.target_mean[:, None]
        return outputs

    def score(self, rows: Sequence[Tensor]) -> Tensor:
        """The metric of each model over its own ``rows``, ``(n_models,)`` float64."""
        return self._score(_Rectangle.of(rows, self.dataset))[0]

    def validate(self) -> Tensor:
        """The metric of each model over its validation rows, ``(n_models,)`` float64."""
        return self.validate_and_predict()[0]

    def validate_and_predict(self) -> tuple[Tensor, Tensor]:
        """The same, and the outputs of each model for its validation rows.

        Returns:
            ``(n_models,)`` and ``(n_models, most_rows, n_outputs)``; a model with fewer rows than
            another has anything in the places that are over.
        """
        assert self._validation is not None, "the models were given no validation rows"
        with torch_threads(1):
            return self._score(self._validation)

    def _score(self, rows: "_Rectangle") -> tuple[Tensor, Tensor]:
        outputs = self.predict(rows.rows)
        return self.metric.scores(outputs, rows.targets, rows.counted).cpu(), outputs

    def state(self, models: slice = slice(None)) -> State:
        """A copy of the weights and buffers of ``models``, for `restore`."""
        return [
            {name: value.clone() for name, value in self._models.named(i).items()}
            for i in range(*models.indices(self.n_models))
        ]

    @torch.no_grad()
    def restore(self, state: State) -> None:
        """Go back to the weights and buffers of `state`."""
        for i, values in enumerate(state):
            own = self._models.named(i)
            for name, value in values.items():
                own[name].copy_(value)

    def model(self, i: int) -> nn.Module:
        """Model ``i`` as a plain network of the family, in evaluation mode.

        It takes normalised inputs.
        """
        network = build(self.family, self.configurations[i], self.dataset, 0)
        named = self._models.named(i)
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


@dataclass(frozen=True)
class Footprint:
    """What it takes to train a configuration.

    Attributes:
        key: what configurations must have in common to be trained in one batch.
        backend: how they are trained.
        layers: the names of the network's layers, if it is a chain of dense ones.
        n_elements: of the largest matrix in a step of one network: its parameters, or what its
            widest layer makes of a batch.
        draws: whether it draws random numbers otherwise than in layers of dropout.
        operations: floating-point operations of an epoch of one network on all rows, a measure of
            its time: what is not a matrix product counts as the products that take as long.
    """

    key: Hashable
    backend: Backend
    layers: tuple[str, ...]
    n_elements: int
    draws: bool
    operations: float


def footprint(
    family: Family, configuration: Configuration, dataset: Dataset, backend: Backend | None = None
) -> Footprint:
    """What it takes to train a configuration, by the best backend if none is given.

    Raises:
        ArchitectureError: the network cannot exist for the data set's inputs.
    """
    arguments = json.dumps(configuration.model, sort_keys=True)
    network = _inspect(family, tuple(dataset.input_shape), dataset.n_outputs, arguments)
    widest = max(dataset.inputs[0].numel(), dataset.n_outputs, *(s[0] for s in network.shapes))
    of_batch = widest * min(configuration.batch_size, len(dataset))
    n_elements = max(sum(shape.numel() for shape in network.shapes), of_batch)
    backend = backend or _best_backend(network, dataset.inputs.device)
    key: Hashable = backend  # those that are trained each by itself have nothing else in common
    if backend == "stacked":
        key = network.program, configuration.batch_size
        if not network.layers:
            # What an unknown network does with its arguments cannot be seen, but for dropout.
            drops = configuration.model.get("dropout", 0) > 0
            others = json.dumps(configuration.model | {"dropout": drops}, sort_keys=True)
            key = others, network.shapes, configuration.batch_size
    steps, batch = cut(len(dataset), configuration.batch_size)
    of_step = OF_STEP if backend == "compiled" else OF_CALL * network.n_calls
    operations = steps * (batch * network.of_example + of_step)
    return Footprint(key, backend, network.layers, n_elements, network.draws, operations)


@dataclass(frozen=True)
class _Network:
    """What is to be known of a network's architecture."""

    layers: tuple[str, ...]
    program: Hashable
    shapes: tuple[torch.Size, ...]
    is_compilable: bool
    has_convolutions: bool
    has_attention: bool
    is_recurrent: bool
    draws: bool
    of_example: float
    n_calls: int


@lru_cache(maxsize=4096)
def _inspect(
    family: Family, input_shape: tuple[int, ...], n_outputs: int, arguments: str
) -> _Network:
    with torch.random.fork_rng(devices=[]):
        model = with_keyed_dropout(family(input_shape, n_outputs, **json.loads(arguments)))
        layers = dense_layers(model, input_shape)
        counted = count(model, layers, input_shape)
    modules = list(model.modules())
    return _Network(
        layers=tuple(name for name, _ in layers),
        program=program(layers),
        shapes=tuple(p.shape for p in model.parameters()),
        is_compilable=is_compilable(layers),
        has_convolutions=any(isinstance(m, _ConvNd) for m in modules),
        has_attention=any(isinstance(m, nn.MultiheadAttention) for m in modules),
        is_recurrent=any(isinstance(m, nn.RNNBase) for m in modules),
        draws=counted.draws,
        of_example=of_example(counted.n_weights, counted.units),
        n_calls=counted.n_calls,
    )


def _best_backend(network: _Network, device: torch.device) -> Backend:
    on_cpu = device.type == "cpu"
    if on_cpu and network.is_compilable:
        return "compiled"
    # Stacked convolutions become grouped ones, which lose to one model after another on a CPU,
    # as does attention, which falls back to a loop over the models; recurrent layers and what draws
    # by itself cannot be stacked; all else gains from sharing its launches.
    alone_on_cpu = network.has_convolutions or network.has_attention
    if network.is_recurrent or network.draws or (on_cpu and alone_on_cpu):
        return "fused"
    return "stacked"
