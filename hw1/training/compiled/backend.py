"""Dense networks on a CPU: tables for the compiled code that trains them."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from hw1.training.activation_kernels import KINDS as ACTIVATIONS
from hw1.training.activation_kernels import constant_of, is_known
from hw1.training.compiled.dense_kernels import (
    LAYER,
    N_BATCHES,
    SIZES,
    Networks,
    Rows,
    Training,
    evaluate,
    train,
)
from hw1.training.compiled.layer_kernels import BATCH_NORM, DROPOUT, LINEAR
from hw1.training.compiled.products import WORTH_ROUNDING
from hw1.training.compiled.products import fast as can_round
from hw1.training.compiled.tiles import is_worth_tiles
from hw1.training.keys import KeyedDropout
from hw1.training.layers import Layers
from hw1.training.operations import OF_STEP, of_example
from hw1.training.plan import Plan
from hw1.training.precision import Precision
from hw1.training.threads import run
from hw1.training.update import kind, settings

KINDS: dict[type[nn.Module], int] = ACTIVATIONS | {
    nn.Linear: LINEAR,
    nn.BatchNorm1d: BATCH_NORM,
    KeyedDropout: DROPOUT,
}
CALL = 2e9
"""Floating-point operations in a call of the compiled code, about: some milliseconds, so that
models can take turns and what waits for an end does not wait for long."""
AUGMENTED = 2**19
"""Numbers in the images that are augmented at a time: few enough for the processor's cache."""
WORTH_A_THREAD = 2e7
"""Operations below which handing them to another thread costs more than it saves."""


def is_compilable(layers: Layers) -> bool:
    """Whether the compiled code knows the layers of a dense network, if they are one."""
    others = (nn.Linear, nn.BatchNorm1d, KeyedDropout)
    return bool(layers) and all(type(m) in others or is_known(m) for _, m in layers)


