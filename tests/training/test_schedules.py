import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hw1.training import Configuration
from hw1.training.schedules import ema_shares, lr_schedule


def torch_lrs(c: Configuration, steps_per_epoch: int) -> list[float]:
    """The learning rates that torch's own scheduler gives, step by step."""
    n_steps = c.epochs * steps_per_epoch
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], c.lr)
    of = torch.optim.lr_scheduler
    scheduler = {
        "constant": lambda: of.ConstantLR(optimizer, factor=1.0),
        "step": lambda: of.StepLR(optimizer, math.ceil(c.epochs / 3) * steps_per_epoch),
        "cosine": lambda: of.CosineAnnealingLR(optimizer, n_steps),
        "one_cycle": lambda: of.OneCycleLR(optimizer, c.lr, n_steps, cycle_momentum=False),
    }[c.schedule]()
    lrs = []
    for step in range(n_steps):
        lrs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < n_steps - 1:
            scheduler.step()
    return lrs


@pytest.mark.parametrize("schedule", ["constant", "step", "cosine", "one_cycle"])
@given(epochs=st.integers(1, 40), steps=st.integers(1, 7), lr=st.floats(1e-5, 1.0))
def test_schedules_are_torchs(schedule: str, epochs: int, steps: int, lr: float) -> None:
    if schedule == "one_cycle" and epochs * steps < 5:
        return  # torch divides by zero where the rise is shorter than a step
    c = Configuration(schedule=schedule, epochs=epochs, lr=lr)
    assert lr_schedule(c, steps).tolist() == pytest.approx(torch_lrs(c, steps), rel=1e-6, abs=1e-12)


@given(epochs=st.integers(1, 5), steps=st.integers(1, 4))
def test_one_cycle_is_defined_however_short_the_training(epochs: int, steps: int) -> None:
    lrs = lr_schedule(Configuration(schedule="one_cycle", epochs=epochs, lr=0.1), steps)
    assert len(lrs) == epochs * steps
    assert ((lrs > 0) & (lrs <= 0.1)).all()


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_averages_warm_up_as_tensorflows(decay: float) -> None:
    # tf.train.ExponentialMovingAverage(decay, num_updates=t), with t counted before the update.
    expected = [1 - min(decay, (1 + t) / (10 + t)) for t in range(1, 25)]
    assert ema_shares(Configuration(ema=decay, epochs=6), 4).tolist() == pytest.approx(expected)
