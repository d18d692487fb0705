"""What changes from step to step: the learning rate, and a step's share in averaged weights."""

import math

import torch
from torch import Tensor

from hw1.training.configuration import Configuration


def lr_schedule(configuration: Configuration, steps_per_epoch: int) -> Tensor:
    """The learning rate at every step of the training, ``(epochs * steps_per_epoch,)`` float64.

    The formulas are those of ``torch.optim.lr_scheduler``: StepLR, CosineAnnealingLR and
    OneCycleLR (``cycle_momentum=False``), with one scheduler step a training step.
    """
    lr, epochs = configuration.lr, configuration.epochs
    n_steps = epochs * steps_per_epoch
    step = torch.arange(n_steps, dtype=torch.float64)
    match configuration.schedule:
        case "step":
            return lr * 0.1 ** (step // (math.ceil(epochs / 3) * steps_per_epoch))
        case "cosine":
            return lr * (1 + torch.cos(math.pi * step / n_steps)) / 2
        case "one_cycle":
            # From lr / 25 up to lr in the first 30 % of the steps, then down to lr / 250,000.
            peak = max(0.3 * n_steps - 1, 0)
            rising = step / peak if peak > 0 else torch.ones_like(step)
            falling = (step - peak) / max(n_steps - 1 - peak, 1)
            return torch.where(
                step <= peak,
                _cosine(lr / 25, lr, rising),
                _cosine(lr, lr / 25e4, falling.clamp(0, 1)),
            )
        case _:
            return torch.full((n_steps,), lr, dtype=torch.float64)


def ema_shares(configuration: Configuration, steps_per_epoch: int) -> Tensor:
    """How far averages of the weights move towards those after each step, ``(n_steps,)`` float64.

    1 - min(ema, (1 + t) / (10 + t)) after step t, from 1: the warm-up of TensorFlow's
    ``tf.train.ExponentialMovingAverage`` with ``num_updates``. The average begins with the initial
    weights, and early spans about a ninth of the steps so far, so that it forgets them. Without
    an average all shares are 1.
    """
    t = torch.arange(1, configuration.epochs * steps_per_epoch + 1, dtype=torch.float64)
    if not configuration.ema:
        return torch.ones_like(t)
    return 1 - ((1 + t) / (10 + t)).clamp(max=configuration.ema)


def _cosine(start: float, end: float, fraction: Tensor) -> Tensor:
    return end + (start - end) / 2 * (1 + torch.cos(math.pi * fraction))
