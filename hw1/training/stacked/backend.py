"""Models of one architecture as one tensor program over the axis of the models."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from hw1.training.gradients import gradients
from hw1.training.keys import KeyedDropout, dropout_factors, fold_in
from hw1.training.layers import Layers
from hw1.training.optimizers import Optimizer
from hw1.training.plan import EVALUATED, Plan
from hw1.training.precision import Precision
from hw1.training.stacked.dense import Dense
from hw1.training.stacked.functional import stack
from hw1.training.threads import torch_threads

BLOCK = 2**18
"""Elements of a layer, over all models, that are made ready for coming steps at once."""
SMALL_STEP = 3e7
"""Parameters times rows times models in a step below which one thread is used. On an idle
machine two threads would save a third of so short a step; on a busy one their waiting for each
other costs a multiple of it."""


class Stacked:
    """Trains models whose networks have one shape, or are dense and have one depth.

    All their parameters are one matrix, weights first; narrower dense networks are padded with
    zeros, which stay zero.

    Args:
        plan: what to train them on; the batch sizes of all models are the same.
        networks: one a model, with their initial weights, on the device of the data.
        layers: those of the first network, if all are dense; see `dense_layers`.
        precision: of matrix products in networks that are not dense.

    Attributes:
        parameters: ``(n_models, n_parameters)``.
        buffers: by name, each ``(n_models, *size)``.
    """

    def __init__(
        self, plan: Plan, networks: Sequence[nn.Module], layers: Layers, precision: Precision
    ) -> None:
        self.plan = plan
        self._layers = layers
        self._precision: Precision = "float32" if layers else precision
        self._template = networks[0]
        self._forward = stack(self._template, precision)
        named = dict(self._template.named_parameters())
        names = sorted(named, key=lambda name: named[name].dim() <= 1)
        states = [dict(m.named_parameters()) | dict(m.named_buffers()) for m in networks]
        self._shapes = [{name: value.shape for name, value in own.items()} for own in states]
        largest = {
            name: torch.Size(map(max, zip(*(own[name] for own in self._shapes), strict=True)))
            for name in states[0]
        }
        self._padded = {name: largest[name] for name in names}
        self._n_weights = sum(self._padded[n].numel() for n in names if named[n].dim() > 1)
        n_columns = sum(shape.numel() for shape in self._padded.values())
        self.parameters = plan.lr.new_zeros(len(networks), n_columns)
        self.buffers = {
            name: buffer.new_zeros(len(networks), *largest[name])
            for name, buffer in self._template.named_buffers()
        }
        self._averaged, self._averaged_buffers = self.parameters, dict[str, Tensor]()
        used = torch.zeros_like(self.parameters)
        views = self._views(used)
        with torch.no_grad():
            for i, state in enumerate(states):
                for name, own in self.named(i).items():
                    own.copy_(state[name])
                    if name in views:
                        views[name][_part(i, own.shape)] = 1.0
        self._used = used if not bool(used.all()) else None
        self._dropouts = [
            name for name, m in self._template.named_modules() if isinstance(m, KeyedDropout)
        ]
        if plan.averages:
            self._averaged = self.parameters.clone()
            floats = {n: b for n, b in self.buffers.items() if b.is_floating_point()}
            self._averaged_buffers = {name: buffer.clone() for name, buffer in floats.items()}
        self._bind(None)

    def _bind(self, kept: Sequence[Tensor] | None) -> None:
        """Make what depends on the number of models or on where their parameters are.

        Args:
            kept: what the optimizers have kept of these models, if they go on.
        """
        self._lr_of_step = self.plan.lr.t()[:, :, None].contiguous()
        self._grads = torch.zeros_like(self.parameters)
        self._optimizer = Optimizer(
            self.plan.configurations, self.parameters, self._grads, self._n_weights, kept
        )
        views = self._views(self.parameters), self._views(self._grads)
        self._dense = Dense(self._layers, *views, self.buffers) if self._layers else None
        self._evaluated = self._dense
        if self._layers and self._averages:
            buffers = self.buffers | self._averaged_buffers
            self._evaluated = Dense(self._layers, self._views(self._averaged), views[1], buffers)
        self._batch, self._steps = self.plan.batch_sizes[0], self.plan.steps[0]
        outputs = [shape[0] for shape in self._padded.values() if shape]
        widest = max([*outputs, self.plan.dataset.inputs[0].numel()])
        of_step = self.plan.n_models * self._batch * widest
        self._steps_ready = max(BLOCK // of_step, 1) if self._layers else 1

    def _views(self, matrix: Tensor) -> dict[str, Tensor]:
        """What ``matrix`` holds by name, ``(n_models, *shape)``, sharing its memory."""
        flat = matrix.split([shape.numel() for shape in self._padded.values()], 1)
        return {
            name: values.view(len(matrix), *shape)
            for (name, shape), values in zip(self._padded.items(), flat, strict=True)
        }

    def named(self, i: int) -> dict[str, Tensor]:
        """The parameters and buffers of model ``i`` by name, of padded ones its own part."""
        stacked = self._views(self._averaged) | self.buffers | self._averaged_buffers
        return {name: stacked[name][_part(i, shape)] for name, shape in self._shapes[i].items()}

    def memory(self) -> dict[str, Tensor]:
        """By name all that training changes, sharing its memory."""
        first, second = self._optimizer.kept
        own = {"parameters": self.parameters, "first": first, "second": second} | self.buffers
        if self.plan.averages:
            own["average"] = self._averaged
            own |= {f"average {name}": value for name, value in self._averaged_buffers.items()}
        return own

    def precision(self, i: int) -> Precision:
        """In which matrix products are computed."""
        return self._precision

    def n_parameters(self, i: int) -> int:
        """The number of parameters of model ``i``."""
        return sum(self._shapes[i][name].numel() for name in self._padded)

    def keep(self, models: Sequence[int]) -> None:
        """Go on with these models alone; the plan has forgotten the others already."""
        chosen = torch.tensor(models, device=self.parameters.device)
        self._shapes = [self._shapes[i] for i in models]
        averaged = self._averaged[chosen] if self.plan.averages else None
        self.parameters = self.parameters[chosen]
        self._averaged = self.parameters if averaged is None else averaged
        self._used = None if self._used is None else self._used[chosen]
        self.buffers = {name: buffer[chosen] for name, buffer in self.buffers.items()}
        left = self._averaged_buffers.items() if self.plan.averages else ()
        self._averaged_buffers = {name: buffer[chosen] for name, buffer in left}
        self._bind([values[chosen] for values in self._optimizer.kept])

    def train(self, epoch: int, n_threads: int, on_step: Callable[[], None]) -> Tensor:
        """Train every model for one epoch; see `hw1.training.lockstep.Models`."""
        with torch_threads(self._threads(n_threads)):
            return self._train(epoch, on_step)

    def _threads(self, n_threads: int) -> int:
        return n_threads if self._batch * self.parameters.numel() >= SMALL_STEP else 1

    def _train(self, epoch: int, on_step: Callable[[], None]) -> Tensor:
        n = self._batch * self._steps
        order = self.plan.order(epoch)[:, :n].view(-1, self._steps, self._batch).transpose(0, 1)
        numbers = epoch * self._steps + np.arange(self._steps)
        self._template.train()
        given: list[Tensor] = []
        for first in range(0, self._steps, self._steps_ready):
            some = slice(first, first + self._steps_ready)
            inputs, targets = self.plan.load(slice(None), order[some], numbers[some])
            factors = self._draw_dropout(numbers[some])
            for i, step in enumerate(numbers[some].tolist()):
                on_step()
                if self._dense is not None:
                    with torch.no_grad():
                        own_factors = [f[i] for f in factors]
                        of_step = inputs[i], targets[i], own_factors
                        given.append(self._dense_gradients(self._dense, *of_step))
                else:
                    given.append(self._gradients(inputs[i], targets[i], step))
                with torch.no_grad():
                    self._optimizer.step(self._lr_of_step[step], step + 1)
                    if self._averages:
                        self._follow(step)
        return torch.cat(given, 1)

    @property
    def _averages(self) -> bool:
        return self._averaged is not self.parameters

    def _follow(self, step: int) -> None:
        """Move the averages towards the parameters and buffers after a step."""
        pairs = [(self._averaged, self.parameters)]
        pairs += [(average, self.buffers[n]) for n, average in self._averaged_buffers.items()]
        for average, values in pairs:
            share = self.plan.shares[:, step].to(values)
            average.lerp_(values, share.view(-1, *[1] * (values.dim() - 1)))

    def _dense_gradients(
        self, dense: Dense, inputs: Tensor, targets: Tensor, factors: Sequence[Tensor]
    ) -> Tensor:
        """Write the gradients of a step; answers with the outputs."""
        outputs = dense.forward(inputs.flatten(2), factors)
        task, smoothing = self.plan.task, self.plan.label_smoothing
        dense.backward(task.gradients(outputs, targets, smoothing))
        if self._used is not None:
            self._grads.mul_(self._used)
        return outputs

    def _draw_dropout(self, steps: np.ndarray) -> list[Tensor]:
        """What dropout multiplies with in some steps of dense networks, layer by layer."""
        if self._dense is None:
            return []
        device = self.parameters.device
        numbers = torch.from_numpy(steps.astype(np.int32)).to(device)[:, None]
        step_keys = fold_in(self.plan.dropout_keys, numbers)
        factors, width = [], self.plan.dataset.inputs[0].numel()
        for name, layer in self._layers:
            if isinstance(layer, nn.Linear):
                width = self._padded[f"{name}.weight"][0]
            elif isinstance(layer, KeyedDropout):
                key = fold_in(step_keys, self._dropouts.index(name))
                p = self.buffers[f"{name}.p"].expand(len(steps), -1)
                factors.append(dropout_factors(key, p, (self._batch, width)))
        return factors

    def _gradients(self, inputs: Tensor, targets: Tensor, step: int) -> Tensor:
        """The same by autograd."""
        if self._dropouts:
            step_keys = fold_in(self.plan.dropout_keys, step)
            for layer, name in enumerate(self._dropouts):
                self.buffers[f"{name}.key"].copy_(fold_in(step_keys, layer))
        task, smoothing = self.plan.task, self.plan.label_smoothing
        views = self._views(self.parameters)
        for parameter in views.values():
            parameter.requires_grad_()
        # The models share no parameter, so the gradient of the sum is each model's own.
        outputs, grads = gradients(
            self._template,
            lambda: self._forward(views | self.buffers, inputs),
            list(views.values()),
            lambda outputs: task.gradients(outputs, targets, smoothing),
            check=step == 0,
        )
        with torch.no_grad():
            for view, grad in zip(self._views(self._grads).values(), grads, strict=True):
                view.copy_(grad)
        return outputs

    def outputs(self, rows: Tensor, n_threads: int, on_step: Callable[[], None]) -> Tensor:
        """The models' outputs for rows of the data, ``(n_models, n_rows, n_outputs)``.

        Args:
            rows: ``(n_models, n_rows)``.
            n_threads: of the processor.
            on_step: called now and then.
        """
        self._template.eval()
        by_chunk = []
        with torch_threads(self._threads(n_threads)):
            for chunk in rows.split(EVALUATED, 1):
                on_step()
                (inputs,), _ = self.plan.load(slice(None), chunk[None])
                if self._evaluated is not None:
                    by_chunk.append(self._evaluated.evaluate(inputs.flatten(2)))
                else:
                    state = self._views(self._averaged) | self.buffers | self._averaged_buffers
                    by_chunk.append(self._forward(state, inputs))
        return torch.cat(by_chunk, 1)


def _part(i: int, shape: torch.Size) -> tuple[int | slice, ...]:
    """Where in a stack that is padded to the largest model ``i`` has its own."""
    return (i, *(slice(n) for n in shape))
