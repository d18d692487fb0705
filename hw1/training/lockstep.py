"""The one training loop: all models of a batch, an epoch at a time."""

import json
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.rnn import pad_sequence

from hw1.datasets import Dataset
from hw1.errors import ArchitectureError
from hw1.models.initialization import initialize
from hw1.training.augmentation import augment
from hw1.training.configuration import Configuration
from hw1.training.dense import Dense, dense_layers, program
from hw1.training.functional import Functional
from hw1.training.keys import (
    KeyedDropout,
    dropout_factors,
    fold_in,
    keys,
    permutations,
    with_keyed_dropout,
)
from hw1.training.metrics import loss_gradients, scores
from hw1.training.optimizers import Optimizer
from hw1.training.schedules import lr_schedule

Family = Callable[..., nn.Module]
"""``Family(input_shape, n_outputs, **architecture)`` builds one network."""

State = tuple[Tensor, dict[str, Tensor]]
"""Weights and buffers of models; see `Lockstep.state`."""
Way = Literal["dense", "vmap", "in turn"]
"""How models are trained: by one program written out for all of them, through ``vmap``, or one
after another."""
Precision = Literal["float32", "bfloat16"]

# What a model's key is folded with before it is used, so that no two uses share numbers.
ORDER, DROPOUT, AUGMENTATION = range(3)
EVALUATION_ROWS = 256
BLOCK = 2**18
"""Elements of a layer, over all models, that are made ready for coming steps at once."""
CACHED = 2**20
"""Elements of normalised inputs, over all models, up to which they are kept."""
SMALL_STEP = 3e7
"""Parameters times rows times models in a step below which one thread is used. On an idle
machine two threads would save a third of so short a step; on a busy one their waiting for each
other costs a multiple of it."""


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