class Compiled:
    """Trains models whose networks are chains of dense layers, each of them its own.

    Args:
        plan: what to train them on.
        networks: the layers of each model, with their initial weights.
        precision: of matrix products that are large enough to gain from bfloat16.

    Attributes:
        parameters: ``(n_models, most_parameters)``, each model's own in front, weights first.
    """

    def __init__(self, plan: Plan, networks: Sequence[Layers], precision: Precision) -> None:
        self.plan = plan
        self._layers = list(networks)
        n_models, longest = len(networks), max(map(len, networks))
        dtype = plan.lr.dtype
        self._may_round = precision == "bfloat16" and can_round and dtype == torch.float32
        self._table = np.zeros((n_models, longest), LAYER)
        self._constants = np.zeros((n_models, longest, 2), plan.lr.numpy().dtype)
        self._sizes = np.zeros(n_models, SIZES)
        n_inputs = plan.dataset.inputs[0].numel()
        n_buffers = [self._lay_out(i, n_inputs) for i in range(n_models)]
        most = int(self._sizes["n_parameters"].max())
        self.parameters = torch.zeros(n_models, most, dtype=dtype)
        self._buffers = torch.zeros(n_models, max(n_buffers), dtype=dtype)
        self._averaged = self.parameters, self._buffers  # what is evaluated: these, or averages
        self._moments = [torch.zeros_like(self.parameters) for _ in range(2)]
        with torch.no_grad():
            for i, network in enumerate(networks):
                own = self.named(i)
                for name, layer in network:
                    for key, value in layer.state_dict().items():
                        own[f"{name}.{key}"].copy_(value)
        if plan.averages:
            self._averaged = self.parameters.clone(), self._buffers.clone()
        self._bind()

    def _bind(self) -> None:
        """Gather what the compiled code needs, all of it in the memory where it is."""
        plan, dataset = self.plan, self.plan.dataset
        self._sizes["batch"], self._sizes["steps"] = plan.batch_sizes, plan.steps
        self._sizes["optimizer"] = list(map(kind, plan.configurations))
        self._networks = Networks(
            self._sizes,
            self._table,
            self._constants,
            self.parameters.numpy(),
            self._buffers.numpy(),
        )
        averages = self._averaged[0].numpy(), self._averaged[1].numpy()
        self._training = Training(
            settings(plan.configurations, self._constants.dtype),
            plan.label_smoothing.numpy(),
            self._moments[0].numpy(),
            self._moments[1].numpy(),
            plan.dropout_keys.numpy().view(np.uint32),
            plan.lr.numpy(),
            plan.shares.numpy(),
            averages,
        )
        self._evaluated = self._networks._replace(parameters=averages[0], buffers=averages[1])
        shape, numeric = dataset.input_shape, plan.task.normalizes_targets
        no_numbers = torch.empty(0, 1, dtype=plan.lr.dtype)
        self._rows = Rows(
            dataset.inputs.flatten(1).numpy(),
            shape[1] * shape[2] if len(shape) == 3 else 1,
            plan.input_mean.numpy(),
            plan.input_std.numpy(),
            (dataset.targets.to(plan.lr.dtype) if numeric else no_numbers).numpy(),
            (torch.empty(0, dtype=torch.int64) if numeric else dataset.targets).numpy(),
            plan.target_mean.numpy(),
            plan.target_std.numpy(),
        )

    def _lay_out(self, i: int, width: int) -> int:
        """Write the table of model ``i``'s layers; answers with the number of its buffers."""
        place = {True: 0, False: self._n_weights(i)}  # of the next weights, and of the others
        start, n_buffers, widest = 0, 1, width
        for k, (_, layer) in enumerate(self._layers[i]):
            row = self._table[i, k]
            row["kind"] = KINDS[type(layer)]
            row["n_in"], row["start"] = width, start
            if type(layer) not in ACTIVATIONS:
                start += width
            for name in ("weight", "bias", "buffer"):
                row[name] = -1
                parameter = getattr(layer, name, None)
                if parameter is not None:
                    is_weight = parameter.dim() > 1
                    row[name] = place[is_weight]
                    place[is_weight] += parameter.numel()
            if isinstance(layer, nn.Linear):
                work = self.plan.batch_sizes[i] * width * layer.out_features
                row["rounds"] = self._may_round and work >= WORTH_ROUNDING
                row["tiles"] = not row["rounds"] and is_worth_tiles(
                    width, layer.out_features, self._constants.itemsize
                )
                width = layer.out_features
            elif isinstance(layer, nn.BatchNorm1d):
                self._constants[i, k] = layer.eps, layer.momentum
                row["buffer"] = n_buffers
                n_buffers += 2 * width
            elif isinstance(layer, KeyedDropout):
                self._constants[i, k, 0] = float(layer.p)
            else:
                self._constants[i, k, 0] = constant_of(layer)
            row["n_out"] = width
            widest = max(widest, width)
        names = ["n_layers", "units", "widest", "n_parameters", "n_weights"]
        found = len(self._layers[i]), start + width, widest, place[False], place[True]
        self._sizes[names][i] = found
        return n_buffers

    def _n_weights(self, i: int) -> int:
        parameters = (p for _, layer in self._layers[i] for p in layer.parameters())
        return sum(p.numel() for p in parameters if p.dim() > 1)

    def named(self, i: int) -> dict[str, Tensor]:
        """The parameters and buffers of model ``i`` by name, sharing their memory."""
        found: dict[str, Tensor] = {}
        own, buffers = (values[i] for values in self._averaged)
        for row, (name, layer) in zip(self._table[i].tolist(), self._layers[i], strict=False):
            _, n_in, n_out, _, weight, bias, buffer, *_ = row
            if isinstance(layer, nn.Linear):
                found[f"{name}.weight"] = own[weight : weight + n_in * n_out].view(n_in, n_out).t()
            elif isinstance(layer, nn.BatchNorm1d):
                found[f"{name}.weight"] = own[weight : weight + n_in]
                found[f"{name}.running_mean"] = buffers[buffer : buffer + n_in]
                found[f"{name}.running_var"] = buffers[buffer + n_in : buffer + 2 * n_in]
                found[f"{name}.num_batches_tracked"] = self._buffers[i, N_BATCHES]
            if bias >= 0:
                found[f"{name}.bias"] = own[bias : bias + n_out]
        return found

    def memory(self) -> dict[str, Tensor]:
        """By name all that training changes, sharing its memory."""
        first, second = self._moments
        own = {"parameters": self.parameters, "buffers": self._buffers}
        own |= {"first": first, "second": second}
        if self.plan.averages:
            own["average"], own["average buffers"] = self._averaged
        return own

    def precision(self, i: int) -> Precision:
        """In which the large matrix products of model ``i`` are computed."""
        return "bfloat16" if self._table["rounds"][i].any() else "float32"

    def n_parameters(self, i: int) -> int:
        """The number of parameters of model ``i``."""
        return int(self._sizes["n_parameters"][i])

    def keep(self, models: Sequence[int]) -> None:
        """Go on with these models alone; the plan has forgotten the others already."""
        chosen = torch.tensor(models)
        self._layers = [self._layers[i] for i in models]
        for name in ("_table", "_constants", "_sizes"):
            setattr(self, name, getattr(self, name)[models])
        self.parameters, self._buffers = own = self.parameters[chosen], self._buffers[chosen]
        averaged = self._averaged[0][chosen], self._averaged[1][chosen]
        self._averaged = averaged if self.plan.averages else own
        self._moments = [moment[chosen] for moment in self._moments]
        self._bind()

    def _groups(self, operations: np.ndarray, n_threads: int) -> list[tuple[int, int]]:
        """Neighboring models that share a call: first, last excluded.

        Args:
            operations: of each model.
        """
        least = max(WORTH_A_THREAD, operations.sum() / (8 * n_threads))
        if self.plan.augments:
            least = 0  # images are changed by model
        bounds, total = [0], 0.0
        for i, own in enumerate(operations.tolist()):  # a few: NumPy takes longer
            total += own
            if total >= least:
                bounds.append(i + 1)
                total = 0.0
        if total > 0:  # what is left goes with its neighbors
            bounds[1:] = [*bounds[1:-1], len(operations)]
        groups = list(pairwise(bounds))
        sums = np.add.reduceat(operations, bounds[:-1])
        # The longest first: threads then end at about the same time.
        return [groups[i] for i in np.argsort(-sums, kind="stable")]

    def train(self, epoch: int, n_threads: int, on_step: Callable[[], None]) -> Tensor:
        """Train every model for one epoch; see `hw1.training.lockstep.Models`."""
        order = self.plan.order(epoch)
        given, _ = self.train_epochs(order[None], epoch, order[:, :0], n_threads, on_step)
        return given[0]

    def train_epochs(
        self,
        orders: Tensor,
        epoch: int,
        rows: Tensor,
        n_threads: int,
        on_step: Callable[[], None],
    ) -> tuple[Tensor, Tensor]:
        """Train every model for some epochs and evaluate it after each.

        Args:
            orders: of the rows in these epochs; see `hw1.training.plan.Plan.orders`.
            epoch: the first one.
            rows, n_threads, on_step: see `outputs`.

        Returns:
            What `train` and `outputs` return, for each epoch.
        """
        plan, sizes = self.plan, self._sizes
        given = plan.lr.new_empty(len(orders), *plan.trained.shape, plan.dataset.n_outputs)
        outputs = given.new_empty(len(orders), *rows.shape, plan.dataset.n_outputs)
        per_step = self._operations_of_step()
        operations = len(orders) * per_step * sizes["steps"]
        arrays = orders.numpy(), given.numpy(), rows.contiguous().numpy(), outputs.numpy()
        tasks = [
            self._train(first, last, epoch, float(per_step[first]), *arrays)
            for first, last in self._groups(operations, n_threads)
        ]
        run(tasks, n_threads, on_step)
        return given, outputs

    def _operations_of_step(self) -> np.ndarray:
        sizes = self._sizes
        found: np.ndarray = of_example(sizes["n_parameters"], sizes["units"]) * sizes["batch"]
        return found + OF_STEP

    def most_epochs(self) -> int:
        """How many epochs may be trained in a call: a few milliseconds' worth."""
        if self.plan.augments:
            return 1
        return max(int(CALL / (self._operations_of_step() * self._sizes["steps"]).max()), 1)

    def _train(
        self,
        first: int,
        last: int,
        epoch: int,
        per_step: float,
        orders: np.ndarray,
        given: np.ndarray,
        rows: np.ndarray,
        outputs: np.ndarray,
    ) -> Iterator[None]:
        plan, sizes = self.plan, self._sizes
        most = int(sizes["steps"][first:last].max())
        # Large models are interrupted within an epoch.
        at_once = int(CALL / per_step) if last == first + 1 and len(orders) == 1 else most
        if plan.augments:
            at_once = AUGMENTED // (plan.batch_sizes[first] * self._rows.inputs.shape[1])
        at_once = max(at_once, 1)
        for step in range(0, most, at_once):
            end = min(step + at_once, most)
            augmented = self._rows.inputs[:0]
            if plan.augments:
                batch = plan.batch_sizes[first]
                some = orders[0, first, step * batch : end * batch]
                chosen = torch.from_numpy(some).view(end - step, 1, -1)
                numbers = epoch * most + np.arange(step, end)
                images = plan.inputs(slice(first, last), chosen, numbers)
                augmented = images.reshape(len(some), -1).numpy()
            train(
                (first, last), (step, end), epoch,
                self._networks, self._training, self._rows, orders, augmented, given,
                self._evaluated, rows, outputs,
            )  # fmt: skip
            yield

    def outputs(self, rows: Tensor, n_threads: int, on_step: Callable[[], None]) -> Tensor:
        """The models' outputs for rows of the data, ``(n_models, n_rows, n_outputs)``.

        Args:
            rows: ``(n_models, n_rows)``.
            n_threads: of the processor.
            on_step: see `hw1.training.threads.run`.
        """
        outputs = self.parameters.new_empty(*rows.shape, self.plan.dataset.n_outputs)
        numbers = rows.contiguous().numpy()
        seen = self._rows._replace(inputs=self.plan.seen.flatten(1).numpy())

        def evaluate_some(first: int, last: int) -> Iterator[None]:
            found = outputs.numpy()
            evaluate((first, last), self._evaluated, seen, numbers, found)
            yield

        operations = 2.0 * self._sizes["n_parameters"] * rows.shape[1]
        tasks = [evaluate_some(first, last) for first, last in self._groups(operations, n_threads)]
        run(tasks, n_threads, on_step)
        return outputs
