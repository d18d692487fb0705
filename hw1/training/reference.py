"""What training is: one network, an optimizer of ``torch.optim``, one batch after another.

`hw1.training.lockstep` and the backends beneath it are optimizations of this: they train many
networks at once, and tests hold what becomes of each to what becomes of it here.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import lr_scheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from hw1.datasets import Dataset
from hw1.training.augmentation import augment, flip_turns
from hw1.training.configuration import Configuration
from hw1.training.keys import KeyedDropout, fold_in, keys, with_keyed_dropout
from hw1.training.networks import ModelClass, build
from hw1.training.plan import AUGMENTATION, DROPOUT, FLIPS, Plan


class Trained(NamedTuple):
    """A network, and how it came to be.

    Attributes:
        network: in evaluation mode; it takes normalized inputs.
        losses: the mean over the examples of each epoch's batches of the loss without penalties,
            as the network gave it before the step that it took with a batch.
        rows: ``(epochs, n)``, the examples of each epoch's batches.
        outputs: ``(epochs, n, n_outputs)``, what it gave for them then, in the target's own units:
            the training scores are the metric of these.
    """

    network: nn.Module
    losses: list[float]
    rows: Tensor
    outputs: Tensor


def train_alone(
    model_class: ModelClass,
    c: Configuration,
    dataset: Dataset,
    rows: Tensor,
    seed: int,
    epochs: int,
) -> Trained:
    """Train one network for some of its epochs.

    Args:
        model_class: builds the network.
        c: its configuration.
        dataset: the examples.
        rows: those to train on, int64.
        seed: decides the initial weights, the order of the examples, dropout and augmentation.
        epochs: after how many to stop.
    """
    model = with_keyed_dropout(build(model_class, c, dataset, seed)).train()
    plan, key = Plan([c], dataset, [rows], [seed], normalizes=False), keys([seed])
    steps, batch_size = plan.steps[0], plan.batch_sizes[0]
    optimizer, weights = _optimizer(c, model), [p for p in model.parameters() if p.dim() > 1]
    scheduler = _scheduler(c, optimizer, steps)
    averaged = AveragedModel(model, multi_avg_fn=_averaging(c.ema), use_buffers=True)
    averaged.update_parameters(model)  # it begins with the initial weights
    known = dataset.inputs[rows].to(torch.get_default_dtype())
    apart = 2 if known.dim() == 3 else 1  # features, also of sequences, or channels of images
    over = [d for d in range(known.dim()) if d != apart]
    mean, std = known.mean(over, keepdim=True), known.std(over, correction=0, keepdim=True)
    std = torch.where(std > 0, std, 1.0)
    y = dataset.targets[rows]
    losses, given, trained = [], [], []
    dropouts = [layer for layer in model.modules() if isinstance(layer, KeyedDropout)]
    for step in range(epochs * steps):
        epoch, start = step // steps, step % steps * batch_size
        batch = plan.order(epoch)[0, start : start + batch_size]
        inputs, targets = dataset.inputs[batch], dataset.targets[batch]
        if c.augments and inputs.dim() == 4:
            of_step = fold_in(fold_in(key, AUGMENTATION), step)
            turns = flip_turns(fold_in(key, FLIPS), batch[None], torch.tensor([epoch]))
            inputs = augment(inputs[None], [c], of_step, turns)[0]
        for i, layer in enumerate(dropouts):
            layer.key, layer.calls = fold_in(fold_in(fold_in(key[0], DROPOUT), step), i), 0
        outputs = model((inputs - mean) / std)
        if dataset.task == "regression":
            spread, center = y.std(0, correction=0), y.mean(0)
            spread = torch.where(spread > 0, spread, 1.0)
            targets = (targets - center) / spread
            loss = functional.mse_loss(outputs, targets)
        else:
            loss = functional.cross_entropy(outputs, targets, label_smoothing=c.label_smoothing)
            spread, center = torch.ones(()), torch.zeros(())
        losses.append(loss.detach())
        given.append(outputs.detach() * spread + center)
        trained.append(batch)
        loss = loss + c.l1 * sum(p.abs().sum() for p in weights)
        optimizer.zero_grad()
        loss.backward()
        if c.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), c.max_grad_norm)
        optimizer.step()
        for p in weights if c.l1_proximal else []:
            lr = optimizer.param_groups[0]["lr"]
            p.data = functional.softshrink(p.data, c.l1_proximal * lr)
        scheduler.step()
        averaged.update_parameters(model)
    by_epoch = torch.stack(losses).view(epochs, steps).mean(1).tolist()
    seen = torch.cat(trained).view(epochs, -1)
    network = (averaged.module if c.ema else model).eval()
    return Trained(network, by_epoch, seen, torch.cat(given).view(*seen.shape, -1))


def _optimizer(c: Configuration, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer of a configuration; only weights decay."""
    decays = {True: c.weight_decay, False: 0.0}
    groups = [
        {"params": [p for p in model.parameters() if (p.dim() > 1) == are_weights]}
        | {"weight_decay": decay}
        for are_weights, decay in decays.items()
    ]
    match c.optimizer:
        case "sgd":
            return torch.optim.SGD(groups, c.lr, momentum=c.momentum, nesterov=c.nesterov)
        case "adam":
            return torch.optim.Adam(groups, c.lr)
        case "adamw":
            return torch.optim.AdamW(groups, c.lr)
        case _:
            return torch.optim.RMSprop(groups, c.lr, momentum=c.momentum)


def _averaging(decay: float) -> Any:
    """Exponential moving averages with TensorFlow's warm-up; counts are taken as they are."""

    def average(averages: Any, values: Any, t: Any) -> None:
        of_floats = min(decay, float((1 + t) / (10 + t)))
        step = get_ema_multi_avg_fn(of_floats if values[0].is_floating_point() else 0.0)
        step(averages, values, t)

    return average


def _scheduler(
    c: Configuration, optimizer: torch.optim.Optimizer, steps: int
) -> lr_scheduler.LRScheduler:
    """The schedule of a configuration with so many steps in an epoch."""
    match c.schedule:
        case "step":
            return lr_scheduler.StepLR(optimizer, math.ceil(c.epochs / 3) * steps)
        case "cosine":
            return lr_scheduler.CosineAnnealingLR(optimizer, c.epochs * steps)
        case "one_cycle":
            n_steps = c.epochs * steps
            return lr_scheduler.OneCycleLR(optimizer, c.lr, n_steps, cycle_momentum=False)
        case _:
            return lr_scheduler.ConstantLR(optimizer, factor=1.0)
