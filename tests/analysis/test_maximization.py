from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hw1.analysis.maximization import Maximized, maximize_activations
from hw1.datasets import digits
from hw1.errors import InputError
from hw1.models import CNN

PLAIN = {"fourier": False, "jitter": 0, "total_variation": 0.0, "l2": 0.0}


def wave(height: int, width: int, down: float, right: float) -> Tensor:
    """A smooth pattern of mean zero."""
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    pattern = torch.sin(down * rows + 1) + torch.cos(right * columns + 2)
    return pattern - pattern.mean()


def correlation(a: Tensor, b: Tensor) -> float:
    return float(np.corrcoef(a.flatten().numpy(), b.flatten().numpy())[0, 1])


@pytest.mark.parametrize("options", [{}, PLAIN], ids=["regularized", "plain"])
def test_planted_patterns_are_found_in_one_batch(options: dict[str, Any]) -> None:
    templates = torch.stack([wave(12, 10, 0.5, 0), wave(12, 10, 0.2, 0.7), wave(12, 10, 0, -0.4)])
    model = nn.Sequential(nn.Flatten(), nn.Linear(120, 3, bias=False))
    with torch.no_grad():
        model[1].weight[:] = templates.flatten(1)
    found = maximize_activations(
        model, (1, 12, 10), [0, 1, 2], low=-1.0, high=1.0, seed=0, **options
    )
    assert found.inputs.shape == (3, 1, 12, 10)
    for i in range(3):
        scores = [correlation(found.inputs[i], template) for template in templates]
        assert scores[i] > 0.7
        assert max(scores) == scores[i]


def test_a_hidden_channel_is_the_mean_of_its_positions() -> None:
    torch.manual_seed(0)
    template = wave(5, 5, 1.0, 0.6)
    model = nn.Sequential(nn.Conv2d(1, 2, 5), nn.ReLU(), nn.Flatten(), nn.Linear(128, 1))
    with torch.no_grad():
        model[0].weight[1, 0] = template
    found = maximize_activations(model, (1, 12, 12), [1], low=-1.0, high=1.0, seed=0, layer="1")
    with torch.no_grad():
        maps = model[:2](found.inputs)[0]
    assert found.scores.item() == pytest.approx(maps[1].mean().item())
    assert maps[1].mean() > maps[0].mean()


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """A small convolutional network that reads digits."""
    data = digits.load("train", Path())
    images = (data.inputs.float() - 5) / 6
    torch.manual_seed(0)
    model = CNN((1, 8, 8), 10, channels=(16, 32))
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(5):
        for rows in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            functional.cross_entropy(model(images[rows]), data.targets[rows]).backward()
            optimizer.step()
    optimizer.zero_grad()
    model.eval()
    with torch.no_grad():
        assert (model(images).argmax(1) == data.targets).float().mean() > 0.97
    return model


def of_digits(model: nn.Module, targets: Any = range(10), **options: Any) -> Maximized:
    return maximize_activations(model, (1, 8, 8), targets, low=-5 / 6, high=11 / 6, **options)


def test_regularized_images_survive_shifts(network: nn.Module) -> None:
    plain, regularized = of_digits(network, seed=0, **PLAIN), of_digits(network, seed=0)
    kept = []
    for found in (plain, regularized):
        with torch.no_grad():
            logits = network(found.inputs)
        torch.testing.assert_close(found.scores, logits.diag())
        assert (logits.argmax(1) == torch.arange(10)).all()
        kept.append((found.shifted_scores / found.scores[:, None]).mean(0))
        assert found.inputs.min() >= -5 / 6 - 1e-6
        assert found.inputs.max() <= 11 / 6 + 1e-6
    # Strokes that are shifted by a pixel are read still; noise is not.
    assert kept[0][0] < 0.5
    assert kept[1][0] > 0.7
    assert kept[1][1] > kept[0][1] + 0.2


