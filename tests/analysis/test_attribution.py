from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hw1.analysis.attribution import integrated_gradients, smooth_grad
from hw1.errors import InputError
from hw1.models import CNN, MLP


@settings(deadline=None)
@given(st.integers(1, 150), st.integers(0, 99))
def test_attributions_of_a_linear_model_are_its_weights(n_rows: int, seed: int) -> None:
    torch.manual_seed(seed)
    model, rows = nn.Linear(6, 3), torch.randn(n_rows, 6)
    outputs = torch.randint(3, (n_rows,))
    weights = model.weight.detach()[outputs]
    found = smooth_grad(model, rows, outputs, seed=0, n_samples=3)
    torch.testing.assert_close(found, weights)
    found = integrated_gradients(model, rows, outputs.tolist(), n_steps=3)
    torch.testing.assert_close(found, weights * rows)


MODELS: dict[str, Any] = {
    "smooth": lambda: MLP((1, 6, 6), 3, widths=(8, 8), activation="tanh", batch_norm=True),
    "ReLU": lambda: CNN((1, 6, 6), 3, channels=(4, 6), hidden=8),
}


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(sorted(MODELS)), st.integers(0, 999))
def test_integrated_gradients_are_complete(name: str, seed: int) -> None:
    torch.manual_seed(seed)
    model = MODELS[name]().eval()
    rows = torch.randn(20, 1, 6, 6)
    outputs = torch.randint(3, (20,))
    found = integrated_gradients(model, rows, outputs)
    assert found.shape == rows.shape
    with torch.no_grad():
        gains = (model(rows) - model(torch.zeros(1, 1, 6, 6))).gather(1, outputs[:, None])[:, 0]
    errors = (found.sum((1, 2, 3)) - gains).abs() / found.abs().sum((1, 2, 3))
    assert errors.max() < (1e-3 if name == "smooth" else 2e-2)


class Cubic(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return (inputs**3).sum(1, keepdim=True)


def test_smooth_grad_is_the_mean_over_noise_in_proportion_to_the_range() -> None:
    rows = torch.tensor([[0.0, 1.0, -1.0], [10.0, 0.0, 5.0]])
    found = smooth_grad(Cubic(), rows, [0, 0], seed=0, noise=0.2, n_samples=5000)
    # The mean of 3 (x + e)² is 3 (x² + variance of e).
    spread = 0.2 * torch.tensor([[2.0], [10.0]])
    torch.testing.assert_close(found, 3 * (rows**2 + spread**2), rtol=0.05, atol=0.02)


def test_a_row_does_not_depend_on_the_others_but_on_the_seed() -> None:
    torch.manual_seed(0)
    model, rows = MODELS["ReLU"]().eval(), torch.randn(70, 1, 6, 6)
    outputs = torch.randint(3, (70,))
    found = smooth_grad(model, rows, outputs, seed=1, n_samples=4)
    alone = smooth_grad(model, rows[66:67], outputs[66:67], seed=1, n_samples=4)
    torch.testing.assert_close(found[66:67], alone, rtol=1e-4, atol=1e-6)
    assert (smooth_grad(model, rows, outputs, seed=2, n_samples=4) != found).any()


def test_bad_input_is_refused() -> None:
    rows = torch.zeros(3, 4)
    attributions: list[Any] = [
        lambda model, outputs: smooth_grad(model, rows, outputs, seed=0),
        lambda model, outputs: integrated_gradients(model, rows, outputs),
    ]
    for attribute in attributions:
        with pytest.raises(InputError, match="one output for each of the 3 rows"):
            attribute(nn.Linear(4, 2), [0, 1])
        with pytest.raises(InputError, match="choose outputs from 0 to 1"):
            attribute(nn.Linear(4, 2), [0, 1, 2])
        with pytest.raises(InputError, match="must be one tensor"):
            attribute(nn.Sequential(nn.Linear(4, 1), nn.Flatten(0)), [0, 0, 0])
