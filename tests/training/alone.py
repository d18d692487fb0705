"""The plain PyTorch way of training a network: what models in lockstep are held to."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hw1.datasets import Dataset, digits, function
from hw1.training import Configuration
from hw1.training.augmentation import augment, draw
from hw1.training.keys import KeyedDropout, fold_in, keys, with_keyed_dropout
from hw1.training.lockstep import Family, Lockstep, build
from hw1.training.plan import AUGMENTATION, DROPOUT

K = 3
# In double precision rounding cannot hide a mistake, nor an optimizer blow it up.
REGRESSION = function.load("train", Path())
REGRESSION = replace(
    REGRESSION, inputs=REGRESSION.inputs.double(), targets=REGRESSION.targets.double()
)
DIGITS = digits.load("train", Path()).sample(150, seed=0)


def folds(dataset: Dataset, k: int = K) -> tuple[list[Tensor], list[Tensor]]:
    fold = torch.arange(len(dataset)) % k
    numbers = range(k)
    return [(fold != i).nonzero()[:, 0] for i in numbers], [
        (fold == i).nonzero()[:, 0] for i in numbers
    ]


def torch_optimizer(c: Configuration, model: nn.Module) -> torch.optim.Optimizer:
    groups: list[dict[str, Any]] = [
        {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": c.weight_decay},
        {"params": [p for p in model.parameters() if p.dim() <= 1], "weight_decay": 0.0},
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


def torch_scheduler(
    c: Configuration, optimizer: torch.optim.Optimizer, steps_per_epoch: int
) -> torch.optim.lr_scheduler.LRScheduler:
    n_steps = c.epochs * steps_per_epoch
    schedulers = torch.optim.lr_scheduler
    match c.schedule:
        case "step":
            return schedulers.StepLR(optimizer, math.ceil(c.epochs / 3) * steps_per_epoch)
        case "cosine":
            return schedulers.CosineAnnealingLR(optimizer, n_steps)
        case "one_cycle":
            return schedulers.OneCycleLR(optimizer, c.lr, n_steps, cycle_momentum=False)
        case _:
            return schedulers.ConstantLR(optimizer, factor=1.0)


def train_alone(
    family: Family, c: Configuration, dataset: Dataset, rows: Tensor, seed: int, epochs: int
) -> nn.Module:
    """The plain PyTorch way: one network, one torch optimizer, one batch after another."""
    model = with_keyed_dropout(build(family, c, dataset, seed)).train()
    order = Lockstep(family, [c], dataset, [rows], [seed])
    optimizer = torch_optimizer(c, model)
    scheduler = torch_scheduler(c, optimizer, order.steps_per_epoch)
    dims = [d for d in range(dataset.inputs.dim()) if d != 1]
    mean = dataset.inputs[rows].to(torch.get_default_dtype()).mean(dims, keepdim=True)
    std = dataset.inputs[rows].to(torch.get_default_dtype()).std(dims, correction=0, keepdim=True)
    y = dataset.targets[rows]
    step = 0
    for epoch in range(epochs):
        order.epoch = epoch
        for batch in order.batches():
            inputs, targets = dataset.inputs[batch[0]], dataset.targets[batch[0]]
            if c.augments and inputs.dim() == 4:
                key = fold_in(fold_in(keys([seed]), AUGMENTATION), step)
                moves = draw([c], key, len(inputs), inputs.shape[2:])
                inputs = augment(inputs[None], moves)[0]
            layers = [module for module in model.modules() if isinstance(module, KeyedDropout)]
            for i, layer in enumerate(layers):
                layer.key = fold_in(fold_in(fold_in(keys([seed])[0], DROPOUT), step), i)
                layer.calls = 0
            outputs = model((inputs - mean) / std)
            if dataset.task == "regression":
                targets = (targets - y.mean(0)) / y.std(0, correction=0)
                loss = functional.mse_loss(outputs, targets)
            else:
                loss = functional.cross_entropy(outputs, targets, label_smoothing=c.label_smoothing)
            for p in model.parameters():
                if p.dim() > 1:
                    loss = loss + c.l1 * p.abs().sum()
            optimizer.zero_grad()
            loss.backward()
            if c.max_grad_norm is not None:
                nn.utils.clip_grad_norm_(model.parameters(), c.max_grad_norm)
            optimizer.step()
            scheduler.step()
            step += 1
    return model.eval()


def assert_same_networks(lockstep: nn.Module, alone: nn.Module) -> None:
    expected = alone.state_dict()
    for name, value in lockstep.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-7, atol=1e-9, msg=name)