class Lockstep:
    """``n_models`` networks that are trained together.

    Every model has its own configuration, training rows and seed. The models may differ in all
    that a `Configuration` holds but the batch size, and in their networks as far as the key of
    their `footprint` is the same: dropout and, where the networks are a chain of dense layers,
    widths. What a model becomes depends on its own seed, rows and configuration alone, not on
    the others.

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
        precision: see `choose_precision`; dense layers always compute in that of the parameters.
        on_step: called before every step; what it raises ends the training.

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
        precision: Precision = "float32",
        on_step: Callable[[], None] = lambda: None,
    ) -> None:
        device = dataset.inputs.device
        self.family = family
        self.configurations = list(configurations)
        self.dataset = dataset
        self._on_step = on_step
        self.epoch = 0
        """The number of epochs trained so far."""

        models = [
            with_keyed_dropout(build(family, configuration, dataset, model_seed))
            for configuration, model_seed in zip(configurations, seeds, strict=True)
        ]
        self.template = models[0].to(device)
        seen, layers = _footprint(self.template, configurations[0], dataset)
        for previous, model, configuration in zip(
            configurations, models[1:], configurations[1:], strict=False
        ):
            same = configuration is previous  # as the folds of a trial are
            if not same and _footprint(model, configuration, dataset)[0].key != seen.key:
                raise ValueError("the models of a batch must have one footprint key")
        self.way = seen.way
        self.precision: Precision = "float32" if layers else precision
        self._layers = layers
        self._functional = Functional(self.template, getattr(torch, self.precision))

        named = dict(self.template.named_parameters())
        # Weights stand first: L1 and weight decay act on the first columns of the matrix.
        self._names = sorted(named, key=lambda name: named[name].dim() <= 1)
        self._shapes = [{n: p.shape for n, p in model.named_parameters()} for model in models]
        self._padded = {
            name: torch.Size(map(max, zip(*(s[name] for s in self._shapes), strict=True)))
            for name in self._names
        }
        n_weights = sum(self._padded[n].numel() for n in self._names if named[n].dim() > 1)
        n_columns = sum(shape.numel() for shape in self._padded.values())
        self.parameters = torch.zeros(
            len(models), n_columns, dtype=next(iter(named.values())).dtype, device=device
        )
        used = torch.zeros_like(self.parameters)
        for matrix, fill in ((self.parameters, None), (used, 1.0)):
            views = self._views(matrix, slice(None))
            for i, model in enumerate(models):
                for name, parameter in model.named_parameters():
                    value = parameter.detach() if fill is None else fill
                    views[name][_part(i, parameter.shape)] = value
        self._used = used if not bool(used.all()) else None
        self.buffers: dict[str, Tensor] = {}
        buffers = [dict(model.named_buffers()) for model in models]
        for name in buffers[0]:
            size = torch.Size(map(max, zip(*(b[name].shape for b in buffers), strict=True)))
            stacked = buffers[0][name].new_zeros(len(models), *size, device=device)
            for i, own in enumerate(buffers):
                stacked[_part(i, own[name].shape)] = own[name]
            self.buffers[name] = stacked
        self._dropouts = [
            name for name, m in self.template.named_modules() if isinstance(m, KeyedDropout)
        ]
        self._optimizer = Optimizer(configurations, self.parameters, n_weights)

        model_keys = keys(seeds).to(device)
        self._order_keys, self._dropout_keys, self._augmentation_keys = (
            fold_in(model_keys, purpose) for purpose in (ORDER, DROPOUT, AUGMENTATION)
        )
        self._rows = pad_sequence(list(rows), batch_first=True).to(device)
        self._lengths = torch.tensor([len(r) for r in rows], device=device)
        self._n_rows = min(len(r) for r in rows)
        batch_size = configurations[0].batch_size
        self.steps_per_epoch = -(-self._n_rows // batch_size)
        self._batch = self._n_rows // self.steps_per_epoch
        normalises = any(isinstance(m, _BatchNorm) for m in self.template.modules())
        if normalises and self._batch < 2:
            raise ArchitectureError(
                f"batch norm needs batches of two rows, and {self._n_rows} training rows in "
                f"batches of {batch_size} at most give batches of one"
            )
        self._lr = pad_sequence(
            [lr_schedule(c, self.steps_per_epoch) for c in configurations], batch_first=True
        ).to(self.parameters)
        self._label_smoothing = self.parameters.new_tensor(
            [c.label_smoothing for c in configurations]
        )
        self.input_mean, self.input_std = self._statistics(dataset.inputs)
        if dataset.task == "regression":
            self.target_mean, self.target_std = self._statistics(dataset.targets)
        if validation_rows is not None:
            self._validation_rows, self._counted = self._rectangle(validation_rows)
            self._validation_targets = dataset.targets[self._validation_rows]
        self._inputs: Tensor | None = None
        if layers and len(models) * dataset.inputs.numel() <= CACHED:
            self._inputs = (dataset.inputs.to(self.parameters) - self.input_mean) / self.input_std
            if validation_rows is not None:
                self._validation_inputs = self._normalized(slice(None), self._validation_rows)
        self._bind()

    def _bind(self) -> None:
        """Make what depends on the number of models or on where their parameters are."""
        self._lr_of_step = self._lr.t()[:, :, None].contiguous()
        self._augments = (
            any(c.augments for c in self.configurations) and len(self.dataset.input_shape) == 3
        )
        self._first_ordered, self._ordered = 0, self._rows.new_empty(0)
        self._first_ready, self._ready = 0, _Ready([], [], [])
        self._grads = torch.zeros_like(self.parameters)
        views = self._views(self.parameters, slice(None)), self._views(self._grads, slice(None))
        self._dense = Dense(self._layers, *views, self.buffers) if self._layers else None
        self._groups = (
            [slice(i, i + 1) for i in range(self.n_models)]
            if self.way == "in turn"
            else [slice(0, self.n_models)]
        )
        step_size = self._batch * self.parameters.numel()
        self._one_thread = self.way != "in turn" and step_size < SMALL_STEP
        outputs = [shape[0] for shape in self._padded.values()]
        widest = max(*outputs, self.dataset.inputs[0].numel())
        self._steps_ready = max(BLOCK // (self.n_models * self._batch * widest), 1)

    @property
    def n_models(self) -> int:
        """The number of models."""
        return len(self.configurations)

    def n_parameters(self, i: int) -> int:
        """The number of trained parameters of model ``i``."""
        return sum(shape.numel() for shape in self._shapes[i].values())

    def keep(self, models: Sequence[int]) -> None:
        """Go on with these models alone; the others are forgotten."""
        chosen = torch.tensor(models, device=self.parameters.device)
        self.configurations = [self.configurations[i] for i in models]
        self._shapes = [self._shapes[i] for i in models]
        for name in _OF_EACH_MODEL:
            value = getattr(self, name, None)
            if value is not None:
                setattr(self, name, value[chosen])
        self.buffers = {name: buffer[chosen] for name, buffer in self.buffers.items()}
        self._optimizer.keep(self.configurations, self.parameters, chosen)
        self._bind()

    def _statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each model's training rows.

        Each is ``(n_models, 1, n_features)`` or, for images, ``(n_models, 1, channels, 1, 1)``.
        A feature that never varies is only centred.
        """
        dims = (0, *range(2, values.dim()))
        found: dict[bytes, tuple[Tensor, Tensor]] = {}  # each trial has the same folds
        by_model = []
        for rows, length in zip(self._rows, self._lengths.tolist(), strict=True):
            own = rows[:length]
            digest = own.cpu().numpy().tobytes()
            if digest not in found:
                std, mean = torch.std_mean(
                    values[own].to(self.parameters), dims, correction=0, keepdim=True
                )
                found[digest] = mean, torch.where(std > 0, std, 1.0)
            by_model.append(found[digest])
        means, stds = zip(*by_model, strict=True)
        return torch.stack(means), torch.stack(stds)

    def _rectangle(self, rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Rows of different length as ``(n_models, longest)``, and which of them count."""
        device = self.parameters.device
        padded = pad_sequence(list(rows), batch_first=True).to(device)
        lengths = torch.tensor([len(r) for r in rows], device=device)
        return padded, torch.arange(padded.shape[1], device=device) < lengths[:, None]

    def _order(self, epoch: int) -> Tensor:
        """The rows of each step of an epoch, ``(steps_per_epoch, n_models, batch)``.

        A new random order of each model's rows, cut into ``steps_per_epoch`` batches of the same
        size; the fewer than ``steps_per_epoch`` rows that are over sit this epoch out.
        """
        if not 0 <= epoch - self._first_ordered < len(self._ordered):
            # Of small data the orders of many epochs cost no more launches than that of one.
            n_epochs = max(BLOCK // self._rows.numel(), 1)
            epochs = torch.arange(epoch, epoch + n_epochs, dtype=torch.int32)
            epochs = epochs.to(self.parameters.device)[:, None]
            places = permutations(fold_in(self._order_keys, epochs), self._lengths)
            order = self._rows.expand(n_epochs, -1, -1).gather(2, places)
            order = order[:, :, : self._batch * self.steps_per_epoch]
            order = order.reshape(n_epochs, self.n_models, self.steps_per_epoch, self._batch)
            self._first_ordered, self._ordered = epoch, order.transpose(1, 2)
        return self._ordered[epoch - self._first_ordered]

    def batches(self) -> Iterator[Tensor]:
        """The rows of each step of the next epoch, each ``(n_models, batch)``."""
        return iter(self._order(self.epoch))

    def train_epoch(self) -> None:
        """Train every model for one epoch."""
        first = self.epoch * self.steps_per_epoch
        with self._threads():
            if self._dense is not None:
                with torch.no_grad():
                    for step in range(first, first + self.steps_per_epoch):
                        self._on_step()
                        self._dense_step(self._dense, step)
            else:
                self.template.train()
                order = self._order(self.epoch)
                for models in self._groups:
                    for i in range(self.steps_per_epoch):
                        self._on_step()
                        self._functional_step(models, order[i, models], first + i)
        self.epoch += 1

    @contextmanager
    def _threads(self) -> Iterator[None]:
        before = torch.get_num_threads()
        changes = self._one_thread and before > 1
        if changes:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            if changes:
                torch.set_num_threads(before)

    def _dense_step(self, dense: Dense, step: int) -> None:
        if not 0 <= step - self._first_ready < len(self._ready.inputs):
            self._make_ready(step)
        i = step - self._first_ready
        outputs = dense.forward(self._ready.inputs[i], [f[i] for f in self._ready.factors])
        dense.backward(
            loss_gradients(
                self.dataset.task, outputs, self._ready.targets[i], self._label_smoothing
            )
        )
        if self._used is not None:
            self._grads.mul_(self._used)
        self._optimizer.step(slice(None), self._grads, self._lr_of_step[step], step + 1)

    def _make_ready(self, step: int) -> None:
        """Load the batches and draw the dropout of this and, if they are small, coming steps."""
        epoch, i = divmod(step, self.steps_per_epoch)
        self._order(epoch)
        rows = self._ordered[epoch - self._first_ordered :].flatten(0, 1)[i:][: self._steps_ready]
        inputs, targets = self._load(slice(None), rows, step)
        steps = torch.arange(step, step + len(rows), dtype=torch.int32).to(rows.device)[:, None]
        dropout_keys = fold_in(self._dropout_keys, steps)
        factors, width = [], inputs.shape[-1]
        for name, layer in self._layers:
            if isinstance(layer, nn.Linear):
                width = self._padded[f"{name}.weight"][0]
            elif isinstance(layer, KeyedDropout):
                key = fold_in(dropout_keys, self._dropouts.index(name))
                p = self.buffers[f"{name}.p"].expand(len(rows), -1)
                factors.append(dropout_factors(key, p, (self._batch, width)))
        self._first_ready, self._ready = step, _Ready(inputs, targets, factors)

    def _load(self, models: slice, rows: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """The normalised inputs and targets of consecutive steps.

        Args:
            models: whose rows these are.
            rows: ``(n_steps, n, batch)``.
            step: the first one.

        Returns:
            ``(n_steps, n, batch, ...)``; rows that go into dense layers are flat.
        """
        inputs = self._normalized(models, rows, step)
        targets = self.dataset.targets[rows]
        if self.dataset.task == "regression":
            targets = (targets - self.target_mean[models]) / self.target_std[models]
        return inputs, targets

    def _functional_step(self, models: slice, rows: Tensor, step: int) -> None:
        (inputs,), (targets,) = self._load(models, rows[None], step)
        if self._dropouts:
            step_keys = fold_in(self._dropout_keys[models], step)
            for layer, name in enumerate(self._dropouts):
                self.buffers[f"{name}.key"][models] = fold_in(step_keys, layer)
        grads = self._functional.gradients(
            self._views(self.parameters, models),
            {name: buffer[models] for name, buffer in self.buffers.items()},
            inputs,
            lambda outputs: loss_gradients(
                self.dataset.task, outputs, targets, self._label_smoothing[models]
            ),
            check=step == 0,
        )
        with torch.no_grad():
            for view, grad in zip(self._views(self._grads, models).values(), grads, strict=True):
                view.copy_(grad)
            self._optimizer.step(models, self._grads, self._lr_of_step[step], step + 1)

    def _normalized(self, models: slice, rows: Tensor, first_step: int | None = None) -> Tensor:
        """The inputs of ``rows`` ``(..., n, batch)``, augmented if they are those of steps."""
        if self._inputs is not None and not (first_step is not None and self._augments):
            n_rows = self._inputs.shape[1]
            offsets = torch.arange(0, self.n_models * n_rows, n_rows, device=rows.device)
            places = (rows + offsets[models, None]).flatten()
            inputs = self._inputs.flatten(0, 1)[places].view(*rows.shape, *self._inputs.shape[2:])
        else:
            inputs = self.dataset.inputs[rows]
            if first_step is not None and self._augments:
                steps = torch.arange(first_step, first_step + len(rows), dtype=torch.int32)
                step_keys = fold_in(self._augmentation_keys[models], steps.to(rows.device)[:, None])
                images = inputs.flatten(0, 1)
                configurations = self.configurations[models] * len(rows)
                images = augment(images, configurations, step_keys.flatten(0, 1))
                inputs = images.view_as(inputs)
            inputs = inputs.to(self.parameters.dtype)  # a copy, unless they are floats
            inputs = (inputs - self.input_mean[models]) / self.input_std[models]
        return inputs.flatten(rows.dim()) if self._layers else inputs

    def _views(self, matrix: Tensor, models: slice) -> dict[str, Tensor]:
        """What ``matrix`` holds for ``models`` by name, ``(n, *shape)``, sharing its memory."""
        rows = matrix[models]
        flat = rows.split([shape.numel() for shape in self._padded.values()], 1)
        return {
            name: values.view(len(rows), *shape)
            for (name, shape), values in zip(self._padded.items(), flat, strict=True)
        }

    @torch.no_grad()
    def predict(self, rows: Tensor) -> Tensor:
        """The outputs for ``rows`` of the data set, ``(n_models, n_rows, n_outputs)``.

        Args:
            rows: ``(n_models, n_rows)``, or ``(n_rows,)`` for the same rows in all models.

        Returns:
            Predictions in the target's own units, or logits.
        """
        rows = rows.to(self.parameters.device).expand(self.n_models, -1)
        self.template.eval()
        with self._threads():
            by_group = [
                torch.cat(
                    [
                        self._outputs(models, self._normalized(models, chunk))
                        for chunk in rows[models].split(EVALUATION_ROWS, 1)
                    ],
                    1,
                )
                for models in self._groups
            ]
        return self._in_own_units(torch.cat(by_group))

    def _in_own_units(self, outputs: Tensor) -> Tensor:
        if self.dataset.task == "regression":
            return outputs * self.target_std + self.target_mean
        return outputs

    def _outputs(self, models: slice, inputs: Tensor) -> Tensor:
        if self._dense is not None:
            return self._dense.evaluate(inputs)
        buffers = {name: buffer[models] for name, buffer in self.buffers.items()}
        return self._functional.forward(self._views(self.parameters, models), buffers, inputs)

    def score(self, rows: Sequence[Tensor]) -> Tensor:
        """The metric of each model over its own ``rows``, ``(n_models,)`` float64."""
        padded, counted = self._rectangle(rows)
        targets = self.dataset.targets[padded]
        return scores(self.dataset.task, self.predict(padded), targets, counted).cpu()

    def validate(self) -> Tensor:
        """The metric of each model over its validation rows, ``(n_models,)`` float64."""
        if self._dense is not None and self._inputs is not None:
            with torch.no_grad(), self._threads():
                outputs = self._in_own_units(self._dense.evaluate(self._validation_inputs))
        else:
            outputs = self.predict(self._validation_rows)
        return scores(self.dataset.task, outputs, self._validation_targets, self._counted).cpu()

    def state(self, models: slice = slice(None)) -> State:
        """A copy of the weights and buffers of ``models``, for `restore`."""
        buffers = {name: buffer[models].clone() for name, buffer in self.buffers.items()}
        return self.parameters[models].clone(), buffers

    def restore(self, state: State) -> None:
        """Go back to the weights and buffers of `state`."""
        self.parameters.copy_(state[0])
        for name, buffer in state[1].items():
            self.buffers[name].copy_(buffer)

    def model(self, i: int) -> nn.Module:
        """Model ``i`` as a plain network of the family, in evaluation mode.

        It takes normalised inputs.
        """
        network = build(self.family, self.configurations[i], self.dataset, 0)
        one = slice(i, i + 1)
        state = self._views(self.parameters, one) | {n: b[one] for n, b in self.buffers.items()}
        own = {
            # Of a padded layer the model's own part.
            name: state[name][_part(0, value.shape)]
            for name, value in network.state_dict().items()
            if name in state
        }
        network.load_state_dict(own, strict=False)  # of tied weights one name is enough
        return network.eval()


def _part(i: int, shape: torch.Size) -> tuple[int | slice, ...]:
    """Where in a stack that is padded to the largest model ``i`` has its own."""
    return (i, *(slice(n) for n in shape))


@dataclass
class _Ready:
    """What consecutive steps need, the steps in front."""

    inputs: Tensor | Sequence[Tensor]
    targets: Tensor | Sequence[Tensor]
    factors: list[Tensor]


# The attributes whose first dimension is that of the models.
_OF_EACH_MODEL = (
    "parameters",
    "input_mean",
    "input_std",
    "target_mean",
    "target_std",
    "_order_keys",
    "_dropout_keys",
    "_augmentation_keys",
    "_rows",
    "_lengths",
    "_lr",
    "_label_smoothing",
    "_used",
    "_inputs",
    "_validation_rows",
    "_validation_inputs",
    "_validation_targets",
    "_counted",
)


@dataclass(frozen=True)
class Footprint:
    """What it takes to train a configuration.

    Attributes:
        key: what configurations must have in common to be trained in one batch.
        way: how they are trained.
        n_elements: of the largest matrix in a step of one network: its parameters, or what its
            widest layer makes of a batch.
    """

    key: Hashable
    way: Way
    n_elements: int


def footprint(family: Family, configuration: Configuration, dataset: Dataset) -> Footprint:
    """What it takes to train a configuration.

    Raises:
        ArchitectureError: the network cannot exist for the data set's inputs.
    """
    with torch.random.fork_rng(devices=[]):
        model = family(dataset.input_shape, dataset.n_outputs, **configuration.model)
    return _footprint(with_keyed_dropout(model), configuration, dataset)[0]


def _footprint(
    model: nn.Module, configuration: Configuration, dataset: Dataset
) -> tuple[Footprint, list[tuple[str, nn.Module]]]:
    """The footprint of a configuration's network, and its layers if they are dense."""
    layers = dense_layers(model, dataset.input_shape)
    shapes = tuple(p.shape for p in model.parameters())
    way: Way = "dense" if layers else "vmap"
    if layers:
        network: Hashable = program(layers)
    else:
        # Stacked convolutions become grouped ones, which lose to one model after another on a
        # CPU, and recurrent layers cannot be stacked; all else gains from sharing its launches.
        on_cpu = dataset.inputs.device.type == "cpu"
        alone = (_ConvNd, nn.RNNBase) if on_cpu else nn.RNNBase
        if any(isinstance(m, alone) for m in model.modules()):
            way = "in turn"
        # What an unknown network does with its arguments cannot be seen, but for dropout.
        arguments = {
            name: value > 0 if name == "dropout" else value
            for name, value in configuration.model.items()
        }
        network = json.dumps(arguments, sort_keys=True), shapes
    widest = max(dataset.inputs[0].numel(), dataset.n_outputs, *(shape[0] for shape in shapes))
    n_parameters = sum(shape.numel() for shape in shapes)
    of_batch = widest * min(configuration.batch_size, len(dataset))
    key = network, configuration.batch_size
    return Footprint(key, way, max(n_parameters, of_batch)), layers


def choose_precision(device: torch.device) -> Precision:
    """The precision in which a device computes convolutions and matrix products fastest.

    bfloat16 where the hardware has it: a GPU that says so, or a processor with AVX512-BF16 or
    AMX, which only Linux tells.
    """
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return "float32"
    return "bfloat16" if {"avx512_bf16", "amx_bf16"} & set(flags) else "float32"
