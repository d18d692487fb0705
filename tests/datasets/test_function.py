import math
from pathlib import Path

import numpy as np
import torch

from hw1.datasets import Dataset, Part
from hw1.datasets import function as module

NOWHERE = Path("no-such-folder")
GAPS = [(-3.0, -1.0), (1.5, 3.0)]


def truth(data: Dataset) -> np.ndarray:
    """The documented function of a data set's inputs, with the standard library."""
    return np.array(
        [2 * math.sin(1.5 * x) + x / 2 + math.cos(4 * x) / 2 for x in data.inputs[:, 0].tolist()]
    )


def test_both_parts_are_100_rows_of_one_float_on_minus_5_to_5() -> None:
    for part in ("train", "test"):
        data = module.load(part, NOWHERE)
        assert data.task == "regression"
        assert data.inputs.shape == data.targets.shape == (100, 1)
        assert data.inputs.dtype == data.targets.dtype == torch.float32
        assert data.inputs.abs().max() <= 5
        assert (data.feature_names, data.target_name) == (("x",), "y")
        assert (data.input_shape, data.n_outputs) == ((1,), 1)


def test_training_inputs_lie_beside_the_gaps_as_often_as_the_length_of_each_side_asks() -> None:
    x = module.load("train", NOWHERE).inputs
    sides = [(-5.0, -3.0), (-1.0, 1.5), (3.0, 5.0)]
    total = sum(high - low for low, high in sides)
    counts = [int(((x > low) & (x < high)).sum()) for low, high in sides]
    for (low, high), count in zip(sides, counts, strict=True):
        share = (high - low) / total
        assert abs(count - 100 * share) < 4 * math.sqrt(100 * share * (1 - share))
    assert sum(counts) == 100
    assert len(x.unique()) == 100


def test_test_inputs_fill_the_gaps_evenly_and_reach_both_ends() -> None:
    x = module.load("test", NOWHERE).inputs[:, 0]
    np.testing.assert_allclose(x.numpy(), np.linspace(-5, 5, 100), atol=1e-6)
    for low, high in GAPS:
        assert int(((x > low) & (x < high)).sum()) >= int((high - low) * 9.9) - 1


def test_test_targets_are_the_function_without_noise() -> None:
    data = module.load("test", NOWHERE)
    np.testing.assert_allclose(data.targets[:, 0].numpy(), truth(data), rtol=0, atol=2e-6)


def test_training_residuals_have_the_stated_noise() -> None:
    data = module.load("train", NOWHERE)
    residuals = data.targets[:, 0].numpy() - truth(data)
    # Four standard errors of a standard deviation and of a mean from 100 normal residuals.
    assert abs(residuals.std(ddof=1) - 0.3) < 4 * 0.3 / math.sqrt(2 * 99)
    assert abs(residuals.mean()) < 4 * 0.3 / math.sqrt(100)
    # The noise does not follow the input.
    assert abs(np.corrcoef(residuals, data.inputs[:, 0].numpy())[0, 1]) < 0.4


def test_loading_is_deterministic_and_leaves_the_global_generator_alone() -> None:
    parts: list[Part] = ["train", "test"]
    first = {part: module.load(part, NOWHERE) for part in parts}
    torch.manual_seed(123)
    state = torch.get_rng_state()
    for part, data in first.items():
        again = module.load(part, Path())
        assert torch.equal(again.inputs, data.inputs)
        assert torch.equal(again.targets, data.targets)
    assert torch.equal(torch.get_rng_state(), state)
