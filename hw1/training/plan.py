"""What a batch of models is trained on, and in which order: the same on every device."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from hw1.datasets import Dataset
from hw1.datasets.dataset import feature_axis, per_feature
from hw1.errors import ArchitectureError
from hw1.tasks import TASKS
from hw1.training.augmentation import augment, flip_turns
from hw1.training.configuration import Configuration
from hw1.training.keys import fold_in, keys, permutations
from hw1.training.schedules import ema_shares, lr_schedule

# What a model's key is folded with before it is used, so that no two uses share numbers.
ORDER, DROPOUT, AUGMENTATION, FLIPS = range(4)
EVALUATED = 256
"""Examples of each model that are evaluated per batch."""
ORDERED = 2**18
"""Places of rows that are drawn at once, for several epochs of small data."""


def cut(n_rows: int, batch_size: int) -> tuple[int, int]:
    """The steps of an epoch, and the examples in each of its batches.

    There are n_rows / batch_size steps, rounded, a half downwards, and at least one; the batches
    have one size, at most ``batch_size``. To spread the rows over the fewest batches that it
    allows would leave out fewer of them, but a few rows more would make quite another batch: 80
    of 80 rows, and 50 of 100.
    """
    steps = max(-((batch_size - 2 * n_rows) // (2 * batch_size)), 1)
    return steps, min(batch_size, n_rows // steps)


class Plan:
    """The rows, normalization, learning rates and random keys of ``n_models`` models.

    Args:
        configurations: one a model.
        dataset: the rows, on the device on which to train.
        rows: the training examples of each model, int64; where one model has more rows than
            another, each epoch leaves out some of them at random.
        seeds: one a model.
        normalizes: whether there is batch norm, which needs batches of two examples.

    Attributes:
        batch_sizes: the examples in each model's batches; see `cut`.
        steps: of each model in an epoch.
        epochs: for which there are learning rates, the most of all models.
        trained: ``(n_models, most)``, which places of `order` an epoch trains on: those of a model
            are the first ones.
        lr: ``(n_models, most_steps)``, of all epochs.
        shares: the same, of each step in averaged weights; empty if no model averages them.
        label_smoothing: ``(n_models,)``.
        input_mean, input_std: ``(n_models, n_features)``, of sequences over all steps, or
            ``(n_models, channels)`` of images.
        target_mean, target_std: ``(n_models, n_outputs)``; zero and one for classes.
        dropout_keys: ``(n_models, 2)``.
        seen: the inputs of all rows, or for a while a view of them; see `Augmentation`.

    Raises:
        ArchitectureError: there is batch norm, and too few examples for it.
    """

    def __init__(
        self,
        configurations: Sequence[Configuration],
        dataset: Dataset,
        rows: Sequence[Tensor],
        seeds: Sequence[int],
        *,
        normalizes: bool,
    ) -> None:
        device, dtype = dataset.inputs.device, torch.get_default_dtype()
        self.configurations = list(configurations)
        self.dataset, self.task = dataset, TASKS[dataset.task]
        self.seen = dataset.inputs
        self._rows = pad_sequence(list(rows), batch_first=True).to(device)
        self._lengths = torch.tensor([len(r) for r in rows], device=device)
        n_rows = min(len(r) for r in rows)
        cuts = [cut(n_rows, c.batch_size) for c in configurations]
        self.steps = [steps for steps, _ in cuts]
        self.batch_sizes = [batch for _, batch in cuts]
        if normalizes and min(self.batch_sizes) < 2:
            smallest = min(c.batch_size for c in configurations)
            raise ArchitectureError(
                f"batch norm needs batches of two examples, and {n_rows} examples in batches "
                f"of {smallest} give batches of one"
            )
        self.lr = self._by_step(lr_schedule).to(device, dtype)
        self.shares = self.lr.new_empty(len(rows), 0)
        if self.averages:
            self.shares = self._by_step(ema_shares).to(device, dtype)
        smoothing = [c.label_smoothing for c in configurations]
        self.label_smoothing = torch.tensor(smoothing, dtype=dtype, device=device)
        model_keys = keys(seeds).to(device)
        self._order_keys, self.dropout_keys, self._augmentation_keys, self._flip_keys = (
            fold_in(model_keys, purpose) for purpose in (ORDER, DROPOUT, AUGMENTATION, FLIPS)
        )
        self.input_mean, self.input_std = self._statistics(dataset.inputs, dataset.pixel_moments)
        if self.task.normalizes_targets:
            self.target_mean, self.target_std = self._statistics(dataset.targets, None)
        else:
            self.target_mean = torch.zeros(len(rows), dataset.n_outputs, dtype=dtype, device=device)
            self.target_std = torch.ones_like(self.target_mean)
        self._first_ordered, self._ordered = 0, self._rows.new_empty(0)
        self._count()

    @property
    def n_models(self) -> int:
        """The number of models."""
        return len(self.configurations)

    def _count(self) -> None:
        trained = torch.tensor([self.steps, self.batch_sizes]).prod(0)
        self.epochs = max(c.epochs for c in self.configurations)
        self.trained = (torch.arange(int(trained.max())) < trained[:, None]).to(self.lr.device)

    def room(self) -> Tensor:
        """Memory for what the models give for an epoch, ``(n_models, most, n_outputs)``."""
        return self.lr.new_empty(*self.trained.shape, self.dataset.n_outputs)

    @property
    def augments(self) -> bool:
        """Whether images are changed at random."""
        are_images = len(self.dataset.input_shape) == 3
        return are_images and any(c.augments for c in self.configurations)

    @property
    def averages(self) -> bool:
        """Whether weights are averaged in some model."""
        return any(c.ema for c in self.configurations)

    def _by_step(self, of: Callable[[Configuration, int], Tensor]) -> Tensor:
        """What each model has at each step, ``(n_models, most_steps)``."""
        found: dict[int, Tensor] = {}
        for c, steps in zip(self.configurations, self.steps, strict=True):
            if id(c) not in found:  # the folds of a trial have one
                found[id(c)] = of(c, steps)
        return pad_sequence([found[id(c)] for c in self.configurations], batch_first=True)

    def keep(self, models: Sequence[int]) -> None:
        """Go on with these models alone."""
        for name in ("configurations", "steps", "batch_sizes"):
            setattr(self, name, [getattr(self, name)[i] for i in models])
        chosen = torch.tensor(models, device=self._rows.device)
        for name in _OF_EACH_MODEL:
            setattr(self, name, getattr(self, name)[chosen])
        self._first_ordered, self._ordered = 0, self._rows.new_empty(0)
        self._count()

    def _statistics(
        self, values: Tensor, moments: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each model's training examples.

        Each is ``(n_models, n_features)`` or, for images, ``(n_models, channels)``. A feature
        that never varies is only centered.
        """
        found: dict[bytes, tuple[Tensor, Tensor]] = {}  # each trial has the same folds
        by_model = []
        for rows, length in zip(self._rows, self._lengths.tolist(), strict=True):
            own = rows[:length]
            digest = own.cpu().numpy().tobytes()
            if digest not in found:
                mean, std = _mean_and_std(values, moments, own)
                std = torch.where(std > 0, std, 1.0)
                found[digest] = mean.to(self.lr.dtype), std.to(self.lr.dtype)
            by_model.append(found[digest])
        means, stds = zip(*by_model, strict=True)
        return torch.stack(means), torch.stack(stds)

    def order(self, epoch: int) -> Tensor:
        """A new random order of each model's rows, ``(n_models, n_rows)``.

        Batches are cut from it one after another; the examples left over sit this epoch out.
        """
        return self.orders(epoch, 1)[0]

    def orders(self, epoch: int, n_epochs: int) -> Tensor:
        """The same of several epochs, or of the first of them that are to be had at once."""
        if not 0 <= epoch - self._first_ordered < len(self._ordered):
            # Of small data the orders of many epochs cost no more launches than that of one.
            n_drawn = max(min(ORDERED // self._rows.numel(), self.epochs - epoch), 1)
            epochs = torch.arange(epoch, epoch + n_drawn, dtype=torch.int32)
            epochs = epochs.to(self._rows.device)[:, None]
            places = permutations(fold_in(self._order_keys, epochs), self._lengths)
            ordered = self._rows.expand(n_drawn, -1, -1).gather(2, places)
            self._first_ordered, self._ordered = epoch, ordered
        first = epoch - self._first_ordered
        return self._ordered[first : first + n_epochs]

    def inputs(self, models: slice, rows: Tensor, steps: np.ndarray | None) -> Tensor:
        """The inputs of some rows as they are stored, but augmented: see `load`."""
        inputs = self.seen.index_select(0, rows.flatten())
        inputs = inputs.view(*rows.shape, *self.dataset.input_shape)
        if steps is None or not self.augments:
            return inputs
        numbers = torch.from_numpy(steps.astype(np.int32)).to(rows.device)
        step_keys = fold_in(self._augmentation_keys[models], numbers[:, None])
        own, turns = self.configurations[models], None
        if any(c.flip == "alternating" for c in own):
            epochs = numbers[:, None] // numbers.new_tensor(self.steps[models])
            turns = flip_turns(self._flip_keys[models], rows, epochs).flatten(0, 1)
        keys_of_all = step_keys.flatten(0, 1)
        changed = augment(inputs.flatten(0, 1), own * len(steps), keys_of_all, turns)
        return changed.view_as(inputs)

    def load(
        self, models: slice, rows: Tensor, steps: np.ndarray | None = None
    ) -> tuple[Tensor, Tensor]:
        """The normalized inputs and targets of some rows.

        Args:
            models: whose examples these are.
            rows: ``(n_steps, n, batch)``.
            steps: the number of each step, over all epochs, for images to be augmented.

        Returns:
            ``(n_steps, n, batch, *input_shape)``, and targets likewise.
        """
        mean, std = (
            per_feature(values[models, None], self.dataset.input_shape)
            for values in (self.input_mean, self.input_std)
        )
        # Multiplied, as in compiled code: so networks have the same inputs to the last bit.
        inputs = (self.inputs(models, rows, steps).to(self.lr.dtype) - mean).mul_(1 / std)
        return inputs, self.targets(models, rows)

    def targets(self, models: slice, rows: Tensor) -> Tensor:
        """The normalized targets of some rows, ``(n_steps, n, batch)`` or with ``n_outputs``."""
        return self.normalized(self.dataset.targets[rows], models)

    def normalized(self, targets: Tensor, models: slice = slice(None)) -> Tensor:
        """Targets ``(..., n_models, n)`` or with ``n_outputs`` as the models learn them."""
        if self.task.normalizes_targets:
            targets = (targets - self.target_mean[models, None]) / self.target_std[models, None]
        return targets

    def in_own_units(self, outputs: Tensor) -> Tensor:
        """The models' outputs ``(..., n_models, n, n_outputs)`` in the target's own units."""
        if self.task.normalizes_targets:
            outputs = outputs * self.target_std[:, None] + self.target_mean[:, None]
        return outputs


def _mean_and_std(
    values: Tensor, moments: tuple[Tensor, Tensor] | None, rows: Tensor
) -> tuple[Tensor, Tensor]:
    """Of some rows, feature by feature or channel by channel."""
    if moments is None:
        apart = 1 + feature_axis(values.shape[1:])
        dims = [dim for dim in range(values.dim()) if dim != apart]
        std, mean = torch.std_mean(values[rows].to(torch.get_default_dtype()), dims, correction=0)
        return mean, std
    total, squares = (moment[rows].sum(0) for moment in moments)
    n = len(rows) * values[0, 0].numel()
    mean = total.double() / n
    return mean, (squares.double() / n - mean.square()).clamp_(min=0).sqrt()


# The attributes whose first dimension is that of the models.
_OF_EACH_MODEL = (
    "lr",
    "shares",
    "label_smoothing",
    "input_mean",
    "input_std",
    "target_mean",
    "target_std",
    "dropout_keys",
    "_order_keys",
    "_augmentation_keys",
    "_flip_keys",
    "_rows",
    "_lengths",
)
