"""A noisy 1-D function with gaps in its training inputs: needs no file and no network."""

from pathlib import Path

import torch

from hw1.datasets.dataset import Dataset, Part

N_ROWS = 100
NOISE = 0.3
"""Standard deviation of the noise on the training targets."""
GAPS = ((-3.0, -1.0), (1.5, 3.0))
"""Intervals of the input without training examples; the test examples fill them."""


def function(x: torch.Tensor) -> torch.Tensor:
    """The truth behind the data, ``2 sin(1.5 x) + x / 2 + cos(4 x) / 2`` on [-5, 5]."""
    return 2 * torch.sin(1.5 * x) + x / 2 + torch.cos(4 * x) / 2


def load(part: Part, data_dir: Path) -> Dataset:
    """100 noisy training examples outside the gaps, or 100 clean test examples all over [-5, 5].

    Always the same data. ``data_dir`` is not used.
    """
    generator = torch.Generator().manual_seed(2021)
    if part == "train":
        # Rejection keeps the rows uniform over what is left of the interval.
        x = torch.rand(10 * N_ROWS, generator=generator) * 10 - 5
        in_gap = torch.zeros_like(x, dtype=torch.bool)
        for low, high in GAPS:
            in_gap |= (x >= low) & (x <= high)
        x = x[~in_gap][:N_ROWS]
        y = function(x) + NOISE * torch.randn(N_ROWS, generator=generator)
    else:
        x = torch.linspace(-5, 5, N_ROWS)
        y = function(x)
    return Dataset(
        name="function",
        task="regression",
        inputs=x[:, None],
        targets=y[:, None],
        feature_names=("x",),
        target_name="y",
    )
