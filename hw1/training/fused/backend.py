"""Models one after another, an epoch each; on a CPU several at a time, each on a thread."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from hw1.training.fused.chains import fuse
from hw1.training.gradients import gradients
from hw1.training.keys import KeyedDraws, KeyedDropout, fold_in
from hw1.training.optimizers import Optimizer
from hw1.training.plan import EVALUATED, Plan
from hw1.training.precision import Precision
from hw1.training.threads import run


class Fused:
    """Trains any networks, each by itself.

    The parameters of a network are parts of one vector, so that an optimizer's step is one pass.

    Args:
        plan: what to train them on.
        networks: one a model, with their initial weights, on the device of the data.
        precision: of convolutions and matrix products.
        draws: for each whether it draws random numbers otherwise than in layers of dropout.
    """

    def __init__(
        self,
        plan: Plan,
        networks: Sequence[nn.Module],
        precision: Precision,
        draws: Sequence[bool],
    ) -> None:
        self.plan = plan
        self._precision = precision
        models = enumerate(zip(networks, draws, strict=True))
        self._models = [_Model(plan, i, network, precision, own) for i, (network, own) in models]

    @property
    def parameters(self) -> Tensor:
        """A copy of the parameters, ``(n_models, n_parameters)``, where all have as many."""
        return torch.stack([model.parameters for model in self._models])

    def named(self, i: int) -> dict[str, Tensor]:
        """The parameters and buffers of model ``i`` by name, sharing their memory."""
        model = self._models[i]
        model.use(model.averages)
        network = model.network
        named = dict(network.named_parameters()) | dict(network.named_buffers())
        return {name: value.detach() for name, value in named.items()}

    def memory(self) -> dict[str, Tensor]:
        """By name all that training changes, sharing its memory."""
        return {
            f"{i} {name}": value
            for i, model in enumerate(self._models)
            for name, value in model.memory().items()
        }

    def precision(self, i: int) -> Precision:
        """In which convolutions and matrix products are computed."""
        return self._precision

    def n_parameters(self, i: int) -> int:
        """The number of parameters of model ``i``."""
        return self._models[i].parameters.numel()

    def keep(self, models: Sequence[int]) -> None:
        """Go on with these models alone; the plan has forgotten the others already."""
        self._models = [self._models[i] for i in models]
        for i, model in enumerate(self._models):
            model.number = i

    def train(self, epoch: int, n_threads: int, on_step: Callable[[], None]) -> Tensor:
        """Train every model for one epoch; see `hw1.training.lockstep.Models`."""
        order, given = self.plan.order(epoch), self.plan.room()
        tasks = [m.train(epoch, order[i], given[i]) for i, m in enumerate(self._models)]
        run(tasks, self._threads(n_threads), on_step)
        return given

    def outputs(self, rows: Tensor, n_threads: int, on_step: Callable[[], None]) -> Tensor:
        """The models' outputs for rows of the data, ``(n_models, n_rows, n_outputs)``.

        Args:
            rows: ``(n_models, n_rows)``.
            n_threads: of the processor.
            on_step: see `hw1.training.threads.run`.
        """
        outputs = self.plan.lr.new_empty(*rows.shape, self.plan.dataset.n_outputs)
        tasks = [m.evaluate(rows[i], outputs[i]) for i, m in enumerate(self._models)]
        run(tasks, self._threads(n_threads), on_step)
        return outputs

    def _threads(self, n_threads: int) -> int:
        # A GPU does one thing at a time anyway.
        return n_threads if _on_cpu(self.plan) else 1


def _on_cpu(plan: Plan) -> bool:
    return plan.lr.device.type == "cpu"


class _Model:
    """One network and its optimizer."""

    def __init__(
        self, plan: Plan, number: int, network: nn.Module, precision: Precision, draws: bool
    ) -> None:
        self.plan, self.number, self.network = plan, number, network
        self.precision, self._draws = precision, draws
        named = sorted(network.named_parameters(), key=lambda item: item[1].dim() <= 1)
        self._parameters = [parameter for _, parameter in named]
        self.parameters = plan.lr.new_empty(sum(p.numel() for p in self._parameters))
        self._grads = torch.zeros_like(self.parameters)
        with torch.no_grad():
            views = self._views(self.parameters)
            for parameter, view in zip(self._parameters, views, strict=True):
                view.copy_(parameter)
                parameter.data = view
        self._of_grads = self._views(self._grads)
        self._dropouts = [m for m in network.modules() if isinstance(m, KeyedDropout)]
        self._on_cpu = _on_cpu(plan)
        # In evaluation it may be another one.
        self._fused = [
            fuse(network, training=t) if self._on_cpu else network for t in (False, True)
        ]
        n_weights = sum(p.numel() for p in self._parameters if p.dim() > 1)
        vectors = self.parameters[None], self._grads[None]
        self._optimizer = Optimizer([plan.configurations[number]], *vectors, n_weights)
        self._shares: list[float] = []
        if plan.configurations[number].ema:
            self._shares = plan.shares[number].tolist()
        self._average()

    def _average(self) -> None:
        """Make averages that begin as the network is: a vector, and buffers that count nothing."""
        buffers = [buffer for buffer in self.network.buffers() if buffer.is_floating_point()]
        self._averaged = [*self._parameters, *buffers]
        self._trained = [tensor.data for tensor in self._averaged]
        self.averages = self._trained
        if self._shares:
            self._values = [self.parameters, *self._trained[len(self._parameters) :]]
            self._followers = [values.clone() for values in self._values]
            self.averages = [*self._views(self._followers[0]), *self._followers[1:]]

    def use(self, values: Sequence[Tensor]) -> None:
        """Let the network have what is trained or its averages, if it has any."""
        for tensor, value in zip(self._averaged if self._shares else [], values, strict=False):
            tensor.data = value

    def memory(self) -> dict[str, Tensor]:
        """See `Fused.memory`."""
        self.use(self._trained)
        first, second = self._optimizer.kept
        own = {"parameters": self.parameters, "first": first, "second": second}
        followers = self._followers if self._shares else []
        averages = {f"average {k}": values for k, values in enumerate(followers)}
        return own | averages | {name: b.detach() for name, b in self.network.named_buffers()}

    def _views(self, vector: Tensor) -> list[Tensor]:
        """What a vector holds for each parameter; for convolutions with the channels last."""
        views = []
        flat = vector.split([p.numel() for p in self._parameters])
        for values, parameter in zip(flat, self._parameters, strict=True):
            shape = parameter.shape
            if len(shape) == 4:
                out, channels, height, width = shape
                views.append(values.view(out, height, width, channels).permute(0, 3, 1, 2))
            else:
                views.append(values.view(shape))
        return views

    def train(self, epoch: int, order: Tensor, given: Tensor) -> Iterator[None]:
        """Train for an epoch; ``order`` holds its rows, ``given`` gets the outputs for them."""
        plan, i = self.plan, self.number
        steps, batch = plan.steps[i], plan.batch_sizes[i]
        self.use(self._trained)
        self._fused[True].train()
        for step in range(steps):
            some = slice(step * batch, (step + 1) * batch)
            self._step(order[some], epoch * steps + step, given[some])
            yield

    def evaluate(self, rows: Tensor, outputs: Tensor) -> Iterator[None]:
        """Write the network's outputs for ``rows`` to ``outputs``."""
        self.use(self.averages)
        self._fused[False].eval()
        for some, of_some in zip(rows.split(EVALUATED), outputs.split(EVALUATED), strict=True):
            with torch.no_grad():
                of_some.copy_(self._forward(self._load(some, None)[0], training=False))
            yield

    def _load(self, rows: Tensor, step: int | None) -> tuple[Tensor, Tensor]:
        """Normalized inputs and targets, augmented if they are those of a step."""
        one, steps = slice(self.number, self.number + 1), None if step is None else np.array([step])
        inputs, targets = self.plan.load(one, rows[None, None], steps)
        return inputs[0, 0], targets[0, 0]

    def _forward(self, inputs: Tensor, *, training: bool) -> Tensor:
        inputs = _channels_last(inputs)
        rounds = self.precision == "bfloat16"
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=rounds):
            outputs: Tensor = self._fused[training](inputs)
        return outputs.to(inputs.dtype)

    @contextmanager
    def _keyed(self, key: Tensor) -> Iterator[None]:
        """For what the network draws otherwise than in layers of dropout."""
        if not self._draws:
            yield
            return
        # On a GPU attention's faster ways draw within a single operation.
        math = nullcontext() if self._on_cpu else sdpa_kernel(SDPBackend.MATH)
        with math, KeyedDraws(key):
            yield

    def _step(self, rows: Tensor, step: int, given: Tensor) -> None:
        plan, i = self.plan, self.number
        inputs, targets = self._load(rows, step)
        step_key = fold_in(plan.dropout_keys[i], step)
        for number, layer in enumerate(self._dropouts):
            layer.key, layer.calls = fold_in(step_key, number), 0
        smoothing = plan.label_smoothing[i : i + 1]
        with self._keyed(fold_in(step_key, len(self._dropouts))):
            outputs, grads = gradients(
                self.network,
                lambda: self._forward(inputs, training=True),
                self._parameters,
                lambda outputs: plan.task.gradients(outputs[None], targets[None], smoothing)[0],
                check=step == 0,
            )
        with torch.no_grad():
            given.copy_(outputs)
            torch._foreach_copy_(self._of_grads, grads)
            self._optimizer.step(plan.lr[i, step].view(1, 1), step + 1)
            if self._shares:
                torch._foreach_lerp_(self._followers, self._values, self._shares[step])


def _channels_last(inputs: Tensor) -> Tensor:
    if inputs.dim() != 4:
        return inputs
    _, channels, height, width = inputs.shape
    last = inputs.contiguous(memory_format=torch.channels_last)
    # Of images with one channel the strides alone say so, and convolutions follow them.
    return last.as_strided(inputs.shape, (height * width * channels, 1, width * channels, channels))