def test_shifted_scores_are_means_over_all_shifts(network: nn.Module) -> None:
    found = of_digits(network, [3], seed=0, steps=20)
    image = np.pad(found.inputs[0, 0].numpy(), 2, mode="edge")
    scores: dict[int, list[float]] = {0: [], 1: [], 2: []}
    for i in range(5):
        for j in range(5):
            shifted = torch.from_numpy(image[i : i + 8, j : j + 8])[None, None]
            with torch.no_grad():
                score = network(shifted)[0, 3].item()
            scores[max(abs(i - 2), abs(j - 2))].append(score)
    assert found.scores.item() == pytest.approx(np.mean(scores[0]), rel=1e-4)
    expected = [np.mean(scores[1]), np.mean(scores[2])]
    assert found.shifted_scores[0].tolist() == pytest.approx(expected, rel=1e-4)


def test_a_target_does_not_depend_on_its_batch_but_on_the_seed(network: nn.Module) -> None:
    together = of_digits(network, [2, 7, 4], seed=1, steps=30)
    alone = of_digits(network, [7], seed=1, steps=30)
    torch.testing.assert_close(together.inputs[1:2], alone.inputs, atol=1e-3, rtol=1e-3)
    assert (of_digits(network, [7], seed=1, steps=30).inputs == alone.inputs).all()
    assert (of_digits(network, [7], seed=2, steps=30).inputs != alone.inputs).any()


def test_each_regularization_does_what_it_is_for(network: nn.Module) -> None:
    def images(**options: Any) -> Tensor:
        return of_digits(network, [0, 3], seed=0, **{**PLAIN, "steps": 100, **options}).inputs

    def roughness(images: Tensor) -> float:
        differences = images.diff(dim=2).square().mean() + images.diff(dim=3).square().mean()
        return float(differences / images.var())

    assert roughness(images(fourier=True, steps=3)) < 0.8 * roughness(images(steps=3))
    assert roughness(images(total_variation=2.0)) < 0.8 * roughness(images())
    assert images(l2=2.0).square().mean() < 0.8 * images().square().mean()
    kept = []
    for jitter in (0, 1):
        found = of_digits(network, seed=0, **{**PLAIN, "jitter": jitter})
        kept.append((found.shifted_scores[:, 0] / found.scores).mean())
    assert kept[1] > kept[0] + 0.2


def test_features_are_driven_to_their_own_bounds() -> None:
    model = nn.Linear(4, 2, bias=False)
    with torch.no_grad():
        model.weight[0] = torch.tensor([1.0, -2.0, 0.5, -0.1])
        model.weight[1] = -model.weight[0]
    low, high = torch.tensor([-1.0, -2.0, 1.0, 0.0]), torch.tensor([1.0, 3.0, 2.0, 0.5])
    found = maximize_activations(model, (4,), [0, 1], low=low, high=high, seed=0, l2=0.0)
    expected = torch.stack([torch.where(model.weight[i] > 0, high, low) for i in range(2)])
    torch.testing.assert_close(found.inputs, expected, atol=0.1, rtol=0)
    torch.testing.assert_close(found.scores, model(found.inputs).diag().detach())
    assert found.shifted_scores is None


def test_channels_keep_to_their_own_bounds() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 5 * 7, 1))
    low = torch.tensor([-1.0, 0.0, 2.0])[:, None, None]
    found = maximize_activations(model, (3, 5, 7), [0], low=low, high=low + 0.5, seed=0, lr=1.0)
    assert (found.inputs >= low - 1e-6).all()
    assert (found.inputs <= low + 0.5 + 1e-6).all()
    assert (found.inputs.amax((2, 3)) - found.inputs.amin((2, 3)) > 0.4).all()


def test_bad_input_is_refused() -> None:
    model = nn.Linear(4, 2)
    bounds: dict[str, Any] = {"low": 0.0, "high": 1.0, "seed": 0}
    with pytest.raises(InputError, match="no unit 2: choose one from 0 to 1"):
        maximize_activations(model, (4,), [0, 2], **bounds)
    with pytest.raises(InputError, match="below the highest"):
        maximize_activations(model, (4,), [0], low=torch.zeros(4), high=0.0, seed=0)
    with pytest.raises(InputError, match="unknown layer 'x'"):
        maximize_activations(model, (4,), [0], layer="x", **bounds)
    flat = nn.Sequential(nn.Linear(4, 1), nn.Flatten(0))
    with pytest.raises(InputError, match="must be one tensor"):
        maximize_activations(flat, (4,), [0], **bounds)
