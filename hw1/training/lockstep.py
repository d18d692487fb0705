"""The one training loop: all models of a batch, an epoch at a time."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.rnn import pad_sequence

from hw1.datasets import Dataset
from hw1.errors import ArchitectureError, InputError
from hw1.models.initialization import initialize
from hw1.training.augmentation import augment
from hw1.training.configuration import Configuration
from hw1.training.keys import (
    KeyedDropout,
    fold_in,
    keys,
    permutations,
    with_keyed_dropout,
)
from hw1.training.metrics import losses, scores
from hw1.training.optimizers import Optimizer
from hw1.training.schedules import lr_schedule

Family = Callable[..., nn.Module]
"""``Family(input_shape, n_outputs, **architecture)`` builds one network."""

# What a model's key is folded with before it is used, so that no two uses share numbers.
ORDER, DROPOUT, AUGMENTATION = range(3)
EVALUATION_ROWS = 256
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
    """``n_models`` networks of one shape that are trained together.

    Every model has its own configuration, training rows and seed. The models may differ in all
    that a `Configuration` holds as a number; architecture, optimizer, schedule, epochs, batch
    size and augmentation are the same for all. What a model becomes depends on its own seed,
    rows and configuration alone, not on the others.

    Inputs, and the targets of a regression, are normalised with each model's own training rows
    (for images, channel by channel); outputs and scores are in the target's own units.

    Args:
        family: builds one network.
        configurations: one a model.
        dataset: the rows, on the device on which to train.
        rows: the training rows of each model, int64; where one model has more rows than
            another, each epoch leaves out some of them at random.
        seeds: one a model.
        on_step: called before every step; what it raises ends the training.

    Raises:
        ArchitectureError: the network cannot exist for the data set's inputs.
    """

    def __init__(
        self,
        family: Family,
        configurations: Sequence[Configuration],
        dataset: Dataset,
        rows: Sequence[Tensor],
        seeds: Sequence[int],
        on_step: Callable[[], None] = lambda: None,
    ) -> None:
        for shared in ("optimizer", "epochs", "batch_size", "flip", "shift", "erase"):
            if len({getattr(c, shared) for c in configurations}) > 1:
                raise ValueError(f"the models of a batch must agree on {shared}")
        device = dataset.inputs.device
        self.family = family
        self.configurations = list(configurations)
        self.dataset = dataset
        self.n_models = len(seeds)
        self._on_step = on_step
        self.epoch = 0
        """The number of epochs trained so far."""

        models = [
            build(family, configuration, dataset, model_seed)
            for configuration, model_seed in zip(configurations, seeds, strict=True)
        ]
        models = [with_keyed_dropout(model).to(device) for model in models]
        self.template = models[0]
        self.n_parameters = sum(p.numel() for p in self.template.parameters())
        self._shapes = {name: p.shape for name, p in self.template.named_parameters()}
        self.parameters = torch.stack(
            [torch.cat([p.detach().flatten() for p in model.parameters()]) for model in models]
        )
        self.buffers: dict[str, Tensor] = {
            name: torch.stack([dict(model.named_buffers())[name] for model in models])
            for name, _ in self.template.named_buffers()
        }
        self._dropouts = {
            name: m for name, m in self.template.named_modules() if isinstance(m, KeyedDropout)
        }
        is_weight = torch.cat(
            [
                torch.full_like(p.detach().flatten(), float(p.dim() > 1))
                for p in self.template.parameters()
            ]
        )
        self._optimizer = Optimizer(configurations, self.parameters, is_weight)

        model_keys = keys(seeds).to(device)
        self._order_keys, self._dropout_keys, self._augmentation_keys = (
            fold_in(model_keys, purpose) for purpose in (ORDER, DROPOUT, AUGMENTATION)
        )
        self._rows = pad_sequence(list(rows), batch_first=True).to(device)
        self._lengths = torch.tensor([len(r) for r in rows], device=device)
        self._n_rows = min(len(r) for r in rows)
        self.steps_per_epoch = -(-self._n_rows // configurations[0].batch_size)
        self._augments = configurations[0].augments and len(dataset.input_shape) == 3
        normalises = any(isinstance(m, _BatchNorm) for m in self.template.modules())
        if normalises and self._n_rows // self.steps_per_epoch < 2:
            raise ArchitectureError(
                f"batch norm needs batches of two rows, and {self._n_rows} training rows in "
                f"batches of {configurations[0].batch_size} at most give batches of one"
            )
        self._lr = torch.stack([lr_schedule(c, self.steps_per_epoch) for c in configurations]).to(
            self.parameters
        )
        self._label_smoothing = self.parameters.new_tensor(
            [c.label_smoothing for c in configurations]
        )
        self.input_mean, self.input_std = self._statistics(dataset.inputs)
        if dataset.task == "regression":
            self.target_mean, self.target_std = self._statistics(dataset.targets)
        # Stacked convolutions become grouped ones, which lose to one model after another on a
        # CPU, and recurrent layers cannot be stacked; all else gains from sharing its launches.
        in_turn = any(isinstance(m, _ConvNd | nn.RNNBase) for m in self.template.modules())
        step_size = self._n_rows // self.steps_per_epoch * self.n_models * self.n_parameters
        self._one_thread = not in_turn and step_size < SMALL_STEP
        self._groups = (
            [slice(i, i + 1) for i in range(self.n_models)]
            if in_turn
            else [slice(0, self.n_models)]
        )

    def _statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each model's training rows.

        Each is ``(n_models, 1, n_features)`` or, for images, ``(n_models, 1, channels, 1, 1)``.
        A feature that never varies is only centred.
        """
        dims = (0, *range(2, values.dim()))
        means, stds = [], []
        for rows, length in zip(self._rows, self._lengths, strict=True):
            std, mean = torch.std_mean(
                values[rows[:length]].to(self.parameters), dims, correction=0, keepdim=True
            )
            means.append(mean)
            stds.append(torch.where(std > 0, std, 1.0))
        return torch.stack(means), torch.stack(stds)

    def batches(self) -> Iterator[Tensor]:
        """The rows of each step of the next epoch, each ``(n_models, batch)``.

        A new random order of each model's rows, cut into ``steps_per_epoch`` batches of the same
        size; the fewer than ``steps_per_epoch`` rows that are over sit this epoch out.
        """
        epoch_keys = fold_in(self._order_keys, self.epoch)
        order = self._rows.gather(1, permutations(epoch_keys, self._lengths))
        batch_size = self._n_rows // self.steps_per_epoch
        return iter(order[:, : batch_size * self.steps_per_epoch].split(batch_size, 1))

    def train_epoch(self) -> None:
        """Train every model for one epoch."""
        self.template.train()
        batches = list(self.batches())
        with self._threads():
            for models in self._groups:
                for i, rows in enumerate(batches):
                    self._on_step()
                    self._step(models, rows[models], self.epoch * self.steps_per_epoch + i)
        self.epoch += 1

    @contextmanager
    def _threads(self) -> Iterator[None]:
        before = torch.get_num_threads()
        if self._one_thread:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def _step(self, models: slice, rows: Tensor, step: int) -> None:
        configuration = self.configurations[0]
        inputs, targets = self.dataset.inputs[rows], self.dataset.targets[rows]
        if self._augments:
            key = fold_in(self._augmentation_keys[models], step)
            inputs = augment(inputs, configuration, key)
        if self.dataset.task == "regression":
            targets = (targets - self.target_mean[models]) / self.target_std[models]
        if self._dropouts:
            step_keys = fold_in(self._dropout_keys[models], step)
            for layer, name in enumerate(self._dropouts):
                self.buffers[f"{name}.key"][models] = fold_in(step_keys, layer)

        parameters = self._views(models)
        for parameter in parameters.values():
            parameter.requires_grad_()
        state = _random_state(inputs.device) if step == 0 else None
        outputs = self._forward(models, parameters, inputs)
        if state is not None and not torch.equal(state, _random_state(inputs.device)):
            raise InputError(
                f"{type(self.template).__name__} draws random numbers that do not follow a model's "
                "seed: use nn.Dropout, as a layer, for all its randomness"
            )
        loss = losses(self.dataset.task, outputs, targets, self._label_smoothing[models])
        # The models share no parameter, so the gradient of the sum is each model's own.
        try:
            grads = torch.autograd.grad(loss.sum(), list(parameters.values()))
        except RuntimeError as error:
            if "not have been used" not in str(error):
                raise
            raise InputError(
                f"{type(self.template).__name__} has parameters that its outputs do not depend on: "
                "remove them from the family"
            ) from error
        with torch.no_grad():
            flat = torch.cat([g.reshape(len(g), -1) for g in grads], 1)
            self._optimizer.step(models, flat, self._lr[models, step, None], step + 1)

    def _views(self, models: slice) -> dict[str, Tensor]:
        """The parameters of ``models`` by name, each ``(n, *shape)``, sharing their memory."""
        rows = self.parameters[models]
        flat = rows.split([shape.numel() for shape in self._shapes.values()], 1)
        return {
            name: values.view(len(rows), *shape)
            for (name, shape), values in zip(self._shapes.items(), flat, strict=True)
        }

    def _forward(self, models: slice, parameters: dict[str, Tensor], inputs: Tensor) -> Tensor:
        """The outputs of the networks, ``(n, batch, n_outputs)``, for raw ``inputs``."""
        inputs = (inputs - self.input_mean[models]) / self.input_std[models]
        buffers = {name: buffer[models] for name, buffer in self.buffers.items()}
        for layer in self._dropouts.values():
            layer.calls = 0
        if len(inputs) == 1:
            state: dict[str, Any] = {name: p[0] for name, p in (parameters | buffers).items()}
            batch = inputs[0]
            if batch.dim() == 4:
                batch = batch.contiguous(memory_format=torch.channels_last)
            outputs: Tensor = functional_call(self.template, state, (batch,))
            return outputs[None]

        def one(state: dict[str, Tensor], batch: Tensor) -> Any:
            return functional_call(self.template, state, (batch,))

        # What layers draw themselves is found out by _step; vmap is not to be in its way.
        outputs = vmap(one, randomness="same")(parameters | buffers, inputs)
        return outputs

    @torch.no_grad()
    def predict(self, rows: Tensor) -> Tensor:
        """The outputs for ``rows`` of the data set, ``(n_models, n_rows, n_outputs)``.

        Args:
            rows: ``(n_models, n_rows)``, or ``(n_rows,)`` for the same rows in all models.

        Returns:
            Predictions in the target's own units, or logits.
        """
        self.template.eval()
        rows = rows.to(self.dataset.inputs.device).expand(self.n_models, -1)
        with self._threads():
            by_group = [
                torch.cat(
                    [
                        self._forward(models, self._views(models), self.dataset.inputs[chunk])
                        for chunk in rows[models].split(EVALUATION_ROWS, 1)
                    ],
                    1,
                )
                for models in self._groups
            ]
        outputs = torch.cat(by_group)
        if self.dataset.task == "regression":
            outputs = outputs * self.target_std + self.target_mean
        return outputs

    def score(self, rows: Sequence[Tensor]) -> Tensor:
        """The metric of each model over its own ``rows``, ``(n_models,)`` float64."""
        device = self.dataset.inputs.device
        padded = pad_sequence(list(rows), batch_first=True).to(device)
        lengths = torch.tensor([len(r) for r in rows], device=device)
        counted = torch.arange(padded.shape[1], device=device) < lengths[:, None]
        outputs = self.predict(padded)
        targets = self.dataset.targets[padded]
        return scores(self.dataset.task, outputs, targets, counted).cpu()

    def state(self) -> tuple[Tensor, dict[str, Tensor]]:
        """A copy of all weights and buffers, for `restore`."""
        return self.parameters.clone(), {name: b.clone() for name, b in self.buffers.items()}

    def restore(self, state: tuple[Tensor, dict[str, Tensor]]) -> None:
        """Go back to the weights and buffers of `state`."""
        self.parameters.copy_(state[0])
        for name, buffer in state[1].items():
            self.buffers[name].copy_(buffer)

    def model(self, i: int) -> nn.Module:
        """Model ``i`` as a plain network of the family, in evaluation mode.

        It takes normalised inputs.
        """
        network = build(self.family, self.configurations[i], self.dataset, 0)
        state = {
            **self._views(slice(i, i + 1)),
            **{n: b[i : i + 1] for n, b in self.buffers.items()},
        }
        own = {name: state[name][0] for name in network.state_dict() if name in state}
        network.load_state_dict(own, strict=False)  # of tied weights one name is enough
        return network.eval()


def _random_state(device: torch.device) -> Tensor:
    """The state of torch's global generator, which nothing in a training step is to touch."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()
